"""Which eigenvalues of a chaotic system can be verified: only one."""

import matplotlib
import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from chaosfit.methods.koopman.edmd import EDMD
from chaosfit.methods.koopman.resdmd import ResDMD
from chaosfit.numerics.integrate import integrate_batch


@pytest.fixture(scope="module")
def lorenz():
    """Twenty trajectories of 1000 pairs at dt = 0.1, on the attractor: X, Y."""

    def rhs(X):
        x, y, z = X.T
        return np.column_stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    start = np.array([-8.0, 8.0, 27.0]) + np.random.default_rng(0).normal(size=(20, 3))
    paths = integrate_batch(rhs, start, 0.1 * np.arange(1101))[:, 100:]
    return paths[:, :-1].reshape(-1, 3), paths[:, 1:].reshape(-1, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("degree", "n_large"), [(3, 3), (6, 5)])
def test_only_the_constant_of_lorenz_is_verified(lorenz, degree, n_large):
    X, Y = lorenz
    model = ResDMD(PolynomialFeatures(degree)).fit(X, Y)
    assert model.verified(0.05).sum() == 1
    assert model.eigenvalues_[model.verified(0.05)] == pytest.approx(1, abs=1e-8)
    large = (np.abs(model.eigenvalues_) > 0.9) & ~model.verified(0.05)
    assert large.sum() >= n_large
    assert np.median(model.residuals_) > 0.5


@pytest.mark.slow
def test_what_can_be_trusted_of_lorenz_is_its_mean(lorenz):
    X, _ = lorenz
    ids = np.repeat(np.arange(20), 1000)
    model = ResDMD(PolynomialFeatures(3)).fit(X, trajectory_id=ids)
    assert model.verified_.sum() == 1
    np.testing.assert_allclose(model.forecast(5), np.tile(X.mean(axis=0), (5, 1)), atol=0.2)


def test_verified_forecast_of_a_linear_system_is_exact():
    X = np.empty((200, 2))
    X[0] = [1.0, 0.5]
    for t in range(199):
        X[t + 1] = 0.98 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]) @ X[t]
    model = ResDMD().fit(X[:100])
    assert model.verified_.all()
    np.testing.assert_allclose(model.forecast(100), X[100:], atol=1e-9)


def test_nothing_verified_is_said():
    noise = np.random.default_rng(0).normal(size=(500, 2))
    with pytest.warns(UserWarning, match=r"no eigenvalue has a residual below 0.05, the smallest is 0\.9"):
        model = ResDMD(FunctionTransformer()).fit(noise)
    assert (model.forecast(3) == 0).all()


def test_eigenvalues_are_those_of_edmd():
    X = np.random.default_rng(0).normal(size=(300, 2)).cumsum(axis=0)
    np.testing.assert_array_equal(ResDMD(tolerance=2.0).fit(X).eigenvalues_, EDMD().fit(X).eigenvalues_)


def test_pseudospectrum_picture_shows_the_eigenvalues():
    matplotlib.use("Agg")
    x = 0.9 ** np.arange(40.0)
    ax = ResDMD().fit(x[:, None]).plot_pseudospectrum(n_points=5)
    assert len(ax.collections[0].get_offsets()) == 3
    assert len(ax.collections[1].get_offsets()) == 3  # all verified
    matplotlib.pyplot.close(ax.figure)
