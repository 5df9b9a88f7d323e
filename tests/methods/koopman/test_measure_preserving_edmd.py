"""Energy, unit circle and spectral measures."""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.methods.koopman.edmd import EDMD
from chaosfit.methods.koopman.measure_preserving_edmd import MeasurePreservingEDMD, unitary_factor
from chaosfit.numerics.integrate import integrate_batch


@pytest.fixture(scope="module")
def observable():
    """Centred tanh(x y - 0.6 z) along ten trajectories of Lorenz-63, 1000 rows each, dt = 0.1."""

    def rhs(X):
        x, y, z = X.T
        return np.column_stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    start = np.array([-8.0, 8.0, 27.0]) + np.random.default_rng(0).normal(size=(10, 3))
    x, y, z = np.moveaxis(integrate_batch(rhs, start, 0.1 * np.arange(1100))[:, 100:], 2, 0)
    g = np.tanh(x * y - 0.6 * z).ravel()
    return (g - g.mean())[:, None], np.repeat(np.arange(10), 1000)


def energy_after(model, n_steps):
    """|K^n g| / |g| for g the present value, in the norm over the data."""
    g = model.galerkin_.coordinates[:, 0]
    return np.linalg.norm(np.linalg.matrix_power(model.operator_, n_steps) @ g) / np.linalg.norm(g)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_energy_is_kept_where_least_squares_loses_it(observable, noise):
    g, ids = observable
    g = g + noise * g.std() * np.random.default_rng(1).normal(size=g.shape)
    delays = DelayEmbedding(n_delays=100, lag=1)
    model = MeasurePreservingEDMD(delays).fit(g, trajectory_id=ids)
    least_squares = EDMD(delays, relift=False).fit(g, trajectory_id=ids)
    assert np.abs(np.abs(model.eigenvalues_) - 1).max() < 1e-12
    assert abs(energy_after(model, 1000) - 1) < 1e-6
    assert energy_after(least_squares, 1000) < 1e-3


@pytest.mark.slow
def test_spectral_measure_sums_to_the_energy_and_converges(observable):
    g, ids = observable
    measures = {}
    for n in (25, 50, 100, 200, 400):
        model = MeasurePreservingEDMD(DelayEmbedding(n, 1)).fit(g, trajectory_id=ids)
        angles, weights = measures[n] = model.spectral_measure(np.eye(n)[0])
        used = np.concatenate([g[ids == i][n - 1 : -1] for i in range(10)])
        assert weights.sum() == pytest.approx(np.mean(used**2), abs=1e-10)
        assert (np.diff(angles) >= 0).all()
        assert (weights >= 0).all()

    def distribution(n):
        angles, weights = measures[n]
        cumulated = np.r_[0, np.cumsum(weights)] / weights.sum()
        return cumulated[np.searchsorted(angles, np.linspace(-np.pi, np.pi, 20001), side="right")]

    distances = [np.abs(distribution(n) - distribution(400)).mean() for n in (25, 50, 100, 200)]
    assert (np.diff(distances) < 0).all()
    assert distances[-1] < 0.5 * distances[0]


def test_moments_of_the_measure_are_autocorrelations():
    rng = np.random.default_rng(0)
    t = np.arange(4000)
    g = np.cos(0.5 * t + 1) + 0.5 * np.cos(1.3 * t) + 0.01 * rng.normal(size=4000)
    model = MeasurePreservingEDMD(DelayEmbedding(20, 1)).fit(g[:, None])
    angles, weights = model.spectral_measure(np.eye(20)[0])
    for lag in (1, 5, 10):
        moment = np.sum(weights * np.cos(lag * angles))
        assert moment == pytest.approx(np.mean(g[:-lag] * g[lag:]), abs=5e-3)


def test_unitary_factor_is_the_nearest_orthogonal_matrix():
    A = np.random.default_rng(0).normal(size=(5, 5))
    U = unitary_factor(A)
    np.testing.assert_allclose(U.T @ U, np.eye(5), atol=1e-14)
    symmetric = U.T @ A  # A = U P with P symmetric positive definite
    np.testing.assert_allclose(symmetric, symmetric.T, atol=1e-13)
    assert np.linalg.eigvalsh(symmetric).min() > 0


def test_forecast_of_an_oscillation_does_not_decay():
    x = np.sin(0.3 * np.arange(1200))[:, None] + 0.05 * np.random.default_rng(0).normal(size=(1200, 1))
    model = MeasurePreservingEDMD(DelayEmbedding(20, 1)).fit(x[:1000])
    path = model.forecast(5000)
    assert 0.8 < path[-500:].std() / path[:500].std() < 1.25


def test_refusals():
    X = np.random.default_rng(0).normal(size=(15, 1))
    with pytest.raises(ValueError, match="10 dictionary functions for 5 pairs: a unitary operator needs"):
        MeasurePreservingEDMD().fit(X)
    model = MeasurePreservingEDMD(DelayEmbedding(2, 1)).fit(X)
    with pytest.raises(ValueError, match=r"coefficients must have shape \(2,\), got \(3,\)"):
        model.spectral_measure([1, 0, 0])


def test_the_picture_of_the_measure_has_a_peak_at_each_frequency():
    matplotlib.use("Agg")
    x = np.sin(0.5 * np.arange(1000))[:, None]
    ax = MeasurePreservingEDMD(DelayEmbedding(4, 1)).fit(x).plot_spectral_measure(np.eye(4)[0])
    assert ax.get_yscale() == "log"
    segments = np.array(ax.collections[0].get_segments())
    highest = segments[np.argsort(-segments[:, 1, 1])[:2], 1, 0]
    np.testing.assert_allclose(np.sort(highest), [-0.5, 0.5], atol=1e-3)
    matplotlib.pyplot.close(ax.figure)
