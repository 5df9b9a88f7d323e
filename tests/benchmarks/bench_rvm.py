"""Speed of sparse regression on Gram sums against scikit-learn and pysindy, as ratios of CPU time.

Run `python tests/benchmarks/bench_rvm.py`; use one BLAS thread (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import time
import warnings
from functools import reduce
from operator import add

import numpy as np
from sklearn.linear_model import ARDRegression

from chaosfit.methods.discovery.rvm import RVMRegressor
from chaosfit.numerics.regress import gram, stlsq, threshold_path

N_FOLDS = 10


def cpu_times(*functions, repeats=5):
    """CPU times (repeats, number of functions) of calls in turns, so that all meet the same machine."""
    times = np.empty((repeats, len(functions)))
    for row in times:
        for k, function in enumerate(functions):
            start = time.process_time()
            function()
            row[k] = time.process_time() - start
    return times


def ratio(times, ours, peer):
    """Peer over ours: of the medians, and in brackets of the fastest calls.

    The peers copy the data, and what a copy costs depends on the state of memory; the fastest call found its
    memory mapped.
    """
    middle, fastest = np.median(times, axis=0), times.min(axis=0)
    return f"{middle[peer] / middle[ours]:.1f} [{fastest[peer] / fastest[ours]:.1f}]"


def sparse_data(n, p, noise, n_targets=4, seed=0):
    """Correlated columns; five terms per target."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) @ (np.eye(p) + 0.3 * rng.standard_normal((p, p)) / np.sqrt(p))
    coef = np.zeros((n_targets, p))
    for row in coef:
        row[rng.choice(p, 5, replace=False)] = rng.choice([-1, 1], 5) * rng.uniform(0.5, 2, 5)
    clean = X @ coef.T
    return X, clean + noise * clean.std(0) * rng.standard_normal(clean.shape), coef


def ard_fits(X, Y):
    return np.array([ARDRegression().fit(X, y).coef_ for y in Y.T])


def cross_validated(X, y):
    """Ten coefficient vectors, each without one fold, from one pass over the rows."""
    parts = zip(np.array_split(X, N_FOLDS), np.array_split(y[:, None], N_FOLDS), strict=True)
    folds = [gram(*part, center=True) for part in parts]
    total = reduce(add, folds)
    rest = (total - fold for fold in folds)
    return [RVMRegressor().fit_gram(r.G, r.R[:, 0], r.yy, r.n_samples - 1).coef_ for r in rest]


def ard_cross_validated(X, y):
    fold = np.arange(len(y)) * N_FOLDS // len(y)
    return [ARDRegression().fit(X[fold != k], y[fold != k]).coef_ for k in range(N_FOLDS)]


def n_exact(got, coef):
    return int(np.sum(np.all((got != 0) == (coef != 0), axis=1)))


def bench_ard():
    print("RVMRegressor against ARDRegression, 1 target, 4 targets; exact supports of 4 (ours, ARD)")
    for p in (50, 200):
        for noise in (0.0, 0.01, 0.1):
            X, Y, coef = sparse_data(10**5, p, noise)
            times = cpu_times(
                lambda X=X, Y=Y: RVMRegressor().fit(X, Y[:, 0]),
                lambda X=X, Y=Y: ARDRegression().fit(X, Y[:, 0]),
                lambda X=X, Y=Y: RVMRegressor().fit(X, Y),
                lambda X=X, Y=Y: ard_fits(X, Y),
            )
            exact = n_exact(RVMRegressor().fit(X, Y).coef_, coef), n_exact(ard_fits(X, Y), coef)
            print(f"  n=1e5 p={p} noise={noise}: {ratio(times, 0, 1)}, {ratio(times, 2, 3)}; {exact}")


def bench_cross_validation():
    X, Y, _ = sparse_data(10**5, 200, 0.1)
    y = Y[:, 0]
    times = cpu_times(lambda: cross_validated(X, y), lambda: ard_cross_validated(X, y), repeats=3)
    print(f"10 fits without one fold each against ARDRegression, n=1e5, p=200: {ratio(times, 0, 1)}")


def bench_stlsq():
    """Given the library matrix (n, p), which both would have to evaluate."""
    from pysindy.optimizers import STLSQ

    X, Y, _ = sparse_data(10**5, 56, 0.01, n_targets=3)
    thresholds = np.geomspace(0.01, 1, 20)

    def one():
        sums = gram(X, Y)
        return stlsq(sums.G, sums.R, threshold=0.1, ridge=0.05)

    def path():
        sums = gram(X, Y)
        return threshold_path(sums.G, sums.R, thresholds, ridge=0.05)

    times = cpu_times(one, lambda: STLSQ(threshold=0.1, alpha=0.05).fit(X, Y))
    paths = cpu_times(path, lambda: [STLSQ(threshold=t, alpha=0.05).fit(X, Y) for t in thresholds], repeats=3)
    difference = np.abs(one() - STLSQ(threshold=0.1, alpha=0.05).fit(X, Y).coef_.T).max()
    print("stlsq against pysindy STLSQ, n=1e5, p=56, 3 targets, library matrix given:")
    print(f"  one threshold {ratio(times, 0, 1)}, path of 20 {ratio(paths, 0, 1)}, difference {difference:.0e}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("Ratios of CPU times, of medians [of the fastest calls]")
    bench_ard()
    bench_cross_validation()
    bench_stlsq()
