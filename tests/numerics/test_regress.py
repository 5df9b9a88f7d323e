"""Ridge solutions and term selection on Gram matrices, against direct solutions and pysindy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.numerics.regress import (
    frols,
    gram,
    residual_sum_of_squares,
    ridge_solve,
    ssr,
    stlsq,
    threshold_path,
)


def sparse_problem(n=500, p=12, d=3, noise=0.01, seed=0):
    """Correlated columns, three terms of size 1 to 2 for each target."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal((n, p)) @ (np.eye(p) + 0.2 * rng.standard_normal((p, p)))
    Xi = np.zeros((p, d))
    for target in range(d):
        terms = rng.choice(p, 3, replace=False)
        Xi[terms, target] = rng.choice([-1, 1], 3) * rng.uniform(1, 2, 3)
    return theta, theta @ Xi + noise * rng.standard_normal((n, d)), Xi


class TestRidgeSolve:
    @given(
        p=st.integers(1, 20),
        d=st.integers(1, 4),
        ridge=st.sampled_from([0.0, 1e-6, 1.0, 1e3]),
        seed=st.integers(0, 50),
    )
    def test_solves_the_normal_equations(self, p, d, ridge, seed):
        rng = np.random.default_rng(seed)
        theta = rng.standard_normal((3 * p + 5, p)) * 10.0 ** rng.uniform(-4, 4, p)
        C = rng.standard_normal((p, d))
        G = theta.T @ theta
        W = ridge_solve(G, C, ridge)
        size = (np.abs(G) + ridge * np.eye(p)) @ np.abs(W)
        np.testing.assert_array_less(np.abs(G @ W + ridge * W - C), 1e-11 * size + 1e-300)

    def test_vector_and_empty_right_hand_sides(self):
        assert ridge_solve(np.eye(2), np.ones(2)).shape == (2,)
        assert ridge_solve(np.eye(2), np.ones((2, 1))).shape == (2, 1)
        assert ridge_solve(np.zeros((0, 0)), np.zeros((0, 2))).shape == (0, 2)

    def test_collinear_and_zero_columns_share_a_finite_solution(self):
        rng = np.random.default_rng(0)
        a = rng.standard_normal(100)
        theta = np.column_stack([a, 2 * a, np.zeros(100), rng.standard_normal(100)])
        y = theta @ [1.0, 0.0, 0.0, 3.0]
        W = ridge_solve(theta.T @ theta, theta.T @ y)
        np.testing.assert_allclose(theta @ W, y, atol=1e-10)
        assert abs(W[2]) < 1e-12
        assert np.abs(W).max() < 4

    def test_scaling_saves_digits(self):
        """Monomials of a variable of size 30 span 15 decades; the coefficients survive the squaring."""
        x = np.linspace(-30, 30, 1001)
        theta = np.column_stack([x**k for k in range(6)])
        coef = np.array([1.0, -2.0, 0.5, 0.1, -0.01, 0.001])
        W = ridge_solve(theta.T @ theta, theta.T @ (theta @ coef))
        np.testing.assert_allclose(W, coef, rtol=1e-9)

    def test_arguments_are_left_alone(self):
        G, C = np.eye(3), np.ones((3, 2))
        ridge_solve(G, C, 1.0)
        np.testing.assert_array_equal(G, np.eye(3))
        np.testing.assert_array_equal(C, 1.0)

    def test_messages(self):
        with pytest.raises(ValueError, match="expects finite matrices, got NaN or inf"):
            ridge_solve([[np.nan]], [[1.0]])
        with pytest.raises(ValueError, match="ridge must be non-negative, got -1"):
            ridge_solve([[1.0]], [[1.0]], -1)


class TestSTLSQ:
    @pytest.mark.parametrize("normalize", [False, True])
    def test_finds_the_support_of_every_target(self, normalize):
        theta, Y, Xi = sparse_problem()
        sums = gram(theta, Y)
        threshold = 0.3 * (np.sqrt(len(Y)) if normalize else 1.0)
        got = stlsq(sums.G, sums.R, threshold=threshold, normalize=normalize)
        np.testing.assert_array_equal(got != 0, Xi != 0)
        np.testing.assert_allclose(got, Xi, atol=0.01)

    def test_unbiased_coefficients_are_least_squares_on_the_support(self):
        theta, Y, _ = sparse_problem(noise=0.5)
        sums = gram(theta, Y)
        biased = stlsq(sums.G, sums.R, threshold=0.5, ridge=50.0, unbias=False)
        unbiased = stlsq(sums.G, sums.R, threshold=0.5, ridge=50.0)
        for target in range(3):
            support = unbiased[:, target] != 0
            np.testing.assert_array_equal(support, biased[:, target] != 0)
            expected = np.linalg.lstsq(theta[:, support], Y[:, target], rcond=None)[0]
            np.testing.assert_allclose(unbiased[support, target], expected, rtol=1e-9)
            assert np.linalg.norm(biased[:, target]) < np.linalg.norm(unbiased[:, target])

    def test_bounded_path_leaves_out_large_supports_alone(self):
        theta, Y, _ = sparse_problem()
        sums, thresholds = gram(theta, Y), np.geomspace(1e-6, 1.0, 20)
        path, bounded = (threshold_path(sums.G, sums.R, thresholds, max_terms=k) for k in (None, 6))
        small = np.count_nonzero(path, axis=1, keepdims=True) <= 6
        assert small.any()
        assert not small.all()
        np.testing.assert_array_equal(bounded, np.where(small, path, 0.0))

    def test_path_equals_single_thresholds(self):
        theta, Y, _ = sparse_problem(noise=1.0)
        sums = gram(theta, Y)
        thresholds = np.geomspace(0.01, 3, 15)
        path = threshold_path(sums.G, sums.R, thresholds, ridge=0.1)
        for threshold, Xi in zip(thresholds, path, strict=True):
            np.testing.assert_array_equal(Xi, stlsq(sums.G, sums.R, threshold=threshold, ridge=0.1))

    def test_threshold_zero_keeps_all_and_a_large_one_drops_all(self):
        theta, Y, _ = sparse_problem()
        sums = gram(theta, Y)
        keep, drop = threshold_path(sums.G, sums.R, [0.0, 1e9])
        np.testing.assert_allclose(keep, np.linalg.lstsq(theta, Y, rcond=None)[0], rtol=1e-8, atol=1e-10)
        np.testing.assert_array_equal(drop, 0.0)

    @given(scale=st.lists(st.floats(1e-3, 1e3), min_size=12, max_size=12))
    def test_normalized_selection_ignores_the_units_of_columns(self, scale):
        theta, Y, _ = sparse_problem(n=100)
        one, other = gram(theta, Y), gram(theta * scale, Y)
        reference = stlsq(one.G, one.R, threshold=3.0, normalize=True)
        scaled = stlsq(other.G, other.R, threshold=3.0, normalize=True)
        np.testing.assert_allclose(scaled * np.array(scale)[:, None], reference, rtol=1e-9, atol=1e-12)

    def test_equals_pysindy(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pysindy.optimizers import STLSQ

            theta, Y, _ = sparse_problem(noise=1.0)
            sums = gram(theta, Y)
            for threshold in (0.05, 0.3, 1.0):
                for unbias in (False, True):
                    peer = STLSQ(threshold=threshold, alpha=5.0, unbias=unbias).fit(theta, Y)
                    got = stlsq(sums.G, sums.R, threshold=threshold, ridge=5.0, unbias=unbias)
                    np.testing.assert_allclose(got, peer.coef_.T, rtol=1e-8, atol=1e-10)


class TestStepwise:
    @pytest.mark.parametrize("method", [ssr, frols])
    def test_three_terms_are_the_true_ones(self, method):
        theta, Y, Xi = sparse_problem()
        sums = gram(theta, Y)
        path = method(sums.G, sums.R)
        assert path.shape == (12, 12, 3)
        np.testing.assert_array_equal(np.count_nonzero(path, axis=1), np.arange(1, 13)[:, None].repeat(3, 1))
        np.testing.assert_array_equal(path[2] != 0, Xi != 0)
        np.testing.assert_allclose(path[2], Xi, atol=0.01)

    @pytest.mark.parametrize("method", [ssr, frols])
    def test_residual_falls_along_the_path(self, method):
        theta, Y, _ = sparse_problem(noise=1.0)
        sums = gram(theta, Y)
        rss = residual_sum_of_squares(sums.G, sums.R, sums.yy, method(sums.G, sums.R))
        assert np.all(np.diff(rss, axis=0) < 0)

    @pytest.mark.parametrize("method", [ssr, frols])
    def test_order_ignores_the_units_of_columns(self, method):
        theta, Y, _ = sparse_problem(noise=1.0)
        one = gram(theta, Y)
        other = gram(theta * np.geomspace(1e-3, 1e3, 12), Y)
        np.testing.assert_array_equal(method(one.G, one.R) != 0, method(other.G, other.R) != 0)

    def test_first_forward_step_is_the_best_single_term(self):
        theta, Y, _ = sparse_problem(noise=1.0)
        sums = gram(theta, Y)
        first = frols(sums.G, sums.R, n_terms=1)[0]
        explained = sums.R**2 / np.diag(sums.G)[:, None]
        np.testing.assert_array_equal(np.argmax(np.abs(first), 0), np.argmax(explained, 0))

    def test_dependent_columns_end_the_forward_path(self):
        theta, Y, _ = sparse_problem(p=4, d=1)
        sums = gram(np.column_stack([theta, theta]), Y)
        path = frols(sums.G, sums.R)
        assert np.count_nonzero(path[-1]) == 4
        assert np.abs(path[-1]).max() < 3

    def test_dependent_columns_do_not_break_elimination(self):
        theta, Y, Xi = sparse_problem(p=4, d=1)
        sums = gram(np.column_stack([theta, theta]), Y)
        three = ssr(sums.G, sums.R)[2, :, 0]
        np.testing.assert_allclose(three[:4] + three[4:], Xi[:, 0], atol=0.01)


def test_ridge_solve_takes_sums_that_lost_their_definiteness():
    G = np.array([[2.0, 0.5, 0.0], [0.5, -1e-3, 0.0], [0.0, 0.0, 0.0]])
    solution = ridge_solve(G, np.array([[2.0], [0.5], [0.0]]))
    assert np.isfinite(solution).all()
