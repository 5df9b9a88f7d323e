"""Suites: data files that fully determine data, splits, budgets and seeds of a benchmark.

A suite is a TOML file with the keys ``name`` and ``description`` and three tables::

    [protocol]
    n_train = 2000          # rows; a list makes one setting of each value
    n_context = 200
    n_starts = 10
    horizon = 10.0          # Lyapunov times ...
    max_steps = 1000        # ... but not more steps than this
    score = 2.0             # Lyapunov times over which nRMSE and sMAPE are taken
    noise = 0.0             # standard deviations on training rows and contexts; a list makes settings
    threshold = 0.4
    random_state = [0, 1]   # one trajectory, noise and estimator seed each

    [limits]                # of one task; see `Limits`
    seconds = 60.0
    gibibytes = 4.0

    [[systems]]
    name = "Lorenz"
    dt = 0.015
    lyapunov_exponent = 0.906
    family = "Lorenz"       # relatives are resampled together; default: the name
    observed = [0]          # variables that are shown and forecast; default: all

All settings of one system and seed are judged on the same rows, the last of one trajectory.
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
from chaosfit.benchmark.protocol import Protocol
from chaosfit.benchmark.runner import Limits
from chaosfit.benchmark.task import Task
from chaosfit.systems.system import Map

_KEYS = ("name", "description", "protocol", "limits", "systems")
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
)
_REQUIRED = ("n_train", "n_context", "n_starts", "horizon", "max_steps", "score", "random_state")


@dataclasses.dataclass(frozen=True)
class SuiteSystem:
    """One system of a suite: how it is sampled and observed."""

    name: str
    dt: float
    lyapunov_exponent: float
    family: str
    observed: tuple[int, ...] | None = None


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
    def X(self) -> np.ndarray:
        """The last `n_rows` of `n_total` simulated rows, shape (n_rows, d)."""
        rows = _simulate(self.system.name, self.system.dt, self.random_state, self.n_total)[-self.n_rows :]
        return rows if self.system.observed is None else rows[:, self.system.observed]

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
    def dt(self) -> float:
        """Time between two rows."""
        return self.system.dt

    @property
    def discrete_time(self) -> bool:
        """Whether the system is a map."""
        return _is_map(self.system.name)

    @property
    def lyapunov_exponent(self) -> float:
        """Largest exponent per unit of time."""
        return self.system.lyapunov_exponent

    @property
    def lyapunov_steps(self) -> float:
        """Number of rows in one Lyapunov time."""
        return 1.0 / (self.system.lyapunov_exponent * self.system.dt)

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
    """

    name: str
    description: str
    systems: tuple[SuiteSystem, ...]
    protocol: dict[str, Any]
    limits: Limits
    text: str = dataclasses.field(repr=False)

    def tasks(self, methods: Mapping[str, BaseEstimator | Exception]) -> list[Task]:
        """Return one task per system, seed, setting and method, those on the same rows next to each other."""
        travelling = {label: portable(estimator) for label, estimator in methods.items()}
        return [
            Task(label, estimator, data, protocol)
            for data, protocol in self.cases()
            for label, estimator in travelling.items()
        ]

    def cases(self) -> Iterable[tuple[Any, Protocol]]:
        """Yield data and protocol of every system, seed and setting."""
        given = self.protocol
        lengths, noises, seeds = (_as_list(given[key]) for key in ("n_train", "noise", "random_state"))
        for system, seed in itertools.product(self.systems, seeds):
            steps = 1.0 / (system.lyapunov_exponent * system.dt)
            horizon = min(given["max_steps"], max(1, round(given["horizon"] * steps)))
            score_steps = min(horizon, max(1, round(given["score"] * steps)))
            for n_train, noise in itertools.product(lengths, noises):
                protocol = Protocol(
                    n_train,
                    given["n_context"],
                    given["n_starts"],
                    horizon,
                    score_steps,
                    float(noise),
                    given["threshold"],
                    random_state=seed,
                )
                n_total = protocol.n_rows + max(lengths) - n_train
                yield Simulation(system, seed, protocol.n_rows, n_total), protocol


def suite_names() -> list[str]:
    """Names of the suites that come with chaosfit, sorted.

    Examples
    --------
    >>> suite_names()
    ['length', 'noise', 'partial', 'smoke-8']
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
    if str(source) not in suite_names():
        raise LookupError(
            f"there is no suite {str(source)!r}; {_nearest(str(source), suite_names())}. A file is named by its "
            f"path, which ends in .toml."
        )
    file = resources.files("chaosfit.benchmark").joinpath("suites", f"{source}.toml")
    return read_suite(file.read_text(encoding="utf-8"), str(source))


def read_suite(text: str, where: str = "suite") -> Suite:
    """Make a suite of the text of its file; `where` goes into the messages."""
    try:
        content = tomllib.loads(text)
        _check_keys("", content, _KEYS, required=("name", "protocol", "systems"))
        protocol = _check_protocol(content["protocol"])
        if not isinstance(content["systems"], list) or not content["systems"]:
            raise ValueError("systems must be a list of tables, written as [[systems]]")
        systems = tuple(_read_system(entry) for entry in content["systems"])
        _check_unique([system.name for system in systems])
        limits = Limits(**_checked_limits(content.get("limits", {})))
    except LookupError as error:
        raise LookupError(f"{where}: {error.args[0]}.") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}.") from None
    return Suite(str(content["name"]), str(content.get("description", "")), systems, protocol, limits, text)


def _read_system(entry: dict[str, Any]) -> SuiteSystem:
    keys = tuple(field.name for field in dataclasses.fields(SuiteSystem))
    _check_keys("systems.", entry, keys, required=("name", "dt", "lyapunov_exponent"))
    name = entry["name"]
    if name not in registry.names("systems"):
        from chaosfit.bridges.dysts import dysts_names

        if name not in dysts_names():
            known = [*registry.names("systems"), *dysts_names()]
            raise LookupError(f"there is no system {name!r}; {_nearest(str(name), known)}")
    for key in ("dt", "lyapunov_exponent"):
        _check_number(f"{key} of {name}", entry[key], float)
    observed = entry.get("observed")
    if observed is not None:
        for index in _as_list(observed):
            _check_number(f"observed of {name}", index, int, least=0)
        observed = tuple(_as_list(observed))
    return SuiteSystem(
        name, float(entry["dt"]), float(entry["lyapunov_exponent"]), str(entry.get("family", name)), observed
    )


def _check_protocol(given: dict[str, Any]) -> dict[str, Any]:
    _check_keys("protocol.", given, _PROTOCOL_KEYS, required=_REQUIRED)
    protocol = {"noise": 0.0, "threshold": 0.4} | given
    for key, value in protocol.items():
        kind = float if key in ("horizon", "score", "noise", "threshold") else int
        several = key in ("n_train", "noise", "random_state")
        if isinstance(value, list) and (not several or not value):
            raise ValueError(f"protocol.{key} must be one number, got {value!r}")
        for each in _as_list(value):
            _check_number(f"protocol.{key}", each, kind, least=0 if key in ("noise", "random_state") else None)
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
