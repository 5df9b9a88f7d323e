"""Delay differential equations: the state is a function, of which one point is observed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chaosfit.systems.system import System, central_differences

__all__ = ["DelayFlow", "MackeyGlass", "method_of_steps"]


@dataclass(frozen=True, kw_only=True)
class DelayFlow(System):
    """Equations dx/dt = rhs(x(t), x(t - tau)) with one constant delay.

    Fourth-order Runge-Kutta steps that divide the delay, so that every delayed value is a past step or the middle of
    one, where cubic Hermite interpolation has the same order. A start x0 is the constant history on [-tau, 0].

    Parameters
    ----------
    max_step : float
        Upper limit of the time step, > 0.
    """

    max_step: float = 0.1
    tau: float

    def __post_init__(self) -> None:
        """Refuse delays and steps that are not positive."""
        super().__post_init__()
        if self.tau <= 0.0 or self.max_step <= 0.0:
            raise ValueError(f"{self!r}: tau and max_step must be > 0")

    @abstractmethod
    def rhs(self, X: np.ndarray, X_delayed: np.ndarray) -> np.ndarray:
        """Time derivative of every row, (n, dim), from the state and the state one delay ago."""

    def jacobians(self, X: np.ndarray, X_delayed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the right-hand side by the state and by the delayed state, each (n, dim, dim)."""
        both = np.concatenate([X, X_delayed], axis=1)
        joint = central_differences(lambda Z: self.rhs(Z[:, : self.dim], Z[:, self.dim :]), both)
        return joint[:, :, : self.dim], joint[:, :, self.dim :]

    @property
    def steps_per_delay(self) -> int:
        """Time steps in one delay."""
        return int(np.ceil(self.tau / self.max_step))

    def _trajectories(self, starts, n_steps, dt, transient):
        times = transient + dt * np.arange(n_steps)
        step = self.tau / self.steps_per_delay
        shape = (self.steps_per_delay + 1, *starts.shape)
        past, middles = np.broadcast_to(starts, shape), np.broadcast_to(starts, (shape[0] - 1, *starts.shape))
        states, slopes, _ = method_of_steps(self.rhs, past, middles, step, int(np.ceil(times[-1] / step)) + 1)
        states, slopes = states[self.steps_per_delay :], slopes[self.steps_per_delay :]
        index = np.minimum((times / step).astype(int), len(states) - 2)
        fraction = (times / step - index)[:, None, None]
        left, right = states[index], states[index + 1]
        with np.errstate(all="ignore"):
            rise = right - left
            bend = (1.0 - fraction) * (step * slopes[index] - rise) - fraction * (step * slopes[index + 1] - rise)
            return np.swapaxes(left + fraction * (rise + (1.0 - fraction) * bend), 0, 1)


def method_of_steps(
    rhs: Callable[[np.ndarray, np.ndarray], np.ndarray],
    past: np.ndarray,
    past_middles: np.ndarray,
    step: float,
    n_steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Continue a history by `n_steps` Runge-Kutta steps.

    Parameters
    ----------
    rhs : callable
        Of the states and the states one delay ago, each (B, d).
    past : array (N + 1, B, d)
        States on the step grid over one delay, N steps.
    past_middles : array (N, B, d)
        States in the middles of these steps.
    step : float
    n_steps : int

    Returns
    -------
    states, slopes : array (N + 1 + n_steps, B, d)
        The slopes of the first N states are not defined.
    middles : array (N + n_steps, B, d)
    """
    n_delay = len(past_middles)
    states = np.concatenate([past, np.empty((n_steps, *past.shape[1:]))])
    middles = np.concatenate([past_middles, np.empty((n_steps, *past.shape[1:]))])
    slopes = np.empty_like(states)
    with np.errstate(all="ignore"):
        slopes[n_delay] = rhs(states[n_delay], states[0])
        for delayed in range(n_steps):
            now = delayed + n_delay
            x, k1 = states[now], slopes[now]
            k2 = rhs(x + step / 2.0 * k1, middles[delayed])
            k3 = rhs(x + step / 2.0 * k2, middles[delayed])
            k4 = rhs(x + step * k3, states[delayed + 1])
            states[now + 1] = x + step / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)
            slopes[now + 1] = rhs(states[now + 1], states[delayed + 1])
            middles[now] = (x + states[now + 1]) / 2.0 + step / 8.0 * (k1 - slopes[now + 1])
    return states, slopes, middles


@dataclass(frozen=True, kw_only=True)
class MackeyGlass(DelayFlow):
    """The Mackey-Glass equation of blood cell production.

    dx/dt = beta x(t - tau) / (1 + x(t - tau)^n) - gamma x(t).

    Parameters
    ----------
    beta, gamma, n, tau : float
        Published: 0.2, 0.1, 10, 17. Chaotic for tau > 16.8.
    max_step : float
        Upper limit of the time step.

    References
    ----------
    Mackey, Glass, Science 197, 287, 1977, doi:10.1126/science.267326. Exponent: the Lyapunov time 197 that the
    NeuroBench series state, Yik et al., Nat. Commun. 16, 1545, 2025, arXiv:2304.04640, confirmed here by the tangent
    equation (0.00509 +- 0.00003). The often quoted 0.0058 to 0.0071, from early short series, are too large.

    Examples
    --------
    >>> from chaosfit.systems.delays import MackeyGlass
    >>> MackeyGlass().simulate(20, transient=0.0, random_state=0).shape
    (20, 1)
    """

    beta: float = 0.2
    gamma: float = 0.1
    n: float = 10.0
    tau: float = 17.0

    name = "mackey_glass"
    dim = 1
    dt = 1.0
    transient = 1000.0
    initial_state = (1.2,)
    initial_spread = 0.1
    published_exponents = (1.0 / 197.0,)
    reference = "doi:10.1126/science.267326; arXiv:2304.04640"

    def rhs(self, X, X_delayed):
        return self.beta * X_delayed / (1.0 + X_delayed**self.n) - self.gamma * X
