r"""Sparse Bayesian regression on Gram sums: the relevance vector machine by fast evidence maximisation.

.. math:: t = \Phi w + \epsilon, \quad \epsilon \sim N(0, \beta^{-1} I), \quad w_i \sim N(0, \alpha_i^{-1})

Every weight has its own precision; maximising the evidence p(t | alpha, beta) sends most of them to infinity and
removes these terms. Terms enter and leave one at a time, so that only matrices of the size of the model are
factorised, and nothing but G = Phi^T Phi, b = Phi^T t and t^T t is needed.

Let S_i and Q_i be the precision of column i, and its product with the target, under the covariance of the model;
small letters s_i and q_i the same without column i itself. The evidence has its maximum over alpha_i at
alpha_i = s_i^2 / (q_i^2 - s_i) if q_i^2 > s_i and at infinity otherwise. For a column unrelated to the target
q_i^2 / s_i is chi-square with one degree of freedom: the evidence alone admits every third of them. Terms must
therefore pass q_i^2 > kappa s_i. Because terms enter one at a time, two nearly collinear terms that explain
something only together can be missed.

References
----------
Tipping and Faul, "Fast marginal likelihood maximisation for sparse Bayesian models", AISTATS (2003).
Shutin, Buchgraber, Kulkarni, Poor, "Fast variational sparse Bayesian learning with automatic relevance
determination for superimposed signals", IEEE Trans. Signal Process. 59 (2011), doi:10.1109/TSP.2011.2168217.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from chaosfit.numerics.gram import LazyGram

__all__ = ["RelevanceFit", "default_kappa", "fit_relevance"]

Array = NDArray[np.float64]

_DEPENDENT = 1e-10  # a column with a smaller share of its variance outside of others is not added to them
_TIE = 1e-9  # strengths that differ by less are equal; the first column wins
_START_NOISE = 0.1  # noise variance at the start, as a share of the variance of the target
_MAX_DELETIONS = 3  # a column deleted so often stays out; without this two columns can replace each other for ever


@dataclass(frozen=True)
class RelevanceFit:
    """Posterior of a sparse Bayesian regression, in the units of the data.

    Attributes
    ----------
    coef : array of shape (p,)
        Posterior mean, zero for removed terms.
    active : int array of shape (m,)
        Columns of the model, ascending.
    covariance : array of shape (m, m)
        Posterior covariance of the active coefficients.
    weight_precision : array of shape (p,)
        Prior precisions alpha, infinite for removed terms.
    noise_precision : float
        beta, one over the variance of the noise.
    log_evidence : float
    condition_number : float
        Of the active columns, scaled to unit norm.
    repeated : int array
        Columns left out because they are a multiple of an active one.
    n_iter : int
    converged : bool
    """

    coef: Array
    active: NDArray[np.intp]
    covariance: Array
    weight_precision: Array
    noise_precision: float
    log_evidence: float
    condition_number: float
    repeated: NDArray[np.intp]
    n_iter: int
    converged: bool


class _Model:
    """Active columns with their precisions, and the posterior that follows from them.

    All columns have unit norm and the target unit variance.
    """

    def __init__(self, b: Array, n_samples: float):
        self.b, self.n_samples = b, n_samples
        self.active: list[int] = []
        self.columns = np.empty((len(b), 0))  # of the Gram matrix, those of the active columns
        self.alpha, self.beta = np.empty(0), 1.0 / _START_NOISE
        self.refresh()

    def refresh(self) -> None:
        """Posterior of the active weights from scratch."""
        precision = self.beta * self.columns[self.active] + np.diag(self.alpha)
        scale = np.sqrt(np.diag(precision))
        factor = np.linalg.cholesky(precision / scale / scale[:, None])
        half = solve_triangular(factor, np.diag(1.0 / scale), lower=True)
        self.covariance = half.T @ half
        self.mean = self.beta * (half.T @ (half @ self.b[self.active]))
        self.log_determinant = 2.0 * float(np.log(np.diag(factor) * scale).sum())

    def outside(self) -> tuple[Array, Array]:
        """The pair (S, Q) of every column of the library."""
        explained = np.einsum("ij,ij->i", self.columns @ self.covariance, self.columns)
        return self.beta - self.beta**2 * explained, self.beta * (self.b - self.columns @ self.mean)

    def inside(self) -> tuple[Array, Array]:
        """The pair (s, q) of the active columns, from identities that do not cancel."""
        variance = np.diag(self.covariance)
        s = np.maximum(1.0 / variance - self.alpha, np.finfo(float).tiny)
        return s, self.mean / variance

    def residual(self) -> float:
        """Squared residual of the posterior mean."""
        explained = self.columns[self.active] @ self.mean - 2.0 * self.b[self.active]
        return max(self.n_samples + float(self.mean @ explained), 0.0)

    def log_evidence(self) -> float:
        """Logarithm of the probability of the target given all precisions."""
        misfit = self.beta * self.residual() + float(self.alpha @ self.mean**2)
        log_prior = float(np.log(self.alpha).sum()) - self.log_determinant
        return 0.5 * (self.n_samples * np.log(self.beta / (2.0 * np.pi)) + log_prior - misfit)

    def add(self, index: int, column: Array, alpha: float) -> None:
        self.active.append(index)
        self.columns = np.column_stack([self.columns, column])
        self.alpha = np.append(self.alpha, alpha)
        self.refresh()

    def delete(self, position: int) -> int:
        index = self.active.pop(position)
        self.columns = np.delete(self.columns, position, axis=1)
        self.alpha = np.delete(self.alpha, position)
        self.refresh()
        return index

    def update_weights(self) -> None:
        """Maximise the evidence over one precision after the other; it never falls."""
        for i in range(len(self.active)):
            variance = self.covariance[i, i]
            s, q = 1.0 / variance - self.alpha[i], self.mean[i] / variance
            if s <= 0 or q**2 <= s:  # the maximum lies at infinity: a matter of deletion
                continue
            alpha = s**2 / (q**2 - s)
            change = alpha - self.alpha[i]
            column = self.covariance[:, i] / (1.0 + change * variance)
            self.mean = self.mean - change * self.mean[i] * column
            self.covariance = self.covariance - change * np.outer(column, self.covariance[i])
            self.alpha[i] = alpha
        self.refresh()

    def update_noise(self, floor: float) -> None:
        """Noise variance = squared residual over the degrees of freedom that the weights leave."""
        n_samples = self.n_samples
        used = len(self.active) - float(self.alpha @ np.diag(self.covariance))
        freedom = max(n_samples - used, np.finfo(float).eps * n_samples)
        self.beta = 1.0 / max(self.residual() / freedom, floor)
        self.refresh()


def default_kappa(n_columns: int, n_samples: float) -> float:
    """Signal-to-noise threshold 1 + 2 ln p + ln n: about one false term in a hundred fits.

    Examples
    --------
    >>> round(default_kappa(50, 2000), 1)
    16.4
    """
    return float(1.0 + 2.0 * np.log(max(n_columns, 1)) + np.log(max(n_samples, 1.0)))


def fit_relevance(
    G: Array | LazyGram,
    b: Array,
    yy: float,
    n_samples: float,
    *,
    kappa: float | None = None,
    max_iter: int = 300,
    tol: float = 1e-3,
    noise_floor: float = 1e-10,
) -> RelevanceFit:
    """Maximise the evidence of a sparse Bayesian regression of one target.

    The result does not depend on the units of columns and target.

    Parameters
    ----------
    G : array of shape (p, p), or LazyGram
        Phi^T Phi; only `G.diagonal()` and columns `G[:, i]` are used. Columns with a zero on the diagonal are left out.
    b : array of shape (p,)
        Phi^T t.
    yy : float >= 0
        t^T t; the model for zero has no terms and infinite noise precision.
    n_samples : float > 0
        Rows in these sums, one less if a mean was removed.
    kappa : float >= 1, optional
        Terms must reach q^2 > kappa s. 1 is the evidence alone; `default_kappa` if not given.
    max_iter : int >= 1, default 300
    tol : float > 0, default 1e-3
        Stop when no term comes or goes and no precision changes by more than this relative amount.
    noise_floor : float > 0, default 1e-10
        Smallest noise variance, as a share of yy / n_samples; without it noise-free data lose all digits.

    Returns
    -------
    RelevanceFit

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> phi = rng.standard_normal((200, 10))
    >>> t = 2 * phi[:, 3] - phi[:, 7] + 0.1 * rng.standard_normal(200)
    >>> fit_relevance(phi.T @ phi, phi.T @ t, t @ t, 200).active
    array([3, 7])
    """
    if yy == 0:
        return _no_terms(len(b))
    squares = G.diagonal()
    norms = np.sqrt(np.where(squares > 0, squares, 1.0))
    spread = np.sqrt(yy / n_samples)
    kappa = default_kappa(len(b), n_samples) if kappa is None else kappa
    model = _Model(b / (norms * spread), n_samples)
    deletions = np.where(squares > 0, 0, _MAX_DELETIONS)
    n_iter, converged = 0, False
    while n_iter < max_iter and not converged:
        n_iter += 1
        structure_changed = _delete(model, kappa, deletions) or _add(model, G, norms, kappa, deletions)
        before = np.log([*model.alpha, model.beta])
        model.update_weights()
        model.update_noise(noise_floor)
        change = np.abs(np.log([*model.alpha, model.beta]) - before).max()
        converged = not structure_changed and bool(change < tol)
    return _in_units(model, norms, spread, n_iter, converged)


def _no_terms(n_columns: int) -> RelevanceFit:
    """Model of a target that is zero."""
    none = np.empty(0, dtype=np.intp)
    return RelevanceFit(
        coef=np.zeros(n_columns),
        active=none,
        covariance=np.empty((0, 0)),
        weight_precision=np.full(n_columns, np.inf),
        noise_precision=np.inf,
        log_evidence=np.inf,
        condition_number=1.0,
        repeated=none,
        n_iter=1,
        converged=True,
    )


def _delete(model: _Model, kappa: float, deletions: NDArray[np.intp]) -> bool:
    """Delete the weakest term if it fails the threshold."""
    if not model.active:
        return False
    s, q = model.inside()
    strength = q**2 / s
    weakest = int(np.argmin(strength))
    if strength[weakest] > kappa:
        return False
    deletions[model.delete(weakest)] += 1
    return True


def _add(model: _Model, G: Array | LazyGram, norms: Array, kappa: float, deletions: NDArray[np.intp]) -> bool:
    """Add the strongest term if it passes the threshold; the gain in evidence rises with the strength."""
    S, Q = model.outside()
    allowed = (deletions < _MAX_DELETIONS) & (_DEPENDENT * model.beta < S)
    allowed[model.active] = False
    strength = np.where(allowed, Q**2 / np.where(allowed, S, 1.0), 0.0)
    if strength.max() <= kappa:
        return False
    strongest = int(np.argmax(strength >= (1.0 - _TIE) * strength.max()))
    column = G[:, strongest] / (norms * norms[strongest])
    deletions[_repeats(column, strongest)] = _MAX_DELETIONS
    model.add(strongest, column, S[strongest] / (strength[strongest] - 1.0))
    return True


def _repeats(column: Array, index: int) -> NDArray[np.intp]:
    """Columns that are this one but for sign and scale, by its correlation with all."""
    alike = np.flatnonzero(column**2 > 1.0 - _DEPENDENT)
    return alike[alike != index]


def _in_units(model: _Model, norms: Array, spread: float, n_iter: int, converged: bool) -> RelevanceFit:
    order = np.argsort(model.active).astype(np.intp)
    active = np.array(model.active, dtype=np.intp)[order]
    scale = spread / norms[active]
    coef, precision = np.zeros(len(norms)), np.full(len(norms), np.inf)
    coef[active] = model.mean[order] * scale
    precision[active] = model.alpha[order] / scale**2
    spectrum = np.linalg.eigvalsh(model.columns[model.active]) if len(active) else np.ones(1)
    repeats = [_repeats(column, index) for column, index in zip(model.columns.T, model.active, strict=True)]
    return RelevanceFit(
        coef=coef,
        active=active,
        covariance=model.covariance[np.ix_(order, order)] * np.outer(scale, scale),
        weight_precision=precision,
        noise_precision=model.beta / spread**2,
        log_evidence=model.log_evidence() - model.n_samples * np.log(spread),
        condition_number=float(spectrum[-1] / max(spectrum[0], np.finfo(float).tiny)),
        repeated=np.unique(np.concatenate([np.empty(0, np.intp), *repeats])),
        n_iter=n_iter,
        converged=converged,
    )
