"""Ridge regression of the next k states on a window, one weight matrix for all variables."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from chaosfit.base import WindowDynamics
from chaosfit.numerics import delay
from chaosfit.numerics.gram import gram_blocks
from chaosfit.numerics.regress import ridge_solve
from chaosfit.validation import Interval

_BLOCK = 2048  # windows whose features are in memory at once


class LinearWindow(WindowDynamics):
    """Base of `NLinear` and `DLinear`: they differ in the features of a window.

    With z the standardised window of one variable, z[t+j] = b_j + offset(z) + W_j features(z), j = 1 .. k. W and b are
    shared by all variables. Outputs that are not states have no variable of their own: each is then an affine
    function of the features and the last values of all variables.
    """

    _parameter_constraints: ClassVar[dict] = {
        "context_length": [Interval(Integral, 2, None, closed="left")],
        "horizon": [Interval(Integral, 1, None, closed="left")],
        "ridge": [Interval(Real, 0, None, closed="left")],
    }

    @abstractmethod
    def _features(self, z: np.ndarray) -> np.ndarray:
        """Map standardised windows (N, d, L) to (N, d, F)."""

    @abstractmethod
    def _offset(self, z: np.ndarray) -> np.ndarray:
        """Return what is added to the output, (N, d, 1)."""

    def _context_length(self):
        return self.context_length

    def _block_length(self):
        return self.horizon

    def _is_shared(self) -> bool:
        return self.n_outputs_ == self.n_features_in_

    def _fit(self, trajectories):
        states = np.concatenate([t.X for t in trajectories])
        self.mean_, self.scale_ = states.mean(axis=0), states.std(axis=0)
        self.scale_[self.scale_ == 0] = 1.0
        span = self.context_length + self.horizon - 1
        if max(len(t.X) for t in trajectories) < span:
            raise ValueError(
                f"{type(self).__name__} needs a trajectory with {span} rows that have a target for context_length="
                f"{self.context_length} and horizon={self.horizon}, got {max(len(t.X) for t in trajectories)} rows."
            )
        blocks = (rows for t in trajectories if len(t.X) >= span for rows in self._rows(t))
        sums = gram_blocks(blocks, center=True)
        coef = ridge_solve(sums.G, sums.R, self.ridge)
        self.coef_ = coef.T
        self.intercept_ = sums.Y_mean - self.coef_ @ sums.theta_mean

    def _rows(self, trajectory):
        """Yield blocks of features and targets."""
        pasts = delay.windows(trajectory.X, self.context_length)
        futures = delay.windows(trajectory.Y[self.context_length - 1 :], self.horizon)
        for first in range(0, len(futures), _BLOCK):
            future = futures[first : first + _BLOCK]
            z = self._standardised(pasts[first : first + len(future)])
            if self._is_shared():
                target = ((future - self.mean_) / self.scale_).transpose(0, 2, 1) - self._offset(z)
                yield self._design(z), target.reshape(-1, self.horizon)
            else:
                yield self._design(z), future.reshape(len(future), -1)

    def _standardised(self, windows):
        return ((windows - self.mean_) / self.scale_).transpose(0, 2, 1)

    def _design(self, z):
        """Lay out features as rows: (N d, F) when W is shared, else (N, d (F + 1))."""
        features = self._features(z)
        if self._is_shared():
            return features.reshape(-1, features.shape[2])
        return np.concatenate([features, z[:, :, -1:]], axis=2).reshape(len(z), -1)

    def _forward(self, windows, u):
        z = self._standardised(windows)
        outputs = self._design(z) @ self.coef_.T + self.intercept_
        if not self._is_shared():
            return outputs.reshape(len(windows), self.horizon, -1)
        path = outputs.reshape(*z.shape[:2], self.horizon) + self._offset(z)
        return path.transpose(0, 2, 1) * self.scale_ + self.mean_

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"context_length": 4, "horizon": 1}, {"context_length": 8, "horizon": 2}]
