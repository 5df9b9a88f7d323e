"""EDMD on systems whose spectrum is known."""

import numpy as np
import pytest
from sklearn.kernel_approximation import RBFSampler
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from chaosfit.methods.koopman.edmd import EDMD
from chaosfit.numerics.integrate import integrate_batch


@pytest.fixture(scope="module")
def slow_manifold():
    """Pairs 0.1 apart of x1' = -0.05 x1, x2' = -(x2 - x1^2); spectrum -0.05, -0.1, -1 on {x1, x2, x1^2}."""
    X = np.random.default_rng(0).uniform(-1, 1, (500, 2))

    def rhs(X):
        return np.column_stack([-0.05 * X[:, 0], X[:, 0] ** 2 - X[:, 1]])

    return X, integrate_batch(rhs, X, np.array([0.0, 0.1]), rtol=1e-13, atol=1e-13)[:, 1]


def test_slow_manifold(slow_manifold):
    X, Y = slow_manifold
    dictionary = FunctionTransformer(lambda X: np.column_stack([X, X[:, 0] ** 2]))
    model = EDMD(dictionary, dt=0.1).fit(X, Y)
    np.testing.assert_allclose(model.continuous_eigenvalues_, [-0.05, -0.1, -1], atol=1e-6)
    assert (model.residuals_ < 1e-10).all()
    np.testing.assert_allclose(model.eigenfunctions(X) @ model.modes_, X, atol=1e-10)
    linear = EDMD(FunctionTransformer(), dt=0.1).fit(X, Y)
    assert np.abs(linear.continuous_eigenvalues_ + 0.1).min() > 1e-3
    assert linear.residuals_.max() > 0.01


def test_linear_and_relifted_forecasts_agree_on_an_invariant_dictionary(slow_manifold):
    X, Y = slow_manifold
    dictionary = FunctionTransformer(lambda X: np.column_stack([X, X[:, 0] ** 2]))
    paths = [EDMD(dictionary, relift=relift).fit(X, Y).forecast(50, X[:1]) for relift in (True, False)]
    np.testing.assert_allclose(paths[0], paths[1], atol=1e-9)


def test_irrational_rotation():
    angle = np.sqrt(2) * np.pi / 3
    theta = np.mod(angle * np.arange(3000), 2 * np.pi)[:, None]

    def waves(theta):
        k = np.arange(1, 11)
        return np.hstack([np.ones_like(theta), np.cos(theta * k), np.sin(theta * k)])

    model = EDMD(FunctionTransformer(waves)).fit(theta[:-1], theta[1:])
    assert len(model.eigenvalues_) == 21
    assert model.verified(1e-8).all()
    expected = np.exp(1j * angle * np.arange(-10, 11))
    assert max(np.abs(model.eigenvalues_ - z).min() for z in expected) < 1e-10
    assert model.pseudospectrum(expected).max() < 1e-10
    assert model.pseudospectrum(0.5) == pytest.approx(0.5, abs=1e-3)
    outside = np.array([1.5, -2j, 0.0, 0.3 + 0.3j])
    assert (model.pseudospectrum(outside) >= np.abs(1 - np.abs(outside)) - 5e-3).all()

    noise = np.random.default_rng(0).normal(scale=0.063, size=(2999, 1))
    noisy = EDMD(FunctionTransformer(waves)).fit(theta[:-1], theta[:-1] + angle + noise)
    assert noisy.verified(1e-4).sum() == 1
    assert np.sort(noisy.residuals_)[1] > 0.05


def test_eigenvalues_without_dictionary_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    X = np.zeros((500, 2))
    for t in range(499):
        X[t + 1] = [[0.9, 0.2], [-0.1, 0.8]] @ X[t] + 0.1 * rng.normal(size=2)
    model = EDMD(FunctionTransformer()).fit(X)
    expected = np.linalg.eigvals(np.linalg.lstsq(X[:-1], X[1:], rcond=None)[0])
    np.testing.assert_allclose(np.sort_complex(model.eigenvalues_), np.sort_complex(expected), atol=1e-8)


def test_equations_print_the_map():
    x, y = [0.1], [0.2]
    for _ in range(200):
        x.append(1 - 1.4 * x[-1] ** 2 + y[-1])
        y.append(0.3 * x[-2])
    X = np.column_stack([x, y])
    model = EDMD().fit(X)
    assert model.equations() == ["x0[t+1] = 1 1 + 1 x1 - 1.4 x0^2", "x1[t+1] = 0.3 x0"]
    assert not hasattr(EDMD(StandardScaler()), "equations")
    assert EDMD().fit(X, X[:, 0]).equations() == ["y0 = 1 x0"]


@pytest.mark.parametrize(
    "dictionary",
    [
        make_pipeline(StandardScaler(), PolynomialFeatures(3)),
        RBFSampler(n_components=100, random_state=0),
    ],
)
def test_any_transformer_is_a_dictionary(dictionary):
    x = [0.3]
    for _ in range(1000):
        x.append(3.8 * x[-1] * (1 - x[-1]))
    X = np.array(x)[:, None]
    model = EDMD(dictionary).fit(X[:900])
    assert model.score(X[900:]) > 0.9999
    np.testing.assert_allclose(model.forecast(3, X[:900]), X[900:903], atol=1e-3)
