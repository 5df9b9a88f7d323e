"""Integration against dysts' make_trajectory: 1000 points at 100 per period from the documented start, tolerance 1e-10.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_integration.py

Needs dysts, whose time is extrapolated from its first 20 points; with numba, dysts and the compiled back end use it.
Prints seconds, gains, and the largest error within two periods relative to the size of every variable. The reference is
the Taylor integrator heyoka at full double precision where it is installed, else chaosfit's own at that precision.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from chaosfit.bridges.dysts import DystsSystem
from chaosfit.numerics.compiled import is_compiled
from chaosfit.systems.integrate import integrate

HAS_HEYOKA = find_spec("heyoka") is not None
SYSTEMS = ["Lorenz", "Rossler", "Thomas", "HyperRossler", "Halvorsen", "Lorenz96", "DoublePendulum", "ForcedVanDerPol"]
SYSTEMS += ["Chua"]
N_POINTS, N_DYSTS, TOLERANCE = 1000, 20, 1e-10


def seconds(call: Callable[[], object]) -> float:
    """Least time of three calls, the first of which finds the caches of the processor cold; one if it is long."""
    best, deadline = np.inf, time.perf_counter() + 0.05
    for _ in range(3):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > deadline:
            break
    return best


def backends(system: DystsSystem) -> list[str]:
    kinks = any(operation.name == "sign" for operation in system.tape.operations)
    return ["dop853", "taylor"] + ["numba"] * is_compiled + ["heyoka"] * (HAS_HEYOKA and not kinks)


def main() -> None:
    warnings.simplefilter("ignore")
    import dysts.flows

    gains: dict[str, list[float]] = {}
    for name in SYSTEMS:
        system, model = DystsSystem(name), getattr(dysts.flows, name)()
        t, known = system.dt * np.arange(N_POINTS), backends(system)
        solve = functools.partial(integrate, system, system.initial_state, t, rtol=TOLERANCE)
        exact = solve(rtol=1e-16, backend="heyoka" if "heyoka" in known else "taylor")[:201]
        calls = [functools.partial(model.make_trajectory, N_DYSTS, pts_per_period=100)]
        calls += [functools.partial(solve, backend=backend) for backend in known]
        solutions = [call() for call in calls[1:]]  # compiles
        theirs, *ours = np.min([[seconds(call) for call in calls] for _ in range(5)], axis=0)
        theirs *= N_POINTS / N_DYSTS
        print(f"{name}: dysts {theirs:.3g} s")
        for backend, own, x in zip(known, ours, solutions, strict=True):
            error = (np.abs(x[:201] - exact) / np.abs(exact).max(axis=0)).max()
            gains.setdefault(backend, []).append(theirs / own)
            print(f"    {backend:8} {own:8.5f} s, gain {theirs / own:6.0f}, error {error:.1e}", flush=True)
    for backend, each in gains.items():
        print(f"{backend}: gain at least {min(each):.0f}, median {np.median(each):.0f} on {len(each)} systems")


if __name__ == "__main__":
    main()
