"""The algebra in the orthonormal basis against the formulas of the papers."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.methods.koopman.edmd import EDMD
from chaosfit.methods.koopman.lifted import galerkin, noise_rank, tall_svd, transformer_rows


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    PX = rng.normal(size=(300, 6)) * 10.0 ** np.linspace(-1, 1, 6)
    return PX, PX @ rng.normal(size=(6, 6)) / 3 + rng.normal(size=(300, 6))


def test_galerkin_is_least_squares_in_another_basis(pair):
    PX, PY = pair
    model, Q = galerkin(PX, PY)
    K = np.linalg.lstsq(PX, PY, rcond=None)[0]
    np.testing.assert_allclose(Q.T @ Q / len(Q), np.eye(6), atol=1e-12)
    np.testing.assert_allclose(PX @ model.basis, Q, atol=1e-9)
    np.testing.assert_allclose(model.basis @ model.coordinates, np.eye(6), atol=1e-9)
    expected = np.sort_complex(linalg.eigvals(K))
    np.testing.assert_allclose(np.sort_complex(linalg.eigvals(model.matrix)), expected, rtol=1e-8)


def test_residuals_are_those_of_the_functions_themselves(pair):
    PX, PY = pair
    model, _ = galerkin(PX, PY)
    rng = np.random.default_rng(1)
    v = rng.normal(size=(6, 4)) + 1j * rng.normal(size=(6, 4))
    z = rng.normal(size=4) + 1j
    before, after = PX @ model.basis @ v, PY @ model.basis @ v
    expected = np.linalg.norm(after - z * before, axis=0) / np.linalg.norm(before, axis=0)
    np.testing.assert_allclose(model.residuals(z, v), expected, rtol=1e-9)


def test_pseudospectrum_is_the_least_residual(pair):
    PX, PY = pair
    PX = PX / np.linalg.norm(PX, axis=0)
    model, _ = galerkin(PX, PY)
    z = np.array([[0.3, 1j], [2.0, -1.0 + 0.5j]])
    G, A, L = PX.T @ PX, PX.T @ PY, PY.T @ PY
    squared = [linalg.eigh(L - w * A.T - np.conj(w) * A + abs(w) ** 2 * G, G)[0][0] for w in z.ravel()]
    np.testing.assert_allclose(model.pseudospectrum(z).ravel() ** 2, squared, rtol=1e-8)


def test_dependent_functions_are_dropped():
    rng = np.random.default_rng(0)
    PX = rng.normal(size=(50, 3))
    PX = np.column_stack([PX, PX[:, 0] + PX[:, 1], np.zeros(50)])
    model, Q = galerkin(PX, PX)
    assert model.matrix.shape == (3, 3)
    assert Q.shape == (50, 3)
    np.testing.assert_allclose(model.matrix, np.eye(3), atol=1e-12)


def test_tall_svd_fixes_signs():
    A = np.random.default_rng(0).normal(size=(40, 5))
    U, s, Vt = tall_svd(A)
    V = tall_svd(np.vstack([A, 1e-9 * A[:1]]))[2]
    np.testing.assert_allclose((U * s) @ Vt, A, atol=1e-12)
    np.testing.assert_allclose(V, Vt, atol=1e-8)
    assert (Vt[np.arange(5), np.abs(Vt).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("rank", [1, 2, 4, 5])
@pytest.mark.parametrize("n_rows", [6, 40])
def test_leading_columns_are_those_of_the_whole_svd(rank, n_rows):
    A = np.random.default_rng(0).normal(size=(n_rows, 5)) * 10.0 ** -np.arange(0, 15, 3)
    whole, leading = tall_svd(A), tall_svd(A, lambda s: min(rank, np.sum(s > 1e-15 * s[0])))
    assert leading[0].shape == (n_rows, rank)
    np.testing.assert_allclose(leading[0], whole[0][:, :rank], atol=1e-9)
    np.testing.assert_allclose(leading[0].T @ leading[0], np.eye(rank), atol=1e-14)
    np.testing.assert_allclose(leading[1], whole[1], rtol=1e-10)


def test_noise_rank():
    assert noise_rank(np.array([5.0, 3.0, 1.0, 0.05, 0.011, 0.01, 0.01, 0.01, 0.01, 0.01])) == 3
    assert noise_rank(np.r_[1.0, 1e-6, 1e-14 * np.ones(8)]) == 2
    assert noise_rank(np.ones(5)) == 1


def test_rows_that_a_dictionary_needs():
    assert transformer_rows(PolynomialFeatures(2)) == 1
    assert transformer_rows(DelayEmbedding(n_delays=4, lag=2)) == 7
    assert transformer_rows(make_pipeline(DelayEmbedding(3, 1), PolynomialFeatures(2))) == 3
    fitted = DelayEmbedding(lag=3).fit(np.sin(0.1 * np.arange(500))[:, None])
    assert transformer_rows(fitted) == fitted.context_length_ > 1


def test_dictionary_of_delays_and_polynomials_needs_no_present_of_other_variables():
    """Delays of x alone tell the next x of Henon's map exactly, through a quadratic dictionary."""
    x = np.zeros(600)
    for t in range(1, 599):
        x[t + 1] = 1 - 1.4 * x[t] ** 2 + 0.3 * x[t - 1]
    X = x[100:, None]
    model = EDMD(make_pipeline(DelayEmbedding(2, 1), PolynomialFeatures(2))).fit(X[:400])
    assert model._context_length() == 2
    np.testing.assert_allclose(model.forecast(10, X[400:410]), X[410:420], atol=1e-6)
    assert model.context_.shape == (2, 1)


def test_delays_with_successors_given_one_by_one():
    """Pairs (X, y) with a delay dictionary: each successor continues the history of its own row."""
    X = np.random.default_rng(0).normal(size=(200, 1)).cumsum(axis=0)
    by_rows = EDMD(DelayEmbedding(3, 2), relift=False).fit(X)
    by_pairs = EDMD(DelayEmbedding(3, 2), relift=False).fit(X[:-1], X[1:])
    np.testing.assert_allclose(by_pairs.operator_, by_rows.operator_, atol=1e-10)
    np.testing.assert_allclose(by_pairs.forecast(5, X), by_rows.forecast(5, X), rtol=1e-9)


def test_refusals():
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = EDMD(FunctionTransformer()).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="n_outputs=1 for n_features=2, so it holds no operator"):
        model.pseudospectrum(0.5)
    slow, ids = np.sin(0.1 * np.arange(400))[:, None], np.repeat(np.arange(40), 10)
    with pytest.raises(ValueError, match="every trajectory is shorter than the"):
        EDMD(DelayEmbedding(n_delays=3)).fit(slow, trajectory_id=ids)
    with pytest.warns(UserWarning, match="6 independent functions for 19 pairs fit the noise"):
        EDMD().fit(X[:20])
