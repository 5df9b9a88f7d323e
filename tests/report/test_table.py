"""The table: order, medians, how numbers are written."""

import numpy as np
import pytest

from chaosfit.report.table import format_table, make_table, show, show_seconds, show_valid_time


def record(method, valid_time, nrmse=None, status="ok", **changes):
    return {
        "method": method,
        "status": status,
        "reason": "" if status == "ok" else "ValueError: no",
        "unit": "Lyapunov times",
        "protocol": {"n_starts": len(valid_time)},
        "valid_time": valid_time,
        "n_censored": 0,
        "nrmse": [0.5] * len(valid_time) if nrmse is None else nrmse,
        "smape": [10.0] * len(valid_time),
        "d_stsp": 1.0,
        "fit_seconds": 0.001,
        "forecast_seconds": 2.0,
        "n_diverged": 0,
    } | changes


def failed(method):
    return {
        k: record(method, [0, 0, 0], status="failed")[k] for k in ("method", "status", "reason", "unit", "protocol")
    }


def test_the_best_first_and_failures_last():
    table = make_table([failed("d"), record("b", [1, 2, 3]), record("a", [3, 4, 9]), record("c", [1, 2, 3], [0.1] * 3)])
    assert list(table.index) == ["a", "c", "b", "d"]
    assert table.attrs["unit"] == "Lyapunov times"
    assert tuple(table.loc["a", ["valid_time_q25", "valid_time", "valid_time_q75"]]) == (3.5, 4.0, 6.5)
    assert table.loc["d", "failures"] == 3
    assert table.loc["d", "reason"] == "failed: ValueError: no"
    assert table.loc["d"].drop(["failures", "reason", "censored"]).isna().all()


def test_null_is_an_infinite_error():
    table = make_table([record("a", [1, 2, 3], [0.1, None, None], d_stsp=None, n_diverged=2)])
    assert np.isinf(table.loc["a", "nrmse"])
    assert np.isinf(table.loc["a", "d_stsp"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (1.234, "1.23"),
        (0.0081, "0.008"),
        (3e-9, "3e-9"),
        (np.inf, "∞"),
        (np.nan, "–"),
        (120.0, "120.00"),
    ],
)
def test_numbers(value, text):
    assert show(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.001, "< 0.01"), (0.5, "0.50"), (np.nan, "–")])
def test_seconds(value, text):
    assert show_seconds(value) == text


def test_a_forecast_that_outlives_the_horizon_is_marked():
    table = make_table([record("a", [5, 5, 5], n_censored=3), record("b", [1, 2, 5], n_censored=1)])
    assert show_valid_time(table.loc["a"], 3) == ("≥ 5.00", "5.00 … 5.00")
    assert show_valid_time(table.loc["b"], 3) == ("2.00", "1.50 … 3.50")
    # Three quarters fail at the first step; that one outlives the horizon makes the median no lower bound.
    table = make_table([record("c", [0, 0, 0, 0, 5], n_censored=1), record("d", [1, 5], n_censored=1)])
    assert show_valid_time(table.loc["c"], 5) == ("0.00", "0.00 … 0.00")
    assert show_valid_time(table.loc["d"], 2) == ("≥ 3.00", "2.00 … 4.00")


def test_text():
    lines = format_table(make_table([record("a", [1, 2, 3]), failed("longer")]), 3).splitlines()
    assert lines[0].split()[:3] == ["method", "valid", "time"]
    assert lines[1].split() == ["a", "2.00", "1.50", "…", "2.50", "0.500", "10.0", "1.00", "<", "0.01", "2.00", "0/3"]
    assert lines[2].split()[-1] == "3/3"
    assert lines[3] == "longer: failed: ValueError: no"
    assert len({len(line) for line in lines[:3]}) == 1
