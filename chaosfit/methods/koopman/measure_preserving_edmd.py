"""Extended dynamic mode decomposition that preserves the measure: a unitary operator, spectral measures."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import linalg
from sklearn.base import clone

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.methods.koopman.lifted import Galerkin, LiftedDynamics
from chaosfit.validation import HasMethods, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MeasurePreservingEDMD"]


def unitary_factor(A: np.ndarray) -> np.ndarray:
    """Return the orthogonal matrix nearest to A (r, r), its polar factor."""
    U, _, Vt = linalg.svd(A)
    return U @ Vt


def unitary_eigen(U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (r,) on the unit circle and orthonormal eigenvectors (r, r) of a unitary matrix.

    By the complex Schur form, which is diagonal here; a general eigenvalue routine would return vectors
    that are not orthogonal where eigenvalues cluster.
    """
    triangle, Z = linalg.schur(U, output="complex")
    return np.diag(triangle).copy(), Z


class MeasurePreservingEDMD(LiftedDynamics):
    r"""The unitary operator nearest to the least-squares one, for systems with an invariant measure.

    .. math:: \psi(x_{t+1}) \approx \psi(x_t) K, \qquad K^* G K = G, \qquad |\lambda_j| = 1

    Energy neither decays nor grows in long forecasts, the spectrum lies on the unit circle, and
    `spectral_measure` converges to the one of the system, whatever the noise.

    Parameters
    ----------
    dictionary : transformer, default=None
        Maps states (n, d) to functions (n, N), N no larger than the number of pairs.
        None: `DelayEmbedding(n_delays=10, lag=1)`. Centre the data first, or the mean is a mode.
    dt : float > 0, default=1.0
        Time between rows, for `continuous_eigenvalues_`.

    Attributes
    ----------
    dictionary_ : the fitted clone of `dictionary`
    operator_ : ndarray of shape (r, r), orthogonal
    eigenvalues_, continuous_eigenvalues_ : ndarray of shape (r,), complex
        Of absolute value one, and i times angular frequencies.
    residuals_ : ndarray of shape (r,)
        |g(F(x)) - lambda g(x)| / |g| of each eigenfunction g.
    modes_ : ndarray of shape (r, d), complex

    Notes
    -----
    Not for transients: a decaying system has no operator of this kind. On a mixing system the single
    eigenvalues are still artefacts (see `residuals_`); what converges is the spectral measure.

    References
    ----------
    Colbrook, SIAM J. Numer. Anal. 61, 1585 (2023), doi:10.1137/22M1521407, arXiv:2209.02244.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.measure_preserving_edmd import MeasurePreservingEDMD
    >>> x = np.sin(0.3 * np.arange(400))[:, None]
    >>> model = MeasurePreservingEDMD().fit(x)
    >>> np.angle(model.eigenvalues_).round(3), np.abs(model.eigenvalues_).round(12)
    (array([-0.3,  0.3]), array([1., 1.]))
    """

    _parameter_constraints: ClassVar[dict] = {
        "dictionary": [None, HasMethods(["fit", "transform"])],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, dictionary=None, dt=1.0):
        self.dictionary = dictionary
        self.dt = dt

    def _dictionary(self):
        return DelayEmbedding(n_delays=10, lag=1) if self.dictionary is None else clone(self.dictionary)

    def _galerkin(self, PX, PY):
        if PX.shape[1] > len(PX) and self.n_outputs_ == self.n_features_in_:
            raise ValueError(
                f"{PX.shape[1]} dictionary functions for {len(PX)} pairs: a unitary operator needs at least as "
                "many pairs as functions; use a smaller dictionary or more data"
            )
        return super()._galerkin(PX, PY)

    def _operator(self, model: Galerkin) -> np.ndarray:
        return unitary_factor(model.matrix)

    def _eigen(self, operator):
        return unitary_eigen(operator)

    def _read_out(self, present, successor):
        return self.operator_ @ present

    def spectral_measure(self, coefficients) -> tuple[np.ndarray, np.ndarray]:
        """Return the spectral measure of an observable g = psi c: atoms on the circle.

        Its moments sum_j w_j exp(i k theta_j) are the autocorrelations <g o F^k, g>.

        Parameters
        ----------
        coefficients : array-like of shape (N,)
            c. For a delay dictionary, (1, 0, 0, ...) is the present value of the first variable.

        Returns
        -------
        angles : ndarray of shape (r,)
            In (-pi, pi], rising.
        weights : ndarray of shape (r,)
            Non-negative, with sum |g|^2, the mean square over the training data.
        """
        self._require_operator()
        c = np.asarray(coefficients, dtype=np.float64)
        n_functions = self.galerkin_.coordinates.shape[1]
        if c.shape != (n_functions,):
            raise ValueError(f"coefficients must have shape ({n_functions},), got {c.shape}")
        weights = np.abs(self._vectors.conj().T @ (self.galerkin_.coordinates @ c)) ** 2
        angles = np.angle(self.eigenvalues_)
        order = np.argsort(angles)
        return angles[order], weights[order]

    def plot_spectral_measure(self, coefficients, ax: Axes | None = None) -> Axes:
        """Draw the atoms of `spectral_measure` over the angle, on a logarithmic scale."""
        import matplotlib.pyplot as plt

        angles, weights = self.spectral_measure(coefficients)
        ax = plt.subplots()[1] if ax is None else ax
        floor = max(weights.max() * 1e-8, np.finfo(float).tiny)
        ax.vlines(angles, floor, np.maximum(weights, floor), linewidth=1)
        ax.set(yscale="log", xlim=(-np.pi, np.pi), xlabel="angle per row [rad]", ylabel="weight")
        return ax

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"dictionary": DelayEmbedding(n_delays=2, lag=1)}]
