"""Turn what a user names (a system, a file, an array) into one `Dataset`, or say why that is impossible."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import functools
import hashlib
import itertools
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chaosfit import registry
from chaosfit.analysis.embedding import embedding_parameters
from chaosfit.analysis.lyapunov import largest_lyapunov_exponent
from chaosfit.systems.system import Map
from chaosfit.validation import unmasked

_TEXT = (".csv", ".tsv", ".txt", ".dat")
_SUFFIXES = (*_TEXT, ".parquet", ".npy", ".npz")
_TIME_NAMES = ("time", "t")
# Rows from which the Lyapunov exponent of unknown data is estimated: it sets the unit of time, no more.
_ESTIMATION_ROWS = 5000
_MIN_LYAPUNOV_TIMES = 5
_NO_TEXT = "it is not a text file, or not in UTF-8; save a text again in this encoding."
# Lines from which names, separator and decimal mark are told.
_TOP_LINES = 100
# Steps may differ by this share of their median: times are often written with few digits.
_STEP_TOLERANCE = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """One trajectory and what is known about it.

    Attributes
    ----------
    name : str
        Short name for titles and folders.
    X : ndarray of shape (n, d)
        Finite float64 rows, equally spaced in time.
    columns : tuple of str
        One name per variable.
    dt : float or None
        Time between two rows; None if unknown.
    lyapunov_exponent : float or None
        Largest exponent per unit of time (per row where `dt` is None); None if unknown.
    exponent_source : str
        Where the exponent comes from, such as "published" or "estimated from the data".
    source : str
        Where the rows come from.
    discrete_time : bool
        Whether the rows are known to be iterates of a map: then no differential equation describes them.
    tuning : ndarray of shape (n', d) or None
        An independent trajectory on which methods may be chosen.
    """

    name: str
    X: np.ndarray
    columns: tuple[str, ...]
    dt: float | None = None
    lyapunov_exponent: float | None = None
    exponent_source: str = "unknown"
    source: str = "array"
    discrete_time: bool = False
    tuning: np.ndarray | None = None

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the rows: equal for equal numbers, whatever the name."""
        digest = hashlib.sha256(repr(self.X.shape).encode())
        digest.update(np.ascontiguousarray(self.X).tobytes())
        return digest.hexdigest()[:16]

    @property
    def lyapunov_steps(self) -> float | None:
        """Number of rows in one Lyapunov time; None if the exponent is unknown."""
        if self.lyapunov_exponent is None:
            return None
        return 1.0 / (self.lyapunov_exponent * (self.dt or 1.0))


def is_path(source: Any) -> bool:
    """Whether a data source names a file; any other text is the name of a system."""
    if isinstance(source, os.PathLike):
        return True
    if not isinstance(source, str):
        return False
    return os.sep in source or Path(source).suffix.lower() in _SUFFIXES or Path(source).is_file()


def with_exponent(data: Dataset, exponent: float | None = None, n_rows: int | None = None) -> Dataset:
    """Give a `Dataset` its largest Lyapunov exponent: the one given, the known one, else an estimate.

    The estimate uses the first `n_rows` rows, at most 5000, and stays None where they show no exponential growth.
    """
    if exponent is not None:
        return dataclasses.replace(data, lyapunov_exponent=float(exponent), exponent_source="given")
    if data.lyapunov_exponent is not None or data.exponent_source == "published":
        return data
    estimate = _estimated_exponent(data.X[: min(n_rows or _ESTIMATION_ROWS, _ESTIMATION_ROWS)], data.dt or 1.0)
    if estimate is None:
        return data
    return dataclasses.replace(data, lyapunov_exponent=estimate, exponent_source="estimated from the data")


def _estimated_exponent(X: np.ndarray, dt: float) -> float | None:
    """Estimate the largest exponent; None where the rows show no exponential growth. Scalars are embedded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = embedding_parameters(X) if X.shape[1] == 1 else None
            delays = {} if found is None else {"n_delays": found.n_delays, "lag": found.lag}
            estimate = largest_lyapunov_exponent(X, dt, **delays)
        except ValueError:
            return None
    # Periodic motion gives tiny values of either sign: ask for clear growth, and for some of it in the data.
    grows = estimate.interval[0] > 0 and estimate.exponent * dt * len(X) > _MIN_LYAPUNOV_TIMES
    return estimate.exponent if grows else None


# ---------------------------------------------------------------------- systems
def find_system(source: Any) -> Any:
    """Return the system that is meant, or None if `source` is a file or an array.

    Parameters
    ----------
    source : object with `simulate`, or str
        A name is looked up among the systems of chaosfit and its plugins, then in the installed dysts; lower
        and upper case are told apart only where both exist.

    Raises
    ------
    LookupError
        If nobody knows the name; the message suggests similar ones.
    """
    if hasattr(source, "simulate"):
        return source
    if not isinstance(source, str) or is_path(source):
        return None
    own, flows = registry.names("systems"), _dysts_names()
    for known, make in ((own, _make_own), (flows, _make_flow)):
        if source in known:
            return make(source)
    for known, make in ((own, _make_own), (flows, _make_flow)):
        matching = [name for name in known if name.lower() == source.lower()]
        if matching:
            return make(matching[0])
    raise LookupError(_unknown_system(source, own, flows))


def _make_own(name: str) -> Any:
    return registry.make(name, group="systems")


def _make_flow(name: str) -> Any:
    from chaosfit.bridges.dysts import DystsSystem

    return DystsSystem(name)


def _dysts_names() -> list[str]:
    """Names of the flows of dysts; none if it is not installed."""
    from chaosfit.bridges.dysts import dysts_names

    try:
        return dysts_names()
    except ImportError:
        return []


def _unknown_system(name: str, own: list[str], flows: list[str]) -> str:
    if Path(name).is_dir():
        return f"{name!r} is a directory: name a file in it, or a system."
    spelled = {each.lower(): each for each in [*flows, *own]}
    similar = [spelled[each] for each in difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.7)]
    if name in registry.names():
        return f"{name!r} is a method, but a file or a system is expected: chaosfit compare DATA --methods {name}"
    text = f"{name!r} is neither a file nor a system; "
    text += f"did you mean {' or '.join(map(repr, similar))}?" if similar else f"there are {', '.join(own)}"
    return text if flows else text + '; flows of dysts need: pip install "chaosfit[dysts]"'


def from_system(
    system: Any,
    n_rows: int,
    random_state: int,
    *,
    name: str = "",
    dt: float | None = None,
    columns: Sequence[str | int] | None = None,
) -> Dataset:
    """Simulate `n_rows` rows of a system, seeded; `columns` says which variables are observed."""
    dt = system.dt if dt is None else dt
    X = system.simulate(n_rows, dt=dt, random_state=random_state)
    data = from_table(X, columns=columns, dt=dt, name=name or type(system).__name__)
    exponent = system.lyapunov_exponent
    return dataclasses.replace(
        data,
        lyapunov_exponent=exponent if exponent and exponent > 0 else None,
        exponent_source="published" if exponent else "unknown",
        source=f"{system!r}, random_state={random_state}",
        discrete_time=isinstance(system, Map),
    )


# ---------------------------------------------------------------------- files and arrays
def read_file(
    path: str | os.PathLike,
    *,
    time_column: str | int | None = None,
    columns: Sequence[str | int] | None = None,
    dt: float | None = None,
) -> Dataset:
    """Read a trajectory from a CSV, TSV, text, Parquet, .npy or .npz file, one row per time.

    Parameters
    ----------
    path : path
        A .npz file holds one array, or the rows as `X` and, if known, the step as `dt`.
    time_column : str or int, optional
        Column that holds the time: numbers, or dates (the unit is then one second). A column called
        "time" or "t" is taken by default.
    columns : sequence of str or int, optional
        Columns to use, by name or by number from 0. Default: all but the time.
    dt : float, optional
        Time between two rows. Default: from the time column, else unknown.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"cannot read {path}: there is no such file.")
    if path.is_dir():
        raise IsADirectoryError(f"cannot read {path}: it is a directory; name a file in it.")
    if suffix not in _SUFFIXES:
        raise ValueError(f"cannot read {path}: expected a file that ends in {', '.join(_SUFFIXES)}.")
    try:
        if suffix == ".parquet":
            table = _read_parquet(path)
        elif suffix in (".npy", ".npz"):
            table, stored_dt = _read_numpy(path)
            dt = stored_dt if dt is None else dt
        else:
            table = _read_text(path)
        data = from_table(table, time_column=time_column, columns=columns, dt=dt, name=path.stem)
    except (ValueError, OSError) as error:
        raise ValueError(f"cannot read {path}: {str(error).strip()}") from error
    return dataclasses.replace(data, source=str(path))


def from_table(
    table: Any,
    *,
    time_column: str | int | None = None,
    columns: Sequence[str | int] | None = None,
    dt: float | None = None,
    name: str = "data",
) -> Dataset:
    """Make a `Dataset` of an array (n,) or (n, d) or a DataFrame; parameters as for `read_file`.

    Without a time column the index of a DataFrame tells the time, if it holds dates or floats, and in any case must
    have no gap.
    """
    frame = _as_frame(table)
    time_name = _time_name(frame, time_column)
    if time_name is None:
        step = _index_step(frame.index)
    else:
        step = _time_step(frame[time_name], f"time column {time_name!r}")
        frame = frame.drop(columns=time_name)
    dt = step if dt is None else dt
    if columns is not None:
        frame = frame[_column_names(frame, columns)]
    if not frame.shape[1]:
        raise ValueError("there is no column to forecast: the data hold nothing but the time.")
    frame = _drop_constant(_numeric(frame))
    if frame.shape[0] < frame.shape[1]:
        raise ValueError(
            f"the data have {frame.shape[0]} rows and {frame.shape[1]} columns, and rows must be consecutive "
            f"times; did you mean X.T, the transpose?"
        )
    return Dataset(name, frame.to_numpy(dtype=np.float64), tuple(frame.columns), dt=dt)


def _numbered(n_variables: int) -> list[str]:
    return [f"x{i}" for i in range(n_variables)]


def _read_text(path: Path) -> pd.DataFrame:
    """Read a table whose first line may hold names, also behind a #; the separator is found there."""
    comments, n_before, lines = _top(path)
    if not lines:
        raise ValueError("it holds no rows.")
    separator = next((mark for mark in (";", "\t", ",") if mark in lines[0] and mark in lines[-1]), None)
    words = _words(lines[0], separator)
    # A comma among the names tells nothing.
    rows = lines if _are_numbers(words, ",") else lines[1:]
    decimal = "," if separator != "," and any("," in line for line in rows) else "."
    names = None if _are_numbers(words, decimal) else words
    skipped = 0
    if names is not None or _are_column_numbers(words, lines):
        skipped = n_before + 1
    elif comments:
        names = _words(comments[-1].lstrip("# "), separator)
        names = names if len(names) == len(words) else None
    try:
        frame = pd.read_csv(
            path,
            sep=separator or r"\s+",
            decimal=decimal,
            header=None,
            skiprows=skipped,
            comment="#",
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        raise ValueError("it holds names but no rows.") from None
    except pd.errors.ParserError as error:
        raise ValueError(_ragged(str(error))) from None
    except UnicodeDecodeError:
        raise ValueError(_NO_TEXT) from None
    if separator and lines[-1].endswith(separator) and frame.iloc[:, -1].isna().all():
        frame = frame.iloc[:, :-1]  # every line ends with a separator
    if names is None:
        return frame
    if len(names) != frame.shape[1]:
        raise ValueError(f"the first line has {len(names)} names, but the rows have {frame.shape[1]} values.")
    return _name_index(frame.set_axis(names, axis=1))


def _top(path: Path) -> tuple[list[str], int, list[str]]:
    """Return the comments at the top, the number of lines before the table, and the first lines of the table."""
    comments: list[str] = []
    lines: list[str] = []
    n_before = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in itertools.islice(map(str.strip, file), _TOP_LINES):
                if "\0" in line:
                    raise ValueError(_NO_TEXT)
                if not lines and (not line or line.startswith("#")):
                    comments += [line] if line else []
                    n_before += 1
                elif line:
                    lines.append(line)
    except UnicodeDecodeError:
        raise ValueError(_NO_TEXT) from None
    return comments, n_before, lines


def _words(line: str, separator: str | None) -> list[str]:
    """Split a line, in which quoted words may hold the separator; an empty last word is none."""
    words = line.split() if separator is None else next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    words = [word.strip().strip("\"'") for word in words]
    return words[:-1] if len(words) > 1 and not words[-1] else words


def _ragged(message: str) -> str:
    """Say what pandas found in words that tell what to do."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if found is None:
        return message
    expected, line, values = found.groups()
    return f"line {line} has {values} values, expected {expected}; repair or remove the line."


def _name_index(frame: pd.DataFrame) -> pd.DataFrame:
    """A first column without a name is the index of a saved DataFrame: the time, unless there is one."""
    if frame.columns[0]:
        return frame
    if any(name.lower() in _TIME_NAMES for name in frame.columns):
        return frame.iloc[:, 1:]
    return frame.rename(columns={"": "time"})


def _are_numbers(words: list[str], decimal: str) -> bool:
    try:
        [float(word.replace(decimal, ".")) for word in words]
    except ValueError:
        return False
    return True


def _are_column_numbers(words: list[str], lines: list[str]) -> bool:
    """Whether the first line holds 0, 1, 2, ..., as pandas writes the names of columns that have none."""
    if words != [str(number) for number in range(len(words))]:
        return False
    if len(words) == 1 and all(line.lstrip("+-").isdigit() for line in lines):
        return False  # a lone 0 before other integers is a value
    warnings.warn(f"the first line, {','.join(words)}, is taken for column names.", UserWarning, stacklevel=5)
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError:
        raise ImportError("Parquet files need pyarrow: pip install 'chaosfit[parquet]'.") from None


def _read_numpy(path: Path) -> tuple[np.ndarray, float | None]:
    with path.open("rb") as file:
        start = file.read(6)
    if not start.startswith((b"\x93NUMPY", b"PK")):
        raise ValueError("it is not a NumPy file.")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content, None
        with content:
            arrays = {key: content[key] for key in content.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy would advise to unpickle, which runs whatever the file says.
        if "Object arrays" in str(error):
            raise ValueError("it holds objects, not numbers; save an array of numbers.") from None
        raise ValueError("it is not a NumPy file, or a damaged one.") from None
    dt = float(arrays.pop("dt")) if np.ndim(arrays.get("dt", [])) == 0 else None
    if "X" in arrays:
        return arrays["X"], dt
    if len(arrays) == 1:
        return next(iter(arrays.values())), dt
    raise ValueError(f"expected one array, or one called 'X', found {', '.join(arrays) or 'none'}.")


def _as_frame(table: Any) -> pd.DataFrame:
    if isinstance(table, pd.Series):
        table = table.to_frame()
    if not isinstance(table, pd.DataFrame):
        try:
            array = np.asarray(unmasked(table))
        except ValueError:
            raise ValueError("the rows have different lengths: expected an array of shape (n, d).") from None
        if array.ndim not in (1, 2) or not array.size:
            raise ValueError(f"expected one trajectory of shape (n, d), got an array of shape {array.shape}.")
        array = array[:, np.newaxis] if array.ndim == 1 else array
        table = pd.DataFrame(array, columns=_numbered(array.shape[1]))
    if not len(table):
        raise ValueError("the data hold no rows.")
    default_names = all(isinstance(column, int) for column in table.columns)
    names = _numbered(table.shape[1]) if default_names else [str(c).strip() for c in table.columns]
    repeated = {column for column in names if names.count(column) > 1}
    if repeated:
        raise ValueError(f"column name {sorted(repeated)[0]!r} occurs more than once.")
    return table.set_axis(names, axis=1)


def _column_name(frame: pd.DataFrame, column: str | int) -> str:
    names = list(frame.columns)
    if str(column) in names:
        return str(column)
    if str(column).isdigit() and int(column) < len(names):
        return names[int(column)]
    raise ValueError(f"there is no column {column!r}; there are {', '.join(names)}.")


def _column_names(frame: pd.DataFrame, columns: Sequence[str | int]) -> list[str]:
    names = [_column_name(frame, column) for column in columns]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"columns names {repeated[0]!r} more than once.")
    return names


def _time_name(frame: pd.DataFrame, time_column: str | int | None) -> str | None:
    if time_column is not None:
        return _column_name(frame, time_column)
    found = [name for name in frame.columns if name.lower() in _TIME_NAMES]
    return found[0] if found else None


def _index_step(index: pd.Index) -> float | None:
    """Return the step of an index that holds times; None for one that merely counts. One with gaps is refused."""
    named = str(index.name).lower() in _TIME_NAMES
    if isinstance(index, pd.RangeIndex) and not named:
        return None
    if isinstance(index, pd.MultiIndex):
        raise ValueError("the index has several levels, but one trajectory is expected; pass the rows of one.")
    if index.inferred_type == "string":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the format, which pandas has to guess
                index = pd.to_datetime(index)
        except (ValueError, TypeError):
            return None
    if index.inferred_type not in ("integer", "floating", "datetime64", "timedelta64", "period"):
        return None  # labels
    try:
        step = _time_step(pd.Series(index.asi8 if isinstance(index, pd.PeriodIndex) else index), "the index")
    except ValueError as error:
        raise ValueError(f"{error} If the rows do follow each other, pass table.reset_index(drop=True).") from None
    return None if index.inferred_type == "integer" and not named else step


def _time_step(times: pd.Series, what: str) -> float:
    """Return the common step of a time column, or refuse it; `what` names it."""
    if pd.api.types.is_timedelta64_dtype(times):
        times = times.dt.total_seconds()
    if not pd.api.types.is_numeric_dtype(times):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the format, which pandas has to guess
                dates = pd.to_datetime(times)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{what} holds neither numbers nor dates: {error}") from None
        times = (dates - dates.iloc[0]).dt.total_seconds()
    values = times.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{what} has no value in row {row} (counting from 0).")
    if len(values) < 2:
        raise ValueError(f"{what} has {len(values)} row; no step can be read from it.")
    steps = np.diff(values)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise ValueError(
            f"{what} is not increasing: row {row} has {values[row]:g} after {values[row - 1]:g} "
            f"(counting from 0). Sort the rows by time and remove repeated ones."
        )
    step = float((values[-1] - values[0]) / (len(values) - 1))
    uneven = np.abs(steps - np.median(steps)) > _STEP_TOLERANCE * np.median(steps)
    if uneven.any():
        row = int(np.argmax(uneven)) + 1
        raise ValueError(
            f"{what} is not equally spaced: the usual step is {np.median(steps):g}, but "
            f"{steps[row - 1]:g} before row {row} (counting from 0). Interpolate the data to equal steps, or "
            f"use an uninterrupted part."
        )
    return step


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert every column to float64; name column and row of what is no finite number."""
    numbers = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind == "c":
            raise ValueError(f"column {name!r} holds complex numbers; pass real and imaginary part as columns.")
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.flatnonzero(~np.isfinite(values))
        if np.isnan(values).all() and not column.isna().all():
            numeric = [each for each in frame.columns if pd.to_numeric(frame[each], errors="coerce").notna().any()]
            others = f" with --columns {','.join(numeric[:5])}" if numeric else ""
            raise ValueError(f"column {name!r} holds text; choose others{others}")
        if len(bad):
            row, entry = int(bad[0]), column.iloc[bad[0]]
            missing = entry is None or entry is pd.NA or entry != entry
            what = "is missing (NaN)" if missing else f"is {str(entry)!r}, not a finite number"
            raise ValueError(
                f"column {name!r}: the value in row {row} (counting from 0) {what}; {len(bad)} such value(s) "
                f"in this column. Interpolate it, use an uninterrupted part, or choose other columns."
            )
        numbers[name] = values
    return pd.DataFrame(numbers)


def _drop_constant(frame: pd.DataFrame) -> pd.DataFrame:
    constant = [name for name in frame.columns if np.ptp(frame[name].to_numpy()) == 0]
    if len(constant) == frame.shape[1]:
        raise ValueError("every column is constant: there is nothing to forecast.")
    if constant:
        warnings.warn(
            f"column(s) {', '.join(constant)} are constant and left out: they carry no dynamics.",
            UserWarning,
            stacklevel=3,
        )
    return frame.drop(columns=constant)
