"""Ensemble Kalman filters: state estimation and ensemble forecasts with any model."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import TransformerTags, check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from chaosfit.base import SamplesMixin, StepDynamics
from chaosfit.compose import NextStepRegressor
from chaosfit.methods.assimilation import analysis
from chaosfit.numerics.differentiate import estimate_noise
from chaosfit.validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_states,
    split_trajectories,
    stack_trajectories,
)

_WEIGHTS = {
    "etkf": analysis.etkf_weights,
    "serial": analysis.serial_weights,
    "denkf": analysis.denkf_weights,
    "enkf_n": analysis.finite_size_weights,
}
#: Observations that weigh less than this are left out of a local analysis.
_SMALLEST_TAPER = 1e-3


class Assimilation(NamedTuple):
    """What `EnsembleKalmanFilter.assimilate` returns; every array may have a leading axis of filters.

    Attributes
    ----------
    mean : ndarray of shape (n, d)
        Best estimate of the state at every row, given the observations up to that row, and `smoother_lag` more.
    spread : ndarray of shape (n, d)
        Its standard deviation, that of the members.
    innovations : ndarray of shape (n, m)
        Observation minus its forecast, NaN where there was none.
    ensemble : ndarray of shape (N, d)
        Members after the last row.
    """

    mean: np.ndarray
    spread: np.ndarray
    innovations: np.ndarray
    ensemble: np.ndarray


class _State(NamedTuple):
    """Forecast members (B, N, d) and the number of model steps so far, which seeds what is drawn."""

    ensemble: np.ndarray
    time: int


class EnsembleKalmanFilter(SamplesMixin, StepDynamics):
    """Ensemble Kalman filter: states, with uncertainty, from a model and noisy, incomplete observations.

    forecast  E_n = M(E_n) + q_n,        analysis  E_n = xm + sum_k W[n, k] (E_k - xm)

    with members E_n, n = 1..N, their mean xm, and weights W that the scheme computes from the observation, so that mean
    and covariance become those of the Kalman update with the covariance of the ensemble.

    `fit` sees states, such as a simulation of the model: it draws the initial ensemble from them and, without a model,
    learns one. `assimilate` then filters observations, in which NaN is a missing value.

    Parameters
    ----------
    model : callable, system or estimator, default=None
        M, one sampling interval. A callable maps states (B, d) to (B, d); a system has `simulate` and no delays; an
        estimator has `forecast` and needs one row of context only. A fitted estimator is used as it is, another is
        fitted on X; `clone` unfits, so wrap one in `sklearn.frozen.FrozenEstimator` for a grid search.
        None: `NextStepRegressor()`.
    dt : float, default=None
        Time > 0 between two rows, if the model is a system. None: its recommended interval.
    n_ensemble : int, default=20
        Number N >= 2 of members. Published: 10 for Lorenz's equations, 28 for 40 variables, 7 with localisation.
    scheme : {"etkf", "serial", "denkf", "stochastic", "enkf_n"}, default="etkf"
        Symmetric or serial square root, half the gain for the anomalies, perturbed observations, or the square root
        with the inflation found from each innovation. Square roots need fewer members.
    observation_noise : float or array-like of shape (m,), default=None
        Standard deviation > 0 of the independent observation errors. None: estimated from X in `fit` by high-order
        differences, at least 0.001 of the standard deviation of X.
    operator : array-like of shape (m, d) or callable, default=None
        What is observed of a state: a matrix, or a function of states (B, d) that returns (B, m). None: the state.
        Where only some variables are observed, leave None and mark the others NaN.
    model_noise : float or array-like of shape (d,), default=None
        Standard deviation >= 0 of q. None: 0 for a given model, that of the one-step residuals for one learned here.
    inflation : float, default=1.02
        Factor in [1, 2] of the anomalies after an analysis. Published: 1.0 to 1.1.
    rotation : bool, default=True
        Rotate the anomalies at random after an analysis, which keeps mean and covariance.
    localization_radius : float, default=None
        Distance > 0 at which the weight of an observation has fallen to 0.63; it is zero beyond 3.64 radii.
        Turns "etkf" into the LETKF; for this scheme only, without operator. Published: 4 for Lorenz-96 with N = 7.
    distances : array-like of shape (d, d), default=None
        Distances between the variables. None: on a ring, neighbours 1 apart.
    smoother_lag : int >= 0, default=0
        So many later rows still improve the estimate of a row (the ensemble Kalman smoother). 0: a filter.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    model_ : callable, system or fitted estimator
    ensemble_ : ndarray of shape (N, d)
        Initial ensemble: rows of the training data.
    observation_noise_ : ndarray of shape (m,)
    model_noise_ : ndarray of shape (d,)

    Raises
    ------
    ValueError
        If shapes do not fit, the model needs more than one row, or the ensemble becomes non-finite.

    Notes
    -----
    As a dynamics estimator it forecasts from a context of complete, noisy states: `forecast` is the mean of the
    ensemble, `forecast_samples` are its members. Correlated observation errors must be decorrelated first. Observations
    at unequal times: put them on a grid, with rows of NaN between. With noise-free observations the filter returns the
    observations. A `smoother_lag` beyond one or two Lyapunov times gains little and makes the spread too small.

    References
    ----------
    Burgers, van Leeuwen and Evensen, Mon. Weather Rev. 126, 1719 (1998),
    doi:10.1175/1520-0493(1998)126<1719:ASITEK>2.0.CO;2 (stochastic)
    Sakov and Oke, Tellus A 60, 361 (2008), doi:10.1111/j.1600-0870.2007.00299.x (DEnKF)
    Hunt, Kostelich and Szunyogh, Physica D 230, 112 (2007), doi:10.1016/j.physd.2006.11.008 (ETKF, LETKF)
    Evensen and van Leeuwen, Mon. Weather Rev. 128, 1852 (2000), doi:10.1175/1520-0493(2000)128<1852:AEKSFN>2.0.CO;2
    (smoother)
    Bocquet, Raanes and Hannart, Nonlin. Processes Geophys. 22, 645 (2015), doi:10.5194/npg-22-645-2015 (EnKF-N)

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import Lorenz63
    >>> from chaosfit.methods.assimilation.ensemble_kalman_filter import EnsembleKalmanFilter
    >>> system = Lorenz63(tolerance=1e-6)
    >>> X = system.simulate(200, dt=0.05, random_state=0)
    >>> Y = X + np.random.default_rng(0).normal(size=X.shape)
    >>> Y[:, 1:] = np.nan  # only x is observed
    >>> kalman = EnsembleKalmanFilter(system, dt=0.05, observation_noise=1.0, random_state=0)
    >>> kalman = kalman.fit(system.simulate(200, dt=0.05, random_state=1))
    >>> estimate = kalman.assimilate(Y)
    >>> bool(np.sqrt(np.mean((estimate.mean - X)[50:] ** 2)) < 1.0)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [None, callable, HasMethods(["simulate"]), HasMethods(["fit", "forecast"])],
        "dt": [None, Interval(Real, 0, None, closed="neither")],
        "n_ensemble": [Interval(Integral, 2, None, closed="left")],
        "scheme": [StrOptions({*_WEIGHTS, "stochastic"})],
        "observation_noise": [None, Interval(Real, 0, None, closed="neither"), "array-like"],
        "operator": [None, callable, "array-like"],
        "model_noise": [None, Interval(Real, 0, None, closed="left"), "array-like"],
        "inflation": [Interval(Real, 1, 2, closed="both")],
        "rotation": ["boolean"],
        "localization_radius": [None, Interval(Real, 0, None, closed="neither")],
        "distances": [None, "array-like"],
        "smoother_lag": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        model=None,
        dt=None,
        n_ensemble=20,
        scheme="etkf",
        observation_noise=None,
        operator=None,
        model_noise=None,
        inflation=1.02,
        rotation=True,
        localization_radius=None,
        distances=None,
        smoother_lag=0,
        random_state=None,
    ):
        self.model = model
        self.dt = dt
        self.n_ensemble = n_ensemble
        self.scheme = scheme
        self.observation_noise = observation_noise
        self.operator = operator
        self.model_noise = model_noise
        self.inflation = inflation
        self.rotation = rotation
        self.localization_radius = localization_radius
        self.distances = distances
        self.smoother_lag = smoother_lag
        self.random_state = random_state

    # ------------------------------------------------------------------ fit
    def _fit(self, trajectories):
        states = np.concatenate([t.states for t in trajectories])
        rng = check_random_state(self.random_state)
        self._seed = int(rng.randint(2**31 - 1))
        self.ensemble_ = states[rng.choice(len(states), self.n_ensemble, replace=len(states) < self.n_ensemble)]
        self._taper = self._local_taper()
        self.observation_noise_ = self._fitted_observation_noise(trajectories)
        y_is_next = self._self_supervised or self.n_outputs_ == self.n_features_in_
        learned = self._fit_model(trajectories, y_is_next)
        self.model_noise_ = self._fitted_model_noise(trajectories, learned and y_is_next)
        if not y_is_next:
            inputs, ids = stack_trajectories([t.X for t in trajectories])
            targets = np.concatenate([t.Y for t in trajectories])
            self._readout = NextStepRegressor().fit(inputs, targets, trajectory_id=ids)

    def _fit_model(self, trajectories, y_is_next: bool) -> bool:
        """Set `model_`; return whether it was learned here."""
        model = NextStepRegressor() if self.model is None else self.model
        if isinstance(model, type):
            raise ValueError(f"model must be an instance, got the class {model.__name__}; pass {model.__name__}().")
        if not hasattr(model, "forecast"):
            self.model_ = model
            return False
        tags = getattr(get_tags(model), "dynamics_tags", None)
        if tags is None or not tags.markov:
            raise ValueError(
                f"model must forecast from one row of context, but {type(model).__name__} needs more: its members "
                "would start without history. Choose a memoryless model."
            )
        if _is_fitted(model):
            if model.n_features_in_ != self.n_features_in_:
                raise ValueError(f"model has {model.n_features_in_} variables, but X has {self.n_features_in_}.")
            self.model_ = model
            return False
        use_targets = y_is_next and not self._self_supervised
        rows, ids = stack_trajectories([t.X if use_targets else t.states for t in trajectories])
        targets = np.concatenate([t.Y for t in trajectories]) if use_targets else None
        self.model_ = clone(model).fit(rows, targets, trajectory_id=ids)
        return True

    def _fitted_observation_noise(self, trajectories) -> np.ndarray:
        observed = self._observe_states(max((t.states for t in trajectories), key=len))
        if self.observation_noise is not None:
            return _deviations(self.observation_noise, "observation_noise", observed.shape[1], positive=True)
        scale = observed.std(axis=0)
        return np.maximum(estimate_noise(observed), 1e-3 * np.where(scale > 0, scale, 1.0))

    def _fitted_model_noise(self, trajectories, estimate: bool) -> np.ndarray:
        if self.model_noise is not None:
            return _deviations(self.model_noise, "model_noise", self.n_features_in_, positive=False)
        if not estimate:
            return np.zeros(self.n_features_in_)
        residuals = [t.Y - self._run_model(t.X) for t in trajectories]
        return np.sqrt(np.mean(np.concatenate(residuals) ** 2, axis=0))

    def _local_taper(self) -> np.ndarray | None:
        if self.localization_radius is None:
            return None
        if self.scheme != "etkf" or self.operator is not None:
            raise ValueError(
                f"localization_radius needs scheme='etkf' and operator=None, got scheme={self.scheme!r} and "
                f"operator={self.operator!r}. Mark unobserved variables NaN instead of using an operator."
            )
        d = self.n_features_in_
        if self.distances is None:
            steps = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
            distances = np.minimum(steps, d - steps)
        else:
            distances = np.asarray(self.distances, dtype=np.float64)
        if distances.shape != (d, d) or not np.isfinite(distances).all():
            raise ValueError(f"distances must be finite and have shape ({d}, {d}), got shape {distances.shape}.")
        taper = analysis.gaspari_cohn(distances, self.localization_radius)
        return np.where(taper > _SMALLEST_TAPER, taper, 0.0)

    # ------------------------------------------------------------------ the filter
    def _observe_states(self, states: np.ndarray) -> np.ndarray:
        """Map states (K, d) to what is observed of them (K, m)."""
        if self.operator is None:
            return states
        if callable(self.operator):
            observed = np.asarray(self.operator(states), dtype=np.float64)
            if observed.ndim != 2 or len(observed) != len(states):
                raise ValueError(
                    f"operator must return shape ({len(states)}, m) for {len(states)} states, got {observed.shape}."
                )
            return observed
        matrix = np.asarray(self.operator, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != states.shape[1]:
            raise ValueError(f"operator must have shape (m, {states.shape[1]}), got {matrix.shape}.")
        return states @ matrix.T

    def _run_model(self, states: np.ndarray) -> np.ndarray:
        """Advance states (K, d) by one sampling interval."""
        if hasattr(self.model_, "forecast"):
            return self.model_._free_run(states[:, np.newaxis], 1, None)[:, 0]  # `forecast` on checked states
        if hasattr(self.model_, "simulate"):
            return self.model_.simulate(2, x0=states, dt=self.dt)[:, 1]
        # A copy, because a foreign function may work in place.
        advanced = np.asarray(self.model_(states.copy()), dtype=np.float64)
        if advanced.shape != states.shape:
            raise ValueError(f"model must return the shape of its argument, {states.shape}, got {advanced.shape}.")
        return advanced

    def _propagate(self, state: _State) -> _State:
        """Carry the members on; one beyond all bounds becomes NaN."""
        members = state.ensemble.reshape(-1, state.ensemble.shape[-1])
        sane = np.abs(members).max(axis=1) <= self.bound_
        advanced = np.full(members.shape, np.nan)
        if sane.any():
            advanced[sane] = self._run_model(members[sane])
        ensemble = advanced.reshape(state.ensemble.shape)
        if self.model_noise_.any():
            rng = np.random.default_rng([self._seed, state.time, 1])
            ensemble = ensemble + self.model_noise_ * rng.standard_normal(ensemble.shape[1:])
        return _State(ensemble, state.time + 1)

    def _update(self, state: _State, observation: np.ndarray, past=()) -> tuple[_State, np.ndarray, list]:
        """Return the analysis of observations (B, m), the innovations, and what they make of earlier ensembles."""
        ensemble = state.ensemble
        lost = ~np.isfinite(ensemble).all(axis=(1, 2))
        ensemble = np.where(lost[:, np.newaxis, np.newaxis], self.ensemble_[: ensemble.shape[1]], ensemble)
        observed = self._observe_states(ensemble.reshape(-1, ensemble.shape[2]))
        observed = observed.reshape(*ensemble.shape[:2], -1)
        center = observed.mean(axis=1)
        innovation = observation - center
        seen = np.isfinite(innovation)
        whitened = np.where(seen, innovation, 0.0) / self.observation_noise_
        Y = np.where(seen[:, np.newaxis], observed - center[:, np.newaxis], 0.0) / self.observation_noise_
        rng = np.random.default_rng([self._seed, state.time, 0])
        weights = self._weights(Y, whitened, rng)
        rotation = analysis.random_rotation(ensemble.shape[1], rng) if self.rotation else None

        def combined(members, inflation):
            mean = members.mean(axis=1, keepdims=True)
            updated = _apply(weights, members - mean)
            center = updated.mean(axis=1, keepdims=True)
            anomalies = inflation * (updated - center)
            anomalies = anomalies if rotation is None else rotation @ anomalies
            return np.where(seen.any(axis=1)[:, np.newaxis, np.newaxis], mean + center + anomalies, members)

        updated = _State(combined(ensemble, self.inflation), state.time)
        return updated, innovation, [combined(members, 1.0) for members in past]

    def _weights(self, Y, innovation, rng) -> np.ndarray:
        """Return the weights of the scheme: (B, N, N), or (B, d, N, N) where they are local."""
        if self._taper is not None:
            return analysis.local_etkf_weights(Y, innovation, self._taper)
        if self.scheme != "stochastic":
            return _WEIGHTS[self.scheme](Y, innovation)
        perturbations = rng.standard_normal(Y.shape[1:])
        perturbations = (perturbations - perturbations.mean(axis=0)) * (Y != 0).any(axis=1, keepdims=True)
        return analysis.stochastic_weights(Y, innovation, perturbations)

    # ------------------------------------------------------------------ use
    def assimilate(self, observations, *, ensemble=None) -> Assimilation:
        """Filter observations, from the initial ensemble on.

        Parameters
        ----------
        observations : array-like of shape (n, m) or (B, n, m)
            One row a sampling interval, NaN where missing; B series are filtered side by side.
        ensemble : array-like of shape (N, d) or (B, N, d), default=None
            Members, at least 2, at the time of the first row. None: `ensemble_`.

        Returns
        -------
        Assimilation
            mean, spread, innovations, ensemble.
        """
        check_is_fitted(self)
        observations, batch = self._check_observations(observations)
        state = _State(self._check_ensemble(ensemble, len(observations)), 0)
        mean, spread, innovations = [], [], []
        recent: list[np.ndarray] = []

        def record(members):
            mean.append(members.mean(axis=1))
            spread.append(members.std(axis=1, ddof=1))

        for t in range(observations.shape[1]):
            if t:
                with np.errstate(over="ignore", invalid="ignore"):
                    state = self._propagate(state)
                self._refuse_lost(state.ensemble, t)
            state, innovation, recent = self._update(state, observations[:, t], recent)
            innovations.append(innovation)
            recent.append(state.ensemble)
            if len(recent) > self.smoother_lag:
                record(recent.pop(0))
        for members in recent:
            record(members)
        arrays = (np.stack(mean, 1), np.stack(spread, 1), np.stack(innovations, 1), state.ensemble)
        return Assimilation(*(arrays if batch else (array[0] for array in arrays)))

    def transform(self, X, *, trajectory_id=None):
        """Return the filtered states of complete observations X (n, d), each trajectory from the initial ensemble.

        For pipelines; `assimilate` takes missing values and tells the spread, too.
        """
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        parts = [self.assimilate(self._observe_states(X[s])).mean for s in split_trajectories(len(X), trajectory_id)]
        return np.concatenate(parts)

    def fit_transform(self, X, y=None, *, trajectory_id=None):
        """Fit and return the filtered states."""
        return self.fit(X, y, trajectory_id=trajectory_id).transform(X, trajectory_id=trajectory_id)

    def _check_observations(self, observations) -> tuple[np.ndarray, bool]:
        observations = np.asarray(observations, dtype=np.float64)
        m = len(self.observation_noise_)
        if observations.ndim not in (2, 3) or observations.shape[-1] != m or not observations.size:
            raise ValueError(
                f"observations must have shape (n, {m}) or (n_series, n, {m}), got {observations.shape}. "
                "Mark variables that are not observed NaN."
            )
        if np.isinf(observations).any():
            raise ValueError("observations contain infinity; mark missing values NaN.")
        batch = observations.ndim == 3
        return observations if batch else observations[np.newaxis], batch

    def _check_ensemble(self, ensemble, n_batch: int) -> np.ndarray:
        ensemble = self.ensemble_ if ensemble is None else np.asarray(ensemble, dtype=np.float64)
        d = self.n_features_in_
        if (
            ensemble.ndim not in (2, 3)
            or ensemble.shape[-1] != d
            or ensemble.shape[-2] < 2
            or (ensemble.ndim == 3 and len(ensemble) != n_batch)
        ):
            raise ValueError(f"ensemble must have shape (N, {d}) or ({n_batch}, N, {d}), N >= 2, got {ensemble.shape}.")
        if not np.isfinite(ensemble).all():
            raise ValueError("ensemble contains NaN or infinity.")
        return np.broadcast_to(ensemble, (n_batch, *ensemble.shape[-2:]))

    def _refuse_lost(self, ensemble: np.ndarray, row: int) -> None:
        if not np.abs(ensemble).max() <= self.bound_:
            raise ValueError(
                f"the ensemble left the range of the training data 1000-fold or became non-finite before row {row}. "
                "Try more inflation, localization_radius, more members, or a larger observation_noise."
            )

    # ------------------------------------------------------------------ contract
    def _start(self, n_batch):
        return _State(np.broadcast_to(self.ensemble_, (n_batch, *self.ensemble_.shape)), 0)

    def _step(self, state, x, u):
        state, *_ = self._update(state, self._observe_states(x))
        if hasattr(self, "_readout"):
            outputs = self._readout.predict(state.ensemble.reshape(-1, x.shape[1]))
            outputs = outputs.reshape(*state.ensemble.shape[:2], -1).mean(axis=1)
            return self._propagate(state), outputs
        return self._free_step(state, x, u)

    def _free_step(self, state, y, u):
        state = self._propagate(state)
        return state, state.ensemble.mean(axis=1)

    def _teacher_forced(self, X, u):
        outputs = super()._teacher_forced(X, u)
        bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
        if len(bad):
            self._refuse_lost(np.full((1, 1, 1), np.nan), int(bad[0]) + 1)
        return outputs

    def _sample_run(self, context, n_steps, n_samples, rng, u):
        _, state = self._observe(context, u)
        chosen = rng.choice(self.n_ensemble, n_samples, replace=n_samples > self.n_ensemble)
        state = _State(state.ensemble[:, chosen], state.time)
        paths = [state.ensemble]
        for _ in range(n_steps - 1):
            state = self._propagate(state)
            paths.append(state.ensemble)
        return np.stack(paths, axis=2).swapaxes(0, 1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()
        tags.regressor_tags.poor_score = True  # independent rows are noise to a filter
        return tags

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        small = {"n_ensemble": 8, "random_state": 0}
        return [small, {**small, "scheme": "stochastic"}]


def _apply(weights: np.ndarray, anomalies: np.ndarray) -> np.ndarray:
    """Combine anomalies (B, N, d) with weights (B, N, N), or (B, d, N, N) for each variable."""
    if weights.ndim == 3:
        return weights @ anomalies
    return np.einsum("bdnk,bkd->bnd", weights, anomalies, optimize=True)


def _is_fitted(estimator) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def _deviations(value, name: str, n_columns: int, *, positive: bool) -> np.ndarray:
    """Return standard deviations (n_columns,) from a number or one number a column."""
    deviations = np.asarray(value, dtype=np.float64)
    wrong = deviations <= 0 if positive else deviations < 0
    if deviations.shape not in ((), (n_columns,)) or wrong.any() or not np.isfinite(deviations).all():
        raise ValueError(
            f"{name} must be a number or {n_columns} numbers {'>' if positive else '>='} 0 (standard deviations), "
            f"got {value!r}."
        )
    return np.broadcast_to(deviations, (n_columns,)).copy()
