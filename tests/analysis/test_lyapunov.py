"""The largest exponent: known values, refusals, units."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.signal import lfilter

from chaosfit.analysis.lyapunov import largest_lyapunov_exponent


def lorenz(seed: int, n: int = 10_000, dt: float = 0.02) -> np.ndarray:
    def rate(_, s):
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]

    start = np.random.default_rng(seed).normal(size=3) * 3 + [0.0, 0.0, 24.0]
    times = 50 + dt * np.arange(n)
    return solve_ivp(rate, (0, times[-1]), start, t_eval=times, rtol=1e-8, atol=1e-8).y.T


def roessler(seed: int, n: int = 10_000, dt: float = 0.1) -> np.ndarray:
    def rate(_, s):
        return [-s[1] - s[2], s[0] + 0.2 * s[1], 0.2 + s[2] * (s[0] - 5.7)]

    times = 200 + dt * np.arange(n)
    start = np.random.default_rng(seed).normal(size=3)
    return solve_ivp(rate, (0, times[-1]), start, t_eval=times, rtol=1e-8, atol=1e-8).y.T


def henon(seed: int, n: int = 10_000) -> np.ndarray:
    x, y = np.random.default_rng(seed).uniform(-0.1, 0.1, 2)
    orbit = np.empty((n + 100, 2))
    for t in range(n + 100):
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
        orbit[t] = x, y
    return orbit[100:]


@pytest.fixture(scope="module")
def lorenz_orbits() -> list[np.ndarray]:
    return [lorenz(seed) for seed in range(3)]


def relative_errors(estimates, truth):
    return [abs(estimate.exponent - truth) / truth for estimate in estimates]


def test_lorenz_from_full_states(lorenz_orbits):
    estimates = [largest_lyapunov_exponent(orbit, 0.02) for orbit in lorenz_orbits]
    assert np.median(relative_errors(estimates, 0.9056)) < 0.06


@pytest.mark.parametrize(("n_delays", "lag"), [(3, 5), (4, 4), (5, 3)])
def test_lorenz_from_one_coordinate(lorenz_orbits, n_delays, lag):
    estimates = [largest_lyapunov_exponent(orbit[:, 0], 0.02, n_delays=n_delays, lag=lag) for orbit in lorenz_orbits]
    assert np.median(relative_errors(estimates, 0.9056)) < 0.06
    for estimate in estimates:
        assert estimate.interval[0] < estimate.exponent < estimate.interval[1]
        assert estimate.interval[1] - estimate.interval[0] < 0.3
        assert estimate.reason == ""


@pytest.mark.parametrize("n_delays", [1, 2, 3])
def test_henon(n_delays):
    orbits = [henon(seed) for seed in range(3)]
    if n_delays > 1:
        orbits = [orbit[:, 0] for orbit in orbits]
    estimates = [largest_lyapunov_exponent(orbit, n_delays=n_delays) for orbit in orbits]
    assert np.median(relative_errors(estimates, 0.4192)) < 0.02


def test_logistic_map_one_coordinate():
    x = np.empty(10_000)
    x[0] = 0.3
    for t in range(len(x) - 1):
        x[t + 1] = 4 * x[t] * (1 - x[t])
    assert largest_lyapunov_exponent(x).exponent == pytest.approx(np.log(2), rel=0.05)


def test_weak_chaos_is_flagged():
    estimate = largest_lyapunov_exponent(roessler(0), 0.1)
    assert estimate.exponent == pytest.approx(0.0714, rel=0.2)
    assert estimate.interval[0] < 0.0714 < estimate.interval[1]
    assert "slow growth" in estimate.reason


@pytest.mark.parametrize("n_delays", [1, 3, 5, 10])
def test_white_noise_is_refused(n_delays):
    estimates = [
        largest_lyapunov_exponent(np.random.default_rng(seed).normal(size=4000), n_delays=n_delays)
        for seed in range(20)
    ]
    assert np.mean([np.isnan(estimate.exponent) for estimate in estimates]) >= 0.9
    assert "no linear range" in estimates[0].reason
    assert np.isnan(estimates[0].interval).all()


@pytest.mark.parametrize(
    ("first", "second", "lag"), [(0.5, 0.2, 1), (1.6, -0.8, 2), (1.8, -0.95, 3), (1.95, -0.98, 4), (0.99, 0, 5)]
)
def test_autoregressive_noise_is_refused(first, second, lag):
    refused = 0
    for seed in range(20):
        shocks = np.random.default_rng(seed).normal(size=4500)
        series = lfilter([1], [1, -first, -second], shocks)[500:]
        refused += np.isnan(largest_lyapunov_exponent(series, n_delays=3, lag=lag).exponent)
    assert refused >= 18


@pytest.mark.parametrize("period", [25.3, 18 * np.pi])
def test_sine_does_not_diverge(period):
    wave = np.sin(2 * np.pi * np.arange(10_000) / period)
    estimate = largest_lyapunov_exponent(wave, n_delays=3, lag=6)
    assert abs(estimate.exponent) * period < 0.01
    assert "no growth" in estimate.reason


def test_time_unit_and_linear_change_of_coordinates(lorenz_orbits):
    orbit = lorenz_orbits[0]
    per_step, per_time = largest_lyapunov_exponent(orbit), largest_lyapunov_exponent(orbit, dt=0.02)
    assert per_time.exponent == pytest.approx(per_step.exponent / 0.02)
    assert per_time.interval == pytest.approx(tuple(bound / 0.02 for bound in per_step.interval))
    scaled = largest_lyapunov_exponent(orbit * [1e-6, 1.0, 1e6] + 3.0)
    assert scaled.exponent == pytest.approx(per_step.exponent, rel=1e-6)


def test_fit_range_is_where_the_line_was_fitted(lorenz_orbits):
    estimate = largest_lyapunov_exponent(lorenz_orbits[0])
    start, stop = estimate.fit_range
    slope = np.polyfit(np.arange(start, stop), estimate.curve[start:stop], 1)[0]
    assert estimate.exponent == pytest.approx(slope)
    # Half a mean period, about 0.5 units of time, is skipped.
    assert start >= 25
    assert 0 < estimate.curve[stop] - estimate.curve[start] < estimate.curve.max() - estimate.curve[0]


def test_measurement_noise_is_not_mistaken_for_an_exponent(lorenz_orbits):
    noisy = lorenz_orbits[0] + np.random.default_rng(0).normal(size=(10_000, 3)) * 8.0
    assert np.isnan(largest_lyapunov_exponent(noisy, 0.02).exponent)


def test_repeated_states_have_no_partner():
    cycle = np.tile(np.random.default_rng(0).normal(size=20), 50)
    estimate = largest_lyapunov_exponent(cycle, theiler=2)
    assert np.isnan(estimate.exponent) or abs(estimate.exponent) < 0.1


def test_ten_thousand_states_take_less_than_a_second(lorenz_orbits):
    start = time.process_time()
    largest_lyapunov_exponent(lorenz_orbits[0], 0.02)
    assert time.process_time() - start < 1.0


def test_dt_must_be_positive(lorenz_orbits):
    with pytest.raises(ValueError, match="dt must be positive, got 0"):
        largest_lyapunov_exponent(lorenz_orbits[0], 0.0)
