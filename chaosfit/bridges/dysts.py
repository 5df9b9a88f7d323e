"""The flows of the dysts collection as systems, integrated in batches by chaosfit."""

from __future__ import annotations

import difflib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from chaosfit.systems.system import Flow

__all__ = ["DystsSystem", "dysts_names"]


def dysts_names() -> list[str]:
    """Names of all flows of the installed dysts, sorted; delay equations and maps are not flows.

    Reads the metadata file only; dysts itself is not imported.

    Examples
    --------
    >>> from chaosfit.bridges.dysts import dysts_names
    >>> "Lorenz" in dysts_names()
    True
    """
    return sorted(name for name, entry in _database().items() if not entry["delay"])


@dataclass(frozen=True)
class DystsSystem(Flow):
    """A flow of the dysts collection by name, with its published parameters.

    The right-hand side is dysts', evaluated for all trajectories at once where its code allows that; the integration
    is chaosfit's. States are the raw variables of the equations: the 18 flows that dysts wraps to a bounded domain
    after the integration are not wrapped here. The transient is 20 periods; random starts deviate from the documented
    one by 1 % of the standard deviation of the attractor, which hardly changes the energy of conservative flows.

    Parameters
    ----------
    name : str
        One of :func:`dysts_names`.
    tolerance : float
        Relative and absolute local error of the integration.

    Attributes
    ----------
    period : float
        Dominant period; ``dt = period / 100``.
    database_lyapunov_exponents : tuple of float
        Spectrum as stored in the dysts database, empty where it has none. Not reliable: tangent-flow
        measurements differ by factors up to four. ``lyapunov_exponents`` is None therefore; measure with
        :func:`chaosfit.systems.tangent.lyapunov_spectrum`.
    database_lyapunov_exponent : float
        The separate database estimate of the largest exponent; it often contradicts the spectrum.
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
    database_lyapunov_exponents: tuple[float, ...] = field(init=False, repr=False, compare=False)
    database_lyapunov_exponent: float = field(init=False, repr=False, compare=False)
    _start: np.ndarray = field(init=False, repr=False, compare=False)
    _model: Any = field(init=False, repr=False, compare=False)
    _transposed: bool = field(init=False, repr=False, compare=False)
    _vectorised: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the dysts object and find out how its right-hand side may be called."""
        if self.name not in dysts_names():
            nearest = difflib.get_close_matches(self.name, dysts_names(), n=3) or dysts_names()[:3]
            raise LookupError(f"dysts has no flow {self.name!r}; nearest names: {', '.join(nearest)}")
        model, entry = _build(self.name), _database()[self.name]
        start = np.atleast_2d(np.asarray(entry["initial_conditions"], float))[0]
        attributes = {
            "_model": model,
            "_start": start,
            "period": float(entry["period"]),
            "dt": float(entry["period"]) / 100.0,
            "transient": 20.0 * float(entry["period"]),
            "initial_spread": 0.01 * np.asarray(entry["std"], float),
            "database_lyapunov_exponents": tuple(entry["lyapunov_spectrum_estimated"] or ()),
            "database_lyapunov_exponent": float(entry["maximum_lyapunov_estimated"]),
            "reference": entry["citation"],
            # dysts' own rhs unpacks the columns of (B, d); flows that replace it index variables first, as in (d, B).
            "_transposed": "rhs" in vars(type(model)),
        }
        for key, value in attributes.items():
            object.__setattr__(self, key, value)
        self._probe()

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
        return dict(self._model.params)

    @property
    def lyapunov_exponents(self) -> None:
        """None: the values of the database are not reliable."""
        return None

    @property
    def kaplan_yorke_dimension(self) -> None:
        """None: the values of the database are not reliable."""
        return None

    def rhs(self, X, time=None):
        """Time derivative of every row at the times `time` (n,), which only time-dependent flows look at."""
        time = np.zeros(len(X)) if time is None else time
        return self._batch(X, time) if self._vectorised else self._rows(X, time)

    def _batch(self, X: np.ndarray, time: np.ndarray) -> np.ndarray:
        values = self._model.rhs(X.T if self._transposed else X, time)
        out = np.empty(X.shape[::-1])
        for variable in range(self.dim):
            out[variable] = values[variable]
        return out.T

    def _rows(self, X: np.ndarray, time: np.ndarray) -> np.ndarray:
        return np.array([self._model.rhs(x, t) for x, t in zip(X, time, strict=True)], float)

    def _probe(self) -> None:
        """Compare batch with rows near the start, and different times with each other."""
        rng = np.random.default_rng(0)
        X = self.initial_state * (1.0 + 0.1 * rng.standard_normal((7, self.dim)))
        time = self.period * rng.random(len(X))
        with np.errstate(all="ignore"):
            rows = self._rows(X, time)
            still = self._rows(X, np.zeros(len(X)))
            try:
                vectorised = np.allclose(self._batch(X, time), rows, rtol=1e-10, atol=1e-12, equal_nan=True)
            except (ValueError, TypeError, IndexError):
                vectorised = False
        object.__setattr__(self, "_vectorised", vectorised)
        object.__setattr__(self, "time_dependent", not np.array_equal(rows, still, equal_nan=True))


@cache
def _database() -> dict[str, dict[str, Any]]:
    spec = find_spec("dysts")
    if spec is None or spec.origin is None:
        raise ImportError('the flows of dysts need the package dysts: pip install "chaosfit[dysts]"')
    path = Path(spec.origin).parent / "data" / "chaotic_attractors.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _build(name: str) -> Any:
    with _untouched_global_state():
        import dysts.flows

        return getattr(dysts.flows, name)()


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
