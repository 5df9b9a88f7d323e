"""Find estimators, systems and metrics by name, whoever wrote them.

A distribution offers an object by an entry point in its ``pyproject.toml``; the built-ins of
chaosfit use the same door::

    [project.entry-points."chaosfit.estimators"]
    my_model = "my_package.models:MyModel"

The groups are ``chaosfit.estimators``, ``chaosfit.systems`` and ``chaosfit.metrics``, called
"estimators", "systems" and "metrics" below. Listing reads metadata only and imports nothing. A plugin is
imported when it is asked for, and whatever it does then (a failing import, even ``sys.exit``) becomes a
`PluginError` that names the culprit; the other plugins go on working.

Two objects of the same name: a built-in always wins, then the distribution that comes first in the
alphabet; every loser stays reachable as ``"<distribution>/<name>"``.

The environment variable ``CHAOSFIT_DISABLE_PLUGINS`` (distributions separated by commas, or ``*``) switches
third-party distributions off; it is read once, at the first listing or after `refresh`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import importlib.metadata
import inspect
import itertools
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "API",
    "GROUPS",
    "Description",
    "PluginError",
    "Record",
    "all",
    "describe",
    "get",
    "make",
    "names",
    "records",
    "refresh",
    "register",
]

API = (1, 0)
"""Version (major, minor) of the plugin contract; a class states the one it needs as ``chaosfit_api``."""

GROUPS = ("estimators", "systems", "metrics")

_REQUIRED_METHODS = {"estimators": ("fit", "get_params", "set_params"), "systems": ("simulate",)}
_CAPABILITIES = ("forecast_samples", "equations", "transform", "partial_fit")
_HOST = "chaosfit"
_SESSION = "session"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_REFERENCES = re.compile(r"^References?\n-{3,}\n(.*?)(?=\n\S[^\n]*\n-{3,}$|\Z)", re.MULTILINE | re.DOTALL)

_lock = threading.RLock()
_tables: dict[str, dict[str, Record]] = {}  # group -> key -> record; empty until the first listing
_session: dict[str, dict[str, Record]] = {group: {} for group in GROUPS}  # what `register` added


class PluginError(ImportError):
    """A registered object cannot be loaded; the message names it, its distribution and the reason."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One row of the registry.

    Attributes
    ----------
    name : str
        The key for `get`: the plain name, or ``"<distribution>/<name>"`` where another object has won it.
    value : str
        Where the object lives, ``"package.module:Class"``.
    dist, version : str
        The distribution that offers it; "session" and "" for what `register` added.
    builtin : bool
        True if chaosfit itself offers it.
    shadows : tuple of str
        Keys of the objects that lost the name to this one.
    obj : object or None
        The loaded object; None as long as nobody has asked for it.
    error : PluginError or None
        Why it could not be loaded.
    """

    name: str
    value: str
    dist: str
    version: str
    builtin: bool = False
    shadows: tuple[str, ...] = ()
    obj: Any = None
    error: PluginError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """What `describe` found out; ``print`` shows it as text.

    Attributes
    ----------
    record : Record
    group : str
    summary : str
        First paragraph of the docstring.
    parameters : dict of str to object
        Name to default; `inspect.Parameter.empty` where the caller must give a value.
    capabilities : tuple of str
        For estimators: which of ``forecast_samples``, ``equations``, ``transform``, ``partial_fit`` exist,
        and ``control`` if known inputs are accepted.
    reference : str
        Text of the section "References" of the docstring.
    """

    record: Record
    group: str
    summary: str
    parameters: dict[str, Any]
    capabilities: tuple[str, ...]
    reference: str

    def __str__(self) -> str:
        record = self.record
        lines = [f"{record.name}: {record.value}, from {_origin(record)}", ""]
        lines += [self.summary or "(no docstring)"]
        if self.parameters:
            lines += ["", "parameters:"]
            lines += [f"    {name} = {_default(value)}" for name, value in self.parameters.items()]
        if self.group == "estimators":
            lines += ["", f"capabilities: {', '.join(('forecast', *self.capabilities))}"]
        if self.reference:
            lines += ["", "reference:", *(f"    {line}" for line in self.reference.splitlines())]
        return "\n".join(lines)


def names(group: str = "estimators") -> list[str]:
    """All names of a group, sorted. Imports nothing, so it also lists plugins that may turn out broken.

    Examples
    --------
    >>> from chaosfit import registry
    >>> "lorenz63" in registry.names("systems")
    True
    """
    return sorted(key for key in _table(group) if "/" not in key)


def records(group: str = "estimators") -> list[Record]:
    """All rows of a group, losers of a name included, sorted by key. Imports nothing.

    ``obj`` and ``error`` are filled only where somebody has asked for the object before.
    """
    table = _table(group)
    return [table[key] for key in sorted(table)]


def get(name: str, group: str = "estimators") -> Any:
    """Import one object.

    Parameters
    ----------
    name : str
        A name, or ``"<distribution>/<name>"``.
    group : {"estimators", "systems", "metrics"}

    Returns
    -------
    type or callable

    Raises
    ------
    LookupError
        If there is no such name; the message suggests similar ones.
    PluginError
        If the object exists but cannot be loaded or does not keep the contract of its group.

    Examples
    --------
    >>> from chaosfit import registry
    >>> registry.get("lorenz63", group="systems").__name__
    'Lorenz63'
    """
    record = _load(_find(name, group), group)
    if record.error is not None:
        raise PluginError(str(record.error)) from record.error.__cause__
    return record.obj


def make(name: str, /, group: str = "estimators", **params: Any) -> Any:
    """Construct an estimator or a system; of a metric, fix the options (`functools.partial`).

    Raises
    ------
    TypeError
        If the object has no such parameter; the message lists those it has.
    """
    obj = get(name, group)
    accepted = _parameters(obj)
    unknown = [] if accepted is None else sorted(set(params) - set(accepted))
    if unknown:
        listed = ", ".join(accepted or ()) or "none"
        raise TypeError(f"{name!r} has no parameter {', '.join(map(repr, unknown))}; it has {listed}.")
    return functools.partial(obj, **params) if group == "metrics" else obj(**params)


def all(group: str = "estimators", on_error: str = "warn") -> dict[str, Any]:
    """Import a whole group: name to object, without the broken ones.

    Parameters
    ----------
    group : {"estimators", "systems", "metrics"}
    on_error : {"warn", "raise"}
        What to do about a plugin that cannot be loaded: one RuntimeWarning each, or its `PluginError`.
    """
    if on_error not in ("warn", "raise"):
        raise ValueError(f"on_error must be 'warn' or 'raise', got {on_error!r}.")
    loaded = {}
    for name in names(group):
        try:
            loaded[name] = get(name, group)
        except PluginError as error:
            if on_error == "raise":
                raise
            warnings.warn(f"{error} It is left out.", RuntimeWarning, stacklevel=2)
    return loaded


def describe(name: str, group: str = "estimators") -> Description:
    """Import one object and read its docstring, parameters and capabilities; ``print`` shows them as text."""
    obj = get(name, group)
    doc = inspect.cleandoc(obj.__doc__ or "")  # not inspect.getdoc: it would show the text of a base class
    reference = _REFERENCES.search(doc)
    return Description(
        record=_find(name, group),
        group=group,
        summary=" ".join(doc.partition("\n\n")[0].split()),
        parameters=_parameters(obj) or {},
        capabilities=_capabilities(obj) if group == "estimators" else (),
        reference=inspect.cleandoc(reference[1]) if reference else "",
    )


def register(name: str, obj: Any = None, group: str = "estimators", override: bool = False) -> Any:
    """Add an object for this process only (notebooks, tests); returns it, so it also decorates.

    Other processes do not see it: send them objects, never names. To share a method, give it an entry point.

    Parameters
    ----------
    name : str
        Lower snake case.
    obj : type or callable, optional
        Left out when used as a decorator, ``@register("my_model")``.
    group : {"estimators", "systems", "metrics"}
    override : bool
        Take a name that is already taken; the former owner stays reachable as ``"<distribution>/<name>"``.
        Not needed to register the same class again, as happens when a notebook cell is run twice.

    Raises
    ------
    ValueError
        If the name is not lower snake case, or taken.
    TypeError
        If the object does not keep the contract of its group.

    Notes
    -----
    As a decorator::

        @register("largest_error", group="metrics")
        def largest_error(y_true, y_pred):
            return abs(y_true - y_pred).max()
    """
    table = _table(group)
    if not _NAME.fullmatch(name):
        raise ValueError(f"A registered name is lower snake case such as 'my_model', got {name!r}.")
    if obj is None:
        return functools.partial(register, name, group=group, override=override)
    if reason := _broken_contract(obj, group):
        raise TypeError(f"{name!r} cannot be registered: {reason}.")
    module, qualname = (getattr(obj, key, type(obj).__name__) for key in ("__module__", "__qualname__"))
    record = Record(name, f"{module}:{qualname}", _SESSION, "", obj=obj)
    with _lock:
        taken = table.get(name)
        again = taken is not None and (taken.dist, taken.value) == (_SESSION, record.value)
        if taken is not None and not override and not again:
            raise ValueError(
                f"{name!r} is already taken by {taken.value} from {_origin(taken)}; "
                "choose another name or pass override=True."
            )
        _session[group][name] = record
        _place(table, record)
    return obj


def refresh() -> None:
    """Look again: forget what was found (not what `register` added), for packages installed meanwhile."""
    with _lock:
        _tables.clear()
        importlib.invalidate_caches()


# Discovery: from the metadata of installed distributions to one table per group.


def _table(group: str) -> dict[str, Record]:
    if group not in GROUPS:
        raise ValueError(f"Unknown group {group!r}: expected one of {', '.join(GROUPS)}.")
    notes: list[str] = []
    with _lock:
        if not _tables:
            rows, notes = _scan()
            for each in GROUPS:
                _tables[each], duplicates = _resolve_names(record for owner, record in rows if owner == each)
                notes += duplicates
                for record in _session[each].values():
                    _place(_tables[each], record)
        table = _tables[group]
    # Outside the lock and after the tables are complete: a warning turned into an error must not spoil them.
    if notes:
        warnings.warn("\n".join(notes), RuntimeWarning, stacklevel=3)
    return table


def _scan() -> tuple[list[tuple[str, Record]], list[str]]:
    """Rows (group, record) of every enabled distribution on ``sys.path``, and what to warn about."""
    disabled = {_canonical(name) for name in os.environ.get("CHAOSFIT_DISABLE_PLUGINS", "").split(",")}
    rows: list[tuple[str, Record]] = []
    notes: list[str] = []
    seen: set[str] = set()
    for dist in importlib.metadata.distributions():
        try:
            found = _entries(dist)
        except Exception as error:  # foreign metadata: one unreadable file must not hide all the others
            folder = dist.locate_file("")
            notes.append(f"Entry points of a package in {folder} are left out: {error!r}")
            continue
        if not found:
            continue
        owner = _canonical(found[0][1].dist)
        switched_off = owner != _HOST and not disabled.isdisjoint({owner, "*"})
        if owner not in seen and not switched_off:  # the first on the path is the one that gets imported
            rows += found
        seen.add(owner)
    return rows, notes


def _entries(dist: importlib.metadata.Distribution) -> list[tuple[str, Record]]:
    # Parsing metadata is slow and foreign files may be malformed: look only into those that mention us.
    text = dist.read_text("entry_points.txt")
    if not text or f"{_HOST}." not in text:
        return []
    name, version = dist.metadata["Name"] or "unknown", dist.metadata["Version"] or "unknown"
    builtin = _canonical(name) == _HOST
    return [
        (group, Record(entry.name, entry.value, name, version, builtin))
        for group, entry in itertools.product(GROUPS, dist.entry_points)
        if entry.group == f"{_HOST}.{group}"
    ]


def _resolve_names(rows: Iterable[Record]) -> tuple[dict[str, Record], list[str]]:
    """Give every name to one record and the losers their long name; also the sentences that say so."""
    table: dict[str, Record] = {}
    notes: list[str] = []
    ordered = sorted(set(rows), key=lambda row: (row.name, not row.builtin, row.dist, row.value))
    for name, same in itertools.groupby(ordered, key=lambda row: row.name):
        winner, *losers = same
        losers = [dataclasses.replace(loser, name=f"{loser.dist}/{name}") for loser in losers]
        table |= {loser.name: loser for loser in losers}
        table[name] = dataclasses.replace(winner, shadows=tuple(loser.name for loser in losers))
        if losers:
            notes.append(
                f"{name!r} is offered more than once: {winner.value} from {_origin(winner)} is used; "
                f"ask for {' or '.join(repr(loser.name) for loser in losers)} to get another one."
            )
    return table, notes


def _place(table: dict[str, Record], record: Record) -> None:
    """Put a record of this session into a table; the former owner of the name gets its long name."""
    taken = table.get(record.name)
    shadows = taken.shadows if taken is not None else ()
    if taken is not None and taken.dist != _SESSION:
        loser = dataclasses.replace(taken, name=f"{taken.dist}/{taken.name}", shadows=())
        table[loser.name] = loser
        shadows = (loser.name, *shadows)
    table[record.name] = dataclasses.replace(record, shadows=shadows)


# Loading: from a record to an object that keeps the contract of its group.


def _find(name: str, group: str) -> Record:
    table = _table(group)
    if name in table:
        return table[name]
    known = names(group)
    similar = difflib.get_close_matches(name.lower(), known, n=3)
    elsewhere = [other for other in GROUPS if name in _table(other)]
    if similar:
        hint = f"did you mean {' or '.join(map(repr, similar))}?"
    elif elsewhere:
        hint = f"it is one of the {elsewhere[0]} (group={elsewhere[0]!r})."
    elif _host_version() is None:
        hint = "chaosfit is not installed, so its own names are unknown; run 'pip install -e .' first."
    else:
        hint = f"there are {', '.join(known) or 'none'}."
    raise LookupError(f"{group} have no {name!r}; {hint}")


def _load(record: Record, group: str) -> Record:
    if record.obj is not None or record.error is not None:
        return record
    obj, cause = None, None
    # Without the lock: another thread may hold the import lock of this module and wait for the registry.
    try:
        reason = _unmet_requirement(record)
        if reason is None:
            obj = importlib.metadata.EntryPoint(record.name, record.value, group).load()
            reason = _broken_contract(obj, group)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may call sys.exit, and pytest.skip is no Exception either
        cause, reason = error, f"{type(error).__name__}: {error}"
    if reason is None:
        loaded = dataclasses.replace(record, obj=obj)
    else:
        culprit = f"plugin {record.name!r} = {record.value} from {_origin(record)}"
        failure = PluginError(f"{culprit} cannot be loaded: {reason.rstrip('.')}.")
        failure.__cause__ = cause
        loaded = dataclasses.replace(record, error=failure)
    with _lock:
        table = _tables.get(group, {})
        if table.get(record.name) is record:  # nobody has refreshed or overridden it meanwhile
            table[record.name] = loaded
    return loaded


def _unmet_requirement(record: Record) -> str | None:
    """Why a plugin does not fit the installed chaosfit, from its metadata alone."""
    version = _host_version()
    if record.builtin or version is None:
        return None
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires(record.dist) or ():
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        met = requirement.specifier.contains(version, prereleases=True)
        if _canonical(requirement.name) == _HOST and applies and not met:
            return f"it requires {_HOST}{requirement.specifier}, but {_HOST} {version} is installed"
    return None


def _broken_contract(obj: Any, group: str) -> str | None:
    """Why an object cannot serve in its group; None if it can."""
    shown = getattr(obj, "__name__", repr(obj))
    required = _REQUIRED_METHODS.get(group)
    if required is None:
        return None if callable(obj) else f"expected a callable, got {shown} of type {type(obj).__name__}"
    if not inspect.isclass(obj):
        return f"expected a class, got {shown} of type {type(obj).__name__}"
    missing = [method for method in required if not callable(getattr(obj, method, None))]
    if missing:
        return f"expected a class with {', '.join(required)}; {shown} lacks {', '.join(missing)}"
    # Not inspect.isabstract: the base classes of chaosfit do without the ABC metaclass.
    members = {key: inspect.getattr_static(obj, key, None) for key in dir(obj)}
    hooks = [key for key, member in members.items() if getattr(member, "__isabstractmethod__", False)]
    if hooks:
        return f"{shown} must implement {', '.join(hooks)}"
    written_for = getattr(obj, "chaosfit_api", API)
    known = isinstance(written_for, tuple) and written_for[:1] == API[:1] and written_for <= API
    if not known:
        return f"it was written for version {written_for!r} of the plugin contract, this is version {API!r}"
    return None


def _host_version() -> str | None:
    try:
        return importlib.metadata.version(_HOST)
    except importlib.metadata.PackageNotFoundError:
        return None


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).strip().lower()


def _origin(record: Record) -> str:
    return "this session" if record.dist == _SESSION else f"{record.dist} {record.version}"


# Description.


def _parameters(obj: Callable[..., Any]) -> dict[str, Any] | None:
    """Name to default; None where they cannot be known: a callable without a signature, or ``**kwargs``."""
    try:
        found = inspect.signature(obj).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = {each.kind for each in found}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return None
    return {each.name: each.default for each in found if each.kind is not inspect.Parameter.VAR_POSITIONAL}


def _default(value: Any) -> str:
    return "(required)" if value is inspect.Parameter.empty else repr(value)


def _capabilities(obj: type) -> tuple[str, ...]:
    # Some methods exist depending on a parameter, and tags belong to instances: look at the default one.
    try:
        specimen = obj()
        control = bool(specimen.__sklearn_tags__().dynamics_tags.control)
    except (TypeError, AttributeError):  # a required parameter, or a class with scikit-learn's plain tags
        specimen, control = obj, False
    found = [method for method in _CAPABILITIES if hasattr(specimen, method)]
    return (*found, "control") if control else tuple(found)
