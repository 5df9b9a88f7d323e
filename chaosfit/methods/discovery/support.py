"""Which library terms noisy linear equations demand: the smallest support that no larger one beats on held-out rows.

Noise in the data sits in the library columns, too. There it biases least squares (errors in variables), hides true
terms and fakes others. Sums of products are smooth functions of the variance of that noise, so sums with the noise
doubled show what doubling adds, and subtracting it again estimates the sums of noise-free data.

References
----------
Cook and Stefanski, "Simulation-extrapolation estimation in parametric measurement error models", J. Am. Stat.
Assoc. 89, 1314 (1994), doi:10.1080/01621459.1994.10476871.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chaosfit.numerics.regress import ridge_solve, threshold_path

__all__ = [
    "BlockSums",
    "block_sums",
    "least_squares",
    "noise_free",
    "row_blocks",
    "select_support",
    "threshold_candidates",
]

Array = NDArray[np.float64]
Support = NDArray[np.bool_]

_N_BLOCKS = 20
#: Thresholds relative to the largest coefficient of a target.
_THRESHOLDS = np.geomspace(1e-6, 1.0, 30)
#: Supports with more terms are no candidates: not sparse, and expensive.
_MAX_TERMS = 100
#: A larger support must win by this many standard errors of the paired difference over blocks ...
_SIGNIFICANT = 3.0
#: ... unless it removes more than this share of the residual, as where few blocks hold all of the motion ...
_OVERWHELMING = 0.5
#: ... and lower the residual by this share, and by this share of the target: less is bias of the discretisation.
_RELEVANT, _RELEVANT_SIZE = 0.05, 1e-12
#: The search for better supports: rounds, and terms that may be added in each.
_MAX_SEARCHES, _N_NEIGHBOURS = 10, 10


class BlockSums(NamedTuple):
    """Sums of products over each of K blocks of rows: G (K, p, p), R (K, p, d) and yy (K, d)."""

    G: Array
    R: Array
    yy: Array

    def take(self, blocks) -> BlockSums:
        """Return the sums of some blocks."""
        return BlockSums(*(sums[blocks] for sums in self))

    def one(self, target: int) -> BlockSums:
        """Return the sums of one target, without that axis."""
        return BlockSums(self.G, self.R[..., target], self.yy[..., target])

    def total(self) -> BlockSums:
        """Return the sums over all rows, without the block axis."""
        return BlockSums(*(sums.sum(axis=0) for sums in self))


def row_blocks(n_rows: int) -> list[slice]:
    """Split rows into at most 20 blocks of consecutive rows."""
    edges = np.linspace(0, n_rows, min(_N_BLOCKS, n_rows) + 1).astype(int)
    return [slice(first, last) for first, last in pairwise(edges)]


def block_sums(A: Array, b: Array) -> BlockSums:
    """Sums of products of A (n, p) and b (n, d) over the blocks of `row_blocks`.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.arange(80.0).reshape(40, 2)
    >>> sums = block_sums(A, A[:, :1])
    >>> sums.G.shape, bool(np.allclose(sums.total().G, A.T @ A))
    ((20, 2, 2), True)
    """
    blocks = [(A[rows], b[rows]) for rows in row_blocks(len(A))]
    return BlockSums(
        np.stack([part.T @ part for part, _ in blocks]),
        np.stack([part.T @ target for part, target in blocks]),
        np.stack([np.einsum("ij,ij->j", target, target) for _, target in blocks]),
    )


def noise_free(sums: BlockSums, noisier: list[BlockSums]) -> BlockSums:
    """Extrapolate to no noise from sums of copies to which as much noise was added as there is already."""
    share = 1.0 / len(noisier)
    return BlockSums(*(2.0 * one - share * sum(more) for one, *more in zip(sums, *noisier, strict=True)))


def least_squares(sums: BlockSums, support: Support) -> Array:
    """Coefficients (p, d) on a support (p, d) from total sums."""
    Xi = np.zeros(support.shape)
    for target, kept in enumerate(support.T):
        index = np.flatnonzero(kept)
        Xi[index, target] = ridge_solve(sums.G[np.ix_(index, index)], sums.R[index, target])
    return Xi


def threshold_candidates(sums: BlockSums, scales: list[Array]) -> Support:
    """Supports (k, p, d) that thresholded least squares finds on a range of thresholds, for each scale of the columns.

    Coefficients in natural units separate true from false terms best; those of scaled columns do not depend on units.
    """
    total, supports = sums.total(), []
    for scale in scales:
        G, R = total.G / scale / scale[:, None], total.R / scale[:, None]
        largest = np.abs(ridge_solve(G, R)).max(axis=0)
        R = R / np.where(largest > 0, largest, 1.0)
        supports.append(threshold_path(G, R, _THRESHOLDS, max_terms=_MAX_TERMS) != 0)
    return np.concatenate(supports)


def select_support(sums: BlockSums, clean: BlockSums, candidates: Support, *, search: bool = True) -> Support:
    """Choose for every target the smallest support that no larger one beats.

    Parameters
    ----------
    sums : BlockSums
        Of the rows as they are; their residual tells which improvements are relevant.
    clean : BlockSums
        The same extrapolated to no noise; residuals are compared on these.
    candidates : bool array of shape (k, p, d)
    search : bool, default True
        Also try supports that differ from the chosen one by one term, until none of them is chosen.

    Returns
    -------
    bool array of shape (p, d)
    """
    total, clean_total = sums.total(), clean.total()
    chosen = np.zeros(candidates.shape[1:], dtype=bool)
    for target in range(candidates.shape[2]):
        problem = _Problem(total.one(target), clean_total.one(target), clean.one(target))
        tried = candidates[candidates[:, :, target].sum(axis=1) <= _MAX_TERMS, :, target]
        chosen[:, target] = _search(problem, [chosen[:, target], *tried], _MAX_SEARCHES if search else 0)
    return chosen


class _Loss(NamedTuple):
    """A support, its residual on every block when fitted to the others, and its noisy residual over all rows."""

    support: Support
    held_out: Array
    residual: float


class _Problem(NamedTuple):
    """Sums for one target: as they are, without noise, and without noise on every block."""

    noisy: BlockSums
    clean: BlockSums
    blocks: BlockSums

    def loss(self, support: Support) -> _Loss:
        index = np.flatnonzero(support)
        G, R = self.blocks.G[:, index[:, None], index], self.blocks.R[:, index]
        coef = _solve_each(G.sum(axis=0) - G, R.sum(axis=0) - R)
        held_out = self.blocks.yy + (coef * (np.einsum("kij,kj->ki", G, coef) - 2.0 * R)).sum(axis=1)
        mean = coef.mean(axis=0)
        residual = self.noisy.yy + mean @ (self.noisy.G[index[:, None], index] @ mean - 2.0 * self.noisy.R[index])
        return _Loss(support, held_out, max(residual, 0.0))

    def neighbours(self, support: Support) -> list[Support]:
        """Supports with one term less, or one of the most promising terms more."""
        index = np.flatnonzero(support)
        coef = ridge_solve(self.clean.G[index[:, None], index], self.clean.R[index])
        misfit = np.abs(self.clean.R - self.clean.G[:, index] @ coef) / np.sqrt(
            np.maximum(np.diag(self.noisy.G), 1e-300)
        )
        promising = np.argsort(-np.where(support, 0.0, misfit))[:_N_NEIGHBOURS]
        changed = np.union1d(index, promising)
        return list(support ^ (np.arange(len(support)) == changed[:, None]))


def _search(problem: _Problem, supports: list[Support], n_searches: int) -> Support:
    losses, size = {}, float(problem.noisy.yy)

    def best_of(supports):
        for support in supports:
            if support.tobytes() not in losses:
                losses[support.tobytes()] = problem.loss(support)
        return _smallest_adequate(list(losses.values()), size)

    best = best_of(supports)
    for _ in range(n_searches):
        previous, best = best, best_of(problem.neighbours(best))
        if np.array_equal(best, previous):
            break
    return best


def _smallest_adequate(losses: list[_Loss], size: float) -> Support:
    """Go from small supports to large ones; stop at the first that no larger one beats clearly."""
    losses = sorted(losses, key=lambda loss: (loss.support.sum(), loss.held_out.sum()))
    held_out = np.stack([loss.held_out for loss in losses])
    n_terms = np.array([loss.support.sum() for loss in losses])
    for rank, loss in enumerate(losses):
        larger = held_out[n_terms > n_terms[rank]]
        gain = loss.held_out - larger
        doubt = gain.std(axis=1) * np.sqrt(gain.shape[1])
        certain = loss.held_out.sum() - np.maximum(larger.sum(axis=1), 0.0)  # extrapolated residuals may be negative
        beats = (gain.sum(axis=1) > _SIGNIFICANT * doubt) | (certain > _OVERWHELMING * loss.residual)
        relevant = gain.sum(axis=1) > _RELEVANT * loss.residual + _RELEVANT_SIZE * size
        if not (beats & relevant).any():
            return loss.support
    raise AssertionError("nothing is larger than the largest support")  # pragma: no cover


def _solve_each(G: Array, R: Array) -> Array:
    """Solve K systems (K, s, s) with right sides (K, s); nearly dependent columns give useless, finite solutions."""
    scale = np.sqrt(np.abs(np.einsum("kii->ki", G)))
    scale[scale == 0] = 1.0
    G = G / scale[:, :, None] / scale[:, None, :]
    G += 1e-14 * np.eye(G.shape[1])
    R = (R / scale)[..., None]
    try:
        solution = np.linalg.solve(G, R)
    except np.linalg.LinAlgError:
        solution = np.linalg.pinv(G) @ R
    return solution[..., 0] / scale
