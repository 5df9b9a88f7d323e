"""Work through a list of tasks, one after the other or in parallel, and keep every record at once."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import joblib
from tqdm import tqdm

from chaosfit.benchmark.records import RecordFile, to_line
from chaosfit.benchmark.suite import Suite
from chaosfit.benchmark.task import Limits, Task, failed_record, run_task

SUITE_NAME = "suite.toml"
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl
_GIBIBYTE = 2**30
_CALLS_PER_WORKER = 4


def run_tasks(
    tasks: Sequence[Task],
    records: RecordFile | None = None,
    *,
    n_jobs: int = 1,
    skip: Container[str] = (),
    keep_forecasts: bool = False,
    limits: Limits | None = None,
    progress: bool | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the record of every task as it is done, in the order of completion.

    Parameters
    ----------
    tasks : sequence of Task
    records : RecordFile, optional
        Receives every record before it is yielded.
    n_jobs : int
        Number of processes; where and how they run is up to `joblib.parallel_config`.
    skip : container of str
        Keys of tasks not to run; `records.keys` resumes an interrupted run.
    keep_forecasts : bool
        See `run_task`; the array is yielded, not written. Not with `limits`.
    limits : Limits, optional
        Give every task a process of its own, which may crash or overstay without harm to the others; see
        `run_isolated`.
    progress : bool or None
        A bar on stderr; None: only if that is a terminal.
    """
    todo = [task for task in tasks if task.key not in skip]
    run, argument = (run_task, keep_forecasts) if limits is None else (run_isolated, limits)
    results = _as_completed((joblib.delayed(run)(task, argument) for task in todo), n_jobs)
    hidden = None if progress is None else not progress
    with tqdm(total=len(todo), disable=hidden, unit="task", leave=False) as bar:
        for record in results:
            if records is not None:
                records.write({name: value for name, value in record.items() if name != "forecasts"})
            bar.set_postfix_str(record["method"], refresh=False)
            bar.update()
            yield record


def _as_completed(calls: Iterator[Any], n_jobs: int) -> Iterator[dict[str, Any]]:
    """Yield the results of delayed calls as they come."""
    try:
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    except ValueError:
        # ray's back end only gives lists. Short ones, because what is not yielded is lost when the run is killed.
        parallel = joblib.Parallel(n_jobs=n_jobs)
        size = _CALLS_PER_WORKER * joblib.effective_n_jobs(n_jobs)
        while chunk := list(itertools.islice(calls, size)):
            yield from parallel(chunk)
    else:
        yield from parallel(calls)


def run_suite(
    suite: Suite, methods: dict[str, Any], out: str | os.PathLike, *, n_jobs: int = 1, progress: bool | None = None
) -> int:
    """Run what is not done yet of a suite; the records go to a folder, which also receives the suite itself.

    Stopped in whatever way and started again with the same arguments, it goes on where it was. More methods
    may be added later to the same folder.

    Parameters
    ----------
    suite : Suite
    methods : mapping of label to estimator
        From `resolve_methods`.
    out : path
        One run at a time may write there.
    n_jobs, progress
        See `run_tasks`.

    Returns
    -------
    int
        Number of tasks that were run now.

    Raises
    ------
    ValueError
        If the folder holds results of another suite.
    """
    copy = Path(out) / SUITE_NAME
    if copy.is_file() and copy.read_text(encoding="utf-8") != suite.text:
        raise ValueError(f"{out} holds results of another suite or version of it ({copy}); choose another folder.")
    tasks = suite.tasks(methods)  # before anything is written: the data may be missing
    with RecordFile(out) as records:
        # Whole or not at all, also when the power fails.
        scratch = copy.with_suffix(".part")
        scratch.write_text(suite.text, encoding="utf-8")
        scratch.replace(copy)
        done = run_tasks(
            tasks,
            records,
            n_jobs=n_jobs,
            skip=frozenset(records.keys),
            limits=suite.limits,
            progress=progress,
        )
        return sum(1 for _ in done)


def run_isolated(task: Task, limits: Limits) -> dict[str, Any]:
    """Run one task in a forked process; whatever happens to that process, the answer is a record.

    The record also has "peak_mebibytes", the memory the task needed on top of its data. Where the system
    cannot fork (Windows), the task runs in this process without limits.
    """
    try:
        _ = task.data.X  # here, so that the next task on the same rows finds them
    except (Exception, SystemExit) as error:
        return failed_record(task, f"no data: {type(error).__name__}: {error}")
    if not hasattr(os, "fork"):
        return run_task(task)
    line, exit_code = _run_in_child(task, limits)
    if line.endswith(b"\n"):
        return json.loads(line)
    if exit_code is None:
        return failed_record(task, f"TimeLimit: not done after {limits.seconds:g} s")
    how = f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit status {exit_code}"
    return failed_record(task, f"Crash: the process of the method ended by {how}")


def _run_in_child(task: Task, limits: Limits) -> tuple[bytes, int | None]:
    """Return what the child wrote, and its exit code; None if it had to be stopped."""
    reader, writer = os.pipe()
    deadline = time.monotonic() + limits.seconds
    with warnings.catch_warnings():
        # Newer Pythons warn of forks beside threads; the limit of time covers a child that they block.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _child(task, limits, writer)
    os.close(writer)
    try:
        line, in_time = _read_line(reader, deadline)
    finally:
        os.close(reader)
        # The child leads a group of its own: with it go the processes that the method has started.
        if not _has_ended(child):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return line, os.waitstatus_to_exitcode(status) if in_time else None


def _has_ended(child: int) -> bool:
    """Whether the child has ended, or does within a moment after its last word."""
    for _ in range(10):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.001)
    return False


def _read_line(reader: int, deadline: float) -> tuple[bytes, bool]:
    """Read until the end of a line or of the file; also whether that came before the deadline."""
    content = bytearray()
    while not content.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], max(deadline - time.monotonic(), 0.0))
        if not ready:
            return bytes(content), False
        part = os.read(reader, 1 << 16)
        if not part:
            break
        content += part
    return bytes(content), True


def _child(task: Task, limits: Limits, writer: int) -> NoReturn:
    """Run the task, write its record, and end without the cleaning up that belongs to the parent."""
    status = 1
    try:
        import resource

        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            _limit_memory(limits.gibibytes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        record = run_task(task)
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        record["peak_mebibytes"] = kibibytes / (1024 if sys.platform == "linux" else 1024**2)
        with os.fdopen(writer, "wb") as file:
            file.write(to_line(record))
        status = 0
    finally:
        os._exit(status)


def _limit_memory(gibibytes: float) -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack
    used = pages * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + int(gibibytes * _GIBIBYTE)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
