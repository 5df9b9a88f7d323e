"""What the benchmark must do before its results count.

Here: what forecasts without any merit get, and that no single score of a long run can decide. Elsewhere: published
scores of methods and of stored forecasts (`test_recorded.py`), the published series and a second solver
(`tests/bridges/test_dysts.py`), a run that is killed (`test_run_suite.py`).
"""

import numpy as np
import pytest

from chaosfit import cli
from chaosfit.benchmark.data import Dataset
from chaosfit.benchmark.protocol import Protocol, split
from chaosfit.benchmark.task import Task, run_task, score
from chaosfit.methods.baselines.climatology import Climatology
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.discovery.sindy import SINDy
from chaosfit.metrics.attractor import metric_floor, power_spectrum_hellinger, state_space_divergence
from chaosfit.metrics.ctf import CTF_SCORES, ctf_scores
from chaosfit.report.results import read_results
from chaosfit.systems.flows import Lorenz63

LYAPUNOV = 0.9056
PROTOCOL = Protocol(n_train=1000, n_context=100, n_starts=4, horizon=200, score_steps=44)


@pytest.fixture(scope="module")
def orbits():
    """Four runs of 12 000 rows, 0.05 apart."""
    return Lorenz63(tolerance=1e-6).simulate(12_000, dt=0.05, random_state=0, n_trajectories=4)


@pytest.fixture(scope="module")
def data(orbits):
    return Dataset("lorenz", orbits[0][:2000], ("x", "y", "z"), dt=0.05, lyapunov_exponent=LYAPUNOV)


def judged(data, forecasts):
    return score(split(data, PROTOCOL), forecasts, data, PROTOCOL)


def test_a_shuffled_forecast_is_worth_nothing(data):
    truth = split(data, PROTOCOL).targets
    found = judged(data, np.random.default_rng(0).permuted(truth, axis=1))
    assert max(found["valid_time"]) < 0.2
    assert min(found["nrmse"]) > 0.9
    assert max(found["nrmse"]) > np.sqrt(2)  # what unrelated states have in the mean
    assert min(found["smape"]) > 60
    assert found["n_diverged"] == 0


def test_a_constant_forecast_is_worth_nothing(data):
    found = run_task(Task("mean", Climatology(), data, PROTOCOL))
    assert max(found["valid_time"]) < 1.0
    assert np.median(found["nrmse"]) == pytest.approx(1.0, abs=0.2)
    moving = run_task(Task("sindy", SINDy(), data, PROTOCOL))
    assert found["d_stsp"] > 5 > 3 * moving["d_stsp"]


def test_one_lost_value_ends_the_forecast(data):
    forecasts = split(data, PROTOCOL).targets.copy()
    forecasts[1, 20, 2] = np.nan
    forecasts[2, 0, 0] = -np.inf
    found = judged(data, forecasts)
    assert found["valid_steps"] == [200, 20, 0, 200]
    assert found["nrmse"] == [0.0, None, None, 0.0]  # null: infinite
    assert found["n_diverged"] == 2
    assert found["error_growth"]["error"][0] == 0.0


def test_a_forecast_that_is_lost_altogether_gets_the_worst_of_every_score(data):
    found = judged(data, np.full((4, 200, 3), np.nan))
    assert (found["valid_time"], found["nrmse"], found["smape"]) == ([0.0] * 4, [None] * 4, [200.0] * 4)
    escaped = judged(data, np.full((4, 200, 3), 1e9))
    assert found["d_stsp"] == pytest.approx(escaped["d_stsp"])
    assert found["n_diverged"] == 4


def test_a_variable_that_stands_still_does_not_explode_the_error(data):
    flat = Dataset("flat", np.column_stack([data.X, np.full(len(data.X), 0.1)]), ("x", "y", "z", "c"), dt=0.05)
    forecasts = split(flat, PROTOCOL).targets + np.array([0.0, 0.0, 0.0, 1e-3])
    found = judged(flat, forecasts)
    assert max(found["nrmse"]) < 1e-3
    assert found["valid_steps"] == [200] * 4
    assert run_task(Task("m", Persistence(), flat, PROTOCOL))["status"] == "ok"


def test_worst_and_best_of_the_twelve_scores(data):
    truth = data.X[:1000]
    shuffled = np.random.default_rng(0).permutation(truth)
    lost, constant = truth.copy(), np.broadcast_to(truth.mean(axis=0), truth.shape)
    lost[10] = lost[-10] = np.nan
    found = {name: {} for name in ("perfect", "shuffled", "constant", "lost")}
    for number in range(1, 10):
        found["perfect"] |= ctf_scores(number, truth, truth)
        found["shuffled"] |= ctf_scores(number, truth, shuffled)
        found["constant"] |= ctf_scores(number, truth, constant)
        found["lost"] |= ctf_scores(number, truth, lost)
    assert set(found["perfect"].values()) == {100.0}
    assert set(found["lost"].values()) == {-100.0}
    for name, (_, kind) in CTF_SCORES.items():
        assert found["constant"][name] < (-80 if kind == "long_time" else 70), name
        if kind != "long_time":
            assert found["shuffled"][name] < 70, name


def test_two_halves_of_the_truth_are_as_near_as_sampling_allows(orbits):
    # The reference quotes 0.54 for one run; runs scatter between 0.45 and 0.85, about 0.63.
    floors = [metric_floor(state_space_divergence, run) for run in orbits]
    assert np.median(floors) == pytest.approx(0.63, abs=0.1)


def test_a_repeated_context_is_found_out_by_the_states_it_does_not_visit(orbits):
    # A loop of enough turns has nearly the spectrum of the truth: this distance alone must not rank anything.
    loop = np.tile(orbits[0][:1000], (6, 1))
    other = orbits[1][:6000]
    assert power_spectrum_hellinger(other, loop) < 0.2
    floor = state_space_divergence(other, orbits[2][:6000])
    assert state_space_divergence(other, loop) > 3 * floor


def test_methods_are_ranked_by_valid_time(tmp_path, capsys):
    suite = tmp_path / "one.toml"
    suite.write_text(
        'name = "one"\n[protocol]\nn_train = 1000\nn_context = 100\nn_starts = 2\nhorizon = 4.0\nmax_steps = 200\n'
        'score = 2.0\nrandom_state = [0]\n[[systems]]\nname = "lorenz63"\ndt = 0.05\nlyapunov_exponent = 0.9056\n'
    )
    out = tmp_path / "out"
    assert cli.main(["run", str(suite), "--methods", "context_parroting,sindy", "--out", str(out)]) == 0
    (setting,) = read_results(out).settings
    assert setting.methods == ["sindy", "context_parroting"]
    assert setting.leaderboard["rank"].tolist() == [1.0, 2.0]
    assert setting.leaderboard["valid_time"].is_monotonic_decreasing
