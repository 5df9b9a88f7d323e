"""One HTML file that shows a comparison: everything inside, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from chaosfit.report import plots
from chaosfit.report.table import count, show, show_seconds, show_valid_time

if TYPE_CHECKING:
    from chaosfit.report.comparison import Comparison

_HEAD = (
    ("method", "The longest valid time first"),
    ("valid time", "Median over the starts; the larger the better"),
    ("quartiles", "Half of the starts lie between these two"),
    ("nRMSE", "Root mean square error in standard deviations; 1 is the mean of the data, 1.41 a random state"),
    ("sMAPE", "Symmetric percentage error, 0 to 200; for comparison with published tables"),
    ("D<sub>stsp</sub>", "Distance between the regions that truth and forecasts visit; the smaller the better"),
    ("fit [s]", "Seconds of training"),
    ("forecast [s]", "Seconds for the forecasts from all starts"),
    ("failures", "Starts from which the forecast diverged"),
)


def render(comparison: Comparison) -> str:
    """Return the whole page."""
    template = Template(resources.files("chaosfit.report").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(comparison.data.name),
        summary=escape(comparison.summary()),
        table=table_html(comparison),
        notes=_notes(comparison),
        figures=_figures(comparison) + _equations(comparison) if comparison.ranking else "",
        failures=_failures(comparison),
        protocol=_protocol(comparison),
        methods=_methods(comparison),
        versions=escape(", ".join(f"{k} {v}" for k, v in comparison.records[0]["versions"].items())),
    )


def table_html(comparison: Comparison) -> str:
    """Return the table of scores; the page makes it sortable."""
    n_starts = len(comparison.parts.starts)
    styles = plots.line_styles(comparison.ranking)
    head = "".join(f'<th scope="col" title="{escape(text)}">{name}</th>' for name, text in _HEAD)
    body = []
    for method, row in comparison.table.iterrows():
        colour = styles.get(str(method), ("transparent", ""))[0]
        name = f'<span class="key" style="background:{colour}"></span>{escape(str(method))}'
        value, quartiles = show_valid_time(row, n_starts)
        cells = [
            (str(method), name),
            (row["valid_time"], value),
            (row["valid_time_q25"], quartiles),
            (row["nrmse"], show(row["nrmse"], 3)),
            (row["smape"], show(row["smape"], 1)),
            (row["d_stsp"], show(row["d_stsp"])),
            *((row[key], show_seconds(row[key])) for key in ("fit_seconds", "forecast_seconds")),
            (row["failures"], "failed" if row["reason"] else f"{row['failures']} of {n_starts}"),
        ]
        body.append("<tr>" + "".join(f'<td data-value="{escape(str(v))}">{t}</td>' for v, t in cells) + "</tr>")
    return f'<table class="scores"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def _notes(comparison: Comparison) -> str:
    p, data = comparison.protocol, comparison.data
    score = comparison.in_unit(p.score_steps)
    unit = "Lyapunov times" if data.lyapunov_exponent else "steps"
    floor = f"; two halves of the truth are {comparison.floor:.2f} apart, and below that nothing tells from perfect"
    if np.isnan(comparison.floor):
        floor = ""
    text = (
        f"Valid time in {unit}: how long the error stays below {p.threshold:g} standard deviations, median over "
        f"{count(len(comparison.parts.starts), 'start')}. nRMSE and sMAPE over the first {score:.3g} {unit}. D_stsp "
        f"over all forecasts{floor}. Click a heading to sort."
    )
    return escape(text)


def _figures(comparison: Comparison) -> str:
    start = _typical_start(comparison)
    n_methods, unit = len(comparison.ranking), comparison.unit
    many = comparison.data.X.shape[1] > plots.MAX_CURVES
    draw = plots.draw_fields if many else plots.draw_forecasts
    forecast_text = (
        "Time to the right, variables upwards, one colour scale; the dashed line is where the forecast "
        "leaves the truth."
        if many
        else f"Variable {comparison.data.columns[0]}: the truth in grey, the forecast in colour until it leaves "
        f"the truth (dashed line), thin afterwards."
    )
    figures = [
        figure_html(
            lambda figure: plots.draw_valid_times(figure.subplots(), comparison),
            plots.size(n_methods, 1, 0.34),
            "How far ahead",
            f"Valid time from every start (dots), median (tick) and quartiles (bar), in {unit}. Read this "
            f"first: a lead that is small against the spread of the dots may turn around with other starts.",
        ),
        figure_html(
            lambda figure: plots.draw_error_growth(figure.subplots(), comparison),
            (9.0, 3.8),
            "How the error grows",
            "Median over the starts of the error in standard deviations, with the quartiles of the three best. "
            "A straight rise is the exponential growth of chaos, the same for all good methods: the lower it "
            "starts at the left, the later it reaches the threshold. Unrelated states differ by about 1.4.",
        ),
        figure_html(
            lambda figure: draw(figure, comparison, start),
            plots.size(n_methods + many, 2, 1.25),
            "What the forecasts look like",
            f"All methods from one start (number {start + 1}, the one most typical of the best method), with "
            f"the valid time in the title. {forecast_text}",
        ),
        figure_html(
            lambda figure: plots.draw_attractors(figure, comparison),
            plots.size(n_methods + 1, 4, 2.1),
            "Where the forecasts live",
            "States of all forecasts, each drawn to the horizon. A method may lose the track and still live on "
            "the right attractor (small D_stsp): it has learnt the climate, if not the weather.",
            image="png",
        ),
    ]
    return "\n".join(figures)


def figure_html(
    draw: Callable[[Any], None], size: tuple[float, float], title: str, caption: str, image: str = "svg"
) -> str:
    """Draw, and return the picture with its caption; as vectors unless it holds too many points."""
    from matplotlib.figure import Figure

    with plots.style():
        figure = Figure(figsize=size)
        draw(figure)
        buffer = io.BytesIO()
        # Without a date the same comparison gives the same file.
        metadata = {"Date": None} if image == "svg" else {}
        figure.savefig(buffer, format=image, dpi=170, metadata=metadata)
    kind = {"svg": "svg+xml", "png": "png"}[image]
    content = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<section><h2>{escape(title)}</h2><figure><img alt="{escape(title)}" '
        f'src="data:image/{kind};base64,{content}"><figcaption>{escape(caption)}</figcaption></figure></section>'
    )


def _typical_start(comparison: Comparison) -> int:
    """The start whose valid time is nearest to the median of the best method."""
    values = np.asarray(comparison.record(comparison.ranking[0])["valid_time"])
    return int(np.argmin(np.abs(values - np.median(values))))


def _equations(comparison: Comparison) -> str:
    if not comparison.equations:
        return ""
    legend = f"; {comparison.legend}" if comparison.legend else ""
    unit = "unit of time" if comparison.data.dt else "row"
    blocks = "".join(
        f"<h3>{escape(method)}</h3><pre>{escape(chr(10).join(equations))}</pre>"
        for method, equations in comparison.equations.items()
    )
    note = f"Fitted to the training rows, the best forecaster first. Rates are per {unit}{legend}."
    return f'<section><h2>Which equations govern it</h2>{blocks}<p class="notes">{escape(note)}</p></section>'


def _failures(comparison: Comparison) -> str:
    items = []
    for record in comparison.records:
        if record["status"] != "ok":
            reason, trace = escape(record["reason"]), escape(record["traceback"])
            items.append(
                f"<details><summary><b>{escape(record['method'])}</b> failed: {reason}</summary>"
                f"<pre>{trace}</pre></details>"
            )
        elif record["warnings"]:
            lines = "".join(f"<li>{escape(text)}</li>" for text in record["warnings"])
            items.append(
                f"<details><summary><b>{escape(record['method'])}</b> warned {len(record['warnings'])} time(s)"
                f"</summary><ul>{lines}</ul></details>"
            )
    return f"<section><h2>Failures and warnings</h2>{''.join(items)}</section>" if items else ""


def _protocol(comparison: Comparison) -> str:
    data, p = comparison.data, comparison.protocol
    exponent = "unknown"
    if data.lyapunov_exponent:
        per = "unit of time" if data.dt else "row"
        exponent = f"{data.lyapunov_exponent:.4g} per {per} ({data.exponent_source})"
    rows = {
        "data": f"{data.source}; {len(data.X)} rows of {', '.join(data.columns[:8])}"
        + (f", … ({len(data.columns)} variables)" if len(data.columns) > 8 else ""),
        "fingerprint": data.fingerprint,
        "time between rows": "unknown" if data.dt is None else f"{data.dt:g}",
        "largest Lyapunov exponent": exponent,
        "training": f"rows 0 to {p.n_train - 1}",
        "starts": f"{len(comparison.parts.starts)}, spread over rows {comparison.parts.starts[0]} to "
        f"{comparison.parts.starts[-1]}; every method sees the {p.n_context} rows before each",
        "horizon": f"{p.horizon} steps"
        + (f" = {comparison.horizon:.3g} {comparison.unit}" if data.lyapunov_exponent else ""),
        "noise": f"{p.noise:g} standard deviations on training rows and contexts, none on the truth",
        "unit of error": "standard deviation of each variable over the training rows, without noise",
        "seed": str(p.random_state),
    }
    return "".join(f"<tr><th scope='row'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())


def _methods(comparison: Comparison) -> str:
    rows = []
    for record in comparison.records:
        params = {k: v for k, v in record["parameters"].items() if k != "class"}
        text = ", ".join(f"{k}={v!r}" for k, v in params.items())
        rows.append(f"<tr><th scope='row'>{escape(record['method'])}</th><td>{escape(text) or '–'}</td></tr>")
    return "".join(rows)


def sortable_table(head: Iterable[tuple[str, str]], rows: Iterable[Iterable[tuple[Any, str]]], style: str) -> str:
    """Return a table that the page makes sortable; every cell has a value to sort by and its HTML."""
    columns = "".join(f'<th scope="col" title="{escape(text)}">{name}</th>' for name, text in head)
    body = "".join(
        "<tr>" + "".join(f'<td data-value="{escape(str(value))}">{text}</td>' for value, text in row) + "</tr>"
        for row in rows
    )
    return f'<table class="scores {style}"><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>'
