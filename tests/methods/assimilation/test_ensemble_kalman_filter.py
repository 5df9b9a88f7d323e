import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from chaosfit.compose import NextStepRegressor
from chaosfit.methods.assimilation.ensemble_kalman_filter import EnsembleKalmanFilter
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.maps import Henon
from chaosfit.testing import parametrize_with_dynamics_checks, rotation

TURN = 0.99 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
PLAIN = {"inflation": 1.0, "rotation": False, "observation_noise": 0.1, "random_state": 0}


def turn(x):
    return x @ TURN.T


def noisy(n_rows=200, seed=3, noise=0.1):
    """An exact rotation and observations of it."""
    X = np.empty((n_rows, 2))
    X[0] = [1.0, 0.5]
    for t in range(1, n_rows):
        X[t] = turn(X[t - 1])
    return X, X + noise * np.random.default_rng(seed).standard_normal(X.shape)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_dynamics_checks([EnsembleKalmanFilter(n_ensemble=8, localization_radius=2.0, random_state=0)])
def test_contract(check):
    check()


# ---------------------------------------------------------------------- exactness
def kalman_filter(Y, mean, P, noise):
    """The textbook filter of the rotation; rows may miss values."""
    means = []
    for t, y in enumerate(Y):
        if t:
            mean, P = TURN @ mean, TURN @ P @ TURN.T
        H = np.eye(2)[np.isfinite(y)]
        gain = P @ H.T @ np.linalg.inv(H @ P @ H.T + noise**2 * np.eye(len(H)))
        mean, P = mean + gain @ (y[np.isfinite(y)] - H @ mean), P - gain @ H @ P
        means.append(mean)
    return np.array(means), P


@pytest.mark.parametrize(
    "params", [{"scheme": "etkf"}, {"scheme": "serial"}, {"scheme": "etkf", "localization_radius": 1e9}]
)
def test_a_linear_model_gives_the_kalman_filter(params):
    X, Y = noisy()
    Y[5:20, 0], Y[40:45] = np.nan, np.nan
    model = EnsembleKalmanFilter(turn, **PLAIN, **params).fit(X)
    start = model.ensemble_
    means, P = kalman_filter(Y, start.mean(axis=0), np.cov(start.T), 0.1)
    result = model.assimilate(Y)
    np.testing.assert_allclose(result.mean, means, atol=1e-10)
    np.testing.assert_allclose(np.cov(result.ensemble.T), P, atol=1e-10)
    np.testing.assert_allclose(result.spread[-1] ** 2, np.diag(P), atol=1e-10)


@pytest.mark.parametrize(
    "params", [{}, {"scheme": "serial"}, {"localization_radius": 1e9}, {"rotation": True, "n_ensemble": 30}]
)
def test_a_smoothed_path_of_an_exact_linear_model_is_a_path_of_the_model(params):
    """Given all observations, the estimate of a row is that of the last row, carried back."""
    X, Y = noisy(50)
    Y[10:15, 1] = np.nan
    filtered = EnsembleKalmanFilter(turn, **{**PLAIN, **params}).fit(X).assimilate(Y)
    smoothed = EnsembleKalmanFilter(turn, **{**PLAIN, **params}, smoother_lag=100).fit(X).assimilate(Y)
    np.testing.assert_allclose(smoothed.ensemble, filtered.ensemble, atol=1e-10)
    np.testing.assert_allclose(smoothed.mean[-1], filtered.mean[-1], atol=1e-10)
    np.testing.assert_allclose(smoothed.mean[1:], turn(smoothed.mean[:-1]), atol=1e-10)
    np.testing.assert_allclose(smoothed.innovations, filtered.innovations, atol=1e-10)


def test_a_lag_looks_so_many_rows_ahead():
    X, Y = noisy(50)
    short, full = Y[:23], Y.copy()
    kalman = EnsembleKalmanFilter(turn, **PLAIN, smoother_lag=3).fit(X)
    result = kalman.assimilate(full)
    np.testing.assert_array_equal(result.mean[:20], kalman.assimilate(short).mean[:20])
    assert np.abs(result.mean[20:23] - kalman.assimilate(short).mean[20:23]).max() > 1e-6
    assert result.mean.shape == X.shape


def test_rotation_changes_members_but_not_moments():
    X, Y = noisy()
    plain = EnsembleKalmanFilter(turn, **PLAIN).fit(X).assimilate(Y)
    rotated = EnsembleKalmanFilter(turn, **{**PLAIN, "rotation": True}).fit(X).assimilate(Y)
    np.testing.assert_allclose(rotated.mean, plain.mean, atol=1e-10)
    np.testing.assert_allclose(rotated.spread, plain.spread, atol=1e-10)
    assert np.abs(rotated.ensemble - plain.ensemble).max() > 1e-3


def test_operators():
    X, Y = noisy()
    H = np.array([[1.0, 1.0], [0.0, 2.0], [1.0, 0.0]])
    matrix = EnsembleKalmanFilter(turn, operator=H, **PLAIN).fit(X)
    function = EnsembleKalmanFilter(turn, operator=lambda x: x @ H.T, **PLAIN).fit(X)
    result = matrix.assimilate(Y @ H.T)
    assert result.innovations.shape == (200, 3)
    np.testing.assert_allclose(function.assimilate(Y @ H.T).mean, result.mean)
    first = EnsembleKalmanFilter(turn, operator=[[1.0, 0.0]], **PLAIN).fit(X)
    masked = np.where([True, False], Y, np.nan)
    np.testing.assert_allclose(
        first.assimilate(Y[:, :1]).mean,
        EnsembleKalmanFilter(turn, **PLAIN).fit(X).assimilate(masked).mean,
        atol=1e-12,
    )


# ---------------------------------------------------------------------- missing, batches, repetition
def test_without_any_observation_the_ensemble_runs_free():
    X, _ = noisy()
    model = EnsembleKalmanFilter(turn, inflation=1.5, observation_noise=0.1, random_state=0).fit(X)
    result = model.assimilate(np.full((3, 2), np.nan))
    np.testing.assert_allclose(result.ensemble, turn(turn(model.ensemble_)))
    assert np.isnan(result.innovations).all()


@pytest.mark.parametrize("scheme", ["etkf", "serial", "denkf", "stochastic", "enkf_n"])
def test_batches_are_independent_filters(scheme):
    X, Y = noisy()
    series = np.stack([Y[:50], Y[60:110], Y[100:150]])
    series[1, 10:20], series[2, :, 1] = np.nan, np.nan
    model = EnsembleKalmanFilter(turn, scheme=scheme, observation_noise=0.1, model_noise=0.01, random_state=0).fit(X)
    together = model.assimilate(series)
    for i, single in enumerate(series):
        alone = model.assimilate(single)
        for got, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(got[i], expected, atol=1e-11)


def test_transform_restarts_in_every_call_and_trajectory():
    X, Y = noisy()
    model = EnsembleKalmanFilter(turn, observation_noise=0.1, random_state=0).fit(X)
    np.testing.assert_array_equal(model.transform(Y), model.transform(Y))
    np.testing.assert_array_equal(model.transform(Y), model.assimilate(Y).mean)
    halves = model.transform(Y, trajectory_id=np.repeat([0, 1], 100))
    np.testing.assert_array_equal(halves[100:], model.transform(Y[100:]))


def test_filtering_in_a_pipeline_reduces_the_noise():
    X, Y = noisy()
    estimate = make_pipeline(EnsembleKalmanFilter(turn, observation_noise=0.1, random_state=0)).fit_transform(Y)
    assert np.mean((estimate - X)[20:] ** 2) < 0.2 * np.mean((Y - X)[20:] ** 2)


def test_members_and_their_mean_forecast():
    _, Y = noisy()
    model = EnsembleKalmanFilter(turn, observation_noise=0.1, n_ensemble=6, random_state=0).fit(Y)
    samples = model.forecast_samples(10, n_samples=6)
    np.testing.assert_allclose(samples.mean(axis=0), model.forecast(10), atol=1e-12)


# ---------------------------------------------------------------------- models
def test_systems_and_fitted_estimators_are_models():
    X = Henon().simulate(400, random_state=0)
    Y = X + 0.01 * np.random.default_rng(0).standard_normal(X.shape)
    quadratic = NextStepRegressor(make_pipeline(PolynomialFeatures(2), LinearRegression())).fit(X)
    params = {"observation_noise": 0.01, "random_state": 0}
    by_step = EnsembleKalmanFilter(Henon().step, **params).fit(X).assimilate(Y).mean
    by_system = EnsembleKalmanFilter(Henon(), **params).fit(X).assimilate(Y).mean
    fitted = EnsembleKalmanFilter(quadratic, **params).fit(X)
    np.testing.assert_allclose(by_system, by_step, atol=1e-12)
    np.testing.assert_allclose(fitted.assimilate(Y).mean, by_step, atol=1e-6)
    assert fitted.model_ is quadratic
    frozen = clone(EnsembleKalmanFilter(FrozenEstimator(quadratic), **params)).fit(X)
    np.testing.assert_allclose(frozen.assimilate(Y).mean, by_step, atol=1e-6)


def test_an_unfitted_estimator_is_fitted_on_a_copy():
    X = rotation()
    given = NextStepRegressor()
    model = EnsembleKalmanFilter(given, random_state=0).fit(X)
    assert not hasattr(given, "regressor_")
    assert hasattr(model.model_, "regressor_")
    default = EnsembleKalmanFilter(random_state=0).fit(X)
    np.testing.assert_array_equal(model.predict(X), default.predict(X))


def test_a_fitted_filter_with_a_system_can_be_pickled():
    system = Lorenz63(tolerance=1e-6)
    X = system.simulate(50, dt=0.1, random_state=0)
    model = EnsembleKalmanFilter(system, dt=0.1, observation_noise=1.0, random_state=0).fit(X)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.assimilate(X).mean, model.assimilate(X).mean)


def test_noises_are_estimated():
    X, Y = noisy(2000, noise=0.05)
    model = EnsembleKalmanFilter(random_state=0).fit(Y)
    np.testing.assert_allclose(model.observation_noise_, 0.05, rtol=0.1)
    assert (model.model_noise_ > 0.01).all()
    given = EnsembleKalmanFilter(turn, random_state=0).fit(X)
    np.testing.assert_array_equal(given.model_noise_, 0)
    np.testing.assert_allclose(given.observation_noise_, 1e-3 * X.std(axis=0))


# ---------------------------------------------------------------------- bad input
X = rotation(60)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"inflation": 0.9}, "'inflation' parameter .* in the range"),
        ({"inflation": 2.1}, "'inflation' parameter .* in the range"),
        ({"n_ensemble": 1}, "'n_ensemble' parameter .* in the range"),
        ({"scheme": "letkf"}, "'scheme' parameter"),
        ({"observation_noise": [0.1, 0.0]}, "observation_noise must be a number or 2 numbers > 0"),
        ({"observation_noise": [0.1, 0.1, 0.1]}, "observation_noise must be a number or 2 numbers"),
        ({"model_noise": [-1.0, 0.0]}, "model_noise must be a number or 2 numbers >= 0"),
        ({"operator": np.ones((2, 3))}, r"operator must have shape \(m, 2\), got \(2, 3\)"),
        ({"operator": lambda x: x[0]}, r"operator must return shape \(60, m\)"),
        ({"model": Lorenz63}, "model must be an instance, got the class Lorenz63"),
        ({"model": NextStepRegressor(n_lags=2)}, "one row of context, but NextStepRegressor needs more"),
        ({"model": NextStepRegressor().fit(rotation(60)[:, :1])}, "model has 1 variables, but X has 2"),
        ({"localization_radius": 1.0, "scheme": "serial"}, "localization_radius needs scheme='etkf'"),
        ({"localization_radius": 1.0, "operator": np.eye(2)}, "Mark unobserved variables NaN"),
        ({"localization_radius": 1.0, "distances": np.ones(2)}, r"distances must be finite and have shape \(2, 2\)"),
        ({"localization_radius": 0.0}, "'localization_radius' parameter"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        EnsembleKalmanFilter(random_state=0, **params).fit(X)


def test_a_model_that_changes_the_shape():
    model = EnsembleKalmanFilter(lambda x: x[:, :1], observation_noise=0.1, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"model must return the shape of its argument, \(20, 2\), got \(20, 1\)"):
        model.assimilate(X)


@pytest.mark.parametrize(
    ("observations", "ensemble", "message"),
    [
        (np.ones((5, 3)), None, r"observations must have shape \(n, 2\) or \(n_series, n, 2\), got \(5, 3\)"),
        (np.ones(2), None, "observations must have shape"),
        (np.ones((0, 2)), None, "observations must have shape"),
        (np.array([[1.0, np.inf]]), None, "observations contain infinity; mark missing values NaN"),
        (np.ones((5, 2)), np.ones((1, 2)), r"ensemble must have shape \(N, 2\) or \(1, N, 2\), N >= 2"),
        (np.ones((5, 2)), np.ones((3, 4, 2)), "ensemble must have shape"),
        (np.ones((5, 2)), np.full((4, 2), np.nan), "ensemble contains NaN"),
    ],
)
def test_bad_observations(observations, ensemble, message):
    model = EnsembleKalmanFilter(random_state=0).fit(X)
    with pytest.raises(ValueError, match=message):
        model.assimilate(observations, ensemble=ensemble)


@pytest.mark.parametrize("use", ["assimilate", "predict"])
def test_a_lost_ensemble_is_named(use):
    model = EnsembleKalmanFilter(lambda x: 1e4 * x, observation_noise=1e9, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"before row [12].*inflation, localization_radius"):
        getattr(model, use)(X)
