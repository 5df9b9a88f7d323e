"""NLinear: a linear map of the differences from the last state."""

from __future__ import annotations

from chaosfit.methods.sequence.linear_window import LinearWindow


class NLinear(LinearWindow):
    """Linear map of the window's differences from its last row, the same for every variable.

    x[t+j] = x[t] + b_j + sum_i W_ji (x[t-i] - x[t]), i = 1 .. L-1, j = 1 .. k, in units of each variable's deviation.

    Parameters
    ----------
    context_length : int >= 2, default=30
        Rows L of the window (published: 336).
    horizon : int >= 1, default=5
        Rows k that one evaluation predicts.
    ridge : float >= 0, default=1e-6
        Penalty on W for standardised variables, not divided by the number of rows.

    Attributes
    ----------
    coef_ : ndarray of shape (k, L - 1)
        Oldest row first. Where outputs are not states: (k * m, d * L).
    intercept_ : ndarray of shape (k,)
    mean_, scale_ : ndarray of shape (d,)

    Notes
    -----
    The published model is trained by gradient descent; this is the exact minimum. Variables do not see each other:
    `LinearAutoregression` couples them.

    References
    ----------
    Zeng, Chen, Zhang and Xu, Are Transformers Effective for Time Series Forecasting?, AAAI 2023, arXiv:2205.13504

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.nlinear import NLinear
    >>> wave = np.sin(0.3 * np.arange(300))[:, np.newaxis]
    >>> model = NLinear(context_length=4, horizon=2).fit(wave)
    >>> bool(np.allclose(model.forecast(50)[:, 0], np.sin(0.3 * np.arange(300, 350)), atol=1e-3))
    True
    """

    def __init__(self, context_length=30, horizon=5, ridge=1e-6):
        self.context_length = context_length
        self.horizon = horizon
        self.ridge = ridge

    def _features(self, z):
        return z[:, :, :-1] - z[:, :, -1:]

    def _offset(self, z):
        return z[:, :, -1:]
