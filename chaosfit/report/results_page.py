"""One HTML file that shows a run of a suite: everything inside, nothing loaded from anywhere."""

from __future__ import annotations

import json
import os
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from chaosfit.benchmark.suite import SuiteSystem
from chaosfit.report import ctf, plots, results_plots
from chaosfit.report.page import figure_html, sortable_table
from chaosfit.report.results import Results, Setting, show_interval
from chaosfit.report.table import show, show_seconds

PAGE_NAME = "report.html"

_HEAD = (
    ("method", "Mean rank of valid time, the best first"),
    ("valid time", "Median over the systems; the larger the better"),
    ("95 %", "Bootstrap interval of that median over the systems"),
    ("by family", "The same interval when related systems are drawn together"),
    ("won", "Share of systems on which the method is the best; ties are divided"),
    ("rank", "Mean rank over the systems; 1 is the best"),
    ("p", "Wilcoxon's test against the first method, corrected by Holm for all pairs"),
    ("nRMSE", "Root mean square error in standard deviations"),
    ("sMAPE", "Symmetric percentage error, 0 to 200"),
    ("D<sub>stsp</sub>", "Distance between the regions that truth and forecasts visit; the smaller the better"),
    ("CPU [s]", "Seconds of training and of the forecasts from all starts, each the median over the systems"),
    ("failures", "Share of forecasts that failed or diverged"),
)


def write_page(results: Results, folder: str | os.PathLike) -> Path:
    """Write the page of a run into its folder. Returns its path."""
    path = Path(folder) / PAGE_NAME
    path.write_text(render(results), encoding="utf-8")
    return path


def render(results: Results) -> str:
    """Return the whole page."""
    template = Template(resources.files("chaosfit.report").joinpath("page.html").read_text(encoding="utf-8"))
    first, *others = results.settings
    several = bool(others)
    versions = results.records[0]["versions"]
    blocks = [_published(results, first) + _figures(first)]
    for setting in others:
        board = _heading(setting.label) + _leaderboard(setting) + _notes(setting)
        blocks.append(board + _published(results, setting) + _figures(setting))
    return template.substitute(
        title=escape(results.suite.name),
        summary=escape(f"{results.suite.description.strip()} ") + escape(_summary(first, several)),
        table=(_heading(first.label) if several else "") + _leaderboard(first),
        notes=_notes(first),
        figures="\n".join(blocks),
        failures=_failures(results.records),
        protocol=_protocol(results),
        methods=_methods(results.records),
        versions=escape(", ".join(f"{package} {version}" for package, version in versions.items())),
    )


def _summary(setting: Setting, several: bool) -> str:
    if setting.ctf is not None:
        return f"{setting.ctf.index[0]} has the highest mean score, {show(setting.ctf['composite'].iloc[0], 1)} of 100."
    board = setting.leaderboard
    first = board.iloc[0]
    text = (
        f"{setting.methods[0]} ranks first over {len(setting.systems)} systems"
        + (f" ({setting.label})" if several else "")
        + f", with a median valid time of {show(first['valid_time'])} {setting.unit} "
        f"({show_interval(first['low'], first['high'])})"
    )
    alike = [str(m) for m, p in board["pvalue"].iloc[1:].items() if p >= 0.05]
    if alike and len(alike) == len(board) - 1:
        text += "; these systems are too few to tell it from any other method by Wilcoxon's test"
    elif alike:
        text += f"; Wilcoxon's test cannot tell it from {', '.join(alike)}"
    return text + "."


def _heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _key(method: str, setting: Setting) -> str:
    colour = plots.line_styles(setting.methods)[method][0]
    return f'<span class="key" style="background:{colour}"></span>{escape(method)}'


def _leaderboard(setting: Setting) -> str:
    if setting.ctf is not None:
        return ctf.board_html(setting.ctf, {method: _key(method, setting) for method in setting.methods})
    rows = []
    for method, row in setting.leaderboard.iterrows():
        is_first = method == setting.methods[0]
        seconds = row["fit_cpu_seconds"] + row["forecast_cpu_seconds"]
        rows.append(
            [
                (str(method), _key(str(method), setting)),
                (row["valid_time"], show(row["valid_time"])),
                (row["low"], show_interval(row["low"], row["high"])),
                (row["family_low"], show_interval(row["family_low"], row["family_high"])),
                (row["won"], f"{row['won']:.0%}"),
                (row["rank"], show(row["rank"])),
                (row["pvalue"], "–" if is_first else show(row["pvalue"], 3)),
                (row["nrmse"], show(row["nrmse"], 3)),
                (row["smape"], show(row["smape"], 1)),
                (row["d_stsp"], show(row["d_stsp"])),
                (seconds, show_seconds(seconds)),
                (row["failures"], f"{row['failures']:.0%}"),
            ]
        )
    return f'<div class="scroll">{sortable_table(_HEAD, rows, "dense")}</div>'


def _notes(setting: Setting) -> str:
    if setting.ctf is not None:
        return ctf.notes_html(setting.ctf)
    p = setting.records[0]["protocol"]
    n_seeds = len({record["protocol"]["random_state"] for record in setting.records})
    n_starts = n_seeds * p["n_starts"]
    text = (
        f"Valid time in {setting.unit}: how long the error stays below {p['threshold']:g} standard deviations. "
        f"A system counts once, with {'its' if n_starts == 1 else 'the median over its'} {n_starts} "
        f"start{'' if n_starts == 1 else 's'} on {'one trajectory' if n_seeds == 1 else f'{n_seeds} trajectories'}. "
        f"Failures count as valid time 0 and sMAPE 200. Hover over a heading for its meaning, click to sort."
    )
    if setting.friedman is not None:
        text += f" Friedman's test that all methods are alike: p = {show(setting.friedman.pvalue, 3)}."
    if setting.left_out:
        text += f" Not all methods have been run yet on: {', '.join(setting.left_out)}; these are left out."
    return f'<p class="notes">{escape(text)}</p>'


def _published(results: Results, setting: Setting) -> str:
    source, table = results.suite.published, setting.published
    if source is None or table is None:
        return ""
    if setting.ctf is not None:
        return ctf.published_html(table, source)
    head = [
        ("method", "In italics: published, not run here"),
        (f"median {escape(source.score)}", "Over the systems that have both; the smaller the better"),
        ("mean", "Over the same systems"),
        (f"better than {escape(source.models[0])}", "Share of systems"),
    ]
    rows = [
        [
            (str(name), f"<i>{escape(str(name))}</i>" if row["published"] else f"<b>{escape(str(name))}</b>"),
            (row["median"], show(row["median"])),
            (row["mean"], show(row["mean"])),
            (row["better"], "–" if np.isnan(row["better"]) else f"{row['better']:.0%}"),
        ]
        for name, row in table.iterrows()
    ]
    rows_are = "the same rows" if source.identical else "other rows of the same kind, so only distributions compare"
    text = f"{table.attrs['n_systems']} systems. Published (italics): {source.protocol}, on {rows_are}."
    return (
        f'<section><h2>Beside published scores</h2><div class="scroll">{sortable_table(head, rows, "dense")}</div>'
        f'<p class="notes">{escape(text)}</p></section>'
    )


def _figures(setting: Setting) -> str:
    n_methods = len(setting.methods)
    figures = []
    if setting.friedman is not None:
        figures.append(
            figure_html(
                lambda figure: results_plots.draw_critical_difference(figure.subplots(), setting),
                (9.0, 1.6 + 0.22 * n_methods),
                "Who is better than whom",
                "Mean ranks of valid time over the systems, the best at the left. A bar joins methods whose ranks "
                "differ by less than Nemenyi's critical difference at 5 percent: these systems cannot tell them "
                "apart.",
            )
        )
    if any(record["status"] == "ok" for record in setting.records):
        figures.append(
            figure_html(
                lambda figure: results_plots.draw_error_growth(figure.subplots(), setting),
                (9.0, 3.8),
                "How the error grows",
                "Median over the systems of the error in standard deviations. Unrelated states differ by about 1.4.",
            )
        )
        figures.append(
            figure_html(
                lambda figure: results_plots.draw_cost(figure.subplots(), setting),
                (9.0, 3.8),
                "What it costs",
                "Median valid time against CPU time. The line joins methods that no cheaper one beats.",
            )
        )
        n_rows = len(results_plots.example_systems(setting))
        figures.append(
            figure_html(
                lambda figure: results_plots.draw_examples(figure, setting),
                (9.0, 0.6 + 1.35 * n_rows),
                "What the forecasts look like",
                f"The first variable of {n_rows} systems, from the easiest to the hardest, and the forecasts of the "
                "first methods from one start: the truth in grey, the forecast in colour until it leaves the truth "
                "(dashed line), thin afterwards. The valid time is in the title.",
            )
        )
    return "\n".join([*figures, _systems(setting)])


def _systems(setting: Setting) -> str:
    methods = [(escape(method), f"Valid time in {setting.unit}") for method in setting.methods]
    head = [("system", "Name of the system"), ("family", "Related systems"), *methods]
    rows = []
    for system, family, values in zip(setting.systems, setting.families, setting.scores["valid_time"], strict=True):
        best = values.max()
        cells = [(value, f"<b>{show(value)}</b>" if value == best else show(value)) for value in values.tolist()]
        rows.append([(system, escape(system)), (family, escape(family)), *cells])
    return (
        '<section><h2>System by system</h2><input type="search" class="filter" placeholder="system or family" '
        f'aria-label="Show only these systems"><div class="scroll">{sortable_table(head, rows, "dense systems")}</div>'
        f'<p class="notes">Valid time in {setting.unit}; the best of each row in bold.</p></section>'
    )


def _failures(records: list[dict[str, Any]]) -> str:
    reasons: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        if record["status"] != "ok":
            reasons.setdefault((record["method"], record["reason"]), []).append(record)
    items = []
    for (method, reason), failed in reasons.items():
        systems = ", ".join(dict.fromkeys(record["data"]["name"] for record in failed))
        items.append(
            f"<details><summary><b>{escape(method)}</b>, {len(failed)} task(s): {escape(reason)}</summary>"
            f"<p>{escape(systems)}</p><pre>{escape(failed[0]['traceback'])}</pre></details>"
        )
    return f"<section><h2>Failures</h2>{''.join(items)}</section>" if items else ""


def _protocol(results: Results) -> str:
    suite = results.suite
    p = suite.protocol
    unit = p["unit"]
    if suite.pairs:
        rows = ctf.origins(results.records)
    else:
        rows = {
            "systems": ", ".join(_system(system) for system in suite.systems),
            "training rows": _listed(p["n_train"]),
            "context before each start": f"{p['n_context']} rows",
            "starts per trajectory": str(p["n_starts"]),
            "horizon": f"{p['horizon']:g} {unit}" + (f", at most {p['max_steps']} steps" if "max_steps" in p else ""),
            "nRMSE and sMAPE over": f"the first {p['score']:g} {unit}",
            "noise": f"{_listed(p['noise'])} standard deviations on training rows and contexts, "
            f"{'as on' if p['noisy_truth'] else 'none on'} the truth",
        }
    rows |= {
        "seeds": _listed(p["random_state"]),
        "limits of a task": f"{suite.limits.seconds:g} s, {suite.limits.gibibytes:g} GiB",
    }
    return "".join(f"<tr><th scope='row'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())


def _system(system: SuiteSystem) -> str:
    facts = [] if system.dt is None else [f"dt {system.dt:g}"]
    facts += [] if system.lyapunov_exponent is None else [f"exponent {system.lyapunov_exponent:g}"]
    facts += [] if system.observed is None else [f"variables {', '.join(map(str, system.observed))} observed"]
    return f"{system.name} ({', '.join(facts)})" if facts else system.name


def _listed(value: Any) -> str:
    return ", ".join(f"{each:g}" for each in np.atleast_1d(value))


def _methods(records: list[dict[str, Any]]) -> str:
    """Parameters of every method; those that depend on the task (time step, seed) as in its first record."""
    parameters: dict[str, dict[str, Any]] = {}
    for record in records:
        parameters.setdefault(record["method"], record["parameters"])
    rows = []
    for method, params in sorted(parameters.items()):
        text = ", ".join(f"{k}={json.dumps(v)}" for k, v in params.items() if k != "class")
        rows.append(f"<tr><th scope='row'>{escape(method)}</th><td>{escape(text) or '–'}</td></tr>")
    return "".join(rows)
