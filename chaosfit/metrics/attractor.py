"""Whether a long free run lives on the same attractor: the same places, the same rhythm."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.utils import check_random_state

from chaosfit.metrics.pair import ROUNDING, Floats, check_pair, check_scale, is_finite


def state_space_divergence(
    y_true: ArrayLike, y_pred: ArrayLike, *, n_bins: int = 30, box: str = "padded", smoothing: float = 1e-5
) -> float | Floats:
    r"""Return the Kullback-Leibler divergence of the visited states, counted in boxes (:math:`D_{stsp}`).

    .. math:: D = \sum_k p_k \log \frac{p_k}{q_k}, \qquad
        p_k = \frac{c_k + a}{T + a K}, \quad K = n_{bins}^d + 1

    p counts the truth and q the forecast; the last of the K cells collects every state outside the box.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d), d <= 10
        Two long runs after the transient, in the same units.
    n_bins : int >= 2, default 30
        Bins per coordinate; 30 for d = 3 in the literature, 8 for d = 5.
    box : {"padded", "range", "two_std"}, default "padded"
        The region that is divided, per coordinate of the truth: its range widened by a tenth of its
        standard deviation on both sides (arXiv:2306.04406), its range (arXiv:2505.13192), or mean +- 2
        standard deviations (older work). Values are not comparable between boxes.
    smoothing : float > 0, default 1e-5
        Count a added to every cell.

    Returns
    -------
    float >= 0, or array (B,)
        The maximum for the given truth is the value of a run that left the box altogether, about log(T /
        smoothing) less the entropy of the truth; a run with NaN or infinity anywhere gets it.

    Raises
    ------
    ValueError
        If d > 10 (use `state_space_divergence_mixture` or `correlation_sum_distance`), or a coordinate of
        the truth is constant.

    Notes
    -----
    Even a perfect model does not reach 0: two independent runs of Lorenz-63 score about 5 at T = 1 000,
    0.9 at 10 000 and 0.04 at 100 000. Report `metric_floor` next to it. The order in time is invisible (a
    shuffled truth scores 0): report `power_spectrum_hellinger` as well. Published code drops what leaves
    the box, which rewards escape, and one variant drops the lowest bin of every coordinate; neither is
    done here. Not symmetric.

    References
    ----------
    Hess et al., arXiv:2306.04406; Hemmer and Durstewitz, arXiv:2505.13192.

    Examples
    --------
    >>> import numpy as np
    >>> orbit = np.random.default_rng(0).normal(size=(1000, 2))
    >>> state_space_divergence(orbit, orbit)
    0.0
    >>> round(state_space_divergence(orbit, orbit + 100.0), 1)  # nothing in the box: the maximum
    12.9
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    _, n_steps, n_variables = true.shape
    if n_bins < 2 or not smoothing > 0:
        raise ValueError(f"expected n_bins >= 2 and smoothing > 0, got n_bins={n_bins} and smoothing={smoothing}.")
    if n_variables > 10:
        raise ValueError(
            f"boxes are hopeless for {n_variables} coordinates, at most 10 are accepted. "
            "Use state_space_divergence_mixture or correlation_sum_distance."
        )
    n_cells = n_bins**n_variables + 1
    if smoothing * n_cells > n_steps:
        warnings.warn(
            f"{n_cells:.1e} cells with smoothing {smoothing} outweigh the {n_steps} states: the divergence "
            f"is close to 0 for every model. Use fewer bins than {n_bins}.",
            UserWarning,
            stacklevel=2,
        )
    pred = np.where(is_finite(pred)[:, None, None], pred, np.inf)
    values = [_box_divergence(*runs, box, n_bins, smoothing) for runs in zip(true, pred, strict=True)]
    return as_given(np.array(values))


def _box_divergence(orbit: Floats, run: Floats, box: str, n_bins: int, smoothing: float) -> float:
    edges = _box_edges(orbit, box)
    cells = np.concatenate([_cell_numbers(states, edges, n_bins) for states in (orbit, run)])
    visited, index = np.unique(cells, return_inverse=True)
    n_steps = len(orbit)
    counts_true = np.bincount(index[:n_steps], minlength=len(visited))
    counts_pred = np.bincount(index[n_steps:], minlength=len(visited))
    total = n_steps + smoothing * (n_bins ** orbit.shape[1] + 1)
    p, q = (counts_true + smoothing) / total, (counts_pred + smoothing) / total
    # Cells visited by neither run have p = q, because both runs are equally long, and add nothing.
    return float((p * np.log(p / q)).sum())


def _box_edges(orbit: Floats, box: str) -> tuple[Floats, Floats]:
    low, high, spread = orbit.min(axis=0), orbit.max(axis=0), orbit.std(axis=0)
    _refuse_constant(orbit)
    if box == "padded":
        return low - 0.1 * spread, high + 0.1 * spread
    if box == "range":
        return low, high
    if box == "two_std":
        return orbit.mean(axis=0) - 2 * spread, orbit.mean(axis=0) + 2 * spread
    raise ValueError(f"box must be 'padded', 'range' or 'two_std', got {box!r}.")


def _refuse_constant(orbit: Floats) -> None:
    constant = np.flatnonzero(np.ptp(orbit, axis=0) <= ROUNDING * np.abs(orbit).max(axis=0))
    if constant.size:
        raise ValueError(
            f"column {constant[0]} of y_true is constant: there is no attractor to compare. "
            "Leave it out of both arguments."
        )


def _cell_numbers(states: Floats, edges: tuple[Floats, Floats], n_bins: int) -> np.ndarray:
    """Number the cell of every state; states outside the box share the number n_bins ** d."""
    low, high = edges
    n_variables = states.shape[1]
    inside = ((states >= low) & (states <= high)).all(axis=1)
    bins = np.floor((states[inside] - low) / (high - low) * n_bins).astype(np.int64)
    # The upper edge belongs to the last bin.
    bins = np.minimum(bins, n_bins - 1)
    numbers = np.full(len(states), n_bins**n_variables, dtype=np.int64)
    numbers[inside] = bins @ (n_bins ** np.arange(n_variables, dtype=np.int64))
    return numbers


def state_space_divergence_mixture(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    width: float = 1.0,
    scale: ArrayLike | None = None,
    n_samples: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> float | Floats:
    r"""Return the Kullback-Leibler divergence of the visited states, each state widened to a Gaussian.

    .. math:: D = \langle \log p(s) - \log q(s) \rangle_{s \sim p}, \qquad
        p(s) = \frac{1}{T} \sum_t \mathcal{N}(s; x_t, \mathrm{width}^2 I)

    p is made of the truth, q of the forecast; the mean is taken over random draws from p.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient. Time grows with T * n_samples.
    width : float > 0, default 1
        Standard deviation of one Gaussian, in units of `scale`. The published default of 1 hardly separates
        anything in few dimensions; the median distance to the nearest neighbour is a better choice there.
    scale : array (d,) or float, default: standard deviation of y_true
        Unit of every coordinate.
    n_samples : int >= 1, default 1000
        Draws from p. The standard error falls with its square root.
    random_state : int, RandomState or None, default 0
        The default gives the same draws to every model that is compared.

    Returns
    -------
    float, or array (B,)
        0 for identical runs, slightly negative values are sampling error, ``inf`` if the forecast is not
        finite.

    References
    ----------
    Hess et al., arXiv:2306.04406. Draws in places which the forecast never visits are kept here: their
    log density is computed without underflow.

    Examples
    --------
    >>> import numpy as np
    >>> orbit = np.random.default_rng(0).normal(size=(500, 3))
    >>> state_space_divergence_mixture(orbit, orbit)
    0.0
    """
    if not width > 0 or n_samples < 1:
        raise ValueError(f"expected width > 0 and n_samples >= 1, got width={width} and n_samples={n_samples}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    units = width * check_scale(scale, true)[:, None, :]
    values = np.full(len(true), np.inf)
    for b in np.flatnonzero(is_finite(pred)):
        # One seed per call, not per trajectory, would make a score depend on its place in the batch.
        values[b] = _mixture_divergence(
            true[b] / units[b], pred[b] / units[b], n_samples, check_random_state(random_state)
        )
    return as_given(values)


def _mixture_divergence(orbit: Floats, run: Floats, n_samples: int, random: np.random.RandomState) -> float:
    draws = orbit[random.randint(len(orbit), size=n_samples)] + random.normal(size=(n_samples, orbit.shape[1]))
    return float(np.mean(_log_density(draws, orbit) - _log_density(draws, run)))


def _log_density(draws: Floats, centres: Floats, block: int = 200) -> Floats:
    """Return the log density of unit Gaussians at `centres`, less the constant both mixtures share."""
    parts = [
        logsumexp(-0.5 * cdist(draws[i : i + block], centres, "sqeuclidean"), axis=1)
        for i in range(0, len(draws), block)
    ]
    return np.concatenate(parts)


def power_spectrum_hellinger(
    y_true: ArrayLike, y_pred: ArrayLike, *, smoothing: float = 20.0, n_frequencies: int | None = None
) -> float | Floats:
    r"""Return the mean Hellinger distance between the power spectra of the coordinates (:math:`D_H`).

    .. math:: D_H = \frac{1}{d} \sum_i \sqrt{\tfrac{1}{2} \sum_f \left(\sqrt{p_{fi}} - \sqrt{q_{fi}}\right)^2}

    with p and q the spectra of truth and forecast, each standardised first, smoothed along the frequency
    and summing to 1.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient.
    smoothing : float >= 0, default 20
        Standard deviation of the Gaussian filter in frequency bins of width 1 / (T dt).
    n_frequencies : int, optional
        Compare only this many of the lowest frequencies.

    Returns
    -------
    float in 0..1, or array (B,)
        1 if the forecast is not finite. A coordinate that is constant in one of the two counts 1, in both
        0.

    Notes
    -----
    Blind to geometry: repeating the last stretch of the data for ever may score better than a good model.
    Report it next to `state_space_divergence`. As the filter is fixed in bins, values depend on T; see
    `metric_floor`.

    References
    ----------
    Mikhaeil, Monfared and Durstewitz, arXiv:2110.07238; Hess et al., arXiv:2306.04406.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.sin(0.3 * np.arange(1000.0))
    >>> power_spectrum_hellinger(wave, 5.0 - 2.0 * wave) < 1e-6
    True
    """
    if not smoothing >= 0:
        raise ValueError(f"smoothing must not be negative, got {smoothing}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    finite = is_finite(pred)
    p = _spectra(true, smoothing, n_frequencies)
    q = _spectra(np.where(finite[:, None, None], pred, 0.0), smoothing, n_frequencies)
    distances = np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=1))
    still_true, still_pred = ~p.any(axis=1), ~q.any(axis=1)
    distances = np.where(still_true != still_pred, 1.0, distances)
    return as_given(np.where(finite, distances.mean(axis=1), 1.0))


def _spectra(runs: Floats, smoothing: float, n_frequencies: int | None) -> Floats:
    """Return the normalised spectra of runs (B, T, d) as (B, F, d), zero where a coordinate is constant."""
    centred = runs - runs.mean(axis=1, keepdims=True)
    sizes = np.abs(centred).max(axis=1, keepdims=True)
    still = sizes <= ROUNDING * np.abs(runs).max(axis=1, keepdims=True)
    # Dividing by the largest excursion first keeps the squares of wild runs finite.
    power = np.abs(np.fft.rfft(np.where(still, 0.0, centred / np.where(still, 1.0, sizes)), axis=1)) ** 2
    if smoothing:
        power = gaussian_filter1d(power, smoothing, axis=1, mode="reflect", truncate=4.0)
    power = power[:, :n_frequencies]
    total = power.sum(axis=1, keepdims=True)
    return np.divide(power, total, out=np.zeros_like(power), where=total > 0)


def wasserstein_distance(y_true: ArrayLike, y_pred: ArrayLike, *, scale: ArrayLike | None = None) -> float | Floats:
    r"""Return the mean distance between the distributions of every coordinate (Wasserstein-1, earth mover).

    .. math:: W = \frac{1}{d} \sum_i \frac{1}{T s_i} \sum_k |p_{(k)i} - y_{(k)i}|

    where (k) numbers the sorted values.

    Parameters
    ----------
    y_true, y_pred : arrays (T, d) or (B, T, d)
        Two long runs after the transient.
    scale : array (d,) or float, default: standard deviation of y_true
        Unit of every coordinate.

    Returns
    -------
    float >= 0, or array (B,)
        A forecast stuck at the mean scores 0.8 for a Gaussian truth; ``inf`` if the forecast is not finite.
        Marginals only: blind to the order in time and to the joint distribution.

    Examples
    --------
    >>> wasserstein_distance([0.0, 1.0, 2.0], [3.0, 2.0, 1.0], scale=1.0)
    1.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    finite = is_finite(pred)
    pred = np.where(finite[:, None, None], pred, 0.0)
    shifts = np.abs(np.sort(pred, axis=1) - np.sort(true, axis=1)).mean(axis=1)
    distances = (shifts / check_scale(scale, true)).mean(axis=1)
    return as_given(np.where(finite, distances, np.inf))


def metric_floor(metric: Callable, X: ArrayLike, *, length: int | None = None, **options) -> float:
    """Return what a metric gives to the truth itself: its median between neighbouring stretches.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred, **options) -> float``, for instance `state_space_divergence`.
    X : array (n, d)
        A stationary run of the true system.
    length : int in 2..n // 2, default n // 2
        Length of a stretch, best that of the runs to be judged: the floor depends on it.
    **options
        Passed to the metric.

    Returns
    -------
    float
        A model whose score reaches this value cannot be told from the system.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(4000, 1))
    >>> metric_floor(wasserstein_distance, noise) < 0.1
    True
    """
    X = np.asarray(X, dtype=np.float64)
    length = len(X) // 2 if length is None else length
    if not 2 <= length <= len(X) // 2:
        raise ValueError(f"length must be between 2 and {len(X) // 2}, half the {len(X)} rows of X, got {length}.")
    starts = np.arange(0, len(X) - 2 * length + 1, length)
    return float(np.median([metric(X[i : i + length], X[i + length : i + 2 * length], **options) for i in starts]))
