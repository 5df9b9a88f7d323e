"""Any sktime forecaster as a dynamics estimator: the way back from `DynamicsForecaster`."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from numbers import Integral
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.base import MetaEstimatorMixin

from chaosfit.base import WindowDynamics
from chaosfit.numerics import delay
from chaosfit.validation import HasMethods, Interval

__all__ = ["ForecasterDynamics"]

_COUNT = Interval(Integral, 1, None, closed="left")


class WindowForecaster(WindowDynamics):
    """What forecasters of other packages share here: they only forecast states, so other outputs need a readout.

    Attributes
    ----------
    readout_ : ndarray of shape (2 d + 1, m) or None
        Where the outputs are not states: their affine map from the last and the next state.
    """

    horizon: int

    @abstractmethod
    def _fit_states(self, trajectories: list[np.ndarray]) -> None:
        """Learn from states (n, d) of every trajectory."""

    @abstractmethod
    def _paths(self, windows: np.ndarray) -> np.ndarray:
        """Forecast the states (N, k, d) that follow windows (N, L, d)."""

    def _block_length(self):
        return self.horizon if self.readout_ is None else 1

    def _fit(self, trajectories):
        self._fit_states([t.states for t in trajectories])
        self.readout_ = None
        if not all(np.array_equal(t.Y[:-1], t.X[1:]) for t in trajectories):
            windows, targets, _ = self._training_windows(trajectories)
            self.readout_ = np.linalg.lstsq(self._features(windows), targets, rcond=None)[0]

    def _forward(self, windows, u):
        if self.readout_ is None:
            return self._paths(windows)
        return (self._features(windows) @ self.readout_)[:, np.newaxis]

    def _features(self, windows):
        last, coming = windows[:, -1], self._paths(windows)[:, 0]
        return np.hstack([last, coming, np.ones((len(last), 1))])


class ForecasterDynamics(MetaEstimatorMixin, WindowForecaster):
    """An sktime forecaster, shown the last L rows, as a model of the next k.

    [x[t+1], ..., x[t+k]] = forecaster given [x[t-L+1], ..., x[t]], and so on from its own output.

    Parameters
    ----------
    forecaster : sktime forecaster, default=None
        None: `NaiveForecaster("drift")`, the straight line through the first and the last row of the window. A
        forecaster of single series gets every variable on its own, so that variables do not see each other.
    context_length : int >= 2, default=30
        Rows L of the window.
    horizon : int >= 1, default=1
        Rows k that the forecaster predicts at once.
    refit : bool, default=True
        Fit a clone to every window; the training data then teach nothing. That is what statistical forecasters are for
        (Theta, ARIMA, exponential smoothing). False: fit once, to the training data, and show a copy each window by
        `update(..., update_params=False)`, as networks and reductions need it. With several trajectories one
        forecaster is fitted to each, and their forecasts are averaged.

    Attributes
    ----------
    forecasters_ : list of lists of forecasters
        For every trajectory one for every variable, or one for all; empty with `refit=True`.
    readout_ : ndarray of shape (2 d + 1, m) or None
        Where the outputs are not states: their affine map from the last and the next state.

    Notes
    -----
    Every window costs a fit or an update, some milliseconds each; `predict` needs one for every row. For regressors on
    delays use `NextStepRegressor`, which is thousands of times faster than sktime's reduction.

    References
    ----------
    Löning et al., sktime: A Unified Interface for Machine Learning with Time Series, arXiv:1909.07872

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import ForecasterDynamics
    >>> X = np.linspace(0.0, 3.0, 31)[:, np.newaxis]
    >>> ForecasterDynamics(context_length=10).fit(X).forecast(2).round(6).ravel().tolist()
    [3.1, 3.2]
    """

    _parameter_constraints: ClassVar[dict] = {
        "forecaster": [None, HasMethods(["fit", "predict", "update"])],
        "context_length": [Interval(Integral, 2, None, closed="left")],
        "horizon": [_COUNT],
        "refit": ["boolean"],
    }

    def __init__(self, forecaster=None, context_length=30, horizon=1, refit=True):
        self.forecaster = forecaster
        self.context_length = context_length
        self.horizon = horizon
        self.refit = refit

    def _context_length(self):
        return self.context_length

    def _fit_states(self, trajectories):
        self._template = self._new_forecaster()
        self.forecasters_ = []
        if not self.refit:
            self.forecasters_ = [self._fitted(states) for states in trajectories]
            self._refuse_deaf(max(trajectories, key=len))

    def _paths(self, windows):
        if self.refit:
            return np.stack([_predicted(self._fitted(window)) for window in windows])
        members = [[_predicted(_shown(fitted, window)) for window in windows] for fitted in self.forecasters_]
        return np.mean(members, axis=0)

    def _fitted(self, states: np.ndarray) -> list:
        """Fit one forecaster to all variables, or one to each where it takes single series."""
        whole = self._template.get_tag("capability:multivariate")
        horizon = np.arange(1, self.horizon + 1)
        with _no_storage_warning():
            return [deepcopy(self._template).fit(_indexed(part), fh=horizon) for part in _parts(states, whole)]

    def _new_forecaster(self):
        """Return an unfitted clone that does not keep a second copy of the rows."""
        with _no_storage_warning():
            if self.forecaster is None:
                from sktime.forecasting.naive import NaiveForecaster

                forecaster = NaiveForecaster("drift")
            else:
                forecaster = self.forecaster.clone()
        return forecaster.set_config(remember_data=False, warnings="off")

    def _refuse_deaf(self, states: np.ndarray) -> None:
        """Raise if forecasts do not depend on the window: sktime's tag of `update` does not tell."""
        windows = delay.windows(states, self.context_length)[[0, -1]]
        if np.array_equal(windows[0], windows[1]):
            return
        first, last = (_predicted(_shown(self.forecasters_[0], window)) for window in windows)
        if np.array_equal(first, last):
            name = type(self._template).__name__
            raise ValueError(
                f"refit=False needs a forecaster that starts from the rows it is shown, but {name} forecasts the same "
                "after update(..., update_params=False) with different rows; set refit=True."
            )

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"context_length": 2}]


@contextmanager
def _no_storage_warning() -> Iterator[None]:
    """Sktime's constructors announce that storing rows will no longer be the default; here it is off."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*remember_data", category=FutureWarning)
        yield


def _parts(states: np.ndarray, whole: bool) -> list[np.ndarray]:
    return [states] if whole else list(states.T)


def _indexed(values: np.ndarray, start: int = 0) -> pd.Series | pd.DataFrame:
    index = pd.RangeIndex(start, start + len(values))
    return pd.Series(values, index) if values.ndim == 1 else pd.DataFrame(values, index)


def _shown(fitted: list, window: np.ndarray) -> list:
    """Return copies of fitted forecasters after they have seen a window as if it followed their training data."""
    copies = deepcopy(fitted)
    for forecaster, part in zip(copies, _parts(window, whole=len(fitted) < window.shape[1]), strict=True):
        forecaster.update(_indexed(part, start=int(forecaster.cutoff[0]) + 1), update_params=False)
    return copies


def _predicted(forecasters: list) -> np.ndarray:
    """Forecasts (k, d), over the horizon given in fit."""
    return np.column_stack([forecaster.predict().to_numpy() for forecaster in forecasters])
