"""Initial-value problems: many trajectories at once, one stiff trajectory, or a flow driven by known inputs.

All functions take a right-hand side that is vectorised over rows, ``rhs(X)`` with ``X`` of shape (B, d), and
return plain arrays. A row that cannot be integrated becomes NaN from there on; nothing raises or warns meanwhile.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import DOP853, LSODA

__all__ = ["integrate_batch", "integrate_driven", "integrate_implicit"]

RightHandSide = Callable[..., np.ndarray]

_N_STAGES = DOP853.n_stages
# Node and weights of each stage, the weights without their zero tail.
_STAGES = [(DOP853.C[s], DOP853.A[s, :s]) for s in range(1, _N_STAGES)]
_EXTRA_STAGES = [(DOP853.C_EXTRA[s], DOP853.A_EXTRA[s, : _N_STAGES + 1 + s]) for s in range(3)]
_EVEN = np.arange(3 + len(DOP853.D)) % 2 == 0
_ERRORS = np.array([DOP853.E5, DOP853.E3])

_SAFETY, _MIN_FACTOR, _MAX_FACTOR = 0.9, 0.2, 10.0
_ERROR_EXPONENT = -1.0 / 8.0


class _Tolerance(NamedTuple):
    relative: float
    absolute: float


def integrate_batch(
    rhs: RightHandSide,
    x0: ArrayLike,
    t: ArrayLike,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
    bound: float = np.inf,
    max_steps: int = 10_000,
    time_dependent: bool = False,
) -> np.ndarray:
    """Integrate many initial states of dx/dt = f(x) at once, each with its own step size.

    Dormand-Prince 8(5,3) pair with its seventh-order dense output: steps follow the dynamics, not the output
    grid. The step size of a row is controlled by that row alone, so a trajectory does not depend on its companions.

    Parameters
    ----------
    rhs : callable
        ``rhs(X) -> (B, d)`` for X (B, d); row i always belongs to trajectory i, so a right-hand side may
        carry one parameter set per row. With ``time_dependent=True`` it is called as ``rhs(X, time)``, time (B,).
    x0 : array (B, d)
        States at ``t[0]``. Rows with NaN come back as NaN.
    t : array (T,)
        Strictly increasing output times.
    rtol, atol : float
        Local error per step: ``atol + rtol * |x|`` in the root mean square over the d variables.
    bound : float
        A state with a larger absolute value, or a non-finite one, ends its trajectory.
    max_steps : int
        Attempted steps between two output times after which a trajectory is given up.
    time_dependent : bool
        Whether `rhs` takes the time as its second argument.

    Returns
    -------
    array (B, T, d)
        States on `t`, ``out[:, 0] = x0``; NaN from the point where a trajectory ended.

    Notes
    -----
    Not meant for stiff equations: they exhaust `max_steps`; use :func:`integrate_implicit`.

    References
    ----------
    Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, 2nd ed., section II.5, 1993,
    doi:10.1007/978-3-540-78862-1.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.numerics.integrate import integrate_batch
    >>> out = integrate_batch(lambda X: -X, [[1.0], [2.0]], np.linspace(0.0, 1.0, 11))
    >>> out.shape
    (2, 11, 1)
    >>> bool(np.allclose(out[:, -1, 0], [np.exp(-1.0), 2.0 * np.exp(-1.0)], rtol=1e-9))
    True
    """
    x, t = _checked_start(x0, t)
    out = np.full((len(x), len(t), x.shape[1]), np.nan)
    out[:, 0] = x
    field = _field(rhs, time_dependent)
    with np.errstate(all="ignore"):
        alive = _within(x, bound)
        # Ended rows stay in the batch at a harmless state: right-hand sides may refuse NaN.
        _fill(field, np.where(alive[:, None], x, 0.0), t, alive, out, _Tolerance(rtol, atol), bound, max_steps)
        escaped = np.logical_or.accumulate(~_within(out, bound), axis=1)
    out[escaped] = np.nan
    return out


def integrate_implicit(
    rhs: RightHandSide,
    x0: ArrayLike,
    t: ArrayLike,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
    bound: float = np.inf,
    max_steps: int = 10_000,
    time_dependent: bool = False,
) -> np.ndarray:
    """Integrate one trajectory of dx/dt = f(x) by SciPy's LSODA, for equations that are stiff.

    Parameters
    ----------
    rhs : callable
        As in :func:`integrate_batch`.
    x0 : array (d,)
        State at ``t[0]``.
    t : array (T,)
        Strictly increasing output times.
    rtol, atol : float
        Local error per step.
    bound : float
        A state with a larger absolute value ends the trajectory.
    max_steps : int
        Steps between two output times after which the trajectory is given up.
    time_dependent : bool
        Whether `rhs` takes the time as its second argument.

    Returns
    -------
    array (T, d)
        States on `t`; NaN from the point where the trajectory ended.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.numerics.integrate import integrate_implicit
    >>> decay = integrate_implicit(lambda X: -1e6 * (X - 1.0), [0.0], [0.0, 1.0])
    >>> bool(abs(decay[-1, 0] - 1.0) < 1e-8)
    True
    """
    x0, t = np.asarray(x0, float), np.asarray(t, float)

    def field(time: float, x: np.ndarray) -> np.ndarray:
        return rhs(x[None], np.array([time]))[0] if time_dependent else rhs(x[None])[0]

    out = np.full((len(t), len(x0)), np.nan)
    out[0], written, n_tries = x0, 1, 0
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solver = LSODA(field, t[0], x0, t[-1], rtol=rtol, atol=atol)
        # Counted here because LSODA creeps towards a singularity without ever giving up.
        while solver.status == "running" and n_tries < max_steps and _within(solver.y, bound):
            solver.step()
            reached = int(np.searchsorted(t, solver.t, side="right"))
            n_tries = n_tries + 1 if reached == written else 0
            if reached > written:
                out[written:reached] = solver.dense_output()(t[written:reached]).T
                written = reached
    out[np.logical_or.accumulate(~_within(out, bound))] = np.nan
    return out


def integrate_driven(
    rhs: RightHandSide,
    x0: ArrayLike,
    u: ArrayLike,
    dt: float,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
    bound: float = np.inf,
    max_steps: int = 10_000,
) -> np.ndarray:
    """Integrate dx/dt = f(x, u) with every input held constant over its sampling interval (zero-order hold).

    x[t+1] = flow of dx/dt = f(x, u[t]) over `dt`, started from x[t].

    Parameters
    ----------
    rhs : callable
        ``rhs(X, U) -> (B, d)`` for X (B, d) and U (B, p).
    x0 : array (B, d)
        States at which the first input acts.
    u : array (B, h, p)
        Inputs.
    dt : float
        Sampling interval, > 0.
    rtol, atol, bound, max_steps
        As in :func:`integrate_batch`; `max_steps` counts within one interval.

    Returns
    -------
    array (B, h, d)
        States after 1..h intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.numerics.integrate import integrate_driven
    >>> integrate_driven(lambda X, U: U, [[0.0]], [[[1.0], [2.0]]], dt=0.5)[0, :, 0].round(12).tolist()
    [0.5, 1.5]
    """
    x, u = np.asarray(x0, float), np.asarray(u, float)
    if u.ndim != 3 or x.ndim != 2 or len(u) != len(x):
        raise ValueError(f"expected x0 (B, d) and u (B, h, p) with the same B, got {x.shape} and {u.shape}")
    out = np.empty((len(x), u.shape[1], x.shape[1]))
    for step in range(u.shape[1]):
        held = u[:, step]
        x = integrate_batch(
            lambda X, held=held: rhs(X, held),
            x,
            [0.0, dt],
            rtol=rtol,
            atol=atol,
            bound=bound,
            max_steps=max_steps,
        )[:, 1]
        out[:, step] = x
    return out


def _checked_start(x0: ArrayLike, t: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, t = np.asarray(x0, float), np.asarray(t, float)
    if x.ndim != 2:
        raise ValueError(f"expected x0 of shape (B, d), got {x.shape}")
    if t.ndim != 1 or len(t) == 0 or not np.isfinite(t).all() or not (np.diff(t) > 0).all():
        raise ValueError("expected t to be a non-empty, finite, strictly increasing vector")
    return x, t


def _field(rhs: RightHandSide, time_dependent: bool) -> Callable[..., np.ndarray]:
    """Right-hand side at a fraction of a step; autonomous ones never pay for the time."""
    if time_dependent:
        return lambda x, time, fraction, step: rhs(x, time + fraction * step)
    return lambda x, time, fraction, step: rhs(x)


def _within(x: np.ndarray, bound: float) -> np.ndarray:
    return (np.isfinite(x) & (np.abs(x) <= bound)).all(axis=-1)


def _fill(field, x, t, alive, out, tolerance, bound, max_steps) -> None:
    """Advance all rows until each has reached the end or died, writing the output grid as steps pass over it."""
    n_rows, end = len(x), t[-1]
    time, written, n_tries = np.full(n_rows, t[0]), np.ones(n_rows, int), np.zeros(n_rows, int)
    slopes = np.empty((_N_STAGES + 4, *x.shape))
    slopes[0] = _checked_slope(field(x, time, 0.0, time), x)
    step = _first_step(field, x, time, slopes[0], end, tolerance)
    shortest = 10.0 * np.spacing(max(abs(t[0]), abs(end)))
    largest_factor = np.full(n_rows, _MAX_FACTOR)
    active = alive & (time < end)
    while active.any():
        last = step >= end - time
        step = np.where(active, np.where(last, end - time, step), 0.0)
        x_new = _try_step(field, x, time, step, slopes)
        error = _error_norm(slopes, step, x, x_new, tolerance)
        accepted = active & (error <= 1.0)
        time_new = np.where(last, end, time + step)
        reached = np.where(accepted, np.searchsorted(t, time_new, side="right"), written)
        n_tries = np.where(reached > written, 0, n_tries + 1)
        if (reached > written).any():
            _write_dense(field, x, x_new, time, step, slopes, t, written, reached, out)
        x = np.where(accepted[:, None], x_new, x)
        slopes[0] = np.where(accepted[:, None], slopes[_N_STAGES], slopes[0])
        time, written = np.where(accepted, time_new, time), reached
        factor = np.clip(_SAFETY * error**_ERROR_EXPONENT, _MIN_FACTOR, largest_factor)
        step = step * np.where(np.isnan(factor), _MIN_FACTOR, factor)
        # A step size that has just failed must not grow again at once.
        largest_factor = np.where(accepted, _MAX_FACTOR, 1.0)
        ended = (n_tries > max_steps) | (step < shortest) | (accepted & ~_within(x_new, bound))
        active &= (time < end) & ~ended


def _checked_slope(slope: np.ndarray, x: np.ndarray) -> np.ndarray:
    slope = np.asarray(slope)
    if slope.shape != x.shape:
        raise ValueError(f"expected the right-hand side to return shape {x.shape}, got {slope.shape}")
    return slope


def _first_step(field, x, time, slope, end, tolerance) -> np.ndarray:
    """Starting step from the sizes of x, x' and a difference quotient for x''; Hairer et al., section II.4."""
    scale = tolerance.absolute + tolerance.relative * np.abs(x)
    size, speed = _rms(x / scale), _rms(slope / scale)
    guess = np.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / speed)
    guess = np.minimum(guess, end - time)
    ahead = field(x + guess[:, None] * slope, time, 1.0, guess)
    curvature = _rms((ahead - slope) / scale) / guess
    largest = np.fmax(speed, curvature)
    step = np.where(largest <= 1e-15, np.maximum(1e-6, 1e-3 * guess), (0.01 / largest) ** (1.0 / 8.0))
    return np.fmin(100.0 * guess, step)


def _rms(x: np.ndarray) -> np.ndarray:
    return np.sqrt((x * x).mean(axis=1))


def _weighted_sum(weights: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    # Not a matrix product: BLAS may round a row differently in a batch of another size.
    return np.einsum("s,sbd->bd", weights, slopes[: len(weights)])


def _weighted_sums(weights: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    return np.einsum("ks,sbd->kbd", weights, slopes[: weights.shape[1]])


def _try_step(field, x, time, step, slopes) -> np.ndarray:
    """Fill the slopes of one step, from the known slopes[0] up to the slope at its end; return the end."""
    h = step[:, None]
    for s, (node, weights) in enumerate(_STAGES, start=1):
        slopes[s] = field(x + h * _weighted_sum(weights, slopes), time, node, step)
    x_new = x + h * _weighted_sum(DOP853.B, slopes)
    slopes[_N_STAGES] = field(x_new, time, 1.0, step)
    return x_new


def _error_norm(slopes, step, x, x_new, tolerance) -> np.ndarray:
    """Local error over tolerance from the embedded fifth- and third-order estimates; Hairer et al., II.10."""
    scale = tolerance.absolute + tolerance.relative * np.maximum(np.abs(x), np.abs(x_new))
    fifth, third = ((_weighted_sums(_ERRORS, slopes) / scale) ** 2).sum(axis=-1)
    blend = np.sqrt((fifth + 0.01 * third) * x.shape[1])
    # Rows at rest have no error at all; infinite estimates give NaN, which counts as a failed step.
    return np.where(fifth == 0.0, 1e-10, step * fifth / blend)


def _write_dense(field, x, x_new, time, step, slopes, t, written, reached, out) -> None:
    """Write the grid points written[i] <= k < reached[i] of every row i from the interpolant of this step."""
    count = reached - written
    row = np.repeat(np.arange(len(x)), count)
    column = np.arange(len(row)) + np.repeat(written - np.cumsum(count) + count, count)
    fraction = ((t[column] - time[row]) / step[row])[:, None]
    if (fraction == 1.0).all():
        out[row, column] = x_new[row]
        return
    h = step[:, None]
    for s, (node, weights) in enumerate(_EXTRA_STAGES, start=_N_STAGES + 1):
        slopes[s] = field(x + h * _weighted_sum(weights, slopes), time, node, step)
    rise = x_new - x
    edge = [rise, h * slopes[0] - rise, 2.0 * rise - h * (slopes[_N_STAGES] + slopes[0])]
    terms = np.concatenate([edge, h * _weighted_sums(DOP853.D, slopes)])
    # Nested form f (a + (1 - f) (b + f (c + ...))) of the interpolant, expanded into one weight per term.
    weights = np.cumprod(np.where(_EVEN, fraction, 1.0 - fraction), axis=1)
    out[row, column] = x[row] + np.einsum("nk,knd->nd", weights, terms[:, row])
