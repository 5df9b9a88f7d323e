"""Kernel extended dynamic mode decomposition, with Nystroem landmarks and held-out residuals."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist, pdist

from chaosfit.base import StepDynamics
from chaosfit.validation import Interval, StrOptions

__all__ = ["KernelEDMD"]

_LARGE = 5000  # pairs from which on the Gram matrix takes minutes and gigabytes


def kernel_matrix(A: np.ndarray, B: np.ndarray, kind: str, length_scale: float) -> np.ndarray:
    """Return k(a, b) of shape (n_a, n_b): exp(-r^2 / (2 l^2)) or, "laplacian", exp(-r / l)."""
    if kind == "gaussian":
        return np.exp(cdist(A, B, "sqeuclidean") / (-2 * length_scale**2))
    return np.exp(cdist(A, B) / -length_scale)


def median_distance(X: np.ndarray, max_points: int = 1000) -> float:
    """Return the median distance of two of at most `max_points` rows, 1 if it is zero."""
    points = X[:: -(-len(X) // max_points)]
    median = float(np.median(pdist(points))) if len(points) > 1 else 0.0
    return median or 1.0


def kernel_ridge(K: np.ndarray, targets: np.ndarray, ridge: float) -> np.ndarray:
    """Return (K + M ridge)^-1 targets for a Gram matrix K (M, M)."""
    regularised = K.copy()
    regularised.flat[:: len(K) + 1] += len(K) * ridge
    try:
        factor = linalg.cho_factor(regularised, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError as error:
        raise ValueError(f"the kernel matrix plus ridge={ridge:g} is not positive definite; raise ridge") from error
    return linalg.cho_solve(factor, targets, check_finite=False)


def nystroem_ridge(K_nm: np.ndarray, K_mm: np.ndarray, targets: np.ndarray, ridge: float) -> np.ndarray:
    """Return ridge weights (m, k) of the kernel functions at m landmarks only, O(n m^2)."""
    values, vectors = linalg.eigh(K_mm)
    kept = values > 1e-12 * values[-1]
    to_features = vectors[:, kept] / np.sqrt(values[kept])  # orthonormal functions of the kernel's space
    F = K_nm @ to_features
    normal = F.T @ F
    normal.flat[:: len(normal) + 1] += len(F) * ridge
    return to_features @ linalg.solve(normal, F.T @ targets, assume_a="pos")


class KernelEDMD(StepDynamics):
    r"""Koopman operator on the functions of a kernel, by ridge regression.

    .. math:: x_{t+1} = x_t + k(x_t, X) W, \quad W = (k(X, X) + M \, ridge)^{-1} (Y - X)

    and with `relift=False` the linear forecast
    :math:`x_{t+n} = k(x_t, X) A^{n-1} W`, :math:`A = (k(X, X) + M \, ridge)^{-1} k(Y, X)`, then with W fitted
    to Y itself.

    Parameters
    ----------
    kernel : {"gaussian", "laplacian"}, default="gaussian"
        exp(-r^2 / (2 l^2)) or exp(-r / l).
    length_scale : float > 0, default=None
        l, in the units of X; None: the median distance between rows. Scale variables of different size
        first.
    ridge : float > 0, default=1e-9
        Regularisation per pair.
    n_landmarks : int >= 1, default=None
        Kernel functions at so many equally spaced rows instead of all (Nystroem); advisable above 5000 rows.
    relift : bool, default=True
        Evaluate the kernel anew at every forecast step, what works for chaos.
    rank : int >= 1, default=100
        Leading kernel eigenfunctions that span the space of the reported eigenvalues; None takes all.
    holdout : float in (0, 1), default=0.2
        Share of the pairs, the last ones, that verify the eigenvalues. Forecasts use all pairs.
    dt : float > 0, default=1.0
        Time between rows, for `continuous_eigenvalues_`.

    Attributes
    ----------
    length_scale_ : float
    landmarks_ : ndarray of shape (M, d)
    weights_ : ndarray of shape (M, m)
    eigenvalues_, continuous_eigenvalues_ : ndarray of shape (r,), complex
        Of the operator learned from the first 1 - holdout of the pairs.
    residuals_ : ndarray of shape (r,)
        |g(F(x)) - lambda g(x)| / |g| of the eigenfunctions on the held-out pairs.
    training_residuals_ : ndarray of shape (r,)
        The same on the pairs used: zero by construction when r = M, and proof of nothing.

    Notes
    -----
    Not a Gaussian process: there are no error bars. The linear forecast of chaos is useless
    (below one Lyapunov time); the re-lifted one is among the best for clean data.

    References
    ----------
    Williams, Rowley, Kevrekidis, J. Comput. Dyn. 2, 247 (2015), arXiv:1411.2260; Kostic et al.,
    arXiv:2205.14027; Colbrook, Townsend, arXiv:2111.14889, on held-out residuals.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.kernel_edmd import KernelEDMD
    >>> x = [0.3]
    >>> for _ in range(400): x.append(3.9 * x[-1] * (1 - x[-1]))
    >>> X = np.array(x)[:, None]
    >>> bool(KernelEDMD().fit(X[:300]).score(X[300:]) > 0.9999)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "kernel": [StrOptions({"gaussian", "laplacian"})],
        "length_scale": [None, Interval(Real, 0, None, closed="neither")],
        "ridge": [Interval(Real, 0, None, closed="neither")],
        "n_landmarks": [None, Interval(Integral, 1, None, closed="left")],
        "relift": ["boolean"],
        "rank": [None, Interval(Integral, 1, None, closed="left")],
        "holdout": [Interval(Real, 0, 1, closed="neither")],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        kernel="gaussian",
        length_scale=None,
        ridge=1e-9,
        n_landmarks=None,
        relift=True,
        rank=100,
        holdout=0.2,
        dt=1.0,
    ):
        self.kernel = kernel
        self.length_scale = length_scale
        self.ridge = ridge
        self.n_landmarks = n_landmarks
        self.relift = relift
        self.rank = rank
        self.holdout = holdout
        self.dt = dt

    def _kept_rows(self):
        return 1

    def _is_markov(self):
        return True

    def _fit(self, trajectories):
        X = np.concatenate([t.X for t in trajectories])
        Y = np.concatenate([t.Y for t in trajectories])
        self.length_scale_ = median_distance(X) if self.length_scale is None else float(self.length_scale)
        if self.n_landmarks is None and len(X) > _LARGE:
            warnings.warn(
                f"KernelEDMD: the kernel matrix of {len(X)} pairs takes {8e-9 * len(X) ** 2:.1f} GB and O(M^3) "
                "time; set n_landmarks",
                UserWarning,
                stacklevel=3,
            )
        self._increments = self.relift and self._self_supervised
        targets = Y - X if self._increments else Y
        iterates = not self.relift and self.n_outputs_ == self.n_features_in_
        self.landmarks_ = self._choose_landmarks(X)
        K = self._kernel(X, self.landmarks_)
        if iterates:  # the operator is fitted like further targets
            targets = np.hstack([targets, self._kernel(Y, self.landmarks_)])
        if len(self.landmarks_) == len(X):
            weights = kernel_ridge(K, targets, self.ridge)
        else:
            K_mm = self._kernel(self.landmarks_, self.landmarks_)
            weights = nystroem_ridge(K, K_mm, targets, self.ridge)
        self.weights_ = np.ascontiguousarray(weights[:, : self.n_outputs_])
        self._operator = np.ascontiguousarray(weights[:, self.n_outputs_ :]) if iterates else None
        if self.n_outputs_ == self.n_features_in_:
            self._fit_spectrum(X, Y)

    def _choose_landmarks(self, X: np.ndarray) -> np.ndarray:
        if self.n_landmarks is None or self.n_landmarks >= len(X):
            return X.copy()
        return X[np.linspace(0, len(X) - 1, self.n_landmarks).astype(int)]

    def _kernel(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return kernel_matrix(A, B, self.kernel, self.length_scale_)

    def _fit_spectrum(self, X: np.ndarray, Y: np.ndarray) -> None:
        """Eigenvalues on the kernel's leading eigenfunctions, verified on pairs that neither has seen."""
        n_held_out = min(max(1, round(self.holdout * len(X))), len(X) - 1)  # none of a single pair
        n_training = len(X) - n_held_out
        centres = self._choose_landmarks(X[:n_training])
        rank = len(centres) if self.rank is None else min(self.rank, len(centres))
        values, vectors = linalg.eigh(
            self._kernel(centres, centres), subset_by_index=[len(centres) - rank, len(centres) - 1]
        )
        kept = values > 1e-13 * values[-1]
        to_eigenfunctions = vectors[:, kept] / values[kept]
        PX, PY = (self._kernel(A, centres) @ to_eigenfunctions for A in (X, Y))
        operator = np.linalg.lstsq(PX[:n_training], PY[:n_training], rcond=1e-12)[0]
        eigenvalues, v = linalg.eig(operator)
        order = np.lexsort((eigenvalues.imag, -np.abs(eigenvalues).round(12)))
        eigenvalues, v = eigenvalues[order], v[:, order]
        present, successor = PX @ v, PY @ v
        error = successor - eigenvalues * present
        self.eigenvalues_ = eigenvalues
        with np.errstate(divide="ignore"):
            self.continuous_eigenvalues_ = np.log(eigenvalues) / self.dt
        self.training_residuals_ = _relative(error[:n_training], present[:n_training])
        self.residuals_ = _relative(error[n_training:], present[n_training:])

    def verified(self, tolerance: float = 0.05) -> np.ndarray:
        """Return which eigenvalues have a held-out residual below the tolerance, (r,) bool."""
        return self.residuals_ < tolerance

    # ------------------------------------------------------------------ engine
    def _start(self, n_batch):
        return None

    def _step(self, state, x, u):
        features = self._kernel(x, self.landmarks_)
        return features, self._output(features, x)

    def _output(self, features: np.ndarray, x: np.ndarray) -> np.ndarray:
        output = features @ self.weights_
        return x + output if self._increments else output

    def _observe(self, X, u):
        n_batch, length, n_dims = X.shape
        rows = X.reshape(-1, n_dims)
        outputs = np.concatenate([self._step(None, part, None)[1] for part in _blocks(rows)])
        return outputs.reshape(n_batch, length, -1), self._kernel(X[:, -1], self.landmarks_)

    def _free_step(self, state, y, u):
        if self._operator is None:
            return self._step(state, y, u)
        features = state @ self._operator
        return features, self._output(features, y)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{}, {"relift": False, "ridge": 1e-6}, {"n_landmarks": 40, "kernel": "laplacian"}]


def _relative(error: np.ndarray, present: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(present, axis=0)
    return np.divide(np.linalg.norm(error, axis=0), size, out=np.full(len(size), np.inf), where=size > 0)


def _blocks(rows: np.ndarray, size: int = 4096):
    return (rows[i : i + size] for i in range(0, len(rows), size))
