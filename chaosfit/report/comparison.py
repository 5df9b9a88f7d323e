"""The main job: which method forecasts these data best, and how far ahead."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from chaosfit.benchmark.data import Dataset
from chaosfit.benchmark.methods import resolve_methods
from chaosfit.benchmark.protocol import Protocol, prepare_data, split
from chaosfit.benchmark.records import RecordFile
from chaosfit.benchmark.runner import SUITE_NAME, run_tasks
from chaosfit.benchmark.task import Task, climate_distance
from chaosfit.report.table import count, format_table, make_table, one_line, show_valid_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What is compared when nobody says what: the baselines that every method must beat, and cheap good methods.
DEFAULT_METHODS = (
    "persistence",
    "climatology",
    "context_parroting",
    "linear_autoregression",
    "local_analogues",
    "ngrc",
    "reservoir_computer",
    "sindy",
)
PAGE_NAME = "comparison.html"


def compare(
    data: Any,
    methods: Sequence[str | BaseEstimator] | Mapping[str, BaseEstimator] | None = None,
    *,
    dt: float | None = None,
    lyapunov_exponent: float | None = None,
    columns: Sequence[str | int] | None = None,
    time_column: str | int | None = None,
    n_train: int | None = None,
    n_starts: int = 20,
    horizon: int | None = None,
    noise: float = 0.0,
    random_state: int = 0,
    n_jobs: int = 1,
    out: str | os.PathLike | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Fit methods on the first part of the data, forecast from many later starts, and rank them.

    Every method gets the same training rows, the same context before each start, and raw data; none sees
    a row that it is asked for. A method that fails is a row with its reason.

    Parameters
    ----------
    data : array-like of shape (n, d), DataFrame, path, name of a system, or system
        Rows are consecutive, equally spaced times. Files: CSV, TSV, text, Parquet, .npy, .npz. A name is one
        of `chaosfit list --group systems` or of the flows in the installed dysts.
    methods : sequence of names or estimators, or mapping of label to name or estimator, optional
        Names are those of `chaosfit list`. Default: `DEFAULT_METHODS`.
    dt : float, optional
        Time between two rows. Default: from the time column or the index of a DataFrame. It is handed to every method
        with a parameter `dt` that still has its default.
    lyapunov_exponent : float, optional
        Largest exponent per unit of time (per row without `dt`). Default: the system's, else estimated from
        the training rows; where that fails, times are in steps.
    columns, time_column : optional
        Columns to forecast and the column that holds the time, by name or number.
    n_train : int, optional
        Training rows. Default: 5000, or 60 percent of given rows but at most 20000.
    n_starts : int, default=20
    horizon : int, optional
        Steps of each forecast. Default: 15 Lyapunov times, at most 2000 steps and a quarter of the later part.
    noise : float, default=0
        Noise on training rows and contexts, in standard deviations; the truth stays clean.
    random_state : int, default=0
        Seed of simulation and noise, and of every method that has a `random_state` and leaves it None.
    n_jobs : int, default=1
        Methods that run at a time; where they run is up to `joblib.parallel_config`.
    out : path, optional
        Folder that receives the records as they come and the page at the end; those of an earlier comparison
        there are replaced. If the page cannot be made, the result says so in `page_problem`.
    progress : bool, optional
        A progress bar on stderr, and a line before a long simulation; default: only in a terminal.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> import chaosfit
    >>> result = chaosfit.compare("lorenz63", ["persistence", "ngrc"], n_train=2000, n_starts=5, horizon=200)
    >>> result.table.index[0]
    'ngrc'
    """
    chosen = resolve_methods(DEFAULT_METHODS if methods is None else methods)
    _check_counts(n_train=n_train, n_starts=n_starts, horizon=horizon, n_jobs=n_jobs)
    if not isinstance(noise, numbers.Real) or not 0 <= noise < np.inf:
        raise ValueError(f"noise must be a finite number >= 0, got {noise!r}.")
    # One number decides everything that is random; noise that differs between methods would compare nothing.
    if not isinstance(random_state, numbers.Integral) or random_state < 0:
        raise ValueError(f"random_state must be an integer >= 0, got {random_state!r}.")
    dataset, protocol = prepare_data(
        data,
        dt=dt,
        lyapunov_exponent=lyapunov_exponent,
        columns=columns,
        time_column=time_column,
        n_train=n_train,
        n_starts=n_starts,
        horizon=horizon,
        noise=noise,
        random_state=random_state,
        progress=progress,
    )
    # Only now, so that a slip in the arguments leaves no folder behind; still before any method runs.
    writer = None if out is None else _open_records(out)
    tasks = [Task(label, estimator, dataset, protocol) for label, estimator in chosen.items()]
    try:
        records = list(run_tasks(tasks, writer, n_jobs=n_jobs, keep_forecasts=True, progress=progress))
    finally:
        if writer is not None:
            writer.close()
    comparison = Comparison(dataset, protocol, records)
    if out is not None:
        comparison.page_problem = _try_page(comparison, Path(out) / PAGE_NAME)
    return comparison


class Comparison:
    """What `compare` found: `table`, `plot`, `to_html`, and everything they are made of.

    Attributes
    ----------
    data : Dataset
    protocol : Protocol
    parts : Split
        Training rows, contexts and truth.
    records : list of dict
        One per method, as written to the records file.
    forecasts : dict of str to ndarray of shape (n_starts, horizon, d)
    equations : dict of str to list of str
    table : DataFrame
        One row per method, the best first; columns as in `chaosfit.report.table.make_table`.
    ranking : list of str
        Methods that did not fail, the longest valid time first.
    unit : str
        "Lyapunov times" or "steps".
    time : ndarray of shape (horizon,)
        Time of each forecast step after the start, in `unit`.
    page_problem : str
        Why `compare` could not write the page; empty if nothing went wrong.
    """

    def __init__(self, data: Dataset, protocol: Protocol, records: Sequence[dict[str, Any]]):
        self.data = data
        self.protocol = protocol
        self.page_problem = ""
        self.parts = split(data, protocol)
        self.forecasts = {r["method"]: r["forecasts"] for r in records if r["status"] == "ok"}
        self.records = [{k: v for k, v in record.items() if k != "forecasts"} for record in records]
        self.table: pd.DataFrame = make_table(self.records)
        self.ranking = [method for method in self.table.index if method in self.forecasts]
        self.unit = self.table.attrs["unit"]
        self.time = self.in_unit(np.arange(1, protocol.horizon + 1))

    def in_unit(self, steps: Any) -> Any:
        """Convert a number of steps to `unit`."""
        return steps / (self.data.lyapunov_steps or 1.0)

    @property
    def horizon(self) -> float:
        """Length of every forecast in `unit`."""
        return float(self.time[-1])

    @property
    def floor(self) -> float:
        """D_stsp between the truth after one half of the starts and the other half; NaN for one start."""
        half = len(self.parts.targets) // 2
        if not half:
            return np.nan
        return climate_distance(self.parts.targets[:half], self.parts.targets[half : 2 * half])

    @property
    def equations(self) -> dict[str, list[str]]:
        """What the methods that can tell found to govern the data, the best first; variables are x0, x1, ..."""
        found = {method: self.record(method)["equations"] for method in self.ranking}
        return {method: equations for method, equations in found.items() if equations}

    @property
    def legend(self) -> str:
        """Which variable of the equations is which column; empty where the columns have no names of their own."""
        named = [(f"x{i}", column) for i, column in enumerate(self.data.columns)]
        return ", ".join(f"{x} is {column}" for x, column in named) if any(x != c for x, c in named) else ""

    def record(self, method: str) -> dict[str, Any]:
        """Return the record of one method."""
        return next(record for record in self.records if record["method"] == method)

    def summary(self) -> str:
        """One sentence: who is first, by how much."""
        if not self.ranking:
            return f"No method could forecast {self.data.name}."
        first, *others = self.ranking
        n_starts = len(self.parts.starts)
        value, quartiles = show_valid_time(self.table.loc[first], n_starts)
        text = f"{value} {self.unit} (quartiles {quartiles})"
        if not others:
            return f"{first} forecasts {self.data.name} for {text}."
        second = show_valid_time(self.table.loc[others[0]], n_starts)[0]
        if second == value:
            return f"{first} forecasts {self.data.name} as long as {others[0]}: {text}."
        return f"{first} forecasts {self.data.name} longest: {text}; second is {others[0]} with {second}."

    def plot(self) -> Figure:
        """Draw valid times and error growth of all methods; returns a matplotlib figure."""
        from matplotlib import pyplot

        from chaosfit.report import plots

        with plots.style():
            figure = pyplot.figure(figsize=(9, 0.32 * len(self.ranking) + 4.4))
            top, bottom = figure.subplots(2, 1, height_ratios=(0.32 * len(self.ranking) + 0.6, 3.4))
            plots.draw_valid_times(top, self)
            plots.draw_error_growth(bottom, self)
        return figure

    def to_html(self, path: str | os.PathLike) -> Path:
        """Write the page: one file that opens without network. Returns its path."""
        from chaosfit.report.page import render

        path = Path(path)
        page = render(self)
        try:
            path.write_text(page, encoding="utf-8")
        except OSError as error:
            raise OSError(f"cannot write the page to {path}: {error.strerror or error}.") from None
        return path

    def __repr__(self) -> str:
        p, n_starts = self.protocol, len(self.parts.starts)
        score, horizon = self.in_unit(p.score_steps), self.horizon
        floor = "" if np.isnan(self.floor) else f" (the data themselves: {self.floor:.2f})"
        lines = [
            self.summary(),
            "",
            format_table(self.table, n_starts),
            *self._warnings(),
            *self._best_equations(),
            "",
            f"{p.n_train} training rows, {count(n_starts, 'start')}, horizon {horizon:.3g}. Valid time "
            f"in {self.unit}: until the error exceeds {p.threshold:g} standard deviations.",
            f"nRMSE and sMAPE (0..200) over the first {score:.3g}; D_stsp over all forecasts{floor}.",
        ]
        if self.data.lyapunov_exponent is None:
            lines.append("Times are in steps: no Lyapunov exponent was given, and the training rows show none.")
        if self.page_problem:
            lines.append(self.page_problem)
        return "\n".join(lines)

    def _best_equations(self) -> list[str]:
        """The equations of the best method that has some, indented."""
        for method, equations in self.equations.items():
            legend = f" ({self.legend})" if self.legend else ""
            return ["", f"equations found by {method}{legend}:", *(f"  {equation}" for equation in equations)]
        return []

    def _warnings(self) -> list[str]:
        """One line for each method that warned."""
        warned = [(record["method"], record["warnings"]) for record in self.records if record["warnings"]]
        return [
            f"{method} warned: {one_line(first)}" + (f" ({len(rest)} more on the page)" if rest else "")
            for method, (first, *rest) in warned
        ]

    def _repr_html_(self) -> str:
        from chaosfit.report.page import table_html

        return table_html(self)


def _open_records(out: str | os.PathLike) -> RecordFile:
    """Open the records of a comparison anew; those of a suite, which may have taken days, are not touched."""
    if (Path(out) / SUITE_NAME).exists():
        raise ValueError(f"{out} holds the results of a suite, which would be lost; choose another folder.")
    return RecordFile(out, anew=True)


def _try_page(comparison: Comparison, path: Path) -> str:
    """Write the page; return what went wrong. No picture is worth the loss of the results."""
    try:
        comparison.to_html(path)
    except OSError as error:
        return one_line(error)
    except Exception as error:
        return one_line(f"cannot draw the page {path}: {type(error).__name__}: {error}")
    return ""


def new_folder(name: str, parent: str | os.PathLike = "chaosfit-runs") -> Path:
    """Return the first of parent/name-1, parent/name-2, ... that does not exist yet."""
    stem = Path(name).stem
    number = 1
    while (folder := Path(parent) / f"{stem}-{number}").exists():
        number += 1
    return folder


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (is_count and (value >= 1 or name == "n_jobs")):
            raise ValueError(f"{name} must be an integer >= 1, got {value!r}.")
