"""Sphinx settings; one page per registered method, system and metric is generated from its docstring."""

import re
from pathlib import Path

import chaosfit
from chaosfit import registry
from chaosfit.systems.invariants import table

project = "chaosfit"
author = "The chaosfit developers"
copyright = "2026, the chaosfit developers"
version = release = chaosfit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "chaosfit"
html_static_path = ["_static"]
autodoc_typehints = "none"
autodoc_inherit_docstrings = True
napoleon_google_docstring = False
napoleon_use_ivar = True
suppress_warnings = ["config.cache", "ref.python"]  # attributes of the same name in two classes are no link

DOCS = Path(__file__).parent
MEMBERS = """\
:members:
:inherited-members: BaseEstimator, RegressorMixin
:exclude-members: get_metadata_routing, get_test_params, set_fit_request, set_partial_fit_request,
   set_inverse_transform_request, set_output, set_predict_request, set_score_request, set_transform_request
"""
TITLES = {"estimators": "Methods", "systems": "Systems", "metrics": "Metrics"}


def family(record) -> str:
    """The part of the package in which a built-in lives: methods.reservoir, systems.flows, ..."""
    return record.value.split(":")[0].removeprefix("chaosfit.").rpartition(".")[0]


def write_pages(app) -> None:
    """Write methods/NAME.md for every built-in and methods/index.md with a table per group."""
    folder = DOCS / "methods"
    folder.mkdir(exist_ok=True)
    index = ["# Reference\n"]
    for group, title in TITLES.items():
        index += [f"\n## {title}\n", "| name | class | summary |", "|---|---|---|"]
        names = []
        for record in registry.records(group):
            if not record.builtin:
                continue
            module, _, name = record.value.partition(":")
            obj = registry.get(record.name, group=group)
            directive = "autofunction" if group == "metrics" else "autoclass"
            members = "" if group == "metrics" else MEMBERS
            page = f"# {record.name}\n\n```{{eval-rst}}\n.. {directive}:: {module}.{name}\n"
            page += "".join(f"   {line}\n" for line in members.splitlines()) + "```\n"
            (folder / f"{record.name}.md").write_text(page)
            summary = (obj.__doc__ or "").strip().splitlines()[0]
            index.append(f"| [{record.name}]({record.name}.md) | `{name}` | {summary} |")
            names.append(record.name)
        index += ["\n```{toctree}", ":hidden:", *names, "```"]
    index += ["\n```{toctree}", ":hidden:", "exponents", "```"]
    (folder / "index.md").write_text("\n".join(index) + "\n")
    (folder / "exponents.md").write_text(exponents())


def exponents() -> str:
    """Page with the measured Lyapunov exponents of all systems."""
    rows = ["# Measured Lyapunov exponents\n", "Per unit of time of the equations; see [systems](../systems.md)."]
    rows += ["Where the last column is empty a system is not distinguishable from a non-chaotic one.\n"]
    rows += ["| system | kind | variables | largest exponent | standard error | Kaplan-Yorke dimension | chaotic |"]
    rows += ["|---|---|---|---|---|---|---|"]
    for row in table().values():
        dimension = "" if row.kaplan_yorke_dimension is None else f"{row.kaplan_yorke_dimension:.4g}"
        label = "yes" if row.is_chaotic else ""
        values = f"{row.exponents[0]:.4g} | {row.standard_errors[0]:.2g} | {dimension} | {label}"
        rows.append(f"| {row.system} | {row.kind} | {row.dim} | {values} |")
    return "\n".join(rows) + "\n"


def escape_plain_text(app, what, name, obj, options, lines) -> None:
    """Docstrings are read as plain text first: there |x| is a modulus and coef_ a name, not markup."""
    block = None  # indentation of a directive whose content is left alone
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent <= block:
            block = None
        if block is None and line.lstrip().startswith((".. ", ">>> ", ":")):
            block = indent if line.lstrip().startswith(".. ") else None
            continue
        if block is None and ">>>" not in line:
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [re.sub(r"(\w)_(?=[^\w`]|$)", r"\1\\_", part).replace("|", "\\|") for part in parts[::2]]
            lines[i] = "".join(parts)


def split_names(app, what, name, obj, options, lines) -> None:
    """Give every one of `a_, b_ : type` an entry of its own: Sphinx would take the first for the type of the second."""
    for i in reversed(range(len(lines))):
        found = re.match(r"(\w+(?:, \w+)+) : (.*)", lines[i])
        if found:
            end = i + 1
            while end < len(lines) and lines[end].startswith(" "):
                end += 1
            lines[i:end] = [x for each in found[1].split(", ") for x in (f"{each} : {found[2]}", *lines[i + 1 : end])]


def setup(app) -> None:
    """Generate the reference before Sphinx reads its sources."""
    app.connect("builder-inited", write_pages)
    # Before napoleon, which has priority 500: it writes markup of its own.
    app.connect("autodoc-process-docstring", split_names, priority=399)
    app.connect("autodoc-process-docstring", escape_plain_text, priority=400)
