"""Optimised dynamic mode decomposition: sums of exponentials fitted to a whole series, with bagging."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from chaosfit.base import SamplesMixin, StepDynamics
from chaosfit.methods.koopman.exponentials import (
    amplitude_map,
    best_coefficients,
    fit_exponentials,
    initial_exponents,
    shared_modes,
)
from chaosfit.numerics.delay import windows
from chaosfit.validation import Interval, StrOptions

__all__ = ["OptDMD"]

_POSITIVE = Interval(Integral, 1, None, closed="left")


class OptDMD(SamplesMixin, StepDynamics):
    r"""Linear dynamics from a fit of exponentials to the whole series: no bias from noise.

    .. math:: x(t) \approx \mathrm{Re} \sum_j \phi_j b_j e^{\alpha_j t}

    A forecast fits the amplitudes b to the context and continues. With bags, each bag is a fit to
    randomly drawn rows; exponents and modes are their mean, `forecast_samples` draws among them.

    Parameters
    ----------
    rank : int >= 1 or "auto", default="auto"
        Number of exponentials r, two for each oscillation. "auto" takes those above the noise.
    context_length : int >= 1, default=20
        Rows L to which the amplitudes of a forecast are fitted; L d must be at least r. More rows average
        more noise; all of the training data for the best forecast of its continuation.
    constraint : {None, "stable", "imaginary"}, default=None
        No growth, or neither growth nor decay.
    n_bags : int >= 0, default=0
        Bags of the bagging; 0 for the plain fit.
    bag_share : float in (0, 1), default=0.5
        Share p of the rows in each bag, drawn without replacement. The variance over the bags is 1/p - 1
        of that of the full fit: with a half the bags spread as the fit errs, with more they spread less.
    dt : float > 0, default=1.0
        Time between rows.
    random_state : int, Generator seed or None, default=None
        Draws the bags.

    Attributes
    ----------
    rank_ : int, r
    continuous_eigenvalues_, eigenvalues_ : ndarray of shape (r,), complex
        alpha per unit of time, and exp(alpha dt).
    continuous_eigenvalues_std_ : ndarray of shape (r,)
        Spread over the bags; zero without.
    modes_ : ndarray of shape (r, d), complex, of norm one
    amplitudes_ : ndarray of shape (r,), >= 0
        At the start of the (last) training trajectory.
    error_ : float
        Root mean square error of the fit.

    Notes
    -----
    For (quasi-)periodic, growing and decaying signals; not for chaos, of which it sees the mean frequency
    at best. For unevenly sampled series use the functions of `exponentials`.

    References
    ----------
    Askham, Kutz, SIAM J. Appl. Dyn. Syst. 17, 380 (2018), arXiv:1704.02343; Sashidhar, Kutz, Phil. Trans.
    R. Soc. A 380, 20210199 (2022), arXiv:2107.10878 (bagging).

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.opt_dmd import OptDMD
    >>> t = 0.1 * np.arange(300)
    >>> noise = 0.1 * np.random.default_rng(0).normal(size=(300, 1))
    >>> model = OptDMD(rank=2, dt=0.1).fit(np.sin(2 * t)[:, None] + noise)
    >>> np.abs(model.continuous_eigenvalues_.imag).round(2)
    array([2., 2.])
    """

    _parameter_constraints: ClassVar[dict] = {
        "rank": [_POSITIVE, StrOptions({"auto"})],
        "context_length": [_POSITIVE],
        "constraint": [None, StrOptions({"stable", "imaginary"})],
        "n_bags": [Interval(Integral, 0, None, closed="left")],
        "bag_share": [Interval(Real, 0, 1, closed="neither")],
        "dt": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        rank="auto",
        context_length=20,
        constraint=None,
        n_bags=0,
        bag_share=0.5,
        dt=1.0,
        random_state=None,
    ):
        self.rank = rank
        self.context_length = context_length
        self.constraint = constraint
        self.n_bags = n_bags
        self.bag_share = bag_share
        self.dt = dt
        self.random_state = random_state

    def _context_length(self):
        return self.context_length

    def _kept_rows(self):
        return self.context_length

    def _is_markov(self):
        return self.context_length == 1

    # ------------------------------------------------------------------ fit
    def _fit(self, trajectories):
        L, d = self.context_length, self.n_features_in_
        features = np.concatenate([_flat_windows(t.X, L) for t in trajectories])
        targets = np.concatenate([t.Y[L - 1 :] for t in trajectories])
        if self.n_outputs_ != d:  # nothing is iterated: a regression on the context
            self._next = np.linalg.lstsq(features, targets, rcond=None)[0]
            return
        if self.rank != "auto" and self.rank > L * d:
            raise ValueError(
                f"rank={self.rank} amplitudes cannot be fitted to context_length={L} rows of {d} variable(s); "
                f"raise context_length to {-(-self.rank // d)}"
            )
        X = [t.states for t in trajectories]
        times = [self.dt * np.arange(len(x)) for x in X]
        start = initial_exponents(X, times, self.rank)
        start = start[np.argsort(-start.real, kind="stable")][: L * d]
        fit = fit_exponentials(X, times, start, self.constraint)
        exponents = self._fit_bags(X, times, fit.exponents)
        trials, error = best_coefficients(X, times, exponents)
        self._set_model(exponents, [trial.coefficients for trial in trials])
        self.error_ = float(error / np.sqrt(sum(x.size for x in X)))
        if not self._self_supervised:  # the successors were given: read them from the amplitudes
            self._readout = np.linalg.lstsq(features @ _stack(self._to_amplitudes), targets, rcond=None)[0]
        self._next = _stack(self._to_amplitudes) @ self._readout

    def _fit_bags(self, X, times, start: np.ndarray) -> np.ndarray:
        """Fit every bag from the full fit on; return the mean exponents."""
        rng = check_random_state(self.random_state)
        fits = []
        for _ in range(self.n_bags):
            rows = [np.sort(rng.permutation(len(x))[: max(2, int(self.bag_share * len(x)))]) for x in X]
            bag = [x[i] for x, i in zip(X, rows, strict=True)], [t[i] for t, i in zip(times, rows, strict=True)]
            fits.append(fit_exponentials(*bag, start, self.constraint))
        self._bags = [(fit.exponents, shared_modes(fit.coefficients)) for fit in fits]
        if not fits:
            self.continuous_eigenvalues_std_ = np.zeros(len(start))
            return start
        exponents = np.stack([fit.exponents for fit in fits])
        self.continuous_eigenvalues_std_ = exponents.std(axis=0)
        return exponents.mean(axis=0)

    def _set_model(self, exponents: np.ndarray, coefficients: list[np.ndarray]) -> None:
        self.rank_ = len(exponents)
        self.continuous_eigenvalues_ = exponents
        self.eigenvalues_ = np.exp(exponents * self.dt)
        self.modes_ = shared_modes(coefficients)
        self.amplitudes_ = np.linalg.norm(coefficients[-1], axis=1)
        window = self.dt * np.arange(self.context_length)
        self._to_amplitudes = amplitude_map(exponents, self.modes_, window)
        ahead = self.eigenvalues_[:, None] * self.modes_
        self._readout = np.concatenate([ahead.real, -ahead.imag])

    # ------------------------------------------------------------------ engine
    def _start(self, n_batch):
        return None

    def _step(self, state, x, u):
        outputs, state = self._observe(x[:, None], u)
        return state, outputs[:, 0]

    def _observe(self, X, u):
        L = self.context_length
        padded = np.concatenate([np.repeat(X[:, :1], L - 1, axis=1), X], axis=1)
        outputs = np.stack([_apply_to_windows(x, L, self._next) for x in padded])
        if self.n_outputs_ != self.n_features_in_:
            return outputs, None
        return outputs, padded[:, -L:].reshape(len(X), -1) @ self._to_amplitudes

    def _free_step(self, state, y, u):
        amplitudes = state * self.eigenvalues_
        return amplitudes, _stack(amplitudes) @ self._readout

    @available_if(lambda self: self.n_bags > 0)
    def forecast_samples(self, n_steps, context=None, *, n_samples=100, u=None):
        """Draw futures among the bags, see `SamplesMixin.forecast_samples`; needs n_bags > 0."""
        return super().forecast_samples(n_steps, context, n_samples=n_samples, u=u)

    def _sample_run(self, context, n_steps, n_samples, rng, u):
        """Each sample has the exponents of a bag and amplitudes from a random share of the context."""
        L, d = self.context_length, self.n_features_in_
        n_rows = min(L, max(int(self.bag_share * L), -(-self.rank_ // d)))
        future = self.dt * np.arange(1, n_steps + 1)
        paths = np.empty((n_samples, len(context), n_steps, d))
        for path in paths:
            exponents, modes = self._bags[rng.randint(len(self._bags))]
            rows = np.sort(rng.permutation(L)[:n_rows])
            to_amplitudes = amplitude_map(exponents, modes, self.dt * (rows - (L - 1.0)))
            amplitudes = context[:, -L:][:, rows].reshape(len(context), -1) @ to_amplitudes
            ahead = np.exp(np.multiply.outer(future - self.dt * (rows[-1] - (L - 1)), exponents))
            path[:] = ((amplitudes[:, None] * ahead) @ modes).real
        return paths

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"context_length": 6}, {"rank": 3, "context_length": 4, "n_bags": 5, "random_state": 0}]


def _stack(amplitudes: np.ndarray) -> np.ndarray:
    """Return complex (..., r) as real (..., 2 r)."""
    return np.concatenate([amplitudes.real, amplitudes.imag], axis=-1)


def _flat_windows(X: np.ndarray, length: int) -> np.ndarray:
    W = windows(X, length)
    return W.reshape(len(W), -1)


def _apply_to_windows(X: np.ndarray, length: int, matrix: np.ndarray, block: int = 1024) -> np.ndarray:
    """Return every window of X (n, d), flattened, times matrix (L d, m), without holding all windows."""
    W = windows(X, length)
    return np.concatenate([W[i : i + block].reshape(-1, len(matrix)) @ matrix for i in range(0, len(W), block)])
