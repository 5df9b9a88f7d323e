"""The leaderboard of a suite of pairs: the scores E1..E12 of every method, and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from chaosfit.benchmark.recorded import Published
from chaosfit.metrics.ctf import CTF_SCORES
from chaosfit.report.page import sortable_table
from chaosfit.report.table import show, show_seconds

_FLOOR = -100.0
_COSTS = ("fit_cpu_seconds", "forecast_cpu_seconds")


def make_board(records: Sequence[dict[str, Any]], n_seeds: int) -> pd.DataFrame:
    """Summarise the records of pairs.

    Parameters
    ----------
    records : sequence of dict
    n_seeds : int
        Seeds of every pair and method.

    Returns
    -------
    DataFrame
        One row per method, the best first. Columns: composite, the mean of E1..E12; frobenius, the same with the
        Frobenius norm; E1..E12, means over the seeds, in which a failure counts -100, and NaN for those of a pair that
        has not been run yet with all methods and seeds: they are left out of the means; seconds, CPU time of all;
        failures, the share of tasks that failed. ``attrs`` hold "sources", score to origin of its rows, and "n_seeds".
    """
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        cells.setdefault((record["method"], record["data"]["name"]), []).append(record)
    methods = list(dict.fromkeys(method for method, _ in cells))
    rows, sources = [], {}
    for method in methods:
        row: dict[str, float] = {}
        strict: dict[str, float] = {}
        for name, (number, _) in CTF_SCORES.items():
            pair = f"pair {number}"
            if all(len(cells.get((each, pair), ())) == n_seeds for each in methods):
                row[name], strict[name] = (_mean(cells[method, pair], key, name) for key in ("ctf", "ctf_frobenius"))
                sources[name] = cells[method, pair][0]["data"]["source"]
            else:
                row[name] = strict[name] = np.nan
        means = {"composite": _mean_known(row), "frobenius": _mean_known(strict)}
        own = [record for record in records if record["method"] == method]
        seconds = sum(record[cost] for record in own if record["status"] == "ok" for cost in _COSTS)
        failed = float(np.mean([record["status"] != "ok" for record in own]))
        rows.append(means | row | {"seconds": seconds, "failures": failed})
    board = pd.DataFrame(rows, index=pd.Index(methods, name="method"))
    board.attrs |= {"sources": sources, "n_seeds": n_seeds}
    return board.sort_values("composite", ascending=False, kind="stable")


def _mean(records: Sequence[dict[str, Any]], key: str, name: str) -> float:
    return float(np.mean([record[key][name] if record["status"] == "ok" else _FLOOR for record in records]))


def _mean_known(scores: dict[str, float]) -> float:
    known = [value for value in scores.values() if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan


def beside_published(board: pd.DataFrame, source: Published) -> pd.DataFrame:
    """Return the board together with the published scores, the best first; one more column, published (bool)."""
    theirs = pd.DataFrame.from_dict(source.table, orient="index", columns=list(CTF_SCORES), dtype=float)
    theirs.insert(0, "composite", theirs.mean(axis=1))
    both = pd.concat([board.assign(published=False), theirs.assign(published=True)])
    return both[["published", "composite", *CTF_SCORES]].sort_values("composite", ascending=False, kind="stable")


def board_text(board: pd.DataFrame) -> tuple[Sequence[str], list[list[str]]]:
    """Head and rows of a board for a terminal, with or without published scores."""
    published = "published" in board
    extra = ["from"] if published else ["Frobenius", "CPU s", "failures"]
    rows = []
    for method, row in board.iterrows():
        cells = [str(method), show(row["composite"], 1), *(show(row[name], 1) for name in CTF_SCORES)]
        if published:
            cells.append("published" if row["published"] else "here")
        else:
            cells += [show(row["frobenius"], 1), show_seconds(row["seconds"]), f"{row['failures']:.0%}"]
        rows.append(cells)
    return ["method", "composite", *CTF_SCORES, *extra], rows


def board_html(board: pd.DataFrame, names: Mapping[str, str]) -> str:
    """A board as a sortable table, with or without published scores; `names` holds the HTML of each method."""
    sources = board.attrs.get("sources", {})
    head = [("method", ""), ("composite", "Mean of E1 to E12, each from -100 to 100 (perfect)")]
    head += [
        (name, f"{kind.replace('_', ' ')}; {sources.get(name, 'not run yet')}")
        for name, (_, kind) in CTF_SCORES.items()
    ]
    digits = dict.fromkeys(("composite", *CTF_SCORES), 1)
    if "published" not in board:
        head += [
            ("Frobenius", "Composite with the Frobenius norm, which is stricter than the published spectral norm"),
            ("CPU [s]", "Of all fits and forecasts"),
            ("failures", "Share of tasks that failed"),
        ]
        digits |= {"frobenius": 1, "seconds": 2, "failures": 2}
    rows = [
        [(method, names[str(method)]), *((row[key], show(row[key], n)) for key, n in digits.items())]
        for method, row in board.iterrows()
    ]
    return f'<div class="scroll">{sortable_table(head, rows, "dense")}</div>'


def notes_html(board: pd.DataFrame) -> str:
    """What the columns of a board mean."""
    sources, n_seeds = board.attrs["sources"], board.attrs["n_seeds"]
    waiting = [name for name in CTF_SCORES if name not in sources]
    text = (
        "E1, E7, E9, E11, E12: forecasts of 20 steps. E2, E4, E6, E8, E10: distribution of later steps. E3, E5: "
        "states behind noisy rows. 100 is perfect, 0 is what zeros get, -100 the floor and a failure."
    )
    text += f" Means over {n_seeds} seeds." if n_seeds > 1 else ""
    text += f" Not yet run with all methods: {', '.join(waiting)}." if waiting else ""
    text += " Hover over a heading for the origin of its rows, click to sort. Below: the pairs that ask for a forecast."
    return f'<p class="notes">{escape(text)}</p>'


def published_html(both: pd.DataFrame, source: Published) -> str:
    """The section with published scores."""
    marks = both["published"].map({True: "i", False: "b"})
    names = {str(name): f"<{mark}>{escape(str(name))}</{mark}>" for name, mark in marks.items()}
    text = f"In italics published: {source.protocol}. Ours are on other rows of the same kind."
    return (
        f"<section><h2>Beside published scores</h2>{board_html(both, names)}"
        f'<p class="notes">{escape(text)}</p></section>'
    )


def origins(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Map each pair to where its rows come from, all seeds."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        found.setdefault(record["data"]["name"], {})[record["data"]["source"]] = None
    return {name: "; ".join(found[name]) for name in sorted(found)}
