"""Recorded series and published scores: files that a suite names and the user's data folder holds."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

#: Where the data folder is, unless it is given.
DATA_VARIABLE = "CHAOSFIT_DATA"


def data_file(name: str) -> Path:
    """Return the path of a file in the data folder.

    Raises
    ------
    FileNotFoundError
        If the folder is not set, or lacks the file; the message says what to do.
    """
    folder = os.environ.get(DATA_VARIABLE)
    advice = (
        f"set {DATA_VARIABLE}, or pass --data, to the folder that holds it. docs/benchmark.md says which public "
        f"repositories the files come from."
    )
    if not folder:
        raise FileNotFoundError(f"published data are needed, {name}, but there is no data folder; {advice}")
    path = Path(folder).expanduser().absolute() / name
    if not path.is_file():
        raise FileNotFoundError(f"published data are needed, but there is no {path}; {advice}")
    return path


# A few arrays of some megabytes at most; every task of a process reads the same ones.
@functools.lru_cache(maxsize=8)
def read_array(path: str, key: str) -> np.ndarray:
    """Return one array of a .npz file."""
    with np.load(path, allow_pickle=False) as content:
        if key not in content.files:
            raise ValueError(f"{path} holds no array {key!r}; there are {', '.join(content.files[:8])}.")
        return content[key]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Rows of one system from a file, read when they are needed, in whichever process that is.

    Stands wherever a `Dataset` does; its fingerprint is that of the rows.

    Attributes
    ----------
    name : str
    path : str
        The .npz file.
    keys : tuple of str
        Arrays (n, d) or (n,) that follow each other in time; or one (n_systems, n), see `row`.
    tuning_keys : tuple of str
        The same for an independent trajectory on which methods may be chosen; may be empty.
    row : int or None
        Row of the arrays that is the system's.
    """

    name: str
    path: str
    keys: tuple[str, ...]
    tuning_keys: tuple[str, ...] = ()
    row: int | None = None

    discrete_time = False
    dt = None
    lyapunov_exponent = None
    lyapunov_steps = None
    exponent_source = "unknown"

    @property
    def X(self) -> np.ndarray:
        """The rows, (n, d)."""
        return self._read(self.keys)

    @property
    def tuning(self) -> np.ndarray | None:
        """Rows (n, d) of the trajectory for tuning; None if there is none."""
        return self._read(self.tuning_keys) if self.tuning_keys else None

    def _read(self, keys: Sequence[str]) -> np.ndarray:
        arrays = [read_array(self.path, key) for key in keys]
        rows = [np.asarray(a if self.row is None else a[self.row], dtype=np.float64) for a in arrays]
        return np.concatenate([each.reshape(len(each), -1) for each in rows])

    @property
    def columns(self) -> tuple[str, ...]:
        """One name per variable."""
        return tuple(f"x{i}" for i in range(self.X.shape[1]))

    @property
    def source(self) -> str:
        """File and arrays."""
        return f"{Path(self.path).name}: {' + '.join(self.keys)}, {self.name}"

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of all rows: equal for equal numbers, wherever the file is."""
        digest = hashlib.sha256(self.name.encode())
        for rows in (self.X, self.tuning):
            digest.update(b"-" if rows is None else repr(rows.shape).encode() + np.ascontiguousarray(rows).tobytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Published:
    """A table of published scores.

    Attributes
    ----------
    score : str
        Our score that corresponds to it.
    protocol : str
        How the published numbers were made.
    identical : bool
        Whether they were made from the same rows; then they share a table with ours. Noise is drawn anew, so
        with noise they never do.
    models : tuple of str
        Columns to take, or all models of the table.
    file : str
        CSV in the data folder, one row per system, one column per model.
    where : dict
        Column to value, of the rows to take.
    match : tuple of str
        Columns that must equal the setting of the protocol that has the same name.
    table : dict
        Instead of a file: model to its scores E1..E12.
    """

    score: str
    protocol: str
    identical: bool
    models: tuple[str, ...] = ()
    file: str = ""
    where: dict[str, float] = dataclasses.field(default_factory=dict)
    match: tuple[str, ...] = ()
    table: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def scores(self, systems: Sequence[str], setting: dict[str, float]) -> dict[str, dict[str, float]]:
        """Return system -> model -> score of the systems that have them all."""
        wanted = self.where | {key: setting[key] for key in self.match}
        found = {}
        with data_file(self.file).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["system"] in systems and all(float(row[key]) == value for key, value in wanted.items()):
                    values = {model: row[model] for model in self.models}
                    if all(values.values()):
                        found[row["system"]] = {model: float(value) for model, value in values.items()}
        return found
