"""CPU time of an analysis and of the model steps before it: one filter, one of 32 side by side, and one of DAPPER.

Not a test: run it by hand, ``python tests/benchmarks/bench_enkf.py``. Repeats take turns in one process, the fastest of
each counts: trust the ratios, not the milliseconds. All models take the same fourth-order Runge-Kutta steps; DAPPER
(``pip install dapper==1.7.1``) is left out where it is not installed. Its time includes the statistics it always makes.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import importlib
import importlib.util
import time

import numpy as np

from chaosfit.methods.assimilation.ensemble_kalman_filter import EnsembleKalmanFilter

N_ROWS, N_FILTERS, N_REPEATS = 300, 32, 5
#: Model, what chaosfit is told, and DAPPER's method with the same setting.
CASES = {
    "Lorenz-63 ETKF N=10": (63, {"n_ensemble": 10}, ("EnKF", {"upd_a": "Sqrt", "N": 10, "infl": 1.02, "rot": True})),
    "Lorenz-96 ETKF N=28": (96, {"n_ensemble": 28}, ("EnKF", {"upd_a": "Sqrt", "N": 28, "infl": 1.02, "rot": True})),
    "Lorenz-96 LETKF N=7": (
        96,
        {"n_ensemble": 7, "inflation": 1.04, "localization_radius": 4.0},
        ("LETKF", {"N": 7, "infl": 1.04, "rot": True, "loc_rad": 4}),
    ),
}
DAPPER_MODELS = {63: "dapper.mods.Lorenz63.sakov2012", 96: "dapper.mods.Lorenz96.sakov2008"}


#: Columns: the linear part of Lorenz's equations, then what multiplies x0 in them.
LORENZ63 = np.array(
    [[-10.0, 28.0, 0.0, 0.0, 0.0, 0.0], [10.0, -1.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, -8 / 3, 0.0, -1.0, 0.0]]
)


def lorenz63(x):
    """Right-hand side for rows of states."""
    parts = x @ LORENZ63
    return parts[:, :3] + x[:, :1] * parts[:, 3:]


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
NOISE = {63: 2**0.5, 96: 1.0}


def trajectories(step, n_variables: int) -> np.ndarray:
    """Return true states (N_FILTERS, N_ROWS, d) on the attractor."""
    x = 8 + np.random.default_rng(0).standard_normal((N_FILTERS, n_variables))
    path = []
    for _ in range(2 * N_ROWS):
        x = step(x)
        path.append(x)
    return np.stack(path[N_ROWS:], axis=1)


def chaosfit_calls(model: int, params: dict):
    """Return the filters of one series and of all, as functions without arguments."""
    step, n_variables = MODELS[model]
    truth = trajectories(step, n_variables)
    observations = truth + NOISE[model] * np.random.default_rng(1).standard_normal(truth.shape)
    kalman = EnsembleKalmanFilter(step, observation_noise=NOISE[model], random_state=0, **params).fit(truth[0])
    ensemble = truth[:, :1] + 0.1 * np.random.default_rng(2).standard_normal((params["n_ensemble"], n_variables))
    return (
        lambda: kalman.assimilate(observations[0], ensemble=ensemble[0]),
        lambda: kalman.assimilate(observations, ensemble=ensemble),
    )


def dapper_call(model: int, method: str, params: dict):
    """Return DAPPER's twin experiment of as many analyses, as a function without arguments."""
    setting = importlib.import_module(DAPPER_MODELS[model]).HMM.copy()
    setting.tseq.Ko = N_ROWS - 1
    methods = importlib.import_module("dapper.da_methods")
    xx, yy = setting.simulate()
    return lambda: getattr(methods, method)(**params).assimilate(setting, xx, yy, liveplots=False)


def cpu_times(calls) -> np.ndarray:
    """Return the best CPU time of each function; they take turns."""
    times = []
    for _ in range(N_REPEATS):
        row = []
        for call in calls:
            start = time.process_time()
            call()
            row.append(time.process_time() - start)
        times.append(row)
    return np.min(times, axis=0) / N_ROWS


def main() -> None:
    """Print one row a case."""
    with_dapper = importlib.util.find_spec("dapper") is not None
    print(
        f"{'case':22s} {'one (ms)':>9s} {'of 32 (ms)':>11s} {'one / of 32':>12s} {'DAPPER / one':>13s} {'/ of 32':>8s}"
    )
    for name, (model, params, (method, options)) in CASES.items():
        calls = chaosfit_calls(model, params)
        if with_dapper:
            calls += (dapper_call(model, method, options),)
        one, many, *peer = cpu_times(calls)
        many /= N_FILTERS
        line = f"{name:22s} {1e3 * one:9.3f} {1e3 * many:11.4f} {one / many:12.1f}"
        print(line + "".join(f" {t / one:13.1f} {t / many:8.1f}" for t in peer))


if __name__ == "__main__":
    main()
