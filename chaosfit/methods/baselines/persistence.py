"""Tomorrow is like today."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from chaosfit.base import WindowDynamics


class Persistence(WindowDynamics):
    """The next state is the present one: x[t+1] = x[t].

    The zero of every skill score. Any error measure of a one-step forecast should be read relative to it: the
    finer the sampling, the better persistence looks.

    Attributes
    ----------
    mean_ : ndarray of shape (m,)
        Mean of the targets.

    Notes
    -----
    Targets `y` with as many columns as X are taken to be the next states, and the prediction stays x[t]. Any
    other target is no state that could persist; the mean of the targets is predicted then.

    It does not fit anything; `Drift` adds the mean increment.

    References
    ----------
    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed. (2021), section 5.2: the naive method

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import Persistence
    >>> X = np.array([[1.0], [2.0], [4.0]])
    >>> Persistence().fit(X).forecast(2)
    array([[4.],
           [4.]])
    """

    contract_exemptions: ClassVar[dict] = {"check_skill": "it defines zero skill"}

    def _fit(self, trajectories):
        self.mean_ = np.concatenate([t.Y for t in trajectories]).mean(axis=0)

    def _forward(self, windows, u):
        if self.n_outputs_ == self.n_features_in_:
            return windows.copy()
        return np.tile(self.mean_, (len(windows), 1, 1))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags
