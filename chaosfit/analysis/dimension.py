"""The correlation dimension: how the number of neighbours grows with the radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from chaosfit.analysis.states import standardised_states, theiler_window

__all__ = ["DimensionEstimate", "correlation_dimension", "correlation_sum"]

Floats = NDArray[np.float64]

RADII_PER_DECADE = 12
# Below, the slope is counting noise; above, it feels the edge of the attractor.
MIN_PAIRS, MAX_CORRELATION = 20, 0.1
# The dimension is read where the local slope stays within this share of its mean.
PLATEAU_SPREAD = 0.10
MIN_PLATEAU_RADII = 5


@dataclass(frozen=True)
class DimensionEstimate:
    """Correlation dimension with what it was read from.

    Attributes
    ----------
    dimension : float
        NaN if no plateau was found.
    fit_range : tuple (float, float)
        Smallest and largest radius of the plateau, in standard deviations.
    radii : array (k,)
        Radii, in standard deviations.
    correlation_sums : array (k,)
        Share of pairs that are nearer than each radius.
    reason : str
        Why the dimension is NaN or to be doubted; empty if there is nothing to say.
    """

    dimension: float
    fit_range: tuple[float, float]
    radii: Floats
    correlation_sums: Floats
    reason: str = ""


def correlation_sum(X: ArrayLike, radii: ArrayLike, *, Y: ArrayLike | None = None, theiler: int = 0) -> Floats:
    r"""Return the share of pairs of states that are at most as far apart as each radius.

    .. math:: C(r) = \frac{\#\{(i, j) : |i - j| > w, \; \max_k |x_{ik} - y_{jk}| \le r\}}{(n - w)(n - w - 1)}

    Parameters
    ----------
    X : array (n, d)
        States.
    radii : array (k,)
        Radii, ascending.
    Y : array (n, d), default X
        The states on the other side of a pair, from a second run of the same length.
    theiler : int >= 0, default 0
        Pairs with time indices this close, w, do not count.

    Returns
    -------
    array (k,)
        Not below 0, not above 1.

    Examples
    --------
    >>> import numpy as np
    >>> correlation_sum(np.arange(4.0)[:, None], [1.0, 2.0])
    array([0.5       , 0.83333333])
    """
    X, radii = np.asarray(X, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    other = X if Y is None else np.asarray(Y, dtype=np.float64)
    if X.ndim != 2 or X.shape != other.shape:
        raise ValueError(f"expected X and Y of one shape (n, d), got {X.shape} and {other.shape}.")
    n = len(X)
    if not 0 <= theiler < n - 1:
        raise ValueError(f"theiler must be between 0 and {n - 2}, got {theiler}.")
    tree = KDTree(X)
    pairs = tree.count_neighbors(tree if Y is None else KDTree(other), radii, p=np.inf).astype(np.float64)
    for shift in range(-theiler, theiler + 1):
        near = np.abs(X[max(shift, 0) : n + min(shift, 0)] - other[max(-shift, 0) : n - max(shift, 0)])
        pairs -= np.searchsorted(np.sort(near.max(axis=1)), radii, side="right")
    return pairs / ((n - theiler) * (n - theiler - 1))


def correlation_dimension(X: ArrayLike, *, theiler: int | None = None) -> DimensionEstimate:
    r"""Estimate the correlation dimension by the method of Grassberger and Procaccia.

    .. math:: D_2 = \frac{d \log C(r)}{d \log r}

    with the correlation sum C of `correlation_sum`, on the longest range of radii over which the local slope
    varies by less than 10 %, where C is above 20 pairs and below 0.1.

    Parameters
    ----------
    X : array (n,) or (n, d), n >= 500
        One trajectory without transient: states, or delay vectors of an observed part.
    theiler : int >= 0, default one mean period
        Pairs within this number of rows do not count. Too small a window measures the curve, of dimension 1, instead.

    Returns
    -------
    DimensionEstimate
        The dimension is NaN, with a reason, if the local slope has no plateau. That a plateau exists proves nothing:
        filtered noise has one too.

    Raises
    ------
    ValueError
        If X is too short, not finite or has a constant column.

    Notes
    -----
    n states cannot show a dimension above 2 (log10(n) - 1); `reason` says when the value is there.

    References
    ----------
    Grassberger and Procaccia, Physica D 9, 189 (1983), doi:10.1016/0167-2789(83)90298-1;
    Theiler, Physical Review A 34, 2427 (1986), doi:10.1103/PhysRevA.34.2427.

    Examples
    --------
    >>> import numpy as np
    >>> plane = np.random.default_rng(0).uniform(size=(3000, 2))
    >>> round(correlation_dimension(plane).dimension, 1)
    2.0
    """
    states = standardised_states(X)
    theiler = theiler_window(theiler, states)
    radii = _candidate_radii(states)
    sums = correlation_sum(states, radii, theiler=theiler)
    n_pairs = (len(states) - theiler) * (len(states) - theiler - 1) / 2
    usable = (sums * n_pairs >= MIN_PAIRS) & (sums <= MAX_CORRELATION)
    radii, sums = radii[usable], sums[usable]
    if len(radii) < MIN_PLATEAU_RADII:
        return DimensionEstimate(np.nan, (np.nan, np.nan), radii, sums, "too few pairs at small radii")
    slopes = np.gradient(np.log(sums), np.log(radii))
    start, stop = _longest_plateau(slopes)
    if stop - start < MIN_PLATEAU_RADII:
        return DimensionEstimate(np.nan, (np.nan, np.nan), radii, sums, "the local slope has no plateau")
    dimension = float(slopes[start:stop].mean())
    highest = 2 * (np.log10(len(states)) - 1)
    reason = f"{len(states)} states cannot show a dimension above {highest:.1f}" if dimension > highest else ""
    return DimensionEstimate(dimension, (float(radii[start]), float(radii[stop - 1])), radii, sums, reason)


def _candidate_radii(states: Floats) -> Floats:
    """Return radii from a tenth of all pairs down four decades."""
    n = len(states)
    distances = np.concatenate(
        [np.abs(states[shift:] - states[:-shift]).max(axis=1) for shift in (n // 2, n // 3, n // 5)]
    )
    largest = np.quantile(distances, 1.5 * MAX_CORRELATION)
    return largest * np.logspace(-4, 0, 4 * RADII_PER_DECADE + 1)


def _longest_plateau(slopes: Floats) -> tuple[int, int]:
    """Return the longest run of slopes whose spread is below the tolerance; of equal ones, the smallest radii."""
    best = (0, 0)
    for start in range(len(slopes)):
        for stop in range(start + best[1] - best[0] + 1, len(slopes) + 1):
            part = slopes[start:stop]
            if np.ptp(part) >= PLATEAU_SPREAD * part.mean():
                break
            best = (start, stop)
    return best
