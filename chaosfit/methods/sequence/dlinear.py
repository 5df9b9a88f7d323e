"""DLinear: one linear map of the trend of a window and one of the rest."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np

from chaosfit.methods.sequence.linear_window import LinearWindow
from chaosfit.validation import Interval


class DLinear(LinearWindow):
    """Linear maps of a window's moving average and of the remainder, the same for every variable.

    x[t+j] = b_j + T_j trend(window) + S_j (window - trend(window)), j = 1 .. k, for standardised variables. The moving
    average is centred; at the ends of the window its first and last rows are repeated.

    Parameters
    ----------
    context_length : int >= 2, default=30
        Rows L of the window (published: 336).
    horizon : int >= 1, default=5
        Rows k that one evaluation predicts.
    trend_length : int >= 1, default=25
        Rows of the moving average.
    ridge : float >= 0, default=1e-6
        Penalty on T and S for standardised variables, not divided by the number of rows.

    Attributes
    ----------
    coef_ : ndarray of shape (k, 2 * L)
        S, then T, oldest row first. Where outputs are not states: (k * m, d * (2 * L + 1)).
    intercept_ : ndarray of shape (k,)
    mean_, scale_ : ndarray of shape (d,)

    Notes
    -----
    The published model is trained by gradient descent; this is the exact minimum. Without the penalty the split
    would change nothing, since trend and remainder add up to the window. Variables do not see each other.

    References
    ----------
    Zeng, Chen, Zhang and Xu, Are Transformers Effective for Time Series Forecasting?, AAAI 2023, arXiv:2205.13504

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.dlinear import DLinear
    >>> wave = np.sin(0.3 * np.arange(300))[:, np.newaxis]
    >>> model = DLinear(context_length=10, horizon=2, trend_length=5).fit(wave)
    >>> bool(np.allclose(model.forecast(50)[:, 0], np.sin(0.3 * np.arange(300, 350)), atol=1e-3))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **LinearWindow._parameter_constraints,
        "trend_length": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, context_length=30, horizon=5, trend_length=25, ridge=1e-6):
        self.context_length = context_length
        self.horizon = horizon
        self.trend_length = trend_length
        self.ridge = ridge

    def _features(self, z):
        trend = z @ moving_average(self.context_length, self.trend_length).T
        return np.concatenate([z - trend, trend], axis=2)

    def _offset(self, z):
        return np.zeros_like(z[:, :, -1:])


def moving_average(n_rows: int, width: int) -> np.ndarray:
    """Return the matrix (n_rows, n_rows) of a centred moving average that repeats the first and last row."""
    matrix = np.zeros((n_rows, n_rows))
    for row in range(n_rows):
        neighbours = np.clip(row - (width - 1) // 2 + np.arange(width), 0, n_rows - 1)
        np.add.at(matrix[row], neighbours, 1.0 / width)
    return matrix
