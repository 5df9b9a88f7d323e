"""Derivatives of sampled trajectories, and the weak form that avoids them.

Clean data: `finite_difference`. Moderate noise: `savitzky_golay_derivative`. Noise above about 0.1 %:
`weak_form`, which moves the derivative from the data to a smooth test function. `estimate_noise` tells which.

References
----------
Messenger and Bortz, "Weak SINDy: Galerkin-based data-driven model selection", Multiscale Modeling &
Simulation 19 (2021), doi:10.1137/20M1343166.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import savgol_filter

__all__ = ["estimate_noise", "finite_difference", "savitzky_golay_derivative", "weak_form"]

_NORMAL_QUARTILE = 0.6744897501960817  # median |z| of a standard normal z
_WINDOWS_PER_PRODUCT = 32


def finite_difference(X: ArrayLike, dt: float, order: int = 6) -> NDArray[np.float64]:
    """Differentiate rows by central differences, one-sided of the same order at both ends.

    Every formula differentiates the polynomial through ``order + 1`` neighbouring rows exactly.

    Parameters
    ----------
    X : array of shape (n, d), n >= 2
        Consecutive, equally spaced rows.
    dt : float > 0
        Time between rows.
    order : {2, 4, 6, 8}, default 6
        Order of accuracy. A series shorter than ``order + 1`` rows gets the largest order that fits.

    Returns
    -------
    array of shape (n, d)
        dX/dt at the same rows.

    Raises
    ------
    ValueError
        For an order that is not 2, 4, 6 or 8, fewer than 2 rows, or dt <= 0.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.linspace(0, 1, 21)[:, None]
    >>> bool(np.allclose(finite_difference(t**6, dt=0.05), 6 * t**5))
    True
    """
    X = _rows(X, dt)
    if order not in (2, 4, 6, 8):
        raise ValueError(f"order must be 2, 4, 6 or 8, got {order!r}.")
    n = len(X)
    if n < 3:
        return np.repeat(np.diff(X, axis=0), 2, axis=0) / dt
    half = min(order, n - 1) // 2
    weights = _differentiation_matrix(2 * half + 1)
    derivative = np.empty_like(X)
    derivative[:half] = weights[:half] @ X[: 2 * half + 1]
    derivative[n - half :] = weights[half + 1 :] @ X[n - 2 * half - 1 :]
    interior = derivative[half : n - half]
    interior[:] = 0.0
    for k in range(1, half + 1):  # the central formula is odd: one product for each pair of neighbours
        interior += weights[half, half + k] * (X[half + k : n - half + k] - X[half - k : n - half - k])
    return derivative / dt


def savitzky_golay_derivative(X: ArrayLike, dt: float, window: int = 11, degree: int = 3) -> NDArray[np.float64]:
    """Differentiate a polynomial fitted by least squares to a sliding window.

    Parameters
    ----------
    X : array of shape (n, d), n >= 2
        Consecutive, equally spaced rows.
    dt : float > 0
        Time between rows.
    window : odd int > degree, default 11
        Rows in a window; a shorter series is one single window.
    degree : int >= 1, default 3
        Degree of the polynomial, lowered when the series has no more than `degree` rows.

    Returns
    -------
    array of shape (n, d)
        dX/dt at the same rows; the ends use the polynomial of the first and last full window.

    Raises
    ------
    ValueError
        If window is even or not larger than degree, degree < 1, fewer than 2 rows, or dt <= 0.

    References
    ----------
    Savitzky and Golay, Analytical Chemistry 36 (1964), doi:10.1021/ac60214a047.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.linspace(0, 1, 21)[:, None]
    >>> bool(np.allclose(savitzky_golay_derivative(t**3, dt=0.05), 3 * t**2))
    True
    """
    X = _rows(X, dt)
    if degree < 1 or window % 2 == 0 or window <= degree:
        raise ValueError(
            f"window must be odd and larger than degree, and degree at least 1, got window={window}, degree={degree}."
        )
    window = min(window, len(X) - 1 + len(X) % 2)  # the largest odd window that fits
    if window == 1:
        return finite_difference(X, dt)
    return savgol_filter(X, window, min(degree, window - 1), deriv=1, delta=dt, axis=0)


def weak_form(
    X: ArrayLike,
    theta: ArrayLike,
    dt: float,
    *,
    half_width: int,
    power: int = 5,
    stride: int = 5,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Turn x' = theta(x) Xi into a linear system A Xi = b without differentiating X.

    .. math:: A_k = \int \phi_k \Theta(x)\,dt, \quad b_k = -\int \phi_k' x\,dt, \quad
              \phi(s) = (1 - s^2)^{power}

    with s in [-1, 1] across window k. Windows lie at every `stride` rows, so that nothing is random.
    The trapezoid rule is limited only by the ends of the window, where phi vanishes to order `power`:
    its relative error falls as half_width^-(power + 1), or as half_width^-power if power is even.

    Parameters
    ----------
    X : array of shape (n, d)
        Consecutive, equally spaced rows of one trajectory.
    theta : array of shape (n, p)
        Library columns evaluated at the same rows.
    dt : float > 0
        Time between rows.
    half_width : int >= 1
        Half of a window, in rows; about a fifth of the dominant period is a good start.
    power : int >= 2, default 5
        Exponent of the test function; published choices are 4 to 6. More is smoother and
        suits clean data, but makes a window effectively narrower.
    stride : int >= 1, default 5
        Rows between the centres of two windows.

    Returns
    -------
    A : array of shape (K, p)
    b : array of shape (K, d)
        One row per window, K = 1 + (n - 2 half_width - 1) // stride. Overlapping windows share noise: their
        rows are not K independent samples.

    Raises
    ------
    ValueError
        If a window does not fit into the rows, X and theta differ in length, or an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.exp(-np.linspace(0, 5, 501))[:, None]
    >>> A, b = weak_form(x, x, dt=0.01, half_width=50)
    >>> bool(np.allclose(b, -A))
    True
    """
    X, theta = _rows(X, dt), np.asarray(theta, dtype=np.float64)
    if theta.ndim != 2 or len(theta) != len(X):
        raise ValueError(f"theta must be of shape ({len(X)}, p) to match X, got {theta.shape}.")
    if half_width < 1 or power < 2 or stride < 1:
        raise ValueError(
            "half_width and stride must be at least 1 and power at least 2, got "
            f"half_width={half_width}, stride={stride}, power={power}."
        )
    if len(X) < 2 * half_width + 1:
        raise ValueError(
            f"weak_form needs 2 * half_width + 1 = {2 * half_width + 1} rows for one window, got {len(X)}; "
            "use a smaller half_width or a longer series."
        )
    s = np.arange(-half_width, half_width + 1) / half_width
    phi = (1.0 - s**2) ** power
    minus_dphi = 2.0 * power * s * (1.0 - s**2) ** (power - 1) / (half_width * dt)
    return _slide(theta, dt * phi, stride), _slide(X, dt * minus_dphi, stride)


def estimate_noise(X: ArrayLike, order: int = 8) -> NDArray[np.float64]:
    """Estimate the standard deviation of white measurement noise in every column.

    High-order differences remove a smooth signal and multiply the variance of white noise by
    binomial(2 order, order); the median absolute value is robust against spikes.

    Parameters
    ----------
    X : array of shape (n, d), n >= 2
        Consecutive, equally spaced rows.
    order : int >= 1, default 8
        Order of the differences, at most n - 1 is used.

    Returns
    -------
    array of shape (d,)
        Standard deviations in the units of X. A signal with less than about six samples per period is not
        distinguished from noise.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.linspace(0, 20, 2001)[:, None]
    >>> noisy = np.sin(t) + 0.1 * np.random.default_rng(0).standard_normal(t.shape)
    >>> estimate_noise(noisy).round(2)
    array([0.1])
    """
    X = _rows(X, 1.0)
    order = min(order, len(X) - 1)
    deviation = np.median(np.abs(np.diff(X, n=order, axis=0)), axis=0)
    return deviation / (_NORMAL_QUARTILE * np.sqrt(float(comb(2 * order, order))))


def _rows(X: ArrayLike, dt: float) -> NDArray[np.float64]:
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or len(X) < 2:
        raise ValueError(f"X must be of shape (n, d) with at least 2 rows, got {X.shape}.")
    if not dt > 0:
        raise ValueError(f"dt must be positive, got {dt!r}.")
    return X


def _differentiation_matrix(n_nodes: int) -> NDArray[np.float64]:
    """Row i differentiates the polynomial through the nodes 0, 1, ..., n_nodes - 1 at node i."""
    nodes = np.arange(n_nodes, dtype=np.float64)
    gaps = nodes[:, None] - nodes
    np.fill_diagonal(gaps, 1.0)
    barycentric = 1.0 / gaps.prod(axis=1)
    matrix = barycentric / barycentric[:, None] / gaps
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return matrix


def _slide(columns: NDArray[np.float64], kernel: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """Correlate all columns with a kernel at every stride-th row.

    One banded matrix holds a batch of shifted kernels and multiplies every batch of rows: about twice the
    arithmetic of a loop over windows, but all of it in BLAS.
    """
    n_windows = 1 + (len(columns) - len(kernel)) // stride
    batch = min(_WINDOWS_PER_PRODUCT, n_windows)
    span = (batch - 1) * stride + len(kernel)
    band = np.zeros((batch, span))
    for k in range(batch):
        band[k, k * stride : k * stride + len(kernel)] = kernel
    result = np.empty((n_windows, columns.shape[1]))
    for first in range(0, n_windows, batch):
        count = min(batch, n_windows - first)
        width = (count - 1) * stride + len(kernel)
        rows = columns[first * stride : first * stride + width]
        result[first : first + count] = band[:count, :width] @ rows
    return result
