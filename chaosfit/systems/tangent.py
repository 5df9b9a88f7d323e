"""Lyapunov spectra of flows and maps from their tangent dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chaosfit.numerics.integrate import integrate_batch
from chaosfit.numerics.spectral import kaplan_yorke_dimension
from chaosfit.systems.system import Flow, Map
from chaosfit.validation import check_n_steps

__all__ = ["LyapunovSpectrum", "lyapunov_spectrum"]


@dataclass(frozen=True)
class LyapunovSpectrum:
    """Result of :func:`lyapunov_spectrum`.

    Attributes
    ----------
    exponents : array (k,)
        Largest first, per unit of time.
    standard_errors : array (k,)
        Standard errors of the means over independent trajectories.
    kaplan_yorke_dimension : float
        NaN if the k exponents are too few to decide.
    """

    exponents: np.ndarray
    standard_errors: np.ndarray
    kaplan_yorke_dimension: float


def lyapunov_spectrum(
    system: Flow | Map,
    n_exponents: int | None = None,
    *,
    n_steps: int = 1000,
    dt: float | None = None,
    n_trajectories: int = 16,
    random_state: Any = None,
) -> LyapunovSpectrum:
    """Measure the Lyapunov exponents of a flow or map.

    Tangent vectors follow dQ/dt = J(x) Q together with the state (a map: Q' = J(x) Q) and are orthonormalised at
    equal intervals; the exponents are the mean logarithms of the lengths that this removes. Independent trajectories
    are integrated side by side and serve as blocks for the standard errors.

    Parameters
    ----------
    system : Flow or Map
        With an analytic Jacobian or the default one by central differences.
    n_exponents : int
        Number of leading exponents, 1..dim; default: all.
    n_steps : int
        Orthonormalisations per trajectory that count, after n_steps / 10 more that align the vectors.
    dt : float
        Interval between two orthonormalisations of a flow; default: ten times ``system.dt``.
    n_trajectories : int
        Independent trajectories, >= 2.
    random_state : int, Generator or None
        Seed of the starts.

    Returns
    -------
    LyapunovSpectrum
        Exponents, standard errors and Kaplan-Yorke dimension.

    References
    ----------
    Benettin, Galgani, Giorgilli, Strelcyn, Meccanica 15, 9 and 21, 1980, doi:10.1007/BF02128236.

    Examples
    --------
    >>> from chaosfit.systems.maps import Henon
    >>> from chaosfit.systems.tangent import lyapunov_spectrum
    >>> result = lyapunov_spectrum(Henon(), n_steps=500, random_state=0)
    >>> round(float(result.exponents.sum()), 6)              # ln 0.3
    -1.203973
    """
    if not isinstance(system, Flow | Map):
        raise TypeError(f"lyapunov_spectrum needs a Flow or a Map, got {type(system).__name__}")
    n_steps = check_n_steps(n_steps)
    k = system.dim if n_exponents is None else n_exponents
    if not 1 <= k <= system.dim:
        raise ValueError(f"n_exponents must lie in 1..{system.dim}, got {n_exponents!r}")
    if n_trajectories < 2:
        raise ValueError(f"n_trajectories must be >= 2, standard errors need it; got {n_trajectories!r}")
    interval = 1.0 if isinstance(system, Map) else 10.0 * system.dt if dt is None else dt
    x = system.simulate(1, n_trajectories=n_trajectories, random_state=random_state)[:, 0]
    frame = np.broadcast_to(np.eye(system.dim, k), (len(x), system.dim, k))
    growth = np.zeros((len(x), k))
    n_align = max(20, n_steps // 10)
    for count in range(-n_align, n_steps):
        x, frame = _carry(system, x, frame, interval, (n_align + count) * interval)
        frame, r = np.linalg.qr(frame)
        if count >= 0:
            # A singular Jacobian gives a zero length: very negative, but finite.
            growth += np.log(np.maximum(np.abs(np.diagonal(r, axis1=1, axis2=2)), 1e-300))
    return _summary(growth / (n_steps * interval), system.dim)


def _carry(system, x, frame, interval, time) -> tuple[np.ndarray, np.ndarray]:
    """Advance states (B, d) and tangent frames (B, d, k) by one interval."""
    if isinstance(system, Map):
        return system.step(x), system.jacobian(x) @ frame
    n, d, k = frame.shape

    def field(z: np.ndarray, *t: np.ndarray) -> np.ndarray:
        states, vectors = z[:, :d], z[:, d:].reshape(n, d, k)
        return np.concatenate([system.rhs(states, *t), (system.jacobian(states, *t) @ vectors).reshape(n, -1)], axis=1)

    z = np.concatenate([x, frame.reshape(n, -1)], axis=1)
    # Averages over a chaotic orbit gain nothing from the accuracy of a single trajectory.
    tolerance = max(system.tolerance, 1e-8)
    t = [time, time + interval]
    z = integrate_batch(field, z, t, rtol=tolerance, atol=tolerance, time_dependent=system.time_dependent)[:, 1]
    if not np.isfinite(z).all():
        raise ValueError(f"{system!r}: the tangent flow diverged within {interval} time units; choose a smaller dt")
    return z[:, :d], z[:, d:].reshape(n, d, k)


def _summary(rates: np.ndarray, dim: int) -> LyapunovSpectrum:
    """Statistics of the exponents (B, k) of single trajectories."""
    exponents = rates.mean(axis=0)
    errors = rates.std(axis=0, ddof=1) / np.sqrt(len(rates))
    order = np.argsort(-exponents)
    exponents, errors = exponents[order], errors[order]
    if (np.cumsum(exponents) < 0.0).any():
        dimension = kaplan_yorke_dimension(exponents)
    else:
        dimension = float(dim) if len(exponents) == dim else np.nan
    return LyapunovSpectrum(exponents, errors, dimension)
