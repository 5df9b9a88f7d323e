"""Which differences between methods are more than luck: pure functions on arrays (n_systems, n_methods).

The system is the unit: a score is already the median over the starts and seeds of one system. Bounded scores
and medians only; an unbounded error has no useful mean.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

_RESAMPLES_AT_ONCE = 1000


def bootstrap_median(
    scores: ArrayLike,
    *,
    families: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 10_000,
    random_state: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median over the systems, and its percentile interval when the systems are drawn again.

    Parameters
    ----------
    scores : array (n_systems, n_methods)
        Infinite values are allowed, NaN is not.
    families : array (n_systems,), optional
        Labels of related systems, which are drawn together: relatives are not independent, and the interval
        says so by being wider.
    level : float in (0, 1), default 0.95
    n_resamples : int, default 10000
    random_state : int, default 0

    Returns
    -------
    median, low, high : arrays (n_methods,)

    References
    ----------
    Field, Welsh, Journal of the Royal Statistical Society B 69, 369, 2007, doi:10.1111/j.1467-9868.2007.00593.x.

    Examples
    --------
    >>> bootstrap_median([[1.0], [2.0], [6.0]], random_state=0)
    (array([2.]), array([1.]), array([6.]))
    """
    scores = _check(scores)
    labels = np.arange(len(scores)) if families is None else np.asarray(families)
    if labels.shape != (len(scores),):
        raise ValueError(f"families must hold one label per system, {len(scores)}; got the shape {labels.shape}.")
    _, members = np.unique(labels, return_inverse=True)
    n_families = members.max() + 1
    rng = np.random.default_rng(random_state)
    draws = []
    for done in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        size = min(_RESAMPLES_AT_ONCE, n_resamples - done)
        counts = rng.multinomial(n_families, np.full(n_families, 1 / n_families), size=size)
        draws.append(_weighted_medians(scores, counts[:, members]))
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(np.concatenate(draws), [tail, 100.0 - tail], axis=0, method="nearest")
    return np.median(scores, axis=0), low, high


def _weighted_medians(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Medians (n_resamples, n_methods) of the scores, each repeated as often as counts (n_resamples, n_systems) say."""
    medians = np.empty((len(counts), scores.shape[1]))
    total = counts.sum(axis=1)
    for method, column in enumerate(scores.T):
        order = np.argsort(column)
        reached = counts[:, order].cumsum(axis=1)
        # The two middle values; for an odd number they are the same one.
        lower = (reached >= (total[:, np.newaxis] + 1) // 2).argmax(axis=1)
        upper = (reached >= total[:, np.newaxis] // 2 + 1).argmax(axis=1)
        medians[:, method] = _midpoint(column[order[lower]], column[order[upper]])
    return medians


def _midpoint(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.where(low == high, low, low / 2 + high / 2)


def share_won(scores: ArrayLike, *, larger_is_better: bool = True) -> np.ndarray:
    """Share of systems (n_methods,) on which each method is the best; a tie is divided among the winners.

    Examples
    --------
    >>> share_won([[3.0, 1.0], [2.0, 2.0]])
    array([0.75, 0.25])
    """
    gains = _gains(scores, larger_is_better)
    best = gains == gains.max(axis=1, keepdims=True)
    return (best / best.sum(axis=1, keepdims=True)).mean(axis=0)


def average_ranks(scores: ArrayLike, *, larger_is_better: bool = True) -> np.ndarray:
    """Mean rank (n_methods,) over the systems; 1 is the best, ties share their ranks."""
    return stats.rankdata(-_gains(scores, larger_is_better), axis=1).mean(axis=0)


@dataclasses.dataclass(frozen=True)
class Friedman:
    """Result of `friedman_nemenyi`.

    Attributes
    ----------
    statistic, pvalue : float
        Of the hypothesis that all methods are equally good.
    ranks : ndarray (n_methods,)
    critical_difference : float
        Two methods whose ranks are closer than this cannot be told apart.
    """

    statistic: float
    pvalue: float
    ranks: np.ndarray
    critical_difference: float


def friedman_nemenyi(scores: ArrayLike, *, larger_is_better: bool = True, level: float = 0.05) -> Friedman:
    r"""Friedman's test that all methods are alike, with Nemenyi's critical difference of ranks.

    .. math:: CD = q_{level} \sqrt{k (k + 1) / (6 N)}

    Parameters
    ----------
    scores : array (N, k)
        At least three methods and two systems.
    larger_is_better : bool, default True
    level : float, default 0.05
        Probability to find some difference where there is none.

    References
    ----------
    Demsar, Journal of Machine Learning Research 7, 1, 2006.

    Examples
    --------
    >>> friedman_nemenyi([[1, 2, 3], [1, 3, 2], [1, 2, 3], [1, 2, 3]]).ranks
    array([3.  , 1.75, 1.25])
    """
    gains = _gains(scores, larger_is_better)
    n_systems, n_methods = gains.shape
    if n_methods < 3 or n_systems < 2:
        raise ValueError(
            f"Friedman's test needs at least 3 methods and 2 systems, got {n_methods} and {n_systems}; "
            f"compare two methods by wilcoxon_holm."
        )
    ranks = average_ranks(gains)
    if (gains == gains[:, :1]).all():
        statistic, pvalue = 0.0, 1.0  # nothing but ties: SciPy would divide by zero
    else:
        statistic, pvalue = map(float, stats.friedmanchisquare(*stats.rankdata(gains, axis=1).T))
    return Friedman(statistic, pvalue, ranks, critical_difference(n_systems, n_methods, level))


def critical_difference(n_systems: int, n_methods: int, level: float = 0.05) -> float:
    """Nemenyi's smallest difference of mean ranks that is significant."""
    q = stats.studentized_range.isf(level, n_methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_methods * (n_methods + 1) / (6 * n_systems)))


def indistinguishable_groups(ranks: ArrayLike, difference: float) -> list[list[int]]:
    """Largest groups of at least two methods (indices, the best first) whose ranks lie within `difference`.

    Examples
    --------
    >>> indistinguishable_groups([1.0, 3.0, 1.5, 3.2], 1.6)
    [[0, 2], [2, 1], [1, 3]]
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    order = np.argsort(ranks, kind="stable")
    ends = np.searchsorted(ranks[order], ranks[order] + difference, side="right")
    groups: list[list[int]] = []
    furthest = 0
    for first, end in enumerate(ends):
        if end > furthest and end - first > 1:
            groups.append(order[first:end].tolist())
        furthest = max(furthest, end)
    return groups


def wilcoxon_holm(scores: ArrayLike) -> np.ndarray:
    """Two-sided p-values (n_methods, n_methods) of all pairs, corrected for their number.

    Wilcoxon's signed-rank test with Pratt's treatment of ties; Holm's correction over all pairs. The diagonal
    is 1.

    References
    ----------
    Pratt, Journal of the American Statistical Association 54, 655, 1959; Holm, Scandinavian Journal of
    Statistics 6, 65, 1979.
    """
    scores = _check(scores)
    n_methods = scores.shape[1]
    first, second = np.triu_indices(n_methods, k=1)
    raw = [_wilcoxon(scores[:, i], scores[:, j]) for i, j in zip(first, second, strict=True)]
    pvalues = np.ones((n_methods, n_methods))
    pvalues[first, second] = pvalues[second, first] = holm(raw)
    return pvalues


def _wilcoxon(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        differences = np.where(a == b, 0.0, a - b)
    if not differences.any():
        return 1.0
    # Two failures are alike, and a failure is worse than any finite difference: ranks need no more.
    largest = np.abs(differences[np.isfinite(differences)]).max(initial=0.0)
    differences = np.clip(differences, -2 * largest - 1, 2 * largest + 1)
    # The exact distribution knows no ties.
    method = "asymptotic" if (differences == 0).any() or len(np.unique(np.abs(differences))) < len(a) else "auto"
    return float(stats.wilcoxon(differences, zero_method="pratt", method=method).pvalue)


def holm(pvalues: ArrayLike) -> np.ndarray:
    """Holm's step-down correction of p-values (m,).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    pvalues = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(pvalues)
    factors = np.arange(len(pvalues), 0, -1)
    adjusted = np.empty_like(pvalues)
    adjusted[order] = np.minimum(np.maximum.accumulate(pvalues[order] * factors), 1.0)
    return adjusted


class DieboldMariano(NamedTuple):
    """Result of `diebold_mariano`: negative if the first forecast has the smaller loss, and its two-sided p-value."""

    statistic: float
    pvalue: float


def diebold_mariano(
    errors1: ArrayLike, errors2: ArrayLike, *, horizon: int = 1, loss: str = "square"
) -> DieboldMariano:
    r"""Test whether two forecasts of one series have the same expected loss.

    .. math:: DM = \bar d \Big/ \sqrt{\Big(\gamma_0 + 2 \sum_{k<h} \gamma_k\Big) / n}, \quad d_t = L(e_{1t}) - L(e_{2t})

    with the autocovariances of d, since errors h steps ahead overlap and are not independent; corrected for small n
    as by Harvey et al., and compared with Student's t with n - 1 degrees of freedom.

    Parameters
    ----------
    errors1, errors2 : arrays (n,)
        Errors of the two forecasts at the same n > horizon times, in their order.
    horizon : int >= 1, default 1
        Steps ahead, h, that the errors belong to.
    loss : {"square", "absolute"}, default "square"

    Returns
    -------
    DieboldMariano (statistic, pvalue)
        (0, 1) for equal losses.

    Notes
    -----
    It compares forecasts, not methods: with another training set the verdict may differ. Where the sum of the
    autocovariances is not positive, they are weighted by 1 - k / h.

    References
    ----------
    Diebold and Mariano, Journal of Business and Economic Statistics 13, 253 (1995),
    doi:10.1080/07350015.1995.10524599.
    Harvey, Leybourne and Newbold, International Journal of Forecasting 13, 281 (1997),
    doi:10.1016/S0169-2070(96)00719-4.

    Examples
    --------
    >>> result = diebold_mariano([0.1, -0.2, 0.3, -0.1], [1.0, -2.0, 1.5, 2.5])
    >>> bool(result.statistic < 0), round(result.pvalue, 2)
    (True, 0.06)
    """
    losses = {"square": np.square, "absolute": np.abs}
    if loss not in losses:
        raise ValueError(f"loss must be 'square' or 'absolute', got {loss!r}.")
    first, second = np.asarray(errors1, dtype=np.float64), np.asarray(errors2, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"expected two series of errors of one length, got the shapes {first.shape}, {second.shape}.")
    n = len(first)
    if not 1 <= horizon < n:
        raise ValueError(f"horizon must be between 1 and the number of errors - 1, {n - 1}, got {horizon}.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError(
            "the errors contain NaN or infinity: a lost forecast has no finite loss, compare ranks instead."
        )
    difference = losses[loss](first) - losses[loss](second)
    mean = difference.mean()
    if not difference.any():
        return DieboldMariano(0.0, 1.0)
    centred = difference - mean
    covariances = np.array([centred[: n - k] @ centred[k:] for k in range(horizon)]) / n
    variance = 2 * covariances.sum() - covariances[0]
    if variance <= 0:
        variance = 2 * covariances @ (1 - np.arange(horizon) / horizon) - covariances[0]
    correction = np.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    with np.errstate(divide="ignore"):  # a constant difference leaves no doubt
        statistic = float(correction * mean / np.sqrt(variance / n))
    return DieboldMariano(statistic, float(2 * stats.t.sf(abs(statistic), n - 1)))


def hodges_lehmann(differences: ArrayLike) -> float:
    """Median of all pairwise means of finite differences (n,): the shift that goes with Wilcoxon's test.

    Examples
    --------
    >>> hodges_lehmann([1.0, 2.0, 6.0])
    2.75
    """
    values = np.asarray(differences, dtype=np.float64)
    first, second = np.triu_indices(len(values))
    return float(np.median((values[first] + values[second]) / 2))


def _check(scores: ArrayLike) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must have the shape (n_systems, n_methods), got {scores.shape}.")
    if np.isnan(scores).any():
        system, method = np.argwhere(np.isnan(scores))[0].tolist()
        raise ValueError(f"scores[{system}, {method}] is NaN; give a failure the worst score, such as inf.")
    return scores


def _gains(scores: ArrayLike, larger_is_better: bool) -> np.ndarray:
    scores = _check(scores)
    return scores if larger_is_better else -scores
