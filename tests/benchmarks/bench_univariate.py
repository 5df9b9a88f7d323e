"""`AutoDynamics` on the univariate dysts benchmark, beside the published N-BEATS.

Not a test: run it by hand, ``OMP_NUM_THREADS=1 CHAOSFIT_DATA=FOLDER python tests/benchmarks/bench_univariate.py
--granularity 100 --noise 0.2 --out scores.csv``. FOLDER holds dysts-data/univariate.npz and
dysts-published/univariate_smape.csv. A system that stands in the output file already is not run again.

Protocol of Gilpin (2021), arXiv:2110.05266: the method is fitted to the first 10 of 12 periods of the test
trajectory and forecasts the other two; the last point is not scored. Two columns: methods chosen on the independent
train trajectory and refitted to the context, or chosen on the context alone. The published noise has no seed; here
it is drawn anew, and the published scores with noise belong to another draw.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from chaosfit.methods.ensemble.auto_dynamics import AutoDynamics

COLUMNS = ("train", "context")


def published(folder: Path, granularity: int, noise: float) -> dict[str, float]:
    """Return the sMAPE of N-BEATS by system."""
    with (folder / "dysts-published" / "univariate_smape.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (int(r["granularity"]), float(r["noise"])) == (granularity, noise)]
    return {row["system"]: float(row["NBEATS"]) for row in rows if row["NBEATS"]}


def smape(truth: np.ndarray, forecast: np.ndarray) -> float:
    """Return the sMAPE of 0..200; a forecast that is not finite is as wrong as can be."""
    terms = 200 * np.abs(truth - forecast) / (np.abs(truth) + np.abs(forecast))
    return float(np.nan_to_num(terms, nan=200.0).mean())


def forecast(column: str, train: np.ndarray, context: np.ndarray, n_steps: int, budget: float) -> np.ndarray:
    """Choose on one of the two series, forecast what follows the context."""
    if column == "context":
        return AutoDynamics(budget=budget, random_state=0).fit(context).forecast(n_steps)[:, 0]
    return AutoDynamics(budget=budget, random_state=0).fit(train).refit(context).forecast(n_steps)[:, 0]


def run_system(train, test, noise: float, budget: float, rng) -> dict[str, float]:
    """Score both columns and take their CPU time."""
    train, test = (x + noise * x.std() * rng.standard_normal(len(x)) for x in (train, test))
    n_context = len(test) * 5 // 6
    truth = test[n_context:-1]
    row = {}
    for column in COLUMNS:
        start = time.process_time()
        path = forecast(column, train[:, None], test[:n_context, None], len(test) - n_context, budget)
        row[f"{column}_seconds"] = time.process_time() - start
        row[column] = smape(truth, path[: len(truth)])
    return row


def summary(rows: list[dict], reference: str = "NBEATS") -> str:
    """Medians, means, share of systems won and the Wilcoxon p-value."""
    theirs = np.array([float(row[reference]) for row in rows])
    lines = [f"{len(rows)} systems; N-BEATS median {np.median(theirs):.2f}, mean {theirs.mean():.2f}"]
    for column in COLUMNS:
        ours = np.array([float(row[column]) for row in rows])
        seconds = np.array([float(row[f"{column}_seconds"]) for row in rows])
        lines.append(
            f"chosen on {column}: median {np.median(ours):.2f}, mean {ours.mean():.2f}, "
            f"better on {np.mean(ours < theirs):.0%}, Wilcoxon p = {wilcoxon(ours, theirs).pvalue:.1e}, "
            f"CPU seconds median {np.median(seconds):.1f}, maximum {seconds.max():.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all systems that are not in the output file yet, then print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--granularity", type=int, choices=(15, 100), default=100)
    parser.add_argument("--noise", type=float, choices=(0.0, 0.2), default=0.0)
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    folder = Path(os.environ["CHAOSFIT_DATA"])
    scores = published(folder, args.granularity, args.noise)
    data = np.load(folder / "dysts-data" / "univariate.npz", allow_pickle=True)
    series = [data[f"{kind}_{args.granularity}"] for kind in ("train", "test")]
    done = set()
    if args.out.exists():
        with args.out.open() as file:
            done = {row["system"] for row in csv.DictReader(file)}
    names = [str(name) for name in data["systems"]]
    with args.out.open("a") as file:
        fields = ["system", "NBEATS", *COLUMNS, *(f"{column}_seconds" for column in COLUMNS)]
        writer = csv.DictWriter(file, fields)
        if not done:
            writer.writeheader()
        # A stride coprime with their number, so that an interrupted run is no alphabetical selection.
        for i in sorted(range(len(names)), key=lambda i: 29 * i % len(names)):
            if names[i] in scores and names[i] not in done:
                rng = np.random.default_rng(i)
                row = run_system(series[0][i], series[1][i], args.noise, args.budget, rng)
                writer.writerow({"system": names[i], "NBEATS": scores[names[i]], **row})
                file.flush()
    with args.out.open() as file:
        print(summary(list(csv.DictReader(file))))


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)  # a diverging member is part of the game
    main()
