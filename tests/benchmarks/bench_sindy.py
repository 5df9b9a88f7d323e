"""SINDy against pysindy in speed, and against published errors on the polynomial flows of dysts.

Run `python tests/benchmarks/bench_sindy.py [speed] [errors]`; use one BLAS thread (OMP_NUM_THREADS=1). Speeds are
ratios of CPU times in one process; the published errors are those of STLSQ in weak form, Kaptanoglu et al. (2023),
arXiv:2302.10787, in the same setting: 5 trajectories of 1000 points, 100 points per period, library of degree 4.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

from chaosfit import Lorenz63, SINDy
from chaosfit.bridges.dysts import DystsSystem, dysts_names
from chaosfit.numerics.polynomial import monomial_powers, monomials
from chaosfit.numerics.regress import gram, threshold_path

#: Noise as a share of the root mean square of the data: published median error.
PUBLISHED = {0.0: 2.1e-5, 0.001: 1.8e-4, 0.01: 4.0e-3}
PER_PERIOD, N_TRAJECTORIES, N_ROWS, DEGREE = 100, 5, 1000, 4


def cpu_time(function, repeats=3):
    """Fastest of a few calls."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def pysindy_fit(X, dt, degree, threshold=0.1):
    import pysindy

    library, optimizer = pysindy.PolynomialLibrary(degree=degree), pysindy.STLSQ(threshold=threshold)
    model = pysindy.SINDy(feature_library=library, optimizer=optimizer)
    model.fit(X, t=dt)
    return model


def our_path(X, dt, degree, thresholds):
    """The library evaluated once, all thresholds on its sums."""
    from chaosfit.numerics.differentiate import finite_difference

    sums = gram(monomials(X, monomial_powers(X.shape[1], range(degree + 1))), finite_difference(X, dt))
    return threshold_path(sums.G, sums.R, thresholds)


def bench_fit():
    X, dt, thresholds = Lorenz63().simulate(100_000, dt=0.002, random_state=0), 0.002, np.geomspace(0.01, 1.0, 20)
    print("fit, n=1e5: pysindy's CPU time over ours")
    plain = {"threshold": 0.1, "derivative": "finite_difference"}
    for degree in (2, 5):

        def ours(degree=degree, **options):
            return SINDy(dt=dt, degree=degree, random_state=0, **options).fit(X)

        def path(degree=degree):
            return our_path(X, dt, degree, thresholds)

        def peers(degree=degree):
            return [pysindy_fit(X, dt, degree, threshold) for threshold in thresholds]

        one, twenty = cpu_time(peers, repeats=2) / len(thresholds), cpu_time(peers, repeats=2)
        print(f"  degree {degree}, one threshold: {one / cpu_time(lambda: ours(**plain, n_models=2)):.1f}")
        print(f"  degree {degree}, one threshold, 20 models: {one / cpu_time(lambda: ours(**plain)):.1f}")
        print(f"  degree {degree}, path of 20 thresholds: {twenty / cpu_time(path):.0f}")
        print(f"  degree {degree}, default fit (all choices) over 20 fits: {twenty / cpu_time(ours):.1f}")


def bench_forecast(n_steps=10_000, dt=0.002, n_starts=20):
    X = Lorenz63().simulate(10_000, dt=dt, random_state=0)
    ours = SINDy(dt=dt, threshold=0.1, derivative="finite_difference").fit(X)
    ours._tolerance = 1e-12
    peer, t = pysindy_fit(X, dt, 2), dt * np.arange(n_steps)
    tolerances = {"method": "LSODA", "rtol": 1e-12, "atol": 1e-12}
    slow = cpu_time(lambda: peer.simulate(X[0], t, integrator="solve_ivp", integrator_kws=tolerances), repeats=2)
    one = cpu_time(lambda: ours.forecast(n_steps - 1, X[:1]))
    many = cpu_time(lambda: ours.forecast(n_steps - 1, X[: 400 * n_starts : 400, None]))
    print(f"forecast of {n_steps} points at tolerance 1e-12: pysindy's CPU time {slow:.1f} s over ours")
    print(
        f"  one start: {slow / one:.0f}; {n_starts} starts, one after another in pysindy: {n_starts * slow / many:.0f}"
    )


def exact_coefficients(system, X):
    """Coefficients (p, d) of a polynomial right-hand side of degree 4 at most, or None if it is none."""
    powers = monomial_powers(X.shape[1], range(DEGREE + 1))
    A, b = monomials(X, powers), system.rhs(X)
    scale = np.sqrt((A**2).mean(axis=0))
    Xi = np.zeros((len(powers), X.shape[1]))
    for target in range(X.shape[1]):
        index = np.arange(len(powers))
        for _ in range(20):
            coef = np.linalg.lstsq(A[:, index] / scale[index], b[:, target], rcond=1e-14)[0]
            large = np.abs(coef) > 1e-6 * b[:, target].std()
            if large.all():
                break
            index = index[large]
        Xi[index, target] = coef / scale[index]
    return Xi if np.abs(A @ Xi - b).max() < 1e-9 * np.abs(b).max() else None


def flow(name):
    """Trajectories (5, 1000, d), the interval and the exact coefficients of a polynomial flow, or None."""
    system = DystsSystem(name)
    if system.dim > 5:
        return None
    dt = system.period / PER_PERIOD
    attractor = system.simulate(2 * N_TRAJECTORIES, dt=4 * system.period, random_state=0)
    starts = attractor[-N_TRAJECTORIES:]
    X = system.simulate(N_ROWS, dt=dt, x0=starts, transient=0.0)
    if not np.isfinite(X).all():
        return None
    Xi = exact_coefficients(system, X.reshape(-1, system.dim))
    return None if Xi is None else (X, dt, Xi)


def relative_error(X, dt, Xi, noise, seed=0):
    rng = np.random.default_rng(seed)
    noisy = X + noise * np.sqrt((X**2).mean()) * rng.standard_normal(X.shape)
    rows, ids = noisy.reshape(-1, X.shape[2]), np.repeat(np.arange(len(X)), X.shape[1])
    model = SINDy(dt=dt, degree=DEGREE, n_models=2, random_state=0).fit(rows, trajectory_id=ids)
    return np.linalg.norm(model.coef_.T - Xi, 2) / np.linalg.norm(Xi, 2), bool(
        ((model.coef_.T != 0) == (Xi != 0)).all()
    )


def bench_errors(n_systems=None):
    """All polynomial flows in the order of the alphabet, at most `n_systems`."""
    results = {noise: [] for noise in PUBLISHED}
    for name in dysts_names():
        try:
            data = flow(name)
        except (RuntimeError, ValueError, TypeError, FloatingPointError) as error:
            print(f"{name}: left out, {type(error).__name__}")
            continue
        if data is None:
            continue
        for noise, rows in results.items():
            rows.append(relative_error(*data, noise))
        print(f"{name:24s}" + "".join(f"  {rows[-1][0]:.1e}{'*' if rows[-1][1] else ' '}" for rows in results.values()))
        if len(results[0.0]) == n_systems:
            break
    for noise, rows in results.items():
        errors, exact = np.array(rows).T
        print(
            f"noise {noise:.1%}: median {np.median(errors):.1e} (published {PUBLISHED[noise]:.1e}), below 10 %: "
            f"{(errors < 0.1).mean():.0%}, exact support: {exact.mean():.0%} of {len(rows)}"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    chosen = sys.argv[1:] or ["speed", "errors"]
    if "speed" in chosen:
        bench_fit()
        bench_forecast()
    if "errors" in chosen:
        bench_errors()
