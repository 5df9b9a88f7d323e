"""OptDMD: unbiased exponents, uneven times, bags that cover."""

import numpy as np
import pytest

from chaosfit.methods.koopman.exponentials import fit_exponentials, initial_exponents
from chaosfit.methods.koopman.lifted import galerkin
from chaosfit.methods.koopman.opt_dmd import OptDMD

FREQUENCIES = np.array([1.0, np.sqrt(2), 2.7])


def signal(noise, seed=0):
    """Times, 1400 clean rows of 20 channels, and 400 noisy rows."""
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(1400)
    waves = np.hstack([np.cos(np.outer(t, FREQUENCIES)), np.sin(np.outer(t, FREQUENCIES))])
    X = waves @ rng.normal(size=(6, 20))
    return t, X, X[:400] + noise * X[:400].std() * rng.normal(size=(400, 20))


def nrmse(forecast, truth):
    return np.sqrt(np.mean((forecast - truth) ** 2)) / truth.std()


def exact_dmd(X, rank, n_steps):
    model, Q = galerkin(X[:-1], X[1:], rank=rank, scale=False)
    z, readout, path = X[-1] @ model.basis, Q.T @ X[1:] / len(Q), []
    for _ in range(n_steps):
        path.append(z @ readout)
        z = z @ model.matrix
    return np.array(path)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_does_not_damp(seed):
    _, X, noisy = signal(0.1, seed)
    model = OptDMD(6, context_length=399, dt=0.1).fit(noisy)
    error = nrmse(model.forecast(1000), X[400:])
    assert error < 0.05
    assert nrmse(exact_dmd(noisy, 6, 1000), X[400:]) > 10 * error
    found = np.sort(np.abs(model.continuous_eigenvalues_.imag))[::2]
    np.testing.assert_allclose(found, FREQUENCIES, atol=1e-3)
    undamped = OptDMD(6, context_length=399, constraint="imaginary", dt=0.1).fit(noisy)
    assert (undamped.continuous_eigenvalues_.real == 0).all()
    assert nrmse(undamped.forecast(1000), X[400:]) < error


def test_clean_data_are_fitted_exactly():
    _, X, clean = signal(0.0)
    model = OptDMD(dt=0.1).fit(clean)
    assert model.rank_ == 6
    assert model.error_ < 1e-10
    assert nrmse(model.forecast(1000), X[400:]) < 1e-9


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_uneven_times(seed):
    t, X, noisy = signal(0.1, seed)
    rows = np.sort(np.random.default_rng(seed + 10).permutation(400)[:240])
    series, times = [noisy[rows]], [t[rows]]
    fit = fit_exponentials(series, times, initial_exponents(series, times, 6))
    assert nrmse(fit.evaluate(t[400:]), X[400:]) < 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bags_cover_the_truth(seed):
    _, X, noisy = signal(0.1, seed)
    model = OptDMD(6, context_length=399, n_bags=50, dt=0.1, random_state=0).fit(noisy)
    assert nrmse(model.forecast(1000), X[400:]) < 0.05
    low, high = np.quantile(model.forecast_samples(1000, n_samples=200), [0.05, 0.95], axis=0)
    assert 0.75 <= np.mean((low <= X[400:]) & (X[400:] <= high)) <= 0.98
    assert (model.continuous_eigenvalues_std_ > 0).all()


def test_samples_need_bags():
    assert not hasattr(OptDMD(), "forecast_samples")
    assert hasattr(OptDMD(n_bags=1), "forecast_samples")


def test_one_channel_decay_and_growth():
    t = 0.1 * np.arange(200)
    x = (np.exp(-0.3 * t) * np.cos(2 * t) + 0.01 * np.exp(0.2 * t))[:, None]
    model = OptDMD(3, context_length=30, dt=0.1).fit(x[:150])
    np.testing.assert_allclose(model.continuous_eigenvalues_[0], 0.2, atol=1e-6)
    np.testing.assert_allclose(model.continuous_eigenvalues_[1:].real, -0.3, atol=1e-6)
    np.testing.assert_allclose(model.forecast(50), x[150:], atol=1e-6)
    stable = OptDMD(3, context_length=30, constraint="stable", dt=0.1).fit(x[:150])
    assert stable.continuous_eigenvalues_.real.max() <= 0


def test_trajectories_share_exponents():
    t = 0.1 * np.arange(100)
    first, second = np.cos(2 * t + 0.3), 3 * np.cos(2 * t[:80] + 2)
    X = np.r_[first, second][:, None]
    model = OptDMD(2, context_length=10, dt=0.1).fit(X, trajectory_id=np.repeat([0, 1], [100, 80]))
    np.testing.assert_allclose(np.abs(model.continuous_eigenvalues_.imag), 2, atol=1e-9)
    assert model.error_ < 1e-9
    np.testing.assert_allclose(model.amplitudes_, 1.5, atol=1e-8)


def test_refusals():
    X = signal(0.1)[2][:, :1]
    with pytest.raises(ValueError, match="rank=6 amplitudes cannot be fitted to context_length=2 rows of 1"):
        OptDMD(6, context_length=2).fit(X)
    with pytest.raises(ValueError, match="exponents to start from overflow within the times"):
        fit_exponentials([X], [np.arange(400.0)], np.array([10.0]))
