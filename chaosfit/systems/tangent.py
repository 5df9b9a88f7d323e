"""Lyapunov spectra of systems and of fitted models by tangent dynamics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaosfit.base import BaseDynamics, FlowDynamics
from chaosfit.numerics.integrate import integrate_batch
from chaosfit.numerics.spectral import kaplan_yorke_dimension
from chaosfit.systems.delays import DelayFlow, method_of_steps
from chaosfit.systems.pdes import KuramotoSivashinsky
from chaosfit.systems.system import Flow, Map
from chaosfit.validation import check_n_steps

__all__ = ["LyapunovSpectrum", "lyapunov_spectrum"]

# Advances states (B, n) and tangent frames (B, n, k) from a time by one interval.
Carry = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]


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
    system: Flow | Map | DelayFlow | KuramotoSivashinsky | BaseDynamics,
    n_exponents: int | None = None,
    *,
    n_steps: int = 1000,
    dt: float | None = None,
    n_trajectories: int = 16,
    random_state: Any = None,
    x0: np.ndarray | None = None,
) -> LyapunovSpectrum:
    """Measure the Lyapunov exponents of a system with known equations, or of what a model has learned.

    Tangent vectors follow dQ/dt = J(x) Q together with the state (a map: Q' = J(x) Q) and are orthonormalised at
    equal intervals; the exponents are the mean logarithms of the lengths that this removes. Independent trajectories
    serve as blocks for the standard errors. The tangent vectors of a delay equation are histories over one delay, on
    its step grid. Where numba is installed and the right-hand side can be traced, flows run compiled.

    Parameters
    ----------
    system : Flow, Map, DelayFlow, KuramotoSivashinsky or fitted estimator with a `jacobian`
        With an analytic Jacobian or the default one by central differences. Of a model that has hidden states, the
        exponents are those of its closed loop; the surplus ones say nothing about the data.
    n_exponents : int
        Number of leading exponents, 1..dim; default: all of a flow or map, 8 otherwise.
    n_steps : int
        Orthonormalisations per trajectory that count, after n_steps / 10 more that align the vectors.
    dt : float
        Interval between two orthonormalisations of a flow; default: ten times ``system.dt``. Delay equations use their
        delay. For a model in discrete time, the time of one step; default: its `dt`, or 1.
    n_trajectories : int
        Independent trajectories, >= 2.
    random_state : int, Generator or None
        Seed of the starts.
    x0 : array (n_trajectories, dim)
        Starts instead, taken to lie on the attractor; not for delay equations. A model needs them: rows of data, or
        of its `transform` or `states` if it has hidden states.

    Returns
    -------
    LyapunovSpectrum
        Exponents, standard errors and Kaplan-Yorke dimension.

    References
    ----------
    Benettin, Galgani, Giorgilli, Strelcyn, Meccanica 15, 9 and 21, 1980, doi:10.1007/BF02128236. Delays: Farmer,
    Physica D 4, 366, 1982, doi:10.1016/0167-2789(82)90042-2.

    Examples
    --------
    >>> from chaosfit.systems.maps import Henon
    >>> from chaosfit.systems.tangent import lyapunov_spectrum
    >>> result = lyapunov_spectrum(Henon(), n_steps=500, random_state=0)
    >>> round(float(result.exponents.sum()), 6)              # ln 0.3
    -1.203973
    """
    if isinstance(system, BaseDynamics):
        return _model_spectrum(system, n_exponents, n_steps, dt, x0)
    if not isinstance(system, Flow | Map | DelayFlow | KuramotoSivashinsky):
        raise TypeError(f"lyapunov_spectrum needs a Flow or a Map, or a delay equation, got {type(system).__name__}")
    n_steps = check_n_steps(n_steps)
    k = n_exponents
    if k is None:
        k = system.dim if isinstance(system, Flow | Map) else 8
    most = 2 * system.steps_per_delay + 1 if isinstance(system, DelayFlow) else system.dim
    if not 1 <= k <= most:
        raise ValueError(f"n_exponents must lie in 1..{most}, got {n_exponents!r}")
    if n_trajectories < 2:
        raise ValueError(f"n_trajectories must be >= 2, standard errors need it; got {n_trajectories!r}")
    interval = 10.0 * system.dt if dt is None else dt
    if isinstance(system, Map | DelayFlow):
        interval = 1.0 if isinstance(system, Map) else system.tau
    x = _histories(system, n_trajectories, random_state) if isinstance(system, DelayFlow) else x0
    if x is None:
        x = system.simulate(1, n_trajectories=n_trajectories, random_state=random_state)[:, 0]
    rates = _growth_rates(_carry(system, k, interval), np.asarray(x, float), k, n_steps, interval)
    return _summary(rates, most)


def _model_spectrum(model: Any, n_exponents, n_steps: int, dt: float | None, x0) -> LyapunovSpectrum:
    name = type(model).__name__
    if not hasattr(model, "jacobian"):
        raise TypeError(f"{name} has no jacobian, which its Lyapunov spectrum needs.")
    if x0 is None or np.ndim(x0) != 2 or len(x0) < 2:
        raise ValueError(
            f"x0 must hold two or more states of {name} on its attractor, one per row, got "
            f"{'none' if x0 is None else f'shape {np.shape(x0)}'}."
        )
    x, step = np.asarray(x0, float), getattr(model, "dt", 1.0) if dt is None else dt
    k = x.shape[1] if n_exponents is None else n_exponents
    if not 1 <= k <= x.shape[1]:
        raise ValueError(f"n_exponents must lie in 1..{x.shape[1]}, got {n_exponents!r}")
    if isinstance(model, FlowDynamics) and not model._is_map():
        carry = _carry_rhs(lambda z: model._rhs(z, None), model.jacobian, x.shape[1], k, 10.0 * model.dt)
        step = 10.0 * model.dt
    else:
        advance = model.closed_loop

        def carry(z, frame, time):
            return advance(z), model.jacobian(z) @ frame

    return _summary(_growth_rates(carry, x, k, check_n_steps(n_steps), step), x.shape[1])


def _tangent_field(rhs, jacobian, d: int, k: int) -> Callable[..., np.ndarray]:
    """Right-hand side of states and k tangent vectors together, flat: (n, d + d k)."""

    def field(z: np.ndarray, *t: np.ndarray) -> np.ndarray:
        states, vectors = z[:, :d], z[:, d:].reshape(-1, d, k)
        slopes = jacobian(states, *t) @ vectors
        return np.concatenate([rhs(states, *t), slopes.reshape(len(z), -1)], axis=1)

    return field


def _carry_rhs(rhs, jacobian, d: int, k: int, interval: float, tolerance: float = 1e-8) -> Carry:
    """Integrate dx/dt = rhs(x) and its tangent vectors."""
    field = _tangent_field(rhs, jacobian, d, k)

    def carry(x: np.ndarray, frame: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        z = np.concatenate([x, frame.reshape(len(x), -1)], axis=1)
        ends = integrate_batch(field, z, np.array([0.0, interval]), rtol=tolerance, atol=tolerance)[:, 1]
        return ends[:, :d], ends[:, d:].reshape(-1, d, k)

    return carry


def _growth_rates(carry: Carry, x: np.ndarray, k: int, n_steps: int, interval: float) -> np.ndarray:
    """Mean growth rates (B, k) of orthonormal frames along the trajectories from x (B, n)."""
    first = np.random.default_rng(0).standard_normal((k, x.shape[1])).T
    frame = np.broadcast_to(np.linalg.qr(first)[0], (*x.shape, k))
    growth = np.zeros((len(x), k))
    n_align = max(20, n_steps // 10)
    for count in range(-n_align, n_steps):
        x, frame = carry(x, frame, (n_align + count) * interval)
        if not (np.isfinite(x).all() and np.isfinite(frame).all()):
            raise ValueError(f"the tangent dynamics diverged within {interval} time units; choose a smaller dt")
        frame, r = np.linalg.qr(frame)
        if count >= 0:
            # A singular Jacobian gives a zero length: very negative, but finite.
            growth += np.log(np.maximum(np.abs(np.diagonal(r, axis1=1, axis2=2)), 1e-300))
    return growth / (n_steps * interval)


def _carry(system: Flow | Map | DelayFlow | KuramotoSivashinsky, k: int, interval: float) -> Carry:
    if isinstance(system, Map):
        return lambda x, frame, time: (system.step(x), system.jacobian(x) @ frame)
    if isinstance(system, KuramotoSivashinsky):
        # The mean is conserved; a perturbation of it only adds a drift, and one more exponent zero.
        return lambda x, frame, time: system.advance_tangent(x, frame - frame.mean(axis=1, keepdims=True), interval)
    if isinstance(system, DelayFlow):
        return _carry_history(system, k)
    if system.tape is not None and any(operation.name == "sign" for operation in system.tape.operations):
        return _carry_neighbours(system, k, interval)
    return _carry_flow(system, k, interval)


def _carry_neighbours(system: Flow, k: int, interval: float) -> Carry:
    """Carry close neighbours instead of tangent vectors: only they feel a jump of the right-hand side."""
    from chaosfit.numerics.compiled import is_compiled

    def carry(x: np.ndarray, frame: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        B, d = x.shape
        size = 1e-6 * (1.0 + np.abs(x).max(axis=1))[:, None, None]
        starts = np.concatenate([x[:, None], x[:, None] + size * np.swapaxes(frame, 1, 2)], axis=1)
        t = np.array([time, time + interval])
        ends = system._solve(starts.reshape(-1, d), t, 1e-10, "numba" if is_compiled else "taylor")[:, 1]
        ends = ends.reshape(B, 1 + k, d)
        return ends[:, 0], np.swapaxes((ends[:, 1:] - ends[:, :1]) / size, 1, 2)

    return carry


def _carry_flow(system: Flow, k: int, interval: float) -> Carry:
    from chaosfit.numerics.compiled import integrate_compiled, is_compiled

    d = system.dim
    # Averages over a chaotic orbit gain nothing from the accuracy of a single trajectory.
    tolerance = max(system.tolerance, 1e-8)
    tape = system.tape.tangent(k) if is_compiled and system.tape is not None else None

    field = _tangent_field(system.rhs, system.jacobian, d, k)

    def carry(x: np.ndarray, frame: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        z, t = np.concatenate([x, frame.reshape(len(x), -1)], axis=1), np.array([time, time + interval])
        ends = np.full_like(z, np.nan)
        if tape is not None:
            ends = integrate_compiled(tape, z, t, rtol=tolerance, atol=tolerance)[:, 1]
        # Removable singularities end a series, but not a Runge-Kutta step.
        left = ~np.isfinite(ends).all(axis=1)
        if left.any():
            with_time = system.time_dependent
            ends[left] = integrate_batch(field, z[left], t, rtol=tolerance, atol=tolerance, time_dependent=with_time)[
                :, 1
            ]
        return ends[:, :d], ends[:, d:].reshape(-1, d, k)

    return carry


def _histories(system: DelayFlow, n_trajectories: int, random_state: Any) -> np.ndarray:
    """States on the half-step grid over one delay, flat: (B, (2 N + 1) dim)."""
    n = 2 * system.steps_per_delay
    states = system.simulate(n + 1, dt=system.tau / n, n_trajectories=n_trajectories, random_state=random_state)
    return states.reshape(n_trajectories, -1)


def _carry_history(system: DelayFlow, k: int) -> Carry:
    """Carry histories and their perturbations together over one delay, as one delay equation of dim (1 + k)."""
    d, n = system.dim, system.steps_per_delay

    def rhs(Z: np.ndarray, Z_delayed: np.ndarray) -> np.ndarray:
        x, x_delayed = Z[:, :d], Z_delayed[:, :d]
        by_x, by_delayed = system.jacobians(x, x_delayed)
        vectors, delayed = (each[:, d:].reshape(-1, d, k) for each in (Z, Z_delayed))
        slopes = by_x @ vectors + by_delayed @ delayed
        return np.concatenate([system.rhs(x, x_delayed), slopes.reshape(len(Z), -1)], axis=1)

    def carry(x: np.ndarray, frame: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        B = len(x)
        grid = np.concatenate([x.reshape(B, -1, d), frame.reshape(B, -1, d * k)], axis=2).swapaxes(0, 1)
        states, _, middles = method_of_steps(rhs, grid[::2], grid[1::2], system.tau / n, n)
        grid[::2], grid[1::2] = states[n:], middles[n:]
        grid = grid.swapaxes(0, 1)
        return grid[:, :, :d].reshape(B, -1), grid[:, :, d:].reshape(B, -1, k)

    return carry


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
