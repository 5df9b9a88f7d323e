"""The main job from Python: ranking, failures, files, arguments."""

import json
import sys

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import chaosfit
from chaosfit.benchmark.records import FILE_NAME, read_records
from chaosfit.methods.baselines.climatology import Climatology
from chaosfit.methods.baselines.local_analogues import LocalAnalogues
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.report.comparison import DEFAULT_METHODS, PAGE_NAME, new_folder
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.maps import Henon

SMALL = {"n_train": 400, "n_starts": 6, "horizon": 40}


class Leaves(Persistence):
    def _fit(self, trajectories):
        sys.exit("enough")


class Interrupted(Persistence):
    def _fit(self, trajectories):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def comparison():
    methods = {"analogues": LocalAnalogues(), "last": Persistence(), "mean": Climatology(), "leaves": Leaves()}
    return chaosfit.compare("henon", methods, **SMALL)


def test_ranking(comparison):
    assert list(comparison.table.index[[0, -1]]) == ["analogues", "leaves"]
    assert comparison.ranking == list(comparison.table.index[:3])
    assert comparison.table.loc["analogues", "valid_time"] > 2 > 1 > comparison.table.loc["last", "valid_time"]
    assert comparison.table.loc["leaves", "reason"] == "failed: SystemExit: enough"
    assert comparison.unit == "Lyapunov times"
    assert comparison.horizon == pytest.approx(40 * 0.41922)


def test_what_it_holds(comparison):
    assert set(comparison.forecasts) == {"analogues", "last", "mean"}
    assert comparison.forecasts["last"].shape == comparison.parts.targets.shape == (6, 40, 2)
    assert [record["method"] for record in comparison.records] == ["analogues", "last", "mean", "leaves"]
    assert 0 < comparison.floor < 20


def test_it_shows_itself(comparison):
    text = repr(comparison)
    assert text.startswith("analogues forecasts henon longest: ")
    assert "second is " in text
    assert "leaves: failed: SystemExit: enough" in text
    assert comparison._repr_html_().startswith("<table")


def test_figure(comparison):
    figure = comparison.plot()
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "valid time [Lyapunov times]",
        "time after the start [Lyapunov times]",
    ]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == comparison.ranking
    from matplotlib import pyplot

    pyplot.close(figure)


def test_the_folder(tmp_path):
    result = chaosfit.compare("henon", ["persistence", "climatology"], out=tmp_path / "a" / "b", **SMALL)
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {FILE_NAME, PAGE_NAME}
    records = read_records(tmp_path / "a" / "b")
    assert records == json.loads(json.dumps(result.records))
    assert records[0]["protocol"]["random_state"] == 0
    assert set(records[0]["versions"]) >= {"chaosfit", "numpy"}


def test_equal_runs_and_other_seeds():
    def run(**options):
        return chaosfit.compare("henon", ["local_analogues"], **SMALL | options).forecasts["local_analogues"]

    np.testing.assert_array_equal(run(noise=0.05), run(noise=0.05))
    assert not np.array_equal(run(noise=0.05), run(noise=0.05, random_state=1))


def test_in_parallel(comparison):
    methods = {"analogues": LocalAnalogues(), "last": Persistence(), "leaves": Leaves()}
    parallel = chaosfit.compare("henon", methods, n_jobs=2, **SMALL)
    for method in ("analogues", "last"):
        np.testing.assert_array_equal(parallel.forecasts[method], comparison.forecasts[method])


def test_steps_where_the_exponent_is_unknown():
    noise = np.random.default_rng(0).normal(size=(600, 2))
    result = chaosfit.compare(noise, ["persistence"])
    assert (result.unit, result.data.lyapunov_exponent) == ("steps", None)
    assert result.time[0] == 1.0
    assert "Times are in steps: no Lyapunov exponent was given" in repr(result)
    assert "Times are in steps" not in repr(chaosfit.compare(noise, ["persistence"], lyapunov_exponent=0.1))


def test_a_system_object_with_another_step():
    result = chaosfit.compare(Lorenz63(), ["persistence"], dt=0.05, n_train=200, n_starts=3, horizon=20)
    assert result.data.dt == 0.05
    assert result.horizon == pytest.approx(20 * 0.05 * 0.9056)


def test_labels_of_objects():
    result = chaosfit.compare(Henon(), [Persistence(), Persistence(), "persistence"], **SMALL)
    assert set(result.table.index) == {"Persistence()", "Persistence()'", "persistence"}


def test_labels_of_names():
    result = chaosfit.compare(Henon(), {"mine": "persistence", "other": Persistence()}, **SMALL)
    assert set(result.ranking) == {"mine", "other"}


def test_the_default_methods_exist_and_need_no_parameters():
    for name in DEFAULT_METHODS:
        chaosfit.registry.make(name)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"methods": ["persistance"]}, LookupError, "did you mean 'persistence'"),
        ({"methods": "persistence"}, TypeError, "methods must be a list of names"),
        ({"methods": []}, ValueError, "methods is empty"),
        ({"n_starts": 0}, ValueError, "n_starts must be an integer >= 1, got 0"),
        ({"horizon": 2.5}, ValueError, "horizon must be an integer >= 1, got 2.5"),
        ({"n_train": True}, ValueError, "n_train must be an integer >= 1, got True"),
        ({"noise": -1}, ValueError, "noise must be a finite number >= 0"),
        ({"noise": "some"}, ValueError, "noise must be a finite number >= 0, got 'some'"),
        ({"dt": "1"}, ValueError, "dt must be a finite number > 0, got '1'"),
        ({"random_state": None}, ValueError, "random_state must be an integer >= 0, got None"),
        ({"random_state": np.random.default_rng(0)}, ValueError, "random_state must be an integer >= 0"),
        ({"methods": [Ridge()]}, TypeError, r"holds Ridge\(\), which has no forecast. Wrap .* NextStepRegressor"),
        ({"methods": {"one": 1}}, TypeError, "holds 1, which has no forecast"),
        ({"data": "lorenz99"}, LookupError, "neither a file nor a system"),
        ({"data": "missing.csv"}, FileNotFoundError, "no such file"),
    ],
)
def test_refusals(options, error, message):
    data = options.pop("data", "henon")
    with pytest.raises(error, match=message):
        chaosfit.compare(data, **{"methods": ["persistence"]} | options)


def test_an_unwritable_folder_is_noticed_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("")
    monkeypatch.setattr(Persistence, "fit", lambda *_, **__: pytest.fail("the work has begun"))
    with pytest.raises(OSError, match="cannot write results to .*Choose another folder"):
        chaosfit.compare("henon", ["persistence"], out=tmp_path / "out")


def test_an_interrupt_keeps_the_records(tmp_path):
    methods = {"first": Persistence(), "second": Interrupted(), "third": Persistence()}
    with pytest.raises(KeyboardInterrupt):
        chaosfit.compare("henon", methods, out=tmp_path, **SMALL)
    assert [record["method"] for record in read_records(tmp_path)] == ["first"]


def test_new_folders(tmp_path):
    assert new_folder("data/series.csv", tmp_path) == tmp_path / "series-1"
    (tmp_path / "series-1").mkdir()
    assert new_folder("series.csv", tmp_path) == tmp_path / "series-2"
