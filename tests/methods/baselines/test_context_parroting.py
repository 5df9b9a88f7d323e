import numpy as np
import pytest

from chaosfit.methods.baselines.context_parroting import ContextParroting
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([ContextParroting(**p) for p in ContextParroting.get_test_params()])
def test_contract(check):
    check()


def test_a_forecast_is_a_stretch_of_the_training_data():
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = ContextParroting(n_delays=3, horizon=1).fit(X)
    np.testing.assert_array_equal(model.forecast(10, X[20:30] + 1e-9), X[30:40])


def test_at_the_end_of_a_trajectory_a_new_match_is_found():
    first = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    second = np.array([3.1, 4.1, 5.1, 6.1, 7.1, 8.1, 9.1])
    X = np.concatenate([first, second])[:, np.newaxis]
    model = ContextParroting(n_delays=2, horizon=1).fit(X, trajectory_id=np.repeat([0, 1], 7))
    path = model.forecast(6, [[1.0], [2.0]])[:, 0]
    np.testing.assert_allclose(path, [3.0, 4.0, 5.0, 6.0, 7.1, 8.1])


def test_matching_does_not_depend_on_units():
    X = np.random.default_rng(0).normal(size=(200, 2)).cumsum(axis=0)
    units = np.array([1e-3, 1e6])
    small = ContextParroting(n_delays=3).fit(X).forecast(8, X[50:60] + 0.01)
    large = ContextParroting(n_delays=3).fit(X * units).forecast(8, (X[50:60] + 0.01) * units)
    np.testing.assert_allclose(large, small * units)


def test_the_match_is_followed_by_horizon_rows():
    X = np.sin(0.01 * np.arange(2000.0))[:, np.newaxis] + 0.001 * np.arange(2000.0)[:, np.newaxis]
    near = ContextParroting(n_delays=2, horizon=1).fit(X).forecast(1)
    far = ContextParroting(n_delays=2, horizon=300).fit(X).forecast(1)
    assert near[0, 0] in X[-3:, 0]  # the row before the last is the nearest one
    assert far[0, 0] in X[:1701, 0]


def test_targets_that_are_no_states():
    X = np.random.default_rng(0).normal(size=(50, 2))
    model = ContextParroting(n_delays=1).fit(X, X.sum(axis=1))
    np.testing.assert_allclose(model.predict(X), X.sum(axis=1))


def test_context_shorter_than_the_match_is_refused():
    model = ContextParroting(n_delays=4).fit(np.random.default_rng(0).normal(size=(50, 1)))
    with pytest.raises(ValueError, match="context has 3 sample"):
        model.forecast(2, np.zeros((3, 1)))


def test_lorenz_is_parroted_for_one_lyapunov_time_and_longer(lorenz):
    parrot = lorenz.median_valid_time(ContextParroting().fit(lorenz.train))
    assert parrot > 1.5  # measured 2.19
    assert parrot > 10 * lorenz.median_valid_time(Persistence().fit(lorenz.train))


def test_error_falls_with_the_length_of_the_record(lorenz):
    """As n^(-1/D), with D = 2.06 the dimension of Lorenz's attractor."""
    test = lorenz.contexts.reshape(-1, 3)
    ids = np.repeat(np.arange(50), 100)

    def error(n):
        model = ContextParroting(n_delays=1, horizon=1).fit(lorenz.train[:n])
        predicted = model.predict(test, trajectory_id=ids).reshape(50, 100, 3)
        return np.sqrt(np.mean((predicted[:, :-1] - lorenz.contexts[:, 1:]) ** 2))

    exponent = np.log(error(600) / error(5000)) / np.log(5000 / 600)
    assert exponent == pytest.approx(1 / 2.06, abs=0.12)  # measured 0.51
