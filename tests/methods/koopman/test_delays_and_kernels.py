"""HankelDMD on quasi-periodic series and KernelEDMD on chaos, each beside what must fail."""

import numpy as np
import pytest

from chaosfit import HankelDMD, KernelEDMD, Lorenz63, Persistence, valid_time


def two_tones(n, noise=0.0):
    t = np.arange(n)
    x = np.sin(0.2 * t) + 0.5 * np.cos(0.2 * np.sqrt(3) * t)
    return (x + noise * np.random.default_rng(0).standard_normal(n))[:, None]


def test_frequencies_of_a_sum_of_tones():
    model = HankelDMD(n_delays=40, rank=4).fit(two_tones(600))
    angles = np.sort(np.angle(model.eigenvalues_))
    np.testing.assert_allclose(angles[2:], [0.2, 0.2 * np.sqrt(3)], atol=1e-8)
    np.testing.assert_allclose(np.abs(model.eigenvalues_), 1.0, atol=1e-8)


def test_long_forecast_of_a_sum_of_tones():
    x = two_tones(1600)
    path = HankelDMD(n_delays=40, rank=4).fit(x[:600]).forecast(1000)
    np.testing.assert_allclose(path, x[600:], atol=1e-5)
    assert np.abs(HankelDMD(n_delays=1).fit(x[:600]).forecast(1000) - x[600:]).max() > 0.5


def test_automatic_rank_follows_the_noise():
    assert HankelDMD(n_delays=40).fit(two_tones(2000, noise=1e-3)).rank_ in (4, 5)


@pytest.fixture(scope="module")
def lorenz():
    return Lorenz63().simulate(4000, dt=0.02, random_state=0)


@pytest.mark.slow
def test_kernel_forecasts_of_chaos(lorenz):
    train, test = lorenz[:2000], lorenz[2000:]
    starts = np.arange(0, 400, 40)
    truth = np.stack([test[s + 1 : s + 601] for s in starts])

    def median(model):
        paths = model.fit(train).forecast(600, test[starts][:, None])
        return np.median(valid_time(truth, paths, dt=0.02, lyapunov_exponent=0.9056, scale=train.std(axis=0)))

    assert median(KernelEDMD()) >= 3.0
    assert median(KernelEDMD(relift=False)) <= 1.5
    assert median(Persistence()) <= 0.1


def test_held_out_residuals_show_what_training_residuals_hide():
    X = Lorenz63().simulate(2000, dt=0.1, random_state=0)
    model = KernelEDMD(kernel="laplacian", n_landmarks=400).fit(X)
    assert np.median(model.residuals_) > 10 * np.median(model.training_residuals_) or np.median(model.residuals_) > 0.3
    assert model.verified(0.05).sum() <= 3


def test_bad_parameters():
    with pytest.raises(ValueError, match="'kernel' parameter of KernelEDMD must be"):
        KernelEDMD(kernel="cubic").fit(two_tones(50))
    with pytest.raises(ValueError, match="minimum of 41 is required"):
        HankelDMD(n_delays=40).fit(two_tones(20))
