"""Long-run scores: brute force, ordering of known failures, worst scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance as wasserstein_1d

from chaosfit.metrics.attractor import (
    metric_floor,
    power_spectrum_hellinger,
    state_space_divergence,
    state_space_divergence_mixture,
    wasserstein_distance,
)

LONG_RUN_SCORES = [
    state_space_divergence,
    state_space_divergence_mixture,
    power_spectrum_hellinger,
    wasserstein_distance,
]


def lorenz(n_steps: int, n_runs: int = 1, dt: float = 0.01, rho: float = 28.0, seed: int = 0) -> np.ndarray:
    """Independent orbits (n_runs, n_steps, 3) of Lorenz-63 after a transient, by classical Runge-Kutta."""

    def rate(s):
        x, y, z = s
        return np.stack([10 * (y - x), x * (rho - z) - y, x * y - 8 / 3 * z])

    state = np.random.default_rng(seed).normal(size=(3, n_runs)) * 3 + [[0.0], [0.0], [24.0]]
    orbit = np.empty((n_steps, 3, n_runs))
    for t in range(-5000, n_steps):
        k1 = rate(state)
        k2 = rate(state + dt / 2 * k1)
        k3 = rate(state + dt / 2 * k2)
        k4 = rate(state + dt * k3)
        state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if t >= 0:
            orbit[t] = state
    return orbit.transpose(2, 0, 1)


@pytest.fixture(scope="module")
def orbits() -> np.ndarray:
    return lorenz(20_000, n_runs=12)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 4, 800, 2))


# ---------------------------------------------------------------- definitions


def dense_divergence(true, pred, low, high, n_bins, smoothing):
    edges = [np.linspace(a, b, n_bins + 1) for a, b in zip(low, high, strict=True)]
    p, q = (np.histogramdd(x, edges)[0].ravel() for x in (true, pred))
    p, q = (np.append(c, len(x) - c.sum()) + smoothing for c, x in ((p, true), (q, pred)))
    p, q = p / p.sum(), q / q.sum()
    return np.sum(p * np.log(p / q))


@pytest.mark.parametrize("n_variables", [1, 2, 3])
@pytest.mark.parametrize("box", ["padded", "range", "two_std"])
def test_sparse_divergence_equals_the_dense_one(n_variables, box):
    rng = np.random.default_rng(n_variables)
    true, pred = rng.normal(size=(2, 500, n_variables)) * [1.0, 1.3, 0.2][:n_variables]
    pred = 1.2 * pred + 0.1
    s = true.std(axis=0)
    low, high = {
        "padded": (true.min(axis=0) - 0.1 * s, true.max(axis=0) + 0.1 * s),
        "range": (true.min(axis=0), true.max(axis=0)),
        "two_std": (true.mean(axis=0) - 2 * s, true.mean(axis=0) + 2 * s),
    }[box]
    expected = dense_divergence(true, pred, low, high, 12, 1e-5)
    assert state_space_divergence(true, pred, n_bins=12, box=box) == pytest.approx(expected, abs=1e-10)


def test_divergence_in_ten_dimensions_needs_no_dense_grid():
    true, pred = np.random.default_rng(0).normal(size=(2, 2000, 10))
    assert state_space_divergence(true, true, n_bins=4) == 0
    assert state_space_divergence(true, pred, n_bins=4) > 0.5
    with pytest.warns(UserWarning, match="Use fewer bins than 30"):
        state_space_divergence(true, pred)


def test_counts_do_not_wrap_around():
    true = np.linspace(0.0, 1.0, 70_000)
    stuck = np.full(70_000, 0.5)
    assert state_space_divergence(true, stuck) > 10


def test_spectrum_distance_by_hand(noise):
    true, pred = noise[0, 0], noise[1, 0].cumsum(axis=0)

    def spectrum(x):
        power = np.abs(np.fft.rfft((x - x.mean()) / x.std())) ** 2
        kernel = np.exp(-0.5 * (np.arange(-12, 13) / 3.0) ** 2)
        padded = np.pad(power, 12, mode="symmetric")
        power = np.convolve(padded, kernel / kernel.sum(), mode="valid")
        return power / power.sum()

    expected = np.mean(
        [np.sqrt(1 - np.sum(np.sqrt(spectrum(t) * spectrum(p)))) for t, p in zip(true.T, pred.T, strict=True)]
    )
    assert power_spectrum_hellinger(true, pred, smoothing=3.0) == pytest.approx(expected, abs=1e-10)


def test_mixture_divergence_estimates_the_integral():
    # Two clouds of one point each are two Gaussians, whose divergence is half the squared distance.
    true, pred = np.zeros((5, 2)), np.full((5, 2), [3.0, 4.0])
    value = state_space_divergence_mixture(true, pred, scale=[1.0, 1.0], n_samples=20_000)
    assert value == pytest.approx(25 / 2, abs=0.15)
    far = state_space_divergence_mixture(true, 100 * pred, scale=[1.0, 1.0], n_samples=1000)
    assert far == pytest.approx(0.5 * 500**2, rel=0.01)


def test_wasserstein_is_that_of_scipy(noise):
    true, pred = noise[0, 0], 2 * noise[1, 0] + 1
    expected = np.mean([wasserstein_1d(t, p) / t.std() for t, p in zip(true.T, pred.T, strict=True)])
    assert wasserstein_distance(true, pred) == pytest.approx(expected)


# ---------------------------------------------------------------- what all share


@pytest.mark.parametrize("score", LONG_RUN_SCORES)
def test_identical_runs_score_zero(score, noise):
    assert score(noise[0, 0], noise[0, 0]) == 0


@pytest.mark.parametrize("score", LONG_RUN_SCORES)
def test_batch_is_the_scores_of_its_runs(score, noise):
    true, pred = noise[0], noise[1].copy()
    pred[2, -1, 0] = np.nan
    single = [score(t, p) for t, p in zip(true, pred, strict=True)]
    np.testing.assert_allclose(score(true, pred), single)


@pytest.mark.parametrize("score", LONG_RUN_SCORES)
def test_units_of_the_data_do_not_matter(score, noise):
    true, pred = noise[:, 0]
    assert score(1e6 * true, 1e6 * pred) == pytest.approx(score(true, pred), rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_value_that_is_not_finite_gives_the_worst_score(value, noise):
    true, pred = noise[:, 0].copy()
    pred[-1, 1] = value
    assert state_space_divergence(true, pred) == state_space_divergence(true, true + 100)
    assert state_space_divergence_mixture(true, pred) == np.inf
    assert power_spectrum_hellinger(true, pred) == 1.0
    assert wasserstein_distance(true, pred) == np.inf


def test_constant_forecast_scores(orbits):
    true = orbits[0]
    stuck = np.broadcast_to(true.mean(axis=0), true.shape)
    assert power_spectrum_hellinger(true, stuck) == 1.0
    assert 10 < state_space_divergence(true, stuck) <= state_space_divergence(true, true + 1e3) + 1e-9


def test_leaving_the_box_is_the_maximum(orbits):
    true = orbits[0, :5000]
    maximum = state_space_divergence(true, true + 1e9)
    rng = np.random.default_rng(0)
    for run in (orbits[1, :5000], true + 2.0, np.full_like(true, 20.0), rng.uniform(-30, 50, true.shape)):
        assert state_space_divergence(true, run) < maximum + 1e-9


def test_time_outside_the_box_costs_its_logarithm(orbits):
    # Every tenth state stays, and stays right. Code that drops the others sees a good run.
    stayed = np.full_like(orbits[0], 1e9)
    stayed[::10] = orbits[0, ::10]
    assert state_space_divergence(orbits[0], stayed) > np.log(10)


def test_constant_coordinates(noise):
    true = np.column_stack([noise[0, 0], np.full(800, 2.0)])
    pred = np.column_stack([noise[1, 0], np.full(800, 2.0)])
    with pytest.raises(ValueError, match="column 2 of y_true is constant"):
        state_space_divergence(true, pred)
    expected = power_spectrum_hellinger(true[:, :2], pred[:, :2]) * 2 / 3
    assert power_spectrum_hellinger(true, pred) == pytest.approx(expected)
    moving = np.column_stack([pred[:, :2], pred[:, 0]])
    assert power_spectrum_hellinger(true, moving) == pytest.approx(expected + 1 / 3)
    assert wasserstein_distance(true, pred) < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: state_space_divergence(x, x, box="tight"), "'padded', 'range' or 'two_std', got 'tight'"),
        (lambda x: state_space_divergence(x, x, n_bins=1), "n_bins >= 2"),
        (lambda x: state_space_divergence(x, x, smoothing=0.0), "smoothing > 0"),
        (lambda x: state_space_divergence(np.tile(x, 6), np.tile(x, 6)), "12 coordinates, at most 10"),
        (lambda x: state_space_divergence_mixture(x, x, width=0.0), "width > 0"),
        (lambda x: power_spectrum_hellinger(x, x, smoothing=-1.0), "must not be negative"),
        (lambda x: metric_floor(wasserstein_distance, x, length=401), "between 2 and 400"),
    ],
)
def test_wrong_options_are_refused(call, message, noise):
    with pytest.raises(ValueError, match=message):
        call(noise[0, 0])


# ---------------------------------------------------------------- Lorenz-63: what the numbers mean


def test_floor_of_six_thousand_states():
    runs = lorenz(12_000, n_runs=12, dt=0.02)
    floor = np.median([metric_floor(state_space_divergence, run) for run in runs])
    # 12 draws scatter between about 0.5 and 1.6.
    assert 0.6 < floor < 1.2


def test_ordering_of_known_failures_in_space(orbits):
    assert np.median(state_space_divergence(orbits[::2], orbits[1::2])) < 0.6
    for rho in (24.5, 35.0):
        assert state_space_divergence(orbits[0], lorenz(20_000, rho=rho)[0]) > 3
    gauss = np.random.default_rng(0).multivariate_normal(orbits[0].mean(axis=0), np.cov(orbits[0].T), 20_000)
    assert state_space_divergence(orbits[0], gauss) > 2
    loop = np.tile(orbits[0, :75], (267, 1))[:20_000]
    assert state_space_divergence(orbits[0], loop) > 10


def test_ordering_of_known_failures_in_time(orbits):
    assert np.median(power_spectrum_hellinger(orbits[::2], orbits[1::2])) < 0.06
    assert power_spectrum_hellinger(orbits[0], lorenz(20_000, rho=35.0)[0]) > 0.1
    gauss = np.random.default_rng(0).multivariate_normal(orbits[0].mean(axis=0), np.cov(orbits[0].T), 20_000)
    assert power_spectrum_hellinger(orbits[0], gauss) > 0.8


def test_each_of_the_pair_is_blind_to_something(orbits):
    shuffled = np.random.default_rng(0).permutation(orbits[0])
    assert state_space_divergence(orbits[0], shuffled) == 0
    assert power_spectrum_hellinger(orbits[0], shuffled) > 0.8
    short, other = orbits[0, :1000], lorenz(1000, rho=35.0)[0]
    assert power_spectrum_hellinger(short, other) < 0.1
    assert state_space_divergence(short, other) > 8


def test_floor_falls_with_the_length(orbits):
    run = orbits[0]
    short = metric_floor(state_space_divergence, run, length=1000)
    assert short > 2 * metric_floor(state_space_divergence, run)
    assert metric_floor(state_space_divergence, run, length=1000, n_bins=5) < short
