"""Checks and time scales of one trajectory."""

from __future__ import annotations

import numpy as np
import pytest

from chaosfit.analysis.states import mean_period, standardised_states, theiler_window


def test_states_have_mean_zero_and_variance_one():
    states = standardised_states(np.random.default_rng(0).normal(5.0, [1.0, 1e6], size=(600, 2)))
    np.testing.assert_allclose(states.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(states.std(axis=0), 1)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 600, 3)), r"\(n,\) or \(n, d\), got shape \(2, 600, 3\)"),
        (np.arange(499.0), "at least 500 states are needed, got 499"),
        (np.r_[np.arange(600.0), np.nan], "got nan in row 600, column 0"),
        (np.column_stack([np.arange(600.0), np.full(600, 0.1)]), "column 1 of X is constant"),
    ],
)
def test_unusable_data_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        standardised_states(X)


def test_mean_period_of_a_sine_and_of_noise():
    t = np.arange(4000)
    assert mean_period(np.sin(2 * np.pi * t / 40), dt=0.5) == pytest.approx(20)
    assert mean_period(np.random.default_rng(0).normal(size=4000)) == pytest.approx(4, rel=0.05)
    both = np.column_stack([np.sin(2 * np.pi * t / 40), 1e3 * np.sin(2 * np.pi * t / 20)])
    assert mean_period(both) == pytest.approx(2 / (1 / 40 + 1 / 20))


def test_theiler_window_is_one_period_unless_given():
    wave = np.sin(2 * np.pi * np.arange(1000) / 24.7)[:, None]
    assert theiler_window(None, wave) == 25
    assert theiler_window(0, wave) == 0
    with pytest.raises(ValueError, match="between 0 and a quarter of the 1000 states, got 250"):
        theiler_window(250, wave)
