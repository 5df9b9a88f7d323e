"""Sums over rows: blocks, weights, centring, joining and leaving out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.numerics.gram import Gram, LazyGram, gram, gram_blocks, lazy_gram, residual_sum_of_squares

FIELDS = ("G", "R", "yy", "n_samples", "theta_mean", "Y_mean")


def data(n=57, p=4, d=2, seed=0, offset=3.0):
    rng = np.random.default_rng(seed)
    return offset + rng.standard_normal((n, p)), offset + rng.standard_normal((n, d))


def assert_same(one: Gram, other: Gram, rtol=1e-11):
    for field in FIELDS:
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=rtol, atol=1e-12)


@given(block_rows=st.integers(1, 80), center=st.booleans(), seed=st.integers(0, 9))
def test_blocks_do_not_matter(block_rows, center, seed):
    theta, Y = data(seed=seed)
    sums = gram(theta, Y, center=center, block_rows=block_rows)
    if center:
        np.testing.assert_allclose(sums.theta_mean, theta.mean(0))
        np.testing.assert_allclose(sums.Y_mean, Y.mean(0))
        theta, Y = theta - theta.mean(0), Y - Y.mean(0)
    np.testing.assert_allclose(sums.G, theta.T @ theta, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(sums.R, theta.T @ Y, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(sums.yy, (Y**2).sum(0))
    assert sums.n_samples == 57


@pytest.mark.parametrize("center", [False, True])
def test_weights_count_repetitions(center):
    theta, Y = data()
    weight = np.random.default_rng(1).integers(0, 4, len(Y))
    weight[:20] = 0  # some blocks weigh nothing
    weighted = gram(theta, Y, sample_weight=weight, center=center, block_rows=10)
    assert_same(weighted, gram(theta.repeat(weight, 0), Y.repeat(weight, 0), center=center))


@given(first=st.integers(1, 50), center=st.booleans())
def test_add_and_subtract_rows(first, center):
    theta, Y = data()
    head = gram(theta[:first], Y[:first], center=center)
    tail = gram(theta[first:], Y[first:], center=center)
    whole = gram(theta, Y, center=center)
    assert_same(head + tail, whole)
    assert_same(whole - head, tail, rtol=1e-9)


def test_centring_keeps_digits_of_columns_with_large_means():
    theta, Y = data(n=1000, offset=0.0)
    sums = gram(theta + 1e8, Y, center=True, block_rows=100)
    reference = gram(theta, Y, center=True)
    np.testing.assert_allclose(sums.G, reference.G, atol=1e-4)  # 1e8 * eps * n would be lost in theta itself


def test_blocks_may_come_from_a_generator():
    theta, Y = data()
    assert_same(gram_blocks((theta[k : k + 9], Y[k : k + 9]) for k in range(0, 57, 9)), gram(theta, Y))


def test_residual_of_a_path():
    theta, Y = data()
    sums = gram(theta, Y)
    path = np.random.default_rng(2).standard_normal((5, 4, 2))
    expected = [((Y - theta @ Xi) ** 2).sum(0) for Xi in path]
    np.testing.assert_allclose(residual_sum_of_squares(sums.G, sums.R, sums.yy, path), expected)


def test_residual_is_never_negative():
    theta, _ = data()
    Xi = np.ones((4, 1))
    sums = gram(theta, theta @ Xi)
    assert residual_sum_of_squares(sums.G, sums.R, sums.yy * (1 - 1e-15), Xi) >= 0


def test_messages():
    theta, Y = data()
    with pytest.raises(ValueError, match=r"as many rows each, got shapes \(56, 4\) and \(57, 2\)"):
        gram(theta[1:], Y)
    with pytest.raises(ValueError, match=r"got shapes \(57, 4\) and \(57,\)"):
        gram(theta, Y[:, 0])
    with pytest.raises(ValueError, match="at least one row of positive weight, got none"):
        gram(theta, Y, sample_weight=np.zeros(57))
    with pytest.raises(ValueError, match=r"No rows are left: 57\.0 rows minus 57\.0"):
        gram(theta, Y) - gram(theta, Y)


class TestLazy:
    @pytest.mark.parametrize("center", [False, True])
    def test_equals_the_whole_matrix(self, center):
        theta, Y = data(n=150, p=90)
        lazy, whole = lazy_gram(theta, Y, center=center), gram(theta, Y, center=center)
        assert isinstance(lazy.G, LazyGram)
        np.testing.assert_allclose(lazy.G.diagonal(), whole.G.diagonal())
        for column in (3, 89, 0, 3):
            np.testing.assert_allclose(lazy.G[:, column], whole.G[:, column], rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose([lazy.G[:, i] for i in range(90)], whole.G, rtol=1e-11, atol=1e-11)
        for field in FIELDS[1:]:
            np.testing.assert_allclose(getattr(lazy, field), getattr(whole, field), rtol=1e-11, atol=1e-11)

    def test_batches_double(self):
        theta, Y = data(n=150, p=90, d=1)
        G = lazy_gram(theta, Y).G
        sizes = []
        for column in range(90):
            G[:, column]
            sizes.append(len(G._known))
        assert sorted(set(sizes)) == [16, 32, 64, 90]

    def test_large_means_are_centred_first(self):
        theta, Y = data(n=150, p=90, offset=0.0)
        assert isinstance(lazy_gram(theta + 1e6, Y).G, LazyGram)
        np.testing.assert_allclose(lazy_gram(theta + 1e6, Y, center=True).G, gram(theta, Y, center=True).G, atol=1e-6)

    def test_cannot_be_joined(self):
        lazy = lazy_gram(*data(n=150, p=90))
        with pytest.raises(TypeError, match="a LazyGram cannot be joined; take them with gram"):
            lazy + lazy

    def test_few_columns_come_at_once(self):
        theta, Y = data()
        assert_same(lazy_gram(theta, Y), gram(theta, Y))
