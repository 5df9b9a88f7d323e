"""One function that integrates any system with any of the methods there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chaosfit.systems.cache import cached
from chaosfit.systems.system import BACKENDS, Flow, System

__all__ = ["integrate"]


def integrate(
    system: System,
    x0: ArrayLike,
    t: ArrayLike,
    *,
    rtol: float | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Solve the equations of a system from given states at given times.

    Parameters
    ----------
    system : System
        A flow, map, delay equation (x0 is the constant history) or partial differential equation.
    x0 : array (dim,) or (B, dim)
        States at ``t[0]``.
    t : array (T,)
        Strictly increasing times; equally spaced for all but flows, whole numbers for maps.
    rtol : float
        Flows only, > 0: error per step relative to the size of every variable, and absolute error of small ones.
        Default: ``system.tolerance``.
    backend : {"taylor", "numba", "heyoka", "dop853"}
        Flows only. "taylor": Taylor series in generated Python, fast for few trajectories and ten times more accurate
        than `rtol` asks. "numba": the same series compiled once for all systems, ten times faster still; needs numba.
        "heyoka": machine code for each system, several times faster again after a fraction of a second of compiling,
        for right-hand sides without kinks and tanh; needs heyoka. "dop853": Dormand-Prince on arrays, the choice for
        hundreds of trajectories, and for right-hand sides that cannot be traced. Flows that turn out to be stiff are
        handed to LSODA. Default: the backend of the system.

    Returns
    -------
    array (T, dim), or (B, T, dim) for several states
        ``out[..., 0, :] = x0``; NaN from the time at which a trajectory escapes.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import Lorenz63
    >>> from chaosfit.systems.integrate import integrate
    >>> x0, t = [1.0, 1.0, 20.0], np.linspace(0.0, 2.0, 5)
    >>> taylor, dop853 = (integrate(Lorenz63(), x0, t, backend=name) for name in ("taylor", "dop853"))
    >>> bool(np.abs(taylor - dop853).max() < 1e-7)
    True
    """
    starts, t = np.asarray(x0, float), np.asarray(t, float)
    if starts.ndim not in (1, 2) or starts.shape[-1] != system.dim:
        raise ValueError(f"{system!r}: expected x0 of shape ({system.dim},) or (B, {system.dim}), got {starts.shape}")
    if t.ndim != 1 or not len(t) or not np.isfinite(t).all() or not (np.diff(t) > 0).all():
        raise ValueError("expected t to be a non-empty, finite, strictly increasing vector")
    rows = np.atleast_2d(starts)
    if isinstance(system, Flow):
        rtol, backend = _checked(system, rtol, backend)
        out = cached(system, ("solve", rows, t, rtol, backend), lambda: system._solve(rows, t, rtol, backend))
    else:
        if rtol is not None or backend is not None:
            raise ValueError(f"{system!r} has no rtol or backend: its own parameters set the accuracy")
        dt = _spacing(system, t)
        out = cached(system, ("grid", rows, len(t), dt), lambda: system._trajectories(rows, len(t), dt, 0.0))
    return out[0] if starts.ndim == 1 else out


def _checked(system: Flow, rtol: float | None, backend: str | None) -> tuple[float, str]:
    rtol = system.tolerance if rtol is None else rtol
    if not rtol > 0.0:
        raise ValueError(f"rtol must be > 0, got {rtol!r}")
    backend = system.backend if backend is None else backend
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    return rtol, backend


def _spacing(system: System, t: np.ndarray) -> float:
    if len(t) == 1:
        return system.dt
    dt = (t[-1] - t[0]) / (len(t) - 1)
    if np.abs(np.diff(t) - dt).max() > 1e-9 * max(abs(t[0]), abs(t[-1])):
        raise ValueError(f"{system!r} needs equally spaced times")
    return float(dt)
