"""Lyapunov spectra and Kaplan-Yorke dimensions that chaosfit measured itself, as a table.

``lyapunov.csv`` holds one row per system, written by ``tests/benchmarks/lyapunov_table.py`` from the tangent dynamics.
The values that collections of systems carry differ from it by factors of up to four.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

__all__ = ["Invariants", "fingerprint", "measured", "table"]


class Invariants(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    system : str
        Registry name of a system of chaosfit, or its name in dysts.
    kind : str
        "flow", "map", "delay" or "pde".
    dim : int
        Variables of a sample.
    parameters : str
        Fingerprint of the parameters that were used.
    is_chaotic : bool
        Whether the largest exponent exceeds zero by more than three standard errors.
    exponents : tuple of float
        Largest first, per unit of time; all of a flow or map, the leading ones otherwise.
    standard_errors : tuple of float
        Over independent trajectories.
    kaplan_yorke_dimension : float or None
        None where the exponents are too few.
    duration : float
        Time over which was averaged, all trajectories together.
    """

    system: str
    kind: str
    dim: int
    parameters: str
    is_chaotic: bool
    exponents: tuple[float, ...]
    standard_errors: tuple[float, ...]
    kaplan_yorke_dimension: float | None
    duration: float


@cache
def table() -> dict[str, Invariants]:
    """All rows by the name of the system.

    Examples
    --------
    >>> from chaosfit.systems.invariants import table
    >>> round(table()["lorenz63"].exponents[0], 2)
    0.91
    """
    text = files("chaosfit.systems").joinpath("lyapunov.csv").read_text(encoding="utf-8")
    return {row["system"]: _read(row) for row in csv.DictReader(text.splitlines())}


def measured(system: str, parameters: Mapping[str, Any]) -> Invariants | None:
    """Row of a system, if it was measured with these parameters."""
    row = table().get(system)
    return row if row is not None and row.parameters == fingerprint(parameters) else None


def fingerprint(parameters: Mapping[str, Any]) -> str:
    """Short hash of names and values."""
    values = sorted((name, [float(v) for v in _flat(value)]) for name, value in parameters.items())
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]


def _flat(value: Any) -> list[Any]:
    return [each for v in value for each in _flat(v)] if hasattr(value, "__len__") else [value]


def _read(row: dict[str, str]) -> Invariants:
    numbers = {key: tuple(float(v) for v in row[key].split()) for key in ("exponents", "standard_errors")}
    dimension = float(row["kaplan_yorke_dimension"]) if row["kaplan_yorke_dimension"] else None
    return Invariants(
        row["system"],
        row["kind"],
        int(row["dim"]),
        row["parameters"],
        row["chaotic"] == "yes",
        numbers["exponents"],
        numbers["standard_errors"],
        dimension,
        float(row["duration"]),
    )
