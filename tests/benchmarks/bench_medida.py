"""MEDIDA and the published recipe on the twelve wrong models of its paper; draws the figure of the docs.

Not a test: run it by hand, ``python tests/benchmarks/bench_medida.py [FIGURE.png]``, about half a minute. The published
recipe regresses the error of a Crank-Nicolson step on the terms themselves and drops those below 0.1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "methods" / "discovery"))

import test_medida_kuramoto_sivashinsky as bed

from chaosfit import MEDIDA, FieldModel, FieldTerms

N_SEEDS = 3


def noise_free(states) -> np.ndarray:
    """Print and return the errors of all cases: model, published recipe, MEDIDA with its solver, with a black box."""
    pairs = states, bed.SYSTEM.simulate(2, x0=states, dt=bed.DT)[:, 1]
    rows = []
    print(f"{'':22s} {'model':>8s} {'recipe':>8s} {'black box':>10s} {'MEDIDA':>10s}  terms right")
    for case in bed.CASES:
        wrong = bed.wrong_model(case)
        box = bed.crank_nicolson(wrong)
        found = MEDIDA(FieldModel(bed.LENGTH, wrong, bed.DT), FieldTerms(bed.LENGTH), dt=bed.DT).fit(*pairs)
        try:
            black = MEDIDA(box, FieldTerms(bed.LENGTH), dt=bed.DT).fit(*pairs).coef_
        except ValueError:  # terms alone, beside a black box, can be ill-posed: -u_xxxx with the sign turned is
            black = np.full(24, np.nan)
        coefs = [np.zeros(24), bed.published_recipe(box, *pairs), black, found.coef_]
        errors, right = zip(*(bed.error(case, coef) for coef in coefs), strict=True)
        rows.append(errors)
        model, recipe, box_error, own = 100 * np.array(errors)
        print(f"{case:22s} {model:7.1f}% {recipe:7.2f}% {box_error:9.4f}% {own:9.6f}%  {right[1:]}")
    return np.array(rows)


def with_noise(states) -> None:
    """Print the errors with noise, the median and largest of several seeds."""
    print("\nnoise, interval, case: recipe, MEDIDA (median, largest)")
    for noise, dt in ((0.01, 0.05), (0.05, 0.1)):
        for case in list(bed.CASES)[:3]:
            recipe, found = [], []
            for seed in range(N_SEEDS):
                short = bed.noisy_pairs(states, bed.DT, noise, seed)
                recipe.append(
                    bed.error(case, bed.published_recipe(bed.crank_nicolson(bed.wrong_model(case)), *short))[0]
                )
                found.append(bed.error(case, bed.fitted_to_noise(states, case, dt, noise, seed).coef_)[0])
            errors = 100 * np.array([np.median(recipe), np.median(found), max(found)])
            print(f"{noise} {dt} {case:12s} {errors[0]:7.1f}% {errors[1]:7.3f}% {errors[2]:7.3f}%")


def forecasts(states, dt: float = 0.05, n_steps: int = 2000) -> dict:
    """Print how long forecasts from a fresh state are good; return their errors over time."""
    truth = bed.KuramotoSivashinsky(length=bed.LENGTH, n_points=1024).simulate(n_steps + 1, x0=states[-1:], dt=dt)[
        0, 1:
    ]
    curves = {}
    for case in list(bed.CASES)[:3]:
        model = bed.fitted_to_noise(states[:-1], case, dt, 0.01, 0)
        paths = []
        for step in (model.model, model.predict):
            u, path = states[-1:], []
            for _ in range(n_steps):
                u = step(u) if np.abs(u).max() < 1e3 else u
                path.append(u[0])
            paths.append(np.sqrt(np.mean((np.array(path) - truth) ** 2, axis=1)) / states.std())
        curves[case] = paths
        times = [dt * (np.argmin(e <= 0.1) if (e > 0.1).any() else n_steps) for e in paths]
        print(f"forecast {case}: {times[0]:.2f} with the model, {times[1]:.2f} corrected")
    return curves


def draw(errors: np.ndarray, curves: dict, path: str, dt: float = 0.05) -> None:
    """Draw the errors of the equations, and of forecasts."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=[1.25, 1])
    rows = np.arange(len(errors))
    for values, label, marker in zip(
        errors.T, ["model", "published recipe", "MEDIDA, black box", "MEDIDA"], "ov^s", strict=True
    ):
        left.semilogx(values, rows, marker, label=label)
    left.set(xlabel="relative error of the equation", yticks=rows, yticklabels=bed.CASES)
    left.invert_yaxis()
    left.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=4)
    left.axvline(1e-4, color="gray", ls=":")
    times = dt * np.arange(1, 1 + len(next(iter(curves.values()))[0]))
    for color, (case, (model, corrected)) in enumerate(curves.items()):
        right.semilogy(times, model, "--", color=f"C{color}")
        right.semilogy(times, corrected, color=f"C{color}", label=case)
    right.axhline(0.1, color="gray", ls=":")
    right.set(xlabel="time", ylabel="error of the forecast / standard deviation", xlim=(0, 100), ylim=(1e-4, 3))
    right.legend(title="1 % of noise; dashed: model", fontsize="small", title_fontsize="small")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print all, and draw if a path is given."""
    states = bed.fields_of_the_attractor()
    errors = noise_free(states)
    with_noise(states)
    curves = forecasts(states)
    if len(sys.argv) > 1:
        draw(errors, curves, sys.argv[1])


if __name__ == "__main__":
    main()
