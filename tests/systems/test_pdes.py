import numpy as np
import pytest

from chaosfit.systems.pdes import KuramotoSivashinsky


@pytest.fixture(scope="module")
def start():
    return KuramotoSivashinsky(max_step=0.1).simulate(1, random_state=0)[0]


def test_fourth_order_in_the_step(start):
    exact = KuramotoSivashinsky(max_step=0.01).simulate(5, x0=start)[-1]
    errors = [np.abs(KuramotoSivashinsky(max_step=h).simulate(5, x0=start)[-1] - exact).max() for h in (0.04, 0.02)]
    assert np.log2(errors[0] / errors[1]) > 3.0
    assert np.abs(KuramotoSivashinsky().simulate(5, x0=start)[-1] - exact).max() < 1e-4


def test_grid_is_fine_enough(start):
    finer = 2.0 * np.fft.irfft(np.fft.rfft(start), 128)
    fine = KuramotoSivashinsky(n_points=128).simulate(9, x0=finer)[:, ::2]
    np.testing.assert_allclose(KuramotoSivashinsky().simulate(9, x0=start), fine, atol=1e-8)


def test_mean_is_conserved_and_waves_grow_at_the_linear_rate():
    x = 22.0 * np.arange(64) / 64
    k = 2.0 * np.pi / 22.0 * 2
    u = KuramotoSivashinsky().simulate(21, x0=1e-6 * np.cos(k * x))
    np.testing.assert_allclose(u[-1], np.exp((k**2 - k**4) * 5.0) * u[0], atol=1e-11)
    on_attractor = KuramotoSivashinsky().simulate(20, random_state=1, transient=50.0)
    np.testing.assert_allclose(on_attractor.mean(axis=1), 0.0, atol=1e-12)


def test_shifted_start_gives_the_shifted_solution(start):
    u = KuramotoSivashinsky().simulate(9, x0=[start, np.roll(start, 5)])
    np.testing.assert_allclose(np.roll(u[0], 5, axis=1), u[1], atol=1e-10)


def test_energy_of_the_attractor():
    u = KuramotoSivashinsky(max_step=0.25).simulate(400, dt=5.0, random_state=0)
    assert u.std() == pytest.approx(1.2, abs=0.15)
