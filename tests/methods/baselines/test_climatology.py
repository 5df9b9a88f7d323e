import numpy as np
import pytest

from chaosfit.methods.baselines.climatology import Climatology
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([Climatology(**p) for p in Climatology.get_test_params()])
def test_contract(check):
    check()


def test_forecast_is_the_mean_of_all_states():
    X = np.random.default_rng(0).normal(size=(40, 2))
    np.testing.assert_allclose(Climatology().fit(X).forecast(3), np.tile(X.mean(axis=0), (3, 1)))


def test_samples_are_stretches_of_the_training_data():
    X = np.concatenate([np.arange(0.0, 30.0), np.arange(100.0, 130.0)])[:, np.newaxis]
    model = Climatology(random_state=0).fit(X, trajectory_id=np.repeat([0, 1], 30))
    samples = model.forecast_samples(10, n_samples=500)
    assert samples.shape == (500, 10, 1)
    assert (np.diff(samples, axis=1) == 1).all()  # no stretch runs from one trajectory into the other
    assert set(np.unique(samples[:, 0])) == {*range(21), *range(100, 121)}


def test_samples_longer_than_the_data_join_stretches():
    X = np.arange(5.0)[:, np.newaxis]
    samples = Climatology(random_state=0).fit(X).forecast_samples(40, n_samples=20)
    jumps = np.diff(samples[..., 0], axis=1) != 1
    np.testing.assert_array_equal(jumps, samples[:, :-1, 0] == 4)


def test_samples_have_the_moments_of_the_attractor(lorenz):
    model = Climatology(random_state=0).fit(lorenz.train)
    samples = model.forecast_samples(50, n_samples=400).reshape(-1, 3)
    np.testing.assert_allclose(samples.std(axis=0), lorenz.train.std(axis=0), rtol=0.05)


def test_n_samples_is_checked():
    model = Climatology().fit(np.arange(5.0)[:, np.newaxis])
    with pytest.raises(ValueError, match="n_samples must be an integer >= 1, got 0"):
        model.forecast_samples(2, n_samples=0)
