"""Published scores are reproduced on the published series, and stand beside ours."""

import csv
import os

import numpy as np
import pytest

from chaosfit import cli
from chaosfit.benchmark.protocol import split
from chaosfit.benchmark.recorded import data_file, read_array
from chaosfit.benchmark.suite import load_suite
from chaosfit.benchmark.task import Task, run_task
from chaosfit.methods.baselines.climatology import Climatology
from chaosfit.methods.baselines.drift import Drift
from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.metrics.forecast import smape
from chaosfit.report.results import read_results

needs_data = pytest.mark.skipif(
    not os.environ.get("CHAOSFIT_DATA"), reason="CHAOSFIT_DATA names no folder with the published series and scores"
)
DIGITS = 5  # of the published table
#: Method, model in the published table, its published median over the 67 systems at hand (100 rows per period).
BASELINES = [
    (Persistence(), "NaiveSeasonal", 126.75),
    (Drift(), "NaiveDrift", 126.02),
    (Climatology(), "NaiveMean", 146.96),
    (LinearAutoregression(ridge=0.0), "LinearRegression", 115.14),
]


def rounding(value):
    return 0.5 * 10.0 ** (np.floor(np.log10(value)) + 1 - DIGITS) * 1.001


def tuned_lags(granularity):
    with data_file("dysts-published/selected_hyperparameters.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["setting"] == f"uni{granularity}"]
    return {row["system"]: int(row["LinearRegression"]) for row in rows}


def stored_forecasts(model):
    path = str(data_file("dysts-data/univariate100_published_predictions.npz"))
    names = map(str, read_array(path, "systems"))
    return dict(zip(names, read_array(path, model)[:, :199, np.newaxis].astype(float), strict=True))


@needs_data
@pytest.mark.filterwarnings("ignore:.*diverged:RuntimeWarning")
@pytest.mark.parametrize("granularity", [15, 100])
@pytest.mark.parametrize(("method", "model", "median"), BASELINES, ids=[row[1] for row in BASELINES])
def test_published_baselines_are_reproduced_system_by_system(method, model, median, granularity):
    suite = load_suite(f"univariate-{granularity}")
    published = suite.published.scores([system.name for system in suite.systems], {})
    lags = tuned_lags(granularity)
    scores = {}
    for data, protocol in suite.cases():
        if protocol.chosen_on == "context":
            own = method.set_params(n_lags=lags[data.name]) if model == "LinearRegression" else method
            (scores[data.name],) = run_task(Task("ours", own, data, protocol))["smape"]
            value = published[data.name][model]
            assert scores[data.name] == pytest.approx(value, abs=rounding(value)), data.name
    assert len(scores) == 67
    if granularity == 100:
        assert np.median(list(scores.values())) == pytest.approx(median, abs=0.01)


@needs_data
@pytest.mark.filterwarnings("ignore:.*diverged:RuntimeWarning")
@pytest.mark.parametrize(("method", "model"), [row[:2] for row in BASELINES], ids=[row[1] for row in BASELINES])
def test_baselines_agree_with_the_stored_forecasts_to_more_digits_than_the_table_has(method, model):
    stored, lags = stored_forecasts(model), tuned_lags(100)
    compared = 0
    for data, protocol in load_suite("univariate-100").cases():
        if protocol.chosen_on == "context" and data.name in stored:
            parts = split(data, protocol)
            own = method.set_params(n_lags=lags[data.name]) if model == "LinearRegression" else method
            # The stored ones are in single precision.
            path = own.fit(parts.train).forecast(protocol.horizon).astype(np.float32)
            expected = smape(parts.targets[0], stored[data.name])
            assert smape(parts.targets[0], path) == pytest.approx(expected, rel=1e-7), data.name
            compared += 1
    assert compared > 60


@needs_data
def test_stored_forecasts_have_their_published_scores():
    suite = load_suite("univariate-100")
    assert len(suite.published.models) == 16
    truths = {data.name: data.X[1000:1199] for data, _ in suite.cases()}
    published = suite.published.scores(list(truths), {})
    for model in suite.published.models:
        for name, forecast in stored_forecasts(model).items():
            if name in published:
                assert smape(truths[name], forecast) == pytest.approx(published[name][model], rel=1e-3), (model, name)
    assert len(published) == 67


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
