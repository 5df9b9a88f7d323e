"""Correlation sums by brute force, dimensions of known sets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.spatial.distance import cdist

from chaosfit.analysis.dimension import correlation_dimension, correlation_sum
from chaosfit.numerics.delay import delay_vectors


def lorenz(seed: int, n: int = 10_000, dt: float = 0.02) -> np.ndarray:
    def rate(_, s):
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]

    start = np.random.default_rng(seed).normal(size=3) * 3 + [0.0, 0.0, 24.0]
    times = 50 + dt * np.arange(n)
    return solve_ivp(rate, (0, times[-1]), start, t_eval=times, rtol=1e-8, atol=1e-8).y.T


def henon(seed: int, n: int = 10_000) -> np.ndarray:
    x, y = np.random.default_rng(seed).uniform(-0.1, 0.1, 2)
    orbit = np.empty((n + 100, 2))
    for t in range(n + 100):
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
        orbit[t] = x, y
    return orbit[100:]


@pytest.mark.parametrize("theiler", [0, 1, 7])
@pytest.mark.parametrize("cross", [False, True])
def test_correlation_sum_by_brute_force(theiler, cross):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)).round(1)
    Y = rng.normal(size=(80, 2)).round(1) if cross else X
    distances = cdist(X, Y, "chebyshev")
    apart = np.abs(np.subtract.outer(np.arange(80), np.arange(80))) > theiler
    radii = np.array([0.05, 0.35, 0.85, 2.05])
    expected = [(distances[apart] <= r).mean() for r in radii]
    np.testing.assert_allclose(correlation_sum(X, radii, Y=Y if cross else None, theiler=theiler), expected)


def test_correlation_sum_is_a_distribution():
    X = np.random.default_rng(0).normal(size=(300, 3))
    sums = correlation_sum(X, np.geomspace(1e-3, 20, 30), theiler=5)
    assert (np.diff(sums) >= 0).all()
    assert sums[0] >= 0
    assert sums[-1] == 1


def test_lorenz():
    dimensions = [correlation_dimension(lorenz(seed)).dimension for seed in range(3)]
    assert np.median(dimensions) == pytest.approx(2.05, abs=0.06)
    assert dimensions == pytest.approx([2.05] * 3, abs=0.12)


def test_lorenz_from_one_coordinate():
    orbit = lorenz(0)
    estimate = correlation_dimension(delay_vectors(orbit[:, :1], 5, 5))
    assert estimate.dimension == pytest.approx(2.05, abs=0.12)


def test_henon():
    dimensions = [correlation_dimension(henon(seed)).dimension for seed in range(3)]
    assert np.median(dimensions) == pytest.approx(1.21, abs=0.04)


def test_noise_does_not_look_low_dimensional():
    noise = np.random.default_rng(0).normal(size=(10_000, 4))
    assert correlation_dimension(noise).dimension > 3.5
    assert correlation_dimension(delay_vectors(noise[:, :1], 4)).dimension > 3.5
    assert correlation_dimension(noise[:8000, :3]).dimension == pytest.approx(3.0, abs=0.2)


def test_closed_curve_has_dimension_one():
    angle = np.arange(5000) / 9
    estimate = correlation_dimension(np.column_stack([np.sin(angle), np.cos(angle)]))
    assert estimate.dimension == pytest.approx(1.0, abs=0.05)


def test_small_theiler_window_measures_the_curve():
    finely_sampled = lorenz(0, n=5000, dt=0.002)
    assert correlation_dimension(finely_sampled, theiler=0).dimension < 1.6


def test_too_high_for_the_number_of_states_is_flagged():
    estimate = correlation_dimension(np.random.default_rng(0).normal(size=(1000, 5)))
    assert np.isnan(estimate.dimension) or "1000 states cannot show a dimension above 4.0" in estimate.reason


def test_fit_range_and_curve_belong_together():
    estimate = correlation_dimension(henon(0))
    low, high = estimate.fit_range
    inside = (estimate.radii >= low) & (estimate.radii <= high)
    assert inside.sum() >= 5
    slope = np.polyfit(np.log(estimate.radii[inside]), np.log(estimate.correlation_sums[inside]), 1)[0]
    assert slope == pytest.approx(estimate.dimension, rel=0.05)


def test_units_do_not_matter():
    orbit = henon(0, n=3000)
    scaled = correlation_dimension(orbit * [1e6, 1e-3] - 5)
    assert scaled.dimension == pytest.approx(correlation_dimension(orbit).dimension, rel=1e-6)


def test_few_values_have_no_dimension():
    estimate = correlation_dimension(np.random.default_rng(0).integers(0, 2, 2000))
    assert np.isnan(estimate.dimension)
    assert estimate.reason


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: correlation_sum(np.zeros((5, 2)), [1.0], Y=np.zeros((4, 2))), r"got \(5, 2\) and \(4, 2\)"),
        (lambda: correlation_sum(np.zeros((5, 2)), [1.0], theiler=4), "between 0 and 3, got 4"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
