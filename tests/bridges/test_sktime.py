import contextlib
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.performance_metrics.forecasting import (
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
)
from sktime.split import ExpandingWindowSplitter, SingleWindowSplitter, SlidingWindowSplitter
from sktime.utils.estimator_checks import check_estimator

from chaosfit import NGRC, DynamicsForecaster, Lorenz63, NextStepRegressor, WindowDynamics, registry, to_series

N_ROWS = 400


@pytest.fixture(scope="module")
def lorenz():
    return Lorenz63().simulate(N_ROWS, dt=0.02, random_state=0)


def indexed(X, kind):
    index = {
        "range": pd.RangeIndex(len(X)),
        "datetime": pd.date_range("2020-01-01", periods=len(X), freq="h"),
        "period": pd.period_range("2020-01-01", periods=len(X), freq="D"),
    }[kind]
    return pd.DataFrame(X, columns=["x", "y", "z"], index=index)


def failures(results):
    return {name: outcome for name, outcome in results.items() if str(outcome) != "PASSED"}


class Exploding(WindowDynamics):
    """One-step exact on the past, then squares itself away."""

    def _fit(self, trajectories):
        self.scale_ = 1.0

    def _forward(self, windows, u):
        return windows[:, -1:] ** 3 + 10.0


class Persistence(WindowDynamics):
    def _fit(self, trajectories):
        self.fitted_ = True

    def _forward(self, windows, u):
        return windows[:, -1:].copy()


class Shifting(Persistence):
    """Forecasts further up after every `partial_fit`."""

    shift_ = 0.0

    def partial_fit(self, X, *, trajectory_id=None, u=None):
        self.shift_ += 1.0
        return self

    def _forward(self, windows, u):
        return windows[:, -1:] + self.shift_


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_of_sktimes_checks():
    assert failures(check_estimator(DynamicsForecaster, verbose=False)) == {}


SHORT_SET = [
    "test_predict_time_index",
    "test_update_predict_single",
    "test_persistence_via_pickle",
    "test_fit_idempotent",
    "test_fit_does_not_overwrite_hyper_params",
    "test_non_state_changing_method_contract",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [record.name for record in registry.records() if record.builtin])
def test_short_set_on_every_method(name):
    cls = registry.get(name)
    forecaster = DynamicsForecaster(cls(**cls.get_test_params()[0]))
    assert failures(check_estimator(forecaster, tests_to_run=SHORT_SET, verbose=False)) == {}


@pytest.mark.parametrize("kind", ["range", "datetime", "period"])
def test_forecast_equals_that_of_the_estimator(lorenz, kind):
    y = indexed(lorenz, kind)
    forecast = DynamicsForecaster(NextStepRegressor(n_lags=3)).fit(y, fh=[1, 5, 9]).predict()
    desired = NextStepRegressor(n_lags=3).fit(lorenz).forecast(9)[[0, 4, 8]]
    np.testing.assert_allclose(forecast.to_numpy(), desired)
    assert (forecast.index == ForecastingHorizon([1, 5, 9]).to_absolute_index(y.index[-1:])).all()


@pytest.mark.parametrize("kind", ["range", "datetime", "period"])
def test_gaps_between_windows_are_not_transitions(lorenz, kind):
    y = indexed(lorenz, kind)
    forecaster = DynamicsForecaster(NextStepRegressor(n_lags=3)).fit(y.iloc[:100], fh=range(1, 6))
    forecaster.update(y.iloc[250:330])
    rows = np.r_[0:100, 250:330]
    raw = NextStepRegressor(n_lags=3).fit(lorenz[rows], trajectory_id=np.repeat([0, 1], [100, 80]))
    np.testing.assert_allclose(forecaster.predict().to_numpy(), raw.forecast(5))
    glued = NextStepRegressor(n_lags=3).fit(lorenz[rows])
    assert not np.allclose(raw.forecast(5), glued.forecast(5))


def test_update_without_refit_only_moves_the_start(lorenz):
    y = indexed(lorenz, "range")
    forecaster = DynamicsForecaster(NextStepRegressor(n_lags=2)).fit(y.iloc[:300], fh=[1, 2])
    forecaster.update(y.iloc[300:350], update_params=False)
    desired = NextStepRegressor(n_lags=2).fit(lorenz[:300]).forecast(2, lorenz[:350])
    np.testing.assert_allclose(forecaster.predict().to_numpy(), desired)


def test_in_sample_steps_are_one_step_predictions(lorenz):
    y = indexed(lorenz, "range")
    forecaster = DynamicsForecaster(NextStepRegressor(n_lags=3)).fit(y)
    fh = ForecastingHorizon(y.index, is_relative=False)
    fitted = forecaster.predict(fh).to_numpy()
    predictions = NextStepRegressor(n_lags=3).fit(lorenz).predict(lorenz)
    assert np.isnan(fitted[:3]).all()
    np.testing.assert_allclose(fitted[3:], predictions[2:-1])


def test_known_inputs_act_one_step_later():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((300, 1))
    x = np.zeros((300, 1))
    for t in range(299):
        x[t + 1] = 0.8 * x[t] + u[t]
    y, X = pd.DataFrame(x, columns=["x"]), pd.DataFrame(u, columns=["u"])
    forecaster = DynamicsForecaster(NextStepRegressor()).fit(y.iloc[:280], X=X.iloc[:280], fh=range(1, 21))
    forecast = forecaster.predict(X=X.iloc[280:])
    np.testing.assert_allclose(forecast.to_numpy(), x[280:], atol=1e-6)
    with pytest.raises(ValueError, match="X must hold the inputs of the next 19 steps"):
        forecaster.predict(X=X.iloc[280:290])


def test_pretraining_on_a_panel(lorenz):
    panel = pd.concat({k: indexed(lorenz[100 * k : 100 * k + 100], "range") for k in range(3)})
    panel.index.names = ["instance", "time"]
    forecaster = DynamicsForecaster(NextStepRegressor(n_lags=2)).pretrain(panel)
    start = indexed(lorenz[300:320], "range")
    forecast = forecaster.fit(start, fh=[1, 2, 3]).predict()
    raw = NextStepRegressor(n_lags=2).fit(lorenz[:300], trajectory_id=np.repeat([0, 1, 2], 100))
    np.testing.assert_allclose(forecast.to_numpy(), raw.forecast(3, lorenz[300:320]))
    forecast = forecaster.update(indexed(lorenz[300:330], "range").iloc[20:]).predict()
    np.testing.assert_allclose(forecast.to_numpy(), raw.forecast(3, lorenz[300:330]))


def test_updates_leave_the_pretrained_model_alone(lorenz):
    panel = pd.concat({k: indexed(lorenz[100 * k : 100 * k + 100], "range") for k in range(3)})
    panel.index.names = ["instance", "time"]
    y = indexed(lorenz[300:330], "range")
    forecaster = DynamicsForecaster(Shifting()).pretrain(panel)
    first = forecaster.fit(y.iloc[:20], fh=[1]).predict()
    np.testing.assert_allclose(forecaster.update(y.iloc[20:]).predict(), [lorenz[329] + 1.0])
    pd.testing.assert_frame_equal(forecaster.fit(y.iloc[:20], fh=[1]).predict(), first)


@pytest.mark.parametrize("wrong", [None, Ridge(), NGRC], ids=["None", "regressor", "class"])
def test_other_objects_are_refused(lorenz, wrong):
    with pytest.raises(TypeError, match="estimator must be a dynamics estimator such as NGRC"):
        DynamicsForecaster(wrong).fit(indexed(lorenz, "range"))


def test_to_series_keeps_names():
    frame = pd.DataFrame(np.zeros((3, 2)), columns=["u", "v"])
    assert to_series(frame).columns.tolist() == ["u", "v"]
    assert to_series(frame, columns=["a", "b"]).columns.tolist() == ["a", "b"]


def test_an_exploding_model_ranks_below_persistence(lorenz):
    y = indexed(lorenz, "period")
    cv = SlidingWindowSplitter(fh=range(1, 31), window_length=200, step_length=50)
    scorers = [MeanSquaredError(), MeanAbsoluteError(), MeanAbsolutePercentageError(symmetric=True)]

    def scores(model, **kwargs):
        forecaster = DynamicsForecaster(model, **kwargs)
        diverges = isinstance(model, Exploding)
        with pytest.warns(RuntimeWarning, match="diverged") if diverges else contextlib.nullcontext():
            table = evaluate(forecaster, cv=cv, y=y, scoring=scorers, error_score="raise")
        return table.filter(like="test_").mean().to_numpy()

    assert (scores(Exploding()) > scores(Persistence())).all()


def test_on_divergence(lorenz):
    y = indexed(lorenz, "range")

    def predict(mode):
        forecaster = DynamicsForecaster(Exploding(), on_divergence=mode).fit(y, fh=range(1, 9))
        with pytest.warns(RuntimeWarning, match="diverged"):
            return forecaster.predict().to_numpy()

    saturated, lost = predict("saturate"), predict("nan")
    assert np.isfinite(saturated).all()
    assert np.isnan(lost[-1]).all()
    bound = 1e3 * np.abs(lorenz).max()
    np.testing.assert_allclose(np.abs(saturated[-1]), bound)
    with pytest.raises(ValueError, match="forecast of Exploding diverged at step"):
        predict("raise")
    with pytest.raises(ValueError, match='on_divergence must be "saturate", "raise" or "nan"'):
        DynamicsForecaster(Persistence(), on_divergence="clip").fit(y)


def test_prediction_intervals(lorenz):
    model = registry.get("climatology")(random_state=0)
    forecaster = DynamicsForecaster(model, n_samples=100).fit(indexed(lorenz, "range"), fh=[1, 2])
    interval = forecaster.predict_interval(coverage=0.8)
    lower, upper = interval["x"][0.8]["lower"], interval["x"][0.8]["upper"]
    assert (lower < upper).all()
    assert not DynamicsForecaster(NextStepRegressor()).get_tag("capability:pred_int")


@pytest.mark.filterwarnings("ignore:The default of config:FutureWarning")  # sktime's own search class
def test_grid_search(lorenz):
    y = indexed(lorenz, "period")
    search = ForecastingGridSearchCV(
        DynamicsForecaster(NextStepRegressor()),
        cv=ExpandingWindowSplitter(fh=range(1, 11), initial_window=300, step_length=40),
        param_grid={"estimator__n_lags": [1, 2, 4]},
        backend=None,
        error_score="raise",
    ).fit(y)
    assert search.best_params_["estimator__n_lags"] > 1


def test_global_evaluation_runs(lorenz):
    forecaster = DynamicsForecaster(NextStepRegressor(n_lags=2))
    table = evaluate(
        forecaster,
        cv=SingleWindowSplitter(fh=[1, 2, 3]),
        y=indexed(lorenz, "period"),
        strategy="no-update_params",
        error_score="raise",
    )
    assert np.isfinite(table.filter(like="test_").to_numpy(dtype=float)).all()


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda y: y.set_index(pd.to_timedelta(np.arange(len(y)), unit="h")), TypeError, "TimedeltaIndex"),
        (lambda y: y.assign(x=np.where(np.arange(len(y)) == 7, np.inf, y.x)), ValueError, "infinity.*row 7"),
        (
            lambda y: y.set_index(
                pd.DatetimeIndex(pd.Timestamp("2020") + pd.to_timedelta(np.arange(len(y)) ** 2, "h"))
            ),
            ValueError,
            "not equally spaced",
        ),
    ],
)
def test_bad_series(lorenz, break_it, error, message):
    with pytest.raises(error, match=message):
        DynamicsForecaster(NextStepRegressor()).fit(break_it(indexed(lorenz, "range")), fh=[1])


def test_to_series_refuses_nonsense():
    with pytest.raises(ValueError, match="shape"):
        to_series(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="dt must be positive"):
        to_series(np.zeros(3), dt=0)


def test_overhead_of_the_wrapper():
    """Median CPU time of a wrapped call minus the raw one; a generous bound on a small constant."""
    X = np.random.default_rng(0).standard_normal((4000, 3))
    y = indexed(X, "range")
    forecaster = DynamicsForecaster(NextStepRegressor())
    raw = NextStepRegressor()

    def median_time(call):
        times = []
        for _ in range(9):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        return np.median(times)

    fit = median_time(lambda: forecaster.fit(y, fh=range(1, 51))) - median_time(lambda: raw.fit(X))
    predict = median_time(forecaster.predict) - median_time(lambda: raw.forecast(50))
    assert max(fit, predict) < 0.02
