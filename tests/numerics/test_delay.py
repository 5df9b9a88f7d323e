"""Delay coordinates: index identities, memory and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.numerics.delay import average_windows, delay_vectors, hankel, window_span, windows

sizes = {
    "n_extra": st.integers(0, 12),
    "d": st.integers(1, 3),
    "n_delays": st.integers(1, 5),
    "lag": st.integers(1, 4),
}


@given(**sizes)
def test_every_entry_is_the_sample_its_index_says(n_extra, d, n_delays, lag):
    n = window_span(n_delays, lag) + n_extra
    X = np.arange(n * d, dtype=float).reshape(n, d)
    W, H, V = (f(X, n_delays, lag) for f in (windows, hankel, delay_vectors))
    assert W.shape == (n_extra + 1, n_delays, d)
    for k in range(n_extra + 1):
        expected = X[k : k + window_span(n_delays, lag) : lag]
        np.testing.assert_array_equal(W[k], expected)
        np.testing.assert_array_equal(H[k], expected.ravel())
        np.testing.assert_array_equal(V[k], expected[::-1].ravel())


@given(**sizes)
def test_a_batch_is_its_members(n_extra, d, n_delays, lag):
    X = np.random.default_rng(0).normal(size=(4, window_span(n_delays, lag) + n_extra, d))
    for f in (windows, hankel, delay_vectors):
        np.testing.assert_array_equal(f(X, n_delays, lag), np.stack([f(x, n_delays, lag) for x in X]))


@given(**sizes)
def test_average_windows_inverts_hankel(n_extra, d, n_delays, lag):
    n_extra += lag  # fewer windows than the lag leave samples that no window holds
    X = np.random.default_rng(0).normal(size=(window_span(n_delays, lag) + n_extra, d))
    np.testing.assert_allclose(average_windows(hankel(X, n_delays, lag), n_delays, lag), X, rtol=1e-14)


def test_samples_in_no_window_are_nan():
    x = np.arange(5.0)[:, None]
    expected = [0, np.nan, np.nan, np.nan, 4]
    np.testing.assert_array_equal(average_windows(hankel(x, 2, lag=4), 2, lag=4)[:, 0], expected)


def test_average_windows_is_the_mean_of_the_copies():
    H = np.array([[1.0, 2.0], [4.0, 5.0]])
    np.testing.assert_array_equal(average_windows(H, 2)[:, 0], [1.0, 3.0, 5.0])


@pytest.mark.parametrize(("d", "lag"), [(1, 1), (3, 1), (1, 7)])
def test_hankel_matrix_is_a_view(d, lag):
    X = np.zeros((1000, d))
    assert np.shares_memory(hankel(X, 50, lag), X)


def test_windows_share_memory_and_cannot_be_written():
    X = np.zeros((10, 2))[:, ::-1]
    W = windows(X, 3, lag=2)
    assert np.shares_memory(W, X)
    with pytest.raises(ValueError, match="read-only"):
        W[0, 0, 0] = 1.0


@pytest.mark.parametrize(
    ("X", "n_delays", "lag", "message"),
    [
        (np.zeros(5), 2, 1, r"\(\.\.\., n_samples, n_variables\), got shape \(5,\)"),
        (np.zeros((5, 1)), 3, 3, "3 delays with lag 3 need at least 7 samples, got 5"),
        (np.zeros((5, 1)), 0, 1, "n_delays must be an integer >= 1, got 0"),
        (np.zeros((5, 1)), True, 1, "n_delays must be an integer >= 1, got True"),
        (np.zeros((5, 1)), 2, 1.5, "lag must be an integer >= 1, got 1.5"),
    ],
)
def test_refusals(X, n_delays, lag, message):
    with pytest.raises(ValueError, match=message):
        windows(X, n_delays, lag)


def test_average_windows_refuses_a_width_that_is_no_multiple():
    with pytest.raises(ValueError, match="5 columns, which is no multiple of n_delays=2"):
        average_windows(np.zeros((3, 5)), 2)
