"""Forecasts that are samples: how good, and how honest about their error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chaosfit.metrics.pair import Floats


def crps(y_true: ArrayLike, samples: ArrayLike) -> float:
    r"""Return the continuous ranked probability score, a mean over steps and coordinates.

    .. math:: \langle |s - y| \rangle_s - \tfrac{1}{2} \langle |s - s'| \rangle_{s \neq s'}

    Parameters
    ----------
    y_true : array (h,), (h, d) or (B, h, d)
    samples : array (S, *y_true.shape), S >= 2
        As `forecast_samples` returns them.

    Returns
    -------
    float
        In the units of the data; for samples that are all alike the mean absolute error. Unbiased for few samples, so
        slightly below 0 for perfect ones by chance. ``inf`` if a sample is not finite.

    References
    ----------
    Gneiting and Raftery, JASA 102, 359 (2007), doi:10.1198/016214506000001437.

    Examples
    --------
    >>> crps([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])
    1.0
    """
    y, s = _check(y_true, samples)
    if not np.isfinite(s).all():
        return np.inf
    n = len(s)
    # The mean distance of all pairs from the ranks, without forming the pairs.
    ranks = (2.0 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * y.ndim)
    spread = 2.0 * (ranks * np.sort(s, axis=0)).sum(axis=0) / (n * (n - 1))
    return float((np.abs(s - y).mean(axis=0) - 0.5 * spread).mean())


def energy_score(y_true: ArrayLike, samples: ArrayLike) -> float:
    r"""Return the energy score, `crps` with the distance of whole states in place of single coordinates.

    .. math:: \langle \|s - y\| \rangle_s - \tfrac{1}{2} \langle \|s - s'\| \rangle_{s \neq s'}

    Parameters
    ----------
    y_true : array (h,), (h, d) or (B, h, d)
    samples : array (S, *y_true.shape), S >= 2

    Returns
    -------
    float
        Mean over steps; it sees wrong correlations between coordinates. ``inf`` if a sample is not finite.

    Examples
    --------
    >>> energy_score([[0.0, 0.0]], [[[3.0, 4.0]], [[3.0, 4.0]]])
    5.0
    """
    y, s = _check(y_true, samples)
    if not np.isfinite(s).all():
        return np.inf
    if y.ndim == 1:  # one variable, not one state of h variables
        y, s = y[:, np.newaxis], s[:, :, np.newaxis]
    n = len(s)
    error = np.linalg.norm(s - y, axis=-1).mean()
    spread = sum(
        np.linalg.norm(s[i + 1 :] - s[i], axis=-1).mean(axis=tuple(range(1, s.ndim - 1))).sum() for i in range(n)
    )
    return float(error - spread / (n * (n - 1)))


def interval_coverage(y_true: ArrayLike, samples: ArrayLike, *, level: float = 0.9) -> float:
    """Return the share of true values inside the central interval of the samples.

    Parameters
    ----------
    y_true : array (h,), (h, d) or (B, h, d)
    samples : array (S, *y_true.shape), S >= 2
    level : float in (0, 1), default 0.9
        Probability that the interval claims.

    Returns
    -------
    float in 0..1
        Honest samples score `level`. A value whose samples are not all finite is not covered.

    Examples
    --------
    >>> interval_coverage([0.5, 9.0], [[0.0, 0.0], [1.0, 1.0]])
    0.5
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}.")
    y, s = _check(y_true, samples)
    finite = np.isfinite(s).all(axis=0)
    low, high = np.quantile(np.where(finite, s, 0.0), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return float((finite & (low <= y) & (y <= high)).mean())


def _check(y_true: ArrayLike, samples: ArrayLike) -> tuple[Floats, Floats]:
    y, s = np.asarray(y_true, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if s.ndim != y.ndim + 1 or s.shape[1:] != y.shape or len(s) < 2 or y.size == 0:
        raise ValueError(
            f"samples must have the shape (S, *y_true.shape) with S >= 2, got {s.shape} for y_true of shape {y.shape}."
        )
    if not np.isfinite(y).all():
        raise ValueError("y_true must be finite. Remove or fill the gap first.")
    return y, s
