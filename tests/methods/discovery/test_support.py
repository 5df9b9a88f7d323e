"""The choice of terms on sums of products, and the extrapolation to data without noise."""

import numpy as np
import pytest

from chaosfit.methods.discovery.support import (
    block_sums,
    least_squares,
    noise_free,
    row_blocks,
    select_support,
    threshold_candidates,
)


def equations(n_rows=2000, noise=0.1, seed=0):
    """Six independent columns, three of them in two targets."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n_rows, 6))
    Xi = np.zeros((6, 2))
    Xi[[0, 3], 0], Xi[5, 1] = (2.0, -0.5), 1.0
    return A, A @ Xi + noise * rng.standard_normal((n_rows, 2)), Xi


def choose(A, b):
    sums = block_sums(A, b)
    candidates = threshold_candidates(sums, [np.ones(A.shape[1])])
    return select_support(sums, sums, candidates)


@pytest.mark.parametrize("n_rows", [1, 7, 20, 999])
def test_blocks_cover_all_rows_once(n_rows):
    rows = np.arange(n_rows)
    assert np.concatenate([rows[block] for block in row_blocks(n_rows)]).tolist() == rows.tolist()


def test_sums_of_some_blocks_are_sums_of_their_rows():
    A, b, _ = equations(100)
    some = block_sums(A, b).take([0, 3]).total()
    rows = np.r_[0:5, 15:20]
    np.testing.assert_allclose(some.G, A[rows].T @ A[rows])
    np.testing.assert_allclose(some.R, A[rows].T @ b[rows])
    np.testing.assert_allclose(some.yy, (b[rows] ** 2).sum(axis=0))


def test_extrapolation_removes_the_attenuation_by_noisy_columns():
    A, b, Xi = equations(20_000, noise=0.0)
    rng = np.random.default_rng(1)
    noisy = A + 0.5 * rng.standard_normal(A.shape)
    copies = [
        block_sums(noisy + sign * kick, b) for kick in 0.5 * rng.standard_normal((2, *A.shape)) for sign in (1, -1)
    ]
    sums = block_sums(noisy, b)
    plain, corrected = (least_squares(s.total(), Xi != 0) for s in (sums, noise_free(sums, copies)))
    assert np.abs(plain - Xi).max() > 0.3  # attenuated by 1 / 1.25
    assert np.abs(corrected - Xi).max() < 0.05


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_true_terms_are_chosen(noise, seed):
    A, b, Xi = equations(noise=noise, seed=seed)
    assert (choose(A, b) == (Xi != 0)).all()


def test_pure_noise_needs_no_terms():
    A, b, _ = equations()
    assert not choose(A, np.random.default_rng(2).standard_normal(b.shape)).any()


def test_motion_in_one_block_suffices():
    A, b, Xi = equations(noise=0.0)
    A[100:], b[100:] = 0.0, 0.0
    A[:100] += 0.0
    assert (choose(A[:200], b[:200]) == (Xi != 0)).all()


def test_the_search_adds_terms_that_no_candidate_has():
    A, b, Xi = equations()
    sums = block_sums(A, b)
    candidates = np.zeros((1, 6, 2), dtype=bool)
    assert (select_support(sums, sums, candidates) == (Xi != 0)).all()
    assert not select_support(sums, sums, candidates, search=False).any()


def test_dependent_columns_do_no_harm():
    A, b, _ = equations()
    support = choose(np.hstack([A, A[:, :1]]), b)
    assert support[[0, 6], 0].sum() == 1
