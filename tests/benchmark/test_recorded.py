"""Published scores are reproduced on the published series, and stand beside ours."""

import os

import numpy as np
import pytest

from chaosfit import cli
from chaosfit.benchmark.recorded import data_file, read_array
from chaosfit.benchmark.suite import load_suite
from chaosfit.benchmark.task import run_task
from chaosfit.methods.baselines.climatology import Climatology
from chaosfit.methods.baselines.drift import Drift
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.metrics.forecast import smape
from chaosfit.report.results import read_results

needs_data = pytest.mark.skipif(
    not os.environ.get("CHAOSFIT_DATA"), reason="CHAOSFIT_DATA names no folder with the published series and scores"
)
DIGITS = 5  # of the published table


def rounding(value):
    return 0.5 * 10.0 ** (np.floor(np.log10(value)) + 1 - DIGITS) * 1.001


@needs_data
@pytest.mark.parametrize("granularity", [15, 100])
@pytest.mark.parametrize(
    ("method", "model"), [(Persistence(), "NaiveSeasonal"), (Drift(), "NaiveDrift"), (Climatology(), "NaiveMean")]
)
def test_published_baselines_are_reproduced_system_by_system(method, model, granularity):
    suite = load_suite(f"univariate-{granularity}")
    published = suite.published.scores([system.name for system in suite.systems], {})
    compared = 0
    for task in suite.tasks({"ours": method}):
        if task.protocol.chosen_on == "context":
            value = published[task.data.name][model]
            assert run_task(task)["smape"][0] == pytest.approx(value, abs=rounding(value))
            compared += 1
    assert compared == 67


@needs_data
def test_stored_forecasts_have_their_published_scores():
    suite = load_suite("univariate-100")
    path = str(data_file("dysts-data/univariate100_published_predictions.npz"))
    with np.load(path) as content:
        models = [key for key in content.files if key in suite.published.models]
        names = [str(name) for name in content["systems"]]
    published = suite.published.scores(names, {})
    assert len(models) == 16
    truths = {data.name: data.X[1000:1199, 0] for data, _ in suite.cases()}
    for model in models:
        for name, forecast in zip(names, read_array(path, model), strict=True):
            if name in truths:
                ours = smape(truths[name][:, np.newaxis], forecast[:199, np.newaxis].astype(float))
                assert ours == pytest.approx(published[name][model], rel=1e-3), (model, name)


@needs_data
def test_published_scores_stand_beside_ours(tmp_path, capsys):
    assert cli.main(["run", "univariate-15", "--methods", "persistence,drift", "--out", str(tmp_path)]) == 0
    assert cli.main(["report", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "published: arXiv:2110.05266, 15 rows per period" in printed
    for setting in read_results(tmp_path).settings:
        table = setting.published
        assert table.attrs["n_systems"] == 67
        assert table.loc["NBEATS", "median"] == pytest.approx(40.57, abs=0.01)
        assert table.loc["persistence", "median"] == pytest.approx(table.loc["NaiveSeasonal", "median"], abs=0.01)
        assert table.loc["persistence", "better"] < 0.2
    assert "Beside published scores" in (tmp_path / "report.html").read_text()


def test_without_a_data_folder_the_message_says_what_to_do(monkeypatch):
    monkeypatch.delenv("CHAOSFIT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"set CHAOSFIT_DATA, or pass --data.*docs/benchmark\.md"):
        next(iter(load_suite("univariate-100").cases()))


def test_a_file_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAOSFIT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"there is no .*univariate\.npz"):
        data_file("dysts-data/univariate.npz")


def test_an_array_that_is_not_there_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="holds no array 'y'; there are x"):
        read_array(str(tmp_path / "a.npz"), "y")
