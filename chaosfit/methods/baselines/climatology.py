"""Tomorrow is like any day of the record."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from chaosfit.base import SamplesMixin, WindowDynamics


class Climatology(SamplesMixin, WindowDynamics):
    """Every forecast is the mean of the training data; the samples are stretches of it.

    The mean has the least squared error of all forecasts that ignore the present state, so it is where every good
    forecast of a chaotic system ends. A sample of `forecast_samples` is a stretch of the training data that starts
    at a random row: the climatological ensemble, with the right variability and no information on the present.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Chooses the stretches.

    Attributes
    ----------
    mean_ : ndarray of shape (m,)
        Mean of the training states, or of the targets `y`.
    library_ : ndarray of shape (n, m)
        The training states, or the targets, of all trajectories.

    Notes
    -----
    If no trajectory is as long as the forecast, stretches are joined: the sample jumps to a random row at the end
    of a trajectory.

    It is not a seasonal climatology: the phase of a cycle is not known.

    References
    ----------
    Wilks, Statistical Methods in the Atmospheric Sciences, 4th ed. (2019), chapters 8 and 9:
    climatology as the reference forecast

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import Climatology
    >>> model = Climatology(random_state=0).fit(np.arange(5.0)[:, np.newaxis])
    >>> model.forecast(2)
    array([[2.],
           [2.]])
    >>> bool((np.diff(model.forecast_samples(3, n_samples=10), axis=1) == 1).all())
    True
    """

    _parameter_constraints: ClassVar[dict] = {"random_state": ["random_state"]}
    contract_exemptions: ClassVar[dict] = {"check_skill": "it ignores the present state"}

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _fit(self, trajectories):
        stretches = [t.states if self._self_supervised else t.Y for t in trajectories]
        self.library_ = np.concatenate(stretches)
        self.mean_ = self.library_.mean(axis=0)
        # Rows from each one to the end of its trajectory, itself included.
        self._rows_left = np.concatenate([np.arange(len(s), 0, -1) for s in stretches])

    def _forward(self, windows, u):
        return np.tile(self.mean_, (len(windows), 1, 1))

    def _sample_run(self, context, n_steps, n_samples, rng, u):
        n_paths = n_samples * len(context)
        starts = np.flatnonzero(self._rows_left >= n_steps)
        anywhere = np.arange(len(self.library_))
        row = rng.choice(starts if len(starts) else anywhere, size=n_paths)
        rows = np.empty((n_paths, n_steps), dtype=int)
        for step in range(n_steps):
            rows[:, step] = row
            row = np.where(self._rows_left[row] > 1, row + 1, rng.choice(anywhere, size=n_paths))
        return self.library_[rows].reshape(n_samples, len(context), n_steps, -1)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"random_state": 0}]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags
