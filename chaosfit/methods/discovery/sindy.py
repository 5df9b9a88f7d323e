"""Sparse identification of nonlinear dynamics: the equations behind a trajectory, few terms each.

References
----------
Brunton, Proctor and Kutz, PNAS 113, 3932 (2016), doi:10.1073/pnas.1517384113
Messenger and Bortz, Multiscale Model. Simul. 19, 1474 (2021), doi:10.1137/20M1343166 (weak form)
Fasel, Kutz, Brunton and Brunton, Proc. R. Soc. A 478 (2022), doi:10.1098/rspa.2021.0904 (ensembles)
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from math import comb
from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from chaosfit.base import DIVERGENCE_FACTOR, FlowDynamics, SamplesMixin
from chaosfit.methods.discovery.free_runs import is_noisy, shortest_memory, valid_steps
from chaosfit.methods.discovery.support import (
    BlockSums,
    block_sums,
    least_squares,
    noise_free,
    row_blocks,
    select_support,
    threshold_candidates,
)
from chaosfit.numerics.differentiate import (
    estimate_noise,
    finite_difference,
    savitzky_golay_derivative,
    weak_form,
)
from chaosfit.numerics.integrate import integrate_batch, integrate_driven
from chaosfit.numerics.polynomial import (
    format_sum,
    monomial_derivatives,
    monomial_names,
    monomial_powers,
    monomials,
)
from chaosfit.numerics.polynomial_flow import integrate_polynomial
from chaosfit.numerics.regress import stlsq
from chaosfit.validation import HasMethods, Interval, StrOptions, Trajectory, check_inputs, check_states

#: Half widths of the weak form's windows in units of the shortest autocorrelation time.
_HALF_WIDTHS = (1.5, 0.75, 3.0)
_POWER = 7  # of the test function; odd powers have the smaller quadrature error
#: Noisy copies, in pairs of opposite noise; their seed is fixed, because they serve a quadrature.
_N_NOISY_PAIRS = 2
_MAX_TERMS, _MAX_BYTES = 1000, 4e9
_POOR_FIT = 0.1  # unexplained share of the derivative's variance that is worth a warning


class _System(NamedTuple):
    """Linear equations A Xi = b of one discretisation, rows of all trajectories one after another."""

    name: str
    window: int
    A: np.ndarray
    b: np.ndarray


class SINDy(SamplesMixin, FlowDynamics):
    r"""Sparse right-hand side from a library of candidate terms, corrected for noise and checked by free runs.

    .. math:: \dot x = \Theta(x, u)\,\Xi, \qquad \Xi \text{ sparse}

    By default every choice is made on the training data, for each variable on its own. The terms: those of the
    smallest support on a path of thresholded least squares that no larger one beats on held-out rows, with the bias
    that noise in the library columns causes removed. The discretisation: derivatives by differences for clean data, or
    the weak form, which needs no derivative of the data, with one of three windows; the one whose free runs stay close
    to the data longest.

    Parameters
    ----------
    dt : float > 0, default=1.0
        Time between rows.
    degree : int >= 1, default=2
        Highest degree of the polynomial library (with constant); ignored when `library` is given.
    library : transformer or pysindy feature library, default=None
        Candidate terms: anything with `fit`, `transform` and `get_feature_names_out` or `get_feature_names`. With
        known inputs it sees the columns [x, u].
    optimizer : regressor or pysindy optimizer, default=None
        Replaces the choice of terms: anything with `fit(A, b)` and `coef_`. Its intercept, if any, is switched off,
        since the library holds the constant. `threshold` is not used then.
    threshold : float >= 0 or "auto", default="auto"
        A number asks for the classical algorithm, sequentially thresholded least squares without correction for
        noise: coefficients below it are dropped, in the units of the equations (published default 0.1).
    derivative : {"auto", "finite_difference", "savitzky_golay", "weak"}, default="auto"
        Sixth-order differences, a local cubic, or the weak form. "auto" compares weak forms and, on data without
        noise, differences.
    discrete_time : bool, default=False
        Learn the map x[t+1] = Theta(x[t]) Xi instead.
    n_models : int >= 2, default=20
        Size of the ensemble on random halves of the data, from which uncertainties come.
    random_state : int, RandomState or None, default=None
        Draws the halves; `coef_` does not depend on it.

    Attributes
    ----------
    coef_ : ndarray of shape (d, p)
        Coefficients Xi transposed, fitted to all data.
    coef_std_ : ndarray of shape (d, p)
        Standard error: the deviation over random halves of the data, or the optimizer's own `coef_std_`.
    inclusion_probability_ : ndarray of shape (d, p)
        Share of the ensemble that kept the term.
    term_names_ : list of p str
    derivative_ : str
        The discretisation that was used.
    window_ : int
        Its half width or window in rows; 0 if it has none.
    residual_ : ndarray of shape (d,)
        Share of the derivative's variance that the terms do not explain, measurement noise included.

    Raises
    ------
    ValueError
        In `fit`: a library of more than 1000 terms or too large for memory, terms that are not finite on the data, or
        no weak form because all trajectories are too short. A warning tells of a poor fit, of variables without
        any term, and of more terms than rows.

    Notes
    -----
    Not for data where the state is only partly observed (embed them first), nor for fewer than about ten
    rows per oscillation.

    Examples
    --------
    >>> from chaosfit import Lorenz63, SINDy
    >>> X = Lorenz63().simulate(5000, dt=0.01, random_state=0)
    >>> model = SINDy(dt=0.01).fit(X)
    >>> print(*model.equations(), sep="\n")
    x0' = -10.000 x0 + 10.000 x1
    x1' = 28.000 x0 - 1.000 x1 - 1.000 x0 x2
    x2' = -2.667 x2 + 1.000 x0 x1
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        "dt": [Interval(Real, 0, None, closed="neither")],
        "degree": [Interval(Integral, 1, None, closed="left")],
        "library": [None, HasMethods(["fit", "transform"])],
        "optimizer": [None, HasMethods(["fit"])],
        "threshold": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "derivative": [StrOptions({"auto", "finite_difference", "savitzky_golay", "weak"})],
        "discrete_time": ["boolean"],
        "n_models": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        dt=1.0,
        *,
        degree=2,
        library=None,
        optimizer=None,
        threshold="auto",
        derivative="auto",
        discrete_time=False,
        n_models=20,
        random_state=None,
    ):
        self.dt = dt
        self.degree = degree
        self.library = library
        self.optimizer = optimizer
        self.threshold = threshold
        self.derivative = derivative
        self.discrete_time = discrete_time
        self.n_models = n_models
        self.random_state = random_state

    # ------------------------------------------------------------------ hooks
    def _is_map(self):
        return self.discrete_time or not self._self_supervised

    def _fit(self, trajectories):
        self._prepare_library(trajectories)
        systems = [self._discretise(trajectories, *how) for how in self._discretisations(trajectories)]
        self._check_finite(systems[0])
        solvers = [self._solver(system, trajectories) for system in systems]
        models = np.stack([solve(None) for solve in solvers])
        best = 0 if len(models) == 1 else int(self._valid_steps(models, trajectories).argmax())
        self.coef_ = models[best].T.copy()
        self.derivative_, self.window_ = systems[best].name, systems[best].window
        self._fit_ensemble(solvers[best], len(systems[best].A))
        self._check_fit(systems[best])
        # Only terms that are used are evaluated in a roll-out.
        used = np.flatnonzero(self.coef_.any(axis=0))
        self._used_terms, self._used_coef = self._terms(used), self.coef_[:, used].T.copy()

    def _rhs(self, X, u):
        return self._columns(X, u, self._used_terms) @ self._used_coef

    def _sample_run(self, context, n_steps, n_samples, rng, u):
        member = rng.randint(len(self._members), size=n_samples)
        rows = np.repeat(member, len(context))
        x0 = np.tile(context[:, -1], (n_samples, 1))
        inputs = None if u is None else np.tile(u[:, -n_steps:], (n_samples, 1, 1))
        path = self._roll(self._members[rows], x0, n_steps, inputs, tolerance=1e-8, bound=self.bound_)
        return path.reshape(n_samples, len(context), n_steps, -1)

    # ------------------------------------------------------------------ library
    def _prepare_library(self, trajectories):
        names, first = self._variable_names(), trajectories[0]
        if self.library is None:
            self._check_size(comb(len(names) + self.degree, self.degree), trajectories)
            self._powers = monomial_powers(len(names), range(self.degree + 1))
            self.term_names_ = monomial_names(self._powers, names)
            return
        # Not sklearn's clone: some of pysindy's libraries do not survive it.
        sample = first.states[: len(first.X)]
        self.library_ = copy.deepcopy(self.library).fit(sample if first.u is None else np.hstack([sample, first.u]))
        get_names = getattr(self.library_, "get_feature_names_out", None) or self.library_.get_feature_names
        self.term_names_ = [str(name) for name in get_names(names)]
        self._check_size(len(self.term_names_), trajectories)

    def _check_size(self, n_terms: int, trajectories):
        n_rows = sum(len(t.X) for t in trajectories)
        remedy = "lower degree, pass a library of fewer terms, or reduce the variables first (TransformedDynamics)."
        if n_terms > _MAX_TERMS:
            raise ValueError(f"The library has {n_terms} terms, more than {_MAX_TERMS}: {remedy}")
        if 8.0 * n_terms * n_rows > _MAX_BYTES:
            raise ValueError(
                f"A library of {n_terms} terms on {n_rows} rows needs {8e-9 * n_terms * n_rows:.0f} GB: "
                f"fit on fewer rows, {remedy}"
            )
        if n_terms > n_rows:
            warnings.warn(
                f"SINDy: {n_terms} terms but only {n_rows} rows, so many models fit; {remedy}",
                UserWarning,
                stacklevel=5,
            )

    def _terms(self, index: np.ndarray) -> np.ndarray:
        """Say which terms `_columns` shall evaluate: their exponents, or their place in a library of the user's."""
        return self._powers[index] if self.library is None else index

    def _columns(self, X, u, terms=None):
        """Evaluate the library: (n, p), or only some `_terms` of it."""
        X = X if u is None else np.hstack([X, u])
        if self.library is None:
            return monomials(X, self._powers if terms is None else terms)
        columns = np.asarray(self.library_.transform(X), dtype=float)
        return columns if terms is None else columns[:, terms]

    def _scales(self, trajectories) -> list[np.ndarray]:
        """Scales of the columns on which coefficients are compared: as they are, and for variables of unit variance."""
        natural = np.ones(len(self.term_names_))
        if self.library is not None:
            return [natural]
        rows = [t.states[: len(t.X)] if t.u is None else np.hstack([t.states[: len(t.X)], t.u]) for t in trajectories]
        deviation = np.concatenate(rows).std(axis=0)
        return [natural, np.prod(np.where(deviation > 0, deviation, 1.0) ** self._powers, axis=1)]

    # ------------------------------------------------------------------ discretisation
    def _discretisations(self, trajectories) -> list[tuple[str, int]]:
        """Name and window of every way to turn the trajectories into linear equations that is worth trying."""
        if self._is_map():
            return [("map", 0)]
        if self.derivative == "finite_difference":
            return [("finite_difference", 0)]
        memory = min(shortest_memory(t.states) for t in trajectories)
        if self.derivative == "savitzky_golay":
            return [("savitzky_golay", max(5, 2 * round(0.3 * memory) + 1))]
        longest = max(len(t.X) for t in trajectories)
        windows = dict.fromkeys(max(3, round(factor * memory)) for factor in _HALF_WIDTHS)
        weak = [("weak", window) for window in windows if longest > 4 * window]
        if self.derivative == "weak" and not weak:
            raise ValueError(
                f"The weak form needs a trajectory of more than {4 * min(windows)} rows (two windows), "
                f"the longest has {longest}; use derivative='finite_difference'."
            )
        noisy = any(is_noisy(t.states) for t in trajectories)
        return weak if self.derivative == "weak" or (noisy and weak) else [*weak, ("finite_difference", 0)]

    def _discretise(self, trajectories, name, window) -> _System:
        rows = [self._rows(t, name, window) for t in trajectories if name != "weak" or len(t.X) > 2 * window]
        A, b = rows[0] if len(rows) == 1 else (np.concatenate(part) for part in zip(*rows, strict=True))
        return _System(name, window, A, b)

    def _check_finite(self, system: _System):
        bad = np.flatnonzero(~np.isfinite(system.A).all(axis=0))
        if len(bad):
            raise ValueError(
                f"The library term {self.term_names_[bad[0]]!r} is not finite on the training data: "
                f"leave it out, or scale the variables first (TransformedDynamics)."
            )

    def _rows(self, trajectory: Trajectory, name: str, window: int):
        """Rows (A, b) of one trajectory."""
        X, u, dt = trajectory.states, trajectory.u, self.dt
        if name == "map":
            return self._columns(trajectory.X, u), trajectory.Y
        if u is not None:  # around a row, the input is the one before for one half and the one after for the other
            X, u = X[: len(u)], 0.5 * (u + np.concatenate([u[:1], u[:-1]]))
        theta = self._columns(X, u)
        if name == "finite_difference":
            return theta, finite_difference(X, dt)
        if name == "savitzky_golay":
            return theta, savitzky_golay_derivative(X, dt, window)
        return weak_form(X, theta, dt, half_width=window, power=_POWER, stride=max(1, window // 10))

    # ------------------------------------------------------------------ regression
    def _solver(self, system: _System, trajectories) -> Callable[[np.ndarray | None], np.ndarray]:
        """Return solve(blocks) -> coefficients (p, d) from some of the blocks of rows; None stands for all."""
        if self.optimizer is not None:
            return lambda blocks: self._optimise(system, blocks)
        sums = block_sums(system.A, system.b)
        if self.threshold != "auto":

            def thresholded(blocks):
                total = (sums if blocks is None else sums.take(blocks)).total()
                return stlsq(total.G, total.R, threshold=self.threshold)

            return thresholded
        clean = self._noise_free(sums, system, trajectories)
        candidates = threshold_candidates(sums, self._scales(trajectories))

        def parsimonious(blocks):
            some, some_clean = (sums, clean) if blocks is None else (sums.take(blocks), clean.take(blocks))
            support = select_support(some, some_clean, candidates, search=blocks is None)
            return least_squares(some_clean.total(), support)

        return parsimonious

    def _noise_free(self, sums: BlockSums, system: _System, trajectories) -> BlockSums:
        """Extrapolate sums to data without noise, from copies to which their own noise was added once more."""
        if system.name == "map":  # steps of a map cannot be told from noise
            return sums
        noise = np.sqrt(np.mean([estimate_noise(t.states) ** 2 for t in trajectories], axis=0))
        rng, noisier = np.random.default_rng(0), []
        for _ in range(_N_NOISY_PAIRS):
            kicks = [noise * rng.standard_normal(t.states.shape) for t in trajectories]
            for sign in (1.0, -1.0):
                moved = [t._replace(states=t.states + sign * k) for t, k in zip(trajectories, kicks, strict=True)]
                noisier.append(self._discretise(moved, system.name, system.window))
        if not all(np.isfinite(other.A).all() for other in noisier):  # a library at the edge of its domain
            return sums
        return noise_free(sums, [block_sums(other.A, other.b) for other in noisier])

    def _optimise(self, system: _System, blocks) -> np.ndarray:
        """Coefficients (p, d) by the user's optimizer."""
        A, b = system.A, system.b
        if blocks is not None:
            edges = row_blocks(len(A))
            A, b = (np.concatenate([rows[edges[k]] for k in blocks]) for rows in (A, b))
        optimizer = clone(self.optimizer)
        if "fit_intercept" in optimizer.get_params():
            optimizer.set_params(fit_intercept=False)
        optimizer.fit(A, b)
        if blocks is None:
            self.optimizer_ = optimizer
        return np.asarray(optimizer.coef_, dtype=float).reshape(b.shape[1], A.shape[1]).T

    def _fit_ensemble(self, solve, n_rows: int):
        """Refit on random halves of the blocks of rows: spread and inclusion of every coefficient."""
        rng, n_blocks = check_random_state(self.random_state), len(row_blocks(n_rows))
        halves = [np.sort(rng.permutation(n_blocks)[: max(1, n_blocks // 2)]) for _ in range(self.n_models)]
        self._members = np.stack([solve(half) for half in halves])
        # Among halves drawn without replacement, estimates vary as much as that from all rows does by itself.
        self.coef_std_ = self._members.std(axis=0).T
        self.inclusion_probability_ = (self._members != 0).mean(axis=0).T
        if self.optimizer is not None and hasattr(self.optimizer_, "coef_std_"):
            self.coef_std_ = np.asarray(self.optimizer_.coef_std_, dtype=float).reshape(self.coef_.shape)

    def _check_fit(self, system: _System):
        """Set `residual_`; warn of variables without terms and of a poor fit."""
        targets = np.array(system.b.T, order="C")
        residuals = self.coef_ @ system.A.T
        residuals -= targets
        variance, unexplained = _variance(targets), _variance(residuals)
        self.residual_ = unexplained / np.where(variance > 0, variance, 1.0)
        names = np.array(self._output_names())
        empty = (self.coef_ == 0).all(axis=1) & (variance > 0)
        if empty.any():
            warnings.warn(
                f"SINDy kept no term for {names[empty].tolist()}: give a library that describes them, or a lower "
                f"threshold.",
                UserWarning,
                stacklevel=4,
            )
        poor = (self.residual_ > _POOR_FIT) & ~empty
        if poor.any():
            shares = ", ".join(f"{n}: {r:.0%}" for n, r in zip(names[poor], self.residual_[poor], strict=True))
            what = "next state" if self._is_map() else "derivative"
            warnings.warn(
                f"SINDy leaves much of the {what} unexplained ({shares}): terms are missing from the library, "
                f"variables are missing from the data, or the noise is strong.",
                UserWarning,
                stacklevel=4,
            )

    # ------------------------------------------------------------------ free runs
    def _valid_steps(self, models: np.ndarray, trajectories) -> np.ndarray:
        """Mean number of steps (k,) that the free runs of each model (k, p, d) stay close to the data."""
        bound = 10.0 * self.bound_ / DIVERGENCE_FACTOR

        def roll(x0, n_steps, u):
            starts, inputs = (None if rows is None else np.concatenate([rows] * len(models)) for rows in (x0, u))
            each = np.repeat(models, len(x0), axis=0)
            path = self._roll(each, starts, n_steps, inputs, tolerance=1e-10, bound=bound)
            return path.reshape(len(models), len(x0), n_steps, -1)

        return valid_steps(roll, trajectories)

    def _roll(self, models, x0, n_steps, u, *, tolerance, bound):
        """Run row i under its own coefficients models[i] (p, d)."""
        active = np.flatnonzero(models.any(axis=(0, 2)))
        models, terms = models[:, active], self._terms(active)
        if not self._is_map():
            # Few explicit steps pass a row of well-sampled data; a model that needs more is not worth waiting for.
            return self._flow(models, terms, x0, n_steps, u, tolerance=tolerance, bound=bound, max_steps=12)
        path = np.full((len(x0), n_steps, x0.shape[1]), np.nan)
        for step in range(n_steps):
            columns = self._columns(x0, None if u is None else u[:, step], terms)
            x0 = np.einsum("np,npd->nd", columns, models)
            path[:, step] = x0 = np.where((np.abs(x0) <= bound).all(axis=1, keepdims=True), x0, np.nan)
        return path

    def _integrate(self, x0, n_steps, u):
        options = {"tolerance": self._tolerance, "bound": self.bound_, "max_steps": 10_000}
        return self._flow(self._used_coef, self._used_terms, x0, n_steps, u, **options)

    def _flow(self, coef, terms, x0, n_steps, u, *, tolerance, bound, max_steps):
        """Integrate with coefficients (p, d) of some terms, or (B, p, d) for every row its own; (B, h, d)."""
        options = {"rtol": tolerance, "atol": tolerance * self.bound_ / DIVERGENCE_FACTOR}
        options |= {"bound": bound, "max_steps": max_steps}
        times = self.dt * np.arange(n_steps + 1)
        if u is None and self.library is None and n_steps > 1:  # one row is about one step of either integrator
            return integrate_polynomial(terms, coef, x0, times, **options)[:, 1:]
        product = "np,pd->nd" if coef.ndim == 2 else "np,npd->nd"

        def rhs(X, inputs=None):
            return np.einsum(product, self._columns(X, inputs, terms), coef)

        if u is None:
            return integrate_batch(rhs, x0, times, **options)[:, 1:]
        return integrate_driven(rhs, x0, u, self.dt, **options)

    # ------------------------------------------------------------------ reading
    def equations(self, precision: int = 3) -> list[str]:
        """Return one readable equation per variable."""
        left = "{}[t+1] = " if self._is_map() else "{}' = "
        rows = zip(self._output_names(), self.coef_, strict=True)
        return [left.format(name) + format_sum(row, self.term_names_, precision) for name, row in rows]

    def to_sympy(self) -> list:
        """Return one sympy expression per variable (the polynomial library only)."""
        import sympy

        self._need_polynomials("to_sympy")
        symbols = [sympy.Symbol(name) for name in self._variable_names()]
        terms = [sympy.prod([s ** int(k) for s, k in zip(symbols, power, strict=True)]) for power in self._powers]
        return [sum(sympy.Float(c) * t for c, t in zip(row, terms, strict=True) if c) for row in self.coef_]

    def to_latex(self, precision: int = 3) -> str:
        """Return the equations as a LaTeX `aligned` block for notebooks and papers."""
        import sympy

        left = "{}_{{t+1}} &= " if self._is_map() else r"\dot{{{}}} &= "
        rows = zip(self._output_names(), self.to_sympy(), strict=True)
        lines = [left.format(name) + sympy.latex(sympy.sympify(side).evalf(precision + 1)) for name, side in rows]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def jacobian(self, X, *, u=None) -> np.ndarray:
        """Return the derivatives of the right-hand side (or map) by the state (the polynomial library only).

        Parameters
        ----------
        X : array-like of shape (n, d)
        u : array-like of shape (n, p), optional
            Known inputs, if the model has any.

        Returns
        -------
        ndarray of shape (n, m, d)
            Entry [i, j, k] is the derivative of the right-hand side j by variable k at row i.
        """
        check_is_fitted(self)
        self._need_polynomials("jacobian")
        X, _ = check_states(self, X, reset=False)
        u = check_inputs(self, u, len(X), n_inputs=self.n_inputs_)
        Z = X if u is None else np.hstack([X, u])
        return np.einsum("mp,npd->nmd", self.coef_, monomial_derivatives(Z, self._powers)[..., : X.shape[1]])

    def _need_polynomials(self, name: str):
        if self.library is not None:
            raise ValueError(f"{name} knows the polynomial library only; use equations() with a library of your own.")

    def _variable_names(self):
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return [*map(str, names), *(f"u{i}" for i in range(self.n_inputs_))]

    def _output_names(self):
        if self.n_outputs_ == self.n_features_in_:
            return self._variable_names()[: self.n_outputs_]
        return [f"y{i}" for i in range(self.n_outputs_)]

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"random_state": 0}, {"discrete_time": True, "threshold": 0.001, "degree": 1, "random_state": 0}]


def _variance(rows: np.ndarray) -> np.ndarray:
    """Variance of every row, centred in place: copies of long rows cost more than the arithmetic."""
    rows -= rows.mean(axis=1, keepdims=True)
    return np.einsum("ij,ij->i", rows, rows) / rows.shape[1]
