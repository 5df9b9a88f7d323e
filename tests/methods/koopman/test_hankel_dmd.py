"""Hankel DMD: frequencies of clean signals, and the damping that noise fakes."""

import numpy as np
import pytest

from chaosfit.methods.koopman.hankel_dmd import HankelDMD

FREQUENCIES = np.array([1.0, np.sqrt(2), 2.7])


def signal(n, noise=0.0, n_channels=1, seed=0):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(n)
    waves = np.hstack([np.cos(np.outer(t, FREQUENCIES)), np.sin(np.outer(t, FREQUENCIES))])
    X = waves @ rng.normal(size=(6, n_channels))
    return X, X + noise * X.std() * rng.normal(size=X.shape)


def nrmse(forecast, truth):
    return np.sqrt(np.mean((forecast - truth) ** 2)) / truth.std()


def test_three_frequencies_from_one_channel():
    X, _ = signal(1400)
    model = HankelDMD(n_delays=30, dt=0.1).fit(X[:400])
    assert model.rank_ == 6
    np.testing.assert_allclose(
        np.sort(model.continuous_eigenvalues_.imag), np.sort(np.r_[FREQUENCIES, -FREQUENCIES]), atol=1e-8
    )
    assert model.verified(1e-8).all()
    assert nrmse(model.forecast(1000), X[400:]) < 1e-6


def test_noise_fakes_damping_and_delays_help():
    X, noisy = signal(800, noise=0.1, n_channels=5)
    few = HankelDMD(n_delays=2, rank=6, dt=0.1).fit(noisy[:400])
    many = HankelDMD(n_delays=60, rank=6, dt=0.1).fit(noisy[:400])
    assert few.continuous_eigenvalues_.real.min() < -0.01
    assert nrmse(many.forecast(200), X[400:600]) < 0.2 < nrmse(few.forecast(200), X[400:600])


def test_rank_is_told_from_the_noise():
    _, noisy = signal(600, noise=0.01)
    assert HankelDMD(n_delays=60).fit(noisy).rank_ == 6


def test_lag_and_several_trajectories():
    X, _ = signal(900)
    ids = np.repeat([0, 1, 2], 300)
    model = HankelDMD(n_delays=20, lag=3, dt=0.1).fit(X, trajectory_id=ids)
    assert model.context_.shape == (58, 1)
    assert nrmse(model.forecast(100, X[:500]), X[500:600]) < 1e-6


@pytest.mark.parametrize(("parameter", "value"), [("n_delays", 0), ("rank", "most"), ("lag", 0), ("dt", 0)])
def test_parameters_are_checked(parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of HankelDMD must be"):
        HankelDMD(**{parameter: value}).fit(np.eye(20))
