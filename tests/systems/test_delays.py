import numpy as np
import pytest

from chaosfit.systems.delays import DelayFlow, MackeyGlass


class Hutchinson(DelayFlow):
    """dx/dt = -x(t - tau), solvable by hand interval after interval."""

    name, dim, dt, transient, initial_state, initial_spread = "linear", 1, 0.1, 0.0, (1.0,), 0.0
    reference = "by hand"

    def rhs(self, X, X_delayed):
        return -X_delayed


def test_method_of_steps_by_hand():
    t = 0.1 * np.arange(31)
    x = Hutchinson(tau=1.0).simulate(31, x0=[1.0])[:, 0]
    expected = 1.0 - t + np.where(t > 1, (t - 1) ** 2 / 2, 0.0) - np.where(t > 2, (t - 2) ** 3 / 6, 0.0)
    np.testing.assert_allclose(x, expected, atol=1e-12)


def test_fourth_order_in_the_step():
    exact = MackeyGlass(max_step=0.02).simulate(61, x0=[1.2])
    errors = [np.abs(MackeyGlass(max_step=h).simulate(61, x0=[1.2]) - exact).max() for h in (1.0, 0.5, 0.25)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 4.0, atol=0.4)


def test_default_step_is_accurate_over_one_lyapunov_time():
    exact = MackeyGlass(max_step=0.025).simulate(201, x0=[1.2])
    assert np.abs(MackeyGlass().simulate(201, x0=[1.2]) - exact).max() < 1e-8


def test_output_between_the_steps_and_off_the_step_grid():
    coarse = MackeyGlass().simulate(21, dt=0.77, x0=[1.1])
    fine = MackeyGlass(max_step=0.01).simulate(21, dt=0.77, x0=[1.1])
    np.testing.assert_allclose(coarse, fine, atol=1e-7)


def test_fixed_point_is_kept():
    # beta / (1 + 1) = gamma at x = 1.
    np.testing.assert_allclose(MackeyGlass().simulate(100, x0=[1.0]), 1.0, atol=1e-12)


class MackeyGlassTangent(MackeyGlass):
    """Mackey-Glass with its linearised equation as a second variable."""

    dim, initial_state, initial_spread = 2, (0.9, 1.0), (0.2, 0.0)

    def rhs(self, X, X_delayed):
        x, power = X_delayed[:, 0], X_delayed[:, 0] ** self.n
        gain = self.beta * (1.0 + (1.0 - self.n) * power) / (1.0 + power) ** 2
        return np.array([self.beta * x / (1.0 + power), gain * X_delayed[:, 1]]).T - self.gamma * X


@pytest.mark.slow
def test_largest_exponent_of_mackey_glass():
    system = MackeyGlassTangent(max_step=0.5)
    x = system.simulate(5001, transient=2000.0, n_trajectories=32, random_state=0)
    size = np.log(np.abs(x[:, :, 1]))
    growth = (size[:, -200:].max(axis=1) - size[:, :200].max(axis=1)) / (5001 - 200)
    assert growth.mean() == pytest.approx(MackeyGlass().lyapunov_exponent, abs=3e-4)
