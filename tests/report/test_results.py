"""Records of a run become tables and a page."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from chaosfit.benchmark.records import FILE_NAME
from chaosfit.benchmark.runner import SUITE_NAME
from chaosfit.cli import main
from chaosfit.report.results import read_results
from chaosfit.report.results_page import render

SUITE = """
name = "made <up>"

[protocol]
n_train = 100
n_context = 20
n_starts = 3
horizon = 4.0
max_steps = 8
score = 1.0
noise = [0.0, 0.1]
random_state = [0, 1]

[[systems]]
name = "henon"
dt = 1.0
lyapunov_exponent = 0.419
family = "quadratic"

[[systems]]
name = "logistic"
dt = 1.0
lyapunov_exponent = 0.693
family = "quadratic"

[[systems]]
name = "rossler"
dt = 0.1
lyapunov_exponent = 0.0714
"""
SYSTEMS, NOISES, SEEDS = ["henon", "logistic", "rossler"], [0.0, 0.1], [0, 1]


def record(system, method, noise, seed, valid):
    scores = {
        "valid_time": [valid, valid, valid + 1.0],
        "nrmse": [0.5, None, 0.7],
        "smape": [10.0, 20.0, 200.0],
        "d_stsp": None,
        "n_diverged": 1,
        "error_growth": {"time": [1.0, 2.0, 3.0], "error": [0.1, 0.5, None]},
        "example": {"start": 1, "spacing": 1.0, "truth": [0.1, 0.2, 0.3], "forecast": [0.1, 0.4, None]},
    }
    costs = dict.fromkeys(("fit_seconds", "fit_cpu_seconds", "forecast_seconds", "forecast_cpu_seconds"), 0.5)
    return {
        "key": f"{system}{method}{noise}{seed}",
        "method": method,
        "parameters": {"class": "x.Y", "lag": 3},
        "data": {"name": system},
        "protocol": {"n_train": 100, "n_starts": 3, "noise": noise, "threshold": 0.4, "random_state": seed},
        "versions": {"chaosfit": "0"},
        "status": "ok",
        "reason": "",
        "warnings": [],
    } | (costs | scores)


def failed(each, reason="ValueError: <b>no</b>"):
    kept = {k: each[k] for k in ("key", "method", "parameters", "data", "protocol", "versions", "warnings")}
    return kept | {"status": "failed", "reason": reason, "traceback": "line <1>"}


def run_folder(folder, records):
    folder.mkdir(exist_ok=True)
    (folder / SUITE_NAME).write_text(SUITE)
    (folder / FILE_NAME).write_text("".join(json.dumps(each) + "\n" for each in records))
    return folder


def make_records(methods=("weak", "good", "broken")):
    value = {"weak": 1.0, "good": 2.0, "broken": 9.0}
    made = [
        record(system, method, noise, seed, value[method] - noise + number)
        for number, system in enumerate(SYSTEMS)
        for noise in NOISES
        for seed in SEEDS
        for method in methods
    ]
    return [failed(each) if each["method"] == "broken" else each for each in made]


def test_scores_are_medians_and_failures_the_worst(tmp_path):
    clean, noisy = read_results(run_folder(tmp_path, make_records())).settings
    assert (clean.label, noisy.label) == ("noise 0", "noise 0.1")
    assert clean.methods == ["good", "weak", "broken"]
    assert clean.systems == SYSTEMS
    assert clean.families == ["quadratic", "quadratic", "rossler"]
    assert clean.scores["valid_time"].tolist() == [[2.0, 1.0, 0.0], [3.0, 2.0, 0.0], [4.0, 3.0, 0.0]]
    assert noisy.scores["valid_time"][0] == pytest.approx([1.9, 0.9, 0.0])
    assert clean.scores["nrmse"][0].tolist() == [0.7, 0.7, np.inf]
    assert clean.scores["smape"][0].tolist() == [20.0, 20.0, 200.0]
    assert clean.failures.tolist() == pytest.approx([1 / 3, 1 / 3, 1.0])
    assert clean.leaderboard.loc["good", ["valid_time", "won", "rank"]].tolist() == [3.0, 1.0, 1.0]
    assert clean.leaderboard.loc["weak", "shift"] == -1.0
    assert clean.friedman.ranks.tolist() == [1.0, 2.0, 3.0]


def test_a_failure_of_one_seed_counts(tmp_path):
    records = make_records(("weak", "good"))
    lost = [failed(r) if r["key"] == "henongood0.01" else r for r in records]
    clean, _ = read_results(run_folder(tmp_path, lost)).settings
    row = clean.systems.index("henon")
    assert clean.scores["valid_time"][row, clean.methods.index("good")] == 1.0  # half way between 2 and 0


def test_an_unfinished_system_is_left_out_and_named(tmp_path):
    records = [r for r in make_records() if r["key"] != "rosslerweak0.11"]
    clean, noisy = read_results(run_folder(tmp_path, records)).settings
    assert clean.left_out == []
    assert noisy.left_out == ["rossler"]
    assert noisy.systems == ["henon", "logistic"]


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run of a suite: there is no suite.toml"):
        read_results(tmp_path)
    with pytest.raises(ValueError, match=r"no system yet that every method has been run on"):
        read_results(run_folder(tmp_path, make_records()[:1]))


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    page = render(read_results(run_folder(tmp_path, make_records())))
    figures = ("Who is better than whom", "How the error grows", "What it costs", "What the forecasts look like")
    for title in (*figures, "System by system", "Failures"):
        assert title in page
    assert page.count('class="filter"') == 2
    assert page.count("Who is better than whom</h2>") == 2  # one for each setting
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "<b>no</b>" not in page
    assert "made &lt;up&gt;" in page


def test_a_run_in_which_everything_failed_has_a_page(tmp_path):
    records = [failed(each) for each in make_records(("weak", "good"))]
    page = render(read_results(run_folder(tmp_path, records)))
    assert "How the error grows" not in page
    assert "System by system" in page


def test_run_and_report_from_the_command_line(tmp_path, capsys):
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE[: SUITE.rindex("[[systems]]")])
    out = tmp_path / "out"
    assert main(["run", str(suite), "--methods", "persistence,drift", "--out", str(out)]) == 0
    assert "made <up>: 16 tasks run now" in capsys.readouterr().out
    assert main(["run", str(suite), "--methods", "persistence,drift", "--out", str(out)]) == 0
    assert "made <up>: 0 tasks run now" in capsys.readouterr().out
    assert main(["report", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "noise 0.1:" in shown
    assert (out / "report.html").is_file()


def test_the_command_line_refuses_an_unknown_suite_and_method(tmp_path, capsys):
    assert main(["run", "smok", "--out", str(tmp_path)]) == 2
    assert "nearest names: smoke-8" in capsys.readouterr().err
    assert main(["run", "smoke-8", "--methods", "persistance", "--out", str(tmp_path)]) == 2
    assert "persistence" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_method_that_was_run_again_counts_once(tmp_path):
    old = [
        each | {"key": f"old {each['key']}", "valid_time": [9.0, 9.0, 9.0]} for each in make_records(["weak", "good"])
    ]
    results = read_results(run_folder(tmp_path / "run", old + make_records(["weak", "good"])))
    alone = read_results(run_folder(tmp_path / "alone", make_records(["weak", "good"])))
    for setting, desired in zip(results.settings, alone.settings, strict=True):
        pd.testing.assert_frame_equal(setting.leaderboard, desired.leaderboard)


def test_the_command_line_says_what_failed(tmp_path, capsys):
    assert main(["report", str(run_folder(tmp_path, make_records()))]) == 0
    assert capsys.readouterr().out.count("broken failed in 6 of 6 tasks: ValueError: <b>no</b>\n") == 2
