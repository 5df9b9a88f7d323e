"""The scores of the Common Task Framework."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from chaosfit.metrics.ctf import (
    CTF_SCORES,
    ctf_composite,
    ctf_histogram,
    ctf_reconstruction,
    ctf_short_time,
    ctf_spectrum,
)

ALL = [ctf_short_time, ctf_reconstruction, ctf_histogram, ctf_spectrum]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(600, 8)).cumsum(axis=0)


@pytest.mark.parametrize("score", ALL)
def test_perfect_is_hundred_and_zeros_are_zero(score, truth):
    assert score(truth, truth) == 100
    if score is not ctf_histogram:
        assert score(truth, np.zeros_like(truth)) == pytest.approx(0)


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_floor(score, value, truth):
    assert score(truth, np.full_like(truth, value)) == -100


@pytest.mark.parametrize("score", ALL)
def test_batch_is_the_scores_of_its_trajectories(score, truth):
    true, pred = np.stack([truth] * 3), np.stack([truth + 1.0, truth[::-1], np.full_like(truth, np.nan)])
    single = [score(t, p) for t, p in zip(true, pred, strict=True)]
    np.testing.assert_allclose(score(true, pred), single)


def test_norms_by_hand():
    true, error = np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert ctf_short_time(true, true + error) == pytest.approx(100 * (1 - 1 / 4))
    frobenius = 100 * (1 - np.sqrt(2) / 5)
    assert ctf_short_time(true, true + error, norm="frobenius") == pytest.approx(frobenius)
    assert ctf_reconstruction(true, true + error, norm="frobenius") == pytest.approx(frobenius)


def test_only_the_judged_steps_count(truth):
    pred = truth.copy()
    pred[20:] = np.nan
    assert ctf_short_time(truth, pred) == 100
    pred = truth.copy()
    pred[:100] = np.nan
    assert ctf_histogram(truth, pred) == 100
    assert ctf_spectrum(truth, pred) == 100


def test_histogram_by_hand():
    true, pred = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 1.0])
    assert ctf_histogram(true, pred, n_bins=2) == pytest.approx(100 * (1 - 4 / 4))
    assert ctf_histogram(true, np.full(4, 9.0)) == -100


def test_spectrum_counts_modes_from_the_mean():
    x = 2 * np.pi * np.arange(32) / 32
    true = np.tile(np.cos(x) + np.cos(5 * x), (30, 1))
    pred = np.tile(np.cos(x), (30, 1))
    assert ctf_spectrum(true, pred, n_modes=5) == pytest.approx(100)
    assert ctf_spectrum(true, pred, n_modes=6) == pytest.approx(100 * (1 - 1 / np.sqrt(2)))


def test_composite_counts_what_is_missing():
    assert ctf_composite({}) == -100
    assert ctf_composite(dict.fromkeys(CTF_SCORES, 64.0)) == 64
    assert ctf_composite({**dict.fromkeys(CTF_SCORES, 20.0), "E1": np.nan}) == pytest.approx(10)
    assert ctf_composite({**dict.fromkeys(CTF_SCORES, 0.0), "E4": -1e9}) == pytest.approx(-100 / 12)
    with pytest.raises(ValueError, match="called E1 to E12, got E13"):
        ctf_composite({"E13": 1.0})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ctf_short_time(x, x, norm="nuclear"), "'spectral' or 'frobenius', got 'nuclear'"),
        (lambda x: ctf_short_time(x, x, n_steps=0), "n_steps must be at least 1"),
        (lambda x: ctf_histogram(x, x, n_bins=0), "at least 1, got 500 and 0"),
        (lambda x: ctf_spectrum(x, x, n_modes=0), "at least 1, got 20 and 0"),
        (lambda x: ctf_reconstruction(0 * x, x), "y_true is zero"),
    ],
)
def test_wrong_input_is_refused(call, message, truth):
    with pytest.raises(ValueError, match=message):
        call(truth)


# ---------------------------------------------------------------- the public Lorenz data


@pytest.fixture(scope="module")
def lorenz_pairs():
    """Data of the public Lorenz task; skips where it is absent."""
    file = Path(os.environ.get("CHAOSFIT_DATA", "data")) / "ctf-lorenz" / "ode_lorenz.npz"
    if not file.is_file():
        pytest.skip(f"{file} not found; set CHAOSFIT_DATA to the folder that holds ctf-lorenz/ode_lorenz.npz")
    return np.load(file)


@pytest.mark.parametrize(
    ("name", "score", "train", "test", "expected"),
    [
        ("E1", ctf_short_time, "X1train", "X1test", 58.3),
        ("E2", ctf_histogram, "X1train", "X1test", -91.2),
        ("E3", ctf_reconstruction, "X2train", "X2test", 54.9),
        ("E10", ctf_histogram, "X5train", "X7test", -90.3),
    ],
)
def test_average_forecast_gets_its_published_score(lorenz_pairs, name, score, train, test, expected):
    true = lorenz_pairs[test]
    average = np.broadcast_to(lorenz_pairs[train].mean(axis=0), true.shape)
    assert score(true, average) == pytest.approx(expected, abs=0.05), name


def test_frobenius_norm_is_stricter_on_the_public_data(lorenz_pairs):
    true = lorenz_pairs["X1test"]
    average = np.broadcast_to(lorenz_pairs["X1train"].mean(axis=0), true.shape)
    assert ctf_short_time(true, average, norm="frobenius") == pytest.approx(50.9, abs=0.05)
