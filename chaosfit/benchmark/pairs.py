"""Train/test pairs of the Common Task Framework: some training series, and the rows that are asked for.

A pair asks either for the rows after its last training series or, if that is noisy, for the states behind it.
Its number says which, and which of the scores E1..E12 it gives; see `chaosfit.metrics.ctf`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chaosfit import registry
from chaosfit.benchmark.protocol import Protocol, Split
from chaosfit.benchmark.recorded import data_file, read_array
from chaosfit.metrics.ctf import CTF_SCORES
from chaosfit.validation import stack_trajectories

#: Steps over which nRMSE and sMAPE are taken: those of the short-time scores.
SCORE_STEPS = 20
# Seeds: the last series of a pair has the number of the pair, earlier ones have those from 11; twins keep a distance.
_SEEDS_PER_TWIN, _FIRST_REGIME = 1000, 10


def is_reconstruction(number: int) -> bool:
    """Whether the pair of this number asks for the states behind its training rows."""
    return (number, "reconstruction") in CTF_SCORES.values()


@dataclasses.dataclass(frozen=True)
class Pair(ABC):
    """One pair. Stands wherever a `Dataset` does.

    Attributes
    ----------
    number : int in 1..9
    dt : float
        Time between two rows.
    """

    number: int
    dt: float

    discrete_time = False
    lyapunov_exponent = None
    lyapunov_steps = None
    exponent_source = "unknown"

    @abstractmethod
    def series(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the training series, of which the last goes on in the truth or is to be reconstructed; the truth."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of all rows, or of their recipe."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the rows come from."""

    @property
    def name(self) -> str:
        """Its number in words."""
        return f"pair {self.number}"

    @property
    def reconstructs(self) -> bool:
        """Whether the states behind the training rows are asked for."""
        return is_reconstruction(self.number)

    @property
    def X(self) -> np.ndarray:
        """All rows, the truth last."""
        train, truth = self.series()
        return np.concatenate([*train, truth])

    @property
    def columns(self) -> tuple[str, ...]:
        """One name per variable."""
        return tuple(f"x{i}" for i in range(self.series()[1].shape[1]))

    def split(self) -> Split:
        """Return the rows in their roles; the unit of error is the standard deviation of the last training series."""
        train, truth = self.series()
        rows, trajectory_id = stack_trajectories(train)
        return Split(
            train=rows,
            contexts=None,
            targets=truth[np.newaxis],
            scale=train[-1].std(axis=0),
            starts=np.array([0 if self.reconstructs else len(rows)]),
            trajectory_id=trajectory_id if len(train) > 1 else None,
            reconstructs=self.reconstructs,
        )

    def protocol(self, random_state: int) -> Protocol:
        """Describe the pair in the terms of a `Protocol`."""
        n_train, horizon = self._lengths()
        return Protocol(n_train, 0, 1, horizon, min(SCORE_STEPS, horizon), random_state=random_state)

    def _lengths(self) -> tuple[int, int]:
        """Numbers of rows for training, and of the truth."""
        train, truth = self.series()
        return sum(map(len, train)), len(truth)


@dataclasses.dataclass(frozen=True)
class RecordedPair(Pair):
    """A pair from the arrays `train` and `truth`, (n, d) each, of a .npz file."""

    path: str
    train: tuple[str, ...]
    truth: str

    def series(self):
        """See `Pair.series`."""
        rows = [np.asarray(read_array(self.path, key), dtype=np.float64) for key in (*self.train, self.truth)]
        return rows[:-1], rows[-1]

    @property
    def source(self) -> str:
        """File and arrays."""
        return f"{Path(self.path).name}: {' + '.join(self.train)}, {self.truth}"

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of all rows: equal for equal numbers, wherever the file is."""
        train, truth = self.series()
        digest = hashlib.sha256(self.name.encode())
        for rows in (*train, truth):
            digest.update(repr(rows.shape).encode() + np.ascontiguousarray(rows).tobytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class SimulatedPair(Pair):
    """A pair whose rows are computed when they are first needed, in whichever process that is.

    Attributes
    ----------
    system : str
        Name of a system.
    parameters : tuple of tuple of (str, float)
        Parameters of the system, one set for each training series; the truth has the last.
    n_train : tuple of int
        Rows of each training series.
    n_truth : int
        Rows after the last one that are asked for; none of them for a reconstruction.
    noise : float
        Standard deviation of the white noise on the training rows, in the units of the variables.
    random_state : int
        Seeds initial states and noise.
    """

    system: str
    parameters: tuple[tuple[tuple[str, float], ...], ...]
    n_train: tuple[int, ...]
    n_truth: int
    noise: float
    random_state: int

    def series(self):
        """See `Pair.series`."""
        return _simulated(self)

    def _lengths(self):
        return sum(self.n_train), self.n_train[-1] if self.reconstructs else self.n_truth

    @property
    def source(self) -> str:
        """What is simulated."""
        regimes = "; ".join(", ".join(f"{key}={value:g}" for key, value in each) for each in self.parameters)
        noise = f", noise {self.noise:g}" if self.noise else ""
        return f"{self.system}, {regimes}, dt={self.dt:g}{noise}, random_state={self.random_state}"

    @property
    def fingerprint(self) -> str:
        """Hash of the recipe."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def _simulated(pair: SimulatedPair) -> tuple[list[np.ndarray], np.ndarray]:
    train = []
    for number, (parameters, n_rows) in enumerate(zip(pair.parameters, pair.n_train, strict=True), start=1):
        last = number == len(pair.n_train)
        # The earlier regimes are the same in all pairs of a twin.
        seed = pair.random_state * _SEEDS_PER_TWIN + (pair.number if last else _FIRST_REGIME + number)
        states = _states(pair.system, parameters, n_rows + (pair.n_truth if last else 0), pair.dt, seed)
        noise = np.random.default_rng([seed, 1]).standard_normal((n_rows, states.shape[1]))
        train.append(states[:n_rows] + pair.noise * noise)
    return train, states[:n_rows] if pair.reconstructs else states[n_rows:]


# Methods follow each other on the same pair, so a process needs few series at a time.
@functools.lru_cache(maxsize=8)
def _states(system: str, parameters: tuple[tuple[str, float], ...], n_rows: int, dt: float, seed: int) -> np.ndarray:
    return registry.make(system, group="systems", **dict(parameters)).simulate(n_rows, dt=dt, random_state=seed)


def make_pair(given: Mapping[str, Any], random_state: int) -> Pair:
    """Make the pair that an entry of a suite describes; the seed is that of simulated rows."""
    if "file" in given:
        path = str(data_file(given["file"]))
        return RecordedPair(given["number"], given["dt"], path, tuple(given["train"]), given["truth"])
    regimes = tuple(tuple(sorted(each.items())) for each in given["parameters"])
    lengths = tuple(given["n_train"])
    noise = float(given.get("noise", 0.0))
    return SimulatedPair(
        given["number"], given["dt"], given["system"], regimes, lengths, given["n_truth"], noise, random_state
    )
