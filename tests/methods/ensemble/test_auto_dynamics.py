import math

import numpy as np
import pytest
from sklearn.base import clone

from chaosfit.benchmark.methods import resolve_methods
from chaosfit.benchmark.suite import load_suite
from chaosfit.benchmark.task import run_task
from chaosfit.compose import NextStepRegressor
from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.local_analogues import LocalAnalogues
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.ensemble import auto_dynamics
from chaosfit.methods.ensemble.auto_dynamics import AutoDynamics
from chaosfit.methods.reservoir.ngrc import NGRC
from chaosfit.systems.maps import Henon
from chaosfit.testing import parametrize_with_dynamics_checks

QUADRATIC = NGRC(n_delays=1, ridge=1e-9)


@pytest.fixture(scope="module")
def henon():
    return Henon().simulate(400, random_state=0)


def two_waves(n_rows):
    t = np.arange(n_rows)
    return (np.sin(0.3 * t) + np.sin(0.3 * math.sqrt(2) * t))[:, np.newaxis]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_dynamics_checks([AutoDynamics(**params) for params in AutoDynamics.get_test_params()])
def test_contract(check):
    check()


def test_chooses_the_true_model_whatever_the_order(henon):
    candidates = [Persistence(), QUADRATIC, LinearAutoregression(n_lags=3)]
    for order in (candidates, candidates[::-1]):
        model = AutoDynamics(order, budget=math.inf).fit(henon)
        assert [type(member) for member in model.best_estimators_] == [NGRC]


def test_members_are_fitted_to_all_data(henon):
    member = AutoDynamics([QUADRATIC]).fit(henon).best_estimators_[0]
    np.testing.assert_array_equal(member.coef_, clone(QUADRATIC).fit(henon).coef_)


def test_forecast_is_the_median_of_the_members(henon):
    candidates = [LocalAnalogues(n_neighbors=k) for k in (8, 12, 20)]
    model = AutoDynamics(candidates, budget=math.inf).fit(henon)
    assert len(model.best_estimators_) == 3
    paths = [member.forecast(20) for member in model.best_estimators_]
    np.testing.assert_allclose(model.forecast(20), np.median(paths, axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.forecast(1)[0], model.predict(henon)[-1], rtol=1e-9)


def test_members_whose_context_is_too_short_do_not_take_part(henon):
    short, long = LinearAutoregression(n_lags=2), LinearAutoregression(n_lags=9, ridge=1e-3)
    model = AutoDynamics([short, long], budget=math.inf).fit(henon)
    assert len(model.best_estimators_) == 2
    member = next(m for m in model.best_estimators_ if m.n_lags == 2)
    np.testing.assert_array_equal(model.forecast(5, henon[:8]), member.forecast(5, henon[:8]))
    np.testing.assert_allclose(model.forecast(1, henon[:8])[0], model.predict(henon[:8])[-1], rtol=1e-12)
    assert not np.allclose(model.forecast(5, henon[:9]), member.forecast(5, henon[:9]))
    with pytest.raises(ValueError, match=r"context has 1 sample\(s\) while a minimum of 2"):
        model.forecast(5, henon[:1])
    with pytest.raises(ValueError, match="a minimum of 10 is required"):
        model.refit(henon[:9])


def test_median_leaves_out_what_is_not_finite():
    members = [
        np.array([1.0, np.nan, np.nan, 4.0]),
        np.array([2.0, 5.0, np.inf, 8.0]),
        np.array([9.0, 7.0, np.nan, 5.0]),
    ]
    np.testing.assert_array_equal(auto_dynamics._median(members), [2.0, 6.0, np.nan, 5.0])


def test_abandoning_hopeless_candidates_does_not_change_the_choice(monkeypatch):
    waves = two_waves(200)
    candidates = [LinearAutoregression(n_lags=k) for k in (4, 5, 6)] + [LocalAnalogues(), Persistence()]
    fast = AutoDynamics(candidates, budget=math.inf, random_state=1).fit(waves)
    assert not all(row["complete"] for row in fast.validation_table_)
    monkeypatch.setattr(AutoDynamics, "_limit", lambda self: math.inf)
    slow = AutoDynamics(candidates, budget=math.inf, random_state=1).fit(waves)
    assert all(row["complete"] for row in slow.validation_table_)
    assert repr(fast.best_estimators_) == repr(slow.best_estimators_)
    for short, full in zip(fast.validation_table_, slow.validation_table_, strict=True):
        assert short["error"] <= full["error"]
        assert short["chosen"] == full["chosen"]


def test_error_of_the_validation_table_is_that_of_free_runs():
    # One held-out block of 20 rows, eight origins: persistence of a line is off by 1, 2, 3, ... steps.
    line = np.arange(100.0)[:, np.newaxis]
    error = AutoDynamics([Persistence()]).fit(line).validation_table_[0]["error"]
    scale = line.std()
    expected = np.mean([np.minimum(np.arange(1, n + 1) / scale, 1).mean() for n in (20, 18, 15, 13, 10, 8, 5, 3)])
    assert error == pytest.approx(expected, rel=1e-12)


def test_a_small_budget_tries_at_least_one_candidate(henon):
    model = AutoDynamics(budget=1e-9).fit(henon)
    assert len(model.validation_table_) == 1
    assert model.forecast(3).shape == (3, 2)


def test_unusable_candidates_are_recorded(henon):
    too_long = LinearAutoregression(n_lags=200)
    model = AutoDynamics([too_long, QUADRATIC]).fit(henon)
    row = model.validation_table_[0]
    assert row["failure"].startswith("ValueError")
    assert (row["error"], row["chosen"]) == (math.inf, False)
    with pytest.raises(ValueError, match="no candidate of AutoDynamics could be fitted"):
        AutoDynamics([too_long]).fit(henon)
    with pytest.raises(ValueError, match="none given"):
        AutoDynamics([]).fit(henon)


def test_equal_seeds_give_equal_members(henon):
    models = [AutoDynamics([LocalAnalogues()], random_state=s).fit(henon) for s in (3, 3, 4)]
    seeds = [model.best_estimators_[0].random_state for model in models]
    assert seeds[0] == seeds[1] != seeds[2]
    assert AutoDynamics([LocalAnalogues(random_state=7)]).fit(henon).best_estimators_[0].random_state == 7


def test_blocks_are_held_out_of_every_trajectory():
    pieces = [(np.arange(10.0)[:, np.newaxis], None), (np.arange(20.0)[:, np.newaxis], None)]
    fold = auto_dynamics._fold(pieces, 2)
    assert [(rows.start, rows.stop) for _, _, rows in fold.held_out] == [(4, 6), (8, 12)]
    assert [len(states) for states, _ in fold.training] == [4, 4, 8, 8]


def test_targets_are_compared_by_their_predictions(henon):
    square = henon[:, 0] ** 2
    candidates = [LinearAutoregression(), NGRC(n_delays=1, ridge=1e-9)]
    model = AutoDynamics(candidates).fit(henon, square)
    assert [type(member) for member in model.best_estimators_] == [NGRC]
    np.testing.assert_allclose(model.predict(henon), square, atol=1e-6)


def test_refit_keeps_the_choice_and_learns_from_other_data(henon):
    model = AutoDynamics([QUADRATIC, Persistence()]).fit(henon[:200])
    table = model.validation_table_
    assert model.refit(henon[200:]) is model
    assert model.validation_table_ is table
    expected = clone(QUADRATIC).fit(henon[200:])
    np.testing.assert_array_equal(model.best_estimators_[0].coef_, expected.coef_)
    np.testing.assert_array_equal(model.forecast(3), expected.forecast(3))
    with pytest.raises(ValueError, match="features"):
        model.refit(henon[:, :1])


def test_refit_goes_on_from_the_last_trajectory_that_is_long_enough(henon):
    model = AutoDynamics([LinearAutoregression(n_lags=3)]).fit(henon)
    model.refit(henon[:102], trajectory_id=np.repeat([0, 1], [100, 2]))
    np.testing.assert_array_equal(model.context_, henon[97:100])
    assert model.forecast(4).shape == (4, 2)


def test_the_period_is_that_of_the_motion_and_not_of_the_noise():
    t = np.arange(1000)
    wave = np.column_stack([np.sin(2 * np.pi * t / 40), np.cos(2 * np.pi * t / 40)])
    noisy = wave + 0.2 * wave.std() * np.random.default_rng(0).normal(size=wave.shape)
    assert auto_dynamics._period(wave) == auto_dynamics._period(noisy) == 40
    assert auto_dynamics._period(np.ones((100, 1))) >= 1


@pytest.mark.parametrize("n_dims", [1, 3, 40])
def test_default_candidates_fit_into_the_data(n_dims):
    for n_rows in (10, 150, 1000):
        candidates = list(auto_dynamics._default_candidates(n_rows, n_dims, period=20.0))
        assert len(candidates) >= 3
        assert all(c._context_length() <= max(1, n_rows // 5) for c in candidates)
        assert len({repr(c) for c in candidates}) == len(candidates)


def test_without_an_opinion_two_waves_are_continued():
    waves = two_waves(500)
    model = AutoDynamics(budget=2.0, random_state=0).fit(waves[:400])
    assert np.abs(model.forecast(100) - waves[400:]).max() < 0.1


def test_nested_regressors_are_candidates(henon):
    model = AutoDynamics([NextStepRegressor(n_lags=2), QUADRATIC]).fit(henon)
    assert [type(member) for member in model.best_estimators_] == [NGRC]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "noise"), [("partial", 0.0), ("noise", 0.2)])
def test_lasts_longer_than_the_best_single_methods(name, noise):
    rivals = ["sindy", "context_parroting", "ngrc", "reservoir_computer"]
    tasks = [
        task
        for task in load_suite(name).tasks(resolve_methods(["auto_dynamics", *rivals]))
        if (task.protocol.noise, task.protocol.random_state) == (noise, 0)
    ]
    valid_times = {method: [] for method in ("auto_dynamics", *rivals)}
    for task in tasks:
        record = run_task(task)
        assert record["status"] == "ok", record["reason"]
        valid_times[task.method].append(np.median(record["valid_time"]))
    ours, *others = (np.median(each) for each in valid_times.values())
    assert len(tasks) == 8 * 5
    assert ours > 1.5 * max(others)
