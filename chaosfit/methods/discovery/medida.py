"""MEDIDA: the terms that a model lacks, from pairs of states a short time apart."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import Lasso
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.validation import check_is_fitted

from chaosfit.base import WindowDynamics
from chaosfit.compose import NextStepRegressor
from chaosfit.methods.discovery.rvm import RVMRegressor
from chaosfit.validation import HasMethods, Interval, check_states

__all__ = ["MEDIDA", "Tendency"]

#: A column is the effect of a coefficient that moves the states by this share of their size.
_NUDGE = 1e-6
#: The repeats end when no coefficient changes by more than this share of the largest.
_CONVERGED = 1e-3
#: How often a step of the coefficients is halved while the corrected model is worse than before.
_MAX_HALVINGS = 8
#: Runge-Kutta steps in half an interval.
_N_SUBSTEPS = 2


@dataclass(frozen=True)
class Tendency:
    """A sum of library terms, the right-hand side that a model lacks: a function of states (n, d).

    Attributes
    ----------
    library : object
        `library.tendency(states, coef)` evaluates the sum.
    coef : ndarray of shape (p,)
    """

    library: Any
    coef: np.ndarray

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """Evaluate the sum at states (n, d); shape (n, d)."""
        return self.library.tendency(states, self.coef)


class _EachVariable:
    """Library of a transformer's features, with own coefficients for every variable."""

    def __init__(self, transformer, names: list[str]):
        self.transformer, self.variables = transformer, names
        self.features = [str(name) for name in transformer.get_feature_names_out(names)]

    def tendency(self, X, coef):
        return self.transformer.transform(X) @ coef.reshape(len(self.variables), -1).T

    def get_feature_names_out(self):
        return [f"{name} in {variable}'" for variable in self.variables for name in self.features]


class MEDIDA(WindowDynamics):
    r"""Model error discovery with interpretability and data assimilation (MEDIDA): what a model lacks, as an equation.

    .. math:: x(t + dt) = S[h + \sum_j c_j f_j](x(t)) + \epsilon

    with a solver S of the model's right-hand side h and library terms f_j. Gauss-Newton repeats regress the error of
    the corrected model on the effect that each term has on its solution, so that neither the length of the interval
    nor the scheme of the solver biases c. A sparse regressor selects terms; least squares gives their coefficients.

    `fit(X, y)` takes pairs: y[i] is the state one interval after X[i]. Without y the rows are a series. The
    corrected model forecasts.

    Parameters
    ----------
    model : callable, default=None
        S, one interval: states (n, d) to (n, d). If it takes an argument `tendency`, that is the function
        sum_j c_j f_j of the states to be added to h, or None; `FieldModel` does. Otherwise half an interval
        of the terms is put before and after the model, with errors of order dt^2. None: h = 0, and x is constant
        without correction.
    library : transformer, default=None
        Features f_j (n, p) of states (n, d): every variable has own coefficients. One that has a method
        `tendency(X, coef)` shares the p coefficients between variables, like `FieldTerms` on a grid.
        None: `PolynomialFeatures(2)`.
    dt : float > 0, default=1.0
        Interval between the states of a pair. Published 0.005; noise enters c divided by it, so more is
        better with noisy states.
    regressor : estimator with `coef_`, default=None
        Selects terms, from columns and target of standard deviation one. None: `RVMRegressor(fit_intercept=False)`.
    smoother : transformer or `EnsembleKalmanFilter`, default=None
        Makes clean states of noisy ones: fitted on all states, as `WienerFilter` for fields. A Kalman
        filter carries the model, as far as it is corrected, through every trajectory; its `model_noise` must
        allow for the errors of the model. None: states are taken as they are.
    n_newton : int >= 1, default=4
        Largest number of regressions. Published: 1.
    min_coef : float >= 0, default=0.0
        A smaller coefficient is no term. In the units of c; published 0.1.
    min_contribution : float in [0, 1), default=0.01
        Nor is one that changes the target by less than this share of its standard deviation.

    Attributes
    ----------
    coef_ : ndarray of shape (p,), or (d, p) where every variable has own coefficients
        Zero for terms that are not there.
    coef_std_ : ndarray of the shape of coef_
        Standard deviations.
    support_ : bool ndarray of the shape of coef_
    feature_names_out_ : list of p str
        Names of the terms.
    library_, regressor_, smoother_ : fitted estimators, smoother_ None without
    n_iter_ : int

    Raises
    ------
    ValueError
        In `fit`, if the model returns another shape or non-finite states, or terms have no effect.

    Notes
    -----
    It finds terms of the library only, and does not tell whether more are missing: `score` does. Evidence in structured
    errors is no physics: keep `min_contribution`. A model without the term that damps short waves is ill-posed;
    give it a `cutoff`, or states without short waves. Where the regressor is Bayesian its posterior is in `regressor_`.

    References
    ----------
    Mojgani, Chattopadhyay and Hassanzadeh, Chaos 32, 061105 (2022), doi:10.1063/5.0091282, arXiv:2110.00546.

    Examples
    --------
    >>> from chaosfit import Lorenz63
    >>> from chaosfit.methods.discovery.medida import MEDIDA
    >>> X = Lorenz63().simulate(200, dt=0.01, random_state=0)
    >>> wrong = Lorenz63(rho=25.0)
    >>> model = MEDIDA(lambda x: wrong.simulate(2, x0=x, dt=0.01)[:, 1], dt=0.01).fit(X)
    >>> model.feature_names_out_[1], float(model.coef_[1, 1].round(1))  # in the equation of x1
    ('x0', 3.0)
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [callable, None],
        "library": [HasMethods(["fit", "transform", "get_feature_names_out"]), None],
        "dt": [Interval(Real, 0, None, closed="neither")],
        "regressor": [HasMethods(["fit", "predict"]), None],
        "smoother": [HasMethods(["fit", "transform"]), None],
        "n_newton": [Interval(Integral, 1, None, closed="left")],
        "min_coef": [Interval(Real, 0, None, closed="left")],
        "min_contribution": [Interval(Real, 0, 1, closed="left")],
    }
    _rows_may_be_wide = True  # a few fields on a fine grid are enough

    def __init__(
        self,
        model=None,
        library=None,
        dt=1.0,
        regressor=None,
        smoother=None,
        n_newton=4,
        min_coef=0.0,
        min_contribution=0.01,
    ):
        self.model = model
        self.library = library
        self.dt = dt
        self.regressor = regressor
        self.smoother = smoother
        self.n_newton = n_newton
        self.min_coef = min_coef
        self.min_contribution = min_contribution

    # ------------------------------------------------------------------ fit
    def _fit(self, trajectories):
        X, Y = (np.concatenate(parts) for parts in zip(*((t.X, t.Y) for t in trajectories), strict=True))
        self._takes_tendency = self.model is not None and "tendency" in inspect.signature(self.model).parameters
        self._fit_library(X)
        if self.n_outputs_ != self.n_features_in_:
            self._fit_outputs(X, Y)
            return
        if len(X) < 2:
            raise ValueError(f"MEDIDA needs at least 2 pairs of states, got {len(X)}.")
        self._unit = X.std(axis=0)
        self._unit[self._unit == 0] = 1.0
        self._gauss_newton(trajectories, X, Y)

    def _fit_library(self, X) -> None:
        library = PolynomialFeatures(2) if self.library is None else self.library
        self.library_ = clone(library).fit(X)
        self._shared = hasattr(self.library_, "tendency")
        self._terms = self.library_ if self._shared else _EachVariable(self.library_, self._variable_names())
        self._names = [str(name) for name in self._terms.get_feature_names_out()]
        self.feature_names_out_ = self._names if self._shared else self._terms.features

    def _fit_outputs(self, X, Y) -> None:
        """Learn outputs that are not states: no model can be corrected towards them."""
        if self.model is not None or self._shared:
            raise ValueError(
                f"y must hold the state after each row of X, {self.n_features_in_} columns as X has, got "
                f"{self.n_outputs_}."
            )
        self._readout = NextStepRegressor().fit(X, Y)

    def _gauss_newton(self, trajectories, X, Y) -> None:
        coef, worst, self.n_iter_ = np.zeros(len(self._names)), np.inf, 0
        self.smoother_: Any = None
        for _ in range(self.n_newton):
            start, end = self._smoothed(trajectories, X, Y, coef)
            base = self._corrected_step(start, coef)
            self._refuse_bad_step(base)
            if not self.n_iter_:
                self._refuse_few_values(end)
                worst = np.sum(self._observed(end - base) ** 2)
            columns = self._columns(start, coef, base)
            target = self._observed(end - base).ravel() / self.dt + columns @ coef
            support, solution = self._select(columns, target)
            previous, coef = coef, self._line_search(start, end, coef, solution, worst)
            self.n_iter_ += 1
            if np.abs(coef - previous).max() <= _CONVERGED * np.abs(coef).max():
                break
        if not support.any():
            warnings.warn("MEDIDA found no term: the model stays as it is.", UserWarning, stacklevel=4)
        shape = (-1,) if self._shared else (self.n_features_in_, -1)
        self.coef_ = coef.reshape(shape)
        self.support_ = support.reshape(shape)
        self.coef_std_ = _standard_deviations(columns, target, coef, support).reshape(shape)

    def _smoothed(self, trajectories, X, Y, coef) -> tuple[np.ndarray, np.ndarray]:
        """Return clean states at the start of each pair, and what their successors are compared with."""
        if self.smoother is None:
            return X, Y
        if hasattr(self.smoother, "assimilate"):
            return self._assimilated(trajectories, coef)
        if self.smoother_ is None:
            self.smoother_ = clone(self.smoother).fit(np.concatenate([X, Y]))
        return self.smoother_.transform(X), Y

    def _assimilated(self, trajectories, coef) -> tuple[np.ndarray, np.ndarray]:
        """Let the filter carry the model, corrected so far, through every trajectory; a pair is one of two rows."""
        series = [t.states for t in trajectories]
        if not self._self_supervised:
            series = [np.stack(pair) for t in trajectories for pair in zip(t.X, t.Y, strict=True)]
        self.smoother_ = clone(self.smoother).set_params(model=partial(self._corrected_step, coef=coef))
        self.smoother_.fit(np.concatenate(series))
        means = [self.smoother_.assimilate(states).mean for states in series]
        return np.concatenate([mean[:-1] for mean in means]), np.concatenate([mean[1:] for mean in means])

    def _columns(self, X, coef, base) -> np.ndarray:
        """Effect of each coefficient on the solution, per time: columns (n k, p)."""
        size, columns = X.std(), []
        for index, name in enumerate(self._names):
            unit = np.zeros(len(coef))
            unit[index] = 1.0
            with np.errstate(over="ignore", invalid="ignore"):
                strength = np.sqrt(np.mean(self._terms.tendency(X, unit) ** 2))
                nudge = _NUDGE * (size or 1.0) / (self.dt * strength) if strength else 1.0
                effect = self._observed(self._corrected_step(X, coef + nudge * unit) - base)
            if not effect.any() or not np.isfinite(effect).all():
                what = "has no effect on" if not effect.any() else "makes non-finite"
                raise ValueError(f"the library term {name!r} {what} the states that are given; leave it out.")
            columns.append(effect.ravel() / (nudge * self.dt))
        return np.column_stack(columns)

    def _observed(self, states) -> np.ndarray:
        """Map differences of states (n, d) to the numbers that are compared."""
        if hasattr(self.smoother_, "modes"):
            return self.smoother_.modes(states)
        return states if self._shared else states / self._unit

    def _select(self, columns, target) -> tuple[np.ndarray, np.ndarray]:
        """Return the support that regressor and thresholds keep, and its least-squares coefficients (p,)."""
        scale, size, unit = columns.std(axis=0), np.sqrt(np.mean(columns**2, axis=0)), target.std()
        scale = np.where(scale > 1e-6 * size, scale, size)  # a constant forcing has no deviation
        support = np.zeros(columns.shape[1], dtype=bool)
        coef = np.zeros(columns.shape[1])
        if unit == 0:
            return support, coef
        regressor = RVMRegressor(fit_intercept=False) if self.regressor is None else clone(self.regressor)
        self.regressor_ = regressor.fit(columns / scale, target / unit)
        support = np.ravel(self.regressor_.coef_) != 0
        while support.any():
            coef[:] = 0.0
            coef[support] = np.linalg.lstsq(columns[:, support] / scale[support], target, rcond=None)[0]
            contribution = np.where(support, np.abs(coef), np.inf)
            weak = (contribution < self.min_contribution * unit) | (contribution < self.min_coef * scale)
            if not weak.any():
                return support, coef / scale
            support = support & (contribution > contribution[weak].min())
        return support, 0.0 * coef

    def _line_search(self, X, Y, coef, solution, worst: float) -> np.ndarray:
        """Go from coef towards the solution as far as the corrected model is no worse than the given one."""
        for halving in range(_MAX_HALVINGS):
            tried = coef + 0.5**halving * (solution - coef)
            with np.errstate(over="ignore", invalid="ignore"):
                if np.sum(self._observed(Y - self._corrected_step(X, tried)) ** 2) <= worst:
                    break
        return tried

    # ------------------------------------------------------------------ steps
    def _model_step(self, states) -> np.ndarray:
        """Advance states by the model as it was given."""
        if self.model is None:
            return states
        return self._checked(self.model(states.copy()), states)  # a foreign function may work in place

    def _corrected_step(self, states, coef) -> np.ndarray:
        """Advance states by the model with the tendency of the coefficients (p,)."""
        if not coef.any():
            return self._model_step(states)
        if self._takes_tendency:
            return self._checked(self.model(states.copy(), tendency=Tendency(self._terms, coef)), states)
        if self.model is None:
            return self._flow(states, coef, self.dt)
        half = self.dt / 2
        return self._flow(self._model_step(self._flow(states, coef, half)), coef, half)

    def _flow(self, states, coef, interval: float) -> np.ndarray:
        """Advance states by the tendency alone."""
        if hasattr(self._terms, "flow"):
            return self._terms.flow(states, coef, interval)
        rhs, dt = Tendency(self._terms, coef), interval / _N_SUBSTEPS
        for _ in range(_N_SUBSTEPS):
            k1 = rhs(states)
            k2 = rhs(states + dt / 2 * k1)
            k3 = rhs(states + dt / 2 * k2)
            k4 = rhs(states + dt * k3)
            states = states + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return states

    def _checked(self, advanced, states) -> np.ndarray:
        advanced = np.asarray(advanced, dtype=np.float64)
        if advanced.shape != states.shape:
            raise ValueError(f"model must return the shape of its argument, {states.shape}, got {advanced.shape}.")
        return advanced

    def _refuse_bad_step(self, advanced) -> None:
        """Refuse a model that overflows, naming the pair."""
        with np.errstate(invalid="ignore"):
            bad = np.flatnonzero(~(np.abs(advanced).max(axis=1) <= self.bound_))
        if len(bad):
            model = "corrected model" if self.n_iter_ else "model"
            raise ValueError(
                f"the {model} left the range of the data 1000-fold or became non-finite in pair {bad[0]}, the first of "
                f"{len(bad)}. Without damping of short waves a model is ill-posed: limit its wavenumbers (`cutoff` of "
                "FieldModel), smooth the states, or take a shorter interval."
            )

    def _refuse_few_values(self, states) -> None:
        n_values = self._observed(states).size
        if len(self._names) >= n_values:
            raise ValueError(
                f"{len(self._names)} coefficients need more than the {n_values} values in {len(states)} pair(s): give "
                "more pairs or a smaller library."
            )

    # ------------------------------------------------------------------ use
    def model_error(self, X) -> np.ndarray:
        """Evaluate what the model lacks, sum_j c_j f_j, at states X (n, d); shape (n, d)."""
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        return Tendency(self._terms, self._flat_coef())(X)

    def equations(self) -> list[str]:
        """Write the corrected model: one line for every variable, or one for a field."""
        check_is_fitted(self)
        left = ["u_t"] if self._shared else [f"{name}'" for name in self._variable_names()]
        start = "" if self.model is None else "model"
        if not hasattr(self, "coef_"):
            return [f"{name} = {start or 0}" for name in left]
        rows = zip(left, np.atleast_2d(self.coef_), strict=True)
        return [f"{name} = {_sum(start, self.feature_names_out_, coef)}" for name, coef in rows]

    def _forward(self, windows, u):
        if hasattr(self, "_readout"):
            return self._readout.predict(windows[:, -1]).reshape(len(windows), 1, -1)
        states = windows[:, -1]
        with np.errstate(over="ignore", invalid="ignore"):
            return self._corrected_step(states, self._flat_coef())[:, np.newaxis]

    def _teacher_forced(self, X, u):
        outputs = super()._teacher_forced(X, u)
        # predict is never NaN: a row from which the model escapes at once keeps its value.
        return outputs if hasattr(self, "_readout") else np.where(np.isfinite(outputs), outputs, X)

    def _flat_coef(self) -> np.ndarray:
        return self.coef_.ravel()

    def _variable_names(self) -> list[str]:
        return list(getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)]))

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{}, {"regressor": Lasso(1e-3, fit_intercept=False), "n_newton": 2}]


def _standard_deviations(columns, target, coef, support) -> np.ndarray:
    """Of least-squares coefficients, from the residuals."""
    deviations, kept = np.zeros(len(coef)), columns[:, support]
    scale = np.sqrt(np.mean(kept**2, axis=0))
    freedom = max(len(target) - kept.shape[1], 1)
    noise = np.sum((target - columns @ coef) ** 2) / freedom
    deviations[support] = np.sqrt(noise * np.diag(np.linalg.pinv((kept / scale).T @ (kept / scale)))) / scale
    return deviations


def _sum(start: str, names: list[str], coef) -> str:
    terms = [f"{'-' if c < 0 else '+'} {abs(c):.3f} {name}" for c, name in zip(coef, names, strict=True) if c]
    text = " ".join([start, *terms] if start else terms) or "0"
    return text.removeprefix("+ ")
