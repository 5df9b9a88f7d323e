"""Delay coordinates: windows, Hankel matrices and delay vectors of equally spaced samples.

Time runs along the second last axis everywhere, so a series is (n, d) and a batch is (B, n, d).
With q delays that are `lag` samples apart, a series of n samples holds m = n - (q - 1) lag windows.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

__all__ = ["average_windows", "delay_vectors", "hankel", "window_span", "windows"]


def window_span(n_delays: int, lag: int = 1) -> int:
    """Return the number of samples one window covers, (n_delays - 1) lag + 1."""
    for name, value in (("n_delays", n_delays), ("lag", lag)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
    return (int(n_delays) - 1) * int(lag) + 1


def windows(X: np.ndarray, n_delays: int, lag: int = 1) -> np.ndarray:
    """Return all windows of a series as a read-only view, oldest sample first.

    W[k, j] = X[k + j lag].

    Parameters
    ----------
    X : array (..., n, d)
    n_delays : int >= 1
        Samples per window, q.
    lag : int >= 1
        Distance of two samples of a window.

    Returns
    -------
    array (..., n - (q - 1) lag, q, d), a view that shares memory with X.

    Raises
    ------
    ValueError
        If X has fewer than two axes or fewer than (q - 1) lag + 1 samples.

    Examples
    --------
    >>> import numpy as np
    >>> windows(np.arange(4.0)[:, None], n_delays=2)[..., 0]
    array([[0., 1.],
           [1., 2.],
           [2., 3.]])
    """
    X = np.asarray(X)
    span = window_span(n_delays, lag)
    if X.ndim < 2:
        raise ValueError(f"expected an array (..., n_samples, n_variables), got shape {X.shape}; pass X[:, None]")
    *batch, n_samples, n_variables = X.shape
    if n_samples < span:
        raise ValueError(
            f"{n_delays} delays with lag {lag} need at least {span} samples, got {n_samples}; reduce n_delays or lag"
        )
    *batch_strides, time_stride, variable_stride = X.strides
    return as_strided(
        X,
        shape=(*batch, n_samples - span + 1, n_delays, n_variables),
        strides=(*batch_strides, time_stride, lag * time_stride, variable_stride),
        writeable=False,
    )


def hankel(X: np.ndarray, n_delays: int, lag: int = 1) -> np.ndarray:
    """Return the Hankel matrix of a series, one window per row, oldest sample first.

    H[k] = [X[k], X[k + lag], ..., X[k + (q - 1) lag]], so columns d j to d (j + 1) are the series shifted
    by j lag. It is the transpose of the matrix most papers draw. It is a read-only view where
    the memory layout allows it (a contiguous X with lag 1, or one variable), otherwise a copy.

    Parameters
    ----------
    X : array (..., n, d)
    n_delays : int >= 1
    lag : int >= 1

    Returns
    -------
    array (..., n - (q - 1) lag, q d)

    Examples
    --------
    >>> import numpy as np
    >>> hankel(np.arange(5.0)[:, None], n_delays=2, lag=2)
    array([[0., 2.],
           [1., 3.],
           [2., 4.]])
    """
    W = windows(X, n_delays, lag)
    return W.reshape(*W.shape[:-2], -1)


def delay_vectors(X: np.ndarray, n_delays: int, lag: int = 1) -> np.ndarray:
    """Return the delay vectors of a series, newest sample first.

    V[k] = [X[t], X[t - lag], ..., X[t - (q - 1) lag]] with t = k + (q - 1) lag.

    Parameters
    ----------
    X : array (..., n, d)
    n_delays : int >= 1
    lag : int >= 1

    Returns
    -------
    array (..., n - (q - 1) lag, q d); the first d columns are the present state.

    Examples
    --------
    >>> import numpy as np
    >>> delay_vectors(np.arange(4.0)[:, None], n_delays=2)
    array([[1., 0.],
           [2., 1.],
           [3., 2.]])
    """
    W = windows(X, n_delays, lag)[..., ::-1, :]
    return W.reshape(*W.shape[:-2], -1)


def average_windows(H: np.ndarray, n_delays: int, lag: int = 1) -> np.ndarray:
    """Return the series whose Hankel matrix is nearest to H: the mean over all copies of each sample.

    It is the least-squares inverse of `hankel`, and exact when H is a Hankel matrix.

    Parameters
    ----------
    H : array (m, q d)
    n_delays : int >= 1
    lag : int >= 1

    Returns
    -------
    array (m + (q - 1) lag, d)

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(6.0)[:, None]
    >>> average_windows(hankel(x, 3), 3)[:, 0]
    array([0., 1., 2., 3., 4., 5.])
    """
    span = window_span(n_delays, lag)
    n_windows, width = H.shape
    if width % n_delays:
        raise ValueError(f"H has {width} columns, which is no multiple of n_delays={n_delays}")
    blocks = H.reshape(n_windows, n_delays, -1)
    total = np.zeros((n_windows + span - 1, blocks.shape[2]), dtype=np.result_type(H, float))
    count = np.zeros((len(total), 1))
    for j in range(n_delays):
        total[j * lag : j * lag + n_windows] += blocks[:, j]
        count[j * lag : j * lag + n_windows] += 1
    # With fewer windows than the lag, some samples lie in no window at all.
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
