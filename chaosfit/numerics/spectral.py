"""Spectra: exponential time differencing in Fourier space, and the dimension that a Lyapunov spectrum implies."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Etdrk4", "etdrk4", "etdrk4_step", "kaplan_yorke_dimension"]


class Etdrk4(NamedTuple):
    """Coefficients of one ETDRK4 step for a diagonal linear part, each of the shape of that diagonal."""

    full: np.ndarray
    half: np.ndarray
    stage: np.ndarray
    first: np.ndarray
    middle: np.ndarray
    last: np.ndarray


def etdrk4(linear: ArrayLike, step: float, n_contour: int = 32) -> Etdrk4:
    """Coefficients of the fourth-order exponential Runge-Kutta scheme for dv/dt = L v + N(v), L diagonal.

    The coefficients are divided differences of exp that cancel badly near zero eigenvalues. They are means over a
    circle of radius one around every eigenvalue instead.

    Parameters
    ----------
    linear : array (m,)
        Real or complex diagonal of L.
    step : float
        Time step, > 0.
    n_contour : int
        Points on the circle, published default 32.

    Returns
    -------
    Etdrk4
        For :func:`etdrk4_step`.

    References
    ----------
    Kassam, Trefethen, SIAM J. Sci. Comput. 26, 1214, 2005, doi:10.1137/S1064827502410633.

    Examples
    --------
    >>> from chaosfit.numerics.spectral import etdrk4, etdrk4_step
    >>> coefficients = etdrk4([-2.0], 0.1)
    >>> v = etdrk4_step([1.0], lambda v: 0.0 * v, coefficients)
    >>> round(float(v[0]), 12)                   # exp(-0.2), exact without a nonlinear part
    0.818730753078
    """
    z = step * np.asarray(linear)
    circle = np.exp(2j * np.pi * (np.arange(n_contour) + 0.5) / n_contour)
    r = z[..., None] + circle
    e = np.exp(r)

    def mean(values: np.ndarray) -> np.ndarray:
        average = step * values.mean(axis=-1)
        return average.real if np.isrealobj(z) else average

    return Etdrk4(
        full=np.exp(z),
        half=np.exp(z / 2.0),
        stage=mean((np.exp(r / 2.0) - 1.0) / r),
        first=mean((-4.0 - r + e * (4.0 - 3.0 * r + r**2)) / r**3),
        middle=mean(2.0 * (2.0 + r + e * (r - 2.0)) / r**3),
        last=mean((-4.0 - 3.0 * r - r**2 + e * (4.0 - r)) / r**3),
    )


def etdrk4_step(v: ArrayLike, nonlinear: Callable[[np.ndarray], np.ndarray], coefficients: Etdrk4) -> np.ndarray:
    """Advance dv/dt = L v + N(v) by one step of the coefficients from :func:`etdrk4`; v (..., m)."""
    v, c = np.asarray(v), coefficients
    n_v = nonlinear(v)
    a = c.half * v + c.stage * n_v
    n_a = nonlinear(a)
    b = c.half * v + c.stage * n_a
    n_b = nonlinear(b)
    n_c = nonlinear(c.half * a + c.stage * (2.0 * n_b - n_v))
    return c.full * v + c.first * n_v + c.middle * (n_a + n_b) + c.last * n_c


def kaplan_yorke_dimension(exponents: ArrayLike) -> float:
    """Kaplan-Yorke dimension of a Lyapunov spectrum: D = j + (l_1 + ... + l_j) / abs(l_(j+1)).

    j is the largest number of leading exponents with a sum that is not negative. D = 0 if the largest exponent is
    negative. If no partial sum is negative the volume does not shrink: D = number of exponents, with a warning.

    Parameters
    ----------
    exponents : array (k,)
        Lyapunov exponents in any order.

    Returns
    -------
    float
        Dimension in [0, k].

    References
    ----------
    Kaplan, Yorke, in Functional Differential Equations and Approximation of Fixed Points, 1979,
    doi:10.1007/BFb0064319.

    Examples
    --------
    >>> from chaosfit.numerics.spectral import kaplan_yorke_dimension
    >>> round(kaplan_yorke_dimension([0.9056, 0.0, -14.5723]), 3)
    2.062
    """
    ordered = np.sort(np.asarray(exponents, float).ravel())[::-1]
    if len(ordered) == 0 or not np.isfinite(ordered).all():
        raise ValueError(f"expected at least one Lyapunov exponent, all finite, got {exponents!r}")
    sums = np.cumsum(ordered)
    j = int((sums >= 0.0).sum()) if ordered[0] >= 0.0 else 0
    if j == len(ordered):
        warnings.warn("no sum of exponents is negative: the spectrum is too short or volume is kept", stacklevel=2)
        return float(j)
    return float(j + (sums[j - 1] / -ordered[j] if j else 0.0))
