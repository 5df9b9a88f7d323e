"""What the dictionary methods share: lifted snapshot pairs, their Galerkin matrix, residuals, the engine.

A dictionary psi lifts M snapshot pairs (x, y = F(x)) to matrices PX, PY of shape (M, N). Everything is
computed in a basis of the dictionary that is orthonormal over the data, psi_o = psi T, because there
least squares is one product, the residual of an eigenpair is a norm, and the nearest unitary operator is a
polar factor. Normal equations, which square the condition number of monomials, never appear.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.base import StepDynamics
from chaosfit.numerics.delay import window_span, windows
from chaosfit.validation import Trajectory, check_states

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Galerkin", "LiftedDynamics", "galerkin", "noise_rank", "tall_svd", "transformer_rows"]


def tall_svd(
    A: np.ndarray, n_left: Callable[[np.ndarray], int] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U (M, r), s (k,), Vt (k, N) of A (M, N) with the largest entry of each row of Vt positive.

    The sign of a singular vector is arbitrary; fixing it makes results reproducible. `n_left` (s) -> r says
    how many columns of U are wanted, all by default. Few of them come from the reflectors of a QR decomposition
    without forming Q: half the work, and small singular values keep their digits.
    """
    if len(A) < 2 * A.shape[1] or n_left is None:
        U, s, Vt = linalg.svd(A, full_matrices=False, check_finite=False)
        left = U[:, : len(s) if n_left is None else n_left(s)]
    else:
        left, s, Vt = _leading_svd(A, n_left)
    largest = np.abs(Vt).argmax(axis=1)
    sign = np.where(Vt[np.arange(len(Vt)), largest] < 0, -1.0, 1.0)
    return left * sign[: left.shape[1]], s, Vt * sign[:, None]


def _leading_svd(A: np.ndarray, n_left: Callable[[np.ndarray], int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = A.shape[1]
    geqrf, orgqr, ormqr = linalg.get_lapack_funcs(("geqrf", "orgqr", "ormqr"), (A,))
    reflectors, tau, _, _ = geqrf(A, lwork=64 * n)
    U, s, Vt = linalg.svd(np.triu(reflectors[:n]), check_finite=False)
    U = U[:, : n_left(s)]
    if 2 * U.shape[1] > n:
        return orgqr(reflectors, tau, lwork=64 * n, overwrite_a=True)[0] @ U, s, Vt
    padded = np.zeros((len(A), U.shape[1]), order="F")
    padded[:n] = U
    return ormqr("L", "N", reflectors, tau, padded, 64 * n, overwrite_c=True)[0], s, Vt


def noise_rank(singular_values: np.ndarray) -> int:
    """Return how many singular values stand out of the noise.

    That is those above ten times the noise floor, the median of the last fifth, and above 1e-12 of the
    first, where rounding begins.
    """
    s = np.asarray(singular_values)
    floor = np.median(s[-max(1, len(s) // 5) :])
    return max(1, int(np.sum((s > 10 * floor) & (s > 1e-12 * s[0]))))


@dataclass(frozen=True)
class Galerkin:
    """Least-squares model of the Koopman operator on the span of a dictionary, in an orthonormal basis.

    Attributes
    ----------
    basis : array (N, r)
        psi(x) @ basis are r functions with mean square one over the data, uncorrelated with each other.
    coordinates : array (r, N)
        Coefficients of the N dictionary functions in that basis.
    matrix : array (r, r)
        The operator: psi_o(F(x)) is nearest to psi_o(x) @ matrix.
    misfit : array (k, r)
        psi_o(F(x)) @ v misses psi_o(x) @ matrix @ v by |misfit @ v| in the root mean square.
    """

    basis: np.ndarray
    coordinates: np.ndarray
    matrix: np.ndarray
    misfit: np.ndarray

    def residuals(self, eigenvalues: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Return |g o F - lambda g| / |g| over the data for each pair of lambda and column g = psi_o v.

        It converges to the residual of the true operator, |K g - lambda g| / |g|, with growing data.
        """
        inside = self.matrix @ vectors - vectors * eigenvalues
        outside = self.misfit @ vectors
        norm = np.linalg.norm(vectors, axis=0)
        return np.hypot(np.linalg.norm(inside, axis=0), np.linalg.norm(outside, axis=0)) / norm

    def pseudospectrum(self, z: np.ndarray) -> np.ndarray:
        """Return the smallest residual of any function of the dictionary at each z, of the shape of z.

        tau(z) = sigma_min([matrix - z; misfit]), which resolves 1e-12; its square as an eigenvalue, the
        usual form, resolves only 1e-8.
        """
        z = np.asarray(z, dtype=complex)
        r = len(self.matrix)
        stacked = np.concatenate([self.matrix, self.misfit]).astype(complex)
        tau = np.empty(z.size)
        for i, point in enumerate(z.ravel()):
            shifted = stacked.copy()
            shifted[np.arange(r), np.arange(r)] -= point
            tau[i] = linalg.svdvals(shifted, overwrite_a=True, check_finite=False)[-1]
        return tau.reshape(z.shape)


def galerkin(
    PX: np.ndarray,
    PY: np.ndarray,
    *,
    rank: int | str | None = None,
    scale: bool = True,
    cutoff: float = 1e-12,
) -> tuple[Galerkin, np.ndarray]:
    """Return the operator model of lifted pairs and the orthonormal basis over the data.

    Parameters
    ----------
    PX, PY : arrays (M, N)
        The dictionary at the snapshots and at their successors.
    rank : int, "auto" or None
        Directions kept: the r leading ones, those above the noise, or all.
    scale : bool
        Scale the dictionary functions to mean square one first; not for delays, whose size matters.
    cutoff : float
        Directions with a singular value below this share of the first are dropped.

    Returns
    -------
    Galerkin
    Q : array (M, r)
        psi_o over the data with Q.T @ Q = M: least squares on the dictionary is Q.T @ Y / M.
    """
    n_pairs = len(PX)
    size = np.sqrt(np.mean(PX**2, axis=0)) if scale else np.ones(PX.shape[1])
    size = np.where(size > 0, size, 1.0)

    def wanted(s: np.ndarray) -> int:
        kept = int(np.sum(s > cutoff * s[0])) if s[0] > 0 else 1
        if rank == "auto":
            return min(kept, noise_rank(s))
        return kept if rank is None else min(kept, int(rank))

    Q, s, Vt = tall_svd(PX / size if scale else PX, wanted)
    kept, root = Q.shape[1], np.sqrt(n_pairs)
    Q, s, Vt = Q * root, s[:kept], Vt[:kept]
    inverse = np.divide(root, s, out=np.zeros_like(s), where=s > 0)
    basis = (Vt.T * inverse) / size[:, None]
    lifted_next = PY @ basis
    matrix = Q.T @ lifted_next / n_pairs
    misfit = linalg.qr((lifted_next - Q @ matrix) / root, mode="r", check_finite=False)[0]
    misfit = misfit[: len(matrix)]
    return Galerkin(basis, (Vt * (s[:, None] / root)) * size, matrix, misfit), Q


def transformer_rows(transformer) -> int:
    """Return how many rows one output row of a transformer depends on, 1 unless it says otherwise."""
    if isinstance(transformer, Pipeline):
        return 1 + sum(transformer_rows(step) - 1 for _, step in transformer.steps)
    if isinstance(transformer, DelayEmbedding) and "auto" not in (transformer.n_delays, transformer.lag):
        return window_span(transformer.n_delays, transformer.lag)
    return getattr(transformer, "context_length_", 1)


class LiftedDynamics(StepDynamics):
    """Engine of the dictionary methods; a subclass names the dictionary and the operator to take.

    Hooks: `_dictionary`, and, where the defaults do not suit, `_galerkin`, `_operator`, `_read_out` and
    `_relifts`. The state carried in a forecast is the last rows and the lifted coordinates.
    """

    @abstractmethod
    def _dictionary(self):
        """Return the unfitted transformer (n, d) -> (n, N)."""

    def _galerkin(self, PX: np.ndarray, PY: np.ndarray) -> tuple[Galerkin, np.ndarray]:
        return galerkin(PX, PY)

    def _operator(self, model: Galerkin) -> np.ndarray:
        return model.matrix

    def _eigen(self, operator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return linalg.eig(operator)

    def _read_out(self, present: np.ndarray, successor: np.ndarray) -> np.ndarray:
        """Return the map (r, d) from coordinates to the next state, given the best ones for x and F(x)."""
        return successor

    def _relifts(self) -> bool:
        return False

    # ------------------------------------------------------------------ engine
    def _lift_rows(self) -> int:
        """Return how many rows one lifted row depends on."""
        fitted = getattr(self, "dictionary_", None)
        return transformer_rows(self._dictionary() if fitted is None else fitted)

    def _lift(self, X: np.ndarray) -> np.ndarray:
        """Lift consecutive rows (T, d) to (T, N); the first rows may lack history."""
        return np.asarray(self.dictionary_.transform(X), dtype=np.float64)

    def _context_length(self):
        return self._lift_rows()

    def _kept_rows(self):
        return self._lift_rows()

    def _is_markov(self):
        return self._lift_rows() == 1

    def _fit(self, trajectories):
        self.dictionary_ = self._dictionary()
        self.dictionary_.fit(np.concatenate([t.states for t in trajectories]))
        rows = self._lift_rows()
        trajectories = [t for t in trajectories if len(t.X) >= rows]
        if not trajectories:
            raise ValueError(f"every trajectory is shorter than the {rows + 1} rows that the dictionary needs")
        X = np.concatenate([t.X[rows - 1 :] for t in trajectories])
        Y = np.concatenate([t.Y[rows - 1 :] for t in trajectories])
        predicts_state = self.n_outputs_ == self.n_features_in_
        PX = np.concatenate([self._lift(t.X)[rows - 1 :] for t in trajectories])
        PY = np.concatenate([self._lift_next(t) for t in trajectories]) if predicts_state else PX
        self.galerkin_, Q = self._galerkin(PX, PY)
        if Q.shape[1] > len(Q) / 5:
            warnings.warn(
                f"{type(self).__name__}: {Q.shape[1]} independent functions for {len(Q)} pairs fit the noise; use "
                "at least five times as many pairs, or a smaller dictionary",
                UserWarning,
                stacklevel=3,
            )
        present, target = Q.T @ X / len(Q), Q.T @ Y / len(Q)
        if predicts_state:
            self.operator_ = self._operator(self.galerkin_)
            self._decompose(present)
            target = self._read_out(present, target) if self._self_supervised else target
        self._readout = np.ascontiguousarray(target)

    def _lift_next(self, t: Trajectory) -> np.ndarray:
        """Lift the successor of every row that has enough history."""
        rows = self._lift_rows()
        if self._self_supervised:
            return self._lift(t.states)[rows:]
        # The successors are given one by one, so each gets the history of its predecessor.
        history = windows(t.X, rows)[:, 1:]
        return self._lift_windows(np.concatenate([history, t.Y[rows - 1 :, None]], axis=1))

    def _lift_windows(self, rows: np.ndarray) -> np.ndarray:
        """Lift the last row of each window (B, L, d) by one call on all of them, stacked."""
        n_batch, length, n_dims = rows.shape
        return self._lift(rows.reshape(-1, n_dims)).reshape(n_batch, length, -1)[:, -1]

    def _decompose(self, state_coordinates: np.ndarray) -> None:
        eigenvalues, vectors = self._eigen(self.operator_)
        order = np.lexsort((eigenvalues.imag, -np.abs(eigenvalues).round(12)))
        self.eigenvalues_, self._vectors = eigenvalues[order], vectors[:, order]
        self.residuals_ = self.galerkin_.residuals(self.eigenvalues_, self._vectors)
        self.modes_ = np.linalg.lstsq(self._vectors, state_coordinates.astype(complex), rcond=None)[0]
        with np.errstate(divide="ignore"):
            self.continuous_eigenvalues_ = np.log(self.eigenvalues_) / self.dt

    def _start(self, n_batch):
        return None

    def _step(self, state, x, u):
        rows = self._lift_rows()
        history = np.repeat(x[:, None], rows, axis=1) if state is None else state[0]
        history = np.concatenate([history[:, 1:], x[:, None]], axis=1)
        lifted = self._lift_windows(history) @ self.galerkin_.basis
        return (history, lifted), lifted @ self._readout

    def _observe(self, X, u):
        rows = self._lift_rows()
        padded = np.concatenate([np.repeat(X[:, :1], rows - 1, axis=1), X], axis=1)
        n_batch, length, n_dims = padded.shape
        lifted = self._lift(padded.reshape(-1, n_dims)) @ self.galerkin_.basis
        lifted = lifted.reshape(n_batch, length, -1)[:, rows - 1 :]
        return lifted @ self._readout, (padded[:, -rows:], lifted[:, -1])

    def _free_step(self, state, y, u):
        if self._relifts():
            return self._step(state, y, u)
        history, lifted = state
        lifted = lifted @ self.operator_
        return (history, lifted), lifted @ self._readout

    # ------------------------------------------------------------------ analysis
    def eigenfunctions(self, X) -> np.ndarray:
        """Evaluate the eigenfunctions along a trajectory.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, r), complex
            Column j belongs to `eigenvalues_[j]` and has mean square one over the training data.
        """
        self._require_operator()
        X, _ = check_states(self, X, reset=False)
        rows = self._lift_rows()
        padded = np.concatenate([np.repeat(X[:1], rows - 1, axis=0), X])
        return self._lift(padded)[rows - 1 :] @ self.galerkin_.basis @ self._vectors

    def verified(self, tolerance: float = 0.05) -> np.ndarray:
        """Return which eigenvalues have a residual below the tolerance, (r,) bool."""
        self._require_operator()
        return self.residuals_ < tolerance

    def plot_eigenvalues(self, tolerance: float = 0.05, ax: Axes | None = None) -> Axes:
        """Draw the eigenvalues with the unit circle, coloured by residual, ringed where `verified`."""
        from chaosfit.methods.koopman.plots import plot_eigenvalues

        self._require_operator()
        return plot_eigenvalues(self.eigenvalues_, self.residuals_, tolerance=tolerance, ax=ax)

    def pseudospectrum(self, z) -> np.ndarray:
        """Return tau(z), the smallest residual that any function of the dictionary has at z.

        Parameters
        ----------
        z : array-like of complex numbers, any shape

        Returns
        -------
        ndarray of the shape of z
            The true spectrum lies where tau is small; tau(z) < epsilon bounds the pseudospectrum.
        """
        self._require_operator()
        return self.galerkin_.pseudospectrum(z)

    def _require_operator(self) -> None:
        check_is_fitted(self)
        if not hasattr(self, "operator_"):
            raise ValueError(
                f"{type(self).__name__} was fitted with n_outputs={self.n_outputs_} for "
                f"n_features={self.n_features_in_}, so it holds no operator. Fit it without y."
            )
