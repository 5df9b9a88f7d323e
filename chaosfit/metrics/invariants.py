"""Long runs compared through what chaos theory measures: correlation sums, dimension, exponent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from chaosfit.analysis.dimension import correlation_dimension, correlation_sum
from chaosfit.analysis.lyapunov import largest_lyapunov_exponent
from chaosfit.metrics.pair import Floats, check_pair, check_scale, is_finite


def correlation_sum_distance(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    scale: ArrayLike | None = None,
    theiler: int = 0,
    n_radii: int = 10,
) -> float | Floats:
    r"""Return by how much the numbers of near pairs differ, within the two runs and between them.

    .. math:: D = \frac{1}{R} \sum_r \max\left(\left|\log \frac{C_{yp}(r)}{C_{yy}(r)}\right|,
        \left|\log \frac{C_{pp}(r)}{C_{yy}(r)}\right|\right)

    C are the correlation sums within the truth y, within the forecast p and between both, at the radii that
    hold 0.1 to 30 % of the pairs of the truth. If both runs fill space alike, all three agree. It needs no
    boxes, so it works in many dimensions.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient. Time grows with T log T for d below about 10, with T squared
        above.
    scale : array (d,) or float, default: standard deviation of y_true
        Unit of every coordinate.
    theiler : int >= 0, default 0
        Pairs this close in time do not count.
    n_radii : int >= 1, default 10
        Number of radii R, equally spaced logarithmically.

    Returns
    -------
    float, or array (B,)
        0.1 means that the numbers agree within about 10 %; two runs of one system score 0.05 to 0.3.
        ``inf`` if the forecast is not finite. At least one pair is counted, so a run far away gets a finite
        value.

    References
    ----------
    Kantz, Physical Review E 49, 5091 (1994), doi:10.1103/PhysRevE.49.5091 (cross-correlation sums).

    Examples
    --------
    >>> import numpy as np
    >>> orbit = np.random.default_rng(0).normal(size=(1000, 2))
    >>> correlation_sum_distance(orbit, orbit)
    0.0
    >>> correlation_sum_distance(orbit, orbit + 2.0) > 0.5
    True
    """
    if n_radii < 1:
        raise ValueError(f"n_radii must be at least 1, got {n_radii}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    units = check_scale(scale, true)[:, None, :]
    values = np.full(len(true), np.inf)
    for b in np.flatnonzero(is_finite(pred)):
        values[b] = _pair_count_difference(true[b] / units[b], pred[b] / units[b], theiler, n_radii)
    return as_given(values)


def _pair_count_difference(orbit: Floats, run: Floats, theiler: int, n_radii: int) -> float:
    n = len(orbit)
    shifts = [shift for shift in (n // 2, n // 3, n // 5) if shift > theiler]
    if not shifts:
        raise ValueError(f"theiler must be below half the {n} steps, got {theiler}.")
    distances = np.concatenate([np.abs(orbit[s:] - orbit[:-s]).max(axis=1) for s in shifts])
    smallest, largest = np.quantile(distances, [0.001, 0.3])
    radii = np.geomspace(max(smallest, 1e-3 * largest), largest, n_radii)
    one_pair = 1.0 / ((n - theiler) * (n - theiler - 1))
    within_true, within_pred, between = (
        np.maximum(correlation_sum(left, radii, Y=right, theiler=theiler), one_pair)
        for left, right in ((orbit, None), (run, None), (orbit, run))
    )
    differences = np.abs(np.log([between / within_true, within_pred / within_true]))
    return float(differences.max(axis=0).mean())


def correlation_dimension_error(y_true: ArrayLike, y_pred: ArrayLike, *, theiler: int | None = None) -> float | Floats:
    """Return the relative error of the correlation dimension.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d), T >= 500
        Two long runs after the transient.
    theiler : int >= 0, default one mean period
        See `chaosfit.analysis.dimension.correlation_dimension`, which estimates both.

    Returns
    -------
    float >= 0, or array (B,)
        ``inf`` if the forecast is not finite, has a constant coordinate or shows no dimension; NaN if the
        truth shows none.

    Examples
    --------
    >>> import numpy as np
    >>> plane = np.random.default_rng(0).uniform(size=(1500, 2))
    >>> correlation_dimension_error(plane, plane)
    0.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(_relative_errors(lambda X: correlation_dimension(X, theiler=theiler).dimension, true, pred))


def lyapunov_exponent_error(y_true: ArrayLike, y_pred: ArrayLike, *, theiler: int | None = None) -> float | Floats:
    """Return the relative error of the largest Lyapunov exponent.

    Both exponents are estimated from the runs in the same way, so the bias of the method cancels.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d), T >= 500
        Two long runs after the transient.
    theiler : int >= 0, default one mean period
        See `chaosfit.analysis.lyapunov.largest_lyapunov_exponent`, which estimates both.

    Returns
    -------
    float >= 0, or array (B,)
        ``inf`` if the forecast is not finite, has a constant coordinate or shows no exponent (noise); NaN
        if the truth shows none.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(1000, 2))
    >>> lyapunov_exponent_error(noise, noise)
    nan
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(_relative_errors(lambda X: largest_lyapunov_exponent(X, theiler=theiler).exponent, true, pred))


def _relative_errors(invariant: Callable[[Floats], float], true: Floats, pred: Floats) -> Floats:
    values = np.full(len(true), np.inf)
    for b, (orbit, run) in enumerate(zip(true, pred, strict=True)):
        expected = invariant(orbit)
        if np.isnan(expected):
            values[b] = np.nan
        elif np.isfinite(run).all() and (np.ptp(run, axis=0) > 1e-9 * np.abs(run).max(axis=0)).all():
            found = invariant(run)
            values[b] = np.inf if np.isnan(found) else abs(found - expected) / abs(expected)
    return values
