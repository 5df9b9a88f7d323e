"""How closely and how long a forecast follows the truth, step by step."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chaosfit.metrics.pair import Floats, check_pair, check_scale


def error_growth(y_true: ArrayLike, y_pred: ArrayLike, *, scale: ArrayLike | None = None) -> Floats:
    r"""Return the scaled error at every step.

    .. math:: e_t = \sqrt{\frac{1}{d} \sum_i \left(\frac{p_{ti} - y_{ti}}{s_i}\right)^2}

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    scale : array (d,) or float, default: standard deviation of y_true
        The unit of error s per coordinate, best the standard deviation of the training data. The default
        shrinks, and errors grow, when the forecast horizon is shorter than the attractor's slowest motion.

    Returns
    -------
    array (h,) or (B, h)
        ``inf`` where the forecast is not finite.

    Examples
    --------
    >>> error_growth([[0.0], [2.0]], [[0.0], [3.0]], scale=2.0)
    array([0. , 0.5])
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(_error_growth(true, pred, check_scale(scale, true)))


def _error_growth(true: Floats, pred: Floats, units: Floats) -> Floats:
    # A diverging run may overflow when squared; that is an infinite error, not a reason to warn.
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.sqrt((((pred - true) / units[:, None, :]) ** 2).mean(axis=2))
    return np.where(np.isfinite(errors), errors, np.inf)


def valid_steps(
    y_true: ArrayLike, y_pred: ArrayLike, *, threshold: float = 0.4, scale: ArrayLike | None = None
) -> int | np.ndarray:
    """Count the steps before the scaled error first exceeds the threshold.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    threshold : float > 0, default 0.4
        Largest error, in units of `scale`, that still counts as a forecast. 0.2, 0.3, 0.4 and 0.5 all occur
        in the literature: state it next to the number.
    scale : array (d,) or float, default: standard deviation of y_true
        See `error_growth`.

    Returns
    -------
    int, or array (B,) of int
        0 .. h. A value of h is censored: the forecast outlived the horizon, and the true count is unknown.
        A step that is not finite fails.

    Examples
    --------
    >>> valid_steps([0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 9.0, 0.1], scale=1.0)
    2
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    failed = _error_growth(true, pred, check_scale(scale, true)) > threshold
    steps = np.where(failed.any(axis=1), failed.argmax(axis=1), failed.shape[1])
    return as_given(steps)


def valid_time(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    dt: float = 1.0,
    lyapunov_exponent: float | None = None,
    threshold: float = 0.4,
    scale: ArrayLike | None = None,
) -> float | Floats:
    r"""Return how long the forecast stays within the threshold (valid prediction time).

    .. math:: T = \lambda \, \Delta t \, \#\{t : e_s \le \theta \text{ for all } s \le t\}

    with the scaled error e of `error_growth`.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast, from the first step after the last known state.
    dt : float > 0, default 1
        Time between two rows.
    lyapunov_exponent : float > 0, optional
        Largest exponent of the system per unit of time. Given, the answer is in Lyapunov times; else in
        units of time.
    threshold : float > 0, default 0.4
        See `valid_steps`.
    scale : array (d,) or float, default: standard deviation of y_true
        See `error_growth`. Pass the standard deviation of the training data: the default depends on the
        horizon.

    Returns
    -------
    float, or array (B,)
        Between 0 (the first step fails) and the whole horizon. A value at the horizon is censored
        (`valid_steps` equals h there). A forecast that is not finite fails at that step.

    References
    ----------
    Pathak et al., Physical Review Letters 120, 024102 (2018), doi:10.1103/PhysRevLett.120.024102.

    Examples
    --------
    >>> valid_time([0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 9.0, 0.1], dt=0.5, scale=1.0)
    1.0
    """
    if not dt > 0:
        raise ValueError(f"dt must be positive, got {dt}.")
    if lyapunov_exponent is not None and not lyapunov_exponent > 0:
        raise ValueError(
            f"lyapunov_exponent must be positive, got {lyapunov_exponent}. "
            "A system that is not chaotic has no Lyapunov time: leave it out for units of time."
        )
    rate = 1.0 if lyapunov_exponent is None else lyapunov_exponent
    return valid_steps(y_true, y_pred, threshold=threshold, scale=scale) * (rate * dt)


def nrmse(
    y_true: ArrayLike, y_pred: ArrayLike, *, scale: ArrayLike | None = None, horizon: int | None = None
) -> float | Floats:
    r"""Return the root mean square of the scaled error.

    .. math:: \sqrt{\frac{1}{H} \sum_{t \le H} e_t^2}

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    scale : array (d,) or float, default: standard deviation of y_true
        See `error_growth`. A constant coordinate borrows the largest scale of the others.
    horizon : int in 1..h, default h
        Number of steps to judge.

    Returns
    -------
    float, or array (B,)
        0 is perfect, 1 is the mean of the truth, about 1.4 a random state of the attractor; ``inf`` if the
        forecast is not finite within the horizon.

    Examples
    --------
    >>> nrmse([[0.0], [2.0]], [[1.0], [1.0]])
    1.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    n_steps = _check_horizon(horizon, true.shape[1])
    errors = _error_growth(true, pred, check_scale(scale, true))[:, :n_steps]
    with np.errstate(over="ignore"):
        return as_given(np.sqrt((errors**2).mean(axis=1)))


def smape(y_true: ArrayLike, y_pred: ArrayLike, *, horizon: int | None = None) -> float | Floats:
    r"""Return the symmetric mean absolute percentage error, 0 (perfect) to 200.

    .. math:: \frac{200}{H d} \sum_{t, i} \frac{|p_{ti} - y_{ti}|}{|y_{ti}| + |p_{ti}|}

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    horizon : int in 1..h, default h
        Number of steps to judge.

    Returns
    -------
    float, or array (B,)
        An entry that is not finite counts 200, an entry that is zero in both counts 0.

    Notes
    -----
    For comparison with published tables (all on the scale 0..200). It is not a good criterion: it depends
    on the origin of the coordinates and gives 200 to the smallest error across zero. Decide on
    `valid_time` or `nrmse`.

    References
    ----------
    Gilpin, arXiv:2110.05266.

    Examples
    --------
    >>> smape([1.0, 1.0], [1.0, 3.0])
    50.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    n_steps = _check_horizon(horizon, true.shape[1])
    return as_given(_symmetric_errors(true, pred)[:, :n_steps].mean(axis=(1, 2)))


def smape_curve(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return `smape` over the first 1, 2, ..., h steps.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.

    Returns
    -------
    array (h,) or (B, h)
        The cumulative curve of arXiv:2303.08011; its first value above 30 is the valid time of
        arXiv:2409.15771.

    Examples
    --------
    >>> smape_curve([1.0, 1.0], [1.0, 3.0])
    array([ 0., 50.])
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    per_step = _symmetric_errors(true, pred).mean(axis=2)
    return as_given(per_step.cumsum(axis=1) / np.arange(1, per_step.shape[1] + 1))


def cumulative_maximum_error(y_true: ArrayLike, y_pred: ArrayLike, *, scale: ArrayLike | None = None) -> float | Floats:
    r"""Return the running maximum of the scaled error, cut off at 1 and averaged over the steps.

    .. math:: \frac{1}{h} \sum_t \min\left(1, \max_{s \le t} e_s\right)

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    scale : array (d,) or float, default: standard deviation of y_true
        See `error_growth`.

    Returns
    -------
    float, or array (B,)
        Between 0 (perfect) and 1 (lost from the first step). Unlike `valid_time` it has no threshold,
        unlike `nrmse` it gives no credit for meeting the truth again by chance. A step that is not finite
        counts 1, and so do all later.

    References
    ----------
    The idea is of Schötz et al., arXiv:2407.20158. The error here is the root mean square over
    coordinates of `error_growth`; values are comparable among each other, not digit by digit with that
    paper.

    Examples
    --------
    >>> cumulative_maximum_error([0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 9.0], scale=1.0)
    0.5
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    errors = _error_growth(true, pred, check_scale(scale, true))
    return as_given(np.minimum(np.maximum.accumulate(errors, axis=1), 1.0).mean(axis=1))


def mase(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    training: ArrayLike | None = None,
    lag: int = 1,
    horizon: int | None = None,
) -> float | Floats:
    r"""Return the mean absolute error in units of the mean absolute change over `lag` steps.

    .. math:: \frac{1}{d} \sum_i
        \frac{\langle |p_{ti} - y_{ti}| \rangle_{t \le H}}{\langle |x_{ti} - x_{t-\mathrm{lag},i}|
        \rangle_t}

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    training : array (n, d), default: y_true
        The series x whose changes set the unit; any length above `lag`.
    lag : int >= 1, default 1
        Steps between the two values compared.
    horizon : int in 1..h, default h
        Number of steps to judge; 10 in the literature of dynamical systems reconstruction.

    Returns
    -------
    float, or array (B,)
        1 is the error of persistence `lag` steps ahead; ``inf`` if the forecast is not finite within the
        horizon. The value depends on the sampling interval: compare only forecasts of one series.

    References
    ----------
    Hyndman and Koehler, International Journal of Forecasting 22, 679 (2006),
    doi:10.1016/j.ijforecast.2006.03.001.

    Examples
    --------
    >>> mase([0.0, 1.0, 2.0], [0.0, 1.0, 5.0])
    1.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    n_steps = _check_horizon(horizon, true.shape[1])
    series = true if training is None else np.atleast_3d(np.asarray(training, dtype=np.float64).T).transpose(2, 1, 0)
    if not 1 <= lag < series.shape[1]:
        raise ValueError(f"lag must be between 1 and {series.shape[1] - 1}, got {lag}.")
    changes = np.abs(series[:, lag:] - series[:, :-lag]).mean(axis=1)
    units = check_scale(np.broadcast_to(changes, (len(true), true.shape[2])), true)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = (np.abs(pred - true)[:, :n_steps].mean(axis=1) / units).mean(axis=1)
    return as_given(np.where(np.isfinite(errors), errors, np.inf))


def _symmetric_errors(true: Floats, pred: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        errors, sizes = np.abs(pred - true), np.abs(true) + np.abs(pred)
        shares = 200.0 * np.divide(errors, sizes, out=np.zeros_like(errors), where=sizes != 0)
    return np.where(np.isfinite(shares), shares, 200.0)


def _check_horizon(horizon: int | None, n_steps: int) -> int:
    if horizon is None:
        return n_steps
    if not 1 <= horizon <= n_steps:
        raise ValueError(f"horizon must be between 1 and the {n_steps} steps given, got {horizon}.")
    return int(horizon)
