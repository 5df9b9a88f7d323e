"""One task: fair, repeatable, and a record whatever the method does."""

import dataclasses
import sys
from typing import ClassVar

import joblib
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from chaosfit.benchmark.data import from_system, from_table
from chaosfit.benchmark.protocol import Protocol, split
from chaosfit.benchmark.runner import run_tasks
from chaosfit.benchmark.task import Task, climate_distance, run_task, score
from chaosfit.compose import NextStepRegressor, TransformedDynamics
from chaosfit.methods.baselines.context_parroting import ContextParroting
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.discovery.sindy import SINDy
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.maps import Henon

PROTOCOL = Protocol(n_train=200, n_context=20, n_starts=5, horizon=12, score_steps=4)
DATA = from_table(Henon().simulate(400, random_state=0), dt=0.5, name="henon")


def task(estimator, **changes):
    return Task(**({"method": "m", "estimator": estimator, "data": DATA, "protocol": PROTOCOL} | changes))


class Witness(Persistence):
    """Remembers what it is shown."""

    seen: ClassVar[dict] = {}

    def fit(self, X, y=None, **options):
        self.seen["train"] = X.copy()
        return super().fit(X, y, **options)

    def forecast(self, n_steps, context=None, **options):
        self.seen["contexts"] = [*self.seen.get("contexts", []), context]
        return super().forecast(n_steps, context, **options)


class Fails(Persistence):
    def __init__(self, how="raise"):
        self.how = how

    def _fit(self, trajectories):
        if self.how == "exit":
            sys.exit("enough")
        if self.how == "raise":
            raise ZeroDivisionError("no idea")

    def forecast(self, n_steps, context=None, *, u=None):
        if self.how == "shape":
            return np.zeros((3, 4))
        if self.how == "diverge":
            path = super().forecast(n_steps, context, u=u)
            path[:2, 6:] = np.nan
            return path
        raise KeyboardInterrupt


class TestRun:
    def test_a_method_sees_the_training_rows_and_one_batch_of_contexts(self):
        Witness.seen.clear()
        record = run_task(task(Witness()))
        parts = split(DATA, PROTOCOL)
        assert record["status"] == "ok"
        np.testing.assert_array_equal(Witness.seen["train"], DATA.X[:200])
        (contexts,) = Witness.seen["contexts"]
        np.testing.assert_array_equal(contexts, parts.contexts)

    def test_scores_of_a_perfect_forecast(self):
        parts = split(DATA, PROTOCOL)
        scores = score(parts, parts.targets, DATA, PROTOCOL)
        assert scores["valid_steps"] == [12] * 5
        assert (scores["n_censored"], scores["n_diverged"], scores["d_stsp"]) == (5, 0, 0.0)
        assert scores["nrmse"] == scores["smape"] == [0.0] * 5

    def test_an_example_is_kept_for_plots(self):
        long = Protocol(n_train=200, n_context=20, n_starts=5, horizon=501, score_steps=4)
        truth = np.random.default_rng(0).normal(size=(5, 501, 2))
        forecasts = truth + 1.0
        forecasts[2, 300:] = np.inf
        example = score(dataclasses.replace(split(DATA, PROTOCOL), targets=truth), forecasts, DATA, long)["example"]
        assert (example["start"], example["spacing"]) == (2, 3.0)
        np.testing.assert_allclose(example["truth"], truth[2, ::3, 0], rtol=1e-3)
        np.testing.assert_allclose(example["forecast"][:100], forecasts[2, :300:3, 0], rtol=1e-3)
        assert example["forecast"][100:] == [None] * 67

    def test_divergence_is_counted_and_its_error_is_null(self):
        record = run_task(task(Fails("diverge")))
        assert (record["status"], record["n_diverged"]) == ("ok", 2)
        assert None not in record["nrmse"]  # judged over 4 steps, lost after 6
        path = split(DATA, PROTOCOL).targets.copy()
        path[1, 0] = np.nan
        scores = score(split(DATA, PROTOCOL), path, DATA, PROTOCOL)
        assert scores["nrmse"] == [0.0, None, 0.0, 0.0, 0.0]
        assert scores["valid_steps"] == [12, 0, 12, 12, 12]

    @pytest.mark.parametrize(
        ("estimator", "reason"),
        [
            (Fails("raise"), "ZeroDivisionError: no idea"),
            (Fails("exit"), "SystemExit: enough"),
            (Fails("shape"), "ValueError: expected a forecast of shape (5, 12, 2), got (3, 4)."),
            (ContextParroting(n_delays=10**6), "ValueError:"),
            (ImportError("plugin is broken"), "ImportError: plugin is broken"),
            ("not an estimator", "TypeError: "),
        ],
    )
    def test_whatever_a_method_does_is_a_record(self, estimator, reason):
        record = run_task(task(estimator))
        assert record["status"] == "failed"
        assert record["reason"].startswith(reason)
        assert "Traceback" in record["traceback"]
        assert (record["method"], record["data"]["name"]) == ("m", "henon")

    def test_the_users_interrupt_passes(self):
        with pytest.raises(KeyboardInterrupt):
            run_task(task(Fails("interrupt")))

    def test_warnings_go_into_the_record(self):
        assert run_task(task(NextStepRegressor()))["warnings"] == []
        flat = from_table(np.column_stack([DATA.X, np.r_[np.zeros(300), np.ones(100)]]))
        (text,) = run_task(task(Persistence(), data=flat))["warnings"]
        assert "constant" in text


class TestParameters:
    def test_time_step_and_seed_are_filled_in(self):
        nested = TransformedDynamics(estimator=NextStepRegressor(ExtraTreesRegressor()))
        assert task(nested).prepared.estimator.regressor.random_state == 0
        assert task(SINDy()).prepared.dt == 0.5
        assert nested.estimator.regressor.random_state is None

    def test_what_the_user_has_set_stays(self):
        trees = NextStepRegressor(ExtraTreesRegressor(random_state=7))
        assert task(trees).prepared.regressor.random_state == 7
        assert task(SINDy(dt=0.125)).prepared.dt == 0.125

    def test_methods_know_that_a_map_has_discrete_time(self):
        assert task(SINDy(), data=from_system(Henon(), 400, 0)).prepared.discrete_time
        assert not task(SINDy(), data=from_system(Lorenz63(), 400, 0)).prepared.discrete_time
        assert not task(SINDy()).prepared.discrete_time

    def test_an_unknown_time_step_is_left_alone(self):
        unknown = from_table(DATA.X)
        assert task(SINDy(), data=unknown).prepared.dt == SINDy().dt


class TestKey:
    def test_equal_in_another_process(self):
        (record,) = joblib.Parallel(n_jobs=2)([joblib.delayed(run_task)(task(SINDy()))])
        assert record["key"] == task(SINDy()).key

    @pytest.mark.parametrize(
        "other",
        [
            task(SINDy(threshold=0.3)),
            task(SINDy(), method="another label"),
            task(SINDy(), data=from_table(DATA.X + 1e-9, dt=0.5)),
            task(SINDy(), data=from_table(DATA.X, dt=0.25)),
            task(SINDy(), protocol=Protocol(200, 20, 5, 12, 4, noise=0.1)),
            task(SINDy(), protocol=Protocol(200, 20, 5, 12, 4, random_state=1)),
            task(NextStepRegressor()),
            task(ImportError("broken")),
        ],
    )
    def test_whatever_changes_the_result_changes_the_key(self, other):
        assert other.key != task(SINDy()).key

    def test_the_value_of_an_array_parameter_counts(self):
        first, second = NextStepRegressor(np.arange(3.0)), NextStepRegressor(np.arange(3.0) + 1)
        assert task(first).key != task(second).key


class TestClimate:
    def test_the_same_states_in_another_order(self):
        truth = np.random.default_rng(0).normal(size=(4, 50, 2))
        assert climate_distance(truth, truth[::-1]) == 0.0

    def test_more_than_three_variables(self):
        truth = np.random.default_rng(0).normal(size=(4, 50, 5))
        assert climate_distance(truth, truth) == 0.0
        assert climate_distance(truth, truth + 3.0) > 1.0

    def test_lost_states_count_as_far_away(self):
        truth = np.random.default_rng(0).normal(size=(4, 50, 2))
        lost = np.where(np.arange(50)[:, np.newaxis] < 25, truth, np.nan)
        assert 0.5 < climate_distance(truth, lost) < climate_distance(truth, np.full_like(truth, np.nan))


class TestRunner:
    def test_in_parallel_as_in_sequence(self):
        tasks = [task(Persistence(), method="a"), task(ContextParroting(), method="b"), task(Fails(), method="c")]
        first = {r["method"]: r.get("valid_time") for r in run_tasks(tasks)}
        second = {r["method"]: r.get("valid_time") for r in run_tasks(tasks, n_jobs=2)}
        assert first == second
        assert first["c"] is None

    def test_keys_to_skip(self):
        tasks = [task(Persistence(), method="a"), task(Persistence(), method="b")]
        (record,) = run_tasks(tasks, skip={tasks[0].key})
        assert record["method"] == "b"

    @pytest.mark.parametrize(("progress", "shown"), [(True, True), (None, False), (False, False)])
    def test_the_bar(self, capsys, progress, shown):
        list(run_tasks([task(Persistence())], progress=progress))
        captured = capsys.readouterr()
        assert captured.out == ""
        assert bool(captured.err) is shown
