"""CPU time of `ReservoirComputer` relative to reservoirpy, on the same network and data.

Not a test: run it by hand, ``OMP_NUM_THREADS=1 python tests/benchmarks/bench_reservoir.py``, with reservoirpy
installed. "fit" is states and ridge of 10 000 rows; "forecast" is 100 starts of 100 rows of context and 300 steps.
Trust the ratios, not the seconds.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import itertools
import time
from collections.abc import Sequence

import numpy as np
from reservoirpy.nodes import Reservoir, Ridge

from chaosfit.methods.reservoir.local_reservoir import LocalReservoir
from chaosfit.methods.reservoir.network import Network
from chaosfit.methods.reservoir.reservoir_computer import ReservoirComputer
from chaosfit.numerics.integrate import integrate_batch

WASHOUT, RIDGE, N_STARTS, N_CONTEXT, N_STEPS = 100, 1e-7, 100, 100, 300


def lorenz(n_rows: int) -> np.ndarray:
    """Lorenz's equations every 0.02 time units, standardised."""

    def rhs(X):
        x, y, z = X.T
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=1)

    times = np.concatenate([[0], 50 + 0.02 * np.arange(n_rows)])
    X = integrate_batch(rhs, [[1.0, 2.0, 20.0]], times)[0, 1:]
    return (X - X.mean(axis=0)) / X.std(axis=0)


def cpu_time(call, repeats: int) -> tuple[float, object]:
    """Return the best CPU time of several calls and the last result."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        best = min(best, time.process_time() - start)
    return best, result


def their_model(network: Network, X: np.ndarray):
    """Build reservoirpy's model around a network that ours has drawn, and fit it."""
    reservoir = Reservoir(W=network.W, Win=network.W_in[:, :-1], bias=network.W_in[:, -1], lr=1.0)
    model = reservoir >> Ridge(ridge=RIDGE)
    return model.fit(X[:-1], X[1:], warmup=WASHOUT)


def their_forecast(model, context: np.ndarray) -> np.ndarray:
    """Run reservoirpy's model on its own output."""
    model.reset()
    y = model.run(context)[-1]
    path = [y]
    for _ in range(N_STEPS - 1):
        y = model.step(y)
        path.append(y)
    return np.array(path)


def compare(n_units: int, degree: int, dtype: str, X: np.ndarray, contexts: np.ndarray, n_their_starts: int = 5) -> str:
    """Return one row of the table."""
    ours = ReservoirComputer(
        n_units=n_units, degree=degree, readout="linear", ridge=RIDGE, washout=WASHOUT, dtype=dtype, random_state=0
    ).fit(X)
    drawing, _ = cpu_time(lambda: ours._draw(np.random.RandomState(0), X.shape[1] + 1), 3)
    network = ours._draw(np.random.RandomState(0), X.shape[1] + 1)
    our_fit, _ = cpu_time(lambda: ours.fit(X), 3)
    their_fit, theirs = cpu_time(lambda: their_model(network, X), 3)
    our_run, our_paths = cpu_time(lambda: ours.forecast(N_STEPS, contexts), 3)
    their_run, their_paths = cpu_time(lambda: [their_forecast(theirs, c) for c in contexts[:n_their_starts]], 3)
    gap = np.abs(np.array(their_paths)[:, :50] - our_paths[:n_their_starts, :50]).max()
    fit_ratio = their_fit / (our_fit - drawing)
    run_ratio = (their_run / n_their_starts) / (our_run / len(contexts))
    return (
        f"{n_units:5d} {degree:6d} {dtype} {their_fit:8.3f} {our_fit - drawing:8.3f} {fit_ratio:6.1f} {drawing:8.3f}"
        f" {1e3 * their_run / n_their_starts:10.2f} {1e3 * our_run / len(contexts):8.2f} {run_ratio:6.1f} {gap:10.1e}"
    )


def grid_times(sizes: Sequence[int]) -> list[float]:
    """Return the seconds that `LocalReservoir` takes for rings of so many points, interleaved, the best of three."""
    rng = np.random.default_rng(0)
    best = np.full(len(sizes), np.inf)
    for _ in range(3):
        for i, n_points in enumerate(sizes):
            X = np.cumsum(rng.normal(size=(1000, n_points)), axis=0)
            model = LocalReservoir(n_groups=n_points // 8, halo=6, n_units=300, random_state=0)
            best[i] = min(best[i], cpu_time(lambda: model.fit(X).forecast(100, X[np.newaxis, :100]), 1)[0])  # noqa: B023
    return best.tolist()


def main() -> None:
    """Print the tables."""
    X = lorenz(10_000 + N_STARTS * 50 + N_CONTEXT)
    starts = 10_000 + 50 * np.arange(N_STARTS)
    contexts = np.stack([X[s : s + N_CONTEXT] for s in starts])
    print("                     fit of 10 000 rows [s]            forecast per start [ms]     largest difference")
    print("units degree states    theirs     ours  ratio  drawing     theirs     ours  ratio   in 50 steps")
    for n_units, degree, dtype in itertools.product((500, 1000), (10,), ("float64", "float32")):
        print(compare(n_units, degree, dtype, X[:10_000], contexts))
    sizes = (64, 128, 256, 512)
    print("\nlocal reservoirs: points and CPU seconds", dict(zip(sizes, np.round(grid_times(sizes), 2), strict=True)))


if __name__ == "__main__":
    main()
