"""Relevance vector machine: sparse Bayesian linear or kernel regression with error bars on every term."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS, pairwise_kernels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from chaosfit.numerics.gram import Gram, gram, lazy_gram
from chaosfit.numerics.relevance import RelevanceFit, fit_relevance
from chaosfit.validation import Interval, StrOptions, validate_data

__all__ = ["RVMRegressor"]

_ROUNDING = 32 * np.finfo(float).eps  # a column with a smaller standard deviation / mean is constant


class RVMRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Relevance vector machine: keeps the terms that the data demand, each with a standard deviation.

    .. math:: y = \Phi w + c + \epsilon, \quad w_i \sim N(0, \alpha_i^{-1}), \quad \epsilon \sim N(0, \beta^{-1})

    with one precision per term, all found by maximising the evidence. Rows are read once, for all targets
    together; the result does not depend on the units of any column or target.

    Parameters
    ----------
    kappa : "auto" or float >= 1, default "auto"
        A term must reach kappa times the squared signal-to-noise ratio that evidence alone asks for. 1 is the
        classical machine, which keeps about every third irrelevant term. "auto" is 1 with a kernel, whose terms
        mean nothing by themselves, and else 1 + 2 ln p + ln n, which keeps one in about a hundred fits.
    max_iter : int >= 1, default 300
        Largest number of iterations; one term comes or goes in each.
    tol : float > 0, default 1e-3
        Stop when no term comes or goes and no precision changes by more than this relative amount.
    noise_floor : float > 0, default 1e-10
        Smallest noise variance, as a share of the variance of y.
    fit_intercept : bool, default True
        Centre X and y, and add a constant that is always kept.
    kernel : None, "precomputed", a name known to `sklearn.metrics.pairwise_kernels`, or a callable, default None
        None: terms are the columns of X. Otherwise they are the kernel with every row of X.
    kernel_params : dict, optional
        Arguments of the kernel, for example {"gamma": 0.1}.

    Attributes
    ----------
    coef_ : array of shape (p,), or (d, p) for y of shape (n, d)
        Posterior mean, zero for removed terms.
    intercept_ : float or array of shape (d,)
    coef_std_ : array of the shape of coef_
        Posterior standard deviations, zero for removed terms.
    coef_cov_ : array of shape (m, m), or list of d of them
        Posterior covariance of the m kept terms, in the order of the columns.
    active_ : bool array of the shape of coef_
        Which terms are kept.
    weight_precision_ : array of the shape of coef_
        Prior precisions, infinite for removed terms.
    noise_precision_ : float or array of shape (d,)
        One over the variance of the noise.
    log_evidence_ : float or array of shape (d,)
        In the units of y; compare models of the same data.
    condition_number_ : float or array of shape (d,)
        Of the kept columns at unit norm; above about 1e5 neighbouring terms can stand in for each other.
    n_iter_ : int or array of shape (d,)
    relevance_ : int array
        Columns kept for any target.
    relevance_vectors_ : array of shape (len(relevance_), n_features)
        Their rows of X; only with a kernel other than "precomputed".

    Raises
    ------
    ValueError
        In `fit`, for all columns constant, a precomputed kernel that is not square, or negative weights.

    Notes
    -----
    Evidence-significant is not physically significant: with many rows any structured misfit of the library
    becomes significant. Combine with a threshold on the contribution of a term. With localised kernels the
    predictive standard deviation shrinks away from the data and is not to be trusted there. This is not
    `sklearn.linear_model.ARDRegression`, which prunes by magnitude and so depends on the units.

    References
    ----------
    Tipping and Faul, "Fast marginal likelihood maximisation for sparse Bayesian models", AISTATS (2003).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 20))
    >>> y = 2 * X[:, 4] - X[:, 9] + 0.1 * rng.standard_normal(300)
    >>> model = RVMRegressor().fit(X, y)
    >>> np.flatnonzero(model.active_)
    array([4, 9])
    >>> model.coef_[[4, 9]].round(1)
    array([ 2., -1.])
    """

    _parameter_constraints: ClassVar[dict] = {
        "kappa": [StrOptions({"auto"}), Interval(Real, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "noise_floor": [Interval(Real, 0, 1, closed="neither")],
        "fit_intercept": ["boolean"],
        "kernel": [StrOptions({*PAIRWISE_KERNEL_FUNCTIONS, "precomputed"}), callable, None],
        "kernel_params": [dict, None],
    }

    def __init__(
        self,
        kappa="auto",
        max_iter=300,
        tol=1e-3,
        noise_floor=1e-10,
        fit_intercept=True,
        kernel=None,
        kernel_params=None,
    ):
        self.kappa = kappa
        self.max_iter = max_iter
        self.tol = tol
        self.noise_floor = noise_floor
        self.fit_intercept = fit_intercept
        self.kernel = kernel
        self.kernel_params = kernel_params

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> RVMRegressor:
        """Find the relevant terms and their posterior.

        Parameters
        ----------
        X : array of shape (n, p), n >= 2
            Terms, or with `kernel` inputs, or the kernel matrix (n, n).
        y : array of shape (n,) or (n, d)
        sample_weight : array of shape (n,), >= 0, optional
            Number of times each row counts.
        """
        X, sums, vector = self._read(X, y, sample_weight)
        self._fit_sums(sums, sums.n_samples - self.fit_intercept, vector=vector)
        if self.kernel not in (None, "precomputed"):
            self.relevance_vectors_ = X[self.relevance_]
        return self

    def fit_gram(self, G: ArrayLike, R: ArrayLike, yy: ArrayLike, n_samples: float) -> RVMRegressor:
        """Fit from sums over rows, see `chaosfit.numerics.gram`; the intercept is zero.

        Parameters
        ----------
        G : array of shape (p, p)
            X^T X.
        R : array of shape (p,) or (p, d)
            X^T y.
        yy : float or array of shape (d,)
            Column sums of y^2.
        n_samples : float > 0
            Rows in these sums, one less if the sums are about the mean.
        """
        self._validate_params()
        G, R = np.asarray(G, dtype=np.float64), np.asarray(R, dtype=np.float64)
        yy = np.atleast_1d(np.asarray(yy, dtype=np.float64))
        n_targets = 1 if R.ndim == 1 else R.shape[-1]
        if G.shape != (len(R), len(R)) or R.ndim > 2 or yy.shape != (n_targets,):
            raise ValueError(
                "fit_gram expects G (p, p), R (p,) or (p, d) and yy of d numbers, "
                f"got shapes {G.shape}, {R.shape} and {yy.shape}."
            )
        for name, values in {"G": G, "R": R, "yy": yy}.items():
            if not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite, got NaN or inf.")
        if self.kernel is not None:
            raise ValueError(f"fit_gram takes sums of terms as they are and needs kernel=None, got {self.kernel!r}.")
        sums = Gram(G, R.reshape(len(R), -1), yy, n_samples, np.zeros(len(R)), np.zeros(n_targets))
        self.n_features_in_ = len(R)
        if hasattr(self, "feature_names_in_"):  # of an earlier fit
            del self.feature_names_in_
        self._fit_sums(sums, n_samples, vector=R.ndim == 1)
        return self

    def predict(self, X: ArrayLike, return_std: bool = False):
        """Mean of the predictive distribution, and its standard deviation if asked.

        Parameters
        ----------
        X : array of shape (n, p), or (n, n_training) for a precomputed kernel
        return_std : bool, default False

        Returns
        -------
        mean : array of shape (n,) or (n, d)
        std : array of the same shape, only with return_std
            Of a new observation: noise, weights and intercept together.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        if self.kernel in (None, "precomputed"):
            terms = rows[:, self.relevance_]
        elif len(self.relevance_):
            terms = self._kernel(rows, self.relevance_vectors_)
        else:
            terms = np.empty((len(rows), 0))
        mean = terms @ self.coef_.T[self.relevance_] + self.intercept_
        if not return_std:
            return mean
        terms = terms - self._relevance_mean
        std = np.column_stack([self._std(terms, result) for result in self._results])
        return mean, std.reshape(mean.shape)

    def sparsity_path(self, X: ArrayLike, y: ArrayLike, kappas: ArrayLike) -> NDArray[np.float64]:
        """Coefficients for many thresholds from one pass over the rows; fits nothing itself.

        Parameters
        ----------
        X, y
            As in `fit`.
        kappas : array of shape (n_kappas,), >= 1

        Returns
        -------
        array of shape (n_kappas, p) or (n_kappas, d, p)
        """
        kappas = np.asarray(kappas, dtype=np.float64)
        if kappas.ndim != 1 or not np.all(kappas >= 1):
            raise ValueError(f"kappas must be a sequence of numbers >= 1, got {kappas}.")
        _, sums, vector = clone(self)._read(X, y, None)
        freedom = sums.n_samples - self.fit_intercept
        path = np.array([[result.coef for result in self._maximize(sums, freedom, kappa)] for kappa in kappas])
        return path[:, 0] if vector else path

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    def _kernel(self, X, Y):
        return pairwise_kernels(X, Y, metric=self.kernel, **(self.kernel_params or {}))

    def _read(self, X, y, sample_weight) -> tuple[NDArray, Gram, bool]:
        """Check the data and sum over their rows."""
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        if self.kernel == "precomputed" and len(X) != X.shape[1]:
            raise ValueError(f"A precomputed kernel must be square in fit, got shape {X.shape}.")
        Y, vector = np.asarray(y, dtype=np.float64).reshape(len(X), -1), y.ndim == 1
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if self.kernel in (None, "precomputed"):
            terms = X
        else:
            if weight is not None:  # a row without weight must not lend its kernel either
                X, Y, weight = X[weight > 0], Y[weight > 0], weight[weight > 0]
            terms = self._kernel(X, X)
        if weight is None:
            return X, lazy_gram(terms, Y, center=self.fit_intercept), vector
        return X, gram(terms, Y, sample_weight=weight, center=self.fit_intercept), vector

    def _fit_sums(self, sums: Gram, freedom: float, *, vector: bool) -> None:
        if not freedom > 0:
            raise ValueError(
                f"The number of rows, or the sum of their weights, must be larger than {sums.n_samples - freedom:.0f}, "
                f"got {sums.n_samples}."
            )
        automatic = None if self.kernel is None else 1.0
        self._results = self._maximize(sums, freedom, automatic if self.kappa == "auto" else self.kappa)
        self._publish(sums, freedom, vector)
        repeated = np.unique(np.concatenate([result.repeated for result in self._results]))
        if self.kernel is None and len(repeated):
            warnings.warn(
                f"Columns {repeated.tolist()} are left out because they are multiples of columns that are kept.",
                stacklevel=3,
            )
        if np.isinf(self.noise_precision_).any():
            constant = np.flatnonzero(np.isinf(np.atleast_1d(self.noise_precision_))).tolist()
            warnings.warn(f"Targets {constant} of y are constant; their models have no terms.", stacklevel=3)
        if not all(result.converged for result in self._results):
            warnings.warn(
                f"The evidence was not maximised in max_iter={self.max_iter} iterations; increase max_iter, or "
                "kappa to keep fewer terms.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _maximize(self, sums: Gram, freedom: float, kappa: float | None) -> list[RelevanceFit]:
        sums = _without_constants(sums)
        return [
            fit_relevance(
                sums.G,
                sums.R[:, target],
                yy,
                freedom,
                kappa=kappa,
                max_iter=self.max_iter,
                tol=self.tol,
                noise_floor=self.noise_floor,
            )
            for target, yy in enumerate(sums.yy)
        ]

    def _publish(self, sums: Gram, freedom: float, vector: bool) -> None:
        """Set the fitted attributes, without the axis of targets for a single vector."""

        def stack(values):
            return values[0] if vector else np.array(values)

        results = self._results
        self.coef_ = stack([result.coef for result in results])
        self.active_ = np.isfinite(stack([result.weight_precision for result in results]))
        self.weight_precision_ = stack([result.weight_precision for result in results])
        self.coef_std_ = np.zeros_like(self.coef_)
        self.coef_std_[self.active_] = np.concatenate([np.sqrt(np.diag(r.covariance)) for r in results])
        self.coef_cov_ = results[0].covariance if vector else [result.covariance for result in results]
        self.noise_precision_ = stack([result.noise_precision for result in results])
        self.log_evidence_ = stack([result.log_evidence for result in results])
        self.condition_number_ = stack([result.condition_number for result in results])
        self.n_iter_ = stack([result.n_iter for result in results])
        self.relevance_ = np.flatnonzero(np.atleast_2d(self.active_).any(axis=0))
        self.intercept_ = stack(sums.Y_mean) - self.coef_ @ sums.theta_mean
        self._relevance_mean = sums.theta_mean[self.relevance_]
        self._intercept_variance = (sums.n_samples - freedom) / sums.n_samples  # 1 / n with an intercept, else 0

    def _std(self, centered: NDArray, result: RelevanceFit) -> NDArray:
        terms = centered[:, np.isin(self.relevance_, result.active)]
        noise = (1.0 + self._intercept_variance) / result.noise_precision
        return np.sqrt(noise + np.einsum("ij,ij->i", terms @ result.covariance, terms))


def _without_constants(sums: Gram) -> Gram:
    """Set to zero what is only the rounding of a constant; refuse data without any varying column."""
    G, spread = sums.G, sums.G.diagonal()
    constant = spread <= sums.n_samples * (_ROUNDING * sums.theta_mean) ** 2
    if constant.all():
        raise ValueError("All columns are constant (zero, without an intercept): nothing to regress on.")
    if isinstance(G, np.ndarray):
        G = np.where(constant | constant[:, None], 0.0, G)
    silent = sums.yy <= sums.n_samples * (_ROUNDING * sums.Y_mean) ** 2
    return replace(sums, G=G, yy=np.where(silent, 0.0, sums.yy))
