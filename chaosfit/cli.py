"""The program ``chaosfit``: thin commands over the library.

Heavy packages are imported by the command that needs them, so ``chaosfit list`` answers at once.

Exit codes: 0 done; 1 a check failed, or a fault inside chaosfit; 2 wrong usage or wrong data;
130 interrupted; 141 the reader of the output went away.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import Any, NoReturn

from chaosfit import __version__, registry

# What a user can cause: wrong values, unreadable files, packages that are not installed. An unknown name is
# a plain LookupError; its subclasses KeyError and IndexError are faults of the program.
_USER_ERRORS = (ValueError, OSError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; problems become one line on stderr.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; by default those of the process.
    """
    args = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = args.command(args)
            sys.stdout.flush()  # here, so that a closed pipe is noticed below and not at exit
        except KeyboardInterrupt:
            out = getattr(args, "out", None)
            kept = f"; the records written so far are kept in {out}" if out else ""
            return _fail(f"interrupted{kept}", 130)
        except BrokenPipeError:
            # The interpreter flushes stdout again at exit: give it something that accepts.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except Exception as error:
            if args.debug:
                traceback.print_exc()
            if isinstance(error, _USER_ERRORS) or type(error) is LookupError:
                return _fail(_one_line(error), 2)
            return _fail(f"{type(error).__name__}: {_one_line(error)} (--debug shows where)", 1)
    return code


# Commands: take the parsed arguments, print, return the exit code.


def _list(args: argparse.Namespace) -> int:
    groups = [args.group] if args.group else registry.GROUPS
    rows = [
        (record.name, group, record.value, _origin(record)) for group in groups for record in registry.records(group)
    ]
    if args.group == "systems":  # over 150 rows that only who asks for systems wants to see, and wait for
        rows += _dysts_rows()
    _print_table(("name", "group", "object", "distribution"), rows)
    return 0


def _dysts_rows() -> list[tuple[str, str, str, str]]:
    """Rows of the systems of dysts; none if it is not installed."""
    if find_spec("dysts") is None:
        return []
    from chaosfit.bridges.dysts import dysts_names

    origin = f"dysts {metadata.version('dysts')}"
    kinds = [(name, kind) for kind in ("flow", "map", "delay") for name in dysts_names(kind)]
    return [(name, "systems", f"chaosfit.bridges.dysts:Dysts{kind.title()}", origin) for name, kind in sorted(kinds)]


def _describe(args: argparse.Namespace) -> int:
    group = _group_of(args.name, args.group)
    if args.name not in registry.names(group) and args.group in (None, "systems"):
        known = {row[0].lower(): row[0] for row in _dysts_rows()}
        if args.name.lower() in known:
            from chaosfit.bridges.dysts import describe_dysts

            print(describe_dysts(known[args.name.lower()]))
            return 0
    print(registry.describe(args.name, group))
    return 0


def _plugins(args: argparse.Namespace) -> int:
    rows = []
    for group in registry.GROUPS:
        for record in registry.records(group):
            if not record.builtin:
                rows.append((record.name, group, record.dist, record.version, *_status(record.name, group)))
    if rows:
        _print_table(("name", "group", "distribution", "version", "status", "error"), rows)
    else:
        print("no plugins are installed; 'chaosfit list' shows what chaosfit itself offers")
    return 0


def _check(args: argparse.Namespace) -> int:
    estimator_class = registry.get(args.name)
    from chaosfit.testing import check_dynamics

    settings = estimator_class.get_test_params() if hasattr(estimator_class, "get_test_params") else [{}]
    results = []
    for params in settings:
        estimator = estimator_class(**params)
        rows = [(*result[:2], _one_line(result[2])) for result in check_dynamics(estimator, raise_error=False)]
        print(_one_line(repr(estimator)))
        _print_table(("check", "status", "message"), rows)
        print()
        results += rows
    n_failed = sum(status == "failed" for _, status, _ in results)
    print(f"{args.name}: {len(results)} checks, {n_failed} failed")
    return 1 if n_failed else 0


def _compare(args: argparse.Namespace) -> int:
    for name in args.methods or ():
        if name not in registry.names():
            registry.get(name)  # raises the error that suggests a name, before anything is computed
    from chaosfit.report.comparison import PAGE_NAME, compare, new_folder

    args.out = args.out or str(new_folder(args.data))
    given = {"n_starts": args.starts, "n_train": args.train, "horizon": args.horizon}
    comparison = compare(
        args.data,
        args.methods,
        dt=args.dt,
        lyapunov_exponent=args.lyapunov_exponent,
        columns=args.columns,
        time_column=args.time_column,
        noise=args.noise,
        random_state=args.seed,
        n_jobs=args.jobs,
        out=args.out,
        **{name: value for name, value in given.items() if value is not None},
    )
    print(comparison)
    if comparison.page_problem:
        return 1
    print(f"\npage and records: {os.path.join(args.out, PAGE_NAME)}, records.jsonl")
    return 0 if comparison.ranking else 1


def _run(args: argparse.Namespace) -> int:
    from chaosfit.benchmark.methods import resolve_methods
    from chaosfit.benchmark.records import FILE_NAME
    from chaosfit.benchmark.runner import run_suite
    from chaosfit.benchmark.suite import load_suite
    from chaosfit.report.comparison import DEFAULT_METHODS

    _set_data_folder(args.data)
    suite = load_suite(args.suite)
    methods = resolve_methods(args.methods or DEFAULT_METHODS)
    n_run = run_suite(suite, methods, args.out, n_jobs=args.jobs)
    print(f"{suite.name}: {n_run} tasks run now; records: {os.path.join(args.out, FILE_NAME)}")
    print(f"look at them with: chaosfit report {args.out}")
    return 0


def _set_data_folder(folder: str | None) -> None:
    """Tell this process, and those that it starts, where the published data are."""
    from chaosfit.benchmark.recorded import DATA_VARIABLE

    if folder is not None:
        os.environ[DATA_VARIABLE] = folder


def _report(args: argparse.Namespace) -> int:
    from chaosfit.report.results import read_results
    from chaosfit.report.results_page import write_page

    _set_data_folder(args.data)
    results = read_results(args.folder)
    for setting in results.settings:
        if len(results.settings) > 1:
            print(f"{setting.label}:")
        _print_table(*setting.leaderboard_text())
        for line in setting.failure_text():
            print(line)
        print()
        source = results.suite.published
        if source is not None and setting.published is not None:
            where = "on other rows" if setting.ctf is not None else f"{setting.published.attrs['n_systems']} systems"
            print(f"{where}; published: {source.protocol}")
            _print_table(*setting.published_text(source))
            print()
    print(f"page: {write_page(results, args.folder)}")
    return 0


# The parser.


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"chaosfit: {message}; see '{self.prog} --help'\n")


def _parser() -> argparse.ArgumentParser:
    summary = "Fit, forecast and compare models of chaotic time series."
    parser = _Parser(prog="chaosfit", description=summary, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"chaosfit {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        # SUPPRESS: without the option here, the one given before the command stays.
        added.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        added.set_defaults(command=command)
        return added

    group: dict[str, Any] = {"choices": registry.GROUPS, "help": "look only there"}
    listing = add("list", _list, "List estimators, systems and metrics; imports none of them.")
    listing.add_argument("--group", **group)
    describing = add("describe", _describe, "Show parameters, capabilities and reference of one of them.")
    describing.add_argument("name", metavar="NAME")
    describing.add_argument("--group", **group)
    add("plugins", _plugins, "Import every third-party plugin and tell which ones work.")
    checking = add("check", _check, "Check an estimator against the contract.")
    checking.add_argument("name", metavar="NAME", help="name of an estimator")
    _add_compare_arguments(add("compare", _compare, "Forecast your data with many methods and rank them."))
    running = add("run", _run, "Run a benchmark suite, or go on with it where it was stopped.")
    running.add_argument("suite", metavar="SUITE", help="name of a suite, or path of a TOML file")
    words: dict[str, Any] = {"type": _words, "action": "extend", "metavar": "A,B"}
    running.add_argument("--methods", **words, help="names of estimators (default: a selection)")
    running.add_argument("--out", required=True, metavar="DIR", help="folder of the records")
    running.add_argument("--jobs", type=_positive_int, default=1, metavar="N", help="processes (default: 1)")
    folder: dict[str, Any] = {"metavar": "DIR", "help": "folder of the published data (default: $CHAOSFIT_DATA)"}
    running.add_argument("--data", **folder)
    reporting = add("report", _report, "Rank the methods of a run and write a page about it.")
    reporting.add_argument("folder", metavar="DIR", help="folder of a run")
    reporting.add_argument("--data", **folder)
    return parser


def _add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    # "extend": the option may also be repeated.
    names: dict[str, Any] = {"type": _words, "action": "extend", "metavar": "A,B"}
    count: dict[str, Any] = {"type": _positive_int, "metavar": "N"}
    what = "name of a system, or file (CSV, text, Parquet, npy, npz) with one row per time"
    parser.add_argument("data", metavar="DATA", help=what)
    data = parser.add_argument_group("data")
    data.add_argument("--columns", **names, help="columns to forecast (default: all)")
    data.add_argument("--time-column", metavar="NAME", help="column that holds the time")
    data.add_argument("--dt", type=_positive_float, metavar="TIME", help="time between two rows")
    data.add_argument(
        "--lyapunov-exponent",
        type=_positive_float,
        metavar="RATE",
        help="largest exponent per unit of time, per row without --dt (default: known, else estimated)",
    )
    data.add_argument(
        "--noise",
        type=_non_negative_float,
        default=0.0,
        metavar="LEVEL",
        help="noise added to what the methods see, in standard deviations of each column (default: 0)",
    )
    protocol = parser.add_argument_group("protocol")
    protocol.add_argument("--methods", **names, help="names of estimators (default: a selection)")
    protocol.add_argument("--train", **count, help="training rows (default: 5000, or 60 percent of a file)")
    protocol.add_argument("--starts", **count, help="forecasts per method (default: 20)")
    steps = "steps of each forecast (default: 15 Lyapunov times)"
    protocol.add_argument("--horizon", type=_positive_int, metavar="STEPS", help=steps)
    protocol.add_argument("--seed", type=_non_negative_int, default=0, metavar="N", help="default: 0")
    running = parser.add_argument_group("running")
    running.add_argument("--out", metavar="DIR", help="folder for page and records; replaces old ones (default: new)")
    running.add_argument("--jobs", **count, default=1, help="processes (default: 1)")


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError("expected names separated by commas")
    return words


def _number(kind: type, expected: str, accept: Callable[[Any], bool]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not accept(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return parse


_positive_int = _number(int, "an integer >= 1", lambda value: value >= 1)
_non_negative_int = _number(int, "an integer >= 0", lambda value: value >= 0)
_positive_float = _number(float, "a finite number > 0", lambda value: 0 < value < float("inf"))
_non_negative_float = _number(float, "a finite number >= 0", lambda value: 0 <= value < float("inf"))


# Text.


def _group_of(name: str, group: str | None) -> str:
    """The group given, else the first that has the name, else that of the nearest name, which its error suggests."""
    if group is not None:
        return group
    owners = {known: each for each in reversed(registry.GROUPS) for known in registry.names(each)}
    owners |= {record.name: each for each in reversed(registry.GROUPS) for record in registry.records(each)}
    nearest = [name] if name in owners else difflib.get_close_matches(name.lower(), owners, n=1)
    return owners[nearest[0]] if nearest else "estimators"


def _status(name: str, group: str) -> tuple[str, str]:
    try:
        registry.get(name, group)
    except registry.PluginError as error:
        return "broken", _one_line(str(error).partition(" cannot be loaded: ")[2])
    return "ok", ""


def _origin(record: registry.Record) -> str:
    return f"{record.dist} {record.version}".strip()


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _fail(message: str, code: int) -> int:
    print(f"chaosfit: {message}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"chaosfit: warning: {_one_line(message)}", file=sys.stderr)
