"""Measure the Lyapunov spectra of all systems and write them to ``chaosfit/systems/lyapunov.csv``.

Not a test: run it by hand, ``OMP_NUM_THREADS=1 python tests/benchmarks/lyapunov_table.py [NAME ...] [--seconds 5]``,
with numba and dysts installed; about twenty minutes of one core for all. Named systems replace their rows, the others
stay.

Every system follows independent trajectories after its transient, from random starts or, where these do not all end
on one attractor, from states far apart on the trajectory from the documented start; shorter ones if some escape. The
interval between two orthonormalisations is half a period, less where the exponents spread so far that the last vectors
would drown in rounding. A system counts as chaotic if its largest exponent exceeds three standard errors and three
times the spurious exponent log(number of periods) / time of a growth that is only linear, as in regular motion; and if
a flow has an exponent near zero, which it lacks where trajectories settle at rest.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np

from chaosfit import registry
from chaosfit.bridges.dysts import DystsSystem, dysts_names
from chaosfit.systems.delays import DelayFlow
from chaosfit.systems.invariants import fingerprint
from chaosfit.systems.pdes import KuramotoSivashinsky
from chaosfit.systems.system import Flow, Map, System
from chaosfit.systems.tangent import lyapunov_spectrum

TABLE = Path(__file__).parents[2] / "chaosfit" / "systems" / "lyapunov.csv"
HEADER = ["system", "kind", "dim", "parameters", "chaotic", "lyapunov_exponent", "standard_error"]
HEADER += ["kaplan_yorke_dimension", "duration", "exponents", "standard_errors"]
# Ratio of the first to the last vector at which they are orthonormalised: exp of this.
MAX_SPREAD = 12.0
# Systems with published exponents, and slowly converging ones, get a multiple of the time.
LONGER = {"rossler": 6, "lorenz63": 4, "lorenz96": 12, "henon": 4, "kuramoto_sivashinsky": 40, "Rossler": 4}
N_EXPONENTS = {"kuramoto_sivashinsky": 10, "two_scale_lorenz96": 1}
# Flows with several attractors, slow transients or narrow basins: starts beside the documented one may end elsewhere.
DOCUMENTED = {"DequanLi", "GlycolyticOscillation", "IsothermalChemical", "LiuChen", "PanXuZhou", "PehlivanWei"}
DOCUMENTED |= {"SprottJerk", "SprottQ", "WindmiReduced"}


def systems() -> dict[str, System]:
    """All systems by name; flows of dysts integrated by compiled code."""
    own = {name: registry.make(name, group="systems") for name in registry.names("systems")}
    own["kuramoto_sivashinsky"] = KuramotoSivashinsky(n_points=32, max_step=0.25)
    dysts = {name: DystsSystem(name, backend="numba") for name in dysts_names("flow")}
    return own | dysts | {name: DystsSystem(name) for kind in ("map", "delay") for name in dysts_names(kind)}


def setting(name: str, system: System) -> tuple[str, int, int, float]:
    """Kind, number of exponents, number of trajectories and first guess of the interval."""
    if isinstance(system, Flow):
        n_trajectories = 16 if system.dim < 100 else 4
        return "flow", N_EXPONENTS.get(name, system.dim), n_trajectories, 10.0 * system.dt
    if isinstance(system, Map):
        return "map", system.dim, 64, 1.0
    if isinstance(system, DelayFlow):
        return "delay", 15, 64, system.tau
    return "pde", N_EXPONENTS[name], 16, 2.0


def measure(name: str, system: System, seconds: float) -> dict[str, object]:
    """One row of the table."""
    kind, k, n_trajectories, interval = setting(name, system)
    options = {"n_trajectories": n_trajectories, "random_state": 0}
    if kind != "delay":
        options["x0"] = starts(name, system, n_trajectories)
    if kind == "flow":
        rates = lyapunov_spectrum(system, k, n_steps=60, dt=interval, **options).exponents
        interval = min(5.0 * interval, MAX_SPREAD / max(rates[0] - rates[-1], 1e-9))
    start = time.process_time()
    lyapunov_spectrum(system, k, n_steps=30, dt=interval, **options)
    per_step = (time.process_time() - start) / 50
    n_steps, found = max(200, int(seconds * LONGER.get(name, 1) / per_step / 1.1)), None
    while found is None:
        try:
            found = lyapunov_spectrum(system, k, n_steps=n_steps, dt=interval, **options)
        except ValueError:
            if n_steps < 20:
                raise
            n_steps //= 2
    span = n_steps * interval
    period = getattr(system, "period", 100.0 * system.dt) if kind == "flow" else interval
    linear_growth = np.log(max(span / period, 2.0)) / span
    largest, error = found.exponents[0], found.standard_errors[0]
    settles = kind == "flow" and k == system.dim and np.abs(found.exponents).min() > 0.25 * largest
    dimension = found.kaplan_yorke_dimension
    return {
        "system": name,
        "kind": kind,
        "dim": system.dim,
        "parameters": fingerprint(system.parameters if name[0].isupper() else physical(system)),
        "chaotic": "yes" if largest > 3.0 * max(error, linear_growth) and not settles else "no",
        "lyapunov_exponent": f"{largest:.5g}",
        "standard_error": f"{error:.2g}",
        "kaplan_yorke_dimension": "" if np.isnan(dimension) else f"{dimension:.4f}",
        "duration": f"{span * n_trajectories:.4g}",
        "exponents": " ".join(f"{v:.6g}" for v in found.exponents),
        "standard_errors": " ".join(f"{v:.2g}" for v in found.standard_errors),
    }


def starts(name: str, system: System, n_trajectories: int) -> np.ndarray:
    """States on the attractor, (n_trajectories, dim)."""
    if name not in DOCUMENTED:
        return system.simulate(1, n_trajectories=n_trajectories, random_state=0)[:, 0]
    apart = 20.0 * getattr(system, "period", 100.0 * system.dt)
    return system.simulate(n_trajectories, x0=system.initial_state, dt=apart, transient=apart)


def physical(system: System) -> dict[str, object]:
    """Parameters that are not a matter of accuracy."""
    return {key: value for key, value in system.parameters.items() if key not in system.numerical_parameters}


def main() -> None:
    """Measure and write after every system."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=5.0, help="CPU seconds per system")
    arguments = parser.parse_args()
    with TABLE.open(newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    known = systems()
    for name in arguments.names or known:
        start = time.process_time()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                row = measure(name, known[name], arguments.seconds)
            except ValueError as error:
                print(f"{name:24s} failed: {error}", flush=True)
                continue
        rows[name] = row
        shown = f"{row['lyapunov_exponent']:>10} +- {row['standard_error']:8} chaotic {row['chaotic']:3}"
        print(f"{name:24s} {shown} {time.process_time() - start:6.1f} s", flush=True)
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, HEADER, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[key] for key in sorted(rows, key=lambda key: (key.lower(), key)))


if __name__ == "__main__":
    main()
