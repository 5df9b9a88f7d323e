"""On average, tomorrow differs from today by as much as ever."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from chaosfit.base import WindowDynamics


class Drift(WindowDynamics):
    """The next state is the present one and the mean increment: x[t+1] = x[t] + c.

    A forecast of h steps therefore lies on the line through the first and the last training state.

    Attributes
    ----------
    increment_ : ndarray of shape (d,)
        c, the mean of x[t+1] - x[t] over the training data. Only if the targets are states.
    mean_ : ndarray of shape (m,)
        Mean of the targets.

    Notes
    -----
    Targets `y` with as many columns as X are taken to be the next states. Any other target has no increment; the
    mean of the targets is predicted then.

    It is not a trend fitted by least squares: only the ends of every trajectory matter.

    References
    ----------
    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed. (2021), section 5.2: the drift method

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import Drift
    >>> X = np.array([[1.0], [2.0], [4.0]])
    >>> Drift().fit(X).forecast(2)
    array([[5.5],
           [7. ]])
    """

    contract_exemptions: ClassVar[dict] = {"check_skill": "it has no skill where the state does not drift"}

    def _fit(self, trajectories):
        self.mean_ = np.concatenate([t.Y for t in trajectories]).mean(axis=0)
        if self.n_outputs_ == self.n_features_in_:
            self.increment_ = np.concatenate([t.Y - t.X for t in trajectories]).mean(axis=0)

    def _forward(self, windows, u):
        if self.n_outputs_ == self.n_features_in_:
            return windows + self.increment_
        return np.tile(self.mean_, (len(windows), 1, 1))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags
