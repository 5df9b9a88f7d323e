"""Overhead of the runner per task, and its memory on a grid of 10 000 trivial tasks.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_runner.py [N_TASKS]

Prints seconds of wall and CPU time per task beyond what the same tasks cost in a plain loop, and the peak
memory of the process.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time

from chaosfit.benchmark.methods import resolve_methods
from chaosfit.benchmark.runner import run_suite
from chaosfit.benchmark.suite import read_suite
from chaosfit.benchmark.task import run_task

SUITE = """
name = "grid"
[protocol]
n_train = 100
n_context = 20
n_starts = 2
horizon = 5.0
max_steps = 8
score = 1.0
random_state = {seeds}
[[systems]]
name = "henon"
dt = 1.0
lyapunov_exponent = 0.419
[[systems]]
name = "logistic"
dt = 1.0
lyapunov_exponent = 0.693
"""


def cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def main(n_tasks: int) -> None:
    methods = resolve_methods(["persistence", "drift"])
    suite = read_suite(SUITE.format(seeds=list(range(n_tasks // 4))))
    tasks = suite.tasks(methods)[:200]
    run_task(tasks[0])
    wall, busy = time.perf_counter(), cpu()
    for task in tasks:
        run_task(task)
    plain_wall, plain_busy = (time.perf_counter() - wall) / len(tasks), (cpu() - busy) / len(tasks)
    with tempfile.TemporaryDirectory() as folder:
        wall, busy = time.perf_counter(), cpu()
        done = run_suite(suite, methods, folder, progress=False)
        wall, busy = (time.perf_counter() - wall) / done, (cpu() - busy) / done
        again = time.perf_counter()
        assert run_suite(suite, methods, folder, progress=False) == 0
        again = time.perf_counter() - again
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done} tasks; a task in a plain loop: {1e3 * plain_wall:.1f} ms wall, {1e3 * plain_busy:.1f} ms CPU")
    print(f"overhead of the runner: {1e3 * (wall - plain_wall):.1f} ms wall, {1e3 * (busy - plain_busy):.1f} ms CPU")
    print(f"resuming the finished run: {again:.1f} s; peak memory of the process {peak:.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
