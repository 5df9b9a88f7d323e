import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.nn.windows import Samples, pairs, points, split_tail, windows


def numbered(*counts):
    """Trajectories whose rows are (trajectory, row)."""
    return [torch.stack([torch.full((n,), float(i)), torch.arange(float(n))], 1) for i, n in enumerate(counts)]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 3))
def test_windows_are_consecutive_rows_of_one_trajectory(counts, length, horizon):
    series = numbered(*counts)
    span = length + horizon - 1
    if max(counts) < span:
        with pytest.raises(ValueError, match=f"at least {span} rows"):
            windows({"past": series}, {"future": series}, length, horizon)
        return
    samples = windows({"past": series}, {"future": series}, length, horizon)
    assert len(samples) == sum(max(n - span + 1, 0) for n in counts)
    batch = samples.batch(torch.arange(len(samples)))
    assert batch["past"].shape[1:] == (length, 2)
    assert batch["future"].shape[1:] == (horizon, 2)
    rows = torch.cat([batch["past"], batch["future"][:, 1:]], 1)  # the first future row belongs to the last past row
    assert (rows[:, :, 0] == rows[:, :1, 0]).all(), "a window crosses a border"
    assert (rows[:, 1:, 1] - rows[:, :-1, 1] == 1).all(), "rows are not consecutive"
    assert (batch["past"][:, -1] == batch["future"][:, 0]).all()


def test_a_sentinel_stays_in_its_trajectory():
    series = numbered(20, 20, 20)
    series[1][:, 1] = 1e9
    batch = windows({"past": series}, {"future": series}, 5, 3).batch(torch.arange(3 * 14))
    for name in ("past", "future"):
        touched = (batch[name][..., 1] == 1e9).any(1)
        assert (touched == (batch[name][:, 0, 0] == 1)).all()


def test_windows_are_views():
    series = torch.randn(1000, 3)
    samples = windows({"past": [series]}, {"future": [series]}, 50)
    assert samples.views["past"].data_ptr() == series.data_ptr()
    assert samples.views["past"].untyped_storage().nbytes() == series.untyped_storage().nbytes()


def test_stride():
    series = numbered(10)
    starts = windows({"past": series}, {"future": series}, 3, stride=4).batch(torch.arange(2))["past"][:, 0, 1]
    assert starts.tolist() == [0.0, 4.0]


def test_pairs_and_points():
    x, y = torch.randn(5, 2), torch.randn(5, 1)
    assert pairs(x, y).batch(torch.tensor([3]))["targets"].equal(y[3:4])
    assert len(points(x)) == 5
    assert len(Samples({"a": x}, torch.tensor([0, 2]))) == 2
    with pytest.raises(ValueError, match="equally many rows, got 5 and 4"):
        pairs(x, y[:4])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.floats(0, 0.5), st.integers(1, 10))
def test_validation_rows_are_not_training_rows(counts, fraction, shortest):
    training, validation = split_tail(counts, fraction, shortest)
    for count, first, second in zip(counts, training, validation, strict=True):
        rows = set(range(count))
        assert set(range(count)[first]).isdisjoint(range(count)[second])
        assert set(range(count)[first]) | set(range(count)[second]) == rows
        assert len(range(count)[second]) == 0 or len(range(count)[second]) >= shortest
    assert any(len(range(c)[t]) == c or len(range(c)[t]) >= shortest for c, t in zip(counts, training, strict=True))


def test_many_trajectories_are_held_out_whole():
    training, validation = split_tail([50] * 10, 0.2, 5)
    assert [len(range(50)[s]) for s in training] == [50] * 8 + [0] * 2
    assert [len(range(50)[s]) for s in validation] == [0] * 8 + [50] * 2
