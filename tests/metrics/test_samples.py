"""Scores of samples: brute force, closed forms, and what dishonest samples cost."""

import numpy as np
import pytest

from chaosfit.metrics.samples import crps, energy_score, interval_coverage


def test_brute_force():
    y, s = np.random.default_rng(0).normal(size=(5, 2)), np.random.default_rng(1).normal(size=(7, 5, 2))
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    assert crps(y, s) == pytest.approx(np.abs(s - y).mean() - np.mean([np.abs(s[i] - s[j]) for i, j in pairs]) / 2)
    spread = np.mean([np.linalg.norm(s[i] - s[j], axis=-1) for i, j in pairs])
    assert energy_score(y, s) == pytest.approx(np.linalg.norm(s - y, axis=-1).mean() - spread / 2)


def test_one_variable_has_one_score():
    y, s = np.random.default_rng(0).normal(size=5), np.random.default_rng(1).normal(size=(7, 5))
    assert energy_score(y, s) == pytest.approx(energy_score(y[:, None], s[:, :, None]))
    assert energy_score(y, s) == pytest.approx(crps(y, s))


def test_closed_form_and_honesty():
    rng = np.random.default_rng(0)
    y, s = rng.normal(size=20_000), rng.normal(size=(30, 20_000))
    assert crps(y, s) == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)  # of a normal forecast of a normal truth
    assert crps(y, s) < min(crps(y, 0.3 * s), crps(y, 3 * s), crps(y, s + 1))
    assert interval_coverage(y, rng.normal(size=(500, 20_000)), level=0.8) == pytest.approx(0.8, abs=0.01)
    assert interval_coverage(y, 0.3 * s) < 0.5


def test_energy_sees_a_wrong_correlation():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 41, 2000, 2))
    truth, alike = a[0, :, [0, 0]].T, a[1:, :, [0, 0]]
    assert energy_score(truth, alike) < energy_score(truth, b[1:]) - 0.01
    assert crps(truth, alike) == pytest.approx(crps(truth, b[1:]), abs=0.03)


def test_samples_that_are_lost():
    y, s = np.zeros((3, 1)), np.zeros((4, 3, 1))
    s[0, 2] = np.nan
    assert crps(y, s) == energy_score(y, s) == np.inf
    assert interval_coverage(y, s) == pytest.approx(2 / 3)


@pytest.mark.parametrize("score", [crps, energy_score, interval_coverage])
def test_bad_input(score):
    with pytest.raises(ValueError, match=r"samples must have the shape \(S, \*y_true.shape\) with S >= 2"):
        score(np.zeros((3, 1)), np.zeros((4, 2, 1)))
    with pytest.raises(ValueError, match="y_true must be finite"):
        score(np.full((3, 1), np.nan), np.zeros((4, 3, 1)))
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        interval_coverage(np.zeros(3), np.zeros((4, 3)), level=1.0)
