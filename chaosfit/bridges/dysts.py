"""The flows, maps and delay equations of the dysts collection as systems of chaosfit."""

from __future__ import annotations

import difflib
import functools
import json
import re
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from chaosfit.numerics.trace import Tape, TraceError, trace
from chaosfit.systems.delays import DelayFlow
from chaosfit.systems.invariants import measured
from chaosfit.systems.system import BACKENDS, Flow, Map, System, central_differences

__all__ = ["DystsDelay", "DystsFlow", "DystsMap", "DystsSystem", "describe_dysts", "dysts_names"]

_KINDS = ("flow", "delay", "map")
# A map that has the name of a flow.
_RENAMED = {"DuffingMap": "Duffing"}


def dysts_names(kind: str | None = None) -> list[str]:
    """Names of the systems of the installed dysts, sorted.

    Reads files only; dysts itself is not imported. The map Duffing is called DuffingMap, since a flow has that name.

    Parameters
    ----------
    kind : {"flow", "delay", "map"}, optional
        Default: all.

    Examples
    --------
    >>> from chaosfit.bridges.dysts import dysts_names
    >>> "Lorenz" in dysts_names("flow"), "Henon" in dysts_names("map"), "MackeyGlass" in dysts_names("delay")
    (True, True, True)
    """
    if kind is not None and kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    return sorted(name for name, (each, _) in _database().items() if kind in (None, each))


def describe_dysts(name: str) -> str:
    """Text about one system of dysts: what it is, its parameters and its measured invariants.

    Examples
    --------
    >>> from chaosfit.bridges.dysts import describe_dysts
    >>> print(describe_dysts("Henon").splitlines()[0])
    Henon: a map of 2 variables, from dysts
    """
    system = DystsSystem(name)
    lines = [f"{name}: a {system.kind} of {system.dim} variable{'s' * (system.dim > 1)}, from dysts"]
    if system.kind != "map":
        lines += [f"period {system.period:.6g}, time between samples {system.dt:.6g}"]
    lines += ["", "parameters:", *(f"    {key} = {value}" for key, value in system.parameters.items())]
    known = measured(name, system.parameters)
    if known is not None:
        pairs = zip(known.exponents, known.standard_errors, strict=True)
        lines += ["", "Lyapunov exponents and standard errors, measured by chaosfit:"]
        lines += [f"    {value:11.5g} +- {error:.2g}" for value, error in pairs]
        if known.kaplan_yorke_dimension is not None:
            lines += [f"Kaplan-Yorke dimension: {known.kaplan_yorke_dimension:.4g}"]
        lines += [] if known.is_chaotic else ["not distinguishable from non-chaotic"]
    return "\n".join([*lines, "", "reference:", f"    {system.reference.strip()}"])


@dataclass(frozen=True)
class DystsSystem(System):
    """A system of the dysts collection by name, with its published parameters.

    ``DystsSystem("Lorenz")`` is a `Flow`, ``DystsSystem("Henon")`` a `Map`, ``DystsSystem("MackeyGlass")`` a
    `DelayFlow`. The equations are dysts', recorded once as elementary operations (see :mod:`chaosfit.numerics.trace`)
    and checked against the original; the integration is chaosfit's. States are the raw variables of the equations: the
    18 flows that dysts wraps to a bounded domain after the integration are not wrapped here. The transient is 20
    periods, 1000 iterations of a map; random starts deviate from the documented one by 1 % of the standard deviation of
    the attractor, 0.1 % of the documented start for maps, which hardly changes the energy of conservative systems.

    Parameters
    ----------
    name : str
        One of :func:`dysts_names`.
    tolerance : float
        Flows: relative and absolute error of the integration.
    backend : {"taylor", "numba", "heyoka", "dop853"}
        Flows: how they are integrated, see :func:`chaosfit.systems.integrate.integrate`.
    max_step : float
        Delay equations: upper limit of the time step, at most a five-hundredth of the period.

    Attributes
    ----------
    kind : str
        "flow", "delay" or "map".
    period : float
        Dominant period, 1 for maps; ``dt = period / 100``, for maps 1.
    published_exponents, published_dimension
        Chaosfit's own measurement, see :mod:`chaosfit.systems.invariants`; None for another version of the parameters.
    is_chaotic : bool or None
        Whether the largest exponent is positive beyond three standard errors; None if it was not measured.
    lyapunov_exponent : float or None
        None also where the system is not known to be chaotic.
    database_lyapunov_exponents : tuple of float
        Spectrum as stored in dysts, empty where it has none. Off by factors up to four, therefore not used.
    database_lyapunov_exponent : float
        The separate database estimate of the largest exponent, NaN where there is none; it often contradicts the
        spectrum.
    reference : str
        Citation from the database.

    Raises
    ------
    ImportError
        If dysts is not installed.
    LookupError
        For an unknown name.

    References
    ----------
    Gilpin, NeurIPS Datasets and Benchmarks, 2021, arXiv:2110.05266.

    Examples
    --------
    >>> from chaosfit.bridges.dysts import DystsSystem
    >>> halvorsen = DystsSystem("Halvorsen")
    >>> halvorsen.simulate(200, transient=0.0, random_state=0).shape
    (200, 3)
    """

    name: str
    period: float = field(init=False, repr=False, compare=False)
    is_chaotic: bool | None = field(init=False, repr=False, compare=False)
    _start: np.ndarray = field(init=False, repr=False, compare=False)
    _equations: _Equations = field(init=False, repr=False, compare=False)
    kind = ""

    def __new__(cls, name: str = "", **options: Any):
        """Make an object of the class that the kind of the system asks for."""
        if cls is not DystsSystem:
            return object.__new__(cls)
        if name not in _database():
            nearest = difflib.get_close_matches(name, _database(), n=3) or dysts_names()[:3]
            raise LookupError(f"dysts has no system {name!r}; nearest names: {', '.join(nearest)}")
        kinds: dict[str, Any] = {"flow": DystsFlow, "delay": DystsDelay, "map": DystsMap}
        return object.__new__(kinds[_database()[name][0]])

    def __reduce__(self):
        options = {each.name: getattr(self, each.name) for each in fields(self) if each.init and each.name != "name"}
        return _restored, (self.name, options)

    def _set(self, **attributes: Any) -> None:
        for key, value in attributes.items():
            object.__setattr__(self, key, value)

    def _read_database(self) -> None:
        """Take what dysts and the table of invariants know."""
        entry = _database()[self.name][1]
        start = np.atleast_1d(np.asarray(entry["initial_conditions"], float)).ravel()
        self._set(
            _start=start[:1] if self.kind == "delay" else start,
            _equations=_equations(self.name),
            database_lyapunov_exponents=tuple(entry.get("lyapunov_spectrum_estimated") or ()),
            database_lyapunov_exponent=float(entry.get("maximum_lyapunov_estimated", np.nan)),
            reference=entry["citation"],
        )
        known = measured(self.name, self.parameters)
        self._set(is_chaotic=None if known is None else known.is_chaotic)
        if known is not None:
            self._set(published_exponents=known.exponents, published_dimension=known.kaplan_yorke_dimension)
        if self.kind != "map":
            period = float(entry["period"])
            self._set(period=period, dt=period / 100.0, transient=20.0 * period)
            self._set(initial_spread=0.01 * np.asarray(entry["std"], float)[: self.dim])

    @property
    def dim(self) -> int:
        """Number of variables."""
        return len(self._start)

    @property
    def initial_state(self) -> np.ndarray:
        """Documented start."""
        return self._start

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the equations by name."""
        return dict(self._equations.parameters)

    @property
    def is_published(self) -> bool:
        """Whether exponents were measured for these parameters."""
        return self.published_exponents is not None

    @property
    def lyapunov_exponent(self) -> float | None:
        """Largest measured exponent; None where it is not distinguishable from zero."""
        return super().lyapunov_exponent if self.is_chaotic else None


@dataclass(frozen=True)
class DystsFlow(DystsSystem, Flow):
    """A flow of dysts; made by ``DystsSystem(name)``."""

    backend: str = field(default="taylor", kw_only=True)
    kind = "flow"

    def __post_init__(self) -> None:
        """Read the equations."""
        if self.tolerance <= 0.0:
            raise ValueError(f"{self!r}: tolerance must be > 0")
        if self.backend not in BACKENDS:
            raise ValueError(f"{self!r}: backend must be one of {', '.join(BACKENDS)}")
        self._read_database()
        self._set(time_dependent=self.tape is None or self.tape.time_dependent)

    @property
    def tape(self) -> Tape | None:
        """The right-hand side as elementary operations; None where it cannot be recorded."""
        return self._equations.tape

    def rhs(self, X, *time):
        """Time derivative of every row at the times (n,), which only time-dependent flows look at."""
        return self._equations.values(X, *time)

    def jacobian(self, X, *time):
        return self._equations.jacobian(X, *time).reshape(len(X), self.dim, self.dim)


@dataclass(frozen=True)
class DystsMap(DystsSystem, Map):
    """A map of dysts; made by ``DystsSystem(name)``."""

    kind = "map"
    period = 1.0
    transient = 1000.0

    def __post_init__(self) -> None:
        """Read the equations."""
        self._read_database()
        self._set(initial_spread=1e-3 * np.maximum(np.abs(self._start), 0.1))

    def step(self, X):
        return self._equations.values(X)

    def jacobian(self, X):
        return self._equations.jacobian(X).reshape(len(X), self.dim, self.dim)


@dataclass(frozen=True)
class DystsDelay(DystsSystem, DelayFlow):
    """A delay equation of dysts, of which one point is observed; made by ``DystsSystem(name)``."""

    tau: float = field(init=False, repr=False, compare=False)
    max_step: float = field(default=0.05, kw_only=True)
    kind = "delay"

    def __post_init__(self) -> None:
        """Read the equations; the delay is one of their parameters."""
        if self.max_step <= 0.0:
            raise ValueError(f"{self!r}: max_step must be > 0")
        self._read_database()
        self._set(tau=float(self.parameters["tau"]), max_step=min(self.max_step, self.period / 500.0))

    def rhs(self, X, X_delayed):
        return self._equations.values(np.concatenate([X, X_delayed], axis=1))[:, :1]

    def jacobians(self, X, X_delayed):
        both = self._equations.jacobian(np.concatenate([X, X_delayed], axis=1))
        return both[:, :1, None], both[:, 1:2, None]


def _restored(name: str, options: dict[str, Any]) -> DystsSystem:
    return DystsSystem(name, **options)


# ---------------------------------------------------------------------- what dysts says
@dataclass(frozen=True)
class _Equations:
    """The equations of one system, read once per process; no `tape` where they cannot be recorded."""

    parameters: dict[str, Any]
    tape: Tape | None
    values: Any
    jacobian: Any


@functools.cache
def _database() -> dict[str, tuple[str, dict[str, Any]]]:
    """Kind and metadata of every system that exists as code; the metadata name three maps that do not."""
    spec = find_spec("dysts")
    if spec is None or spec.origin is None:
        raise ImportError('the systems of dysts need the package dysts: pip install "chaosfit[dysts]"')
    folder = Path(spec.origin).parent
    flows, maps = (
        json.loads((folder / "data" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("chaotic_attractors", "discrete_maps")
    )
    written = re.findall(r"^class (\w+)\(", (folder / "maps.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {name: ("delay" if entry["delay"] else "flow", entry) for name, entry in flows.items()}
    known_as = {original: name for name, original in _RENAMED.items()}
    return found | {known_as.get(name, name): ("map", maps[name]) for name in maps if name in written}


@functools.cache
def _equations(name: str) -> _Equations:
    kind = _database()[name][0]
    with _untouched_global_state():
        import dysts.flows
        import dysts.maps

        model = _plain(getattr(dysts.maps if kind == "map" else dysts.flows, _RENAMED.get(name, name)))()
    start = np.atleast_1d(np.asarray(_database()[name][1]["initial_conditions"], float)).ravel()
    if kind == "flow":
        return _recorded(name, model, lambda x, time: model.rhs(x, time), start)
    if kind == "map":
        return _recorded(name, model, lambda x, time: model._rhs(*x, *model.param_list), start)
    return _recorded(name, model, lambda x, time: [model._rhs(*x, time, *model.param_list), 0.0], start[:2])


def _recorded(name: str, model: Any, function: Any, start: np.ndarray) -> _Equations:
    """Record a function and check the record against it near the start."""
    parameters = dict(model.params)

    def rows(X: np.ndarray, time: np.ndarray | None = None) -> np.ndarray:
        time = np.zeros(len(X)) if time is None else time
        return np.array([np.ravel(function(x, t)) for x, t in zip(X, time, strict=True)], float)

    try:
        tape = trace(function, len(start))
    except TraceError:
        return _Equations(parameters, None, rows, functools.partial(central_differences, rows))
    rng = np.random.default_rng(0)
    X, time = start * (1.0 + 0.01 * rng.standard_normal((7, len(start)))), rng.random(7)
    with np.errstate(all="ignore"):
        if not np.allclose(tape.function(X, time), rows(X, time), rtol=1e-9, atol=1e-12, equal_nan=True):
            raise RuntimeError(f"the recorded equations of {name} differ from those of the installed dysts")
    return _Equations(parameters, tape, tape.function, tape.jacobian().function)


def _plain(model: type) -> type:
    """The class with plain Python functions: without numba's, and with a `max` that understands symbols."""
    methods: dict[str, Any] = {}
    for owner in reversed(model.__mro__):
        for key, value in vars(owner).items():
            function = getattr(value, "__func__", value)
            function = getattr(function, "__func__", function)
            function = getattr(function, "py_func", function)
            if isinstance(function, types.FunctionType) and function.__module__ == model.__module__:
                namespace = {**function.__globals__, "max": np.maximum}
                plain = types.FunctionType(
                    function.__code__, namespace, key, function.__defaults__, function.__closure__
                )
                methods[key] = staticmethod(plain) if isinstance(value, staticmethod) else plain
    return type(model.__name__, (model,), methods)


@contextmanager
def _untouched_global_state() -> Iterator[None]:
    """Keep numpy's global generator as it was, and quiet: dysts seeds it and warns that numba is missing."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
