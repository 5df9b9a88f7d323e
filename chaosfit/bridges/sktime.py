"""One sktime forecaster for every dynamics estimator."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import clone
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from chaosfit.validation import check_finite

__all__ = ["DynamicsForecaster", "to_series"]


def to_series(X, dt: float = 1.0, columns=None) -> pd.DataFrame:
    """Wrap states (n, d) for sktime, which refuses a float time index.

    Parameters
    ----------
    X : array-like of shape (n, d) or (n,)
        Equally spaced states.
    dt : float, default=1.0
        Time between two rows; kept in `attrs["dt"]` of the result.
    columns : sequence of str, optional
        Names of the variables. Default: those of a DataFrame, else x0, x1, ...

    Returns
    -------
    DataFrame with an integer RangeIndex; row k belongs to time k * dt.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import to_series
    >>> y = to_series(np.zeros((4, 2)), dt=0.02)
    >>> y.columns.tolist(), y.attrs["dt"]
    (['x0', 'x1'], 0.02)
    """
    if columns is None and isinstance(X, pd.DataFrame):
        columns = X.columns
    X = np.asarray(X, dtype=float)
    if X.ndim == 1:
        X = X[:, np.newaxis]
    if X.ndim != 2:
        raise ValueError(f"to_series expects states of shape (n, d), got shape {X.shape}.")
    if not dt > 0:
        raise ValueError(f"dt must be positive, got {dt!r}.")
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])] if columns is None else columns)
    frame.attrs["dt"] = dt
    return frame


class DynamicsForecaster(BaseForecaster):
    """Makes a dynamics estimator an sktime forecaster: evaluate, tune, update, pretrain on panels.

    Rows that are not neighbours in the index (gaps between the windows of a splitter) are never
    treated as a transition. Exogenous `X` becomes the known input u: the row at time t acts between t
    and t + 1, so of the future rows that sktime passes the last one is not needed.

    Parameters
    ----------
    estimator : dynamics estimator
        Any chaosfit estimator, a plugin's included.
    on_divergence : {"saturate", "raise", "nan"}, default="saturate"
        What a forecast shows from the step on at which the model diverged. sktime's metrics drop NaN, which
        would reward early divergence; "saturate" writes the bound `bound_` with the sign of the last value.
    n_samples : int, default=200
        Futures drawn for prediction intervals, where the estimator has `forecast_samples`.

    Attributes
    ----------
    estimator_ : the fitted clone of `estimator`

    Examples
    --------
    >>> from chaosfit import DynamicsForecaster, Henon, NGRC, to_series
    >>> y = to_series(Henon().simulate(300, random_state=0))
    >>> forecaster = DynamicsForecaster(NGRC()).fit(y, fh=[1, 2, 3])
    >>> forecaster.predict().shape
    (3, 2)
    """

    _tags: ClassVar[dict] = {
        "authors": ["chaosfit"],
        "y_inner_mtype": "pd.DataFrame",
        "X_inner_mtype": "pd.DataFrame",
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:non_contiguous_X": False,
        "capability:insample": True,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:update": True,
        "capability:pretrain": True,
        "capability:missing_values": False,
        "capability:categorical_in_X": False,
        "pretrain:fitted_params": ["pretrained_estimator_"],
        "requires-fh-in-fit": False,
    }
    # The history is kept here, once; sktime's own copy would be a second one (and refit on update).
    _config: ClassVar[dict] = {"remember_data": False}
    _y = None
    _X = None

    def __init__(self, estimator, on_divergence="saturate", n_samples=200):
        self.estimator = estimator
        self.on_divergence = on_divergence
        self.n_samples = n_samples
        super().__init__()

    def __dynamic_tags__(self):
        """Set the tags that depend on the estimator."""
        usable = _is_dynamics(self.estimator)  # what is not is refused in fit, with a message
        tags = getattr(self.estimator.__sklearn_tags__(), "dynamics_tags", None) if usable else None
        self.set_tags(
            **{
                "capability:pred_int": hasattr(self.estimator, "forecast_samples"),
                "capability:exogenous": tags is not None and tags.control,
            }
        )

    # ------------------------------------------------------------------ learning
    def _fit(self, y, X, fh):
        if self.on_divergence not in ("saturate", "raise", "nan"):
            raise ValueError(f'on_divergence must be "saturate", "raise" or "nan", got {self.on_divergence!r}.')
        if not _is_dynamics(self.estimator):
            raise TypeError(
                f"estimator must be a dynamics estimator such as NGRC(), got {self.estimator!r}; wrap a regressor in "
                f"NextStepRegressor."
            )
        self._cur_y, self._cur_X = _checked(y, "y"), _checked(X, "X")
        if getattr(self, "pretrained_estimator_", None) is not None:
            self.estimator_ = self.pretrained_estimator_
        else:
            self._refit()
        return self

    def _refit(self):
        values, ids, u = self._history()
        self.estimator_ = clone(self.estimator).fit(values, trajectory_id=ids, u=u)

    def _update(self, y, X=None, update_params=True):
        old, self._cur_y = self._cur_y, _appended(self._cur_y, _checked(y, "y"))
        self._cur_X = _appended(self._cur_X, _checked(X, "X"))
        if not update_params:
            return self
        if hasattr(self.estimator_, "partial_fit"):
            new = ~self._cur_y.index.isin(old.index)
            values, ids, u = self._history()
            self.estimator_ = deepcopy(self.estimator_)  # it may be the pretrained one, from which a later fit starts
            self.estimator_.partial_fit(values[new], trajectory_id=ids[new], u=None if u is None else u[new])
        elif getattr(self, "pretrained_estimator_", None) is None:  # a refit would forget the panel
            self._refit()
        return self

    def _pretrain(self, y, X=None, fh=None):
        """Learn one model from all series of a panel; a later fit or update only sets where to start."""
        instances = y.index.droplevel(-1)
        ids = pd.factorize(instances)[0]
        u = None if X is None else X.to_numpy(dtype=float)
        self.pretrained_estimator_ = clone(self.estimator).fit(y.to_numpy(dtype=float), trajectory_id=ids, u=u)
        return self

    # ------------------------------------------------------------------ predicting
    def _predict(self, fh, X):
        steps = fh.to_relative(self.cutoff).to_numpy().astype(int)
        values = np.full((len(steps), self._cur_y.shape[1]), np.nan)
        if (steps <= 0).any():
            values[steps <= 0] = self._in_sample(steps[steps <= 0])
        if (steps > 0).any():
            context, u = self._start(int(steps.max()), X)
            path = self.estimator_.forecast(int(steps.max()), context, u=u)
            values[steps > 0] = self._settle(path, context[-1])[steps[steps > 0] - 1]
        return pd.DataFrame(values, index=fh.to_absolute_index(self.cutoff), columns=self._cur_y.columns)

    def _predict_quantiles(self, fh, X, alpha):
        steps = fh.to_relative(self.cutoff).to_numpy().astype(int)
        context, u = self._start(int(steps.max()), X)
        samples = self.estimator_.forecast_samples(int(steps.max()), context, n_samples=self.n_samples, u=u)
        samples = np.stack([self._settle(path, context[-1]) for path in samples])
        quantiles = np.quantile(samples[:, steps - 1], alpha, axis=0)  # (n_alpha, n_steps, n_variables)
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        flat = quantiles.transpose(1, 2, 0).reshape(len(steps), -1)
        return pd.DataFrame(flat, index=fh.to_absolute_index(self.cutoff), columns=columns)

    def _in_sample(self, steps):
        """One-step predictions for rows of the history, NaN where there is too little before them."""
        values, ids, u = self._history()
        position = _positions(self._cur_y.index, self.cutoff)
        age = np.arange(len(ids)) - np.searchsorted(ids, ids)  # rows before this one in its block
        wanted = _positions(self.cutoff, self.cutoff)[0] + steps - 1
        row = np.clip(np.searchsorted(position, wanted), 0, len(position) - 1)
        known = (position[row] == wanted) & (age[row] >= self.estimator_._context_length() - 1)
        predictions = self.estimator_.predict(values, trajectory_id=ids, u=u)[row]
        return np.where(known[:, np.newaxis], predictions, np.nan)

    def _start(self, n_steps, X):
        """Return the rows at which a forecast starts, and the inputs along them and ahead."""
        values, ids, u = self._history()
        kept = self.estimator_._kept_rows()
        first = np.searchsorted(ids, ids[-1])
        first = first if kept is None else max(first, len(values) - kept)
        if u is None:
            return values[first:], None
        # sktime passes the inputs at the times that are forecast; dynamics need those one step before.
        future = np.empty((0, u.shape[1])) if X is None else _future_inputs(X, self.cutoff)
        if len(future) < n_steps - 1:
            raise ValueError(f"X must hold the inputs of the next {n_steps - 1} steps, got {len(future)} rows.")
        return values[first:], np.concatenate([u[first:], future[: n_steps - 1]])

    def _history(self):
        """Return the values, a label per gapless block, and the inputs of everything seen so far."""
        position = _positions(self._cur_y.index, self.cutoff)
        ids = np.concatenate([[0], np.cumsum(np.diff(position) != 1)])
        u = None if self._cur_X is None else self._cur_X.loc[self._cur_y.index].to_numpy(dtype=float)
        return self._cur_y.to_numpy(dtype=float), ids, u

    def _settle(self, path, start):
        """Replace what divergence left according to `on_divergence`."""
        lost = ~np.isfinite(path).all(axis=1)
        if not lost.any() or self.on_divergence == "nan":
            return path
        step = int(lost.argmax())
        if self.on_divergence == "raise":
            raise ValueError(f"the forecast of {type(self.estimator_).__name__} diverged at step {step + 1}.")
        last = start if step == 0 else path[step - 1]
        return np.where(lost[:, np.newaxis], self.estimator_.bound_ * np.where(last < 0, -1.0, 1.0), path)

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Return three parameter sets: memoryless, with lags, and with samples."""
        from chaosfit.compose import NextStepRegressor
        from chaosfit.registry import get

        return [
            {"estimator": NextStepRegressor()},
            {"estimator": NextStepRegressor(n_lags=2), "on_divergence": "nan"},
            {"estimator": get("climatology")(random_state=0), "n_samples": 20},
        ]


def _is_dynamics(estimator: Any) -> bool:
    return not isinstance(estimator, type) and hasattr(estimator, "forecast") and hasattr(estimator, "get_params")


def _checked(frame, name: str):
    """A finite float copy, or a message about an index that sktime would choke on later."""
    if frame is None:
        return None
    if isinstance(frame.index, pd.TimedeltaIndex):
        raise TypeError(f"{name} has a TimedeltaIndex, which sktime cannot forecast; use to_series(X, dt).")
    frame = frame.astype(float)
    check_finite(frame.to_numpy(), name)
    return frame


def _appended(old, new):
    """Rows of both, the new ones winning where both have a label; columns match by position."""
    if old is None or new is None:
        return old if new is None else new
    new = new.set_axis(old.columns, axis=1)
    both = pd.concat([old[~old.index.isin(new.index)], new])
    return both.sort_index()


def _positions(index, cutoff) -> np.ndarray:
    """Integer positions in time of the labels of an index."""
    if isinstance(index, pd.PeriodIndex):
        return index.asi8
    if pd.api.types.is_integer_dtype(index.dtype):
        return index.to_numpy()
    if getattr(index, "freq", None) is None and cutoff.freq is None and len(index) > 1:
        freq = pd.infer_freq(index) if len(index) > 2 else None
        if freq is None:
            raise ValueError(
                "the time index is not equally spaced and has no frequency; resample it, or use to_series(X, dt)."
            )
    horizon = ForecastingHorizon(index, is_relative=False, freq=cutoff)
    return horizon.to_relative(cutoff).to_numpy().astype(np.int64)


def _future_inputs(X, cutoff) -> np.ndarray:
    """The rows of X after the cutoff, from its first step on without a gap."""
    position = _positions(X.index, cutoff) - _positions(cutoff, cutoff)[0]
    ahead = position > 0
    rows = X.to_numpy(dtype=float)[ahead]
    gapless = position[ahead] == np.arange(1, ahead.sum() + 1)
    return rows if gapless.all() else rows[: int(gapless.argmin())]
