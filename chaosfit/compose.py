"""Compositions: a transformer around a dynamics model, and any regressor as a dynamics model."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from chaosfit.base import BaseDynamics, WindowDynamics
from chaosfit.validation import HasMethods, Interval, Trajectory, stack_trajectories

_POSITIVE = Interval(Integral, 1, None, closed="left")


class NextStepRegressor(MetaEstimatorMixin, WindowDynamics):
    """Any scikit-learn regressor, or Pipeline, as a model of the next state.

    x[t+1] = g(x[t], x[t-lag], ..., x[t-(n_lags-1) lag], u[t]) with g the regressor.

    Parameters
    ----------
    regressor : regressor, default=None
        Fitted on rows of n_lags * d (+ p) features, newest state first, inputs last. One that says (by scikit-learn's
        tag `multi_output`) that it predicts a single target is fitted to every variable by `MultiOutputRegressor`.
        None: `Ridge(1e-6)` without regularising more than rounding.
    n_lags : int, default=1
        Number >= 1 of states that the regressor sees.
    lag : int, default=1
        Samples >= 1 between two of those states.

    Attributes
    ----------
    regressor_ : the fitted clone of `regressor`, or the `MultiOutputRegressor` around its clones

    Notes
    -----
    This is not `sktime.make_reduction`: every variable is predicted from all of them, and the forecast is recursive.

    References
    ----------
    Farmer and Sidorowich, Phys. Rev. Lett. 59, 845 (1987), doi:10.1103/PhysRevLett.59.845

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from chaosfit import Henon, NextStepRegressor
    >>> X = Henon().simulate(500, random_state=0)
    >>> quadratic = make_pipeline(PolynomialFeatures(2), LinearRegression())
    >>> model = NextStepRegressor(quadratic).fit(X)
    >>> bool(model.score(X) > 0.999999)
    True
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        "regressor": [None, HasMethods(["fit", "predict"])],
        "n_lags": [_POSITIVE],
        "lag": [_POSITIVE],
    }

    def __init__(self, regressor=None, n_lags=1, lag=1):
        self.regressor = regressor
        self.n_lags = n_lags
        self.lag = lag

    def _context_length(self):
        return (self.n_lags - 1) * self.lag + 1

    def _fit(self, trajectories):
        windows, targets, u = self._training_windows(trajectories)
        features = self._features(windows, None if u is None else u[:, np.newaxis])
        self.regressor_ = Ridge(1e-6) if self.regressor is None else clone(self.regressor)
        if targets.shape[1] > 1 and not _predicts_several(self.regressor_):
            self.regressor_ = MultiOutputRegressor(self.regressor_)
        # One column is passed as a vector: many regressors warn about (n, 1) targets.
        self.regressor_.fit(features, targets[:, 0] if targets.shape[1] == 1 else targets)

    def _forward(self, windows, u):
        outputs = self.regressor_.predict(self._features(windows, u))
        return np.asarray(outputs, dtype=np.float64).reshape(len(windows), 1, -1)

    def _features(self, windows, u):
        lagged = windows[:, :: -self.lag].reshape(len(windows), -1)  # the window ends with the newest row
        return lagged if u is None else np.hstack([lagged, u[:, 0]])

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{}, {"n_lags": 3, "lag": 2}]


def _predicts_several(regressor) -> bool:
    # Those without scikit-learn's tags are left to themselves.
    return not hasattr(regressor, "__sklearn_tags__") or get_tags(regressor).target_tags.multi_output


class TransformedDynamics(MetaEstimatorMixin, BaseDynamics):
    """A dynamics model that lives in transformed coordinates and speaks the original ones.

    A plain `Pipeline(scaler, model)` would learn and predict in the scaled space and has no `forecast`;
    this estimator transforms, rolls out there, and returns everything in the units of X.

    Parameters
    ----------
    transformer : transformer with `inverse_transform`, default=None
        Keeps the number of rows. One that needs past rows (a delay embedding) states how many in
        `context_length_` after fit. None: `StandardScaler()`.
    estimator : dynamics estimator, default=None
        None: `NextStepRegressor()`.

    Attributes
    ----------
    transformer_, estimator_ : fitted clones of the two

    Examples
    --------
    >>> from chaosfit import NGRC, Lorenz63, TransformedDynamics
    >>> X = Lorenz63().simulate(1000, random_state=0)
    >>> model = TransformedDynamics(estimator=NGRC()).fit(X)
    >>> model.forecast(5).shape
    (5, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        "transformer": [None, HasMethods(["fit", "transform", "inverse_transform"])],
        "estimator": [None, HasMethods(["fit", "predict", "forecast"])],
    }

    def __init__(self, transformer=None, estimator=None):
        self.transformer = transformer
        self.estimator = estimator

    def _inner(self) -> BaseDynamics:
        """The fitted estimator if there is one, else the one that will be cloned."""
        if hasattr(self, "estimator_"):
            return self.estimator_
        return NextStepRegressor() if self.estimator is None else self.estimator

    @property
    def _accepts_inputs(self):
        return self._inner()._accepts_inputs

    @property
    def _remembers_inputs(self):
        return self._inner()._remembers_inputs

    def _transformer_rows(self) -> int:
        transformer = getattr(self, "transformer_", self.transformer)
        return getattr(transformer, "context_length_", 1)

    def _context_length(self):
        return self._inner()._context_length() + self._transformer_rows() - 1

    def _kept_rows(self):
        kept = self._inner()._kept_rows()
        return None if kept is None else kept + self._transformer_rows() - 1

    def _is_markov(self):
        return self._inner()._is_markov() and self._transformer_rows() == 1

    def _fit(self, trajectories: list[Trajectory]) -> None:
        states = [t.states for t in trajectories]
        self.transformer_ = StandardScaler() if self.transformer is None else clone(self.transformer)
        self.estimator_ = NextStepRegressor() if self.estimator is None else clone(self.estimator)
        self.transformer_.fit(np.concatenate(states))
        # The first rows of an embedding have no history of their own: nothing is learned from them.
        first = self._transformer_rows() - 1
        longest = max(len(s) for s in states)
        if longest < first + 2:
            raise ValueError(
                f"{self.transformer_!r} needs {first + 1} rows for one of its own, but the longest trajectory has "
                f"{longest}: nothing is left to learn from."
            )
        latent, ids = stack_trajectories([self.transformer_.transform(s)[first:] for s in states])
        # The input of the last row of a trajectory drives no transition; the one before stands in for it.
        inputs = [
            t.u[np.minimum(np.arange(first, len(t.states)), len(t.u) - 1)] for t in trajectories if t.u is not None
        ]
        u = np.concatenate(inputs) if inputs else None
        targets = None if self._self_supervised else np.concatenate([t.Y[first:] for t in trajectories])
        self.estimator_.fit(latent, targets, trajectory_id=ids, u=u)

    def _teacher_forced(self, X, u):
        outputs = self.estimator_.predict(self.transformer_.transform(X), u=u)
        if not self._self_supervised:
            return outputs.reshape(len(X), -1)
        return self.transformer_.inverse_transform(outputs)

    def _free_run(self, context, n_steps, u):
        if not self._self_supervised:
            return self._free_run_supervised(context, n_steps, u)
        latent, u = self._latent(context, u)
        return self._states(self.estimator_._free_run(latent, n_steps, u))

    @available_if(lambda self: hasattr(self._inner(), "forecast_samples"))
    def forecast_samples(self, n_steps: int, context=None, *, n_samples: int = 100, u=None):
        """Draw possible futures (S, h, d) or (S, B, h, d), where the inner estimator can; see `SamplesMixin`."""
        context, batch, u = self._prepare_forecast(n_steps, context, u)
        if not self._self_supervised:
            raise ValueError("samples are drawn in the coordinates of the transformer: fit without y.")
        latent, u = self._latent(context, u)
        paths = self.estimator_.forecast_samples(n_steps, latent, n_samples=n_samples, u=u)
        states = self._mask_divergence(self._states(paths.reshape(-1, *paths.shape[2:])))
        states = states.reshape(*paths.shape[:2], *states.shape[1:])
        return states if batch else states[:, 0]

    def _latent(self, context, u):
        """Transform contexts (B, L', d); of the known inputs keep those along what is left."""
        extra = self._transformer_rows() - 1
        latent = np.stack([self.transformer_.transform(rows)[extra:] for rows in context])
        return latent, None if u is None else u[:, extra:]

    def _states(self, path):
        """Transform paths (B, h, q) back; a lost row stays lost."""
        finite = np.isfinite(path).all(axis=2)
        states = np.full((*path.shape[:2], self.n_features_in_), np.nan)
        if finite.any():
            states[finite] = self.transformer_.inverse_transform(path[finite])
        return states

    def _free_run_supervised(self, context, n_steps, u):
        """The outputs are states in original units, so each one is transformed before it is fed back."""
        path = np.full((len(context), n_steps, self.n_features_in_), np.nan)
        for i, rows in enumerate(context):
            inputs = None if u is None else u[i]
            for step in range(n_steps):
                past = None if inputs is None else inputs[step : step + len(rows)]
                state = self._teacher_forced(rows, past)[-1:]
                if not np.abs(state).max() <= self.bound_:
                    break
                path[i, step] = state[0]
                rows = np.concatenate([rows[1:], state])
        return path

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{}, {"estimator": NextStepRegressor(n_lags=3)}]
