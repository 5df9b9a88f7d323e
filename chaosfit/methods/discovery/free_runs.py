"""How long do candidate models, running on their own output, stay close to the data?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from chaosfit.analysis.embedding import lag_by_autocorrelation
from chaosfit.numerics.differentiate import estimate_noise
from chaosfit.validation import Trajectory

__all__ = ["is_noisy", "shortest_memory", "valid_steps"]

#: Number of free runs, their length in autocorrelation times and at most in rows, and the error that ends them.
_N_STARTS, _LENGTH, _MAX_ROWS, _VALID_ERROR = 20, 40, 1000, 0.4


def shortest_memory(X: NDArray[np.float64]) -> float:
    """Shortest autocorrelation time over the variables, in rows; the scale on which the dynamics turns."""
    lags = [lag_by_autocorrelation(column) for column in X.T if np.ptp(column) > 0]
    return float(min((lag for lag in lags if lag is not None), default=max(1, len(X) // 10)))


def is_noisy(X: NDArray[np.float64]) -> bool:
    """Whether white noise exceeds a thousandth of the standard deviation of any variable."""
    return bool((estimate_noise(X) > 1e-3 * X.std(axis=0)).any())


def valid_steps(roll: Callable, trajectories: list[Trajectory]) -> NDArray[np.float64]:
    """Mean number of steps for which the free runs of each model stay within 0.4 standard deviations of the data.

    Parameters
    ----------
    roll : callable
        ``roll(x0 (B, d), n_steps, u) -> (k, B, n_steps, d)``, free runs of k models; u is (B, n_steps, p) or None.
    trajectories : list of Trajectory

    Returns
    -------
    array of shape (k,)
        Among models that are valid to the end, less error counts for more.
    """
    memory = min(shortest_memory(t.states) for t in trajectories)
    longest = max(len(t.X) for t in trajectories)
    n_steps = max(1, min(longest // 2, round(_LENGTH * memory), _MAX_ROWS))
    truth, x0, u = _starts(trajectories, n_steps, -(-_N_STARTS // len(trajectories)))
    spread = np.concatenate([t.states for t in trajectories]).std(axis=0)
    error = (roll(x0, n_steps, u) - truth) / np.where(spread > 0, spread, 1.0)
    error = np.sqrt(np.mean(error**2, axis=-1))
    invalid = ~(error <= _VALID_ERROR)
    steps = np.where(invalid.any(axis=-1), invalid.argmax(axis=-1), n_steps)
    return (steps - np.where(invalid, 1.0, error).mean(axis=-1)).mean(axis=-1)


def _starts(trajectories: list[Trajectory], n_steps: int, n_starts: int):
    """Truth (B, h, d), starts (B, d) and inputs (B, h, p) or None, spread over all trajectories."""
    truth, x0, u = [], [], []
    for t in trajectories:
        if len(t.X) < n_steps:
            continue
        smooth = _smoothed(t.states)
        for start in np.unique(np.linspace(0, len(t.X) - n_steps, n_starts).astype(int)):
            truth.append(t.states[start + 1 : start + 1 + n_steps])
            x0.append(smooth[start])
            if t.u is not None:
                u.append(t.u[start : start + n_steps])
    return np.stack(truth), np.stack(x0), np.stack(u) if u else None


def _smoothed(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """States to start from: noise in them would hide how good a model is."""
    window = 2 * round(0.3 * shortest_memory(X)) + 1
    if window < 7 or window > len(X) or not is_noisy(X):
        return X
    return savgol_filter(X, window, 3, axis=0)
