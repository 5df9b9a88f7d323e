"""Figures of a benchmark. Each function draws on matplotlib axes that it is given."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from chaosfit.benchmark.statistics import indistinguishable_groups
from chaosfit.report.plots import draw_forecast, line_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chaosfit.report.results import Setting

_INK, _FAINT = "#222222", "#BBBBBB"
_N_EXAMPLES, _N_COLUMNS = 6, 3


def draw_critical_difference(ax: Axes, setting: Setting) -> None:
    """Draw the mean ranks on a line; a bar joins methods that Nemenyi's test cannot tell apart."""
    test = setting.friedman
    if test is None:
        raise ValueError("the diagram needs at least three methods and two systems.")
    n_methods = len(setting.methods)
    groups = indistinguishable_groups(test.ranks, test.critical_difference)
    ax.set(xlim=(0.6, n_methods + 0.4), ylim=(-1.2 - (n_methods + 1) // 2 - 0.45 * len(groups), 1.6))
    ax.axis("off")
    ax.plot([1, n_methods], [0, 0], color=_INK, lw=1)
    for rank in range(1, n_methods + 1):
        ax.plot([rank, rank], [0, 0.15], color=_INK, lw=1)
        ax.text(rank, 0.25, str(rank), ha="center", va="bottom", fontsize=8)
    ax.plot([1, 1 + test.critical_difference], [1.15, 1.15], color=_INK, lw=2.2)
    ax.text(1, 1.25, f"critical difference {test.critical_difference:.2f}", ha="left", va="bottom", fontsize=8)
    below = -0.35 - 0.45 * len(groups)
    half = (n_methods + 1) // 2
    for position, method in enumerate(setting.methods):
        left = position < half
        depth = below - 0.4 - (position if left else n_methods - 1 - position)
        edge = 0.85 if left else n_methods + 0.15
        rank, colour = test.ranks[position], line_styles(setting.methods)[method][0]
        ax.plot([rank, rank, edge], [0, depth, depth], color=colour, lw=1)
        text: dict[str, Any] = {"va": "center", "fontsize": 8.5, "color": _INK}
        ax.text(edge, depth, f" {method}  {rank:.2f} ", ha="right" if left else "left", clip_on=False, **text)
    for number, group in enumerate(groups):
        ranks = test.ranks[group]
        height = -0.35 - 0.45 * number
        ends = [ranks.min() - 0.04, ranks.max() + 0.04]
        ax.plot(ends, [height, height], color=_INK, lw=3.5, solid_capstyle="round")


def draw_error_growth(ax: Axes, setting: Setting) -> None:
    """Draw the median over systems and seeds of the scaled error against time."""
    curves: dict[str, list[dict[str, Any]]] = {method: [] for method in setting.methods}
    for record in setting.records:
        if record["status"] == "ok":
            curves[record["method"]].append(record["error_growth"])
    lengths = [curve["time"][-1] for each in curves.values() for curve in each]
    if not lengths:
        raise ValueError("no method has made a forecast.")
    time = np.linspace(0, float(np.median(lengths)), 200)[1:]
    lowest = 1.0
    for method, (colour, dashes) in line_styles(setting.methods).items():
        if not curves[method]:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # times that no forecast has reached
            median = np.nanmedian([_logarithm_at(time, curve) for curve in curves[method]], axis=0)
        errors = np.where(np.isfinite(median), 10.0**median, np.nan)
        ax.plot(time, errors, dashes, color=colour, label=method)
        lowest = min([lowest, *errors[errors > 0]])
    threshold = setting.records[0]["protocol"]["threshold"]
    ax.axhline(threshold, color=_INK, lw=0.9, ls="--")
    label: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "top"}
    ax.text(1, threshold, f"valid below {threshold:g}", fontsize=8, **label)
    ax.set(xlabel=f"time after the start [{setting.unit}]", ylabel="error / standard deviation")
    ax.set(yscale="log", ylim=(max(lowest / 2, 1e-8), 4), xlim=(0, time[-1]))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _logarithm_at(time: np.ndarray, curve: dict[str, Any]) -> np.ndarray:
    """Interpolated log10 of an error curve; NaN where it was not measured, large where it is not finite."""
    errors = np.array([np.inf if value is None else value for value in curve["error"]])
    known = np.log10(np.clip(errors, 1e-300, 1e30))
    return np.interp(time, curve["time"], known, left=known[0], right=np.nan)


def example_systems(setting: Setting) -> list[str]:
    """Up to six systems, spread from the longest to the shortest valid time of the first method."""
    order = np.argsort(-setting.scores["valid_time"][:, 0], kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, _N_EXAMPLES).astype(int))
    return [setting.systems[i] for i in order[chosen]]


def draw_examples(figure: Figure, setting: Setting) -> None:
    """Draw one system a row and one method a column: the forecast of the first variable against the truth."""
    systems, methods = example_systems(setting), setting.methods[:_N_COLUMNS]
    axes = figure.subplots(len(systems), len(methods), squeeze=False, sharex="row", sharey="row")
    records = {(r["data"]["name"], r["method"]): r for r in reversed(setting.records)}  # of several seeds the first
    colours = line_styles(setting.methods)
    for row, system in zip(axes, systems, strict=True):
        row[0].set_ylabel(system)
        for ax, method in zip(row, methods, strict=True):
            _draw_example(ax, records[system, method], colours[method][0])
    for ax, method in zip(axes[0], methods, strict=True):
        ax.set_title(f"{method}: {ax.get_title(loc='left')}")
    for ax in axes[-1]:
        ax.set_xlabel(f"time after the start [{setting.unit}]")


def _draw_example(ax: Axes, record: dict[str, Any], colour: str) -> None:
    example = record.get("example")  # none in records of a method that failed
    if example is None:
        ax.set_title("failed")
        return
    truth, forecast = (np.array(example[name], dtype=float) for name in ("truth", "forecast"))
    time = example["spacing"] * np.arange(1, len(truth) + 1)
    valid_time = record["valid_time"][example["start"]]
    draw_forecast(ax, time, truth, forecast, int(np.searchsorted(time, valid_time)), colour)
    if valid_time < time[-1]:
        ax.axvline(valid_time, color=_INK, lw=0.9, ls="--")
    ax.set_xlim(0, time[-1])
    ax.set_title(f"{valid_time:.3g}")


def draw_cost(ax: Axes, setting: Setting) -> None:
    """Draw the median valid time against the CPU seconds of fit and forecasts; a line joins the unbeaten."""
    board = setting.leaderboard
    seconds = (board["fit_cpu_seconds"] + board["forecast_cpu_seconds"]).to_numpy()
    valid = board["valid_time"].to_numpy()
    for method, x, y in zip(setting.methods, seconds, valid, strict=True):
        if np.isfinite(x):
            colour = line_styles(setting.methods)[method][0]
            ax.plot(x, y, "o", ms=6, color=colour)
            ax.annotate(method, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=8)
    order = [i for i in np.argsort(seconds, kind="stable") if np.isfinite(seconds[i])]
    best = [i for k, i in enumerate(order) if all(valid[i] > valid[j] for j in order[:k])]
    ax.plot(seconds[best], valid[best], color=_FAINT, lw=1, zorder=0)
    ax.set(xscale="log", xlabel="CPU seconds of fit and all forecasts", ylabel=f"valid time [{setting.unit}]")
    ax.set_ylim(bottom=0)
    ax.margins(x=0.15)
