"""Work through a list of tasks, one after the other or in parallel, and keep every record at once."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

import joblib
from tqdm import tqdm

from chaosfit.benchmark.records import RecordFile
from chaosfit.benchmark.task import Task, run_task


def run_tasks(
    tasks: Sequence[Task],
    records: RecordFile | None = None,
    *,
    n_jobs: int = 1,
    skip: Container[str] = (),
    keep_forecasts: bool = False,
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
        See `run_task`; the array is yielded, not written.
    progress : bool or None
        A bar on stderr; None: only if that is a terminal.
    """
    todo = [task for task in tasks if task.key not in skip]
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    results = parallel(joblib.delayed(run_task)(task, keep_forecasts) for task in todo)
    hidden = None if progress is None else not progress
    with tqdm(total=len(todo), disable=hidden, unit="method", leave=False) as bar:
        for record in results:
            if records is not None:
                records.write({name: value for name, value in record.items() if name != "forecasts"})
            bar.set_postfix_str(record["method"], refresh=False)
            bar.update()
            yield record
