"""The program: output, exit codes, one-line errors, interruption, start-up time."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import types

import pytest

from chaosfit import cli, registry

HEAVY = {"numpy", "scipy", "sklearn", "pandas", "torch", "sktime", "pysindy", "matplotlib", "packaging"}
BROKEN = "[chaosfit.estimators]\nboom = no_such_module:X\n[chaosfit.metrics]\nlarger = builtins:max\n"


@pytest.fixture(autouse=True)
def fresh_registry():
    registry.refresh()
    yield
    registry.refresh()


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A distribution with one broken and one working entry point."""
    info = tmp_path / "broken_plug-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plug\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(BROKEN)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.fixture
def compare(monkeypatch):
    """Replace the work of `chaosfit compare`; the arguments it gets are in `.seen`."""
    spy = types.SimpleNamespace(seen=None, problem=None)

    def command(args):
        spy.seen = args
        if spy.problem is not None:
            raise spy.problem
        return 0

    monkeypatch.setattr(cli, "_compare", command)
    return spy


def program(*arguments, **options):
    options = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run([sys.executable, "-m", "chaosfit", *arguments], check=False, **options)


class TestList:
    def test_every_group(self, capsys):
        assert cli.main(["list"]) == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split() == ["name", "group", "object", "distribution"]
        version = importlib.metadata.version("chaosfit")
        expected = ["next_step_regressor", "estimators", "chaosfit.compose:NextStepRegressor", "chaosfit", version]
        assert expected in [row.split() for row in rows]
        assert len(rows) == sum(len(registry.records(group)) for group in registry.GROUPS)

    def test_one_group(self, capsys, plugins):
        assert cli.main(["list", "--group", "metrics"]) == 0
        rows = capsys.readouterr().out.splitlines()[1:]
        assert {row.split()[1] for row in rows} == {"metrics"}
        assert "larger" in {row.split()[0] for row in rows}

    def test_systems_of_dysts_are_listed_with_the_systems(self, capsys):
        pytest.importorskip("dysts")
        assert cli.main(["list", "--group", "systems"]) == 0
        rows = [row.split() for row in capsys.readouterr().out.splitlines()[1:]]
        kinds = {row[0]: row[2] for row in rows}
        assert kinds["lorenz63"] == "chaosfit.systems.flows:Lorenz63"
        assert kinds["Lorenz"] == "chaosfit.bridges.dysts:DystsFlow"
        assert kinds["Henon"] == "chaosfit.bridges.dysts:DystsMap"
        assert len(rows) > 150

    def test_answers_at_once(self):
        """Under 0.5 s of CPU, interpreter included, and without one heavy import."""
        code = (
            "import sys, time, chaosfit.cli as c; c.main(['list']); "
            "print(time.process_time(), *sys.modules, file=sys.stderr)"
        )
        runs = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)
        ]
        assert min(float(run.stderr.split()[0]) for run in runs) < 0.5
        assert not HEAVY & set(runs[0].stderr.split())


class TestDescribe:
    def test_an_estimator(self, capsys):
        assert cli.main(["describe", "next_step_regressor"]) == 0
        out = capsys.readouterr().out
        assert "as a model of the next state." in out
        assert "n_lags = 1" in out
        assert "capabilities: forecast, control" in out
        assert "doi:10.1103/PhysRevLett.59.845" in out

    def test_the_group_is_found(self, capsys, plugins):
        assert cli.main(["describe", "larger"]) == 0
        assert "larger: builtins:max, from broken-plug 0.3" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["Torus", "torus"])
    def test_a_system_of_dysts(self, capsys, name):
        pytest.importorskip("dysts")
        assert cli.main(["describe", name]) == 0
        out = capsys.readouterr().out
        assert out.startswith("Torus: a flow of 3 variables, from dysts")
        assert "not distinguishable from non-chaotic" in out

    def test_unknown_name(self, capsys):
        assert cli.main(["describe", "next_step_regresor"]) == 2
        assert one_error(capsys) == (
            "chaosfit: estimators have no 'next_step_regresor'; did you mean 'next_step_regressor'?"
        )


class TestPlugins:
    def test_a_broken_plugin_is_a_row(self, capsys, plugins):
        assert cli.main(["plugins"]) == 0
        _, boom, larger = capsys.readouterr().out.splitlines()
        assert boom.split()[:5] == ["boom", "estimators", "broken-plug", "0.3", "broken"]
        assert boom.endswith("broken  ModuleNotFoundError: No module named 'no_such_module'.")
        assert larger.split() == ["larger", "metrics", "broken-plug", "0.3", "ok"]

    def test_none(self, capsys, monkeypatch):
        monkeypatch.setenv("CHAOSFIT_DISABLE_PLUGINS", "*")
        assert cli.main(["plugins"]) == 0
        assert capsys.readouterr().out.startswith("no plugins are installed")


class TestCheck:
    @pytest.mark.parametrize(("status", "code"), [("passed", 0), ("skipped", 0), ("failed", 1)])
    def test_table_and_exit_code(self, capsys, monkeypatch, status, code):
        seen = []

        def check_dynamics(estimator, raise_error=True):
            seen.append(estimator.n_lags)
            assert not raise_error
            return [("shapes", "passed", ""), ("causal", status, "row 3\nchanged")]

        monkeypatch.setitem(sys.modules, "chaosfit.testing", types.SimpleNamespace(check_dynamics=check_dynamics))
        assert cli.main(["check", "next_step_regressor"]) == code
        lines = capsys.readouterr().out.splitlines()
        assert seen == [1, 3]  # one run per set of get_test_params
        assert lines[0] == "NextStepRegressor()"
        assert lines[3].split() == ["causal", status, "row", "3", "changed"]
        assert "NextStepRegressor(lag=2, n_lags=3)" in lines
        assert lines[-1] == f"next_step_regressor: 4 checks, {2 * code} failed"

    def test_a_plugin_that_cannot_be_loaded(self, capsys, plugins):
        assert cli.main(["check", "boom"]) == 2
        assert "plugin 'boom' = no_such_module:X from broken-plug 0.3 cannot be loaded" in one_error(capsys)


class TestCompareArguments:
    def test_defaults(self, compare):
        assert cli.main(["compare", "series.csv"]) == 0
        seen = compare.seen
        assert seen.data == "series.csv"
        assert (seen.methods, seen.columns, seen.time_column, seen.dt) == (None, None, None, None)
        assert (seen.starts, seen.horizon, seen.train) == (None, None, None)
        assert (seen.noise, seen.seed, seen.jobs) == (0.0, 0, 1)

    def test_everything(self, compare):
        names = "next_step_regressor, transformed_dynamics"
        argv = ["compare", "a.csv", "--methods", names, "--methods", "next_step_regressor", "--starts", "5"]
        argv += ["--horizon", "20", "--train", "500", "--dt", "0.1", "--time-column", "t", "--columns", "x,y"]
        argv += ["--noise", "0.05", "--seed", "3", "--out", "results", "--jobs", "2", "--debug"]
        argv += ["--lyapunov-exponent", "0.9"]
        assert cli.main(argv) == 0
        seen = vars(compare.seen)
        del seen["command"]
        assert seen == {
            "data": "a.csv",
            "methods": ["next_step_regressor", "transformed_dynamics", "next_step_regressor"],
            "starts": 5,
            "horizon": 20,
            "train": 500,
            "dt": 0.1,
            "lyapunov_exponent": 0.9,
            "time_column": "t",
            "columns": ["x", "y"],
            "noise": 0.05,
            "seed": 3,
            "out": "results",
            "jobs": 2,
            "debug": True,
        }

    def test_an_unknown_method_is_noticed_before_any_work(self, capsys):
        assert cli.main(["compare", "a.csv", "--methods", "next_step_regresor"]) == 2
        assert "did you mean 'next_step_regressor'?" in one_error(capsys)

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "the following arguments are required: COMMAND; see 'chaosfit --help'"),
            (["compare"], "the following arguments are required: DATA; see 'chaosfit compare --help'"),
            (["compare", "x", "--dt", "0"], "argument --dt: expected a finite number > 0, got '0'; see"),
            (["compare", "x", "--dt", "nan"], "argument --dt: expected a finite number > 0, got 'nan'; see"),
            (["compare", "x", "--noise", "-1"], "argument --noise: expected a finite number >= 0, got '-1'; see"),
            (["compare", "x", "--starts", "0"], "argument --starts: expected an integer >= 1, got '0'; see"),
            (["compare", "x", "--seed", "2.5"], "argument --seed: expected an integer >= 0, got '2.5'; see"),
            (["compare", "x", "--methods", ","], "argument --methods: expected names separated by commas; see"),
            (["compare", "x", "--hor", "3"], "unrecognized arguments: --hor 3; see"),
            (["lst"], "argument COMMAND: invalid choice: 'lst'"),
            (["list", "--group", "models"], "argument --group: invalid choice: 'models'"),
        ],
    )
    def test_wrong_usage_is_one_line(self, capsys, argv, message):
        with pytest.raises(SystemExit) as stopped:
            cli.main(argv)
        assert stopped.value.code == 2
        assert one_error(capsys).startswith(f"chaosfit: {message}")


class TestErrors:
    @pytest.mark.parametrize(
        ("problem", "code", "message"),
        [
            (ValueError("column 'z' is\n  missing"), 2, "chaosfit: column 'z' is missing"),
            (FileNotFoundError(2, "No such file", "a.csv"), 2, "chaosfit: [Errno 2] No such file: 'a.csv'"),
            (ImportError("pip install chaosfit[parquet]"), 2, "chaosfit: pip install chaosfit[parquet]"),
            (KeyError("fault"), 1, "chaosfit: KeyError: 'fault' (--debug shows where)"),
            (RuntimeError("fault"), 1, "chaosfit: RuntimeError: fault (--debug shows where)"),
            (
                KeyboardInterrupt(),
                130,
                "chaosfit: interrupted; the records written so far are kept in results",
            ),
        ],
    )
    def test_one_line(self, compare, capsys, problem, code, message):
        compare.problem = problem
        assert cli.main(["compare", "a.csv", "--out", "results"]) == code
        assert one_error(capsys) == message

    @pytest.mark.parametrize("argv", [["--debug", "compare", "a.csv"], ["compare", "a.csv", "--debug"]])
    def test_debug_shows_the_traceback(self, compare, capsys, argv):
        compare.problem = ValueError("wrong")
        assert cli.main(argv) == 2
        error = capsys.readouterr().err
        assert error.startswith("Traceback")
        assert error.endswith("chaosfit: wrong\n")

    def test_interruption_elsewhere(self, capsys, monkeypatch):
        def interrupt(group):
            raise KeyboardInterrupt

        monkeypatch.setattr(registry, "records", interrupt)
        assert cli.main(["list"]) == 130
        assert one_error(capsys) == "chaosfit: interrupted"

    def test_a_warning_is_one_line(self, plugins, tmp_path):
        other = tmp_path / "other_plug-0.1.dist-info"
        other.mkdir()
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-plug\nVersion: 0.1\n")
        (other / "entry_points.txt").write_text(BROKEN)
        done = program("list", env={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0
        (line,) = done.stderr.splitlines()
        assert line.startswith("chaosfit: warning: 'boom' is offered more than once")
        assert "'larger' is offered more than once" in line


class TestProcess:
    def test_python_m(self):
        done = program("--version")
        assert done.stdout == f"chaosfit {importlib.metadata.version('chaosfit')}\n"
        assert done.returncode == 0

    def test_exit_code_reaches_the_shell(self):
        done = program("describe", "nobody_has_this_name")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("chaosfit: estimators have no 'nobody_has_this_name'")

    def test_console_script_is_the_same_program(self):
        (script,) = importlib.metadata.entry_points(group="console_scripts", name="chaosfit")
        assert script.load() is cli.main

    def test_the_reader_may_go_away(self):
        """As in `chaosfit list | head -1`; here the pipe is closed before the first byte."""
        process = subprocess.Popen(
            [sys.executable, "-m", "chaosfit", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdout.close()
        with process.stderr:
            assert process.stderr.read() == ""
        assert process.wait(60) == 141


def one_error(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line
