"""The best linear guess from the last states."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from chaosfit.base import WindowDynamics
from chaosfit.numerics.regress import gram, ridge_solve
from chaosfit.validation import Interval

_N_CORRECTIONS = 2


class LinearAutoregression(WindowDynamics):
    """Vector autoregression by ridge regression.

    x[t+1] = c + A_0 x[t] + A_1 x[t-1] + ... + A_{q-1} x[t-q+1] + B u[t], with q = n_lags, minimising
    |x[t+1] - ...|^2 summed over t, plus ridge |A, B|^2, in units of the standard deviations.

    Parameters
    ----------
    n_lags : int, default=1
        Number q >= 1 of states that the prediction uses.
    ridge : float, default=1e-6
        Penalty >= 0 on the coefficients of standardised variables, not divided by the number of rows.

    Attributes
    ----------
    coef_ : ndarray of shape (m, n_lags * d + p)
        A_0, A_1, ..., B side by side, newest state first.
    intercept_ : ndarray of shape (m,)
        c

    Notes
    -----
    Free runs of a stationary linear model decay to the mean: on chaotic data this is a baseline for short
    times. For a nonlinear map of the lags see `NGRC` and `NextStepRegressor`.

    References
    ----------
    Luetkepohl, New Introduction to Multiple Time Series Analysis (2005), doi:10.1007/978-3-540-27752-1

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import LinearAutoregression
    >>> wave = np.sin(0.3 * np.arange(200))[:, np.newaxis]
    >>> model = LinearAutoregression(n_lags=2).fit(wave)
    >>> bool(np.allclose(model.forecast(50)[:, 0], np.sin(0.3 * np.arange(200, 250)), atol=1e-3))
    True
    >>> model.coef_.round(3) + 0.0  # 2 cos(0.3) and -1
    array([[ 1.911, -1.   ]])
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        "n_lags": [Interval(Integral, 1, None, closed="left")],
        "ridge": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, n_lags=1, ridge=1e-6):
        self.n_lags = n_lags
        self.ridge = ridge

    def _context_length(self):
        return self.n_lags

    def _fit(self, trajectories):
        windows, targets, u = self._training_windows(trajectories)
        features = _features(windows, None if u is None else u[:, np.newaxis])
        mean, scale, offset = features.mean(axis=0), features.std(axis=0), targets.mean(axis=0)
        scale[scale == 0] = 1.0
        features, targets = (features - mean) / scale, targets - offset
        sums = gram(features, targets)
        coef = ridge_solve(sums.G, sums.R, self.ridge)
        # Lags of a smooth series are nearly collinear: the digits that sums of products lose, the rows bring back.
        for _ in range(_N_CORRECTIONS):
            residual = targets - features @ coef
            coef += ridge_solve(sums.G, features.T @ residual - self.ridge * coef, self.ridge)
        self.coef_ = (coef / scale[:, np.newaxis]).T
        self.intercept_ = offset - self.coef_ @ mean

    def _forward(self, windows, u):
        return (_features(windows, u) @ self.coef_.T + self.intercept_)[:, np.newaxis]

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{}, {"n_lags": 3}]


def _features(windows: np.ndarray, u: np.ndarray | None) -> np.ndarray:
    """Lay out windows (N, q, d), oldest row first, and u (N, 1, p) as rows (N, q d + p), newest state first."""
    lagged = windows[:, ::-1].reshape(len(windows), -1)
    return lagged if u is None else np.hstack([lagged, u[:, 0]])
