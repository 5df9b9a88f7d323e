"""What a run of a suite found: records become arrays (n_systems, n_methods), one set for every setting."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chaosfit.benchmark import statistics
from chaosfit.benchmark.pairs import is_reconstruction
from chaosfit.benchmark.recorded import Published
from chaosfit.benchmark.records import FILE_NAME, read_records
from chaosfit.benchmark.runner import SUITE_NAME
from chaosfit.benchmark.suite import Suite, load_suite
from chaosfit.report.ctf import beside_published, board_text, make_board
from chaosfit.report.table import count, one_line, show, show_seconds

# The worst value of every score: a failure counts, it is never left out.
_WORST = {"valid_time": 0.0, "nrmse": np.inf, "smape": 200.0, "d_stsp": np.inf}
_COSTS = ("fit_cpu_seconds", "forecast_cpu_seconds")
#: Settings of a suite that may differ within a run, with their text.
_SETTINGS = {"n_train": "{} training rows", "noise": "noise {:g}", "chosen_on": "methods choose on the {} trajectory"}
_CHOICES = {"context": "scored", "train": "training"}


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """Scores of all methods on all systems in one setting of a suite.

    Attributes
    ----------
    label : str
        What distinguishes the setting, such as "noise 0.05".
    systems, methods : list of str
        Methods in the order of rank.
    families : list of str
        One per system.
    scores : dict of str to ndarray of shape (n_systems, n_methods)
        "valid_time", "nrmse", "smape", "d_stsp" and CPU seconds: medians over seeds and starts.
    failures : ndarray of shape (n_methods,)
        Share of forecasts that failed or diverged.
    records : list of dict
    left_out : list of str
        Systems that some method has not been run on yet.
    published : DataFrame or None
        Published scores beside those of the methods here, on the systems that have both, the best median first.
        Columns: published (bool), median, mean, better: the share of systems with a better score than the first
        published model, which is NaN unless the rows are the same.
    unit : str
        Of valid time: "Lyapunov times" or "rows".
    ctf : DataFrame or None
        Of a suite of the Common Task Framework: the scores E1..E12, see `chaosfit.report.ctf.make_board`. The systems
        above are then the pairs that ask for a forecast.
    """

    label: str
    systems: list[str]
    methods: list[str]
    families: list[str]
    scores: dict[str, np.ndarray]
    failures: np.ndarray
    records: list[dict[str, Any]] = dataclasses.field(repr=False)
    left_out: list[str]
    published: pd.DataFrame | None = None
    unit: str = "Lyapunov times"
    ctf: pd.DataFrame | None = None

    @functools.cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row per method, the best mean rank of valid time first.

        Columns: valid_time with its bootstrap interval low, high; the interval family_low, family_high where
        families are resampled; won, the share of systems; rank; nrmse, smape, d_stsp: medians over systems;
        shift: Hodges-Lehmann estimate of what is lacking to the first method, pvalue: of that difference
        (Wilcoxon, Holm over all pairs); fit_cpu_seconds, forecast_cpu_seconds: medians; failures.
        """
        valid = self.scores["valid_time"]
        median, low, high = statistics.bootstrap_median(valid)
        _, family_low, family_high = statistics.bootstrap_median(valid, families=self.families)
        columns = {
            "valid_time": median,
            "low": low,
            "high": high,
            "family_low": family_low,
            "family_high": family_high,
            "won": statistics.share_won(valid),
            "rank": statistics.average_ranks(valid),
            **{name: np.median(self.scores[name], axis=0) for name in ("nrmse", "smape", "d_stsp", *_COSTS)},
            "shift": [statistics.hodges_lehmann(column - valid[:, 0]) for column in valid.T],
            "pvalue": statistics.wilcoxon_holm(valid)[0],
            "failures": self.failures,
        }
        return pd.DataFrame(columns, index=pd.Index(self.methods, name="method"))

    @functools.cached_property
    def friedman(self) -> statistics.Friedman | None:
        """Friedman's test with Nemenyi's critical difference; None for too few methods or systems."""
        if len(self.methods) < 3 or len(self.systems) < 2:
            return None
        return statistics.friedman_nemenyi(self.scores["valid_time"])

    def leaderboard_text(self) -> tuple[Sequence[str], list[list[str]]]:
        """Head and rows of the leaderboard for a terminal."""
        if self.ctf is not None:
            return board_text(self.ctf)
        head = ["method", "valid time", "95 %", "won", "rank", "nRMSE", "sMAPE", "D_stsp", "fit s", "failures"]
        rows = [
            [
                str(method),
                show(row["valid_time"]),
                show_interval(row["low"], row["high"]),
                f"{row['won']:.0%}",
                show(row["rank"], 1),
                show(row["nrmse"], 3),
                show(row["smape"], 1),
                show(row["d_stsp"]),
                show_seconds(row["fit_cpu_seconds"]),
                f"{row['failures']:.0%}",
            ]
            for method, row in self.leaderboard.iterrows()
        ]
        return head, rows

    def failure_text(self) -> list[str]:
        """One line for each method of which tasks failed as a whole, with the first reason."""
        lines = []
        for method in self.methods:
            records = [record for record in self.records if record["method"] == method]
            reasons = [record["reason"] for record in records if record["status"] != "ok"]
            if reasons:
                n_tasks = count(len(records), "task")
                lines.append(f"{method} failed in {len(reasons)} of {n_tasks}: {one_line(reasons[0])}")
        return lines

    def published_text(self, source: Published) -> tuple[Sequence[str], list[list[str]]]:
        """Head and rows of the table with published scores for a terminal."""
        assert self.published is not None
        if self.ctf is not None:
            return board_text(self.published)
        head = ["method", "from", f"median {source.score}", "mean", f"better than {source.models[0]}"]
        rows = [
            [
                str(name),
                "published" if row["published"] else "here",
                show(row["median"]),
                show(row["mean"]),
                "–" if np.isnan(row["better"]) else f"{row['better']:.0%}",
            ]
            for name, row in self.published.iterrows()
        ]
        return head, rows


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """All settings of a run.

    Attributes
    ----------
    suite : Suite
    settings : list of Setting
    records : list of dict
    """

    suite: Suite
    settings: list[Setting]
    records: list[dict[str, Any]] = dataclasses.field(repr=False)


def read_results(folder: str | os.PathLike) -> Results:
    """Read the folder of a run, also of one that is still going on.

    Raises
    ------
    ValueError
        If the folder holds no run, or no system that all methods have been run on.
    """
    folder = Path(folder)
    for name in (SUITE_NAME, FILE_NAME):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} holds no run of a suite: there is no {name}. Start one by 'chaosfit run'.")
    suite = load_suite(folder / SUITE_NAME)
    records = _latest(read_records(folder))
    families = {system.name: system.family for system in suite.systems}
    if suite.recording is not None:  # of recorded series there are those that the data folder held
        held = {record["data"]["name"] for record in records}
        families = {name: family for name, family in families.items() if name in held}
    for pair in suite.pairs:
        if is_reconstruction(pair["number"]):  # it has no valid time
            families.pop(f"pair {pair['number']}")
    varying = [key for key in _SETTINGS if isinstance(suite.protocol.get(key), list)]
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(tuple(record["protocol"][key] for key in varying), []).append(record)
    n_seeds = len(np.atleast_1d(suite.protocol["random_state"]))
    settings = []
    for values in sorted(groups):
        chosen = dict(zip(varying, values, strict=True))
        label = ", ".join(_SETTINGS[key].format(_CHOICES.get(value, value)) for key, value in chosen.items())
        setting = _make_setting(label or suite.name, groups[values], families, n_seeds)
        if setting is not None:
            if suite.pairs:
                setting = dataclasses.replace(setting, ctf=make_board(groups[values], n_seeds))
            published = _published(suite, setting, chosen)
            settings.append(dataclasses.replace(setting, published=published, unit=suite.protocol["unit"]))
    if not settings:
        raise ValueError(f"{folder}: there is no system yet that every method has been run on; let the run go on.")
    return Results(suite, settings, records)


def _latest(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a task that was run again, with another version of the method, keep the last record."""
    tasks = {(r["data"]["name"], r["method"], json.dumps(r["protocol"], sort_keys=True)): r for r in records}
    return list(tasks.values())


def _make_setting(label: str, records: list[dict[str, Any]], families: dict[str, str], n_seeds: int) -> Setting | None:
    """Collect one setting over the systems that are complete; None if there is none."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        cells.setdefault((record["data"]["name"], record["method"]), []).append(record)
    methods = list(dict.fromkeys(record["method"] for record in records))
    complete = [name for name in families if all(len(cells.get((name, m), ())) == n_seeds for m in methods)]
    if not complete:
        return None
    names = (*_WORST, *_COSTS)
    scores = {
        name: np.array([[_pool(cells[system, method], name) for method in methods] for system in complete])
        for name in names
    }
    kept = [record for record in records if record["data"]["name"] in complete]
    failures = np.array([_failure_share([r for r in kept if r["method"] == method]) for method in methods])
    order = np.argsort(statistics.average_ranks(scores["valid_time"]), kind="stable")
    return Setting(
        label,
        complete,
        [methods[i] for i in order],
        [families[system] for system in complete],
        {name: values[:, order] for name, values in scores.items()},
        failures[order],
        kept,
        [name for name in families if name not in complete],
    )


def _published(suite: Suite, setting: Setting, chosen: dict[str, Any]) -> pd.DataFrame | None:
    """Published scores and ours on the same systems; None without a data folder, or where they share no system."""
    source = suite.published
    if source is None:
        return None
    if setting.ctf is not None:
        return beside_published(setting.ctf, source)
    try:
        theirs = source.scores(setting.systems, suite.protocol | chosen)
    except FileNotFoundError:
        return None
    systems = [name for name in setting.systems if name in theirs]
    if not systems:
        return None
    ours = setting.scores[source.score][[setting.systems.index(name) for name in systems]]
    values = np.hstack([ours, [list(theirs[name].values()) for name in systems]])
    is_published = np.arange(values.shape[1]) >= ours.shape[1]
    better = (
        (values < values[:, [ours.shape[1]]]).mean(axis=0) if source.identical else np.full(len(is_published), np.nan)
    )
    columns = {
        "published": is_published,
        "median": np.median(values, axis=0),
        "mean": values.mean(axis=0),
        "better": np.where(np.arange(len(better)) == ours.shape[1], np.nan, better),
    }
    table = pd.DataFrame(columns, index=pd.Index([*setting.methods, *source.models], name="method"))
    table.attrs["n_systems"] = len(systems)
    return table.sort_values("median", kind="stable")


def _pool(records: Sequence[dict[str, Any]], name: str) -> float:
    """Median of a score over the starts of each seed, then over the seeds; for costs, over the seeds that ran."""
    ran = [record for record in records if record["status"] == "ok"]
    if name in _COSTS:
        return float(np.median([record[name] for record in ran])) if ran else np.nan
    worst = _WORST[name]
    values = [[worst if value is None else value for value in np.atleast_1d(record[name]).tolist()] for record in ran]
    medians = [_median(each) for each in values] + [worst] * (len(records) - len(ran))
    return _median(medians)


def _median(values: Sequence[float]) -> float:
    """Median whose middle may be infinite."""
    low, high = np.quantile(values, 0.5, method="lower"), np.quantile(values, 0.5, method="higher")
    return float(low if low == high else low / 2 + high / 2)


def _failure_share(records: Sequence[dict[str, Any]]) -> float:
    shares = [r["n_diverged"] / len(r["valid_time"]) if r["status"] == "ok" else 1.0 for r in records]
    return float(np.mean(shares))


def show_interval(low: float, high: float) -> str:
    """An interval as text."""
    return f"{show(low)} … {show(high)}"
