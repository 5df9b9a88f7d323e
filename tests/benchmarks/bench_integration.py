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

import numpy as np

from chaosfit.bridges.dysts import DystsSystem
from chaosfit.numerics.compiled import is_compiled
from chaosfit.numerics.trace import Tape
from chaosfit.systems.integrate import integrate

try:
    import heyoka
except ImportError:
    heyoka = None

SYSTEMS = ["Lorenz", "Rossler", "Thomas", "HyperRossler", "Halvorsen", "Lorenz96", "DoublePendulum", "ForcedVanDerPol"]
SYSTEMS += ["Chua"]
N_POINTS, N_DYSTS, TOLERANCE = 1000, 20, 1e-10


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def reference(system: DystsSystem, t: np.ndarray) -> np.ndarray:
    kinks = any(operation.name == "sign" for operation in system.tape.operations)
    if heyoka is None or kinks:  # heyoka would step over a kink
        return integrate(system, system.initial_state, t, rtol=1e-16, backend="taylor")
    names = [f"x{i}" for i in range(system.dim)]
    right_hand_sides = expressions(system.tape, heyoka.make_vars(*names))
    equations = list(zip(heyoka.make_vars(*names), right_hand_sides, strict=True))
    solver = heyoka.taylor_adaptive(equations, list(system.initial_state), tol=1e-18)
    return solver.propagate_grid(list(t))[5]


def expressions(tape: Tape, variables: list) -> list:
    binary = {"add": "__add__", "subtract": "__sub__", "multiply": "__mul__", "divide": "__truediv__"}
    values = [*variables, heyoka.time]
    for op in tape.operations[len(values) :]:
        a, b = (values[i] if 0 <= i < len(values) else None for i in (op.a, op.b))
        if op.name in binary:
            values.append(getattr(a, binary[op.name])(b))
        elif op.name in ("shift", "scale", "power"):
            values.append({"shift": a + op.value, "scale": a * op.value, "power": a**op.value}[op.name])
        elif op.name in ("constant", "inverse"):
            values.append(heyoka.expression(op.value) if op.name == "constant" else 1.0 / a)
        else:
            values.append(getattr(heyoka, op.name)(a))
    return [values[i] for i in tape.outputs]


def main() -> None:
    warnings.simplefilter("ignore")
    import dysts.flows

    backends = ["taylor", "dop853"] + (["numba"] if is_compiled else [])
    print("system            dysts s  " + "  ".join(f"{name:>8} s    gain    error" for name in backends))
    gains = []
    for name in SYSTEMS:
        system, model = DystsSystem(name), getattr(dysts.flows, name)()
        t = system.dt * np.arange(N_POINTS)
        exact = reference(system, t[:201])
        solve = functools.partial(integrate, system, system.initial_state, t, rtol=TOLERANCE)
        calls = [functools.partial(model.make_trajectory, N_DYSTS, pts_per_period=100)]
        calls += [functools.partial(solve, backend=backend) for backend in backends]
        theirs, *ours = np.min([[seconds(call) for call in calls] for _ in range(5)], axis=0)
        theirs *= N_POINTS / N_DYSTS
        cells = []
        for backend, own in zip(backends, ours, strict=True):
            error = np.abs(solve(backend=backend)[:201] - exact) / np.abs(exact).max(axis=0)
            cells.append((own, theirs / own, error.max()))
        gains.append([gain for _, gain, _ in cells])
        print(
            f"{name:16s} {theirs:8.2f}  " + "  ".join(f"{s:10.5f} {g:7.0f} {e:8.1e}" for s, g, e in cells), flush=True
        )
    print(f"least gain: {dict(zip(backends, np.min(gains, axis=0).round(), strict=True))}")
    print(f"median gain: {dict(zip(backends, np.median(gains, axis=0).round(), strict=True))}")


if __name__ == "__main__":
    main()
