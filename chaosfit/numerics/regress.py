r"""Least squares and sparse regression on Gram matrices: once the rows are read, everything is small.

For library columns Theta (n, p) and targets Y (n, d), all functions need only :math:`G = \Theta^T\Theta` and
:math:`R = \Theta^T Y`, which `gram` accumulates. `ridge_solve` solves; `stlsq`, `threshold_path`, `ssr` and
`frols` select terms. A path of thresholds costs about as much as one.

The Gram matrix squares the condition number. `ridge_solve` therefore scales to unit diagonal first, which for
polynomial libraries removes most of the loss, and falls back to the minimum-norm solution.

References
----------
Brunton, Proctor, Kutz, "Discovering governing equations from data by sparse identification of nonlinear
dynamical systems", PNAS 113 (2016), doi:10.1073/pnas.1517384113.
Boninsegna, Nueske, Clementi, "Sparse learning of stochastic dynamical equations", J. Chem. Phys. 148 (2018),
doi:10.1063/1.5018409.
Billings, Nonlinear System Identification, Wiley (2013), chapter 3: forward orthogonal least squares.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.lapack import dposv

from chaosfit.numerics.gram import Gram, gram, gram_blocks, residual_sum_of_squares

__all__ = [
    "Gram",
    "frols",
    "gram",
    "gram_blocks",
    "residual_sum_of_squares",
    "ridge_solve",
    "ssr",
    "stlsq",
    "threshold_path",
]

Array = NDArray[np.float64]


def ridge_solve(G: ArrayLike, C: ArrayLike, ridge: float = 0.0) -> Array:
    r"""Solve :math:`(G + ridge\,I) W = C` for a symmetric positive semidefinite G.

    Cholesky factorisation after scaling to unit diagonal. If that finds G singular to working precision, the
    solution of smallest norm (in the scaled variables) instead, so that collinear columns do no harm.

    Parameters
    ----------
    G : array of shape (p, p)
        For example Theta^T Theta.
    C : array of shape (p, d) or (p,)
        For example Theta^T Y.
    ridge : float >= 0, default 0
        Penalty on the squared coefficients, in the units of G.

    Returns
    -------
    array of the shape of C

    Raises
    ------
    ValueError
        If G or C is not finite, or ridge is negative.

    Examples
    --------
    >>> ridge_solve([[4.0, 0.0], [0.0, 1.0]], [8.0, 3.0], ridge=1.0)
    array([1.6, 1.5])
    """
    G, C = np.array(G, dtype=np.float64), np.asarray(C, dtype=np.float64)
    if not (np.isfinite(G).all() and np.isfinite(C).all()):
        raise ValueError("ridge_solve expects finite matrices, got NaN or inf; check the columns for overflow.")
    if not ridge >= 0:
        raise ValueError(f"ridge must be non-negative, got {ridge!r}.")
    G.flat[:: len(G) + 1] += ridge
    # Sums from which the share of noise was subtracted may have lost their definiteness, even on the diagonal.
    scale = np.sqrt(np.maximum(np.diag(G), 0.0))
    scale[scale == 0] = 1.0
    G /= scale
    G /= scale[:, None]
    right = (C.T / scale).T
    if not C.size:
        return right
    factor, solution, info = dposv(G, right, lower=1)
    if info or np.diag(factor).min() ** 2 < len(G) * np.finfo(float).eps:
        values, vectors = np.linalg.eigh(G)
        kept = values > len(G) * np.finfo(float).eps * values[-1]
        solution = (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ right)
    return (solution.reshape(C.shape).T / scale).T


def stlsq(
    G: ArrayLike,
    R: ArrayLike,
    *,
    threshold: float,
    ridge: float = 0.0,
    max_iter: int = 20,
    unbias: bool = True,
    normalize: bool = False,
) -> Array:
    """Sequentially thresholded least squares: solve, drop small coefficients, repeat on what is left.

    Every target has its own support.

    Parameters
    ----------
    G, R : arrays of shapes (p, p) and (p, d)
        Theta^T Theta and Theta^T Y.
    threshold : float >= 0
        Coefficients of smaller magnitude are dropped.
    ridge : float >= 0, default 0
        Penalty while selecting; the published code uses 0.05 on sums over rows.
    max_iter : int >= 1, default 20
    unbias : bool, default True
        Solve once more without penalty on the final support.
    normalize : bool, default False
        Threshold and penalise the coefficients of columns of unit norm. Results are in original units.

    Returns
    -------
    array of shape (p, d)
        Coefficients, a zero column where every term was dropped.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 50)
    >>> sums = gram(np.column_stack([x, x**2, x**3]), (2 * x - 3 * x**3)[:, None])
    >>> stlsq(sums.G, sums.R, threshold=0.1).round(6).ravel()
    array([ 2.,  0., -3.])
    """
    path = threshold_path(G, R, [threshold], ridge=ridge, max_iter=max_iter, unbias=unbias, normalize=normalize)
    return path[0]


def threshold_path(
    G: ArrayLike,
    R: ArrayLike,
    thresholds: ArrayLike,
    *,
    ridge: float = 0.0,
    max_iter: int = 20,
    unbias: bool = True,
    normalize: bool = False,
    max_terms: int | None = None,
) -> Array:
    """`stlsq` for many thresholds; supports met before are not solved again.

    Parameters
    ----------
    G, R, ridge, max_iter, unbias, normalize
        As in `stlsq`.
    thresholds : array of shape (n_thresholds,)
    max_terms : int, optional
        Once a threshold leaves a target more terms than that, smaller ones are not tried; they give zeros.

    Returns
    -------
    array of shape (n_thresholds, p, d)

    Examples
    --------
    >>> import numpy as np
    >>> path = threshold_path(np.eye(3), np.array([[3.0], [2.0], [1.0]]), [0.5, 1.5, 2.5])
    >>> np.count_nonzero(path, axis=(1, 2))
    array([3, 2, 1])
    """
    G, R, norms = _unit_norm(G, R) if normalize else (np.asarray(G), np.asarray(R), np.ones(np.shape(G)[0]))
    thresholds = np.asarray(thresholds, dtype=np.float64)
    path = np.zeros((len(thresholds), *R.shape))
    start = ridge_solve(G, R, ridge)
    for target in range(R.shape[1]):
        solve = _cached_solver(G, R[:, target])
        for step in np.argsort(-thresholds):  # large thresholds are cheap
            support, coef = _drop_small(solve, start[:, target], thresholds[step], ridge, max_iter)
            if max_terms is not None and support.sum() > max_terms:
                break
            path[step, :, target] = solve(support, 0.0) if unbias else coef
    return path / norms[:, None]


def _drop_small(
    solve: Callable[[NDArray[np.bool_], float], Array],
    coef: Array,
    threshold: float,
    ridge: float,
    max_iter: int,
) -> tuple[NDArray[np.bool_], Array]:
    support = np.ones(len(coef), dtype=bool)
    for _ in range(max_iter):
        kept = support & (np.abs(coef) >= threshold)
        unchanged = np.array_equal(kept, support)
        support = kept
        if unchanged:
            break
        coef = solve(support, ridge)
    return support, np.where(support, coef, 0.0)


def _cached_solver(G: Array, r: Array) -> Callable[[NDArray[np.bool_], float], Array]:
    """Ridge regression of one target on a support, remembered: paths of thresholds share most supports."""
    known: dict[tuple[bytes, float], Array] = {}

    def solve(support: NDArray[np.bool_], ridge: float) -> Array:
        key = support.tobytes(), ridge
        if key not in known:
            known[key] = np.zeros(len(r))
            index = np.flatnonzero(support)
            known[key][index] = ridge_solve(G[np.ix_(index, index)], r[index], ridge)
        return known[key]

    return solve


def _unit_norm(G: ArrayLike, R: ArrayLike) -> tuple[Array, Array, Array]:
    G, R = np.asarray(G), np.asarray(R)
    norms = np.sqrt(np.diag(G))
    norms[norms == 0] = 1.0
    return G / norms / norms[:, None], R / norms[:, None], norms


def ssr(G: ArrayLike, R: ArrayLike, *, ridge: float = 0.0) -> Array:
    """Stepwise sparse regression: drop the term whose loss raises the residual least, until one is left.

    Unlike the published criterion, the smallest coefficient, this does not depend on the scaling of columns.

    Parameters
    ----------
    G, R : arrays of shapes (p, p) and (p, d)
        Theta^T Theta and Theta^T Y.
    ridge : float >= 0, default 0

    Returns
    -------
    array of shape (p, p, d)
        Entry k - 1 holds the coefficients with k terms per target, fewer where columns depend on each other.
        Choose k by `residual_sum_of_squares` on held-out sums.

    Examples
    --------
    >>> import numpy as np
    >>> np.count_nonzero(ssr(np.eye(3), np.array([[3.0], [2.0], [1.0]])), axis=(1, 2))
    array([1, 2, 3])
    """
    G, R = np.asarray(G), np.asarray(R)
    path = np.zeros((len(G), *R.shape))
    unit_G, unit_R, _ = _unit_norm(G, R)
    for target, r in enumerate(R.T):
        index = np.sort(_forward_order(unit_G, unit_R[:, target], len(G)))  # dependent columns left out
        path[len(index) :, index, target] = ridge_solve(G[np.ix_(index, index)], r[index], ridge)
        while len(index):
            right = np.column_stack([r[index], np.eye(len(index))])
            solution = ridge_solve(G[np.ix_(index, index)], right, ridge)
            coef, variance = solution[:, 0], np.diag(solution[:, 1:])
            path[len(index) - 1, index, target] = coef
            loss = coef**2 / np.where(variance > 0, variance, np.inf)
            index = np.delete(index, np.argmin(loss))
    return path


def frols(G: ArrayLike, R: ArrayLike, *, n_terms: int | None = None, ridge: float = 0.0) -> Array:
    """Forward regression by orthogonal least squares: add the term that lowers the residual most.

    Parameters
    ----------
    G, R : arrays of shapes (p, p) and (p, d)
        Theta^T Theta and Theta^T Y.
    n_terms : int in [1, p], optional
        Length of the path, p by default.
    ridge : float >= 0, default 0
        Penalty of the coefficients; the order of terms ignores it.

    Returns
    -------
    array of shape (n_terms, p, d)
        Entry k - 1 holds the coefficients with k terms per target, fewer once nothing independent is left.

    Examples
    --------
    >>> import numpy as np
    >>> frols(np.eye(3), np.array([[1.0], [3.0], [2.0]]), n_terms=2)[..., 0]
    array([[0., 3., 0.],
           [0., 3., 2.]])
    """
    G, R = np.asarray(G), np.asarray(R)
    path = np.zeros((len(G) if n_terms is None else n_terms, *R.shape))
    unit_G, unit_R, _ = _unit_norm(G, R)
    for target, r in enumerate(R.T):
        order = _forward_order(unit_G, unit_R[:, target], len(path))
        for k in range(len(path)):
            index = order[: k + 1]
            path[k, index, target] = ridge_solve(G[np.ix_(index, index)], r[index], ridge)
    return path


def _forward_order(G: Array, r: Array, n_terms: int) -> NDArray[np.intp]:
    """Pivoted Cholesky factorisation of G; the pivot explains most of what is left of the target."""
    G, r, order = G.copy(), r.copy(), []
    for _ in range(n_terms):
        left = np.diag(G)
        gain = np.where(left > len(G) * np.finfo(float).eps, r**2 / np.where(left > 0, left, 1.0), 0.0)
        pivot = int(np.argmax(gain))
        if gain[pivot] == 0:
            break
        order.append(pivot)
        column = G[:, pivot] / np.sqrt(left[pivot])
        r = r - column * (r[pivot] / np.sqrt(left[pivot]))
        G = G - np.outer(column, column)
        G[pivot] = G[:, pivot] = 0.0
    return np.array(order, dtype=np.intp)
