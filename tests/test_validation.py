import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chaosfit import LinearAutoregression
from chaosfit.benchmark.data import from_table
from chaosfit.validation import check_finite, check_n_steps, split_trajectories, stack_trajectories


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_splitting_undoes_stacking(lengths):
    parts = [np.full((n, 2), float(i)) for i, n in enumerate(lengths)]
    X, ids = stack_trajectories(parts)
    slices = split_trajectories(len(X), ids)
    assert [s.stop - s.start for s in slices] == lengths
    assert all((X[s] == part).all() for s, part in zip(slices, parts, strict=True))


@given(hnp.arrays(float, (7, 3), elements=st.floats(-1e308, 1e308)), st.integers(0, 6), st.integers(0, 2))
def test_the_first_bad_entry_is_named(X, row, column):
    check_finite(X, "X")  # sums that overflow are no reason to complain
    X[row, column] = np.nan
    with pytest.raises(ValueError, match=rf"Input X contains NaN: .* row {row}, column {column} "):
        check_finite(X, "X")


def test_a_batch_names_the_trajectory():
    X = np.zeros((2, 4, 3))
    X[1, 2, 0] = -np.inf
    with pytest.raises(ValueError, match="contains infinity: .* row 2, column 0 of trajectory 1"):
        check_finite(X, "context")


def test_labels_may_be_strings_but_not_scattered():
    assert split_trajectories(4, ["b", "b", "a", "a"]) == [slice(0, 2), slice(2, 4)]
    with pytest.raises(ValueError, match="label .*b.* appears in 2 separate blocks"):
        split_trajectories(3, ["b", "a", "b"])
    with pytest.raises(ValueError, match=r"must have shape \(4,\), one label per row of X, got shape \(3,\)"):
        split_trajectories(4, [0, 0, 1])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_every_row_needs_a_label(missing):
    with pytest.raises(ValueError, match="trajectory_id contains missing labels"):
        split_trajectories(3, [1, missing, 2])


def test_stacking_needs_one_width():
    with pytest.raises(ValueError, match=r"one common d, got shapes \(3, 2\), \(3, 1\); a single"):
        stack_trajectories([np.zeros((3, 2)), np.zeros((3, 1))])
    X, ids = stack_trajectories(np.zeros((2, 3, 4)))
    assert X.shape == (6, 4)
    assert ids.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("n_steps", [0, -3, 1.0, True, None, "2", np.bool_(True)])
def test_bad_n_steps(n_steps):
    with pytest.raises(ValueError, match="n_steps must be an integer >= 1, got"):
        check_n_steps(n_steps)


def test_numpy_integers_are_integers():
    assert check_n_steps(np.int32(3)) == 3


def test_what_a_mask_hides_is_missing():
    X = np.ma.masked_greater(np.arange(60.0).reshape(30, 2), 58.0)
    u = np.ma.masked_greater(np.arange(30.0), 28.0)
    model = LinearAutoregression()
    for call in (
        lambda: model.fit(X),
        lambda: model.fit(X.data, X),
        lambda: model.fit(X.data, u=u),
        lambda: model.fit(X.data).forecast(2, X),
        lambda: model.fit(X.data).forecast(2, np.ma.stack([X, X])),
        lambda: model.fit(X.data, u=u.data).forecast(30, X.data[:1], u=u),
        lambda: model.fit(stack_trajectories([X, X])[0]),
    ):
        with pytest.raises(ValueError, match=r"NaN: the first of .* in row 29|y contains NaN"):
            call()
    with pytest.raises(ValueError, match="row 29 .* is missing"):
        from_table(X)
    np.testing.assert_array_equal(model.fit(X[:-1]).predict(X[:-1]), model.fit(X.data[:-1]).predict(X.data[:-1]))
