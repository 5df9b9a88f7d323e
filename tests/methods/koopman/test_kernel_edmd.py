"""Re-lifted kernels forecast chaos, linear ones do not; residuals count on pairs not seen."""

import numpy as np
import pytest

from chaosfit.compose import TransformedDynamics
from chaosfit.methods.koopman.kernel_edmd import KernelEDMD, kernel_matrix, kernel_ridge, nystroem_ridge
from chaosfit.numerics.integrate import integrate_batch

LYAPUNOV = 0.9056


def lorenz(n_paths, n_rows, dt, transient):
    def rhs(X):
        x, y, z = X.T
        return np.column_stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    start = np.array([-8.0, 8.0, 27.0]) + np.random.default_rng(0).normal(size=(n_paths, 3))
    n_before = int(transient / dt)
    return integrate_batch(rhs, start, dt * np.arange(n_before + n_rows))[:, n_before:]


@pytest.fixture(scope="module")
def task():
    """2000 training rows at dt = 0.05, 30 contexts and 400 rows of truth after each."""
    paths = lorenz(31, 2001, 0.05, 20.0)
    return paths[0, :2000], paths[1:, 1000:1001], paths[1:, 1001:1401]


def valid_time(forecast, truth, scale):
    error = np.sqrt(np.mean(((forecast - truth) / scale) ** 2, axis=2))
    lost = ~(error < 0.4)
    steps = np.where(lost.any(axis=1), lost.argmax(axis=1), lost.shape[1])
    return np.median(steps) * 0.05 * LYAPUNOV


@pytest.mark.slow
def test_relifted_forecast_of_lorenz(task):
    train, contexts, truth = task
    scale = train.std(axis=0)
    model = TransformedDynamics(estimator=KernelEDMD()).fit(train)
    assert valid_time(model.forecast(400, contexts), truth, scale) >= 5.5
    persistence = np.repeat(contexts, 400, axis=1)
    climatology = np.broadcast_to(train.mean(axis=0), truth.shape)
    for naive in (persistence, climatology):
        assert valid_time(naive, truth, scale) < 0.1
    nystroem = TransformedDynamics(estimator=KernelEDMD(n_landmarks=600)).fit(train)
    assert valid_time(nystroem.forecast(400, contexts), truth, scale) >= 5.5


@pytest.mark.slow
def test_linear_forecast_of_lorenz_is_useless(task):
    train, contexts, truth = task
    model = TransformedDynamics(estimator=KernelEDMD(length_scale=1.0, relift=False)).fit(train)
    assert valid_time(model.forecast(400, contexts), truth, train.std(axis=0)) <= 1.5


@pytest.mark.slow
def test_training_residuals_prove_nothing():
    X = lorenz(1, 2001, 0.1, 20.0)[0]
    model = KernelEDMD("laplacian", holdout=0.5, rank=None).fit(X)
    assert len(model.eigenvalues_) == 1000
    assert model.training_residuals_.max() < 1e-12
    assert np.sum(np.abs(model.eigenvalues_) > 0.9) > 900
    assert model.verified(0.05).sum() == 1
    assert np.median(model.residuals_) > 0.3


def test_linear_forecast_of_an_oscillation():
    t = np.arange(300)
    X = np.column_stack([np.cos(0.3 * t), np.sin(0.3 * t)])
    model = KernelEDMD(relift=False, ridge=1e-12, rank=10).fit(X[:200])
    np.testing.assert_allclose(model.forecast(50, X[:200]), X[200:250], atol=1e-3)
    assert model.verified(1e-3).sum() >= 5


def test_nystroem_with_all_rows_is_kernel_ridge():
    X = np.random.default_rng(0).normal(size=(60, 2))
    K = kernel_matrix(X, X, "gaussian", 1.0)
    full, reduced = kernel_ridge(K, X, 1e-3), nystroem_ridge(K, K, X, 1e-3)
    np.testing.assert_allclose(K @ reduced, K @ full, atol=1e-6)


def test_linear_operator_powers_are_the_published_formula():
    X = np.random.default_rng(0).normal(size=(80, 2)).cumsum(axis=0)
    model = KernelEDMD(relift=False, ridge=1e-3, length_scale=2.0).fit(X)
    K = kernel_matrix(X[:-1], X[:-1], "gaussian", 2.0) + 79 * 1e-3 * np.eye(79)
    A = np.linalg.solve(K, kernel_matrix(X[1:], X[:-1], "gaussian", 2.0))
    k0 = kernel_matrix(X[-1:], X[:-1], "gaussian", 2.0)
    expected = [k0 @ np.linalg.matrix_power(A, n) @ np.linalg.solve(K, X[1:]) for n in range(4)]
    np.testing.assert_allclose(model.forecast(4), np.concatenate(expected), atol=1e-8)


def test_refusals():
    X = np.ones((40, 2))
    with pytest.raises(ValueError, match="kernel matrix plus ridge=1e-300 is not positive definite"):
        kernel_ridge(-np.ones((3, 3)), X[:3], 1e-300)
    with pytest.warns(UserWarning, match="kernel matrix of 5001 pairs takes 0.2 GB"), pytest.raises(MemoryError):
        OutOfMemory().fit(np.random.default_rng(0).normal(size=(5002, 1)))


class OutOfMemory(KernelEDMD):
    """Stops where the matrix would be built."""

    def _kernel(self, A, B):
        raise MemoryError
