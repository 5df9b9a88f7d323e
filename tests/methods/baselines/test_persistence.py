import numpy as np
import pytest

from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([Persistence(**p) for p in Persistence.get_test_params()])
def test_contract(check):
    check()


def test_every_row_persists():
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = Persistence().fit(X)
    np.testing.assert_array_equal(model.predict(X), X)
    np.testing.assert_array_equal(model.forecast(3, X[:5]), np.tile(X[4], (3, 1)))


def test_next_states_as_targets_change_nothing():
    X = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_array_equal(Persistence().fit(X[:-1], X[1:]).forecast(4, X), np.tile(X[-1], (4, 1)))


def test_a_target_that_is_no_state_gets_its_mean():
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = Persistence().fit(X, X[:, 0] + 7)
    np.testing.assert_allclose(model.predict(X[:4]), np.full(4, X[:, 0].mean() + 7))


def test_valid_time_on_lorenz_is_less_than_a_tenth_of_a_lyapunov_time(lorenz):
    assert lorenz.median_valid_time(Persistence().fit(lorenz.train)) == pytest.approx(0.06, abs=0.03)
