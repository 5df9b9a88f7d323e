"""EDMD, ResDMD and measure-preserving EDMD: what is known about each system must come out, and nothing else."""

import matplotlib
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from chaosfit import (
    EDMD,
    DelayEmbedding,
    Henon,
    Lorenz63,
    MeasurePreservingEDMD,
    ResDMD,
    stack_trajectories,
    valid_time,
)

matplotlib.use("Agg")


def slow_manifold(n_runs=20, n_rows=20, mu=0.9, nu=0.5):
    """x -> mu x, y -> nu y + (mu^2 - nu) x^2: eigenvalues mu, nu, mu^2 on span{x, y, x^2}."""
    runs = np.empty((n_runs, n_rows, 2))
    runs[:, 0] = np.random.default_rng(0).uniform(-1, 1, (n_runs, 2))
    for t in range(n_rows - 1):
        x, y = runs[:, t].T
        runs[:, t + 1] = np.column_stack([mu * x, nu * y + (mu**2 - nu) * x**2])
    return stack_trajectories(runs)


@pytest.fixture(scope="module")
def lorenz():
    return Lorenz63().simulate(6000, dt=0.02, random_state=0)


def with_square(X):
    return np.column_stack([X, X[:, 0] ** 2])


def test_slow_manifold_is_exact_and_a_linear_operator_misses_it():
    X, ids = slow_manifold()
    model = EDMD(FunctionTransformer(with_square)).fit(X, trajectory_id=ids)
    np.testing.assert_allclose(np.sort(model.eigenvalues_.real), [0.5, 0.81, 0.9], atol=1e-6)
    assert model.residuals_.max() < 1e-10
    linear = EDMD(PolynomialFeatures(1, include_bias=False)).fit(X, trajectory_id=ids)
    assert np.abs(linear.eigenvalues_[:, None] - 0.81).min() > 1e-3
    assert linear.residuals_.max() > 1e-2


def circle(angle):
    return np.column_stack([np.cos(angle), np.sin(angle)])


def fourier(order):
    return FunctionTransformer(_Fourier(order))


class _Fourier:
    def __init__(self, order):
        self.order = order

    def __call__(self, X):
        phase = np.arctan2(X[:, 1], X[:, 0])[:, None] * np.arange(1, self.order + 1)
        return np.hstack([np.ones((len(X), 1)), np.cos(phase), np.sin(phase)])


def test_all_frequencies_of_a_rotation_are_verified_and_noise_unverifies_them():
    rng = np.random.default_rng(0)
    angle = np.sqrt(2) * np.arange(4000)
    exact = ResDMD(fourier(10)).fit(circle(angle))
    assert len(exact.eigenvalues_) == 21
    assert exact.residuals_.max() < 1e-8
    noisy = ResDMD(fourier(10)).fit(circle(np.cumsum(np.sqrt(2) + 0.063 * rng.standard_normal(4000))))
    assert (noisy.residuals_ < 1e-4).sum() == 1  # the constant
    assert np.sort(noisy.residuals_)[1] > 0.05


def test_chaos_has_one_verified_eigenvalue_among_many(lorenz):
    dictionary = make_pipeline(StandardScaler(), PolynomialFeatures(6))
    model = ResDMD(dictionary, tolerance=0.05).fit(lorenz[::5])
    assert model.verified_.sum() == 1
    np.testing.assert_allclose(model.eigenvalues_[model.verified_], 1.0, atol=1e-3)
    assert (np.abs(model.eigenvalues_[~model.verified_]) > 0.9).sum() >= 5


def test_pseudospectrum_of_a_unitary_operator():
    model = ResDMD(fourier(3)).fit(circle(np.sqrt(2) * np.arange(2000)))
    assert model.pseudospectrum([np.exp(1j * np.sqrt(2))])[0] < 1e-10
    np.testing.assert_allclose(model.pseudospectrum([0.5]), 0.5, atol=1e-3)
    z = np.array([1.5, 1.2j, -2.0])
    assert (model.pseudospectrum(z) >= np.abs(1 - np.abs(z)) - 1e-6).all()


def test_measure_preserving_operator_keeps_energy_where_least_squares_loses_it(lorenz):
    X = lorenz[:, :1] - lorenz[:, 0].mean()
    delays = DelayEmbedding(n_delays=50, lag=1)
    model = MeasurePreservingEDMD(delays).fit(X)
    plain = EDMD(delays, relift=False).fit(X)
    assert np.abs(np.abs(model.eigenvalues_) - 1).max() < 1e-12
    g = np.random.default_rng(0).standard_normal(len(model.operator_))
    energy = np.linalg.norm(np.linalg.matrix_power(model.operator_, 1000) @ g) / np.linalg.norm(g)
    assert abs(energy - 1) < 1e-6
    assert np.linalg.norm(np.linalg.matrix_power(plain.operator_, 1000) @ g) / np.linalg.norm(g) < 1e-3
    coefficients = np.eye(50)[0]
    angles, weights = model.spectral_measure(coefficients)
    assert (np.diff(angles) >= 0).all()
    np.testing.assert_allclose(weights.sum(), np.mean(X[49:-1] ** 2), rtol=0.05)
    with pytest.raises(ValueError, match=r"coefficients must have shape \(50,\)"):
        model.spectral_measure(np.ones(3))


def test_equations_of_the_henon_map():
    model = EDMD().fit(Henon().simulate(500, random_state=0))
    assert model.equations() == ["x0[t+1] = 1 1 + 1 x1 - 1.4 x0^2", "x1[t+1] = 0.3 x0"]


def test_relifting_forecasts_chaos_and_the_linear_forecast_does_not(lorenz):
    train, test = lorenz[:4000], lorenz[4000:]
    dictionary = make_pipeline(StandardScaler(), PolynomialFeatures(5))
    starts = np.arange(0, 1000, 50)
    truth = np.stack([test[s + 1 : s + 801] for s in starts])

    def median(model):
        with np.errstate(all="ignore"):
            paths = model.fit(train).forecast(800, test[starts][:, None])
        return np.median(valid_time(truth, paths, dt=0.02, lyapunov_exponent=0.9056, scale=train.std(axis=0)))

    assert median(EDMD(dictionary)) >= 4.0
    assert median(EDMD(dictionary, relift=False)) <= 1.5


def test_plots_draw(lorenz):
    import matplotlib.pyplot as plt

    model = ResDMD(make_pipeline(StandardScaler(), PolynomialFeatures(3))).fit(lorenz[:500])
    ax = model.plot_pseudospectrum(n_points=5)
    assert ax.collections
    plt.close(ax.figure)


def test_nothing_verified_is_said():
    noise = np.random.default_rng(0).standard_normal((200, 2))
    with pytest.warns(UserWarning, match="no eigenvalue has a residual below 1e-06"):
        ResDMD(PolynomialFeatures(1, include_bias=False), tolerance=1e-6).fit(noise)


def test_more_functions_than_pairs_are_refused():
    with pytest.raises(ValueError, match="at least as many pairs as functions"):
        MeasurePreservingEDMD(DelayEmbedding(n_delays=9, lag=1)).fit(np.random.default_rng(0).standard_normal((15, 1)))
