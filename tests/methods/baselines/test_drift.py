import numpy as np

from chaosfit.methods.baselines.drift import Drift
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([Drift(**p) for p in Drift.get_test_params()])
def test_contract(check):
    check()


def test_forecast_lies_on_the_line_through_first_and_last_state():
    X = np.random.default_rng(0).normal(size=(30, 2)).cumsum(axis=0)
    slope = (X[-1] - X[0]) / 29
    np.testing.assert_allclose(Drift().fit(X).forecast(5), X[-1] + np.outer(np.arange(1, 6), slope))


def test_the_jump_between_trajectories_is_no_increment():
    X = np.concatenate([np.arange(10.0), 1000 + np.arange(10.0)])[:, np.newaxis]
    model = Drift().fit(X, trajectory_id=np.repeat([0, 1], 10))
    np.testing.assert_allclose(model.increment_, [1.0])


def test_a_target_that_is_no_state_gets_its_mean():
    X = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_allclose(Drift().fit(X, X[:, 0]).predict(X[:2]), np.full(2, X[:, 0].mean()))


def test_a_trend_is_extrapolated_where_persistence_fails():
    X = (0.5 * np.arange(100.0) + np.sin(np.arange(100.0)))[:, np.newaxis]
    future = 0.5 * np.arange(80.0, 100.0)[:, np.newaxis]
    drift, persistence = (np.abs(m.fit(X[:80]).forecast(20) - future).mean() for m in (Drift(), Persistence()))
    assert drift < 0.3 * persistence
