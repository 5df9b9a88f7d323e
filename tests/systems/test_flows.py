import numpy as np
import pytest
from scipy.integrate import solve_ivp

from chaosfit.systems.flows import Lorenz63, Lorenz96, Rossler


@pytest.mark.parametrize("system", [Lorenz63(), Rossler(), Lorenz96(n_variables=10)], ids=lambda s: s.name)
def test_trajectory_agrees_with_scipy_at_a_tighter_tolerance(system):
    x0 = np.asarray(system.initial_state) + np.linspace(0.1, 0.3, system.dim)
    ours = system.simulate(41, x0=x0)
    t = system.dt * np.arange(41)
    reference = solve_ivp(
        lambda _, x: system.rhs(x[None])[0],
        (0.0, t[-1]),
        x0,
        method="DOP853",
        t_eval=t,
        rtol=1e-13,
        atol=1e-13,
    )
    np.testing.assert_allclose(ours, reference.y.T, rtol=0.0, atol=1e-6)


def test_lorenz96_is_the_published_equation():
    X = np.random.default_rng(0).normal(size=(1, 7))
    x = X[0]
    expected = [(x[(i + 1) % 7] - x[i - 2]) * x[i - 1] - x[i] + 8.0 for i in range(7)]
    np.testing.assert_allclose(Lorenz96(n_variables=7).rhs(X)[0], expected)


def test_sampling_interval_does_not_change_the_start():
    coarse = Lorenz63().simulate(11, dt=0.1, random_state=0)
    fine = Lorenz63().simulate(101, dt=0.01, random_state=0)
    np.testing.assert_array_equal(coarse[0], fine[0])
    np.testing.assert_allclose(coarse, fine[::10], atol=1e-7)


def test_lorenz_moments():
    X = Lorenz63().simulate(2000, dt=0.1, random_state=0, n_trajectories=4).reshape(-1, 3)
    assert X[:, 2].mean() == pytest.approx(23.55, abs=0.2)
    assert X.std(axis=0) == pytest.approx([7.92, 9.01, 8.62], rel=0.03)
