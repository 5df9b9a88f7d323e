import numpy as np
import pytest
from sklearn.linear_model import ARDRegression, Lasso, LinearRegression
from sklearn.preprocessing import PolynomialFeatures

from chaosfit.methods.assimilation.ensemble_kalman_filter import EnsembleKalmanFilter
from chaosfit.methods.discovery.fields import FieldModel, FieldTerms, WienerFilter
from chaosfit.methods.discovery.medida import MEDIDA
from chaosfit.methods.discovery.rvm import RVMRegressor
from chaosfit.systems.flows import Lorenz63

GRID = 2 * np.pi * np.arange(32) / 32
FIELDS = np.array([np.sin(GRID + p) + a * np.cos(2 * GRID) for p, a in [(0, 0.5), (1, 0.2), (2, -0.7)]])
HEAT = FieldModel(2 * np.pi, {(0, 2): 1.0}, 0.01)
TERMS = FieldTerms(2 * np.pi, degree=1, order=2)


def lorenz(x, tendency=None):
    """Lorenz's equations with rho = 25 and Runge-Kutta steps."""

    def rhs(x):
        a, b, c = x.T
        slope = np.stack([10 * (b - a), a * (25 - c) - b, a * b - 8 / 3 * c], axis=1)
        return slope if tendency is None else slope + tendency(x)

    h = 0.01
    for _ in range(2):
        k1 = rhs(x)
        k2 = rhs(x + h / 2 * k1)
        k3 = rhs(x + h / 2 * k2)
        k4 = rhs(x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


@pytest.mark.parametrize("regressor", [None, RVMRegressor(fit_intercept=False), ARDRegression(), Lasso(1e-3)])
def test_any_regressor_selects_terms(regressor):
    X = Lorenz63().simulate(400, dt=0.02, random_state=0)
    model = MEDIDA(lorenz, dt=0.02, regressor=regressor).fit(X)
    expected = np.zeros((3, 10))
    expected[1, 1] = 3.0
    np.testing.assert_allclose(model.coef_, expected, atol=2e-4)
    assert model.equations() == ["x0' = model", "x1' = model + 3.000 x0", "x2' = model"]


@pytest.fixture(scope="module")
def X():
    return Lorenz63().simulate(1000, dt=0.02, random_state=0)


def errors(model):
    """Largest error of a coefficient, and whether the only term is that of x0 in the equation of x1."""
    truth = np.zeros((3, 10))
    truth[1, 1] = 3.0
    return np.abs(model.coef_ - truth).max(), np.array_equal(model.support_, truth != 0)


def test_without_a_model_the_equations_are_found(X):
    model = MEDIDA(dt=0.02, n_newton=8).fit(X)
    assert model.equations() == [
        "x0' = - 10.000 x0 + 10.000 x1",
        "x1' = 28.000 x0 - 1.000 x1 - 1.000 x0 x2",
        "x2' = - 2.667 x2 + 1.000 x0 x1",
    ]


def test_pairs_trajectories_and_a_series_agree(X):
    series = MEDIDA(lorenz, dt=0.02).fit(X)
    pairs = MEDIDA(lorenz, dt=0.02).fit(X[:-1], X[1:])
    assert np.allclose(series.coef_, pairs.coef_, rtol=1e-10)
    two = MEDIDA(lorenz, dt=0.02).fit(X, trajectory_id=np.repeat([0, 1], 500))
    assert errors(two)[0] <= 1e-4


def test_a_longer_interval_needs_more_than_one_regression(X):
    """One linear regression, as published, leaves a bias that the repeats remove."""

    def long_step(x, tendency=None):
        for _ in range(10):
            x = lorenz(x, tendency)
        return x

    truth = X[::10]
    once, repeated = (MEDIDA(long_step, dt=0.2, n_newton=n).fit(truth) for n in (1, 6))
    assert errors(repeated)[1]
    assert errors(repeated)[0] < 1e-3 < errors(once)[0]


def test_the_error_with_a_solver_that_takes_no_terms_falls_with_the_square_of_the_interval():
    """Half an interval of the terms is put before and after the model."""
    system, found = Lorenz63(rho=25.0), []
    for dt in (0.02, 0.01):
        X = Lorenz63().simulate(1000, dt=dt, random_state=0)
        model = MEDIDA(lambda x, dt=dt: system.simulate(2, x0=x, dt=dt)[:, 1], dt=dt, min_contribution=0.02).fit(X)
        found.append(errors(model))
    assert found[0][1]
    assert found[1][1]
    assert found[0][0] < 0.03
    assert found[1][0] < 0.3 * found[0][0]


def test_standard_deviations_are_those_of_the_errors(X):
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(25):
        model = MEDIDA(lorenz, dt=0.02, n_newton=1).fit(X[:-1:10], X[1::10] + 0.05 * rng.standard_normal((100, 3)))
        scores.append((model.coef_[1, 1] - 3.0) / model.coef_std_[1, 1])
    assert 0.6 < np.std(scores) < 1.5
    assert abs(np.mean(scores)) < 0.5


def test_a_fit_forgets_the_smoother_of_the_fit_before():
    x = 2 * np.pi * np.arange(64) / 64
    rng = np.random.default_rng(0)
    U = np.array([np.sin(x + a) + b * np.cos(2 * x) for a, b in rng.uniform(0, 3, (5, 2))])
    truth = FieldModel(2 * np.pi, {(0, 2): 0.5}, 0.1)
    model = MEDIDA(FieldModel(2 * np.pi, {(0, 2): 0.3}, 0.1), FieldTerms(2 * np.pi, 2, 2), dt=0.1)
    once = model.fit(U, truth(U)).coef_
    model.set_params(smoother=WienerFilter(0.1)).fit(U, truth(U))
    assert isinstance(model.smoother_, WienerFilter)
    assert np.array_equal(model.set_params(smoother=None).fit(U, truth(U)).coef_, once)
    assert model.smoother_ is None
    assert model.equations() == ["u_t = model + 0.200 u_xx"]


def test_the_model_error_is_the_sum_of_the_terms():
    model = MEDIDA(HEAT, TERMS, dt=0.01).fit(FIELDS, FieldModel(2 * np.pi, {(0, 2): 0.5, (1, 1): -1.0}, 0.01)(FIELDS))
    assert model.equations() == ["u_t = model - 1.000 u u_x - 0.500 u_xx"]
    expected = TERMS.fit(FIELDS).tendency(FIELDS, np.array([0, 0, -1.0, -0.5, 0]))
    np.testing.assert_allclose(model.model_error(FIELDS), expected, atol=1e-6)


@pytest.mark.slow
def test_a_kalman_filter_makes_noisy_series_usable():
    X = Lorenz63().simulate(2000, dt=0.02, random_state=0)
    noisy = X + np.random.default_rng(0).standard_normal(X.shape)
    kalman = EnsembleKalmanFilter(observation_noise=1.0, model_noise=0.3, inflation=1.0, random_state=0)
    model = MEDIDA(lorenz, dt=0.02, smoother=kalman, n_newton=6).fit(noisy)
    plain = MEDIDA(lorenz, dt=0.02).fit(noisy)
    assert np.flatnonzero(model.support_).tolist() == [11]
    assert model.coef_[1, 1] == pytest.approx(3.0, abs=0.15)
    assert abs(plain.coef_[1, 1] - 3) > 1


def test_no_term_is_a_warning():
    with pytest.warns(UserWarning, match="found no term"):
        model = MEDIDA(HEAT, TERMS, dt=0.01).fit(FIELDS, HEAT(FIELDS))
    np.testing.assert_array_equal(model.coef_, 0)
    np.testing.assert_array_equal(model.predict(FIELDS), HEAT(FIELDS))


@pytest.mark.parametrize(
    ("params", "X", "Y", "message"),
    [
        ({}, FIELDS[:2], None, "at least 2 pairs of states, got 1"),
        ({}, FIELDS, FIELDS[:, ::2], "y must hold the state after each row of X, 32 columns as X has, got 16"),
        ({"model": lambda x: x[:, 1:]}, FIELDS, FIELDS, r"model must return the shape of its argument, \(3, 32\)"),
        (
            {"model": lambda x: np.where(np.arange(3)[:, None] == 1, np.nan, x)},
            FIELDS,
            FIELDS,
            "non-finite in pair 1, the first of 1.*`cutoff`",
        ),
        ({"model": FieldModel(1.0, {(0, 2): 1.0}, 0.01)}, FIELDS, FIELDS, r"can add terms of FieldTerms\(length=1.0\)"),
        ({"library": FieldTerms(2 * np.pi, 31, 4)}, FIELDS, FIELDS, "coefficients need more than the 96 values in 3"),
        ({"library": FieldTerms(2 * np.pi, 4, 20)}, FIELDS, FIELDS, "too coarse for derivatives of order 20"),
        ({"library": FieldTerms(-1.0)}, FIELDS, FIELDS, "FieldTerms needs length > 0"),
        ({}, FIELDS + 9 * GRID, FIELDS, "the fields are not periodic"),
        ({"smoother": WienerFilter(-1.0)}, FIELDS, FIELDS, "noise_std must be a number >= 0 or None"),
        ({"dt": 0.0}, FIELDS, FIELDS, "'dt' parameter"),
        ({"n_newton": 0}, FIELDS, FIELDS, "'n_newton' parameter"),
        ({"regressor": 3}, FIELDS, FIELDS, "'regressor' parameter"),
    ],
)
def test_bad_input(params, X, Y, message):
    with pytest.raises(ValueError, match=message):
        MEDIDA(**{"model": HEAT, "library": TERMS, "dt": 0.01, **params}).fit(X, Y)


def test_a_term_without_effect_is_named():
    class Nothing(FieldTerms):
        def tendency(self, X, coef):
            return super().tendency(X, coef * (np.arange(len(coef)) != 1))

    def euler(x, tendency=None):
        return x if tendency is None else x + 0.01 * tendency(x)

    with pytest.raises(ValueError, match="library term 'u_x' has no effect"):
        MEDIDA(euler, Nothing(2 * np.pi, 1, 2), dt=0.01, regressor=LinearRegression()).fit(FIELDS, FIELDS + 0.1)


def test_a_constant_forcing_is_a_term():
    X = np.array([[1.0], [3.0], [-2.0], [0.5], [4.0], [2.5], [-1.0], [0.0]])
    noise = 1e-3 * np.sin(np.arange(8.0))[:, None]
    model = MEDIDA(lambda x: x, PolynomialFeatures(1), dt=0.125).fit(X, X + 0.25 + noise)
    np.testing.assert_allclose(model.coef_, [[2.0, 0.0]], atol=0.01)
