"""Derivatives: exactness on polynomials, order of convergence, noise, weak form, messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.numerics.differentiate import (
    estimate_noise,
    finite_difference,
    savitzky_golay_derivative,
    weak_form,
)


def lorenz_library(n=4000, dt=0.005):
    """A Lorenz trajectory by fine Runge-Kutta steps, its quadratic library and the true coefficients."""

    def flow(state):
        x, y, z = state
        return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    substeps, state = 5, np.array([-8.0, 7.0, 27.0])
    h, rows = dt / substeps, np.empty((n, 3))
    for row in rows:
        row[:] = state
        for _ in range(substeps):
            k1 = flow(state)
            k2 = flow(state + h / 2 * k1)
            k3 = flow(state + h / 2 * k2)
            k4 = flow(state + h * k3)
            state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    x, y, z = rows.T
    theta = np.column_stack([np.ones(n), x, y, z, x * x, x * y, x * z, y * y, y * z, z * z])
    coef = np.zeros((10, 3))
    coef[1], coef[2], coef[3, 2], coef[6, 1], coef[5, 2] = [-10, 28, 0], [10, -1, 0], -8 / 3, -1, 1
    return rows, theta, coef


class TestFiniteDifference:
    @given(
        order=st.sampled_from([2, 4, 6, 8]),
        n=st.integers(2, 30),
        dt=st.floats(1e-3, 10),
        seed=st.integers(0, 99),
    )
    def test_exact_for_polynomials_up_to_the_order(self, order, n, dt, seed):
        degree = 1 if n == 2 else min(order, (n - 1) // 2 * 2)
        poly = np.polynomial.Polynomial(np.random.default_rng(seed).standard_normal(degree + 1))
        s = np.linspace(-1, 1, n)
        expected = poly.deriv()(s) * 2 / (n - 1) / dt
        got = finite_difference(poly(s)[:, None], dt, order)[:, 0]
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10 / dt)

    @pytest.mark.parametrize("order", [2, 4, 6, 8])
    def test_error_falls_with_the_order_everywhere(self, order):
        errors = []
        for n in (41, 81):
            t = np.linspace(0, 2, n)
            derivative = finite_difference(np.sin(3 * t)[:, None], t[1], order)[:, 0]
            errors.append(np.abs(derivative - 3 * np.cos(3 * t)).max())
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.4)

    def test_columns_are_independent(self):
        X = np.random.default_rng(0).standard_normal((50, 3))
        alone = np.column_stack([finite_difference(X[:, [j]], 0.1)[:, 0] for j in range(3)])
        np.testing.assert_allclose(finite_difference(X, 0.1), alone, atol=1e-12)

    def test_input_is_left_alone(self):
        X = np.arange(20.0).reshape(10, 2)
        before = X.copy()
        finite_difference(X, 1.0)
        np.testing.assert_array_equal(X, before)

    @pytest.mark.parametrize(
        ("X", "dt", "order", "message"),
        [
            (np.ones((9, 1)), 0.1, 3, r"order must be 2, 4, 6 or 8, got 3"),
            (np.ones((1, 2)), 0.1, 6, r"X must be of shape \(n, d\) with at least 2 rows, got \(1, 2\)"),
            (np.ones(9), 0.1, 6, r"X must be of shape \(n, d\).*got \(9,\)"),
            (np.ones((9, 1)), 0.0, 6, r"dt must be positive, got 0.0"),
            (np.ones((9, 1)), np.nan, 6, r"dt must be positive, got nan"),
        ],
    )
    def test_messages(self, X, dt, order, message):
        with pytest.raises(ValueError, match=message):
            finite_difference(X, dt, order)


class TestSavitzkyGolay:
    def test_beats_differences_on_noisy_data(self):
        t = np.linspace(0, 10, 1001)
        noisy = (np.sin(t) + 0.01 * np.random.default_rng(0).standard_normal(len(t)))[:, None]

        def error(derivative):
            return np.sqrt(np.mean((derivative[:, 0] - np.cos(t)) ** 2))

        smooth = error(savitzky_golay_derivative(noisy, t[1], window=35))
        rough = error(finite_difference(noisy, t[1]))
        assert smooth < 0.06 < 0.5 < rough

    @pytest.mark.parametrize("n", range(2, 14))
    def test_short_series_use_what_fits(self, n):
        X = 2.0 * np.arange(n)[:, None]
        np.testing.assert_allclose(savitzky_golay_derivative(X, 0.5), 4.0)

    @pytest.mark.parametrize(("window", "degree"), [(10, 3), (3, 3), (5, 0)])
    def test_messages(self, window, degree):
        with pytest.raises(ValueError, match=rf"got window={window}, degree={degree}"):
            savitzky_golay_derivative(np.ones((20, 1)), 0.1, window, degree)


class TestWeakForm:
    @given(
        n=st.integers(7, 300),
        half_width=st.integers(1, 3),
        stride=st.integers(1, 9),
        power=st.integers(2, 6),
    )
    def test_equals_the_sum_over_each_window(self, n, half_width, stride, power):
        rng = np.random.default_rng(n)
        X, theta, dt = rng.standard_normal((n, 2)), rng.standard_normal((n, 3)), 0.1
        A, b = weak_form(X, theta, dt, half_width=half_width, power=power, stride=stride)
        s = np.arange(-half_width, half_width + 1) / half_width
        phi = (1 - s**2) ** power
        dphi = power * (1 - s**2) ** (power - 1) * (-2 * s) / (half_width * dt)
        starts = range(0, n - 2 * half_width, stride)
        windows = [slice(k, k + 2 * half_width + 1) for k in starts]
        np.testing.assert_allclose(A, [dt * phi @ theta[w] for w in windows], atol=1e-12)
        np.testing.assert_allclose(b, [-dt * dphi @ X[w] for w in windows], atol=1e-12)

    def test_end_of_the_test_function_limits_the_quadrature(self):
        """For a smooth signal the error falls as half_width^-power, one order faster for odd powers."""
        for power, expected in [(3, 4), (4, 4), (5, 6), (6, 6)]:
            errors = []
            for half_width in (8, 16, 32):
                t = np.linspace(-1, 1, 2 * half_width + 1)
                x = np.exp(t)[:, None]
                A, b = weak_form(x, x, t[1] - t[0], half_width=half_width, power=power)
                errors.append(abs(b[0, 0] / A[0, 0] - 1))
            assert np.log2(errors[0] / errors[1]) > expected - 0.6
            assert np.log2(errors[0] / errors[2]) / 2 == pytest.approx(expected, abs=0.6)

    def test_lorenz_coefficients_clean_and_noisy(self):
        X, theta, coef = lorenz_library()

        def error(A, b):
            return np.linalg.norm(np.linalg.lstsq(A, b, rcond=None)[0] - coef) / np.linalg.norm(coef)

        assert error(*weak_form(X, theta, 0.005, half_width=40, power=7)) < 1e-8
        noisy = X + 0.01 * X.std() * np.random.default_rng(1).standard_normal(X.shape)
        x, y, z = noisy.T
        theta = np.column_stack([np.ones(len(x)), x, y, z, x * x, x * y, x * z, y * y, y * z, z * z])
        weak = error(*weak_form(noisy, theta, 0.005, half_width=40))
        strong = error(theta, finite_difference(noisy, 0.005))
        assert weak < 0.02 < 0.05 < strong

    def test_messages(self):
        X = np.ones((20, 2))
        with pytest.raises(ValueError, match=r"theta must be of shape \(20, p\) to match X, got \(19, 3\)"):
            weak_form(X, np.ones((19, 3)), 0.1, half_width=3)
        with pytest.raises(ValueError, match=r"needs 2 \* half_width \+ 1 = 21 rows for one window, got 20"):
            weak_form(X, X, 0.1, half_width=10)
        with pytest.raises(ValueError, match="got half_width=0, stride=5, power=5"):
            weak_form(X, X, 0.1, half_width=0)
        with pytest.raises(ValueError, match="got half_width=3, stride=5, power=1"):
            weak_form(X, X, 0.1, half_width=3, power=1)


class TestEstimateNoise:
    @pytest.mark.parametrize("level", [1e-6, 1e-3, 0.1])
    def test_finds_the_level_in_every_column(self, level):
        X = lorenz_library()[0]
        noise = level * np.array([1.0, 2.0, 3.0])
        noisy = X + noise * np.random.default_rng(0).standard_normal(X.shape)
        np.testing.assert_allclose(estimate_noise(noisy), noise, rtol=0.1)

    def test_clean_signal_has_none(self):
        X = lorenz_library()[0]
        assert np.all(estimate_noise(X) < 1e-8 * X.std())

    def test_spikes_do_not_matter(self):
        X = np.random.default_rng(0).standard_normal((2000, 1))
        X[::200] += 1e4
        assert estimate_noise(X)[0] == pytest.approx(1.0, rel=0.2)

    def test_two_rows(self):
        assert estimate_noise([[0.0], [1.0]]).shape == (1,)
