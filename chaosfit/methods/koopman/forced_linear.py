"""A linear ODE with forcing, from coordinates to simulation: the mathematics of `HAVOK`."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from chaosfit.methods.koopman.lifted import tall_svd
from chaosfit.numerics.delay import delay_vectors

__all__ = [
    "AR_ORDER",
    "autoregression",
    "bursts",
    "closing_rank",
    "derivatives",
    "first_order_hold",
    "shifted_derivatives",
]

AR_ORDER = 10


def derivatives(parts: list[np.ndarray], dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return dv/dt, by central differences of fourth order, and v, both (k, r), two rows off each end."""
    rates = [(v[:-4] - 8 * v[1:-3] + 8 * v[3:-1] - v[4:]) / (12 * dt) for v in parts]
    return np.concatenate(rates), np.concatenate([v[2:-2] for v in parts])


def shifted_derivatives(H: np.ndarray, parts: list[np.ndarray], dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return dv/dt and v, both (k, r), from the SVDs of all windows but the last and all but the first.

    Each SVD fixes its signs on its own, so both are turned to agree with `parts`.
    """
    rank = parts[0].shape[1]
    blocks = np.split(H, np.cumsum([len(v) for v in parts])[:-1])
    sides = []
    for rows in (slice(None, -1), slice(1, None)):
        V = tall_svd(np.concatenate([block[rows] for block in blocks]), lambda s: rank)[0]
        reference = np.concatenate([v[rows] for v in parts])
        sides.append(V * np.where(np.sum(V * reference, axis=0) < 0, -1.0, 1.0))
    before, after = sides
    return (after - before) / dt, before


def closing_rank(rates: np.ndarray, rows: np.ndarray, n_forcing: int, share: float = 0.95) -> int:
    """Return the most coordinates r <= rows.shape[1] whose linear model closes, all of them if none does.

    That is, r coordinates explain `share` of the rate of each of the first r - n_forcing. The columns of
    `rows` (k, r) are orthonormal but for a few rows at the ends, so that shares add up.
    """
    total = np.sum(rates**2, axis=0)[:, None]
    closed = np.cumsum((rates.T @ rows) ** 2, axis=1) >= share * total
    for rank in range(rows.shape[1], n_forcing, -1):
        if closed[: rank - n_forcing, rank - 1].all():
            return rank
    return rows.shape[1]


def first_order_hold(A: np.ndarray, B: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P, Q0, Q1 with v(t + dt) = P v(t) + Q0 f(t) + Q1 f(t + dt), exact for f linear in between.

    All three are blocks of the exponential of one augmented matrix (Van Loan, 1978).
    """
    n, c = B.shape
    augmented = np.zeros((n + 2 * c, n + 2 * c))
    augmented[:n, :n] = A * dt
    augmented[:n, n : n + c] = B * dt
    augmented[n : n + c, n + c :] = np.eye(c)
    exponential = linalg.expm(augmented)
    constant, ramp = exponential[:n, n : n + c], exponential[:n, n + c :]
    return exponential[:n, :n], constant - ramp, ramp


def autoregression(forcings: list[np.ndarray]) -> np.ndarray:
    """Return weights (p c, c) of the last p values of the forcings (n_i, c), newest first, for the next."""
    order = min(AR_ORDER, max(1, max(len(f) for f in forcings) // 2))
    usable = [f for f in forcings if len(f) > order]
    if not usable:
        return np.zeros((order * forcings[0].shape[1], forcings[0].shape[1]))
    past = np.concatenate([delay_vectors(f[:-1], order) for f in usable])
    return np.linalg.lstsq(past, np.concatenate([f[order:] for f in usable]), rcond=None)[0]


def bursts(active: np.ndarray, min_gap: int = 1) -> np.ndarray:
    """Return first and last index of each run of True, (k, 2), runs closer than `min_gap` merged."""
    edges = np.diff(np.concatenate([[0], active.astype(int), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    if not len(starts):
        return np.empty((0, 2), dtype=int)
    apart = starts[1:] - ends[:-1] > min_gap
    return np.column_stack([starts[np.r_[True, apart]], ends[np.r_[apart, True]]])
