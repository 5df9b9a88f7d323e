"""CPU time of an analysis and of the model steps between two, for one filter and for 32 side by side.

Not a test: run it by hand, ``python tests/benchmarks/bench_enkf.py``. The models take fourth-order Runge-Kutta steps.
Trust the ratio of one filter to 32 batched ones, not the milliseconds.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time

import numpy as np

from chaosfit.methods.assimilation.ensemble_kalman_filter import EnsembleKalmanFilter

N_ROWS, N_FILTERS = 300, 32
CASES = {
    "Lorenz-63 ETKF N=10": (63, {"n_ensemble": 10}),
    "Lorenz-96 ETKF N=28": (96, {"n_ensemble": 28}),
    "Lorenz-96 LETKF N=7": (96, {"n_ensemble": 7, "inflation": 1.04, "localization_radius": 4.0}),
}


def lorenz63(x):
    """Right-hand side for rows of states."""
    a, b, c = x.T
    return np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=1)


def lorenz96(x):
    """Right-hand side for rows of states."""
    return (np.roll(x, -1, axis=1) - np.roll(x, 2, axis=1)) * np.roll(x, 1, axis=1) - x + 8


def runge_kutta(rhs, dt: float, n_steps: int):
    """Return the map over `n_steps` steps."""

    def step(x):
        for _ in range(n_steps):
            k1 = rhs(x)
            k2 = rhs(x + dt / 2 * k1)
            k3 = rhs(x + dt / 2 * k2)
            k4 = rhs(x + dt * k3)
            x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x

    return step


MODELS = {63: (runge_kutta(lorenz63, 0.01, 25), 3), 96: (runge_kutta(lorenz96, 0.05, 1), 40)}


def trajectories(step, n_variables: int) -> np.ndarray:
    """Return true states (N_FILTERS, N_ROWS, d) on the attractor."""
    x = 8 + np.random.default_rng(0).standard_normal((N_FILTERS, n_variables))
    path = []
    for _ in range(2 * N_ROWS):
        x = step(x)
        path.append(x)
    return np.stack(path[N_ROWS:], axis=1)


def cpu_time(call, repeats: int = 3) -> float:
    """Return the best CPU time of several calls."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    """Print one row a case."""
    print(f"{'case':22s} {'one (ms)':>9s} {'of 32 (ms)':>11s} {'ratio':>6s}")
    for name, (model, params) in CASES.items():
        step, n_variables = MODELS[model]
        truth = trajectories(step, n_variables)
        observations = truth + np.random.default_rng(1).standard_normal(truth.shape)
        kalman = EnsembleKalmanFilter(step, observation_noise=1.0, random_state=0, **params).fit(truth[0])
        ensemble = truth[:, :1] + 0.1 * np.random.default_rng(2).standard_normal((params["n_ensemble"], n_variables))
        one = cpu_time(lambda f=kalman, y=observations, e=ensemble: f.assimilate(y[0], ensemble=e[0])) / N_ROWS
        many = cpu_time(lambda f=kalman, y=observations, e=ensemble: f.assimilate(y, ensemble=e)) / N_ROWS / N_FILTERS
        print(f"{name:22s} {1e3 * one:9.3f} {1e3 * many:11.4f} {one / many:6.1f}")


if __name__ == "__main__":
    main()
