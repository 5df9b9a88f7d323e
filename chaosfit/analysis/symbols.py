"""Statistics of a symbol sequence: which words occur, and how much each next symbol surprises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["SymbolicDynamics", "symbolic_dynamics"]


@dataclass(frozen=True)
class SymbolicDynamics:
    """Result of :func:`symbolic_dynamics`; entropies are natural logarithms.

    Attributes
    ----------
    symbols : ndarray of shape (k,)
        Symbols that occur, rising.
    frequencies : ndarray of shape (k,)
        Shares of the time.
    dwell_times : ndarray of shape (k,)
        Mean number of steps in a row.
    transitions : ndarray of shape (k, k)
        Entry [i, j] is the probability that j follows i one step later.
    switches : ndarray of shape (k, k)
        The same for the next symbol that differs.
    topological_entropy : float
        Per step, from the pairs that occur: an upper bound.
    entropy_rate : float
        Per step, of the chain with `transitions`: an upper bound, too.
    block_entropies : ndarray of shape (n_blocks,)
        Entry k - 1 is H_k - H_{k-1}, the entropy of a symbol after k - 1 known ones. They fall towards the entropy per
        step; long blocks of a short sequence are underestimated.
    """

    symbols: np.ndarray
    frequencies: np.ndarray
    dwell_times: np.ndarray
    transitions: np.ndarray
    switches: np.ndarray
    topological_entropy: float
    entropy_rate: float
    block_entropies: np.ndarray


def symbolic_dynamics(symbols: ArrayLike, *, n_blocks: int = 8, min_share: float = 0.0) -> SymbolicDynamics:
    """Measure a sequence of symbols, such as the regions that an orbit visits.

    Parameters
    ----------
    symbols : array-like of int of shape (n,)
        n >= 2.
    n_blocks : int >= 1, default=8
        Longest block.
    min_share : float in [0, 1), default=0.0
        Symbols with a smaller share of the time are left out, and pairs over the gaps with them.

    Returns
    -------
    SymbolicDynamics

    References
    ----------
    Bollt and Santitissadeekorn, Applied and Computational Measurable Dynamics, SIAM 2013, doi:10.1137/1.9781611972641

    Examples
    --------
    >>> from chaosfit.analysis.symbols import symbolic_dynamics
    >>> result = symbolic_dynamics([0, 1, 1] * 100)
    >>> result.transitions.round(2).tolist()
    [[0.0, 1.0], [0.5, 0.5]]
    >>> [float(h.round(2)) + 0.0 for h in result.block_entropies[:3]]
    [0.64, 0.46, 0.0]
    """
    s = np.asarray(symbols)
    if s.ndim != 1 or len(s) < 2 or not np.issubdtype(s.dtype, np.integer):
        raise ValueError(f"symbols must be two or more integers in a row, got {s.dtype} of shape {s.shape}.")
    if n_blocks < 1:
        raise ValueError(f"n_blocks must be >= 1, got {n_blocks!r}.")
    names, codes, counts = np.unique(s, return_inverse=True, return_counts=True)
    kept = counts >= min_share * len(s)
    if not kept.any():
        raise ValueError(f"no symbol has a share of min_share={min_share!r} of the time.")
    codes = np.where(kept, np.cumsum(kept) - 1, -1)[codes]
    names, counts, k = names[kept], counts[kept], int(kept.sum())
    steps = _pairs(codes[:-1], codes[1:], k)
    runs = codes[np.flatnonzero(np.diff(codes, prepend=-2))]
    lengths = np.array([max((runs == code).sum(), 1) for code in range(k)])
    transitions = _rows_to_one(steps)
    occupied = steps.sum(axis=1) / steps.sum()
    surprise = -(transitions * np.log(np.where(transitions > 0, transitions, 1.0))).sum(axis=1)
    return SymbolicDynamics(
        symbols=names,
        frequencies=counts / counts.sum(),
        dwell_times=counts / lengths,
        transitions=transitions,
        switches=_rows_to_one(_pairs(runs[:-1], runs[1:], k)),
        topological_entropy=float(np.log(max(np.abs(np.linalg.eigvals((steps > 0).astype(float))).max(), 1.0))),
        entropy_rate=float(occupied @ surprise),
        block_entropies=np.diff([0.0, *(_block_entropy(codes, length) for length in range(1, n_blocks + 1))]),
    )


def _pairs(first: np.ndarray, second: np.ndarray, k: int) -> np.ndarray:
    """Count pairs of symbols (k, k), without those that touch a symbol left out."""
    whole = (first >= 0) & (second >= 0)
    return np.bincount(first[whole] * k + second[whole], minlength=k * k).reshape(k, k).astype(float)


def _rows_to_one(counts: np.ndarray) -> np.ndarray:
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def _block_entropy(codes: np.ndarray, length: int) -> float:
    """Entropy of the words of a length that hold no symbol left out."""
    words = np.zeros(max(len(codes) - length + 1, 0), np.int64)
    for place in range(length):  # numbered anew after each symbol, so that the numbers never overflow
        tail = codes[place : place + len(words)]
        words = np.where((words < 0) | (tail < 0), -1, words * (codes.max() + 1) + tail)
        whole = words >= 0
        words[whole] = np.unique(words[whole], return_inverse=True)[1]
    shares = np.bincount(words[words >= 0])
    shares = shares[shares > 0] / max(shares.sum(), 1)
    return float(-(shares * np.log(shares)).sum())
