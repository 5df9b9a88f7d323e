"""Sums of exponentials fitted to series by variable projection: the mathematics of `OptDMD`.

Times may be uneven, and several series may share their exponents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from chaosfit.methods.koopman.lifted import galerkin
from chaosfit.numerics.delay import delay_vectors

__all__ = [
    "ExponentialFit",
    "amplitude_map",
    "best_coefficients",
    "fit_exponentials",
    "initial_exponents",
    "shared_modes",
]

_OUTER, _INNER, _TOLERANCE = 30, 52, 1e-10


@dataclass(frozen=True)
class ExponentialFit:
    """x(t) = Re sum_j exp(exponents_j t) coefficients_j, with common exponents for several series.

    Attributes
    ----------
    exponents : array (r,), complex
    coefficients : list of arrays (r, d), complex, one for each series
        Amplitude times mode of each exponent.
    error : float
        Root mean square error.
    """

    exponents: np.ndarray
    coefficients: list[np.ndarray]
    error: float

    def evaluate(self, t: np.ndarray, series: int = 0) -> np.ndarray:
        """Return the real series (n, d) at times t (n,)."""
        return (np.exp(np.multiply.outer(t, self.exponents)) @ self.coefficients[series]).real


@dataclass(frozen=True)
class _Trial:
    """Best coefficients of one series for given exponents."""

    basis: np.ndarray
    coefficients: np.ndarray
    residual: np.ndarray


def _project(exponents: np.ndarray, constraint: str | None) -> np.ndarray:
    if constraint == "stable":
        return np.minimum(exponents.real, 0) + 1j * exponents.imag
    return 1j * exponents.imag if constraint == "imaginary" else exponents


def best_coefficients(
    X: list[np.ndarray], t: list[np.ndarray], exponents: np.ndarray
) -> tuple[list[_Trial] | None, float]:
    """Return the best coefficients of every series and the norm of all residuals, inf if a basis overflows."""
    trials = []
    for x, time in zip(X, t, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            basis = np.exp(np.multiply.outer(time, exponents))
        if not np.isfinite(basis).all():
            return None, np.inf
        coefficients = np.linalg.lstsq(basis, x.astype(complex), rcond=None)[0]
        trials.append(_Trial(basis, coefficients, x - basis @ coefficients))
    return trials, float(np.sqrt(sum(np.linalg.norm(trial.residual) ** 2 for trial in trials)))


def _normal_equations(trial: _Trial, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return J* J (r, r) and J* residual (r,) of the variable-projection Jacobian of one series.

    Column j of J is a sum of two outer products, one outside and one inside the range of the basis, so
    its Gram matrix is a sum of elementwise products of (r, r) matrices, and J (n d, r) is never formed.
    """
    Q, R = linalg.qr(trial.basis, mode="economic")
    slope = t[:, None] * trial.basis
    outside = slope - Q @ (Q.conj().T @ slope)
    seen = slope.conj().T @ trial.residual  # (r, d)
    inverse = linalg.pinv(R)
    B = trial.coefficients
    gram = (outside.conj().T @ outside) * (B.conj() @ B.T)
    gram += (inverse @ inverse.conj().T) * (seen.conj() @ seen.T)
    return gram, np.sum((outside.conj().T @ trial.residual) * B.conj(), axis=1)


def fit_exponentials(
    X: list[np.ndarray], t: list[np.ndarray], exponents: np.ndarray, constraint: str | None = None
) -> ExponentialFit:
    r"""Fit a sum of exponentials to one or several series by variable projection.

    .. math:: \min_{\alpha, B} \| X - \Phi(\alpha) B \|, \qquad \Phi_{kj} = \exp(\alpha_j t_k)

    Levenberg-Marquardt on the exponents; the coefficients follow by least squares.

    Parameters
    ----------
    X : list of arrays (n_i, d)
    t : list of arrays (n_i,)
        Times, in any spacing, from about zero.
    exponents : array (r,), complex
        Where to start, conjugate pairs for real data. They stay pairs.
    constraint : {None, "stable", "imaginary"}
        Re <= 0 or Re = 0, by projection after each step.

    Returns
    -------
    ExponentialFit

    Raises
    ------
    ValueError
        If the exponents to start from overflow within the times.

    References
    ----------
    Askham, Kutz, SIAM J. Appl. Dyn. Syst. 17, 380 (2018), doi:10.1137/M1124176, arXiv:1704.02343.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.sort(np.random.default_rng(0).uniform(0, 20, 100))  # uneven times
    >>> fit = fit_exponentials([np.cos(2 * t)[:, None]], [t], np.array([1.9j, -1.9j]))
    >>> np.abs(fit.exponents.imag).round(6)
    array([2., 2.])
    """
    alpha = _project(np.asarray(exponents, dtype=complex), constraint)
    size = np.sqrt(sum(np.linalg.norm(x) ** 2 for x in X))
    trials, error = best_coefficients(X, t, alpha)
    if trials is None:
        raise ValueError("the exponents to start from overflow within the times; give smaller real parts")
    damping = 1.0
    for _ in range(_OUTER):
        before = error
        parts = [_normal_equations(trial, time) for trial, time in zip(trials, t, strict=True)]
        gram, right = (sum(part) for part in zip(*parts, strict=True))
        alpha, trials, error, damping = _accepted_step(X, t, constraint, (alpha, trials, error, damping), gram, right)
        if before - error <= _TOLERANCE * before or error <= _TOLERANCE * size:
            break
    n_values = sum(x.size for x in X)
    return ExponentialFit(alpha, [trial.coefficients for trial in trials], float(error / np.sqrt(n_values)))


def _accepted_step(X, t, constraint, state, gram, right):
    """Raise the damping until a step lowers the error; return the old state if none does."""
    alpha, _, error, damping = state
    scale = np.maximum(gram.diagonal().real, 1e-300)
    for _ in range(_INNER):
        step = np.linalg.lstsq(gram + np.diag(damping * scale), right, rcond=None)[0]
        new = _project(alpha + step, constraint)
        new_trials, new_error = best_coefficients(X, t, new)
        if new_error < error:
            return new, new_trials, new_error, damping / 2
        damping *= 2
    return state


def initial_exponents(X: list[np.ndarray], t: list[np.ndarray], rank: int | str) -> np.ndarray:
    """Return a first guess of the exponents by dynamic mode decomposition of delay vectors.

    Uneven times are interpolated to an even grid, which is good enough to start from. The guess never
    grows by more than exp(20) within the times.
    """
    dt = float(np.median(np.concatenate([np.diff(time) for time in t])))
    n, d = max(x.shape[0] for x in X), X[0].shape[1]
    n_delays = max(1, min(n // 3, max(10, -(-2 * (1 if rank == "auto" else rank) // d))))
    lifted = [
        delay_vectors(_resample(x, time, dt), n_delays) for x, time in zip(X, t, strict=True) if len(x) > n_delays
    ]
    before, after = (np.concatenate([H[rows] for H in lifted]) for rows in (slice(None, -1), slice(1, None)))
    model, _ = galerkin(before, after, rank=rank, scale=False)
    eigenvalues = linalg.eigvals(model.matrix)
    size = np.maximum(np.abs(eigenvalues), 1e-6)  # a zero eigenvalue has no exponent
    growth = np.minimum(np.log(size) / dt, 20 / max(time[-1] - time[0] for time in t))
    return growth + 1j * np.angle(eigenvalues) / dt


def _resample(x: np.ndarray, t: np.ndarray, dt: float) -> np.ndarray:
    if np.allclose(np.diff(t), dt, rtol=1e-6):
        return x
    even = np.arange(t[0], t[-1], dt)
    return np.column_stack([np.interp(even, t, column) for column in x.T])


def shared_modes(coefficients: list[np.ndarray]) -> np.ndarray:
    """Return modes (r, d) of norm one: for each exponent the direction common to all series."""
    return np.stack([np.linalg.svd(np.stack(rows))[2][0] for rows in zip(*coefficients, strict=True)])


def amplitude_map(exponents: np.ndarray, modes: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return M (n d, r), complex: rows at times t (n,), flattened, times M are the amplitudes at t[-1].

    Each amplitude is first fitted at the end of the window where its mode is largest, so that fast decay
    or growth cannot overflow.
    """
    largest_at = np.where(exponents.real < 0, t[0], t[-1])
    basis = np.exp(exponents * (t[:, None] - largest_at))[:, None, :] * modes.T
    return np.linalg.pinv(basis.reshape(-1, len(exponents)), rcond=1e-10).T * np.exp(exponents * (t[-1] - largest_at))
