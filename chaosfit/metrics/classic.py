"""The scores of general forecasting, in the selection of the dysts benchmark, with its defects mended.

All take `y_true` and `y_pred` of shape (h, d) or (B, h, d). What was mended is said in each docstring;
the values therefore differ from the published ones where the published ones depend on an accident.
`DYSTS_METRICS` names all 17 of that benchmark; four of them live in the other files of this folder.

Reference: Gilpin, arXiv:2110.05266 and arXiv:2303.08011.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, rankdata
from sklearn.feature_selection import mutual_info_regression

from chaosfit.metrics.attractor import power_spectrum_hellinger, state_space_divergence_mixture
from chaosfit.metrics.forecast import nrmse, smape
from chaosfit.metrics.pair import ROUNDING, Floats, check_pair, check_scale, is_finite


def mse(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    """Return the mean squared error, in squared units of the data.

    Never average it over systems; `nrmse` is the comparable form.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float, or array (B,)
        ``inf`` if the forecast is not finite.

    Examples
    --------
    >>> mse([0.0, 0.0], [1.0, 3.0])
    5.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(_mean(_errors(true, pred) ** 2))


def rmse(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    """Return the root of the mean squared error, in units of the data.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float, or array (B,)
        ``inf`` if the forecast is not finite.

    Examples
    --------
    >>> rmse([0.0, 0.0], [3.0, 3.0])
    3.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(np.sqrt(_mean(_errors(true, pred) ** 2)))


def mae(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    """Return the mean absolute error, in units of the data.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float, or array (B,)
        ``inf`` if the forecast is not finite.

    Examples
    --------
    >>> mae([0.0, 0.0], [1.0, -3.0])
    2.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(_mean(_errors(true, pred)))


def marre(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    r"""Return the mean absolute error in percent of the range.

    .. math:: \frac{100}{h d} \sum_{t, i} \frac{|p_{ti} - y_{ti}|}{\max_t y_{ti} - \min_t y_{ti}}

    Mended: every coordinate has its own range; a constant one borrows the largest.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float, or array (B,)
        ``inf`` if the forecast is not finite.

    Examples
    --------
    >>> marre([0.0, 4.0], [1.0, 4.0])
    12.5
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    ranges = check_scale(np.ptp(true, axis=1), true)
    return as_given(100.0 * _mean(_errors(true, pred) / ranges[:, None, :]))


def r2_score(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    r"""Return the share of the variance explained, averaged over the coordinates.

    .. math:: 1 - \frac{1}{d} \sum_i \frac{\langle (p_{ti} - y_{ti})^2 \rangle_t}{\mathrm{var}_t\, y_{ti}}

    Mended: the mean is that of each coordinate. With one mean for all, as published, coordinates that live far
    apart make every forecast look good.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float <= 1, or array (B,)
        0 is the mean of the truth, about -1 a random state of the attractor; ``-inf`` if the forecast is not finite.

    Examples
    --------
    >>> r2_score([0.0, 2.0], [0.0, 1.0])
    0.5
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    variances = check_scale(None, true) ** 2
    return as_given(1.0 - _mean(_errors(true, pred) ** 2 / variances[:, None, :]))


def rmsle(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    r"""Return the root mean square error of the logarithms, every coordinate counted from the minimum of the truth.

    .. math:: \sqrt{\langle (L(p_{ti} - m_i) - L(y_{ti} - m_i))^2 \rangle}, \quad m_i = \min_t y_{ti}, \quad
        L(x) = \mathrm{sign}(x) \log(1 + |x|)

    Mended: both series are shifted by the same m, so an offset of the forecast is visible.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast. The logarithm makes the value depend on their unit.

    Returns
    -------
    float, or array (B,)
        ``inf`` if the forecast is not finite.

    Examples
    --------
    >>> round(rmsle([5.0, 6.0], [6.0, 8.0]), 3)
    0.693
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    lowest = true.min(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        above = pred - lowest
    logarithms = np.sign(above) * np.log1p(np.abs(above))
    return as_given(np.sqrt(_mean(_errors(np.log1p(true - lowest), logarithms) ** 2)))


def mape(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    r"""Return the mean absolute error in percent of each true value.

    .. math:: \frac{100}{h d} \sum_{t, i} \frac{|p_{ti} - y_{ti}|}{|y_{ti}|}

    Useless for series that cross zero, as chaotic ones do; kept for comparison.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float, or array (B,)
        ``inf`` if the forecast is not finite, or wrong where the truth is zero.

    Examples
    --------
    >>> mape([1.0, 2.0], [2.0, 2.0])
    50.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    errors, sizes = _errors(true, pred), np.abs(true)
    shares = np.divide(errors, sizes, out=np.where(errors > 0, np.inf, 0.0), where=sizes > 0)
    return as_given(100.0 * _mean(shares))


def wape(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    r"""Return the sum of absolute errors in percent of the sum of absolute true values.

    .. math:: 100 \, \frac{\sum_{t, i} |p_{ti} - y_{ti}|}{\sum_{t, i} |y_{ti}|}

    It depends on the origin of the coordinates.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast; a truth of zeros gives ``inf`` to every error.

    Returns
    -------
    float, or array (B,)
        ``inf`` if the forecast is not finite.

    Examples
    --------
    >>> wape([1.0, 3.0], [2.0, 3.0])
    25.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(100.0 * _share(_mean(_errors(true, pred)), np.abs(true)))


def coefficient_of_variation(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    r"""Return the root mean square error in percent of the mean absolute true value.

    .. math:: 100 \, \sqrt{\langle (p - y)^2 \rangle} \, / \, \langle |y| \rangle

    Mended: the published form takes the standard deviation of the errors, to which a bias is invisible, and
    divides by the mean, which has any sign and may be zero.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float >= 0, or array (B,)
        ``inf`` if the forecast is not finite.

    Examples
    --------
    >>> coefficient_of_variation([1.0, -3.0], [2.0, -2.0])
    50.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(100.0 * _share(np.sqrt(_mean(_errors(true, pred) ** 2)), np.abs(true)))


def pearson(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    """Return the linear correlation, averaged over the coordinates.

    Mended: a single series gives the linear correlation too, not that of the ranks.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float in -1..1, or array (B,)
        Blind to offset and scale. A constant coordinate counts 0; a forecast that is not finite gets -1.

    Examples
    --------
    >>> round(pearson([1.0, 2.0, 3.0], [2.0, 4.0, 9.0]), 3)
    0.971
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    finite, pred = _finite_runs(pred)
    return as_given(np.where(finite, _correlations(true, pred), -1.0))


def spearman(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    """Return the correlation of the ranks (Spearman's rho), averaged over the coordinates.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float in -1..1, or array (B,)
        Blind to any increasing distortion. A constant coordinate counts 0; a forecast that is not finite gets -1.

    Examples
    --------
    >>> spearman([1.0, 2.0, 3.0], [2.0, 4.0, 9.0])
    1.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    finite, pred = _finite_runs(pred)
    values = _correlations(rankdata(true, axis=1), rankdata(pred, axis=1))
    return as_given(np.where(finite, values, -1.0))


def kendall(y_true: ArrayLike, y_pred: ArrayLike) -> float | Floats:
    """Return the share of concordant less discordant pairs (Kendall's tau-b), averaged over the coordinates.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    float in -1..1, or array (B,)
        A constant coordinate counts 0; a forecast that is not finite gets -1.

    Examples
    --------
    >>> round(kendall([1.0, 2.0, 3.0], [2.0, 9.0, 4.0]), 3)
    0.333
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    finite, pred = _finite_runs(pred)
    values = _by_coordinate(lambda t, p: np.nan_to_num(kendalltau(t, p).statistic), true, pred)
    return as_given(np.where(finite, values, -1.0))


def mutual_information(
    y_true: ArrayLike, y_pred: ArrayLike, *, n_neighbors: int = 3, random_state: int | None = 0
) -> float | Floats:
    """Return the mutual information of truth and forecast in nats, averaged over the coordinates.

    The estimator of Kraskov et al. counts neighbours. Mended: the noise that separates equal values is seeded.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast, h > n_neighbors.
    n_neighbors : int >= 1, default 3
        More neighbours: less variance, more bias.
    random_state : int or None, default 0
        Seed of the noise.

    Returns
    -------
    float >= 0, or array (B,)
        Blind to any one-to-one distortion; 0 if the forecast is not finite.

    References
    ----------
    Kraskov, Stögbauer and Grassberger, Physical Review E 69, 066138 (2004), doi:10.1103/PhysRevE.69.066138.

    Examples
    --------
    >>> import numpy as np
    >>> series = np.random.default_rng(0).normal(size=300)
    >>> mutual_information(series, series) > 2 > mutual_information(series, np.roll(series, 7))
    True
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    if not 1 <= n_neighbors < true.shape[1]:
        raise ValueError(f"n_neighbors must be between 1 and {true.shape[1] - 1}, got {n_neighbors}.")
    finite, pred = _finite_runs(pred)

    def of_series(true_series: Floats, pred_series: Floats) -> float:
        return mutual_info_regression(
            true_series[:, None], pred_series, n_neighbors=n_neighbors, random_state=random_state
        )[0]

    return as_given(np.where(finite, _by_coordinate(of_series, true, pred), 0.0))


DYSTS_METRICS: Mapping[str, Callable] = MappingProxyType(
    {
        "mse": mse,
        "mae": mae,
        "rmse": rmse,
        "nrmse": nrmse,
        "marre": marre,
        "r2_score": r2_score,
        "rmsle": rmsle,
        "smape": smape,
        "mape": mape,
        "wape": wape,
        "spearman": spearman,
        "pearson": pearson,
        "kendall": kendall,
        "coefficient_of_variation": coefficient_of_variation,
        "mutual_information": mutual_information,
        # Published: width 1 in raw units and unseeded.
        "kl_divergence": state_space_divergence_mixture,
        # Published: with the mean as the first of the 100 frequencies.
        "hellinger_distance": partial(power_spectrum_hellinger, smoothing=0.0, n_frequencies=100),
    }
)
"""Name in the dysts benchmark -> the mended function here."""


def _errors(true: Floats, pred: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.abs(pred - true)
    # Beyond this the squares overflow, and the forecast is lost anyway.
    return np.where(errors < 1e150, errors, np.inf)


def _mean(entries: Floats) -> Floats:
    return entries.mean(axis=(1, 2))


def _share(errors: Floats, sizes: Floats) -> Floats:
    totals = _mean(sizes)
    return np.divide(errors, totals, out=np.where(errors > 0, np.inf, 0.0), where=totals > 0)


def _finite_runs(pred: Floats) -> tuple[np.ndarray, Floats]:
    finite = is_finite(pred)
    return finite, np.where(finite[:, None, None], pred, 0.0)


def _correlations(true: Floats, pred: Floats) -> Floats:
    left, right = _standardised(true), _standardised(pred)
    return np.clip((left * right).mean(axis=1), -1.0, 1.0).mean(axis=1)


def _standardised(runs: Floats) -> Floats:
    """Return runs (B, h, d) with mean 0 and variance 1 per coordinate, zero where they are constant."""
    largest = np.abs(runs).max(axis=1, keepdims=True)
    runs = runs / np.where(largest > 0, largest, 1.0)
    spread = runs.std(axis=1, keepdims=True)
    return np.where(spread > ROUNDING, (runs - runs.mean(axis=1, keepdims=True)) / np.maximum(spread, ROUNDING), 0.0)


def _by_coordinate(statistic: Callable[[Floats, Floats], float], true: Floats, pred: Floats) -> Floats:
    return np.array(
        [
            np.mean([statistic(t, p) for t, p in zip(orbit.T, run.T, strict=True)])
            for orbit, run in zip(true, pred, strict=True)
        ]
    )
