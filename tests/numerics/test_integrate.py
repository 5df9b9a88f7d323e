import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from chaosfit.numerics.integrate import integrate_batch, integrate_driven, integrate_implicit


def lorenz(X):
    x, y, z = X.T
    return np.array([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z]).T


def starts(n_rows, seed=0):
    return np.array([1.0, 2.0, 20.0]) + np.random.default_rng(seed).normal(size=(n_rows, 3))


def test_dense_output_follows_the_exact_solution_between_the_steps():
    t = np.linspace(0.0, 20.0, 2001)
    out = integrate_batch(lambda X: np.array([X[:, 1], -X[:, 0]]).T, [[1.0, 0.0]], t, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(out[0], np.array([np.cos(t), -np.sin(t)]).T, atol=2e-11)


def test_order_is_eight():
    t = np.linspace(0.0, 5.0, 6)
    exact = integrate_batch(lorenz, starts(1), t, rtol=1e-13, atol=1e-13)
    n_calls, errors = [], []
    for tolerance in (1e-6, 1e-10):
        calls = []
        out = integrate_batch(
            lambda X, calls=calls: (calls.append(1), lorenz(X))[1],
            starts(1),
            t,
            rtol=tolerance,
            atol=tolerance,
        )
        n_calls.append(len(calls))
        errors.append(np.abs(out - exact)[0, -1].max())
    order = np.log(errors[0] / errors[1]) / np.log(n_calls[1] / n_calls[0])
    assert 6.5 < order < 10.0


def test_agrees_with_scipy_in_states_and_in_work():
    t = np.linspace(0.0, 5.0, 301)
    calls = []
    ours = integrate_batch(lambda X: (calls.append(1), lorenz(X))[1], starts(1), t, rtol=1e-10, atol=1e-10)[0]
    scipy = solve_ivp(
        lambda _, x: lorenz(x[None])[0],
        (0.0, 5.0),
        starts(1)[0],
        method="DOP853",
        t_eval=t,
        rtol=1e-10,
        atol=1e-10,
    )
    np.testing.assert_allclose(ours, scipy.y.T, rtol=0.0, atol=1e-9)
    assert len(calls) == pytest.approx(scipy.nfev, rel=0.05)


def test_a_row_does_not_depend_on_its_companions():
    t = np.linspace(0.0, 30.0, 500)
    x0 = starts(7)
    together = integrate_batch(lorenz, x0, t)
    for row in (0, 3, 6):
        np.testing.assert_array_equal(integrate_batch(lorenz, x0[row : row + 1], t)[0], together[row])


def test_output_grid_does_not_change_the_trajectory():
    fine = integrate_batch(lorenz, starts(2), np.linspace(0.0, 10.0, 1001))
    coarse = integrate_batch(lorenz, starts(2), np.linspace(0.0, 10.0, 11))
    np.testing.assert_allclose(fine[:, ::100], coarse, atol=1e-12, rtol=0.0)


def test_rows_that_end_become_nan_and_leave_the_others_alone():
    t = np.linspace(0.0, 3.0, 31)
    x0 = [[1.0], [-1.0], [np.nan], [0.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = integrate_batch(lambda X: X**2, x0, t)[..., 0]
    np.testing.assert_allclose(out[0, :10], 1.0 / (1.0 - t[:10]), rtol=1e-7)
    assert np.isnan(out[0, t > 1.0]).all()
    np.testing.assert_allclose(out[1], -1.0 / (1.0 + t), rtol=1e-8)
    assert np.isnan(out[2]).all()
    assert (out[3] == 0.0).all()


def test_bound_ends_a_trajectory_at_the_first_state_beyond_it():
    t = np.linspace(0.0, 5.0, 51)
    out = integrate_batch(lambda X: X, [[1.0], [0.001]], t, bound=10.0)[..., 0]
    np.testing.assert_array_equal(np.isnan(out[0]), np.exp(t) > 10.0)
    assert np.isfinite(out[1]).all()


def test_step_budget_ends_a_stiff_row_only():
    rates = np.array([[1e6], [1.0]])
    out = integrate_batch(lambda X: -rates * (X - 1.0), [[0.0], [0.0]], [0.0, 1.0], max_steps=200)
    assert np.isnan(out[0, 1]).all()
    assert out[1, 1, 0] == pytest.approx(1.0 - np.exp(-1.0), abs=1e-9)


def test_time_dependent_right_hand_side_gets_the_time_of_each_row():
    t = np.linspace(1.0, 6.0, 40)
    out = integrate_batch(
        lambda X, time: np.cos(time)[:, None] * np.ones_like(X), [[0.0], [5.0]], t, time_dependent=True
    )[..., 0]
    np.testing.assert_allclose(out, np.array([[0.0], [5.0]]) + np.sin(t) - np.sin(1.0), atol=1e-9)


def test_single_time_returns_the_start():
    np.testing.assert_array_equal(integrate_batch(lorenz, starts(2), [3.0])[:, 0], starts(2))


@pytest.mark.parametrize(
    ("x0", "t", "match"),
    [
        ([1.0, 2.0], [0.0, 1.0], r"expected x0 of shape \(B, d\), got \(2,\)"),
        ([[1.0]], [0.0, 0.0], "strictly increasing"),
        ([[1.0]], [], "strictly increasing"),
    ],
)
def test_wrong_start_is_refused(x0, t, match):
    with pytest.raises(ValueError, match=match):
        integrate_batch(lambda X: X, x0, t)


def test_wrong_right_hand_side_is_refused():
    with pytest.raises(ValueError, match=r"right-hand side to return shape \(1, 2\), got \(1,\)"):
        integrate_batch(lambda X: X[:, 0], [[1.0, 2.0]], [0.0, 1.0])


def test_integrate_falls_back_to_an_implicit_method_for_a_stiff_equation():
    def van_der_pol(X):
        return np.array([X[:, 1], 1e5 * (1.0 - X[:, 0] ** 2) * X[:, 1] - X[:, 0]]).T

    t = np.linspace(0.0, 2.0, 3)
    out = integrate_implicit(van_der_pol, [2.0, 0.0], t, rtol=1e-8, atol=1e-8, max_steps=500)
    reference = solve_ivp(
        lambda _, x: van_der_pol(x[None])[0],
        (0.0, 2.0),
        [2.0, 0.0],
        method="Radau",
        t_eval=t,
        rtol=1e-9,
        atol=1e-9,
    )
    np.testing.assert_allclose(out, reference.y.T, rtol=1e-5)


def test_implicit_returns_nan_behind_a_blow_up():
    out = integrate_implicit(lambda X: X**2, [1.0], [0.0, 0.5, 2.0])
    assert out[1, 0] == pytest.approx(2.0, rel=1e-8)
    assert np.isnan(out[2, 0])


def test_driven_flow_holds_each_input_for_one_interval():
    u = np.random.default_rng(0).normal(size=(3, 20, 1))
    x0 = np.array([[1.0], [2.0], [np.nan]])
    out = integrate_driven(lambda X, U: U - X, x0, u, dt=0.3)
    expected, decay = x0.copy(), np.exp(-0.3)
    for step in range(20):
        expected = expected * decay + u[:, step] * (1.0 - decay)
        np.testing.assert_allclose(out[:, step], expected, rtol=1e-9)


def test_driven_flow_refuses_mismatched_shapes():
    with pytest.raises(ValueError, match=r"same B, got \(2, 1\) and \(3, 4, 1\)"):
        integrate_driven(lambda X, U: U, np.zeros((2, 1)), np.zeros((3, 4, 1)), dt=0.1)
