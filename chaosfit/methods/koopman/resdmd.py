"""Residual dynamic mode decomposition: the eigenvalues that can be verified, and pseudospectra."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import PolynomialFeatures

from chaosfit.methods.koopman.lifted import LiftedDynamics
from chaosfit.validation import HasMethods, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ResDMD"]


class ResDMD(LiftedDynamics):
    r"""Koopman operator on a dictionary, cut down to the eigenfunctions whose residual is small.

    .. math:: res(\lambda, g)^2 = \frac{\sum_t |g(x_{t+1}) - \lambda g(x_t)|^2}{\sum_t |g(x_t)|^2},
              \qquad \tau(z) = \min_g res(z, g)

    The residual converges to that of the true operator with growing data, so no artefact of the
    dictionary passes. Forecasts use the verified eigenfunctions only: what is left is what can be
    trusted, for a mixing system the mean.

    Parameters
    ----------
    dictionary : transformer, default=None
        Maps states (n, d) to functions (n, N), N well below the number of pairs.
        None: `PolynomialFeatures(2)`.
    tolerance : float > 0, default=0.05
        Residual up to which an eigenvalue counts as verified.
    dt : float > 0, default=1.0
        Time between rows, for `continuous_eigenvalues_`.

    Attributes
    ----------
    dictionary_ : the fitted clone of `dictionary`
    operator_ : ndarray of shape (r, r)
    eigenvalues_, continuous_eigenvalues_ : ndarray of shape (r,), complex
        All of them, as from `EDMD`; `eigenvalues_[verified_]` are those that passed.
    residuals_ : ndarray of shape (r,)
    verified_ : ndarray of shape (r,), bool
    modes_ : ndarray of shape (r, d), complex

    Notes
    -----
    With noise in the dynamics the residual contains the variance of the noise, and nothing that
    oscillates passes. With as many functions as pairs the residual on the training data vanishes by
    construction; `KernelEDMD` therefore verifies on held-out pairs.

    References
    ----------
    Colbrook, Townsend, Commun. Pure Appl. Math. 77, 221 (2024), doi:10.1002/cpa.22125, arXiv:2111.14889;
    Colbrook, Mezic, Stepanenko, arXiv:2407.06312.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.resdmd import ResDMD
    >>> x = 0.9 ** np.arange(30.0)
    >>> model = ResDMD().fit(x[:, None])
    >>> model.eigenvalues_[model.verified_].real.round(3)
    array([1.  , 0.9 , 0.81])
    >>> model.pseudospectrum([0.9, 0.5]).round(2)
    array([0.  , 0.21])
    """

    _parameter_constraints: ClassVar[dict] = {
        "dictionary": [None, HasMethods(["fit", "transform"])],
        "tolerance": [Interval(Real, 0, None, closed="neither")],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, dictionary=None, tolerance=0.05, dt=1.0):
        self.dictionary = dictionary
        self.tolerance = tolerance
        self.dt = dt

    def _dictionary(self):
        return PolynomialFeatures(2) if self.dictionary is None else clone(self.dictionary)

    def _read_out(self, present, successor):
        self.verified_ = self.residuals_ < self.tolerance
        if not self.verified_.any():
            warnings.warn(
                f"ResDMD: no eigenvalue has a residual below {self.tolerance}, the smallest is "
                f"{self.residuals_.min():.3g}; forecasts are zero. Enlarge the dictionary or the tolerance",
                UserWarning,
                stacklevel=4,
            )
            return np.zeros_like(successor)
        vectors = self._vectors[:, self.verified_]
        weights = np.linalg.lstsq(vectors, successor.astype(complex), rcond=None)[0]
        return (vectors @ weights).real

    def plot_pseudospectrum(self, extent: float = 1.3, n_points: int = 21, ax: Axes | None = None) -> Axes:
        """Draw tau(z) around the unit circle, `n_points` along each half axis, and return the axes."""
        axis = np.linspace(-extent, extent, 2 * n_points - 1)
        upper = self.pseudospectrum(axis + 1j * axis[n_points - 1 :, None])
        tau = np.concatenate([upper[:0:-1], upper])  # real data: symmetric about the real axis
        ax = self.plot_eigenvalues(self.tolerance, ax)
        lines = ax.contour(axis, axis, np.log10(tau), levels=np.arange(-3, 0.1, 0.5), cmap="viridis")
        ax.clabel(lines, fmt=lambda level: f"$10^{{{level:g}}}$", fontsize=7)
        return ax

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"tolerance": 1.0}]
