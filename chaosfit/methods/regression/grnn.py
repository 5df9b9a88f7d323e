"""General regression neural network: the average of the training targets, weighted by nearness."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from chaosfit.validation import Interval, StrOptions, validate_data

__all__ = ["GRNNRegressor"]

#: Bandwidths that "auto" tries, in standard deviations of the columns.
BANDWIDTHS = np.geomspace(0.05, 5.0, 25)

_LEFT_OUT = 2000  # rows that are left out in turn, at most
_BLOCK_NUMBERS = 2**22  # distances held at a time


class GRNNRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""General regression neural network (Nadaraya-Watson estimator with one Gaussian kernel).

    .. math:: \hat y(x) = \sum_i k_i y_i \Big/ \sum_i k_i, \quad k_i = \exp\left(-|x - x_i|^2 / 2 \sigma^2\right)

    with the columns of X in units of their standard deviations. Nothing is trained but the bandwidth sigma. Every
    prediction is an average of training targets, so it never leaves their range.

    Parameters
    ----------
    bandwidth : "auto" or float > 0, default "auto"
        sigma, in standard deviations of the columns. Small: the nearest neighbour; large: the mean of all targets.
        "auto" takes the one of 25 values from 0.05 to 5 with the least leave-one-out error.

    Attributes
    ----------
    bandwidth_ : float
    errors_ : array of shape (25,) or None
        Leave-one-out mean squared errors for the bandwidths that "auto" tried, in standard deviations of the targets.
    mean_, scale_ : arrays of shape (p,)
        What standardises the columns.
    X_fit_ : array of shape (n, p)
        The training rows, standardised.
    y_fit_ : array of shape (n,) or (n, d)

    Notes
    -----
    Not a network that is trained: all training rows are kept, and a prediction costs n distances. All columns count
    alike, so columns without influence do harm; a delay embedding should not be longer than needed. Of more than
    2000 rows every n / 2000th is left out in turn.

    References
    ----------
    Specht, "A general regression neural network", IEEE Transactions on Neural Networks 2, 568 (1991),
    doi:10.1109/72.97934.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0, 6, 200)[:, None]
    >>> model = GRNNRegressor().fit(X, np.sin(X[:, 0]))
    >>> model.predict([[1.5]]).round(2)
    array([0.99])
    """

    _parameter_constraints: ClassVar[dict] = {
        "bandwidth": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, bandwidth="auto"):
        self.bandwidth = bandwidth

    def fit(self, X, y):
        """Keep the rows and choose the bandwidth.

        Parameters
        ----------
        X : array of shape (n, p), n >= 2
        y : array of shape (n,) or (n, d)
        """
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        self.mean_, self.scale_ = X.mean(axis=0), X.std(axis=0)
        self.scale_[self.scale_ == 0] = 1.0
        self.X_fit_ = (X - self.mean_) / self.scale_
        self.y_fit_ = np.array(y, dtype=np.float64)
        self.errors_ = self._leave_one_out() if self.bandwidth == "auto" else None
        best = self.bandwidth if self.errors_ is None else BANDWIDTHS[np.argmin(self.errors_)]
        self.bandwidth_ = float(best)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Average the training targets.

        Parameters
        ----------
        X : array of shape (n, p)

        Returns
        -------
        array of shape (n,) or (n, d)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        rows = (X - self.mean_) / self.scale_
        targets = self.y_fit_.reshape(len(self.y_fit_), -1)
        averages = [
            _average(cdist(rows[block], self.X_fit_, "sqeuclidean"), targets, self.bandwidth_)
            for block in self._blocks(len(rows))
        ]
        return np.concatenate(averages).reshape(len(rows), *self.y_fit_.shape[1:])

    def _leave_one_out(self) -> NDArray[np.float64]:
        """Return the mean squared error of each of `BANDWIDTHS` for rows that their own target must not help."""
        targets = self.y_fit_.reshape(len(self.y_fit_), -1)
        scale = targets.std(axis=0)
        targets = targets / np.where(scale > 0, scale, 1.0)
        left_out = np.unique(np.linspace(0, len(targets) - 1, _LEFT_OUT).astype(int))
        total = np.zeros(len(BANDWIDTHS))
        for block in self._blocks(len(left_out)):
            rows = left_out[block]
            distance = cdist(self.X_fit_[rows], self.X_fit_, "sqeuclidean")
            distance[np.arange(len(rows)), rows] = np.inf
            for i, bandwidth in enumerate(BANDWIDTHS):
                total[i] += np.sum((_average(distance, targets, bandwidth) - targets[rows]) ** 2)
        return total / (len(left_out) * targets.shape[1])

    def _blocks(self, n_rows: int) -> list[slice]:
        """Cut so many rows into blocks whose distances to the training rows fit into memory."""
        size = max(1, _BLOCK_NUMBERS // len(self.X_fit_))
        return [slice(start, start + size) for start in range(0, n_rows, size)]


def _average(squared_distance: NDArray, targets: NDArray, bandwidth: float) -> NDArray[np.float64]:
    """Average targets (n, d) with Gaussian weights for squared distances (b, n)."""
    # Relative to the nearest row, so that far from all data the weights do not vanish together.
    excess = squared_distance - squared_distance.min(axis=1, keepdims=True)
    with np.errstate(over="ignore", under="ignore"):
        weights = np.exp(-0.5 * (excess / bandwidth) / bandwidth)
    return weights @ targets / weights.sum(axis=1, keepdims=True)
