"""The job of `chaosfit compare`, end to end: what a newcomer types, and what may go wrong on the way."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

import chaosfit
from chaosfit import cli, registry
from chaosfit.benchmark.records import FILE_NAME
from chaosfit.benchmark.runner import SUITE_NAME
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.report import page, plots
from chaosfit.report.comparison import PAGE_NAME
from chaosfit.report.table import one_line, show
from chaosfit.systems.maps import Henon

SMALL = {"n_train": 300, "n_starts": 3, "horizon": 12, "progress": False}
ARGUMENTS = ["--train", "300", "--starts", "3", "--horizon", "12"]


class Fails(Persistence):
    """Fails in the way it is told."""

    def __init__(self, how="raise"):
        self.how = how

    def _fit(self, trajectories):
        if self.how == "raise":
            raise ZeroDivisionError("no idea\n" + "and so on " * 100)
        if self.how == "exit":
            sys.exit("enough")
        if self.how == "interrupt":
            raise KeyboardInterrupt

    def forecast(self, n_steps, context=None, *, u=None):
        path = super().forecast(n_steps, context, u=u)
        if self.how == "diverge":
            path[..., 5:, :] = np.inf
        return path


class Interrupted(Fails):
    def __init__(self, how="interrupt"):
        super().__init__(how)


@pytest.fixture
def interrupted(monkeypatch):
    monkeypatch.setattr(
        registry, "names", lambda group="estimators", real=registry.names: [*real(group), "interrupted"]
    )
    make = registry.make
    monkeypatch.setattr(registry, "make", lambda name, **k: Interrupted() if name == "interrupted" else make(name, **k))
    return "interrupted"


def records(folder):
    return [json.loads(line) for line in (folder / FILE_NAME).read_text().splitlines()]


def test_a_system_by_name(tmp_path, capsys):
    out = tmp_path / "out"
    argv = ["compare", "henon", "--methods", "persistence,ngrc,sindy", *ARGUMENTS, "--out", str(out)]
    assert cli.main(argv) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(("sindy forecasts henon ", "ngrc forecasts henon "))
    assert str(out / PAGE_NAME) in shown
    assert {record["method"] for record in records(out)} == {"persistence", "ngrc", "sindy"}
    text = (out / PAGE_NAME).read_text(encoding="utf-8")
    assert all(name in text for name in ("persistence", "ngrc", "sindy"))
    assert not any(f'{attribute}="{scheme}' in text for attribute in ("src", "href") for scheme in ("http", "//"))


@pytest.mark.parametrize("ending", ["csv", "parquet", "npy", "npz"])
def test_a_file(tmp_path, capsys, ending):
    X = Henon().simulate(500, random_state=0)
    frame = pd.DataFrame(X, columns=["x", "y"]).assign(when=0.5 * np.arange(500), idle=np.arange(500.0))
    path = tmp_path / f"run.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    elif ending == "npy":
        np.save(path, X)
    else:
        np.savez(path, X=X, dt=0.5)
    named = ending in ("csv", "parquet")
    choice = ["--columns", "x,y", "--time-column", "when"] if named else ["--columns", "0,1"]
    exponent = ["--lyapunov-exponent", "0.8"]
    argv = ["compare", str(path), "--methods", "persistence", *ARGUMENTS, *choice, *exponent, "--out", str(tmp_path)]
    assert cli.main(argv) == 0
    data = records(tmp_path)[0]["data"]
    assert data["columns"] == (["x", "y"] if named else ["x0", "x1"])
    assert data["dt"] == (None if ending == "npy" else 0.5)
    assert (data["lyapunov_exponent"], data["exponent_source"]) == (0.8, "given")


def test_failures_are_rows(tmp_path):
    methods = {how: Fails(how) for how in ("raise", "exit", "diverge")} | {"last": Persistence()}
    result = chaosfit.compare("henon", methods, out=tmp_path, **SMALL)
    assert set(result.table.index) == set(methods)
    assert result.table.loc["diverge", "failures"] == 3
    text = repr(result)
    assert "raise: failed: ZeroDivisionError: no idea and so on" in text
    assert "exit: failed: SystemExit: enough" in text
    assert max(map(len, text.splitlines())) <= 210
    assert {record["status"] for record in records(tmp_path)} == {"ok", "failed"}


def test_an_interrupt_keeps_the_records(tmp_path, capsys, interrupted):
    argv = ["compare", "henon", "--methods", f"persistence,{interrupted},ngrc", *ARGUMENTS, "--out", str(tmp_path)]
    assert cli.main(argv) == 130
    assert [record["method"] for record in records(tmp_path)] == ["persistence"]
    assert f"the records written so far are kept in {tmp_path}" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    argv = ["compare", "henon", "--methods", "persistence", *ARGUMENTS, "--out", str(tmp_path / "taken" / "out")]
    assert cli.main(argv) == 2
    assert "cannot write results to" in capsys.readouterr().err


def test_a_slip_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", "henno"]) == 2
    assert cli.main(["compare", "henon", "--columns", "7"]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("problem", [RuntimeError("no ink"), OSError("no ink")])
def test_the_table_survives_a_page_that_cannot_be_drawn(tmp_path, monkeypatch, capsys, problem):
    def fail(*_):
        raise problem

    monkeypatch.setattr(page, "render", fail)
    argv = ["compare", "henon", "--methods", "persistence", *ARGUMENTS, "--out", str(tmp_path)]
    assert cli.main(argv) == 1
    *table, last = capsys.readouterr().out.splitlines()
    assert any(line.startswith("persistence ") for line in table)
    assert last.startswith("cannot draw the page") or last == "no ink"
    assert len(records(tmp_path)) == 1


def test_the_table_survives_a_page_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / PAGE_NAME).mkdir()
    argv = ["compare", "henon", "--methods", "persistence", *ARGUMENTS, "--out", str(tmp_path)]
    assert cli.main(argv) == 1
    assert f"cannot write the page to {tmp_path / PAGE_NAME}" in capsys.readouterr().out.splitlines()[-1]


def test_a_second_run_replaces_the_records(tmp_path):
    for _ in range(2):
        chaosfit.compare("henon", ["persistence"], out=tmp_path, **SMALL)
    assert len(records(tmp_path)) == 1


def test_the_records_of_a_suite_are_not_replaced(tmp_path):
    (tmp_path / SUITE_NAME).write_text("")
    with pytest.raises(ValueError, match="holds the results of a suite"):
        chaosfit.compare("henon", ["persistence"], out=tmp_path, **SMALL)


@pytest.mark.parametrize("horizon", [1, 2, 12])
def test_one_variable_and_a_short_horizon(tmp_path, horizon):
    options = SMALL | {"horizon": horizon}
    result = chaosfit.compare("lorenz63", ["persistence"], columns=[0], out=tmp_path, **options)
    assert result.page_problem == ""
    assert (tmp_path / PAGE_NAME).stat().st_size > 10_000
    project, _ = plots.projection(result.parts.train, ["x"], horizon)
    assert len(project(result.parts.targets[:1])) == horizon - horizon // 2


def test_wording():
    one = chaosfit.compare("henon", {"last": Persistence()}, **(SMALL | {"n_starts": 1}))
    assert one.summary().startswith("last forecasts henon for ")
    assert "1 start," in repr(one)
    state = chaosfit.compare("henon", {"last": Persistence()}, **(SMALL | {"n_starts": 1, "horizon": 1}))
    assert list(state.ranking) == ["last"]
    assert " – " in repr(state).splitlines()[3]
    assert "nan" not in repr(one)
    two = chaosfit.compare("henon", {"a": Persistence(), "b": Persistence()}, **SMALL)
    assert two.summary().startswith("a forecasts henon as long as b: ")
    assert (show(0.08, 1), show(0.4, 1), show(0.0012, 2)) == ("0.08", "0.4", "0.001")
    assert one_line("a\nb") == "a b"


def test_warnings_are_one_line_below_the_table():
    result = chaosfit.compare("henon", {"last": Persistence()}, **SMALL)
    result.records[0]["warnings"] = ["first\nproblem", "second"]
    assert "last warned: first problem (1 more on the page)" in repr(result).splitlines()


def test_a_long_simulation_is_announced(capsys):
    chaosfit.compare("henon", ["persistence"], **(SMALL | {"progress": True}))
    assert "simulating 836 rows of henon ...\n" in capsys.readouterr().err
    chaosfit.compare("henon", ["persistence"], **SMALL)
    assert not capsys.readouterr().err


def test_describe_suggests_names_of_all_groups(capsys):
    assert cli.main(["describe", "lorenz6"]) == 2
    assert "systems have no 'lorenz6'; did you mean 'lorenz96' or 'lorenz63'?" in capsys.readouterr().err


def test_a_map_is_no_flow():
    result = chaosfit.compare("henon", ["sindy", "sindy"], **SMALL)
    assert list(result.table.index) == ["sindy"]
    assert result.record("sindy")["parameters"]["discrete_time"]
    assert result.table.loc["sindy", "nrmse"] < 1e-3


@pytest.mark.parametrize("methods", [[Persistence], {"last": Persistence}])
def test_classes_are_refused_at_once(methods):
    with pytest.raises(TypeError, match=r"pass Persistence\(\), not the class"):
        chaosfit.compare("henon", methods, **SMALL)
