import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([LinearAutoregression(**p) for p in LinearAutoregression.get_test_params()])
def test_contract(check):
    check()


def test_coefficients_are_those_of_least_squares():
    X = np.random.default_rng(0).normal(size=(200, 2)).cumsum(axis=0)
    model = LinearAutoregression(n_lags=2, ridge=0.0).fit(X)
    direct = LinearRegression().fit(np.hstack([X[1:-1], X[:-2]]), X[2:])
    np.testing.assert_allclose(model.coef_, direct.coef_, atol=1e-9)
    np.testing.assert_allclose(model.intercept_, direct.intercept_, atol=1e-9)


def test_recovers_a_driven_system():
    rng = np.random.default_rng(0)
    A, B, c = np.array([[0.9, 0.2], [-0.3, 0.8]]), np.array([[1.0], [-2.0]]), np.array([0.5, -1.0])
    u, X = rng.normal(size=(300, 1)), np.zeros((300, 2))
    for t in range(299):
        X[t + 1] = A @ X[t] + B @ u[t] + c
    model = LinearAutoregression(ridge=0.0).fit(X, u=u)
    np.testing.assert_allclose(model.coef_, np.hstack([A, B]), atol=1e-10)
    np.testing.assert_allclose(model.intercept_, c, atol=1e-10)
    np.testing.assert_allclose(model.forecast(50, X[:10], u=u[9:59]), X[10:60], atol=1e-8)


def test_ridge_does_not_depend_on_units():
    X = np.random.default_rng(0).normal(size=(100, 2)).cumsum(axis=0)
    units = np.array([1e-3, 1e4])
    first = LinearAutoregression(ridge=10.0).fit(X).forecast(5)
    np.testing.assert_allclose(LinearAutoregression(ridge=10.0).fit(X * units).forecast(5), first * units)


def test_a_longer_memory_forecasts_lorenz_a_little_longer(lorenz):
    short, long = (lorenz.median_valid_time(LinearAutoregression(n).fit(lorenz.train)) for n in (1, 50))
    assert 0.05 < short < long < 0.5


@pytest.mark.parametrize("params", [{"n_lags": 0}, {"ridge": -1.0}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        LinearAutoregression(**params).fit(np.random.default_rng(0).normal(size=(20, 1)))
