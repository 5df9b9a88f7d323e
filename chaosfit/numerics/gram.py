r"""Sums of products over rows: all that least squares needs, read once, in blocks, joined and subtracted.

For library columns Theta (n, p) and targets Y (n, d) these are :math:`G = \Theta^T\Theta`,
:math:`R = \Theta^T Y` and the column sums of Y^2. Leaving a fold out is a subtraction, not a second pass over the rows.

References
----------
Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Gram", "LazyGram", "gram", "gram_blocks", "lazy_gram", "residual_sum_of_squares"]

Array = NDArray[np.float64]

_FEW_COLUMNS = 64  # so few columns are cheaper all at once
_LARGE_MEAN = 1e4  # mean^2 / variance above which centring must come before multiplication


@dataclass(frozen=True)
class Gram:
    """Sums over rows that least squares needs; add two to join their rows, subtract to leave rows out.

    The sums are taken about `theta_mean` and `Y_mean`, which are zero unless centring was asked for.

    Attributes
    ----------
    G : array of shape (p, p), or LazyGram
        Theta^T Theta.
    R : array of shape (p, d)
        Theta^T Y.
    yy : array of shape (d,)
        Column sums of Y^2.
    n_samples : float
        Number of rows, or the sum of their weights.
    theta_mean : array of shape (p,)
    Y_mean : array of shape (d,)

    Examples
    --------
    >>> import numpy as np
    >>> theta, Y = np.arange(12.0).reshape(6, 2), np.arange(6.0)[:, None]
    >>> whole = gram(theta, Y, center=True)
    >>> fold = gram(theta[:2], Y[:2], center=True)
    >>> bool(np.allclose((whole - fold).G, gram(theta[2:], Y[2:], center=True).G))
    True
    """

    G: Array | LazyGram
    R: Array
    yy: Array
    n_samples: float
    theta_mean: Array
    Y_mean: Array

    def __add__(self, other: Gram) -> Gram:
        return _join(self, other, 1.0)

    def __sub__(self, other: Gram) -> Gram:
        return _join(self, other, -1.0)


def _join(one: Gram, other: Gram, sign: float) -> Gram:
    if isinstance(one.G, LazyGram) or isinstance(other.G, LazyGram):
        raise TypeError("Sums whose G is a LazyGram cannot be joined; take them with gram instead of lazy_gram.")
    n_samples = one.n_samples + sign * other.n_samples
    if n_samples <= 0:
        raise ValueError(f"No rows are left: {one.n_samples} rows minus {other.n_samples}.")
    share = sign * other.n_samples / n_samples
    theta_gap, Y_gap = other.theta_mean - one.theta_mean, other.Y_mean - one.Y_mean
    between = share * one.n_samples  # sums about two means differ by the gap between the means
    return Gram(
        one.G + sign * other.G + between * np.outer(theta_gap, theta_gap),
        one.R + sign * other.R + between * np.outer(theta_gap, Y_gap),
        one.yy + sign * other.yy + between * Y_gap**2,
        n_samples,
        one.theta_mean + share * theta_gap,
        one.Y_mean + share * Y_gap,
    )


def gram(
    theta: ArrayLike,
    Y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    center: bool = False,
    block_rows: int = 4096,
) -> Gram:
    """Sums of products of library columns and targets.

    Parameters
    ----------
    theta : array of shape (n, p)
    Y : array of shape (n, d)
    sample_weight : array of shape (n,), >= 0, optional
        Number of times each row counts.
    center : bool, default False
        Take the sums about the column means, without losing digits to large means.
    block_rows : int >= 1, default 4096
        Rows per block; temporary memory is block_rows * p numbers.

    Returns
    -------
    Gram

    Examples
    --------
    >>> gram([[1.0, 2.0], [3.0, 4.0]], [[1.0], [1.0]]).G
    array([[10., 14.],
           [14., 20.]])
    """
    theta, Y = np.asarray(theta, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    if theta.ndim != 2 or Y.ndim != 2 or len(theta) != len(Y):
        raise ValueError(
            f"theta (n, p) and Y (n, d) must have as many rows each, got shapes {theta.shape} and {Y.shape}."
        )
    columns = [theta, Y] if sample_weight is None else [theta, Y, np.asarray(sample_weight, dtype=np.float64)]
    blocks = (tuple(column[first : first + block_rows] for column in columns) for first in range(0, len(Y), block_rows))
    return gram_blocks(blocks, center=center)


def gram_blocks(blocks: Iterable[tuple[Array, ...]], *, center: bool = False) -> Gram:
    """Sums over blocks of rows that need not fit into memory together.

    Parameters
    ----------
    blocks : iterable of (theta, Y) or (theta, Y, sample_weight)
        Arrays of shapes (n_i, p), (n_i, d) and (n_i,), for example library columns evaluated block by block.
    center : bool, default False
        Take the sums about the column means of all rows.

    Returns
    -------
    Gram

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 100)
    >>> parts = ((np.column_stack([part, part**2]), part[:, None]) for part in np.split(x, 4))
    >>> gram_blocks(parts).n_samples
    100.0
    """
    total: Gram | None = None
    for block in blocks:
        if len(block) == 3 and not np.any(block[2]):  # a block without weight has no mean
            continue
        sums = _block_sums(*block, center=center)
        total = sums if total is None else total + sums
    if total is None:
        raise ValueError("gram needs at least one row of positive weight, got none.")
    return total


def _block_sums(theta: Array, Y: Array, weight: Array | None = None, *, center: bool) -> Gram:
    n_samples = float(len(Y) if weight is None else weight.sum())
    theta_mean, Y_mean = np.zeros(theta.shape[1]), np.zeros(Y.shape[1])
    if center:
        theta_mean = np.average(theta, axis=0, weights=weight)
        Y_mean = np.average(Y, axis=0, weights=weight)
        theta, Y = theta - theta_mean, Y - Y_mean
    if weight is not None:
        root = np.sqrt(weight)[:, None]
        theta, Y = root * theta, root * Y
    return Gram(theta.T @ theta, theta.T @ Y, np.einsum("ij,ij->j", Y, Y), n_samples, theta_mean, Y_mean)


class LazyGram:
    """Gram matrix of centred columns that computes columns when asked: supports `G[:, i]` and `G.diagonal()`.

    Few of p columns are ever needed by a method that adds terms one by one. Columns come in batches, in order of
    `priority`, that double in size: at worst twice the cost of the whole matrix.

    Parameters
    ----------
    theta : array of shape (n, p)
        Kept, not copied.
    mean : array of shape (p,)
        Subtracted from the rows.
    squares : array of shape (p,)
        The diagonal.
    priority : array of shape (p,)
        Columns of large values are computed early.
    first : int >= 1
        Size of the first batch.
    """

    def __init__(self, theta: Array, mean: Array, squares: Array, priority: Array, first: int):
        self._theta, self._mean, self._squares, self._first = theta, mean, squares, first
        self._order = np.argsort(-priority, kind="stable")
        self._known: dict[int, Array] = {}

    def diagonal(self) -> Array:
        return self._squares.copy()

    def __getitem__(self, key: tuple[slice, int]) -> Array:
        rows, column = key
        if column not in self._known:
            others = [i for i in self._order if i not in self._known and i != column]
            batch = np.sort([column, *others[: max(len(self._known), self._first) - 1]])
            centered = np.take(self._theta, batch, axis=1)
            centered -= self._mean[batch]
            products = self._theta.T @ centered - np.outer(self._mean, centered.sum(axis=0))
            self._known.update(zip(batch.tolist(), products.T, strict=True))
        return self._known[column][rows]


def lazy_gram(theta: Array, Y: Array, *, center: bool = False) -> Gram:
    """The same as `gram`, with a `LazyGram` for G where that is faster and as accurate.

    Few columns are multiplied all at once, and columns with large means are centred first.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> theta, Y = rng.standard_normal((300, 100)), rng.standard_normal((300, 1))
    >>> lazy_gram(theta, Y).G
    <chaosfit.numerics.gram.LazyGram object at ...>
    """
    (n_samples, p), d = theta.shape, Y.shape[1]
    if p <= _FEW_COLUMNS:
        return gram(theta, Y, center=center)
    mean, Y_mean = np.zeros(p), np.zeros(d)
    squares = np.einsum("ij,ij->j", theta, theta)
    if center:
        mean, Y_mean = theta.mean(axis=0), Y.mean(axis=0)
        squares = squares - n_samples * mean**2
        if np.any(n_samples * mean**2 > _LARGE_MEAN * squares):
            return gram(theta, Y, center=True)
        Y = Y - Y_mean
    R = theta.T @ Y - np.outer(mean, Y.sum(axis=0))
    yy = np.einsum("ij,ij->j", Y, Y)
    norms, Y_norms = (np.sqrt(np.where(x > 0, x, np.inf)) for x in (squares, yy))
    priority = np.abs(R / norms[:, None] / Y_norms).max(axis=1)
    G = LazyGram(theta, mean, squares, priority, first=8 * (1 + d))
    return Gram(G, R, yy, float(n_samples), mean, Y_mean)


def residual_sum_of_squares(G: ArrayLike, R: ArrayLike, yy: ArrayLike, Xi: ArrayLike) -> Array:
    """Sum over rows of (Y - Theta Xi)^2, for training or held-out sums.

    Parameters
    ----------
    G, R, yy : arrays of shapes (p, p), (p, d) and (d,)
        See `Gram`.
    Xi : array of shape (..., p, d)
        Coefficients, for example a whole path.

    Returns
    -------
    array of shape (..., d)
        Never negative; differences below about 1e-14 yy are rounding.

    Examples
    --------
    >>> residual_sum_of_squares([[2.0]], [[4.0]], [10.0], [[1.0]])
    array([4.])
    """
    G, R, Xi = np.asarray(G), np.asarray(R), np.asarray(Xi)
    return np.maximum(np.asarray(yy) + (Xi * (G @ Xi - 2.0 * R)).sum(axis=-2), 0.0)
