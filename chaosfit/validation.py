"""What may come in: shapes, dtype, NaN, orientation, trajectories.

Every array that a user hands to chaosfit passes through one of these functions, so every
complaint about data is worded once. Parameter constraints of scikit-learn are re-exported here
because their module is private there: this is the only place that names it.
"""

from __future__ import annotations

import numbers
import warnings
from collections import Counter
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions
from sklearn.utils.validation import validate_data

__all__ = [
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "Trajectory",
    "check_context",
    "check_future_inputs",
    "check_inputs",
    "check_n_steps",
    "check_states",
    "split_trajectories",
    "stack_trajectories",
    "unmasked",
    "validate_data",
    "warn_constant_columns",
]


#: With more columns than this for each row, data are taken for transposed; with fewer, a warning must do.
_MOST_COLUMNS_PER_ROW = 10


class Trajectory(NamedTuple):
    """One uninterrupted stretch of training data, as the `_fit` hook receives it.

    Attributes
    ----------
    X : ndarray of shape (k, d)
        Rows that have a target.
    Y : ndarray of shape (k, m)
        Target of each row of `X`: the next state, or what the user passed as `y`.
    u : ndarray of shape (k, p) or None
        Known input that acts between `X[t]` and `Y[t]`.
    states : ndarray of shape (n, d)
        All rows. n = k + 1 when the targets are the next states, n = k when `y` was given.
    """

    X: np.ndarray
    Y: np.ndarray
    u: np.ndarray | None
    states: np.ndarray


def check_states(estimator, X, y=None, *, reset: bool, min_rows: int = 1):
    """Validate X (n, d), and y where given, through scikit-learn; name the row of a bad value.

    Returns float64 arrays; records or compares `n_features_in_` and `feature_names_in_`.
    """
    options = {
        "dtype": np.float64,
        "ensure_all_finite": False,
        "ensure_min_samples": min_rows,
        "reset": reset,
    }
    X, y = unmasked(X), unmasked(y)
    try:
        if y is None:
            X = validate_data(estimator, X, **options)
        else:
            X, y = validate_data(estimator, X, y, multi_output=True, y_numeric=True, **options)
    except ValueError as error:
        hint = _orientation_hint(X, getattr(estimator, "n_features_in_", None))
        if hint and ("sample(s)" in str(error) or "features as input" in str(error)):
            raise ValueError(f"{error} {hint}") from error
        raise
    wide = getattr(estimator, "_rows_may_be_wide", False)
    if reset and not wide and X.shape[1] > _MOST_COLUMNS_PER_ROW * len(X):
        raise ValueError(_orientation_hint(X, None))
    check_finite(X, "X")
    if y is not None:
        y = np.asarray(y, dtype=np.float64)
        check_finite(y, "y")
    # One memory layout, so that rounding does not depend on where the array came from.
    return np.ascontiguousarray(X), y


def _orientation_hint(X, n_features: int | None) -> str:
    """A question for someone who may have passed variables by rows."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) == 2 and 2 <= shape[0] < shape[1] and n_features in (None, shape[0], shape[1]):
        return f"X has shape {shape} and rows must be consecutive times; did you mean X.T?"
    return ""


def unmasked(X):
    """NaN for what a masked array hides, which NumPy would show again; everything else as it is."""
    return X.astype(np.float64).filled(np.nan) if np.ma.isMaskedArray(X) else X


def check_finite(X: np.ndarray, name: str) -> None:
    """Refuse NaN and infinity, naming the first bad entry and what to do about it."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum()):  # one pass without a temporary; an overflowing sum is looked at below
            return
    bad = np.argwhere(~np.isfinite(X))
    if not len(bad):
        return
    value = X[tuple(bad[0])]
    word = "NaN" if np.isnan(value) else "infinity"
    where = f" of trajectory {bad[0][0]}" if X.ndim == 3 else ""
    row = bad[0][1] if X.ndim == 3 else bad[0][0]
    column = f", column {bad[0][-1]}" if X.ndim > 1 else ""
    raise ValueError(
        f"Input {name} contains {word}: the first of {len(bad)} such value(s) is in row {row}{column}{where} "
        f"(counting from 0). Interpolate it, or drop the row and mark the gap with trajectory_id."
    )


def check_n_steps(n_steps) -> int:
    """Return `n_steps` as an int >= 1; bool and float are refused."""
    if isinstance(n_steps, bool | np.bool_) or not isinstance(n_steps, numbers.Integral) or n_steps < 1:
        raise ValueError(f"n_steps must be an integer >= 1, got {n_steps!r}.")
    return int(n_steps)


def check_context(estimator, context, min_rows: int) -> tuple[np.ndarray, bool]:
    """Validate a context (L', d) or (B, L', d); return it as (B, L', d) and whether it was a batch."""
    n_features = estimator.n_features_in_
    context = unmasked(context)
    if np.ndim(context) == 3:
        context = check_array(context, dtype=np.float64, allow_nd=True, ensure_all_finite=False, input_name="context")
        if context.shape[2] != n_features:
            raise ValueError(
                f"X has {context.shape[2]} features, but {type(estimator).__name__} is expecting "
                f"{n_features} features as input; a batch of contexts has shape (n_batch, n_rows, n_features)."
            )
        check_finite(context, "context")
        batch = True
    else:
        context = check_states(estimator, context, reset=False)[0][np.newaxis]
        batch = False
    if context.shape[1] < min_rows:
        raise ValueError(
            f"context has {context.shape[1]} sample(s) while a minimum of {min_rows} is required "
            f"by {type(estimator).__name__}."
        )
    return context, batch


def check_inputs(estimator, u, n_rows: int, *, n_inputs: int | None = None) -> np.ndarray | None:
    """Validate known inputs u (n_rows, p), aligned with the rows of X; `n_inputs` is p as fitted."""
    name = type(estimator).__name__
    if u is None:
        if n_inputs:
            raise ValueError(f"{name} was fitted with {n_inputs} known input(s): pass u with {n_rows} rows.")
        return None
    if n_inputs == 0:
        raise ValueError(f"{name} was fitted without known inputs, but u was given; fit it with u first.")
    u = np.asarray(unmasked(u))
    u = check_array(u[:, np.newaxis] if u.ndim == 1 else u, dtype=np.float64, ensure_all_finite=False, input_name="u")
    check_finite(u, "u")
    if len(u) != n_rows:
        raise ValueError(f"u must hold one row for each of the {n_rows} rows of X, got {len(u)} rows.")
    if n_inputs is not None and u.shape[1] != n_inputs:
        raise ValueError(f"u has {u.shape[1]} column(s), but {name} was fitted with {n_inputs} known input(s).")
    return u


def check_future_inputs(estimator, u, n_batch: int) -> np.ndarray:
    """Validate inputs for a forecast, (rows, p) or (n_batch, rows, p); their number of rows is checked later."""
    u = np.asarray(unmasked(u))
    u = u.reshape(-1, 1) if u.ndim < 2 else u
    u = check_array(u, dtype=np.float64, allow_nd=True, ensure_all_finite=False, input_name="u")
    check_finite(u, "u")
    if u.ndim == 3 and len(u) != n_batch:
        raise ValueError(f"u has batch size {len(u)}, but the context has {n_batch}.")
    if u.ndim > 3 or u.shape[-1] != estimator.n_inputs_:
        raise ValueError(
            f"u has shape {u.shape}, but {type(estimator).__name__} was fitted with "
            f"{estimator.n_inputs_} known input(s): expected (rows, {estimator.n_inputs_})."
        )
    return u


def split_trajectories(n_rows: int, trajectory_id) -> list[slice]:
    """Return one slice per trajectory; equal ids must form one contiguous block."""
    if trajectory_id is None:
        return [slice(0, n_rows)]
    ids = np.asarray(trajectory_id)
    if ids.shape != (n_rows,):
        raise ValueError(f"trajectory_id must have shape ({n_rows},), one label per row of X, got shape {ids.shape}.")
    if any(label is None or label != label for label in ids.tolist()):
        raise ValueError("trajectory_id contains missing labels (None or NaN); give every row one.")
    edges = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    starts = np.concatenate(([0], edges))
    labels = ids[starts].tolist()
    counts = Counter(labels)
    label, n_blocks = max(counts.items(), key=lambda item: item[1])
    if n_blocks > 1:
        raise ValueError(
            f"trajectory_id is not contiguous: label {label!r} appears in {n_blocks} separate blocks. "
            f"Sort the rows by trajectory, keeping the order of time inside each."
        )
    return [slice(a, b) for a, b in zip(starts, [*edges, n_rows], strict=True)]


def stack_trajectories(trajectories) -> tuple[np.ndarray, np.ndarray]:
    """Stack a list of (n_i, d) arrays, or one (B, n, d) array, for `fit(X, trajectory_id=...)`.

    Returns
    -------
    X : ndarray of shape (sum of n_i, d)
    trajectory_id : ndarray of shape (sum of n_i,)

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import stack_trajectories
    >>> X, trajectory_id = stack_trajectories([np.zeros((3, 2)), np.ones((2, 2))])
    >>> X.shape, trajectory_id.tolist()
    ((5, 2), [0, 0, 0, 1, 1])
    """
    arrays = [np.asarray(unmasked(trajectory), dtype=float) for trajectory in trajectories]
    if not arrays or any(a.ndim != 2 for a in arrays) or len({a.shape[1] for a in arrays}) != 1:
        shapes = ", ".join(str(a.shape) for a in arrays[:4]) + (", ..." if len(arrays) > 4 else "")
        raise ValueError(
            f"stack_trajectories expects a list of arrays of shape (n_i, d) with one common d, got shapes {shapes}; "
            f"a single trajectory needs no stacking."
        )
    return np.concatenate(arrays), np.repeat(np.arange(len(arrays)), [len(a) for a in arrays])


def warn_constant_columns(X: np.ndarray, estimator) -> None:
    """Warn about columns that carry no dynamics, and about data that look transposed."""
    # Its first rows show that a column is not constant; only suspects are read whole.
    suspects = np.flatnonzero((X[:16] == X[0]).all(axis=0))
    constant = suspects[(X[:, suspects] == X[0, suspects]).all(axis=0)]
    if len(constant) and len(X) > 1:
        warnings.warn(
            f"{type(estimator).__name__}: column(s) {constant.tolist()} of X are constant; "
            f"they carry no dynamics. Drop them unless that is intended.",
            UserWarning,
            stacklevel=3,
        )
    if len(X) < X.shape[1] and not getattr(estimator, "_rows_may_be_wide", False):
        warnings.warn(f"{type(estimator).__name__}: {_orientation_hint(X, None)}", UserWarning, stacklevel=3)
