"""Step-by-step scores: definitions, failures, published values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chaosfit.metrics.forecast import (
    cumulative_maximum_error,
    error_growth,
    mase,
    nrmse,
    smape,
    smape_curve,
    valid_steps,
    valid_time,
)

SCORES = [cumulative_maximum_error, mase, nrmse, smape, valid_steps, valid_time]
WORST = {
    cumulative_maximum_error: 1.0,
    mase: np.inf,
    nrmse: np.inf,
    smape: 200.0,
    valid_steps: 0,
    valid_time: 0.0,
}
PERFECT = {**dict.fromkeys(SCORES, 0.0), valid_steps: 30, valid_time: 30.0}

values = st.floats(-1e3, 1e3)
batches = arrays(np.float64, (3, 6, 2), elements=values)


def lorenz(n_steps: int, dt: float) -> np.ndarray:
    """One orbit of Lorenz-63 after a transient, by classical Runge-Kutta."""

    def rate(s):
        return np.array([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]])

    state, orbit = np.array([1.0, 2.0, 20.0]), []
    for _ in range(n_steps + 1000):
        k1 = rate(state)
        k2 = rate(state + dt / 2 * k1)
        k3 = rate(state + dt / 2 * k2)
        k4 = rate(state + dt * k3)
        state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        orbit.append(state)
    return np.array(orbit[1000:])


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(30, 3))


@pytest.mark.parametrize("score", SCORES)
def test_perfect_forecast(score, truth):
    assert score(truth, truth) == PERFECT[score]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_finite_gives_the_worst_score(score, value, truth):
    assert score(truth, np.full_like(truth, value)) == WORST[score]


@pytest.mark.parametrize("score", [cumulative_maximum_error, nrmse, smape, valid_steps, valid_time])
def test_overflow_is_a_failure_without_a_warning(score, truth):
    assert score(truth, np.full_like(truth, 1e300)) == pytest.approx(WORST[score])


@pytest.mark.parametrize("score", SCORES)
@given(true=batches, pred=batches)
def test_batch_is_the_scores_of_its_trajectories(score, true, pred):
    np.testing.assert_allclose(score(true, pred), [score(t, p) for t, p in zip(true, pred, strict=True)])


@pytest.mark.parametrize("score", SCORES)
def test_series_is_one_column(score, truth):
    assert score(truth[:, 0], truth[:, 1]) == score(truth[:, :1], truth[:, 1:2])


@pytest.mark.parametrize("score", SCORES)
@given(exponent=st.integers(-40, 40))
def test_units_of_the_data_do_not_matter(score, exponent):
    true, pred = np.random.default_rng(0).normal(size=(2, 30, 3))
    true[:, 1] = 0.5
    factor = 2.0**exponent
    assert score(factor * true, factor * pred) == pytest.approx(score(true, pred), rel=1e-9)


@given(true=batches, pred=batches)
def test_bounds(true, pred):
    assert ((smape(true, pred) >= 0) & (smape(true, pred) <= 200)).all()
    assert ((valid_steps(true, pred) >= 0) & (valid_steps(true, pred) <= 6)).all()
    assert (cumulative_maximum_error(true, pred) <= 1).all()


def test_error_growth_by_hand():
    true, pred = np.zeros((2, 2)), np.array([[0.0, 3.0], [4.0, np.nan]])
    np.testing.assert_allclose(error_growth(true, pred, scale=[1.0, 3.0]), [np.sqrt(0.5), np.inf])


def test_valid_steps_stop_at_the_first_failure(truth):
    pred = truth.copy()
    pred[7] += 10.0
    pred[3, 1] = np.nan
    assert valid_steps(truth, pred) == 3
    pred[3] = truth[3]
    assert valid_steps(truth, pred) == 7


def test_valid_steps_equal_the_horizon_when_censored(truth):
    batch = np.stack([truth, truth + 0.01, truth + 10.0])
    steps = valid_steps(np.stack([truth] * 3), batch)
    np.testing.assert_array_equal(steps == len(truth), [True, True, False])


def test_valid_time_in_lyapunov_times(truth):
    pred = truth.copy()
    pred[20:] += 10.0
    assert valid_time(truth, pred, dt=0.05) == pytest.approx(1.0)
    assert valid_time(truth, pred, dt=0.05, lyapunov_exponent=0.9) == pytest.approx(0.9)


def test_threshold_is_the_last_error_that_passes():
    true, pred = np.zeros(3), np.array([0.4, 0.4, 0.41])
    assert valid_steps(true, pred, scale=1.0) == 2
    assert valid_steps(true, pred, scale=1.0, threshold=0.39) == 0


def test_persistence_on_lorenz_lasts_a_tenth_of_a_lyapunov_time():
    orbit = lorenz(6000, 0.02)
    starts = np.arange(0, 5700, 95)
    true = np.stack([orbit[s + 1 : s + 301] for s in starts])
    pred = np.repeat(orbit[starts, None], 300, axis=1)
    times = valid_time(true, pred, dt=0.02, lyapunov_exponent=0.906, scale=orbit.std(axis=0))
    assert 0.05 <= np.median(times) <= 0.15


def test_shuffled_forecast_is_lost_at_once():
    orbit = lorenz(2000, 0.02)
    shuffled = np.random.default_rng(0).permutation(orbit)
    assert valid_time(orbit, shuffled, dt=0.02, lyapunov_exponent=0.906) < 0.1
    assert nrmse(orbit, shuffled) == pytest.approx(np.sqrt(2), rel=0.05)
    assert cumulative_maximum_error(orbit, shuffled) > 0.99


def test_one_nan_ends_the_forecast_and_costs_one_entry_of_smape(truth):
    pred = truth.copy()
    pred[10, 0] = np.nan
    assert valid_steps(truth, pred) == 10
    assert nrmse(truth, pred) == np.inf
    assert nrmse(truth, pred, horizon=10) == 0.0
    assert smape(truth, pred) == pytest.approx(200 / truth.size)
    assert cumulative_maximum_error(truth, pred) == pytest.approx(20 / 30)


def test_constant_coordinate_does_not_explode_nrmse(truth):
    true = np.column_stack([truth, np.full(30, 0.1)])
    pred = true + np.array([0, 0, 0, 1e-3])
    assert nrmse(true, pred) < 1e-3
    assert nrmse(true, pred, scale=true.std(axis=0)) < 1e-3


def test_nrmse_landmarks(truth):
    assert nrmse(truth, np.broadcast_to(truth.mean(axis=0), truth.shape)) == pytest.approx(1.0)
    assert nrmse(truth, truth + 0.5, scale=0.5) == pytest.approx(1.0)


def test_smape_by_hand():
    assert smape([1.0, 0.0, -1.0, 0.0], [3.0, 0.0, 1.0, 5.0]) == pytest.approx((100 + 0 + 200 + 200) / 4)


def test_smape_curve_ends_at_smape(truth):
    curve = smape_curve(truth, truth[::-1])
    assert curve.shape == (30,)
    assert curve[-1] == pytest.approx(smape(truth, truth[::-1]))
    assert curve[9] == pytest.approx(smape(truth, truth[::-1], horizon=10))


def test_cumulative_maximum_error_never_forgives():
    assert cumulative_maximum_error(np.zeros(4), [0.0, 0.5, 0.0, 0.0], scale=1.0) == pytest.approx(0.375)


def test_mase_of_persistence_is_one():
    series = np.random.default_rng(0).normal(size=(4001, 2)).cumsum(axis=0)
    assert mase(series[1:], series[:-1]) == pytest.approx(1.0, rel=1e-3)
    assert mase(series[4:], series[:-4], lag=4) == pytest.approx(1.0, rel=1e-2)


def test_mase_takes_its_unit_from_the_training_series(truth):
    change = np.array([1.0, 2.0, 4.0])
    training = np.arange(20.0)[:, None] * change
    assert mase(truth, truth + change, training=training) == pytest.approx(1.0)
    assert mase(truth, truth + 2 * change, training=training, lag=2) == pytest.approx(1.0)
    assert mase(truth[:, 0], truth[:, 0] + 1.0, training=training[:, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: valid_time(x, x, dt=0.0), "dt must be positive, got 0"),
        (lambda x: valid_time(x, x, lyapunov_exponent=-0.1), "no Lyapunov time"),
        (lambda x: valid_steps(x, x, threshold=0.0), "threshold must be positive"),
        (lambda x: nrmse(x, x, horizon=31), "horizon must be between 1 and the 30 steps given, got 31"),
        (lambda x: mase(x, x, lag=30), "lag must be between 1 and 29, got 30"),
    ],
)
def test_wrong_options_are_refused(call, message, truth):
    with pytest.raises(ValueError, match=message):
        call(truth)
