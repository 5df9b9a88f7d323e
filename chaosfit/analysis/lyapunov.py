"""The largest Lyapunov exponent of measured data: how fast neighbouring states part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from chaosfit.analysis.states import mean_period, standardised_states, theiler_window
from chaosfit.numerics.delay import delay_vectors, window_span

__all__ = ["LyapunovEstimate", "largest_lyapunov_exponent"]

Floats = NDArray[np.float64]

N_BLOCKS = 20
# The line ends at this share of the rise from alignment to saturation.
RISE_FITTED = 0.65
# Motion sampled this often per mean period can be interpolated between two samples.
SAMPLES_TO_INTERPOLATE = 8
MIN_FIT_POINTS = 5
# Noise parts neighbours at once: less than this share of the rise is then left for exponential growth.
MIN_SHARE_OF_RISE = 0.4
# Diffusive growth flattens; exponential growth keeps at least this share of its slope to the end.
MIN_SLOPE_RATIO = 0.5
# A curve that rises by less than this (natural logarithm) does not show growth.
MIN_RISE = 0.5
# Distances below this, in standard deviations, are rounding errors of equal states.
ROUNDING = 1e-12


@dataclass(frozen=True)
class LyapunovEstimate:
    """Largest Lyapunov exponent with what it was read from.

    Attributes
    ----------
    exponent : float
        Per unit of time; NaN if the data show no exponential divergence.
    interval : tuple (float, float)
        95 % interval from blocks of the data, widened to the slopes of both halves of the fit range. It knows
        nothing of a bias by noise.
    fit_range : tuple (int, int)
        First and last but one step of `curve` that were fitted, (0, 0) if none.
    curve : array (n_followed,)
        Mean logarithm of the distance, in standard deviations, after 0, 1, 2, ... steps.
    reason : str
        Why the exponent is NaN or to be doubted; empty if there is nothing to say.
    """

    exponent: float
    interval: tuple[float, float]
    fit_range: tuple[int, int]
    curve: Floats
    reason: str = ""


def largest_lyapunov_exponent(
    X: ArrayLike, dt: float = 1.0, *, n_delays: int = 1, lag: int = 1, theiler: int | None = None
) -> LyapunovEstimate:
    r"""Estimate the largest Lyapunov exponent by the method of Rosenstein.

    .. math:: S(k) = \langle \log \|x_{i+k} - x_{j(i)+k}\| \rangle_i, \qquad \lambda = \frac{1}{\Delta t} \frac{dS}{dk}

    j(i) is the nearest neighbour of state i that is not near in time. The slope is never taken from the whole
    curve: the first half period (and one delay window), in which the separation turns into the fastest
    direction, is skipped, and the line ends at 65 % of the remaining rise to the mean distance of two random
    states. Two refinements of the original: where a flow is sampled at least 8 times per mean period, the
    neighbour is moved along its own path, between two samples, to the point nearest to state i, because a lag
    in time does not grow and hides what does; and without a linear range there is no answer.

    Parameters
    ----------
    X : array (n,) or (n, d), n >= 500
        One trajectory without transient. All coordinates of the state, or an observed part of them.
    dt : float > 0, default 1
        Time between two rows; the exponent is per unit of this time.
    n_delays : int >= 1, default 1
        Number of delays if X is only a part of the state; 1 takes the rows as states.
    lag : int >= 1, default 1
        Rows between two delays.
    theiler : int >= 0, default one mean period
        Neighbours within this number of rows are the same stretch of the trajectory, and do not count.

    Returns
    -------
    LyapunovEstimate
        The exponent is NaN, with a reason, if there is no linear range: noise, too few data, distances
        dominated by measurement noise. It is near 0 if neighbours stay together (periodic motion).

    Raises
    ------
    ValueError
        If X is too short, not finite or has a constant column, or dt is not positive.

    Notes
    -----
    Less accurate for weak chaos: where growth over one oscillation is small, drift along the orbit hides part of
    it (10 000 states of Rössler: 0.06 to 0.075 instead of 0.071); `reason` then says so. Measurement noise lowers
    the value before it makes it NaN: on Lorenz-63 by 9 % for noise of 1 % of the standard deviation, by 24 % for
    5 %. A fitted model gives the whole spectrum and is more accurate.

    References
    ----------
    Rosenstein, Collins and De Luca, Physica D 65, 117 (1993), doi:10.1016/0167-2789(93)90009-P.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.empty(3000)
    >>> x[0] = 0.3
    >>> for t in range(2999):
    ...     x[t + 1] = 3.99 * x[t] * (1 - x[t])
    >>> round(largest_lyapunov_exponent(x).exponent, 1)
    0.6
    """
    if not dt > 0:
        raise ValueError(f"dt must be positive, got {dt}.")
    states = standardised_states(X)
    period = mean_period(states)
    vectors = delay_vectors(states, n_delays, lag)
    theiler = theiler_window(theiler, vectors)
    n_steps = min(int(np.ceil(20 * period)), len(vectors) // 4)
    first, second = _neighbour_pairs(vectors, n_steps, theiler)
    if len(first) < N_BLOCKS:
        return _no_estimate(np.empty(0), "no neighbours that are separated in time")
    delay = _delays(vectors, first, second) if period >= SAMPLES_TO_INTERPOLATE else None
    saturation = _mean_log_distance(vectors)
    curves = _divergence_curves(vectors, (first, second, delay), n_steps, saturation)
    curve = _average(curves)
    skipped = max(window_span(n_delays, lag) - 1, int(np.ceil(period / 2)))
    start, stop, reason = _linear_range(curve, skipped, saturation)
    if reason:
        return _no_estimate(curve, reason)
    exponent, interval = _slope_and_interval(curves, start, stop)
    low, high = interval
    doubts = _doubts(exponent * period)
    return LyapunovEstimate(exponent / dt, (low / dt, high / dt), (start, stop), curve, doubts)


def _doubts(growth_per_period: float) -> str:
    if growth_per_period < 0.05:
        return "no growth: neighbours stay together, as in periodic motion"
    if growth_per_period < 0.5:
        return (
            f"slow growth, {growth_per_period:.2f} e-folds per mean period: "
            "drift along the orbit hides it, the value may be too low by a fifth"
        )
    return ""


def _no_estimate(curve: Floats, reason: str) -> LyapunovEstimate:
    return LyapunovEstimate(np.nan, (np.nan, np.nan), (0, 0), curve, reason)


def _neighbour_pairs(vectors: Floats, n_steps: int, theiler: int) -> tuple[NDArray, NDArray]:
    """Pair every vector with its nearest one that is separated in time and space.

    Leaves out the ends: each of a pair has one sample before it and n_steps + 1 samples after it.
    """
    inner = vectors[1 : len(vectors) - n_steps - 1]
    n_candidates = len(inner)
    tree = KDTree(inner)
    neighbour = np.full(n_candidates, -1)
    waiting, n_asked = np.arange(n_candidates), 4
    # Few points have all their near neighbours inside the Theiler window: ask for more only there. Ties at
    # distance zero (quantised or periodic data) may exhaust the search; those points then have no partner.
    while len(waiting):
        n_asked = min(n_asked, n_candidates)
        distance, index = tree.query(inner[waiting], k=n_asked)
        fits = (np.abs(index - waiting[:, None]) > theiler) & (distance > ROUNDING)
        found = fits.any(axis=1)
        neighbour[waiting[found]] = index[found, fits[found].argmax(axis=1)]
        waiting = waiting[~found]
        if n_asked > 2 * theiler + 2 or n_asked == n_candidates:
            break
        n_asked *= 4
    first = np.flatnonzero(neighbour >= 0)
    return first + 1, neighbour[first] + 1


def _delays(vectors: Floats, first: NDArray, second: NDArray) -> Floats:
    """Return by how many samples, at most one, each partner lags behind the point of its path nearest to `first`."""
    velocity = (vectors[second + 1] - vectors[second - 1]) / 2
    along = ((vectors[first] - vectors[second]) * velocity).sum(axis=1)
    return np.clip(along / np.maximum((velocity**2).sum(axis=1), ROUNDING), -1.0, 1.0)[:, None]


def _distances(vectors: Floats, first: NDArray, second: NDArray, delay: Floats | None) -> Floats:
    partner = vectors[second]
    if delay is not None:
        # The parabola through three samples.
        before, after = vectors[second - 1], vectors[second + 1]
        partner = partner + delay * (after - before) / 2 + delay**2 * (after - 2 * partner + before) / 2
    return np.linalg.norm(vectors[first] - partner, axis=1)


def _mean_log_distance(vectors: Floats) -> float:
    """Return the mean log distance of states far apart in time: where divergence must end."""
    n = len(vectors)
    distances = np.concatenate(
        [np.linalg.norm(vectors[shift:] - vectors[:-shift], axis=1) for shift in (n // 2, n // 3, n // 5)]
    )
    return float(np.log(distances[distances > ROUNDING]).mean())


def _divergence_curves(
    vectors: Floats, pairs: tuple[NDArray, NDArray, Floats | None], n_steps: int, saturation: float
) -> tuple[Floats, Floats]:
    """Follow all pairs; return sums and counts of the log distance, (n_followed, N_BLOCKS) each.

    The pairs form blocks of consecutive time, from which the interval comes. Stops once saturated.
    """
    first, second, delay = pairs
    blocks = np.arange(N_BLOCKS) * len(first) // N_BLOCKS
    sums, counts = [], []
    initial = None
    for k in range(n_steps + 1):
        distance = _distances(vectors, first + k, second + k, delay)
        apart = distance > ROUNDING
        sums.append(np.add.reduceat(np.log(np.where(apart, distance, 1.0)), blocks))
        counts.append(np.add.reduceat(apart.astype(np.float64), blocks))
        level = sums[-1].sum() / max(counts[-1].sum(), 1.0)
        initial = level if initial is None else initial
        if level > saturation - 0.05 * (saturation - initial):
            break
    return np.array(sums), np.array(counts)


def _average(curves: tuple[Floats, Floats]) -> Floats:
    sums, counts = curves
    return sums.sum(axis=1) / np.maximum(counts.sum(axis=1), 1.0)


def _linear_range(curve: Floats, skipped: int, saturation: float) -> tuple[int, int, str]:
    """Return the steps to fit, and why not if there are none."""
    top = min(saturation, curve.max())
    if skipped >= len(curve) - 1:
        return 0, 0, "no linear range: neighbours part within half a period, as in noise"
    base = curve[skipped]
    if top - base < MIN_RISE and saturation - top > MIN_RISE:
        return skipped, len(curve), ""
    if top - base < MIN_SHARE_OF_RISE * (top - curve[0]):
        return 0, 0, "no linear range: neighbours part within half a period, as in noise"
    stop = skipped + int(np.argmax(curve[skipped:] >= base + RISE_FITTED * (top - base)))
    if stop - skipped < MIN_FIT_POINTS:
        return 0, 0, f"no linear range: only {stop - skipped} steps between alignment and saturation"
    middle = (skipped + stop) // 2
    if _slope(curve[middle:stop]) < MIN_SLOPE_RATIO * _slope(curve[skipped : middle + 1]):
        return 0, 0, "no linear range: the curve flattens from the start, as in diffusion"
    return skipped, stop, ""


def _slope(values: Floats) -> float:
    steps = np.arange(len(values)) - (len(values) - 1) / 2
    return float(steps @ values / (steps @ steps))


def _slope_and_interval(curves: tuple[Floats, Floats], start: int, stop: int) -> tuple[float, tuple[float, float]]:
    """Return the slope per step and its interval: jackknife over blocks, joined with the two half ranges."""
    sums, counts = (part[start:stop] for part in curves)
    curve = _average((sums, counts))
    slope, middle = _slope(curve), len(curve) // 2
    left = np.maximum(counts.sum(axis=1, keepdims=True) - counts, 1.0)
    without_one = (sums.sum(axis=1, keepdims=True) - sums) / left
    slopes = np.array([_slope(part) for part in without_one.T])
    error = np.sqrt((N_BLOCKS - 1) * slopes.var())
    halves = _slope(curve[: middle + 1]), _slope(curve[middle:])
    return slope, (min(slope - 1.96 * error, *halves), max(slope + 1.96 * error, *halves))
