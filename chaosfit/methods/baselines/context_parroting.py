"""History repeats itself: find the stretch most like the present and copy what followed."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from chaosfit.base import StepDynamics
from chaosfit.numerics import delay
from chaosfit.validation import Interval

_POSITIVE = Interval(Integral, 1, None, closed="left")


class _Place(NamedTuple):
    """The last rows seen or written, (B, k, d) with k <= n_delays, and the library rows (B,) that they match."""

    recent: np.ndarray
    row: np.ndarray | None


class ContextParroting(StepDynamics):
    """Copy what followed the stretch of training data that is nearest to the last rows.

    x[t+1] = x[s+1], x[t+2] = x[s+2], ... with s = argmin_s sum_j |x[t-j] - x[s-j]|^2, j = 0 ... n_delays - 1,
    in units of the standard deviations. At the end of the training trajectory a new match is looked for.

    On chaotic data this beats most pretrained forecasting models, at no cost; its error falls with the number of
    training rows n as a power 1/D of n, D the dimension of the attractor.

    Parameters
    ----------
    n_delays : int, default=10
        Number >= 1 of rows that are compared; the context of a forecast needs as many.
    horizon : int, default=100
        Number >= 1 of training rows that must follow a match, in the publication as many as are forecast.
        Without it, finely sampled data match their own last-but-one row and the copy ends after one step.
        At most half of a trajectory is barred. Not used with targets that are no states.

    Attributes
    ----------
    targets_ : ndarray of shape (n_windows, m)
        What follows each stretch of the library.

    Notes
    -----
    The library is the training data; the context is only compared with it, not searched. It is a nearest-neighbour
    method that matches once per forecast: the copy stays a true piece of trajectory, while
    `LocalAnalogues` looks for new neighbours at every step.

    References
    ----------
    Zhang and Gilpin, Context parroting: a simple but tough-to-beat baseline for foundation models in scientific
    machine learning (2025), arXiv:2505.11349

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import ContextParroting
    >>> X = np.tile([[0.0], [1.0], [2.0]], (20, 1))
    >>> ContextParroting(n_delays=2, horizon=3).fit(X).forecast(4)[:, 0]
    array([0., 1., 2., 0.])
    """

    _parameter_constraints: ClassVar[dict] = {"n_delays": [_POSITIVE], "horizon": [_POSITIVE]}
    contract_exemptions: ClassVar[dict] = {"check_skill": "the test data decay: they never return to a past state"}

    def __init__(self, n_delays=10, horizon=100):
        self.n_delays = n_delays
        self.horizon = horizon

    def _context_length(self):
        return self.n_delays

    def _kept_rows(self):
        return self.n_delays

    def _is_markov(self):
        return self.n_delays == 1

    def _fit(self, trajectories):
        first = self.n_delays - 1
        windows = [delay.hankel(t.X, self.n_delays) for t in trajectories]
        self.targets_ = np.concatenate([t.Y[first:] for t in trajectories])
        scale = np.concatenate([t.X for t in trajectories]).std(axis=0)
        self._scale = np.tile(np.where(scale > 0, scale, 1.0), self.n_delays)
        self._is_last = np.concatenate([np.arange(len(w)) == len(w) - 1 for w in windows])
        is_state = self.n_outputs_ == self.n_features_in_
        allowed = [_may_match(len(w), self.horizon if is_state else 1) for w in windows]
        self._candidates = np.flatnonzero(np.concatenate(allowed))
        self._tree = KDTree(np.concatenate(windows)[self._candidates] / self._scale)

    def _match(self, windows):
        """Return the library row nearest to each of the windows (N, n_delays * d)."""
        return self._candidates[self._tree.query(windows / self._scale)[1]]

    def _start(self, n_batch):
        return _Place(np.empty((n_batch, 0, self.n_features_in_)), None)

    def _step(self, state, x, u):
        recent = np.concatenate([state.recent, x[:, np.newaxis]], axis=1)[:, -self.n_delays :]
        missing = self.n_delays - recent.shape[1]
        padded = np.concatenate([np.repeat(recent[:, :1], missing, axis=1), recent], axis=1)
        row = self._match(padded.reshape(len(x), -1))
        return _Place(recent, row), self.targets_[row]

    def _free_step(self, state, y, u):
        recent = np.concatenate([state.recent, y[:, np.newaxis]], axis=1)[:, -self.n_delays :]
        row = state.row + 1
        ended = self._is_last[state.row]
        if ended.any():
            row[ended] = self._match(recent[ended].reshape(ended.sum(), -1))
        return _Place(recent, row), self.targets_[row]

    def _observe(self, X, u):
        """Match all rows by one call of the tree."""
        n_batch, n_rows, _ = X.shape
        padded = np.concatenate([np.repeat(X[:, :1], self.n_delays - 1, axis=1), X], axis=1)
        rows = self._match(delay.hankel(padded, self.n_delays).reshape(n_batch * n_rows, -1))
        rows = rows.reshape(n_batch, n_rows)
        return self.targets_[rows], _Place(padded[:, -self.n_delays :], rows[:, -1])

    def _free_run(self, context, n_steps, u):
        return super()._free_run(context[:, -self.n_delays :], n_steps, u)  # matches before the last one are of no use

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"n_delays": 1, "horizon": 1}, {"n_delays": 3, "horizon": 5}]


def _may_match(n_windows: int, horizon: int) -> np.ndarray:
    """Whether at least `horizon` targets follow a window, (n_windows,); half of them always may."""
    barred = min(horizon - 1, n_windows // 2)
    return np.arange(n_windows) < n_windows - barred
