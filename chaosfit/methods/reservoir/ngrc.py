"""Next-generation reservoir computing: delays and monomials instead of a network."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, combinations_with_replacement
from math import comb
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from chaosfit.base import WindowDynamics
from chaosfit.numerics import delay
from chaosfit.numerics.regress import gram, ridge_solve
from chaosfit.validation import Interval, StrOptions

_POSITIVE = Interval(Integral, 1, None, closed="left")
_MOST_MONOMIALS = 20_000  # their Gram matrix takes 3 GB
_BLOCK_ROWS = 256


class NGRC(WindowDynamics):
    """Next-generation reservoir computer: ridge regression of the increment on monomials of delayed states.

    z[t+1] = z[t] + c + C O(t),  O(t) = all monomials of the given degrees of [z[t], z[t-lag], ..., z[t-(k-1) lag]],
    with k = n_delays and z the standardised state.

    Parameters
    ----------
    n_delays : int, default=2
        Number k >= 1 of states that enter. Published: 2; 4 to infer a hidden variable.
    lag : int, default=1
        Samples >= 1 between two of them. Published: 1; 5 to infer a hidden variable.
    degrees : tuple of int or "auto", default="auto"
        Degrees >= 1 of the monomials. Published: (1, 2) for Lorenz's equations, (1, 3) for the double scroll. "auto" is
        (1, 2, 3) where this gives at most one monomial for every four rows, else (1, 2).
    ridge : float, default=1e-3
        Penalty >= 0 on C, not divided by the number of rows. Published: 2.5e-6 to 1e-3 with raw units.
    fit_intercept : bool, default=True
        Whether there is a c. False for systems that are odd, such as the double scroll.
    standardise : bool, default=True
        False keeps the units of the data, as in the publication. The least squares problem is then so badly
        conditioned that forecasts of accurate data diverge.

    Attributes
    ----------
    monomials_ : list of tuple of int
        The columns of the delay vector that each monomial multiplies; column i d + j is variable j, i lags ago.
    coef_ : ndarray of shape (m, n_monomials)
        C for standardised states and outputs in their own units.
    intercept_ : ndarray of shape (m,)
    mean_, scale_ : ndarrays of shape (d,)
        What standardises the states.

    Notes
    -----
    Targets `y` with as many columns as X are taken for the next states, and their increment is fitted; other targets,
    such as a hidden variable to be inferred, are fitted directly.

    It contains no reservoir, only the features that one computes implicitly. For sparse equations in continuous time
    see `SINDy`.

    Unlike a reservoir it can diverge: over one step a flow is a polynomial only as far as the step is short. Spikes
    that rise within a few samples, as those of Rössler's equations every 0.1, need cubic terms or finer sampling;
    quadratic terms diverge there from every start.

    References
    ----------
    Gauthier, Bollt, Griffith and Barbosa, Nat. Commun. 12, 5564 (2021), doi:10.1038/s41467-021-25801-2
    Santos and Bollt, On the emergence of numerical instabilities in next generation reservoir computing (2025),
    arXiv:2505.00846

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import NGRC
    >>> x = [0.3]
    >>> for _ in range(300):
    ...     x.append(3.9 * x[-1] * (1 - x[-1]))
    >>> model = NGRC(n_delays=1, degrees=(1, 2), ridge=0.0).fit(np.array(x)[:, np.newaxis])
    >>> print(model.equations()[0])
    x0[t+1] = x0[t] ... + 2.9 x0[t] - 3.9 x0[t]^2
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_delays": [_POSITIVE],
        "lag": [_POSITIVE],
        "degrees": [tuple, list, StrOptions({"auto"})],
        "ridge": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "standardise": ["boolean"],
    }

    def __init__(self, n_delays=2, lag=1, degrees="auto", ridge=1e-3, fit_intercept=True, standardise=True):
        self.n_delays = n_delays
        self.lag = lag
        self.degrees = degrees
        self.ridge = ridge
        self.fit_intercept = fit_intercept
        self.standardise = standardise

    def _context_length(self):
        return delay.window_span(self.n_delays, self.lag)

    def _fit(self, trajectories):
        states = np.concatenate([t.states for t in trajectories])
        n_dims = states.shape[1]
        self.mean_, self.scale_ = np.zeros(n_dims), np.ones(n_dims)
        if self.standardise:
            self.scale_ = np.where(np.ptp(states, axis=0) > 0, states.std(axis=0), 1.0)
            if self.fit_intercept:  # without an intercept the origin must stay where it is
                self.mean_ = states.mean(axis=0)
        windows, targets, _ = self._training_windows(trajectories)
        self.monomials_ = self._choose_monomials(self.n_delays * n_dims, len(windows))
        step = targets - self._present(windows)
        few_rows = len(windows) < len(self.monomials_)
        self.coef_, self.intercept_ = self._solve_dual(windows, step) if few_rows else self._solve(windows, step)

    def _choose_monomials(self, n_columns: int, n_rows: int) -> list[tuple[int, ...]]:
        def count(degrees):
            return sum(comb(n_columns + p - 1, p) for p in degrees)

        degrees = self.degrees
        if degrees == "auto":
            degrees = (1, 2, 3) if count((1, 2, 3)) <= n_rows / 4 else (1, 2)
        valid = all(isinstance(p, int | np.integer) and not isinstance(p, bool) and p >= 1 for p in degrees)
        if not degrees or not valid or len(set(degrees)) < len(degrees):
            raise ValueError(f"degrees must be distinct integers >= 1, such as (1, 2), or 'auto', got {degrees!r}.")
        if count(degrees) > _MOST_MONOMIALS:
            raise ValueError(
                f"NGRC would need {count(degrees)} monomials of {n_columns} delayed variables, more than "
                f"{_MOST_MONOMIALS}; lower degrees or n_delays, or reduce the variables first."
            )
        return [m for p in degrees for m in combinations_with_replacement(range(n_columns), p)]

    def _solve(self, windows, step):
        """Return coefficients (m, M) and intercept (m,) from the sums over rows of the products of M monomials."""
        sums = gram(self._features(windows), step, center=self.fit_intercept)
        coef = ridge_solve(sums.G, sums.R, self.ridge).T
        return coef, sums.Y_mean - coef @ sums.theta_mean

    def _solve_dual(self, windows, step):
        """Return the same from the inner products of rows, which are fewer than the monomials and cheap to sum."""
        kernel = _monomial_kernel(self._delayed(windows), {len(m) for m in self.monomials_})
        mean = step.mean(axis=0) if self.fit_intercept else np.zeros(step.shape[1])
        if self.fit_intercept:
            kernel -= kernel.mean(axis=0)
            kernel -= kernel.mean(axis=1, keepdims=True)
        dual = ridge_solve(kernel, step - mean, self.ridge)
        if self.fit_intercept:
            dual -= dual.mean(axis=0)  # zero but for rounding, which a small ridge magnifies
        coef, features_mean = np.zeros((step.shape[1], len(self.monomials_))), np.zeros(len(self.monomials_))
        for start in range(0, len(windows), _BLOCK_ROWS):
            features = self._features(windows[start : start + _BLOCK_ROWS])
            coef += dual[start : start + _BLOCK_ROWS].T @ features
            features_mean += features.sum(axis=0) / len(windows)
        return coef, mean - coef @ features_mean if self.fit_intercept else mean

    def _forward(self, windows, u):
        step = self._features(windows) @ self.coef_.T + self.intercept_
        return (self._present(windows) + step)[:, np.newaxis]

    def _present(self, windows):
        """What a target is measured from: the present state if it is a state, else zero."""
        return windows[:, -1] if self.n_outputs_ == self.n_features_in_ else 0.0

    def _delayed(self, windows):
        """Return the standardised delay vectors (N, k d), newest state first."""
        return ((windows[:, :: -self.lag] - self.mean_) / self.scale_).reshape(len(windows), -1)

    def _features(self, windows):
        """Evaluate the monomials of windows (N, L, d), oldest row first; shape (N, n_monomials)."""
        columns = self._delayed(windows).T
        features = np.empty((len(self.monomials_), len(windows)))
        known = {}  # each monomial is one of lower degree times one column
        for row, monomial in zip(features, self.monomials_, strict=True):
            head = known.get(monomial[:-1])
            if head is None:
                head = columns[list(monomial[:-1])].prod(axis=0)
            np.multiply(head, columns[monomial[-1]], out=row)
            known[monomial] = row
        return features.T

    def equations(self, precision: int = 3) -> list[str]:
        """Return the fitted map in the units of the data, one equation per output, as text.

        Parameters
        ----------
        precision : int, default=3
            Significant digits of the coefficients. Nothing is dropped but zeros: the map is not sparse.

        Returns
        -------
        list of str of length m
            For example ``"x0[t+1] = x0[t] + 0.1 x1[t] - 2 x0[t] x1[t-1]"``.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        is_state = self.n_outputs_ == self.n_features_in_
        lines = []
        for i, polynomial in enumerate(self._polynomials()):
            left = f"{names[i]}[t+1] = {names[i]}[t]" if is_state else f"y{i}[t] ="
            terms = "".join(
                f" {'-' if value < 0 else '+'} {' '.join([f'{abs(value):.{precision}g}', *self._factors(key, names)])}"
                for key, value in sorted(polynomial.items(), key=lambda term: (len(term[0]), term[0]))
                if value
            )
            lines.append(left + terms)
        return lines

    def _polynomials(self) -> list[dict[tuple[int, ...], float]]:
        """Multiply out the standardisation: monomial in original units -> coefficient, for every output."""
        mean, scale = np.tile(self.mean_, self.n_delays), np.tile(self.scale_, self.n_delays)
        polynomials = []
        for coef, intercept in zip(self.coef_, self.intercept_, strict=True):
            terms: dict[tuple[int, ...], float] = defaultdict(float, {(): float(intercept)})
            for value, monomial in zip(coef, self.monomials_, strict=True):
                factor = value / scale[list(monomial)].prod()
                for size in range(len(monomial) + 1):
                    for kept in combinations(range(len(monomial)), size):
                        shifted = [mean[c] for i, c in enumerate(monomial) if i not in kept]
                        terms[tuple(monomial[i] for i in kept)] += factor * np.prod(np.negative(shifted))
            polynomials.append(terms)
        return polynomials

    def _factors(self, monomial: tuple[int, ...], names) -> list[str]:
        factors = []
        for column in dict.fromkeys(monomial):
            ago, variable = divmod(column, self.n_features_in_)
            time = f"t-{ago * self.lag}" if ago else "t"
            power = monomial.count(column)
            factors.append(f"{names[variable]}[{time}]" + (f"^{power}" if power > 1 else ""))
        return factors

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{}, {"n_delays": 1, "degrees": (1, 3), "fit_intercept": False}]


def _monomial_kernel(columns: np.ndarray, degrees: set[int]) -> np.ndarray:
    """Return the inner products (N, N) of the vectors of all monomials of the given degrees of columns (N, D).

    Over one degree p they are the complete homogeneous symmetric polynomial of the D products a_i b_i, which Newton's
    identities give from the power sums: p h_p = sum_k s_k h_{p-k} with s_k = sum_i (a_i b_i)^k.
    """
    power_sums: list[np.ndarray] = []
    homogeneous = [np.ones((1, 1))]
    for p in range(1, max(degrees) + 1):
        power_sums.append((columns**p) @ (columns**p).T)
        homogeneous.append(sum((power_sums[k - 1] * homogeneous[p - k] for k in range(1, p + 1)), np.zeros(1)) / p)
    return sum((homogeneous[p] for p in degrees), np.zeros(1))
