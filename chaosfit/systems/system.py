"""What a known dynamical system is: parameters, one verb, published invariants."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import Field, dataclass, fields, is_dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chaosfit.numerics.integrate import integrate_batch, integrate_implicit
from chaosfit.numerics.taylor import integrate_taylor
from chaosfit.numerics.trace import Tape, TraceError, trace
from chaosfit.systems.cache import cached
from chaosfit.validation import check_n_steps

__all__ = ["BACKENDS", "Flow", "Map", "System"]

BACKENDS = ("taylor", "numba", "heyoka", "dop853")
"""How a flow can be integrated; see :func:`chaosfit.systems.integrate.integrate`."""
# Above, it takes Python longer to read the generated code than arrays need for the whole job.
_MOST_OPERATIONS = 1000


class System(ABC):
    """A dynamical system with known equations.

    Subclasses are frozen dataclasses: their fields are the parameters. They provide the attributes below and
    `_advance`; times are in the units of the equations.

    Attributes
    ----------
    name : str
        Registry name.
    dim : int
        Number of variables of one sample.
    dt : float
        Recommended sampling interval.
    transient : float
        Time that ``simulate`` discards by default.
    initial_state : array (dim,)
        Documented start, around which random starts are drawn with standard deviation `initial_spread`.
    published_exponents : tuple of float or None
        Lyapunov exponents of the default parameters, largest first; the leading ones or all, from `reference`.
    published_dimension : float or None
        Kaplan-Yorke dimension of the default parameters, from `reference`.
    reference : str
        Source of the equations and of the published values.
    """

    name: str
    dt: float
    transient: float
    initial_spread: float | tuple[float, ...] | np.ndarray
    # Parameters that change the accuracy, not the system.
    numerical_parameters: tuple[str, ...] = ("tolerance", "max_step", "n_points", "backend")
    published_exponents: tuple[float, ...] | None = None
    published_dimension: float | None = None
    reference: str

    def __post_init__(self) -> None:
        """Refuse parameters that are not finite numbers."""
        for name, value in self.parameters.items():
            if not _is_finite_number(value):
                raise ValueError(f"{type(self).__name__}: {name} must be a finite number, got {value!r}")

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of variables of one sample."""

    @property
    @abstractmethod
    def initial_state(self) -> Any:
        """Documented start, (dim,)."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Constructor arguments by name."""
        return {field.name: getattr(self, field.name) for field in self._fields()}

    @property
    def is_published(self) -> bool:
        """Whether all physical parameters are the published ones, so that the published invariants apply."""
        physical = [field for field in self._fields() if field.name not in self.numerical_parameters]
        return all(getattr(self, field.name) == field.default for field in physical)

    def _fields(self) -> tuple[Field, ...]:
        return fields(self) if is_dataclass(self) else ()

    @property
    def lyapunov_exponents(self) -> tuple[float, ...] | None:
        """Published Lyapunov exponents, largest first; None if there are none for these parameters."""
        return self.published_exponents if self.is_published else None

    @property
    def lyapunov_exponent(self) -> float | None:
        """Largest published Lyapunov exponent, or None."""
        return None if self.lyapunov_exponents is None else self.lyapunov_exponents[0]

    @property
    def lyapunov_time(self) -> float | None:
        """Time in which errors grow e-fold, or None."""
        largest = self.lyapunov_exponent
        return None if largest is None or largest <= 0.0 else 1.0 / largest

    @property
    def kaplan_yorke_dimension(self) -> float | None:
        """Published Kaplan-Yorke dimension, or None."""
        return self.published_dimension if self.is_published else None

    def simulate(
        self,
        n_steps: int,
        *,
        dt: float | None = None,
        x0: ArrayLike | None = None,
        transient: float | None = None,
        random_state: Any = None,
        n_trajectories: int | None = None,
    ) -> np.ndarray:
        """Sample one or several trajectories at equal intervals.

        Parameters
        ----------
        n_steps : int
            Number of samples per trajectory, >= 1.
        dt : float
            Sampling interval, > 0. Default: ``self.dt``.
        x0 : array (dim,) or (n_trajectories, dim)
            Start. Default: random, normal around ``self.initial_state``.
        transient : float
            Time discarded before the first sample, >= 0. Default: ``self.transient`` from random starts, 0 from
            a given `x0`, which then is the first sample.
        random_state : int, Generator or None
            Seed of the random starts. Trajectory i does not depend on `n_trajectories`.
        n_trajectories : int
            Number of trajectories.

        Returns
        -------
        array (n_steps, dim), or (n_trajectories, n_steps, dim) if several were asked for
            States.

        Raises
        ------
        ValueError
            For arguments out of range, and if a trajectory diverges.
        """
        n_steps = check_n_steps(n_steps)
        dt = _checked_time("dt", self.dt if dt is None else dt, positive=True)
        if transient is None:
            transient = self.transient if x0 is None else 0.0
        transient = _checked_time("transient", transient, positive=False)
        starts, single = self._starts(x0, n_trajectories, random_state)
        call = ("simulate", starts, n_steps, dt, transient)
        states = cached(self, call, lambda: self._trajectories(starts, n_steps, dt, transient))
        if not np.isfinite(states).all():
            row = int(np.argmin(np.isfinite(states).all(axis=(1, 2))))
            raise ValueError(
                f"{self!r} diverges from x0 = {starts[row][:5].tolist()}: "
                "choose other parameters or a start in the basin of attraction"
            )
        return states[0] if single else states

    def _starts(self, x0, n_trajectories, random_state) -> tuple[np.ndarray, bool]:
        """Return the starts (B, dim) and whether the caller expects a single trajectory."""
        if n_trajectories is not None and (
            isinstance(n_trajectories, bool) or not isinstance(n_trajectories, Integral) or n_trajectories < 1
        ):
            raise ValueError(f"n_trajectories must be an integer >= 1, got {n_trajectories!r}")
        if x0 is None:
            rng = np.random.default_rng(random_state)
            return self._random_starts(int(n_trajectories or 1), rng), n_trajectories is None
        starts = np.asarray(x0, float)
        expected = (self.dim,) if n_trajectories is None else (n_trajectories, self.dim)
        if starts.shape != expected and not (n_trajectories is None and starts.shape[1:] == expected):
            raise ValueError(f"{self!r}: expected x0 of shape {expected}, got {starts.shape}")
        if not np.isfinite(starts).all():
            raise ValueError(f"{self!r}: x0 must be finite, got {x0!r}")
        return np.atleast_2d(starts), starts.ndim == 1

    def _random_starts(self, n_trajectories: int, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal((n_trajectories, self.dim))
        return np.asarray(self.initial_state) + self.initial_spread * noise

    def _trajectories(self, starts: np.ndarray, n_steps: int, dt: float, transient: float) -> np.ndarray:
        """Sample after the transient, which is rounded up to whole ``self.dt`` and so does not depend on `dt`."""
        n_transient = int(np.ceil(transient / self.dt))
        if n_transient:
            starts = self._advance(starts, n_transient + 1, self.dt, 0.0)[:, -1]
        return self._advance(starts, n_steps, dt, n_transient * self.dt)

    def _advance(self, starts: np.ndarray, n_samples: int, dt: float, time: float) -> np.ndarray:
        """Return (B, n_samples, dim), first sample = starts at `time`; NaN behind a divergence."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Flow(System):
    """Ordinary differential equations dx/dt = rhs(x).

    Parameters
    ----------
    tolerance : float
        Relative and absolute local error of the integration, > 0.
    """

    tolerance: float = 1e-10
    # True: rhs and jacobian take the time (n,) as their second argument.
    time_dependent = False
    # Arrays of many states are fastest here; `chaosfit.systems.integrate` says which other ways there are.
    backend = "dop853"

    def __post_init__(self) -> None:
        """Refuse a tolerance that no step can meet."""
        super().__post_init__()
        if self.tolerance <= 0.0:
            raise ValueError(f"{type(self).__name__}: tolerance must be > 0, got {self.tolerance!r}")

    @abstractmethod
    def rhs(self, X: np.ndarray) -> np.ndarray:
        """Time derivative of every row, (n, dim)."""

    def jacobian(self, X: np.ndarray, *time: np.ndarray) -> np.ndarray:
        """Jacobian of the right-hand side at every row, (n, dim, dim); central differences unless overridden."""
        return central_differences(self.rhs, X, *time)

    @functools.cached_property
    def tape(self) -> Tape | None:
        """The right-hand side as elementary operations; None where it cannot be traced."""
        try:
            return trace(self._row, self.dim)
        except TraceError:
            return None

    def _row(self, x: np.ndarray, time: Any) -> np.ndarray:
        return self.rhs(x[None], *([np.array([time])] if self.time_dependent else []))[0]

    def _advance(self, starts, n_samples, dt, time):
        return self._solve(starts, time + dt * np.arange(n_samples), self.tolerance, self.backend)

    def _solve(self, starts: np.ndarray, t: np.ndarray, rtol: float, backend: str) -> np.ndarray:
        """Trajectories (B, T, dim) at the times t, by an implicit method if they turn out to be stiff."""
        # An escape is certain long before it overflows, and ever more expensive on the way. Phases only drift.
        with np.errstate(all="ignore"):
            slopes = self.rhs(starts, *([np.full(len(starts), t[0])] if self.time_dependent else []))
            reach = np.abs(starts) + (t[-1] - t[0]) * np.abs(slopes)
        bound = 1e6 * (1.0 + np.max(reach, initial=0.0, where=np.isfinite(reach)))
        options = {"rtol": rtol, "atol": rtol, "bound": bound}
        if backend == "dop853":
            out = integrate_batch(self.rhs, starts, t, time_dependent=self.time_dependent, **options)
        elif self.tape is None:
            raise ValueError(f"{self!r} cannot be traced, which backend={backend!r} needs; use backend='dop853'")
        elif backend == "numba":
            # numba takes a while to load.
            from chaosfit.numerics.compiled import integrate_compiled, require_numba

            require_numba()
            out = integrate_compiled(self.tape, starts, t, **options)
        elif backend == "heyoka":
            from chaosfit.numerics.jit import integrate_heyoka

            out = integrate_heyoka(self.tape, starts, t, **options)
        elif len(self.tape.operations) > _MOST_OPERATIONS:
            raise ValueError(f"{self!r} is too large for generated code; use backend='numba' or 'dop853'")
        else:
            out = np.array([integrate_taylor(self.tape, start, t, **options) for start in starts])
        for row in np.flatnonzero(~np.isfinite(out[:, -1]).all(axis=1) & np.isfinite(starts).all(axis=1)):
            last = int(np.isfinite(out[row]).all(axis=1).sum()) - 1
            rest = integrate_implicit(self.rhs, out[row, last], t[last:], time_dependent=self.time_dependent, **options)
            out[row, last:] = rest
        return out


@dataclass(frozen=True, kw_only=True)
class Map(System):
    """Difference equations x[t+1] = step(x[t]); one iteration is one unit of time."""

    dt = 1.0

    @abstractmethod
    def step(self, X: np.ndarray) -> np.ndarray:
        """Next state of every row, (n, dim)."""

    def jacobian(self, X: np.ndarray) -> np.ndarray:
        """Jacobian of one iteration at every row, (n, dim, dim); central differences unless overridden."""
        return central_differences(self.step, X)

    def _advance(self, starts, n_samples, dt, time):
        stride = round(dt)
        if stride != dt:
            raise ValueError(f"{self!r}: dt of a map must be a whole number of iterations, got {dt!r}")
        out = np.empty((len(starts), n_samples, self.dim))
        out[:, 0] = x = starts
        with np.errstate(all="ignore"):
            for sample in range(1, n_samples):
                for _ in range(stride):
                    x = self.step(x)
                out[:, sample] = x
        return out


def central_differences(function: Callable[..., np.ndarray], X: np.ndarray, *time: np.ndarray) -> np.ndarray:
    """Jacobian (n, m, d) of a row-wise function at X (n, d), from one call at 2 n d shifted rows."""
    n, d = X.shape
    # The cube root of the precision balances truncation against rounding.
    width = np.cbrt(np.finfo(float).eps) * np.maximum(1.0, np.abs(X))
    shift = width[:, None, :] * np.eye(d)
    shifted = np.concatenate([X[:, None] + shift, X[:, None] - shift], axis=1).reshape(2 * n * d, d)
    values = function(shifted, *(np.repeat(t, 2 * d) for t in time)).reshape(n, 2, d, -1)
    return np.swapaxes((values[:, 0] - values[:, 1]) / (2.0 * width[:, :, None]), 1, 2)


def _is_finite_number(value: Any) -> bool:
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return is_number and bool(np.isfinite(value))


def _checked_time(name: str, value: Any, *, positive: bool) -> float:
    if not _is_finite_number(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{name} must be a number {'>' if positive else '>='} 0, got {value!r}")
    return float(value)
