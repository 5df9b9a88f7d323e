"""Extended dynamic mode decomposition: least squares on a dictionary of functions."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.metaestimators import available_if

from chaosfit.methods.koopman.lifted import LiftedDynamics
from chaosfit.validation import HasMethods, Interval

__all__ = ["EDMD"]


def _is_polynomial(model) -> bool:
    if model.dictionary is None or isinstance(model.dictionary, PolynomialFeatures):
        return True
    raise AttributeError("equations() needs a PolynomialFeatures dictionary")


class EDMD(LiftedDynamics):
    r"""Koopman operator on a dictionary by least squares, and the model of the next state it contains.

    .. math:: \psi(x_{t+1}) \approx \psi(x_t) K, \qquad x_{t+1} \approx \psi(x_t) D

    Parameters
    ----------
    dictionary : transformer, default=None
        Maps states (n, d) to functions (n, N): `PolynomialFeatures`, `RBFSampler`, a `DelayEmbedding`, a
        Pipeline of them. None: `PolynomialFeatures(2)`. Put a scaler before monomials above degree 3.
    relift : bool, default=True
        Evaluate the dictionary anew at every forecast step: a nonlinear model, what works for chaos.
        False: the linear forecast psi(x) K^(k-1) D, right for (quasi-)periodic and decaying dynamics.
    dt : float > 0, default=1.0
        Time between rows, for `continuous_eigenvalues_`.

    Attributes
    ----------
    dictionary_ : the fitted clone of `dictionary`
    operator_ : ndarray of shape (r, r)
        K in a basis that is orthonormal over the data; r is N less the dependent functions.
    eigenvalues_, continuous_eigenvalues_ : ndarray of shape (r,), complex
        lambda, by falling absolute value, and log(lambda) / dt, which aliases above pi / dt.
    residuals_ : ndarray of shape (r,)
        |g(F(x)) - lambda g(x)| / |g| of each eigenfunction g: near 0 for eigenvalues of the system, near 1
        for artefacts of the dictionary.
    modes_ : ndarray of shape (r, d), complex
        x is nearest to eigenfunctions(x) @ modes_.

    Notes
    -----
    This is not an equation finder, and its eigenvalues alone prove nothing: those of a mixing system are
    all artefacts except lambda = 1. Trust the ones that `verified` passes.

    References
    ----------
    Williams, Kevrekidis, Rowley, J. Nonlinear Sci. 25, 1307 (2015), doi:10.1007/s00332-015-9258-5;
    Colbrook, Mezic, Stepanenko, arXiv:2407.06312, on what can be learned at all.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.edmd import EDMD
    >>> x = 0.9 ** np.arange(30.0)
    >>> model = EDMD().fit(x[:, None])
    >>> model.eigenvalues_.real.round(3)
    array([1.  , 0.9 , 0.81])
    >>> model.equations()
    ['x0[t+1] = 0.9 x0']
    """

    _parameter_constraints: ClassVar[dict] = {
        "dictionary": [None, HasMethods(["fit", "transform"])],
        "relift": ["boolean"],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, dictionary=None, relift=True, dt=1.0):
        self.dictionary = dictionary
        self.relift = relift
        self.dt = dt

    def _dictionary(self):
        return PolynomialFeatures(2) if self.dictionary is None else clone(self.dictionary)

    def _relifts(self):
        return self.relift

    @available_if(_is_polynomial)
    def equations(self, precision: int = 3) -> list[str]:
        """Return the map x[t] -> x[t+1], one line per variable, terms below rounding left out.

        Parameters
        ----------
        precision : int, default=3
            Significant digits.

        Returns
        -------
        list of d str
        """
        inputs = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        names = self.dictionary_.get_feature_names_out(inputs)
        targets = [f"{x}[t+1]" for x in inputs] if self._self_supervised else [f"y{i}" for i in range(self.n_outputs_)]
        coefficients = self.galerkin_.basis @ self._readout
        size = np.linalg.norm(self.galerkin_.coordinates, axis=0)  # root mean square of each function
        lines = []
        for target, column in zip(targets, coefficients.T, strict=True):
            share = np.abs(column) * size
            kept = np.flatnonzero(share > 1e-8 * share.max())
            terms = " + ".join(f"{column[j]:.{precision}g} {names[j]}" for j in kept) or "0"
            lines.append(f"{target} = {terms}".replace("+ -", "- "))
        return lines

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{}, {"dictionary": PolynomialFeatures(1), "relift": False}]
