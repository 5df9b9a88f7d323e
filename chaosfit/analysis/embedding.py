"""How to embed a series in delay coordinates: the lag, the number of delays, and whether it pays at all.

Read `embedding_parameters` first; it calls the others. Every function takes a series x of shape (n,) or
several variables sampled together, (n, d), and measures distances in units of the standard deviations.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.spatial import KDTree

from chaosfit.numerics.delay import windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CaoCurves",
    "EmbeddingParameters",
    "autocorrelation",
    "cao",
    "embedding_parameters",
    "false_nearest_neighbours",
    "lag_by_autocorrelation",
    "lag_by_mutual_information",
    "mutual_information",
    "plot_cao",
    "plot_mutual_information",
]

# Cao's E2 of noise stays this near to one (measured: 0.05 for n = 3000), that of low-dimensional
# dynamics leaves one by more than the second number.
STOCHASTIC_BELOW, DETERMINISTIC_ABOVE = 0.10, 0.25
MAX_REFERENCE_POINTS = 3000


def _columns(x: np.ndarray) -> np.ndarray:
    """Return x as (n, d) with columns of mean 0 and variance 1."""
    x = np.asarray(x, dtype=float)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2:
        raise ValueError(f"expected a series of shape (n,) or (n, d), got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("the series contains NaN or infinity; fill the gaps or cut the series there")
    scale = x.std(axis=0)
    if (scale <= 1e-12 * np.abs(x).max(axis=0)).any():
        raise ValueError("the series is constant; a delay embedding needs a series that varies")
    return (x - x.mean(axis=0)) / scale


def _one_column(x: np.ndarray) -> np.ndarray:
    columns = _columns(x)
    if columns.shape[1] != 1:
        raise ValueError(f"expected one series, got {columns.shape[1]} variables; pass them one by one")
    return columns[:, 0]


def autocorrelation(x: np.ndarray, max_lag: int) -> np.ndarray:
    """Return the autocorrelation at lags 0 ... max_lag, (max_lag + 1,), by FFT.

    rho(k) = sum_t x_t x_{t+k} / sum_t x_t^2 of the centred series (the biased estimate).

    Examples
    --------
    >>> import numpy as np
    >>> autocorrelation(np.sin(np.arange(2000) * np.pi / 10), 10).round(1)[[0, 5, 10]] + 0.0
    array([ 1.,  0., -1.])
    """
    z = _one_column(x)
    size = next_fast_len(2 * len(z), real=True)  # zero padding: the FFT alone would wrap round
    power = np.abs(rfft(z, size)) ** 2
    covariance = irfft(power, size)[: max_lag + 1]
    return covariance / covariance[0]


def mutual_information(x: np.ndarray, max_lag: int, n_bins: int | None = None) -> np.ndarray:
    """Return the mutual information of x_t and x_{t+k} in nats at lags 0 ... max_lag, (max_lag + 1,).

    I(k) = sum_ij p_ij log(p_ij / (p_i p_j)) over equally filled bins, by default the smaller of
    32 and sqrt(n / 5) of them (Fraser and Swinney, Phys. Rev. A 33, 1134, 1986).
    """
    z = _one_column(x)
    n_bins = n_bins or max(2, min(32, int(np.ceil(np.sqrt(len(z) / 5)))))
    edges = np.quantile(z, np.arange(1, n_bins) / n_bins)
    symbol = np.searchsorted(edges, z, side="right")
    information = np.empty(max_lag + 1)
    for k in range(max_lag + 1):
        pairs = symbol[: len(z) - k] * n_bins + symbol[k:]
        joint = np.bincount(pairs, minlength=n_bins**2).reshape(n_bins, n_bins) / len(pairs)
        independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        seen = joint > 0
        information[k] = np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))
    return information


def _default_max_lag(n: int) -> int:
    return min(n - 2, max(n // 10, 5))


def lag_by_autocorrelation(x: np.ndarray, max_lag: int | None = None, threshold: float = 1 / np.e) -> int | None:
    """Return the first lag >= 1 with an autocorrelation below `threshold`, None if there is none.

    None is the answer for series with a trend: detrend or difference them.

    Parameters
    ----------
    x : array (n,)
    max_lag : int, optional
        Largest lag tried, by default n // 10.
    threshold : float in (0, 1), default 1/e
    """
    max_lag = _default_max_lag(len(x)) if max_lag is None else max_lag
    below = np.flatnonzero(autocorrelation(x, max_lag)[1:] < threshold)
    return int(below[0]) + 1 if len(below) else None


def lag_by_mutual_information(x: np.ndarray, max_lag: int | None = None, n_bins: int | None = None) -> int | None:
    """Return the lag of the first minimum of the mutual information, None if there is none.

    Parameters
    ----------
    x : array (n,)
    max_lag : int, optional
        Largest lag tried, by default n // 10 and at most 500.
    n_bins : int, optional
        See `mutual_information`.
    """
    max_lag = min(_default_max_lag(len(x)), 500) if max_lag is None else max_lag
    information = mutual_information(x, max_lag, n_bins)
    middle = information[1:-1]
    minima = np.flatnonzero((middle < information[:-2]) & (middle <= information[2:]))
    return int(minima[0]) + 1 if len(minima) else None


def _nearest_neighbours(
    Y: np.ndarray, reference: np.ndarray, theiler: int, norm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and index of the nearest neighbour of every reference row of Y, index -1 for none.

    Copies at distance zero and neighbours within `theiler` samples in time do not count. Quantised data
    hold many exact copies, so the tree is built on the distinct rows; of those, no more than
    2 theiler + 1 can be too near in time.
    """
    distinct, index = np.unique(Y, axis=0, return_index=True)
    k = min(2 * theiler + 2, len(distinct))
    distance, neighbour = KDTree(distinct).query(Y[reference], k=list(range(1, k + 1)), p=norm)
    neighbour = index[neighbour]
    admissible = (distance > 0) & (np.abs(neighbour - reference[:, None]) > theiler)
    first = admissible.argmax(axis=1)[:, None]
    found = admissible.any(axis=1)
    nearest = np.take_along_axis(neighbour, first, axis=1)[:, 0]
    return np.take_along_axis(distance, first, axis=1)[:, 0], np.where(found, nearest, -1)


def _neighbours_and_their_future(
    z: np.ndarray, m: int, lag: int, theiler: int, norm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return, per reference point, the distance to its neighbour in m delays and the gap one lag later."""
    n_points = len(z) - m * lag  # both the point and its sample one lag later must exist
    Y = windows(z, m, lag)[:n_points].reshape(n_points, -1)
    reference = np.unique(np.linspace(0, n_points - 1, MAX_REFERENCE_POINTS).astype(int))
    distance, neighbour = _nearest_neighbours(Y, reference, theiler, norm)
    found = neighbour >= 0
    if not found.any():
        raise ValueError("no point has a neighbour at a positive distance; the series repeats itself exactly")
    gap = z[reference[found] + m * lag] - z[neighbour[found] + m * lag]
    return distance[found], np.linalg.norm(gap, ord=norm, axis=1)


def _check_length(n: int, lag: int, max_dimension: int) -> None:
    # Not the 10 m lag below which the answer is worthless, only what the formulas need: the caller
    # that wants an answer from few samples gets one.
    needed = (max_dimension + 1) * lag + 2
    if n < needed:
        raise ValueError(
            f"{max_dimension} delays with lag {lag} need at least {needed} samples, got {n}; "
            "reduce max_dimension or the lag"
        )


@dataclass(frozen=True)
class CaoCurves:
    """Cao's curves for m = 1 ... max_dimension delays.

    Attributes
    ----------
    e1 : array (max_dimension,)
        Rises to one at a sufficient number of delays.
    e2 : array (max_dimension,)
        Is one everywhere for noise, and not for some m if the series is deterministic.
    """

    e1: np.ndarray
    e2: np.ndarray

    @property
    def determinism(self) -> float:
        """The largest |E2 - 1|: about 0.05 for 3000 samples of noise, more for fewer."""
        return float(np.abs(self.e2 - 1).max())

    @property
    def deterministic(self) -> bool | None:
        """True from 0.25 on, False up to 0.10, None (undecided) between."""
        if self.determinism <= STOCHASTIC_BELOW:
            return False
        return True if self.determinism >= DETERMINISTIC_ABOVE else None

    def n_delays(self, threshold: float = 0.9) -> int:
        """Return the smallest m with E1(m) >= threshold, the largest m tried if there is none."""
        enough = np.flatnonzero(self.e1 >= threshold)
        return int(enough[0]) + 1 if len(enough) else len(self.e1)


def cao(x: np.ndarray, lag: int = 1, max_dimension: int = 10, theiler: int = 0) -> CaoCurves:
    """Return Cao's curves E1 and E2 for 1 ... max_dimension delays.

    With y_i(m) the vector of m delays and n(i, m) its nearest neighbour in the maximum norm,
    E(m) = mean_i |y_i(m+1) - y_n(m+1)| / |y_i(m) - y_n(m)|, E1(m) = E(m+1) / E(m), and E2 is the same ratio
    of E*(m) = mean_i |x_{i + m lag} - x_{n + m lag}|.

    Parameters
    ----------
    x : array (n,) or (n, d)
        Several variables are embedded together, in units of their standard deviations.
    lag : int >= 1, samples
    max_dimension : int >= 1
    theiler : int >= 0
        Neighbours within so many samples in time do not count.

    Returns
    -------
    CaoCurves

    References
    ----------
    L. Cao, Physica D 110, 43 (1997), doi:10.1016/S0167-2789(97)00118-8.

    Examples
    --------
    >>> import numpy as np
    >>> x = [0.4]
    >>> for _ in range(999): x.append(4 * x[-1] * (1 - x[-1]))
    >>> curves = cao(np.array(x), max_dimension=4)
    >>> curves.n_delays(), curves.deterministic
    (2, True)
    """
    z = _columns(x)
    _check_length(len(z), lag, max_dimension + 1)
    ratio, gap = [], []
    for m in range(1, max_dimension + 2):
        near, later = _neighbours_and_their_future(z, m, lag, theiler, np.inf)
        ratio.append(np.mean(np.maximum(near, later) / near))
        gap.append(np.mean(later))
    E, E_star = np.array(ratio), np.array(gap)
    return CaoCurves(e1=E[1:] / E[:-1], e2=E_star[1:] / E_star[:-1])


def false_nearest_neighbours(
    x: np.ndarray,
    lag: int = 1,
    max_dimension: int = 10,
    *,
    ratio_tolerance: float = 15.0,
    size_tolerance: float = 2.0,
    theiler: int | None = None,
) -> np.ndarray:
    """Return the share of false neighbours for 1 ... max_dimension delays, (max_dimension,).

    A neighbour is false when one more delay moves it away by more than `ratio_tolerance` times its distance
    or to more than `size_tolerance` standard deviations. The first dimension below 1 % is the usual choice.

    Parameters
    ----------
    x : array (n,) or (n, d)
    lag : int >= 1, samples
    max_dimension : int >= 1
    ratio_tolerance : float, published default 15
    size_tolerance : float, published default 2
    theiler : int >= 0, optional
        Neighbours within so many samples in time do not count; default `lag`.

    References
    ----------
    M. Kennel, R. Brown, H. Abarbanel, Phys. Rev. A 45, 3403 (1992), doi:10.1103/PhysRevA.45.3403.
    """
    z = _columns(x)
    _check_length(len(z), lag, max_dimension)
    theiler = lag if theiler is None else theiler
    share = np.empty(max_dimension)
    for m in range(1, max_dimension + 1):
        near, later = _neighbours_and_their_future(z, m, lag, theiler, 2)
        false = (later > ratio_tolerance * near) | (np.hypot(near, later) > size_tolerance)
        share[m - 1] = false.mean()
    return share


@dataclass(frozen=True)
class EmbeddingParameters:
    """What `embedding_parameters` found: lag (samples), number of delays, Cao's curves behind them."""

    lag: int
    n_delays: int
    curves: CaoCurves

    @property
    def deterministic(self) -> bool | None:
        """Whether the series looks deterministic; None if that cannot be told."""
        return self.curves.deterministic


def embedding_parameters(
    x: np.ndarray,
    *,
    lag: int | None = None,
    lag_method: str = "autocorrelation",
    max_dimension: int = 10,
    threshold: float = 0.9,
) -> EmbeddingParameters:
    """Return lag and number of delays for a series, with the evidence.

    The lag comes from the autocorrelation (first value below 1/e) or the mutual information (first
    minimum, and the autocorrelation where there is none), the number of delays from Cao's E1. Of several
    variables the median of the lags is taken. Use the training part of a series only.

    Parameters
    ----------
    x : array (n,) or (n, d)
    lag : int >= 1, optional
        Given lag in samples; chosen by `lag_method` if None.
    lag_method : {"autocorrelation", "mutual_information"}
    max_dimension : int >= 1
        Largest number of delays tried; fewer are where the series is shorter than 10 max_dimension lag.
    threshold : float in (0, 1)
        E1 from which on a number of delays suffices.

    Returns
    -------
    EmbeddingParameters

    Examples
    --------
    >>> import numpy as np
    >>> embedding_parameters(np.sin(0.1 * np.arange(2000))).n_delays
    2
    """
    columns = _columns(x)
    if lag is None:
        lag = int(np.median([_choose_lag(column, lag_method) for column in columns.T]))
    max_dimension = max(1, min(max_dimension, len(columns) // (10 * lag)))
    curves = cao(columns, lag, max_dimension)
    return EmbeddingParameters(lag=lag, n_delays=curves.n_delays(threshold), curves=curves)


def _choose_lag(x: np.ndarray, method: str) -> int:
    if method not in ("autocorrelation", "mutual_information"):
        raise ValueError(f"lag_method must be 'autocorrelation' or 'mutual_information', got {method!r}")
    lag = lag_by_mutual_information(x) if method == "mutual_information" else None
    lag = lag_by_autocorrelation(x) if lag is None else lag
    if lag is None:
        lag = _default_max_lag(len(x))
        warnings.warn(
            f"the autocorrelation stays above 1/e up to lag {lag}, which is used; detrend or difference the "
            "series, or give the lag",
            UserWarning,
            stacklevel=4,
        )
    return lag


def plot_cao(curves: CaoCurves, threshold: float = 0.9, ax: Axes | None = None) -> Axes:
    """Draw E1 and E2 over the number of delays and return the axes."""
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1] if ax is None else ax
    m = np.arange(1, len(curves.e1) + 1)
    ax.plot(m, curves.e1, "o-", label="E1 (dimension)")
    ax.plot(m, curves.e2, "s--", label="E2 (determinism)")
    ax.axhline(threshold, color="0.6", linewidth=0.8)
    ax.axvline(curves.n_delays(threshold), color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xlabel="number of delays", ylabel="Cao's statistics", xticks=m, ylim=(0, None))
    ax.legend(frameon=False)
    return ax


def plot_mutual_information(x: np.ndarray, max_lag: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw mutual information and autocorrelation over the lag, mark the lags they give, and return the axes.

    Parameters
    ----------
    x : array (n,)
    max_lag : int, optional
        Last lag drawn, by default twice the larger of the two choices.
    ax : matplotlib axes, optional
    """
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1] if ax is None else ax
    minimum, decay = lag_by_mutual_information(x), lag_by_autocorrelation(x)
    chosen = [lag for lag in (minimum, decay) if lag is not None]
    max_lag = max_lag or min(2 * max(chosen, default=50) + 2, len(x) - 2)
    curves = (
        (f"mutual information, first minimum {minimum}", mutual_information(x, max_lag), minimum, "C0", "o-"),
        (f"autocorrelation, below 1/e at {decay}", autocorrelation(x, max_lag), decay, "C1", "s--"),
    )
    for name, values, lag, color, style in curves:
        ax.plot(np.arange(max_lag + 1), values / values[0], style, color=color, markersize=3, label=name)
        if lag is not None:
            ax.axvline(lag, color=color, linewidth=0.8, linestyle=":")
    ax.axhline(1 / np.e, color="0.6", linewidth=0.8)
    ax.set(xlabel="lag (samples)", ylabel="share of the value at lag 0", xlim=(0, max_lag))
    ax.legend(frameon=False)
    return ax
