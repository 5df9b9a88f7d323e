import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sktime.forecasting.auto_reg import AutoREG
from sktime.forecasting.compose import make_reduction
from sktime.forecasting.exp_smoothing import ExponentialSmoothing
from sktime.forecasting.ltsf import LTSFNLinearForecaster
from sktime.forecasting.naive import NaiveForecaster
from sktime.forecasting.var import VAR

from chaosfit.bridges.forecaster import ForecasterDynamics
from chaosfit.compose import NextStepRegressor
from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.sequence.nlinear import NLinear
from chaosfit.testing import rotation

# Constructors of sktime announce a new default, and so do those that statsmodels calls.
pytestmark = pytest.mark.filterwarnings("ignore:.*remember_data", "ignore:::statsmodels")


@pytest.fixture(scope="module")
def X():
    return rotation(120)


def test_default_is_the_straight_line_through_the_window(X):
    model = ForecasterDynamics(context_length=4, horizon=2).fit(X)
    slope = (X[-1] - X[-4]) / 3
    np.testing.assert_allclose(model.forecast(2), X[-1] + np.outer([1, 2], slope))


def test_single_series_forecasters_do_not_couple_variables(X):
    model = ForecasterDynamics(AutoREG(lags=1), context_length=12).fit(X)
    alone = ForecasterDynamics(AutoREG(lags=1), context_length=12).fit(X[:, :1])
    np.testing.assert_allclose(model.forecast(3)[:, :1], alone.forecast(3))


def test_multivariate_forecasters_see_all_variables(X):
    model = ForecasterDynamics(VAR(maxlags=1), context_length=60, horizon=5).fit(X)
    desired = LinearAutoregression(n_lags=1, ridge=0.0).fit(X[-60:]).forecast(5)
    np.testing.assert_allclose(model.forecast(5), desired, rtol=1e-6)


def test_a_refitted_forecaster_learns_from_the_window_alone(X):
    contexts = X[[np.arange(20), np.arange(40, 60)]]
    first = ForecasterDynamics(AutoREG(lags=2), context_length=20).fit(X).forecast(4, contexts)
    second = ForecasterDynamics(AutoREG(lags=2), context_length=20).fit(X[:30]).forecast(4, contexts)
    np.testing.assert_array_equal(first, second)


def test_a_fitted_forecaster_keeps_what_it_has_learned(X):
    reduction = make_reduction(LinearRegression(), window_length=2, strategy="recursive")
    model = ForecasterDynamics(reduction, context_length=2, refit=False).fit(X[:, :1])
    desired = NextStepRegressor(LinearRegression(), n_lags=2).fit(X[:, :1])
    np.testing.assert_allclose(model.forecast(6, X[5:9, :1]), desired.forecast(6, X[5:9, :1]), rtol=1e-6)
    np.testing.assert_allclose(model.predict(X[:9, :1])[1:], desired.predict(X[:9, :1])[1:], rtol=1e-6)


def test_trajectories_are_fitted_apart_and_averaged(X):
    model = ForecasterDynamics(AutoREG(lags=2), context_length=3, refit=False)
    both = model.fit(X, trajectory_id=np.repeat([0, 1], 60)).forecast(1, X[:9])
    parts = [model.fit(part).forecast(1, X[:9]) for part in (X[:60], X[60:])]
    np.testing.assert_allclose(both, np.mean(parts, axis=0))


def test_outputs_that_are_not_states(X):
    target = 1.0 + X[:, 0] - 2.0 * X[:, 1]
    model = ForecasterDynamics(context_length=3).fit(X, target)
    np.testing.assert_allclose(model.predict(X)[2:], target[2:], atol=1e-10)


def test_a_forecaster_that_ignores_what_it_is_shown_is_refused(X):
    with pytest.raises(ValueError, match="ExponentialSmoothing forecasts the same.*set refit=True"):
        ForecasterDynamics(ExponentialSmoothing(trend="add"), context_length=9, refit=False).fit(X)


def test_parameters(X):
    model = ForecasterDynamics(NaiveForecaster("drift"))
    assert model.get_params()["forecaster__strategy"] == "drift"
    with pytest.raises(ValueError, match="'forecaster' parameter"):
        ForecasterDynamics(LinearRegression()).fit(X)
    with pytest.raises(ValueError, match="'context_length' parameter"):
        ForecasterDynamics(context_length=1).fit(X)


@pytest.mark.slow
def test_nlinear_of_sktime_comes_near_the_closed_form():
    import torch

    torch.manual_seed(0)
    X = rotation(600)
    X = X / X.std(axis=0)
    train, test = X[:500], X[500:]
    network = LTSFNLinearForecaster(seq_len=6, pred_len=2, num_epochs=60, batch_size=32, lr=3e-3, in_channels=2)
    theirs = ForecasterDynamics(network, context_length=6, horizon=2, refit=False).fit(train)
    ours = NLinear(context_length=6, horizon=2).fit(train)
    assert theirs.forecast(4).shape == ours.forecast(4).shape
    errors = [np.mean((model.predict(test)[6:-1] - test[7:]) ** 2) for model in (theirs, ours)]
    assert errors[0] < 1.1 * errors[1]
