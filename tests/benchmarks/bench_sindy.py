"""CPU time of SINDy beside pysindy in one process: a fit with one threshold, and a forecast of 10^4 points.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_sindy.py
"""

import time
import warnings

import numpy as np
import pysindy

import chaosfit

warnings.simplefilter("ignore")
TOLERANCE = 1e-12  # pysindy's default


def cpu_seconds(call, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def forecast(dt=0.002, n_steps=10_000):
    X = chaosfit.Lorenz63().simulate(10_000, dt=dt, random_state=0)
    ours = chaosfit.SINDy(dt=dt).fit(X)
    type(ours)._tolerance = TOLERANCE
    theirs = pysindy.SINDy(optimizer=pysindy.STLSQ(threshold=0.1))
    theirs.fit(X, t=dt)
    times = dt * np.arange(n_steps)
    slow = cpu_seconds(lambda: theirs.simulate(X[-1], times), repeats=1)
    fast = cpu_seconds(lambda: ours.forecast(n_steps))
    print(f"forecast of {n_steps} points: pysindy {slow:.1f} s, chaosfit {fast:.3f} s, ratio {slow / fast:.0f}")


def fit(n_rows, degree):
    X = chaosfit.Lorenz63().simulate(n_rows, dt=0.002, random_state=0)
    ours = chaosfit.SINDy(dt=0.002, degree=degree, threshold=0.1, derivative="finite_difference", n_models=2)
    theirs = pysindy.SINDy(feature_library=pysindy.PolynomialLibrary(degree), optimizer=pysindy.STLSQ(threshold=0.1))
    slow = cpu_seconds(lambda: theirs.fit(X, t=0.002))
    fast = cpu_seconds(lambda: ours.fit(X))
    print(f"fit, n = {n_rows}, degree {degree}: pysindy {slow:.2f} s, chaosfit {fast:.3f} s, ratio {slow / fast:.1f}")


if __name__ == "__main__":
    fit(100_000, 2)
    fit(100_000, 5)
    forecast()
