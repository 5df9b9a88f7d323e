"""The runner over many tasks: interrupts, limits, crashes, several processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from chaosfit.benchmark.methods import resolve_methods
from chaosfit.benchmark.records import FILE_NAME, RecordFile, read_records
from chaosfit.benchmark.runner import run_isolated, run_suite
from chaosfit.benchmark.suite import read_suite
from chaosfit.benchmark.task import Limits
from chaosfit.methods.baselines.persistence import Persistence

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")

SUITE = """
name = "maps"

[protocol]
n_train = 100
n_context = 20
n_starts = 3
horizon = 5.0
max_steps = 8
score = 1.0
noise = [0.0, 0.1]
random_state = {seeds}

[limits]
seconds = 60
gibibytes = 1

[[systems]]
name = "henon"
dt = 1.0
lyapunov_exponent = 0.419

[[systems]]
name = "logistic"
dt = 1.0
lyapunov_exponent = 0.693
"""
METHODS = ["persistence", "drift", "climatology", "linear_autoregression", "context_parroting"]
MEASURED = ("seconds", "mebibytes")


def suite(n_seeds=1):
    return read_suite(SUITE.format(seeds=list(range(n_seeds))))


def results(folder):
    """Records by key, without what is measured anew in each run."""
    records = read_records(folder)
    assert len(records) == len({record["key"] for record in records}), "a task was run twice"
    return {r["key"]: {k: v for k, v in r.items() if not k.endswith(MEASURED)} for r in records}


def one_task(estimator):
    return suite().tasks({"method": estimator})[0]


class Raises(Persistence):
    def fit(self, X, y=None):
        raise ZeroDivisionError("on purpose")


class Exits(Persistence):
    def fit(self, X, y=None):
        sys.exit(3)


class Interrupts(Persistence):
    def fit(self, X, y=None):
        raise KeyboardInterrupt


class Vanishes(Persistence):
    def fit(self, X, y=None):
        os._exit(5)


class KillsItself(Persistence):
    def fit(self, X, y=None):
        os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Persistence):
    def fit(self, X, y=None):
        time.sleep(60)


class Eats(Persistence):
    def fit(self, X, y=None):
        self.kept_ = [bytearray(2**26) for _ in range(4)]
        return super().fit(X)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (Raises(), "ZeroDivisionError: on purpose"),
        (Exits(), "SystemExit: 3"),
        (Interrupts(), "Crash: the process of the method ended by exit status 1"),
        (Vanishes(), "Crash: the process of the method ended by exit status 5"),
        (KillsItself(), "Crash: the process of the method ended by signal SIGKILL"),
        (ImportError("no such plugin"), "ImportError: no such plugin"),
    ],
)
def test_a_method_that_fails_is_a_record(estimator, reason):
    task = one_task(estimator)
    record = run_isolated(task, Limits(60, 1))
    assert (record["status"], record["reason"], record["key"]) == ("failed", reason, task.key)


def test_a_method_that_hangs_is_stopped():
    started = time.monotonic()
    record = run_isolated(one_task(Hangs()), Limits(seconds=0.5))
    assert record["reason"] == "TimeLimit: not done after 0.5 s"
    assert time.monotonic() - started < 20


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_method_that_eats_memory_is_stopped():
    assert "MemoryError" in run_isolated(one_task(Eats()), Limits(60, gibibytes=0.1))["reason"]
    enough = run_isolated(one_task(Eats()), Limits(60, gibibytes=1))
    assert enough["status"] == "ok"


def test_isolated_gives_the_record_of_the_task_itself():
    from chaosfit.benchmark.task import run_task

    task = one_task(Persistence())
    alone, inside = run_isolated(task, Limits(60, 1)), json.loads(json.dumps(run_task(task)))
    assert alone.pop("peak_mebibytes") >= 0
    for record in (alone, inside):
        for name in [name for name in record if name.endswith(MEASURED)]:
            record.pop(name)
    assert alone == inside


def test_data_that_cannot_be_made_are_a_record():
    text = SUITE.format(seeds=[0]).replace('"henon"\n', '"henon"\nobserved = [7]\n')
    task = read_suite(text).tasks({"persistence": Persistence()})[0]
    record = run_isolated(task, Limits(60, 1))
    assert record["status"] == "failed"
    assert record["reason"].startswith("no data: IndexError")
    assert record["key"] == task.key


def test_a_second_run_repeats_nothing_and_adds_new_methods(tmp_path):
    assert run_suite(suite(), resolve_methods(METHODS[:2]), tmp_path, progress=False) == 8
    before = (tmp_path / FILE_NAME).read_bytes()
    assert run_suite(suite(), resolve_methods(METHODS[:2]), tmp_path, progress=False) == 0
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert run_suite(suite(), resolve_methods(METHODS[:3]), tmp_path, progress=False) == 4


@pytest.mark.parametrize("cut", [1, 100, 1000])
def test_a_torn_last_line_is_run_again(tmp_path, cut):
    run_suite(suite(), resolve_methods(METHODS[:2]), tmp_path, progress=False)
    whole = results(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    assert run_suite(suite(), resolve_methods(METHODS[:2]), tmp_path, progress=False) == 1
    assert results(tmp_path) == whole


def test_a_folder_belongs_to_one_suite(tmp_path):
    run_suite(suite(), resolve_methods(METHODS[:1]), tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds results of another suite or version of it"):
        run_suite(suite(n_seeds=2), resolve_methods(METHODS[:1]), tmp_path, progress=False)


def test_records_are_on_the_disk_before_the_next_task(tmp_path):
    with RecordFile(tmp_path) as records:
        records.write({"key": "a", "method": "m"})
        assert [record["key"] for record in read_records(tmp_path)] == ["a"]


PROGRAM = """
import contextlib, os, signal, sys
import joblib
from chaosfit.benchmark.methods import resolve_methods
from chaosfit.benchmark.runner import run_suite
from chaosfit.benchmark.suite import load_suite
from chaosfit.methods.baselines.persistence import Persistence

class KillsItself(Persistence):
    def fit(self, X, y=None):
        os.kill(os.getpid(), signal.SIGKILL)

class Exits(Persistence):
    def fit(self, X, y=None):
        sys.exit(3)

if __name__ == "__main__":
    methods = resolve_methods({methods!r}) | {{"kills": KillsItself(), "exits": Exits()}}
    with contextlib.ExitStack() as stack:
        if sys.argv[4] == "dask":
            from distributed import Client, LocalCluster
            options = dict(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
            stack.enter_context(Client(stack.enter_context(LocalCluster(**options))))
        if sys.argv[4] == "ray":
            import ray
            from ray.util.joblib import register_ray
            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
            stack.callback(ray.shutdown)
            register_ray()
        stack.enter_context(joblib.parallel_config(sys.argv[4]))
        run_suite(load_suite(sys.argv[1]), methods, sys.argv[2], n_jobs=int(sys.argv[3]))
"""


@pytest.fixture
def start(tmp_path):
    """Start the program in a process of its own; returns a function of folder, jobs and seeds."""
    (tmp_path / "program.py").write_text(PROGRAM.format(methods=METHODS))

    def run(folder, n_jobs=1, n_seeds=1, backend="loky"):
        path = tmp_path / "maps.toml"
        path.write_text(SUITE.format(seeds=list(range(n_seeds))))
        program = [sys.executable, str(tmp_path / "program.py"), str(path), str(folder), str(n_jobs), backend]
        return subprocess.Popen(program, stderr=subprocess.PIPE, text=True)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_other_processes_give_the_records_of_this_one(tmp_path, start, backend):
    if backend != "loky":
        pytest.importorskip({"dask": "distributed"}.get(backend, backend))
    for name, n_jobs in {"sequential": 1, backend: 2}.items():
        process = start(tmp_path / name, n_jobs, backend=name)
        assert process.wait(120) == 0, process.stderr.read()
        process.stderr.close()
    assert results(tmp_path / "sequential") == results(tmp_path / backend)
    reasons = {record["reason"] for record in read_records(tmp_path / backend) if record["method"] == "kills"}
    assert reasons == {"Crash: the process of the method ended by signal SIGKILL"}


@pytest.mark.slow
@pytest.mark.parametrize(("n_jobs", "n_seeds"), [(1, 8), (2, 2)])
def test_killed_at_five_random_moments_nothing_is_lost_and_nothing_done_twice(tmp_path, start, n_jobs, n_seeds):
    n_tasks = n_seeds * 2 * 2 * 7
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(whole, n_jobs, n_seeds)
    assert process.wait(300) == 0, process.stderr.read()
    process.stderr.close()
    path = killed / FILE_NAME
    kept = b""
    for moment in sorted(random.Random(n_jobs).sample(range(1, n_tasks - 10), 5)):
        process = start(killed, n_jobs, n_seeds)
        while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < moment):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        process.stderr.close()
        content = path.read_bytes()
        assert content.startswith(kept), "a record was lost"
        kept = content[: content.rfind(b"\n") + 1]
    process = start(killed, n_jobs, n_seeds)
    assert process.wait(300) == 0, process.stderr.read()
    process.stderr.close()
    assert len(results(whole)) == n_tasks
    assert results(killed) == results(whole)
