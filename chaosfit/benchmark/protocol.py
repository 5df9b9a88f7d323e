"""The protocol: which rows train, from where the forecasts start, how long they are."""

from __future__ import annotations

import dataclasses
import numbers
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from chaosfit.benchmark.data import Dataset, find_system, from_system, from_table, is_path, read_file, with_exponent

_N_TRAIN = 5000
_N_CONTEXT = 500
_MAX_TRAIN = 20_000
_MAX_HORIZON = 2000
_MIN_ROWS = 100


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the rows are used. The first `n_train` train; no method sees a later one before its turn.

    Attributes
    ----------
    n_train : int
        Rows of the first part.
    n_context : int
        Rows before a start that every method is shown, all of them after the training rows. 0: the only forecast
        goes on from the last training row.
    n_starts, horizon : int
        Number of forecasts and of steps in each.
    score_steps : int
        Steps over which nRMSE and sMAPE are taken.
    noise : float
        Standard deviation of the noise on training rows and contexts, in units of each variable's. The
        forecasts are judged against the rows without it.
    threshold : float
        Scaled error up to which a forecast is valid.
    random_state : int
        Seed of the noise, and of every method that has a `random_state`.
    noisy_truth : bool
        Whether the rows that forecasts are judged against have the noise, too, as in some publications.
    chosen_on : {"context", "train"}
        Where methods that choose among others do so: on the training rows, or on an independent trajectory
        that the data hold for tuning. Then they are refitted to the training rows.
    """

    n_train: int
    n_context: int
    n_starts: int
    horizon: int
    score_steps: int
    noise: float = 0.0
    threshold: float = 0.4
    random_state: int = 0
    noisy_truth: bool = False
    chosen_on: str = "context"

    @property
    def n_rows(self) -> int:
        """Rows with which every forecast has a stretch of truth of its own."""
        return self.n_train + self.n_context + self.n_starts * self.horizon


def plan(
    n_rows: int | None,
    lyapunov_steps: float | None,
    *,
    n_train: int | None = None,
    n_starts: int = 20,
    horizon: int | None = None,
    noise: float = 0.0,
    random_state: int = 0,
) -> Protocol:
    """Choose what the user left open.

    Parameters
    ----------
    n_rows : int or None
        Rows available. None: as many as the protocol asks for, because they can be simulated.
    lyapunov_steps : float or None
        Rows in one Lyapunov time, if known.
    n_train : int, optional
        Default: 5000, or 60 percent of the rows but at most 20000 where their number is given.
    n_starts : int
    horizon : int, optional
        Default: 15 Lyapunov times (500 steps where the exponent is unknown), at most 2000 steps and a
        quarter of the later part.
    noise : float
    random_state : int

    Raises
    ------
    ValueError
        If the rows do not suffice.

    Examples
    --------
    >>> plan(None, 55.2).horizon
    828
    >>> plan(1000, None)
    Protocol(n_train=600, n_context=100, n_starts=20, horizon=100, score_steps=20, ...)
    """
    default_horizon = 500 if lyapunov_steps is None else min(_MAX_HORIZON, max(10, round(15 * lyapunov_steps)))
    n_context = _N_CONTEXT
    if n_rows is None:
        n_train = n_train or _N_TRAIN
    else:
        if n_rows < _MIN_ROWS:
            raise ValueError(f"the data have {n_rows} rows; a comparison needs at least {_MIN_ROWS}.")
        n_train = n_train or _default_n_train(n_rows)
        quarter = max((n_rows - n_train) // 4, 1)
        n_context, default_horizon = min(n_context, quarter), min(default_horizon, quarter)
    horizon = horizon or default_horizon
    if n_rows is not None and n_rows < n_train + n_context + horizon:
        raise ValueError(
            f"{n_rows} rows are too few for n_train={n_train} rows, then {n_context} rows of context and a "
            f"forecast of horizon={horizon} steps. {_possible(n_rows, n_train, n_context, horizon)}"
        )
    if n_rows is not None:
        n_starts = min(n_starts, n_rows - n_train - n_context - horizon + 1)  # there are no more different ones
    # Two Lyapunov times: long enough to separate methods, too short for all to have lost the track.
    score_steps = horizon // 5 if lyapunov_steps is None else round(2 * lyapunov_steps)
    score_steps = min(max(score_steps, 1), horizon)
    return Protocol(n_train, n_context, n_starts, horizon, score_steps, noise, random_state=random_state)


def _default_n_train(n_rows: int) -> int:
    return min(int(0.6 * n_rows), _MAX_TRAIN)


def _possible(n_rows: int, n_train: int, n_context: int, horizon: int) -> str:
    """Say how far either number may go while the other stays."""
    longest = n_rows - n_train - n_context
    # The context takes a quarter of what is left, at most.
    largest = n_rows - horizon - min(_N_CONTEXT, horizon // 3 + 1)
    options = [f"horizon up to {longest} with this n_train"] if longest > 0 else []
    options += [f"n_train up to {largest} with this horizon"] if largest > 0 else []
    return f"Possible: {', or '.join(options)}." if options else "Train on fewer rows and forecast fewer steps."


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The rows of a data set in their roles.

    Attributes
    ----------
    train : ndarray of shape (n_train, d)
    contexts : ndarray of shape (B, n_context, d), or None
        None: the forecast goes on from the training rows.
    targets : ndarray of shape (B, horizon, d)
        The truth.
    scale : ndarray of shape (d,)
        Standard deviation of the training rows without noise: the unit of error.
    starts : ndarray of shape (B,)
        Row number of the first step of each forecast.
    tuning : ndarray of shape (n, d), or None
        An independent trajectory on which methods are chosen.
    trajectory_id : ndarray of shape (n_train,), or None
        Labels of several training series, of which the forecast continues the last. None: there is one.
    reconstructs : bool
        Whether the targets are the states behind the last training rows, instead of what follows them.
    """

    train: np.ndarray
    contexts: np.ndarray | None
    targets: np.ndarray
    scale: np.ndarray
    starts: np.ndarray
    tuning: np.ndarray | None = None
    trajectory_id: np.ndarray | None = None
    reconstructs: bool = False


def split(data: Dataset, protocol: Protocol) -> Split:
    """Cut the rows: training first, then starts spread evenly over the rest."""
    X = data.X
    first, last = protocol.n_train + protocol.n_context, len(X) - protocol.horizon
    if last < first:
        raise ValueError(f"the protocol needs {first + protocol.horizon} rows, the data have {len(X)}.")
    going_on = protocol.n_context == 0
    starts = np.array([first]) if going_on else np.unique(np.linspace(first, last, protocol.n_starts).astype(int))
    scale = X[: protocol.n_train].std(axis=0)
    seen, tuning = X, data.tuning if protocol.chosen_on == "train" else None
    if protocol.noise:
        rng = np.random.default_rng(protocol.random_state)
        seen = X + protocol.noise * scale * rng.standard_normal(X.shape)
        if tuning is not None:
            tuning = tuning + protocol.noise * tuning.std(axis=0) * rng.standard_normal(tuning.shape)
    truth = seen if protocol.noisy_truth else X
    return Split(
        train=seen[: protocol.n_train],
        contexts=None if going_on else np.stack([seen[start - protocol.n_context : start] for start in starts]),
        targets=np.stack([truth[start : start + protocol.horizon] for start in starts]),
        scale=scale,
        starts=starts,
        tuning=tuning,
    )


def prepare_data(
    source: Any,
    *,
    dt: float | None = None,
    lyapunov_exponent: float | None = None,
    columns: Sequence[str | int] | None = None,
    time_column: str | int | None = None,
    random_state: int = 0,
    progress: bool | None = False,
    **choices: Any,
) -> tuple[Dataset, Protocol]:
    """Open a data source (system, name, file, array) and plan the protocol for it.

    Parameters
    ----------
    source, dt, lyapunov_exponent, columns, time_column, random_state
        See `chaosfit.compare`.
    progress : bool or None
        Say on stderr that a simulation begins; None: only if that is a terminal.
    **choices
        Passed to `plan`.
    """
    for what, value in (("dt", dt), ("lyapunov_exponent", lyapunov_exponent)):
        if value is not None and not (isinstance(value, numbers.Real) and 0 < value < np.inf):
            raise ValueError(f"{what} must be a finite number > 0, got {value!r}.")
    options = {"random_state": random_state, **choices}
    system = find_system(source)
    if system is None:
        read = read_file if is_path(source) else from_table
        data = read(source, dt=dt, columns=columns, time_column=time_column)
        n_train = choices.get("n_train") or _default_n_train(len(data.X))
        data = with_exponent(data, lyapunov_exponent, n_train)
        try:
            return data, plan(len(data.X), data.lyapunov_steps, **options)
        except ValueError as error:
            raise ValueError(f"{source}: {error}" if is_path(source) else str(error)) from None
    if time_column is not None:
        raise ValueError(f"time_column is for files and tables, but {source!r} is a system; leave it out.")
    dt = system.dt if dt is None else dt
    exponent = lyapunov_exponent or system.lyapunov_exponent
    lyapunov_steps = 1.0 / (exponent * dt) if exponent and exponent > 0 else None
    protocol = plan(None, lyapunov_steps, **options)
    name = source if isinstance(source, str) else ""
    if sys.stderr.isatty() if progress is None else progress:
        print(f"simulating {protocol.n_rows} rows of {name or type(system).__name__} ...", file=sys.stderr)
    data = from_system(system, protocol.n_rows, random_state, name=name, dt=dt, columns=columns)
    return with_exponent(data, lyapunov_exponent), protocol
