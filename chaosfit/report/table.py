"""Records become a table: one row per method, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

_NUMBERS = ("nrmse", "smape", "d_stsp", "fit_seconds", "forecast_seconds")


def make_table(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Summarise records of one data set and protocol.

    Parameters
    ----------
    records : sequence of dict
        From `run_task` or `read_records`.

    Returns
    -------
    DataFrame
        One row per method, the longest valid time first and failed methods last:

        - valid_time, valid_time_q25, valid_time_q75: median and quartiles over the starts, in the unit of
          ``table.attrs["unit"]``;
        - censored: number of starts from which the forecast was still valid at the horizon;
        - nrmse, smape: medians over the starts; d_stsp: of all forecasts together;
        - fit_seconds, forecast_seconds: wall time, the latter for all starts in one batch;
        - failures: number of starts from which the forecast diverged, all of them if the method failed;
        - reason: why it failed, else empty.
    """
    rows = [_row(record) for record in records]
    columns = ["method", "valid_time", "valid_time_q25", "valid_time_q75", "censored", *_NUMBERS]
    table = pd.DataFrame(rows, columns=[*columns, "failures", "reason"])
    order = np.lexsort([table["nrmse"], -table["valid_time"], table["reason"] != ""])
    table = table.iloc[order].set_index("method")
    table.attrs["unit"] = records[0]["unit"] if records else "steps"
    return table


def _row(record: dict[str, Any]) -> dict[str, Any]:
    n_starts = record["protocol"]["n_starts"]
    if record["status"] != "ok":
        empty = dict.fromkeys(("valid_time", "valid_time_q25", "valid_time_q75", *_NUMBERS), np.nan)
        reason = f"failed: {record['reason']}"
        return empty | {"method": record["method"], "censored": 0, "failures": n_starts, "reason": reason}
    low, median, high = np.quantile(record["valid_time"], [0.25, 0.5, 0.75])
    return {
        "method": record["method"],
        "valid_time": median,
        "valid_time_q25": low,
        "valid_time_q75": high,
        "censored": record["n_censored"],
        # null in a record stands for a forecast that is not finite: an infinite error
        "nrmse": np.median([np.inf if value is None else value for value in record["nrmse"]]),
        "smape": np.median(record["smape"]),
        "d_stsp": (np.inf if record["n_diverged"] else np.nan) if record["d_stsp"] is None else record["d_stsp"],
        "fit_seconds": record["fit_seconds"],
        "forecast_seconds": record["forecast_seconds"],
        "failures": record["n_diverged"],
        "reason": "",
    }


def show(value: float, digits: int = 2) -> str:
    """A number as a reader wants it: fixed digits, more of them for small ones, a dash for none."""
    if value != value:
        return "–"
    if np.isinf(value):
        return "∞"
    if value != 0 and abs(value) < 10.0**-digits:
        return f"{value:.1g}".replace("e-0", "e-")
    return f"{value:.{digits}f}"


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 start", "20 starts"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: object, length: int = 200) -> str:
    """The beginning of a text, without line breaks."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def show_seconds(value: float) -> str:
    """Seconds; what is below the resolution that matters is not spelled out."""
    return "< 0.01" if value < 0.01 else show(value)


def show_valid_time(row: pd.Series, n_starts: int) -> tuple[str, str]:
    """Median and quartiles as text; ≥ where at least half of the forecasts outlived the horizon."""
    if row["valid_time"] != row["valid_time"]:
        return "–", ""
    outlived = 2 * row["censored"] >= n_starts
    digits = 1 if row["valid_time"] >= 100 else 2
    quartiles = f"{row['valid_time_q25']:.{digits}f} … {row['valid_time_q75']:.{digits}f}"
    return ("≥ " if outlived else "") + f"{row['valid_time']:.{digits}f}", quartiles


def format_table(table: pd.DataFrame, n_starts: int) -> str:
    """The table as plain text for a terminal."""
    head = ["method", "valid time", "quartiles", "nRMSE", "sMAPE", "D_stsp", "fit s", "forecast s", "failures"]
    lines = [head]
    for method, row in table.iterrows():
        cells = [str(method), *show_valid_time(row, n_starts), show(row["nrmse"], 3), show(row["smape"], 1)]
        cells += [show(row["d_stsp"]), *(show_seconds(row[name]) for name in ("fit_seconds", "forecast_seconds"))]
        lines.append([*cells, f"{row['failures']}/{n_starts}"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    text += [f"{method}: {one_line(reason)}" for method, reason in table["reason"].items() if reason]
    return "\n".join(text)
