"""Long runs compared by kernel, memory, return map and words: brute force, and an order of known failures."""

import numpy as np
import pytest

from chaosfit.metrics.reconstruction import (
    autocorrelation_error,
    block_entropy_error,
    maximum_mean_discrepancy,
    return_map_distance,
)
from chaosfit.systems.flows import Lorenz63

ALL = [maximum_mean_discrepancy, autocorrelation_error, return_map_distance, block_entropy_error]
WORST = [np.sqrt(2.0), 2.0, np.inf, np.log(2.0)]


@pytest.fixture(scope="module")
def orbits():
    return Lorenz63().simulate(5000, dt=0.02, n_trajectories=3, random_state=0)


@pytest.fixture(scope="module")
def other():
    return Lorenz63(rho=60.0).simulate(5000, dt=0.02, random_state=0)


@pytest.mark.parametrize("score", ALL)
def test_identical_runs_score_zero_and_a_loop_worse_than_another_run(score, orbits):
    assert score(orbits[0], orbits[0]) == pytest.approx(0, abs=1e-7)
    loop = np.tile(orbits[0, :75], (67, 1))[:5000]
    options = {"lag": 18} if score is block_entropy_error else {}
    floor, failure = score(orbits[0], orbits[1], **options), score(orbits[0], loop, **options)
    assert failure > 2 * floor


@pytest.mark.parametrize("score", [maximum_mean_discrepancy, autocorrelation_error, return_map_distance])
def test_another_parameter_is_seen(score, orbits, other):
    assert score(orbits[0], other) > 2 * score(orbits[0], orbits[1])


@pytest.mark.parametrize(("score", "worst"), list(zip(ALL, WORST, strict=True)))
def test_batch_and_failures(score, worst, orbits):
    runs = orbits[[1, 2]].copy()
    runs[0, -1, 0] = np.nan
    values = score(orbits[:2], runs)
    assert values[0] == worst
    assert values[1] == pytest.approx(score(orbits[1], runs[1]))


def test_discrepancy_by_brute_force():
    y, p = np.random.default_rng(0).normal(size=(2, 40, 2))
    distances = [np.linalg.norm(a - b) for i, a in enumerate(y) for b in y[i + 1 :]]

    def k(x, z):
        q = (np.linalg.norm(x - z) / np.median(distances)) ** 2
        return np.mean([(1 + q / (2 * a)) ** -a for a in (0.2, 0.5, 1, 2, 5)])

    means = [np.mean([k(a, b) for a in first for b in second]) for first, second in ((y, y), (p, p), (y, p))]
    assert maximum_mean_discrepancy(y, p, scale=1.0) == pytest.approx(np.sqrt(means[0] + means[1] - 2 * means[2]))


def test_autocorrelation_by_brute_force():
    y, p = np.random.default_rng(0).normal(size=(2, 50))

    def rho(x, k):
        x = x - x.mean()
        return (x[k:] * x[: len(x) - k]).sum() / (x**2).sum()

    expected = np.sqrt(np.mean([(rho(p, k) - rho(y, k)) ** 2 for k in (1, 2, 3)]))
    assert autocorrelation_error(y, p, max_lag=3) == pytest.approx(expected)
    assert autocorrelation_error(y, np.ones(50)) < 2.0


def test_shuffled_rows_are_seen_by_memory_but_not_by_the_kernel(orbits):
    shuffled = np.random.default_rng(0).permutation(orbits[0])
    assert autocorrelation_error(orbits[0], shuffled) > 2 * autocorrelation_error(orbits[0], orbits[1])
    assert maximum_mean_discrepancy(orbits[0], shuffled) < 0.1


def test_a_coin_has_words_of_one_bit_a_symbol():
    coin, still = np.random.default_rng(0).normal(size=20_000), np.zeros(20_000)
    assert block_entropy_error(coin, still) == pytest.approx(np.log(2.0), abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: maximum_mean_discrepancy(X, X, n_states=1), "n_states must be at least 2, got 1"),
        (lambda X: autocorrelation_error(X, X, max_lag=9), r"max_lag must lie in 1\.\.8, below the number of rows"),
        (lambda X: return_map_distance(X, X), "y_true must have at least three maxima"),
        (lambda X: block_entropy_error(X, X, length=10), "words within 9 rows, got 10 and 1"),
    ],
)
def test_bad_options(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.arange(9.0))
