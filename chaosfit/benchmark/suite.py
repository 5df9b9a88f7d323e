"""Suites: data files that fully determine data, splits, budgets and seeds of a benchmark.

A suite is a TOML file with the keys ``name`` and ``description`` and these tables::

    [protocol]
    n_train = 2000          # rows; a list makes one setting of each value
    n_context = 200         # 0: one forecast, which goes on from the last training row
    n_starts = 10
    horizon = 10.0          # Lyapunov times ...
    max_steps = 1000        # ... but not more steps than this
    score = 2.0             # Lyapunov times over which nRMSE and sMAPE are taken
    unit = "Lyapunov times" # or "rows": of horizon and score
    noise = 0.0             # standard deviations on training rows and contexts; a list makes settings
    noisy_truth = false     # whether the truth has the noise, too
    chosen_on = "context"   # "train": methods that choose do so on another trajectory; a list makes settings
    threshold = 0.4
    random_state = [0, 1]   # one trajectory, noise and estimator seed each

    [limits]                # of one task; see `Limits`
    seconds = 60.0
    gibibytes = 4.0

    [[systems]]
    name = "Lorenz"
    dt = 0.015              # or period = 1.5, of which protocol.rows_per_period makes the step
    lyapunov_exponent = 0.906  # a system without one is left out where the unit is Lyapunov times
    family = "Lorenz"       # relatives are resampled together; default: the name
    observed = [0]          # variables that are shown and forecast; default: all, or protocol.observed

Instead of its own, a suite may take the systems of another one, ``systems = "core-109"``, but those it names under
``exclude``. Or it takes recorded series by their names, ``systems = ["Lorenz", "Rossler"]``, with::

    [data]
    file = "series.npz"     # in the data folder, see `chaosfit.benchmark.recorded`
    series = "test"         # array (n_systems, n) in it, or "{name}": one array for every system
    tuning = "train"        # the same, for chosen_on = "train"
    names = "systems"       # array of the names

Or it takes pairs of the Common Task Framework, see `chaosfit.benchmark.pairs`, each recorded or simulated::

    [[pairs]]
    number = 3              # says what is asked for and judged
    dt = 0.05
    file = "lorenz.npz"     # in the data folder
    train = ["X2train"]     # arrays in it; the truth continues the last one
    truth = "X3test"

    [[pairs]]
    number = 7
    dt = 0.05
    system = "lorenz63"
    parameters = [{ rho = 33.7 }]  # one set for each training series; the truth continues the last one
    n_train = [100]
    n_truth = 1000
    noise = 1.0             # on the training rows, in the units of the variables; default: none

Then ``[protocol]`` holds ``random_state`` alone.

A table ``[published]``, see `Published`, puts published scores beside those of the run. All settings of one system and
seed are judged on the same rows, the last of one trajectory.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import itertools
import os
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from chaosfit import registry
from chaosfit.benchmark.data import find_system
from chaosfit.benchmark.methods import portable
from chaosfit.benchmark.pairs import make_pair
from chaosfit.benchmark.protocol import Protocol
from chaosfit.benchmark.recorded import Published, Recorded, data_file, read_array
from chaosfit.benchmark.task import Limits, Task
from chaosfit.metrics.ctf import CTF_SCORES
from chaosfit.systems.system import Map

_KEYS = ("name", "description", "protocol", "limits", "systems", "exclude", "data", "families", "pairs", "published")
_MAY_BE_ZERO = ("noise", "random_state", "n_context")
# Added to the seed of a trajectory for that of the independent one.
_OTHER_SEED = 1_000_003
_UNITS = ("Lyapunov times", "rows")
_PROTOCOL_KEYS = (
    "n_train",
    "n_context",
    "n_starts",
    "horizon",
    "max_steps",
    "score",
    "noise",
    "threshold",
    "random_state",
    "unit",
    "noisy_truth",
    "chosen_on",
    "rows_per_period",
    "observed",
)
_REQUIRED = ("n_train", "n_context", "n_starts", "horizon", "score", "random_state")
_DEFAULTS: dict[str, Any] = {
    "noise": 0.0,
    "threshold": 0.4,
    "unit": _UNITS[0],
    "noisy_truth": False,
    "chosen_on": "context",
    "rows_per_period": 100,
}


@dataclasses.dataclass(frozen=True)
class SuiteSystem:
    """One system of a suite: how it is sampled and observed."""

    name: str
    dt: float | None
    lyapunov_exponent: float | None
    family: str
    observed: tuple[int, ...] | None = None

    @property
    def lyapunov_steps(self) -> float | None:
        """Number of rows in one Lyapunov time; None if the suite counts rows."""
        return 1.0 / (self.lyapunov_exponent * self.dt) if self.lyapunov_exponent and self.dt else None


@dataclasses.dataclass(frozen=True)
class Simulation:
    """Rows of a system that are computed when they are first needed, in whichever process that is.

    Stands wherever a `Dataset` does; its fingerprint is that of the recipe, so that resuming a run costs no
    simulation.
    """

    system: SuiteSystem
    random_state: int
    n_rows: int
    n_total: int

    @property
    def tuning(self) -> np.ndarray:
        """As many rows of an independent trajectory, for methods that choose."""
        return _simulated(self.system, self.random_state + _OTHER_SEED, self.n_rows)

    @property
    def X(self) -> np.ndarray:
        """The last `n_rows` of `n_total` simulated rows, shape (n_rows, d)."""
        return _simulated(self.system, self.random_state, self.n_total)[-self.n_rows :]

    @property
    def columns(self) -> tuple[str, ...]:
        """One name per variable."""
        shown = self.system.observed if self.system.observed is not None else range(self.X.shape[1])
        return tuple(f"x{i}" for i in shown)

    @property
    def name(self) -> str:
        """Name of the system."""
        return self.system.name

    @property
    def dt(self) -> float | None:
        """Time between two rows."""
        return self.system.dt

    @property
    def discrete_time(self) -> bool:
        """Whether the system is a map."""
        return _is_map(self.system.name)

    @property
    def lyapunov_exponent(self) -> float | None:
        """Largest exponent per unit of time; None if the suite counts rows."""
        return self.system.lyapunov_exponent

    @property
    def lyapunov_steps(self) -> float | None:
        """Number of rows in one Lyapunov time; None if the suite counts rows."""
        return self.system.lyapunov_steps

    @property
    def exponent_source(self) -> str:
        """Where the exponent comes from."""
        return "the suite"

    @property
    def source(self) -> str:
        """What is simulated."""
        return f"{self.name}, dt={self.dt:g}, random_state={self.random_state}, last {self.n_rows} of {self.n_total}"

    @property
    def fingerprint(self) -> str:
        """Hash of the recipe."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@functools.cache
def _is_map(name: str) -> bool:
    # The flows of dysts are slow to make, and all are flows.
    return name in registry.names("systems") and isinstance(find_system(name), Map)


def _simulated(system: SuiteSystem, random_state: int, n_rows: int) -> np.ndarray:
    rows = _simulate(system.name, system.dt, random_state, n_rows)
    return rows if system.observed is None else rows[:, system.observed]


# Methods follow each other on the same rows, so a process needs few trajectories at a time.
@functools.lru_cache(maxsize=2)
def _simulate(name: str, dt: float, random_state: int, n_rows: int) -> np.ndarray:
    return find_system(name).simulate(n_rows, dt=dt, random_state=random_state)


@dataclasses.dataclass(frozen=True)
class Suite:
    """A benchmark: systems, settings, seeds and limits; `load_suite` reads one.

    Attributes
    ----------
    name, description : str
    systems : tuple of SuiteSystem
    protocol : dict
        As in the file; `n_train`, `noise` and `random_state` may be lists.
    limits : Limits
    text : str
        The file itself.
    recording : dict or None
        The table ``data`` of a suite of recorded series.
    published : Published or None
    pairs : tuple of dict
        The tables ``pairs`` of a suite of the Common Task Framework; then `systems` are their names.
    """

    name: str
    description: str
    systems: tuple[SuiteSystem, ...]
    protocol: dict[str, Any]
    limits: Limits
    text: str = dataclasses.field(repr=False)
    recording: dict[str, str] | None = None
    published: Published | None = None
    pairs: tuple[dict[str, Any], ...] = ()

    def tasks(self, methods: Mapping[str, BaseEstimator | Exception]) -> list[Task]:
        """Return one task per system, seed, setting and method, those on the same rows next to each other."""
        travelling = {label: portable(estimator) for label, estimator in methods.items()}
        return [
            Task(label, estimator, data, protocol)
            for data, protocol in self.cases()
            for label, estimator in travelling.items()
        ]

    def cases(self) -> Iterable[tuple[Any, Protocol]]:
        """Yield data and protocol of every system, seed and setting.

        Of recorded series only those that the file in the data folder holds.
        """
        given = self.protocol
        if self.pairs:
            for entry, seed in itertools.product(self.pairs, _as_list(given["random_state"])):
                pair = make_pair(entry, seed)
                yield pair, pair.protocol(seed)
            return
        lengths, noises, choices, seeds = (
            _as_list(given[key]) for key in ("n_train", "noise", "chosen_on", "random_state")
        )
        recorded = None if self.recording is None else _recorded(self.recording, self.systems)
        for system, seed in itertools.product(self.systems, seeds):
            if recorded is not None and system.name not in recorded:
                continue
            steps = system.lyapunov_steps or 1.0
            horizon = min(given.get("max_steps", 10**9), max(1, round(given["horizon"] * steps)))
            score_steps = min(horizon, max(1, round(given["score"] * steps)))
            for n_train, noise, choice in itertools.product(lengths, noises, choices):
                protocol = Protocol(
                    n_train,
                    given["n_context"],
                    given["n_starts"],
                    horizon,
                    score_steps,
                    float(noise),
                    given["threshold"],
                    random_state=seed,
                    noisy_truth=given["noisy_truth"],
                    chosen_on=choice,
                )
                if recorded is not None:
                    yield recorded[system.name], protocol
                else:
                    n_total = protocol.n_rows + max(lengths) - n_train
                    yield Simulation(system, seed, protocol.n_rows, n_total), protocol


def _recorded(recording: dict[str, str], systems: Iterable[SuiteSystem]) -> dict[str, Recorded]:
    """Return the series that are in the file, by the name of the system."""
    path = str(data_file(recording["file"]))
    names = [str(name) for name in read_array(path, recording["names"])]
    several = "{name}" in recording["series"]

    def series(system: SuiteSystem) -> Recorded:
        keys = [recording[key].format(name=system.name) for key in ("series", "tuning") if key in recording]
        row = None if several else names.index(system.name)
        return Recorded(system.name, path, tuple(keys[:1]), tuple(keys[1:]), row)

    return {system.name: series(system) for system in systems if system.name in names}


def suite_names() -> list[str]:
    """Names of the suites that come with chaosfit, sorted.

    Examples
    --------
    >>> suite_names()[-2:]
    ['univariate-15-noise', 'zero-shot']
    """
    folder = resources.files("chaosfit.benchmark").joinpath("suites")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_suite(source: str | os.PathLike) -> Suite:
    """Read a suite, and check all of it before anything is computed.

    Parameters
    ----------
    source : str or path
        One of `suite_names`, or the path of a TOML file.

    Raises
    ------
    LookupError
        For an unknown suite or system; the message suggests names.
    ValueError
        For a file that is no suite; the message names the key.

    Examples
    --------
    >>> suite = load_suite("smoke-8")
    >>> len(suite.systems)
    8
    """
    path = Path(source)
    if path.suffix == ".toml" or os.sep in str(source):
        if not path.is_file():
            raise FileNotFoundError(f"cannot read the suite {path}: there is no such file.")
        return read_suite(path.read_text(encoding="utf-8"), str(path))
    try:
        return read_suite(_packaged(str(source)), str(source))
    except LookupError as error:
        if str(source) in suite_names():
            raise
        raise LookupError(f"{error.args[0]}. A file is named by its path, which ends in .toml.") from None


def read_suite(text: str, where: str = "suite") -> Suite:
    """Make a suite of the text of its file; `where` goes into the messages."""
    try:
        content = tomllib.loads(text)
        _check_keys("", content, _KEYS, required=("name", "protocol", "pairs" if "pairs" in content else "systems"))
        pairs = tuple(_read_pair(entry) for entry in content.get("pairs", ()))
        protocol = (_check_pairs_protocol if pairs else _check_protocol)(content["protocol"])
        recording = content.get("data")
        if recording is not None:
            _check_keys("data.", recording, ("file", "series", "tuning", "names"), required=("file", "series", "names"))
        systems = _systems_of(pairs) or _read_systems(content, protocol)
        _check_unique([system.name for system in systems])
        limits = Limits(**_checked_limits(content.get("limits", {})))
        published = _read_published(content["published"]) if "published" in content else None
    except LookupError as error:
        raise LookupError(f"{where}: {error.args[0]}.") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}.") from None
    described = str(content["name"]), str(content.get("description", ""))
    return Suite(*described, systems, protocol, limits, text, recording, published, pairs)


def _packaged(name: str) -> str:
    """Return the text of a suite that comes with chaosfit."""
    if name not in suite_names():
        raise LookupError(f"there is no suite {name!r}; {_nearest(name, suite_names())}")
    return resources.files("chaosfit.benchmark").joinpath("suites", f"{name}.toml").read_text(encoding="utf-8")


def _read_systems(content: dict[str, Any], protocol: dict[str, Any]) -> tuple[SuiteSystem, ...]:
    given, excluded = content["systems"], content.get("exclude", [])
    if not isinstance(given, list | str) or not given:
        raise ValueError("systems must be a list of tables, written as [[systems]], or of names, or name a suite")
    if "data" in content:
        families = {member: family for family, members in content.get("families", {}).items() for member in members}
        return tuple(SuiteSystem(str(name), None, None, families.get(name, str(name))) for name in given)
    if isinstance(given, str):
        given = tomllib.loads(_packaged(given))["systems"]
        known = [entry["name"] for entry in given]
        for name in excluded:
            if name not in known:
                raise LookupError(f"exclude names {name!r}, which is not there; {_nearest(name, known)}")
        given = [entry for entry in given if entry["name"] not in excluded]
    systems = [_read_system(entry, protocol) for entry in given]
    kept = tuple(s for s in systems if protocol["unit"] == "rows" or s.lyapunov_exponent is not None)
    if not kept:
        raise ValueError('no system has a lyapunov_exponent; give it, or set protocol.unit = "rows"')
    return kept


def _read_system(entry: dict[str, Any], protocol: dict[str, Any]) -> SuiteSystem:
    _check_keys(
        "systems.", entry, ("name", "dt", "period", "lyapunov_exponent", "family", "observed"), required=("name",)
    )
    name = entry["name"]
    if ("dt" in entry) == ("period" in entry):
        raise ValueError(f"{name} must have one of the keys dt and period")
    if name not in registry.names("systems"):
        from chaosfit.bridges.dysts import dysts_names

        if name not in dysts_names():
            known = [*registry.names("systems"), *dysts_names()]
            raise LookupError(f"there is no system {name!r}; {_nearest(str(name), known)}")
    for key in ("dt", "period", "lyapunov_exponent"):
        if key in entry:
            _check_number(f"{key} of {name}", entry[key], float)
    observed = entry.get("observed", protocol.get("observed"))
    if observed is not None:
        for index in _as_list(observed):
            _check_number(f"observed of {name}", index, int, least=0)
        observed = tuple(_as_list(observed))
    dt = float(entry["dt"]) if "dt" in entry else float(entry["period"]) / protocol["rows_per_period"]
    exponent = None
    if "lyapunov_exponent" in entry and protocol["unit"] != "rows":
        exponent = float(entry["lyapunov_exponent"])
    return SuiteSystem(name, dt, exponent, str(entry.get("family", name)), observed)


def _read_pair(entry: dict[str, Any]) -> dict[str, Any]:
    """Check the table of a pair."""
    recorded = isinstance(entry, dict) and "file" in entry
    own = ("file", "train", "truth") if recorded else ("system", "parameters", "n_train", "n_truth")
    optional = () if recorded else ("noise",)
    _check_keys("pairs.", entry, ("number", "dt", *own, *optional), required=("number", "dt", *own))
    name = f"pair {entry['number']}"
    if entry["number"] not in {number for number, _ in CTF_SCORES.values()}:
        raise ValueError(f"pairs.number must be an integer from 1 to 9, got {entry['number']!r}")
    _check_number(f"dt of {name}", entry["dt"], float)
    for key in ("train", "parameters", "n_train"):
        if key in own and (not isinstance(entry[key], list) or not entry[key]):
            raise ValueError(f"{key} of {name} must be a list with one entry for each training series")
    if not recorded:
        if len(entry["parameters"]) != len(entry["n_train"]):
            raise ValueError(f"parameters and n_train of {name} must have one entry each for every training series")
        for n_rows in entry["n_train"]:
            _check_number(f"n_train of {name}", n_rows, int)
        _check_number(f"n_truth of {name}", entry["n_truth"], int, least=0)
        _check_number(f"noise of {name}", entry.get("noise", 0.0), float, least=0)
        if entry["system"] not in registry.names("systems"):
            names = registry.names("systems")
            raise LookupError(f"there is no system {entry['system']!r}; {_nearest(str(entry['system']), names)}")
    return entry


def _systems_of(pairs: Iterable[dict[str, Any]]) -> tuple[SuiteSystem, ...]:
    names = [f"pair {entry['number']}" for entry in pairs]
    return tuple(SuiteSystem(name, entry["dt"], None, name) for name, entry in zip(names, pairs, strict=True))


def _read_published(given: dict[str, Any]) -> Published:
    keys = tuple(field.name for field in dataclasses.fields(Published))
    needed = ("table",) if "table" in given else ("file", "models")
    _check_keys("published.", given, keys, required=("score", "protocol", "identical", *needed))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return Published(**values)


def _check_pairs_protocol(given: dict[str, Any]) -> dict[str, Any]:
    """Check the protocol of a suite of pairs: the rest of it is that of every pair."""
    _check_keys("protocol.", given, ("random_state",), required=("random_state",))
    for seed in _as_list(given["random_state"]):
        _check_number("protocol.random_state", seed, int, least=0)
    return given | {"unit": "rows"}


def _check_protocol(given: dict[str, Any]) -> dict[str, Any]:
    _check_keys("protocol.", given, _PROTOCOL_KEYS, required=_REQUIRED)
    protocol = _DEFAULTS | given
    if protocol["unit"] not in _UNITS:
        raise ValueError(f"protocol.unit must be one of {', '.join(map(repr, _UNITS))}, got {protocol['unit']!r}")
    if protocol["unit"] != "rows" and "max_steps" not in protocol:
        raise ValueError("the key protocol.max_steps is missing")
    if protocol["n_context"] == 0 and protocol["n_starts"] != 1:
        raise ValueError("protocol.n_starts must be 1 where n_context = 0: there is one end of the training rows")
    for choice in _as_list(protocol["chosen_on"]):
        if choice not in ("context", "train"):
            raise ValueError(f"protocol.chosen_on must be 'context' or 'train', got {choice!r}")
    if not isinstance(protocol["noisy_truth"], bool):
        raise ValueError(f"protocol.noisy_truth must be true or false, got {protocol['noisy_truth']!r}")
    for key, value in protocol.items():
        if key in ("unit", "chosen_on", "noisy_truth", "observed"):
            continue
        kind = float if key in ("horizon", "score", "noise", "threshold") else int
        several = key in ("n_train", "noise", "random_state")
        if isinstance(value, list) and (not several or not value):
            expected = "one number, or a list of them" if several else "one number"
            raise ValueError(f"protocol.{key} must be {expected}, got {value!r}")
        if len(set(_as_list(value))) < len(_as_list(value)):
            raise ValueError(f"protocol.{key} holds a number more than once, got {value!r}")
        for each in _as_list(value):
            _check_number(f"protocol.{key}", each, kind, least=0 if key in _MAY_BE_ZERO else None)
    return protocol


def _checked_limits(given: dict[str, Any]) -> dict[str, float]:
    _check_keys("limits.", given, tuple(field.name for field in dataclasses.fields(Limits)))
    for key, value in given.items():
        _check_number(f"limits.{key}", value, float)
    return given


def _check_keys(table: str, given: Any, known: tuple[str, ...], required: tuple[str, ...] = ()) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"{table.rstrip('.')} must be a table, got {given!r}")
    for key in given:
        if key not in known:
            raise ValueError(f"there is no key {table}{key}; {_nearest(key, known)}")
    for key in required:
        if key not in given:
            raise ValueError(f"the key {table}{key} is missing")


def _check_number(name: str, value: Any, kind: type, least: int | None = None) -> None:
    """Require a finite number > 0, or >= `least`; an integer where `kind` is int."""
    accepted = int if kind is int else (int, float)
    large_enough = isinstance(value, accepted) and (value > 0 if least is None else value >= least)
    if isinstance(value, bool) or not large_enough or value == float("inf"):
        what = "an integer" if kind is int else "a finite number"
        raise ValueError(f"{name} must be {what} {'> 0' if least is None else f'>= {least}'}, got {value!r}")


def _check_unique(names: list[str]) -> None:
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"the system {repeated[0]} is there more than once")


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"nearest names: {', '.join(difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:8])}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
