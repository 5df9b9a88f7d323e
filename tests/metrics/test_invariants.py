"""Runs compared through correlation sums, dimension and exponent."""

from __future__ import annotations

import numpy as np
import pytest

from chaosfit.metrics.invariants import (
    correlation_dimension_error,
    correlation_sum_distance,
    lyapunov_exponent_error,
)


def lorenz(n_steps: int, n_runs: int = 1, dt: float = 0.02, rho: float = 28.0, seed: int = 0) -> np.ndarray:
    """Independent orbits (n_runs, n_steps, 3) of Lorenz-63 after a transient, by classical Runge-Kutta."""

    def rate(s):
        x, y, z = s
        return np.stack([10 * (y - x), x * (rho - z) - y, x * y - 8 / 3 * z])

    state = np.random.default_rng(seed).normal(size=(3, n_runs)) * 3 + [[0.0], [0.0], [24.0]]
    orbit = np.empty((n_steps, 3, n_runs))
    for t in range(-2500, n_steps):
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
    return lorenz(4000, n_runs=6)


ALL = [correlation_sum_distance, correlation_dimension_error, lyapunov_exponent_error]


@pytest.mark.parametrize("score", ALL)
def test_identical_runs_score_zero(score, orbits):
    assert score(orbits[0], orbits[0]) == 0


@pytest.mark.parametrize("score", ALL)
def test_batch_and_failures(score, orbits):
    runs = orbits[:3, :2000].copy()
    runs[1, -1, 0] = np.nan
    values = score(orbits[3:, :2000], runs)
    assert values.shape == (3,)
    assert values[1] == np.inf
    assert values[2] == pytest.approx(score(orbits[5, :2000], runs[2]))


def test_distance_by_brute_force():
    true, pred = np.random.default_rng(0).normal(size=(2, 60, 2))
    value = correlation_sum_distance(true, pred, scale=1.0, n_radii=1)

    def share(a, b, r):
        near = np.abs(a[:, None] - b[None]).max(axis=2) <= r
        return near[~np.eye(60, dtype=bool)].mean()

    distances = np.concatenate([np.abs(true[s:] - true[:-s]).max(axis=1) for s in (30, 20, 12)])
    # A single radius is the smallest one.
    r = np.quantile(distances, 0.001)
    expected = [max(share(a, b, r), 1 / (60 * 59)) for a, b in ((true, true), (pred, pred), (true, pred))]
    within_true, within_pred, between = np.log(expected)
    assert value == pytest.approx(max(abs(between - within_true), abs(within_pred - within_true)))


def test_distance_separates_the_system_from_its_imitations(orbits):
    true = orbits[0]
    floor = np.median([correlation_sum_distance(true, other) for other in orbits[1:4]])
    assert floor < 0.25
    gauss = np.random.default_rng(0).multivariate_normal(true.mean(axis=0), np.cov(true.T), len(true))
    imitations = {
        "other parameter": lorenz(4000, rho=35.0)[0],
        "gaussian": gauss,
        "loop": np.tile(true[:38], (106, 1))[:4000],
        "fixed point": np.broadcast_to(true[0], true.shape),
        "elsewhere": true + 1000.0,
    }
    for name, imitation in imitations.items():
        assert correlation_sum_distance(true, imitation) > max(3 * floor, 0.6), name


def test_distance_works_in_many_dimensions():
    true, pred = np.random.default_rng(0).normal(size=(2, 600, 60))
    floor = correlation_sum_distance(true, pred)
    assert floor < 0.2
    assert correlation_sum_distance(true, 1.2 * pred) > 3 * floor


def test_invariants_of_the_same_system_agree(orbits):
    errors = [lyapunov_exponent_error(orbits[0], other) for other in orbits[1:]]
    assert np.median(errors) < 0.2
    errors = [correlation_dimension_error(orbits[0], other) for other in orbits[1:]]
    assert np.median(errors) < 0.1


def test_imitations_without_the_invariants_get_inf(orbits):
    true = orbits[0]
    shuffled = np.random.default_rng(0).permutation(true)
    assert lyapunov_exponent_error(true, shuffled) == np.inf
    stuck = np.broadcast_to(true[0], true.shape)
    assert lyapunov_exponent_error(true, stuck) == np.inf
    assert correlation_dimension_error(true, stuck) == np.inf


def test_undefined_truth_is_nan_not_a_score():
    noise = np.random.default_rng(0).normal(size=(1000, 2))
    assert np.isnan(lyapunov_exponent_error(noise, noise))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: correlation_sum_distance(x, x, n_radii=0), "n_radii must be at least 1"),
        (lambda x: correlation_sum_distance(x[:100], x[:100], theiler=60), "below half the 100 steps, got 60"),
    ],
)
def test_wrong_options_are_refused(call, message, orbits):
    with pytest.raises(ValueError, match=message):
        call(orbits[0])
