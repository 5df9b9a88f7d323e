"""Sparse identification of nonlinear dynamics: the equations behind a trajectory, few terms each.

References
----------
Brunton, Proctor and Kutz, PNAS 113, 3932 (2016), doi:10.1073/pnas.1517384113
Messenger and Bortz, Multiscale Model. Simul. 19, 1474 (2021), doi:10.1137/20M1343166 (weak form)
Fasel, Kutz, Brunton and Brunton, Proc. R. Soc. A 478 (2022), doi:10.1098/rspa.2021.0904 (ensembles)
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.signal import savgol_filter
from sklearn.base import clone
from sklearn.utils import check_random_state

from chaosfit.analysis.embedding import lag_by_autocorrelation
from chaosfit.base import FlowDynamics, SamplesMixin
from chaosfit.numerics.differentiate import (
    estimate_noise,
    finite_difference,
    savitzky_golay_derivative,
    weak_form,
)
from chaosfit.numerics.gram import Gram, gram
from chaosfit.numerics.integrate import integrate_batch, integrate_driven
from chaosfit.numerics.polynomial import format_sum, monomial_names, monomial_powers, monomials
from chaosfit.numerics.regress import ridge_solve, threshold_path
from chaosfit.validation import HasMethods, Interval, StrOptions, Trajectory

#: Thresholds that the automatic choice tries, on two scales (see `_Rule`).
_THRESHOLDS = np.geomspace(1e-6, 0.6, 30)
#: Length of the validation forecasts in units of that time, and most rows.
_VALIDATION_LENGTH, _VALIDATION_ROWS = 40, 1000
#: Half widths of the weak form's windows in units of the shortest autocorrelation time.
_HALF_WIDTHS = (0.75, 1.5, 3.0)
_POWER = 7  # of the test function; odd powers have the smaller quadrature error
_VALID_ERROR = 0.4  # a validation forecast counts until its normalised error exceeds this


class _Rule(NamedTuple):
    """When a term is dropped: by its coefficient, or by its share of the derivative, below the threshold.

    Shares do not depend on units; coefficients separate better where noise correlates the columns.
    """

    threshold: float
    by_share: bool = False

    def path(self, sums: Gram, thresholds) -> np.ndarray:
        """Coefficients (k, p, d) for many thresholds."""
        if not self.by_share:
            return threshold_path(sums.G, sums.R, thresholds)
        size = np.sqrt(np.where(sums.yy > 0, sums.yy, 1.0))
        return threshold_path(sums.G, sums.R / size, thresholds, normalize=True) * size

    def solve(self, sums: Gram) -> np.ndarray:
        return self.path(sums, [self.threshold])[0]


class _System(NamedTuple):
    """Linear systems A Xi = b of one discretisation, one block of rows per trajectory."""

    name: str
    blocks: list[tuple[np.ndarray, np.ndarray]]

    def sums(self) -> Gram:
        return gram(np.concatenate([A for A, _ in self.blocks]), np.concatenate([b for _, b in self.blocks]))


class SINDy(SamplesMixin, FlowDynamics):
    r"""Sparse right-hand side from a library of candidate terms, found and checked by free runs.

    .. math:: \dot x = \Theta(x, u)\,\Xi, \qquad \Xi \text{ sparse}

    Every choice that decides about success is made on the training data: derivatives by differences or the weak
    form (no derivative of the data is taken), with windows scaled to the dynamics, and the threshold. Candidates
    are fitted to the first four fifths and ranked by how long their free runs stay close to the rest; ties go to fewer
    terms. Then the winner is fitted to all data.

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
        Replaces sequentially thresholded least squares; anything with `fit(A, b)` and `coef_`. `threshold` is not
        used then.
    threshold : float >= 0 or "auto", default="auto"
        Coefficients below it are dropped, in the units of the equations (published default 0.1). "auto" tries 30.
    derivative : {"auto", "finite_difference", "savitzky_golay", "weak"}, default="auto"
        "auto" compares sixth-order differences and three weak forms.
    discrete_time : bool, default=False
        Learn the map x[t+1] = Theta(x[t]) Xi instead.
    n_models : int >= 1, default=20
        Size of the ensemble on resampled blocks of the data, from which uncertainties come.
    random_state : int, RandomState or None, default=None
        Draws the blocks.

    Attributes
    ----------
    coef_ : ndarray of shape (d, p)
        Coefficients Xi transposed, fitted to all data.
    coef_std_ : ndarray of shape (d, p)
        Standard deviation over the ensemble.
    inclusion_probability_ : ndarray of shape (d, p)
        Share of the ensemble that kept the term.
    term_names_ : list of p str
    derivative_ : str
        The discretisation that was used.
    threshold_ : float
        The threshold that was used; relative to the derivative's size if it was chosen automatically.

    Notes
    -----
    Not for data where the state is only partly observed (embed them first), nor for terms outside the library:
    then free runs fail early, which `forecast` shows as NaN, and `score` alone would not tell.

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
        "n_models": [Interval(Integral, 1, None, closed="left")],
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
        if self.optimizer is None and self.threshold == "auto" and self._self_supervised:
            system, rule, support = self._choose(trajectories)
            Xi = _least_squares(system.sums(), support)
        else:
            system = self._discretise(trajectories, self._discretisations(trajectories)[0])
            rule = _Rule(0.0 if self.threshold == "auto" else float(self.threshold))
            Xi = rule.solve(system.sums()) if self.optimizer is None else self._optimise(system)
        self.coef_ = Xi.T
        self.threshold_, self.derivative_ = rule.threshold, system.name
        self._fit_ensemble(system, rule)
        # Only terms that are used are evaluated in a roll-out.
        self._active = np.flatnonzero(self.coef_.any(axis=0))

    def _rhs(self, X, u):
        if len(self._active) == 0:
            return np.zeros((len(X), self.n_outputs_))
        return self._columns(X, u, self._active) @ self.coef_[:, self._active].T

    def _sample_run(self, context, n_steps, n_samples, rng, u):
        member = rng.randint(len(self._members), size=n_samples)
        rows = np.repeat(member, len(context))
        x0 = np.tile(context[:, -1], (n_samples, 1))
        inputs = None if u is None else np.tile(u[:, -n_steps:], (n_samples, 1, 1))
        path = self._roll(self._members[rows], x0, n_steps, inputs, tolerance=1e-8)
        return path.reshape(n_samples, len(context), n_steps, -1)

    # ------------------------------------------------------------------ library
    def _prepare_library(self, trajectories):
        names = list(getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)]))
        names += [f"u{i}" for i in range(self.n_inputs_)]
        if self.library is None:
            self._powers = monomial_powers(len(names), range(self.degree + 1))
            self.term_names_ = monomial_names(self._powers, names)
            return
        first = trajectories[0]
        sample = first.X if first.u is None else np.hstack([first.X, first.u])
        try:
            self.library_ = clone(self.library).fit(sample)
        except TypeError:  # pysindy's libraries cannot always be cloned
            self.library_ = self.library.fit(sample)
        get_names = getattr(self.library_, "get_feature_names_out", None) or self.library_.get_feature_names
        self.term_names_ = [str(name) for name in get_names(names)]

    def _columns(self, X, u, active=None):
        """Evaluate the library: (n, p), or only the columns in `active`."""
        X = X if u is None else np.hstack([X, u])
        if self.library is None:
            return monomials(X, self._powers if active is None else self._powers[active])
        columns = np.asarray(self.library_.transform(X), dtype=float)
        return columns if active is None else columns[:, active]

    # ------------------------------------------------------------------ regression
    def _discretisations(self, trajectories) -> list[tuple[str, int]]:
        """Name and window of every way to turn the trajectories into a linear system; the preferred one first."""
        if self._is_map():
            return [("map", 0)]
        states = [t.states for t in trajectories]
        memory = min(_shortest_memory(X) for X in states)
        noisy = any((estimate_noise(X) > 1e-3 * X.std(axis=0)).any() for X in states)
        longest = max(map(len, states))
        windows = [max(3, round(factor * memory)) for factor in _HALF_WIDTHS]
        weak = [("weak", w) for w in dict.fromkeys(windows) if longest > 4 * w + 1]
        if self.derivative == "savitzky_golay":
            return [("savitzky_golay", max(5, 2 * round(0.3 * memory) + 1))]
        if self.derivative == "finite_difference" or not weak:
            return [("finite_difference", 0)]
        preferred = weak[len(weak) // 2 :] + weak[: len(weak) // 2]
        if self.derivative == "weak":
            return preferred
        return [*preferred, ("finite_difference", 0)] if noisy else [("finite_difference", 0), *preferred]

    def _discretise(self, trajectories, how) -> _System:
        name, window = how
        return _System(name, [b for t in trajectories if (b := self._rows(t, name, window)) is not None])

    def _rows(self, trajectory: Trajectory, name: str, window: int):
        """Rows (A, b) of one trajectory, or None if it is shorter than a window."""
        X, u, dt = trajectory.states, trajectory.u, self.dt
        if name == "map":
            return self._columns(trajectory.X, u), trajectory.Y
        if u is not None:  # the last state has no input of its own that matters
            X = X[: len(u)]
        theta = self._columns(X, u)
        if name == "finite_difference":
            return theta, finite_difference(X, dt)
        if name == "savitzky_golay":
            return theta, savitzky_golay_derivative(X, dt, window)
        if len(X) < 2 * window + 1:
            return None
        return weak_form(X, theta, dt, half_width=window, power=_POWER, stride=max(1, window // 10))

    def _optimise(self, system: _System) -> np.ndarray:
        """Coefficients (p, d) by the user's optimizer."""
        A = np.concatenate([A for A, _ in system.blocks])
        b = np.concatenate([b for _, b in system.blocks])
        self.optimizer_ = clone(self.optimizer).fit(A, b)
        return np.asarray(self.optimizer_.coef_, dtype=float).reshape(b.shape[1], A.shape[1]).T

    def _fit_ensemble(self, system: _System, rule: _Rule):
        """Refit on resampled blocks of rows: spread and inclusion of every coefficient."""
        if self.optimizer is not None:  # it may be slow, and may know its own uncertainty
            self._members = self.coef_.T[np.newaxis]
            self.coef_std_, self.inclusion_probability_ = 0.0 * self.coef_, (self.coef_ != 0).astype(float)
            return
        rng = check_random_state(self.random_state)
        sums = [
            gram(A[rows], b[rows])
            for A, b in system.blocks
            for rows in np.array_split(np.arange(len(A)), min(len(A), max(1, 50 // len(system.blocks))))
        ]
        members = []
        for _ in range(self.n_models):
            drawn = rng.randint(len(sums), size=len(sums))
            total = sums[drawn[0]]
            for k in drawn[1:]:
                total = total + sums[k]
            members.append(rule.solve(total))
        self._members = np.stack(members)
        self.coef_std_ = self._members.std(axis=0).T
        self.inclusion_probability_ = (self._members != 0).mean(axis=0).T

    # ------------------------------------------------------------------ selection
    def _choose(self, trajectories):
        """Return the system, rule and support (p, d) whose free runs follow held-out data longest."""
        train, test = _split(trajectories)
        candidates = {}
        for how in self._discretisations(trajectories):
            system = self._discretise(train, how)
            if not system.blocks:
                continue
            sums = system.sums()
            for by_share in (False, True):
                largest = 1.0 if by_share else np.abs(_Rule(0.0).solve(sums)).max()
                thresholds = largest * _THRESHOLDS
                for threshold, Xi in zip(thresholds, _Rule(0.0, by_share).path(sums, thresholds), strict=True):
                    candidates.setdefault((how, (Xi != 0).tobytes()), (how, _Rule(threshold, by_share), Xi))
        candidates = list(candidates.values())
        skill = self._validate(np.stack([Xi for _, _, Xi in candidates]), test)
        n_terms = np.array([np.count_nonzero(Xi) for _, _, Xi in candidates])
        # Fewest terms among those that are not worse than the best by more than its standard error.
        best = skill[skill.mean(axis=1).argmax()]
        loss = (best - skill).mean(axis=1)
        doubt = (best - skill).std(axis=1) / np.sqrt(skill.shape[1])
        good = np.flatnonzero(loss <= np.maximum(doubt, 0.02 * best.mean()))
        how, rule, Xi = candidates[min(good, key=lambda k: (n_terms[k], loss[k]))]
        return self._discretise(trajectories, how), rule, Xi != 0

    def _validate(self, models: np.ndarray, test: list[Trajectory]) -> np.ndarray:
        """Number of steps (k, n_starts) that each model (k, p, d) stays valid."""
        memory = min(_shortest_memory(t.states) for t in test)
        longest = max(len(t.X) for t in test)
        n_steps = max(1, min(longest // 2, round(_VALIDATION_LENGTH * memory), _VALIDATION_ROWS))
        n_starts = int(np.clip(2_000_000 // max(models[0].size * len(models), 1), 3, 20))
        truth, x0, u = _validation_runs(test, n_steps, -(-n_starts // len(test)))
        inputs = None if u is None else np.tile(u, (len(models), 1, 1))
        starts = np.tile(x0, (len(models), 1))
        path = self._roll(np.repeat(models, len(x0), axis=0), starts, n_steps, inputs, tolerance=1e-6)
        path = path.reshape(len(models), len(x0), n_steps, -1)
        spread = np.concatenate([t.states for t in test]).std(axis=0)
        error = np.sqrt(np.mean(((path - truth) / np.where(spread > 0, spread, 1.0)) ** 2, axis=-1))
        invalid = ~(error <= _VALID_ERROR)
        steps = np.where(invalid.any(axis=-1), invalid.argmax(axis=-1), n_steps)
        # Valid to the end is told apart by the error that is left.
        return steps + 1.0 - np.minimum(np.where(invalid, 1.0, error).mean(axis=-1), 1.0)

    def _roll(self, models, x0, n_steps, u, tolerance):
        """Run row i under its own coefficients models[i] (p, d)."""

        def rhs(X, inputs=None):
            return (self._columns(X, inputs)[:, np.newaxis] @ models)[:, 0]

        with np.errstate(over="ignore", invalid="ignore"):
            if not self._is_map():
                bound = self.bound_
                # A model worth running needs no more steps than the data has rows.
                limits = {"bound": 0.01 * bound, "max_steps": 200 + n_steps // 2}
                options = {"rtol": tolerance, "atol": tolerance * bound / 1e3, **limits}
                if u is not None:
                    return integrate_driven(rhs, x0, u, self.dt, **options)
                return integrate_batch(rhs, x0, self.dt * np.arange(n_steps + 1), **options)[:, 1:]
            path = np.full((len(x0), n_steps, self.n_features_in_), np.nan)
            for step in range(n_steps):
                x0 = rhs(x0, None if u is None else u[:, step])
                path[:, step] = x0 = np.where(np.abs(x0) <= self.bound_, x0, np.nan)
            return path

    # ------------------------------------------------------------------ reading
    def equations(self, precision: int = 3) -> list[str]:
        """Return one readable equation per variable."""
        left = self._left_sides("{}' = ", "{}[t+1] = ")
        return [side + format_sum(row, self.term_names_, precision) for side, row in zip(left, self.coef_, strict=True)]

    def to_latex(self, precision: int = 3) -> str:
        """Return the equations as a LaTeX `aligned` block for notebooks and papers."""
        import sympy

        left = self._left_sides(r"\dot{{{}}} &= ", "{}_{{t+1}} &= ")
        lines = [side + sympy.latex(e.evalf(precision + 1)) for side, e in zip(left, self.to_sympy(), strict=True)]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def to_sympy(self) -> list:
        """Return one sympy expression per variable (the polynomial library only)."""
        import sympy

        if self.library is not None:
            raise ValueError("to_sympy knows the polynomial library only; use equations() with a library of your own.")
        names = monomial_names(np.eye(self._powers.shape[1], dtype=int), self._variable_names())
        symbols = sympy.symbols(names)
        terms = [sympy.prod([s ** int(k) for s, k in zip(symbols, power, strict=True)]) for power in self._powers]
        return [sum(sympy.Float(c) * t for c, t in zip(row, terms, strict=True) if c != 0) for row in self.coef_]

    def _variable_names(self):
        names = list(getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)]))
        return names + [f"u{i}" for i in range(self.n_inputs_)]

    def _left_sides(self, flow: str, map_: str) -> list[str]:
        names = self._variable_names()[: self.n_outputs_] if self.n_outputs_ == self.n_features_in_ else None
        names = names or [f"y{i}" for i in range(self.n_outputs_)]
        return [(map_ if self._is_map() else flow).format(name) for name in names]

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"random_state": 0}, {"discrete_time": True, "threshold": 0.001, "degree": 1, "random_state": 0}]


# ---------------------------------------------------------------------- pure functions
def _least_squares(sums: Gram, support: np.ndarray) -> np.ndarray:
    """Unbiased coefficients (p, d) on a support (p, d)."""
    Xi = np.zeros(support.shape)
    for target, kept in enumerate(support.T):
        index = np.flatnonzero(kept)
        if len(index):
            Xi[index, target] = ridge_solve(sums.G[np.ix_(index, index)], sums.R[index, target])
    return Xi


def _shortest_memory(X: np.ndarray) -> float:
    """Shortest autocorrelation time over the variables, in rows; the scale on which the dynamics turns."""
    lags = [lag_by_autocorrelation(column) for column in X.T if np.ptp(column) > 0]
    return float(min(lags, default=1))


def _validation_runs(test: list[Trajectory], n_steps: int, n_starts: int):
    """Truth (B, h, d), starts (B, d) and inputs (B, h, p) or None, spread over all trajectories."""
    truth, x0, u = [], [], []
    for t in test:
        if len(t.X) < n_steps:
            continue
        smooth = _smoothed(t.states)
        for start in np.unique(np.linspace(0, len(t.X) - n_steps, n_starts).astype(int)):
            truth.append(t.states[start + 1 : start + 1 + n_steps])
            x0.append(smooth[start])
            if t.u is not None:
                u.append(t.u[start : start + n_steps])
    return np.stack(truth), np.stack(x0), np.stack(u) if u else None


def _smoothed(X: np.ndarray) -> np.ndarray:
    """States to start free runs from: noisy ones would hide how good a model is."""
    window = 2 * round(0.3 * _shortest_memory(X)) + 1
    if window < 7 or window > len(X) or (estimate_noise(X) < 1e-3 * X.std(axis=0)).all():
        return X
    return savgol_filter(X, window, 3, axis=0)


def _split(trajectories: list[Trajectory], share: float = 0.8):
    """Cut every trajectory in two in time: fit on the first part, validate on the rest."""
    train, test = [], []
    for t in trajectories:
        k = max(2, int(share * len(t.X)))
        u = (None, None) if t.u is None else (t.u[:k], t.u[k:])
        train.append(Trajectory(t.X[:k], t.Y[:k], u[0], t.states[: k + 1]))
        if len(t.X) - k >= 2:
            test.append(Trajectory(t.X[k:], t.Y[k:], u[1], t.states[k:]))
    return train, test or train
