"""Long runs compared by what they visit, how long they remember, what follows a maximum, and which words they spell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from chaosfit.metrics.pair import ROUNDING, Floats, check_pair, check_scale, is_finite


def maximum_mean_discrepancy(
    y_true: ArrayLike, y_pred: ArrayLike, *, scale: ArrayLike | None = None, n_states: int = 1000
) -> float | Floats:
    r"""Return the distance of the visited states in the space of a kernel.

    .. math:: \mathrm{MMD}^2 = \langle k(y, y') \rangle + \langle k(p, p') \rangle - 2 \langle k(y, p) \rangle, \qquad
        k(x, z) = \frac{1}{5} \sum_a \left(1 + \frac{\|x - z\|^2}{2 a m^2}\right)^{-a}, \quad
        a = 0.2, 0.5, 1, 2, 5

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient.
    scale : array (d,) or float, default: standard deviation of y_true
        Unit of every coordinate.
    n_states : int >= 2, default 1000
        Evenly spaced states of each run that are used; time grows with its square.

    Returns
    -------
    float in 0..sqrt(2), or array (B,)
        sqrt(2) if the forecast is not finite. m is the median distance within the truth, not of both runs, so
        that models are measured by one kernel. Blind to the order in time.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf and Smola, JMLR 13, 723 (2012).

    Examples
    --------
    >>> import numpy as np
    >>> orbit = np.random.default_rng(0).normal(size=(1000, 2))
    >>> maximum_mean_discrepancy(orbit, orbit), maximum_mean_discrepancy(orbit, orbit + 3.0) > 0.5
    (0.0, True)
    """
    if n_states < 2:
        raise ValueError(f"n_states must be at least 2, got {n_states}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    units = check_scale(scale, true)[:, None, :]
    rows = np.arange(min(n_states, true.shape[1])) * true.shape[1] // min(n_states, true.shape[1])
    values = np.full(len(true), np.sqrt(2.0))
    for b in np.flatnonzero(is_finite(pred)):
        values[b] = _discrepancy(true[b, rows] / units[b], pred[b, rows] / units[b])
    return as_given(values)


def _discrepancy(orbit: Floats, run: Floats) -> float:
    within = cdist(orbit, orbit, "sqeuclidean")
    width = np.median(within[np.triu_indices(len(orbit), 1)]) if len(orbit) > 1 else 1.0

    def kernel(squares: Floats) -> float:
        ratio = squares / (2.0 * max(width, ROUNDING))
        return float(np.mean([((1.0 + ratio / a) ** -a).mean() for a in (0.2, 0.5, 1.0, 2.0, 5.0)]))

    square = kernel(within) + kernel(cdist(run, run, "sqeuclidean")) - 2.0 * kernel(cdist(orbit, run, "sqeuclidean"))
    return float(np.sqrt(max(square, 0.0)))


def autocorrelation_error(y_true: ArrayLike, y_pred: ArrayLike, *, max_lag: int | None = None) -> float | Floats:
    r"""Return how much the autocorrelations differ.

    .. math:: E = \frac{1}{d} \sum_i \sqrt{\frac{1}{K} \sum_{k=1}^{K} \left(\rho_i^p(k) - \rho_i^y(k)\right)^2}

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient.
    max_lag : int in 1..T - 1, default T // 10
        Largest lag K in rows.

    Returns
    -------
    float in 0..2, or array (B,)
        2 if the forecast is not finite. A constant coordinate counts as correlation 1 at every lag.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.sin(0.3 * np.arange(1000.0))
    >>> autocorrelation_error(wave, 5.0 - 2.0 * wave) < 1e-9
    True
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    n_steps = true.shape[1]
    max_lag = max(1, n_steps // 10) if max_lag is None else max_lag
    if not 1 <= max_lag < n_steps:
        raise ValueError(f"max_lag must lie in 1..{n_steps - 1}, below the number of rows, got {max_lag}.")
    finite = is_finite(pred)
    difference = _autocorrelations(np.where(finite[:, None, None], pred, 0.0), max_lag) - _autocorrelations(
        true, max_lag
    )
    errors = np.sqrt((difference**2).mean(axis=1)).mean(axis=1)
    return as_given(np.where(finite, errors, 2.0))


def _autocorrelations(runs: Floats, max_lag: int) -> Floats:
    """Autocorrelations (B, max_lag, d) of runs (B, T, d) at the lags from 1 on."""
    n_steps = runs.shape[1]
    centred = runs - runs.mean(axis=1, keepdims=True)
    sizes = np.abs(centred).max(axis=1, keepdims=True)
    still = sizes <= ROUNDING * np.abs(runs).max(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred / np.where(still, 1.0, sizes), 2 * n_steps, axis=1)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, : max_lag + 1]
    return np.where(still, 1.0, products[:, 1:] / np.where(still, 1.0, products[:, :1]))


def return_map_distance(y_true: ArrayLike, y_pred: ArrayLike, *, coordinate: int = -1) -> float | Floats:
    """Return how far the maps from one maximum of a coordinate to the next lie apart.

    Every pair of successive maxima of one run is compared with the nearest pair of the other, in both directions; the
    value is the mean of these distances, in standard deviations of the maxima of the truth.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient, finely sampled.
    coordinate : int, default -1
        Whose maxima; for Lorenz-63 the last, whose map is a cusp.

    Returns
    -------
    float >= 0, or array (B,)
        ``inf`` if the forecast is not finite or has fewer than three maxima. A cycle scores high, as most pairs of the
        truth are then far from any of its own.

    References
    ----------
    Lorenz, Journal of the Atmospheric Sciences 20, 130 (1963), doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(0.0, 100.0, 0.05)
    >>> beats = np.sin(t) * (2 + np.sin(0.3 * t))
    >>> return_map_distance(beats, beats), return_map_distance(beats, np.sin(t)) > 0.5
    (0.0, True)
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    values = np.full(len(true), np.inf)
    for b, orbit in enumerate(true[:, :, coordinate]):
        expected = _successive_maxima(orbit)
        if len(expected) < 2:
            raise ValueError(f"coordinate {coordinate} of y_true must have at least three maxima, got a shorter run.")
        found = _successive_maxima(pred[b, :, coordinate]) if np.isfinite(pred[b]).all() else expected[:0]
        if len(found) >= 2:
            unit = expected.std() or 1.0
            there, back = KDTree(expected).query(found)[0].mean(), KDTree(found).query(expected)[0].mean()
            values[b] = (there + back) / (2.0 * unit)
    return as_given(values)


def _successive_maxima(x: Floats) -> Floats:
    """Pairs (n, 2) of successive maxima, each by the parabola through three rows."""
    before, middle, after = x[:-2], x[1:-1], x[2:]
    top = (middle > before) & (middle >= after)
    slope, bend = (after[top] - before[top]) / 2.0, before[top] - 2.0 * middle[top] + after[top]
    heights = middle[top] - slope**2 / (2.0 * bend)
    return np.column_stack([heights[:-1], heights[1:]])


def block_entropy_error(
    y_true: ArrayLike, y_pred: ArrayLike, *, coordinate: int = 0, length: int = 6, lag: int = 1
) -> float | Floats:
    r"""Return by how much the variety of words differs, per symbol.

    .. math:: E = \frac{1}{L} |H_L^p - H_L^y|, \qquad H_L = -\sum_w p_w \log p_w

    w are words of L symbols, one bit each: whether the coordinate lies above the median of the truth.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient; T much larger than 2^L lag.
    coordinate : int, default 0
    length : int in 1..20, default 6
        L.
    lag : int >= 1, default 1
        Rows between two symbols: for a flow, about half a mean period.

    Returns
    -------
    float in 0..log(2), or array (B,)
        log(2) if the forecast is not finite. A cycle has too few words, noise too many.

    Examples
    --------
    >>> import numpy as np
    >>> coin = np.random.default_rng(0).normal(size=4000)
    >>> round(block_entropy_error(coin, np.tile([1.0, -1.0], 2000)), 1)  # log 2, less the one bit of the phase
    0.6
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    if not (1 <= length <= 20 and lag >= 1 and (length - 1) * lag < true.shape[1]):
        raise ValueError(
            f"expected length in 1..20 and lag >= 1 with words within {true.shape[1]} rows, got {length} and {lag}."
        )
    levels = np.median(true[:, :, coordinate], axis=1)[:, None]
    finite = is_finite(pred)
    runs = np.where(finite[:, None, None], pred, 0.0)
    words = [_words(x[:, :, coordinate] > levels, length, lag) for x in (true, runs)]
    entropies = np.array([[_entropy(row) for row in part] for part in words])
    return as_given(np.where(finite, np.abs(entropies[1] - entropies[0]) / length, np.log(2.0)))


def _words(bits: np.ndarray, length: int, lag: int) -> np.ndarray:
    n_words = bits.shape[1] - (length - 1) * lag
    letters = np.stack([bits[:, i * lag : i * lag + n_words] for i in range(length)])
    return np.tensordot(1 << np.arange(length), letters, 1)


def _entropy(words: np.ndarray) -> float:
    p = np.unique(words, return_counts=True)[1] / len(words)
    return float(-(p * np.log(p)).sum())
