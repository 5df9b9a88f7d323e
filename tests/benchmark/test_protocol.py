"""The protocol: nobody sees the future, choices suit the data."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.benchmark.data import from_table
from chaosfit.benchmark.protocol import Protocol, plan, prepare_data, split
from chaosfit.systems.maps import Henon


@given(
    n_rows=st.integers(100, 3000),
    n_starts=st.integers(1, 30),
    lyapunov_steps=st.none() | st.floats(0.5, 500.0),
)
def test_every_plan_fits_and_keeps_the_future_unseen(n_rows, n_starts, lyapunov_steps):
    protocol = plan(n_rows, lyapunov_steps, n_starts=n_starts)
    counter = np.arange(n_rows, dtype=float)  # each value is its own row number
    parts = split(from_table(counter), protocol)
    assert 1 <= protocol.score_steps <= protocol.horizon
    assert parts.train.max() == protocol.n_train - 1
    assert parts.contexts.min() >= protocol.n_train
    np.testing.assert_array_equal(parts.contexts[:, -1, 0] + 1, parts.starts)
    np.testing.assert_array_equal(parts.targets[:, 0, 0], parts.starts)
    assert parts.contexts.shape[1:] == (protocol.n_context, 1)
    assert parts.targets.shape[1:] == (protocol.horizon, 1)
    assert parts.targets.max() <= n_rows - 1
    assert n_starts == 1 or parts.targets.max() == n_rows - 1


def test_simulated_rows_give_every_start_its_own_truth():
    data, protocol = prepare_data("henon", n_train=300, n_starts=4)
    assert len(data.X) == protocol.n_rows == 300 + 500 + 4 * protocol.horizon
    assert protocol.horizon == round(15 / 0.41922)
    assert (np.diff(split(data, protocol).starts) >= protocol.horizon).all()


def test_noise_is_on_what_methods_see_only():
    X = Henon().simulate(400, random_state=0)
    data, protocol = prepare_data(X, noise=0.1, random_state=5)
    clean, noisy = split(data, plan(400, data.lyapunov_steps)), split(data, protocol)
    np.testing.assert_array_equal(noisy.targets, clean.targets)
    np.testing.assert_allclose(noisy.scale, X[: protocol.n_train].std(axis=0))
    difference = (noisy.train - clean.train) / noisy.scale
    assert difference.std() == pytest.approx(0.1, rel=0.1)
    assert (noisy.contexts != clean.contexts).all()
    np.testing.assert_array_equal(split(data, protocol).train, noisy.train)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rows": 99}, "the data have 99 rows; a comparison needs at least 100"),
        ({"n_rows": 200, "n_train": 199}, "200 rows are too few for n_train=199"),
        ({"n_rows": 200, "n_train": 300}, "200 rows are too few for n_train=300"),
        ({"n_rows": 200, "horizon": 80}, "forecast of horizon=80 steps"),
    ],
)
def test_too_few_rows(options, message):
    with pytest.raises(ValueError, match=message):
        plan(lyapunov_steps=None, **options)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["dt", "lyapunov_exponent"])
def test_numbers_that_must_be_positive(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number > 0"):
        prepare_data("henon", **{name: value})


def test_a_system_has_no_time_column():
    with pytest.raises(ValueError, match="time_column is for files and tables"):
        prepare_data("henon", time_column="t")


def test_split_refuses_other_data():
    with pytest.raises(ValueError, match="the protocol needs 130 rows, the data have 120"):
        split(from_table(np.arange(120.0)), Protocol(100, 10, 3, 20, 5))


@pytest.mark.parametrize(
    "options", [{"n_train": 480}, {"horizon": 300}, {"horizon": 450}, {"n_train": 400, "horizon": 90}]
)
def test_what_the_message_says_is_possible_is(options):
    with pytest.raises(ValueError, match="500 rows are too few") as caught:
        plan(500, None, **({"horizon": 50} | options))
    message = str(caught.value)
    asked = {name: int(re.search(f"{name}=(\\d+)", message)[1]) for name in ("n_train", "horizon")}
    offers = re.findall(r"(n_train|horizon) up to (\d+)", message)
    assert offers
    for name, most in offers:
        assert plan(500, None, **(asked | {name: int(most)}))


def test_too_few_rows_of_a_file_name_it(tmp_path):
    np.save(tmp_path / "short.npy", np.arange(50.0))
    with pytest.raises(ValueError, match=r"short\.npy: the data have 50 rows"):
        prepare_data(tmp_path / "short.npy")


def test_there_are_no_more_starts_than_rows_for_them():
    protocol = plan(1000, None, n_train=990)
    assert protocol.n_starts == len(split(from_table(np.arange(1000.0)), protocol).starts) == 7


def test_the_exponent_is_estimated_from_the_training_rows():
    X = Henon().simulate(1500, random_state=0)
    other = np.concatenate([X[:900], np.random.default_rng(0).normal(size=(600, 2))])
    exponents = [prepare_data(rows)[0].lyapunov_exponent for rows in (X, other)]
    assert exponents[0] == exponents[1] == pytest.approx(0.419, abs=0.06)
