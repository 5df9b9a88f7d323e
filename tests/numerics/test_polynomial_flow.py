"""Taylor series of polynomial flows: exact solutions, other integrators, batches, trajectories that end."""

import numpy as np
import pytest

from chaosfit import Lorenz63
from chaosfit.numerics.integrate import integrate_batch
from chaosfit.numerics.polynomial import monomial_powers, monomials
from chaosfit.numerics.polynomial_flow import integrate_polynomial

POWERS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]])
LORENZ = np.array([[-10, 28, 0], [10, -1, 0], [0, 0, -8 / 3], [0, 0, 1], [0, -1, 0]])


def one_variable(coefficients):
    """Exponents and coefficients of x' = c0 + c1 x + c2 x^2 + ..."""
    return monomial_powers(1, range(len(coefficients))), np.array(coefficients, dtype=float)[:, None]


@pytest.mark.parametrize(
    ("coefficients", "solution"),
    [
        ([3.0], lambda t: 1 + 3 * t),
        ([0.0, -2.0], lambda t: np.exp(-2 * t)),
        ([0.0, 1.0, -0.5], lambda t: 2 / (1 + np.exp(-t))),
        ([0.0, 0.0, 0.0, -1.0], lambda t: 1 / np.sqrt(1 + 2 * t)),
        ([0.0, 0.0, 0.0, 0.0, 0.0, -1.0], lambda t: (1 + 4 * t) ** -0.25),
        ([0.0], lambda t: 1 + 0 * t),
    ],
    ids=["constant", "decay", "logistic", "cubic", "quintic", "rest"],
)
def test_exact_solutions(coefficients, solution):
    t = np.linspace(0.0, 5.0, 101)
    path = integrate_polynomial(*one_variable(coefficients), [[1.0]], t, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(path[0, :, 0], solution(t), rtol=1e-11)


@pytest.mark.parametrize("tolerance", [1e-6, 1e-9, 1e-12])
def test_errors_follow_the_tolerance(tolerance):
    """A harmonic oscillator neither forgives nor amplifies errors."""
    powers, coef = np.eye(2, dtype=int), np.array([[0.0, -1.0], [1.0, 0.0]])
    t = np.linspace(0.0, 60.0, 601)
    path = integrate_polynomial(powers, coef, [[0.0, 1.0]], t, rtol=tolerance, atol=tolerance)[0]
    error = np.abs(path - np.column_stack([np.sin(t), np.cos(t)])).max()
    assert 1e-4 * tolerance < error < 100 * tolerance


def test_lorenz_as_by_runge_kutta():
    x0, t = Lorenz63().simulate(40, dt=0.5, random_state=0), np.linspace(0.0, 3.0, 31)
    series = integrate_polynomial(POWERS, LORENZ, x0, t, rtol=1e-12, atol=1e-12)
    pair = integrate_batch(lambda X: monomials(X, POWERS) @ LORENZ, x0, t, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(series, pair, atol=1e-7)


def test_a_trajectory_does_not_depend_on_its_companions():
    x0, t = Lorenz63().simulate(600, dt=0.1, random_state=0), np.linspace(0.0, 20.0, 201)
    many = integrate_polynomial(POWERS, LORENZ, x0, t)
    for row in (0, 7, 599):
        np.testing.assert_array_equal(integrate_polynomial(POWERS, LORENZ, x0[row : row + 1], t)[0], many[row])
    each = np.broadcast_to(LORENZ, (600, *LORENZ.shape))
    np.testing.assert_array_equal(integrate_polynomial(POWERS, each, x0, t), many)


def test_every_row_under_its_own_coefficients():
    powers, _ = one_variable([0.0, 1.0])
    coef = np.array([[[0.0], [-1.0]], [[2.0], [0.0]]])
    path = integrate_polynomial(powers, coef, [[1.0], [1.0]], [0.0, 1.0])
    np.testing.assert_allclose(path[:, 1, 0], [np.exp(-1.0), 3.0], rtol=1e-9)


def test_trajectories_end_at_infinity_at_the_bound_and_at_nan():
    t = np.linspace(0.0, 2.0, 21)
    path = integrate_polynomial(*one_variable([0.0, 0.0, 1.0]), [[1.0], [-1.0], [np.nan], [0.0]], t)[..., 0]
    assert np.isfinite(path[0, t < 0.95]).all()
    np.testing.assert_allclose(path[0, 9], 10.0, rtol=1e-8)  # 1 / (1 - t)
    assert np.isnan(path[0, t > 1.0]).all()
    np.testing.assert_allclose(path[1], -1 / (1 + t), rtol=1e-8)
    assert np.isnan(path[2]).all()
    assert (path[3] == 0.0).all()
    bounded = integrate_polynomial(*one_variable([0.0, 0.0, 1.0]), [[1.0]], t, bound=3.0)[0, :, 0]
    assert np.isfinite(bounded[:7]).all()
    assert np.isnan(bounded[7:]).all()


def test_a_stiff_trajectory_is_given_up():
    powers, coef = one_variable([1e6, -1e6])
    path = integrate_polynomial(powers, coef, [[0.0]], [0.0, 1.0], max_steps=50)
    assert np.isnan(path[0, 1])


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"expected powers \(p, d\), .* got \(5, 3\), \(4, 3\) and \(1, 3\)"):
        integrate_polynomial(POWERS, LORENZ[:4], np.ones((1, 3)), [0.0, 1.0])
