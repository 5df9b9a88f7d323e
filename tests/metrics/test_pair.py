"""The two arguments of every metric: shapes, finiteness, units."""

from __future__ import annotations

import numpy as np
import pytest

from chaosfit.metrics.pair import check_pair, check_scale


@pytest.mark.parametrize("shape", [(5,), (5, 2), (3, 5, 2)])
def test_everything_becomes_a_batch(shape):
    true, pred, as_given = check_pair(np.zeros(shape), np.ones(shape))
    assert true.shape == pred.shape
    assert true.ndim == 3
    assert np.shape(as_given(true.mean(axis=(1, 2)))) == (shape[:1] if len(shape) == 3 else ())


def test_single_trajectory_gives_a_python_number():
    *_, as_given = check_pair(np.zeros((5, 2)), np.ones((5, 2)))
    assert type(as_given(np.array([1.5]))) is float
    assert type(as_given(np.array([2]))) is int


def test_shapes_must_agree_and_both_are_named():
    with pytest.raises(ValueError, match=r"same shape, got \(5, 2\) and \(4, 2\)"):
        check_pair(np.zeros((5, 2)), np.zeros((4, 2)))


@pytest.mark.parametrize("shape", [(0, 2), (2, 2, 2, 2), ()])
def test_odd_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="batch"):
        check_pair(np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_truth_must_be_finite_and_the_place_is_named(value):
    true = np.zeros((5, 2))
    true[3, 1] = value
    with pytest.raises(ValueError, match=r"y_true must be finite, got (nan|inf) at index \(3, 1\)"):
        check_pair(true, np.zeros((5, 2)))


def test_forecast_may_be_anything():
    _, pred, _ = check_pair(np.zeros((5, 2)), np.full((5, 2), np.nan))
    assert np.isnan(pred).all()


def test_default_scale_is_the_standard_deviation():
    true = np.random.default_rng(0).normal(size=(2, 50, 3))
    np.testing.assert_allclose(check_scale(None, true), true.std(axis=1))


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_constant_coordinate_borrows_the_largest_scale(level):
    true = np.stack([np.linspace(0, 1, 9), np.linspace(0, 5, 9), np.full(9, level)], axis=1)[None]
    units = check_scale(None, true)[0]
    assert units[2] == units[1] == true[0, :, 1].std()
    # The same when the caller computed the standard deviation, rounding dust included.
    assert check_scale(true[0].std(axis=0), true)[0, 2] == units[1]


def test_all_constant_falls_back_to_one():
    np.testing.assert_array_equal(check_scale(None, np.full((1, 4, 2), 3.0)), np.ones((1, 2)))


@pytest.mark.parametrize("scale", [-1.0, np.nan, [1.0, np.inf]])
def test_scale_must_be_finite_and_not_negative(scale):
    with pytest.raises(ValueError, match="finite and not negative"):
        check_scale(scale, np.ones((1, 4, 2)))


def test_scale_must_match_the_coordinates():
    with pytest.raises(ValueError, match=r"one value per coordinate, \(2,\), got shape \(3,\)"):
        check_scale([1.0, 1.0, 1.0], np.ones((1, 4, 2)))
