"""What a metric may compare: two trajectories, or two batches of trajectories, of one shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# A spread below this share of a coordinate's magnitude is rounding error, not motion.
ROUNDING = 1e-12


def check_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Floats, Floats, Callable]:
    """Return both arguments as float64 batches ``(B, h, d)`` and the function that undoes the batching.

    Parameters
    ----------
    y_true : array (h,), (h, d) or (B, h, d)
        The truth, finite.
    y_pred : array of the same shape
        The forecast. NaN and infinity pass: the metric decides what a failed forecast costs.

    Returns
    -------
    y_true, y_pred : arrays (B, h, d)
    as_given : function
        Takes values ``(B, ...)`` and returns them as they are for a batch, and the only entry (a float if
        it is one number) for a single trajectory.

    Raises
    ------
    ValueError
        If the shapes differ, an array is empty or has more than three axes, or the truth is not finite.
    """
    true, pred = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if true.shape != pred.shape:
        raise ValueError(
            f"y_true and y_pred must have the same shape, got {true.shape} and {pred.shape}. "
            "Cut both to the same steps and coordinates: most metrics depend on the length."
        )
    if not 1 <= true.ndim <= 3 or true.size == 0:
        raise ValueError(
            f"expected one trajectory (h, d) or a batch (B, h, d) that is not empty, got shape {true.shape}."
        )
    if not np.isfinite(true).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(true))[0])
        raise ValueError(f"y_true must be finite, got {true[where]} at index {where}. Remove or fill the gap first.")
    single = true.ndim < 3
    if true.ndim == 1:
        true, pred = true[:, None], pred[:, None]
    if single:
        true, pred = true[None], pred[None]
    return true, pred, _first if single else _all


def _all(values: NDArray) -> NDArray:
    return values


def _first(values: NDArray):
    return values[0].item() if values.ndim == 1 else values[0]


def check_scale(scale: ArrayLike | None, y_true: Floats) -> Floats:
    """Return one positive unit of error per coordinate, ``(B, d)``.

    ``None`` means the standard deviation of each trajectory of ``y_true`` ``(B, h, d)``. A constant
    coordinate has no unit of its own; it borrows the largest one of its trajectory (1 where everything is
    constant), so a tiny error in it stays tiny and the result does not change with the unit of the data.
    """
    n_batch, _, n_variables = y_true.shape
    if scale is None:
        units = y_true.std(axis=1)
    else:
        try:
            units = np.broadcast_to(np.asarray(scale, dtype=np.float64), (n_batch, n_variables))
        except ValueError:
            raise ValueError(
                f"scale must hold one value per coordinate, ({n_variables},), got shape {np.shape(scale)}."
            ) from None
        if not (np.isfinite(units).all() and (units >= 0).all()):
            raise ValueError(f"scale must be finite and not negative, got {scale}.")
    constant = units <= ROUNDING * np.abs(y_true).max(axis=1)
    largest = np.where(constant, 0.0, units).max(axis=1, keepdims=True)
    return np.where(constant, np.where(largest > 0, largest, 1.0), units)


def is_finite(y_pred: Floats) -> NDArray[np.bool_]:
    """Tell for each trajectory of a batch ``(B, h, d)`` whether all of it is finite, ``(B,)``."""
    return np.asarray(np.isfinite(y_pred).all(axis=(1, 2)))
