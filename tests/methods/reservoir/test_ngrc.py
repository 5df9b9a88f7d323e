import numpy as np
import pytest
from scipy.integrate import solve_ivp

from chaosfit.methods.baselines.local_analogues import LocalAnalogues
from chaosfit.methods.reservoir.ngrc import NGRC
from chaosfit.metrics.forecast import valid_time
from chaosfit.numerics.integrate import integrate_batch
from chaosfit.systems.flows import Rossler
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([NGRC(**p) for p in NGRC.get_test_params()])
def test_contract(check):
    check()


def lorenz_rhs(t, state):
    x, y, z = state
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def lorenz_starts(n):
    starts = np.random.default_rng(0).normal([0, 0, 25], 5, size=(n, 3))
    return integrate_batch(lambda X: lorenz_rhs(0, X.T).T, starts, [0.0, 30.0])[:, -1]


@pytest.fixture(scope="module")
def accurate():
    paths = integrate_batch(lambda X: lorenz_rhs(0, X.T).T, lorenz_starts(26), 0.025 * np.arange(4000))
    return paths[0], paths[1:, :10], paths[1:, 10:500]


def median_valid_time(model, accurate):
    train, contexts, futures = accurate
    forecasts = model.forecast(futures.shape[1], contexts)
    scale = train.std(axis=0)
    times = valid_time(futures, forecasts, dt=0.025, lyapunov_exponent=0.9056, scale=scale)
    return np.median(times), np.isnan(forecasts).any(axis=(1, 2)).sum()


def test_numbers_of_features_are_those_published():
    X = np.random.default_rng(0).normal(size=(200, 3))
    assert len(NGRC(degrees=(1, 2)).fit(X).monomials_) == 27  # 28 with the constant
    assert len(NGRC(degrees=(1, 3), fit_intercept=False).fit(X).monomials_) == 62
    assert len(NGRC(n_delays=4, lag=5, degrees=(1, 2)).fit(X[:, :2], X[:, 2]).monomials_) == 44  # 45 with the constant


def test_cubic_terms_come_by_default_where_there_are_rows_for_them():
    X = np.random.default_rng(0).normal(size=(400, 3))
    assert {len(m) for m in NGRC().fit(X).monomials_} == {1, 2, 3}
    assert {len(m) for m in NGRC().fit(X[:300]).monomials_} == {1, 2}


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("degrees", [(1,), (1, 2), (3, 1), (2, 4)])
def test_with_fewer_rows_than_monomials_the_solution_is_the_same(degrees, fit_intercept):
    X = np.random.default_rng(0).normal(size=(40, 5))
    X[:, 2] *= 100
    model = NGRC(n_delays=2, degrees=degrees, ridge=0.1, fit_intercept=fit_intercept).fit(X)
    assert len(degrees) == 1 or len(model.monomials_) > 39
    windows = np.stack([X[t - 1 : t + 1] for t in range(1, 39)])
    for solve in (model._solve, model._solve_dual):
        coef, intercept = solve(windows, X[2:] - X[1:-1])
        np.testing.assert_allclose(coef, model.coef_, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(intercept, model.intercept_, rtol=1e-6, atol=1e-8)


def test_few_rows_far_from_the_origin_are_interpolated():
    X = 10 + np.random.default_rng(0).normal(size=(40, 5))
    model = NGRC(degrees=(1, 2), ridge=1e-8, standardise=False).fit(X)
    np.testing.assert_allclose(model.predict(X)[1:-1], X[2:], atol=1e-6)


def test_features_are_the_monomials():
    X = np.random.default_rng(0).normal(size=(50, 2))
    model = NGRC(n_delays=2, lag=3, degrees=(1, 3), standardise=False).fit(X)
    vectors = np.hstack([X[3:], X[:-3]])
    expected = [vectors[:, list(m)].prod(axis=1) for m in model.monomials_]
    windows = np.stack([X[t - 3 : t + 1] for t in range(3, 50)])
    np.testing.assert_allclose(model._features(windows), np.transpose(expected))


@pytest.mark.parametrize("standardise", [True, False])
def test_equations_compute_the_prediction(standardise):
    rng = np.random.default_rng(0)
    X = np.array([3.0, -2.0]) + rng.normal(size=(80, 2)) * [1.0, 50.0]
    model = NGRC(n_delays=2, degrees=(1, 2, 3), standardise=standardise, ridge=1e-2).fit(X)
    for i, equation in enumerate(model.equations(precision=17)):
        left, right = equation.split(" = ")
        assert left == f"x{i}[t+1]"
        code = right.replace("^", "**").replace(" x", "*x").replace("+*", "+").replace("-*", "-")
        value = eval(code, {f"x{j}": Series(X[:, j], 60) for j in range(2)} | {"t": 0})
        assert value == pytest.approx(model.predict(X)[60, i], rel=1e-8)


class Series:
    """x[t - k] by position relative to a row."""

    def __init__(self, x, row):
        self.x, self.row = x, row

    def __getitem__(self, offset):
        return self.x[self.row + offset]


def test_equations_use_the_names_of_a_data_frame():
    import pandas as pd

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)), columns=["speed", "heat"])
    assert NGRC(degrees=(1,)).fit(frame).equations()[0].startswith("speed[t+1] = speed[t]")
    assert NGRC(degrees=(1,)).fit(frame, frame["heat"]).equations()[0].startswith("y0[t] = ")


def test_the_logistic_map_is_found():
    x = [0.3]
    for _ in range(200):
        x.append(3.9 * x[-1] * (1 - x[-1]))
    model = NGRC(n_delays=1, degrees=(1, 2), ridge=0.0).fit(np.array(x)[:, np.newaxis])
    equation = model.equations()[0]
    assert equation.startswith("x0[t+1] = x0[t] ")
    assert equation.endswith("+ 2.9 x0[t] - 3.9 x0[t]^2")


@pytest.mark.parametrize("degrees", [(), (0, 1), (1, 1), (1.5,), (True,)])
def test_degrees_are_checked(degrees):
    with pytest.raises(ValueError, match=r"degrees must be distinct integers >= 1, such as \(1, 2\)"):
        NGRC(degrees=degrees).fit(np.random.default_rng(0).normal(size=(50, 2)))


def test_context_shorter_than_the_delays_is_refused():
    model = NGRC(n_delays=3, lag=2).fit(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(ValueError, match=r"context has 4 sample\(s\) while a minimum of 5 is required by NGRC"):
        model.forecast(2, np.zeros((4, 2)))


# --------------------------------------------------------------------- science
PUBLISHED = {"degrees": (1, 2), "ridge": 1e-4}


@pytest.mark.parametrize("parameters", [PUBLISHED, {}], ids=["published", "default"])
@pytest.mark.parametrize("n_rows", [400, 4000])
def test_accurate_lorenz_data_are_forecast_and_none_diverges(accurate, n_rows, parameters):
    """Measured 3.6 and 5.6 Lyapunov times, by default 6.5 and 8.9; one quadratic state instead of two about one."""
    train, *test = accurate
    time, n_diverged = median_valid_time(NGRC(**parameters).fit(train[:n_rows]), (train, *test))
    assert time >= 3.0
    assert n_diverged == 0
    assert time > 2.5 * median_valid_time(NGRC(n_delays=1, **PUBLISHED).fit(train[:n_rows]), (train, *test))[0]


@pytest.mark.filterwarnings("ignore:NGRC.*diverged:RuntimeWarning")
def test_the_spikes_of_rossler_need_cubic_terms():
    """Measured 5.9 Lyapunov times, none lost, by default; quadratic terms lose all twenty forecasts at once."""
    train = Rossler().simulate(5000, dt=0.1, random_state=0)
    test = Rossler().simulate(1020, dt=0.1, random_state=1, n_trajectories=20)

    def result(model):
        forecasts = model.fit(train).forecast(1000, test[:, :20])
        times = valid_time(test[:, 20:], forecasts, dt=0.1, lyapunov_exponent=0.0714, scale=train.std(axis=0))
        return np.median(times), np.isnan(forecasts).any(axis=(1, 2)).sum()

    time, n_diverged = result(NGRC())
    assert time >= 3.0
    assert n_diverged == 0
    assert result(NGRC(degrees=(1, 2)))[0] < 0.5 < 1.0 < result(LocalAnalogues())[0] < time


@pytest.mark.filterwarnings("ignore:NGRC.*diverged:RuntimeWarning")
def test_raw_units_diverge_on_accurate_data(accurate):
    """Santos and Bollt, arXiv:2505.00846; the publication's data carry the errors of their solver."""
    train = accurate[0][:400]
    time, n_diverged = median_valid_time(NGRC(degrees=(1, 2), standardise=False, ridge=2.5e-6).fit(train), accurate)
    assert time < median_valid_time(NGRC(**PUBLISHED).fit(train), accurate)[0] / 2
    assert n_diverged >= 23


def published_lorenz(start):
    """Gauthier et al.: 400 rows of RK23 with its default tolerance, then one Lyapunov time of test."""
    times = 0.025 * np.arange(700)
    path = solve_ivp(lorenz_rhs, (0, times[-1]), start, t_eval=times, method="RK23").y.T
    return path[198:600], path[600:644]


@pytest.mark.parametrize(("standardise", "ridge"), [(False, 2.5e-6), (True, 1e-4)])
def test_published_lorenz_experiment(standardise, ridge):
    """Published test NRMSE over one Lyapunov time: (2.1 +- 0.4)e-3, mean over ten trials."""
    errors = []
    for start in [(17.67715816276679, 12.931379185960404, 43.91404334248268), *lorenz_starts(9)]:
        train, test = published_lorenz(start)
        forecast = NGRC(degrees=(1, 2), standardise=standardise, ridge=ridge).fit(train).forecast(len(test))
        errors.append(np.sqrt(np.mean((forecast - test) ** 2) / train.var(axis=0).sum()))
    assert np.mean(errors) <= 3.5e-3


def test_hidden_variable_is_inferred():
    """Gauthier et al.: z from x and y, 400 rows of training; published test NRMSE (2.0 +- 0.3)e-2."""
    errors = []
    for start in lorenz_starts(5):
        times = 0.05 * np.arange(1400)
        path = solve_ivp(lorenz_rhs, (0, times[-1]), start, t_eval=times, method="RK23").y.T[100:]
        model = NGRC(n_delays=4, lag=5, degrees=(1, 2), ridge=0.05, standardise=False).fit(
            path[:415, :2], path[:415, 2]
        )
        predicted = model.predict(path[:, :2])[415:]
        errors.append(np.sqrt(np.mean((predicted - path[415:, 2]) ** 2) / path[:415, 2].var()))
    assert np.mean(errors) < 0.06


def test_a_library_beyond_memory_is_refused():
    X = np.random.default_rng(0).standard_normal((200, 150))
    with pytest.raises(ValueError, match=r"NGRC would need 45450 monomials of 300 delayed variables.*lower degrees"):
        NGRC().fit(X)
