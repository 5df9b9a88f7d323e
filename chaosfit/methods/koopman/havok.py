"""Hankel alternative view of Koopman: chaos as a linear system that is forced now and then."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import linalg
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from chaosfit.base import StepDynamics
from chaosfit.methods.koopman.forced_linear import (
    AR_ORDER,
    autoregression,
    bursts,
    closing_rank,
    derivatives,
    first_order_hold,
    shifted_derivatives,
)
from chaosfit.methods.koopman.lifted import noise_rank, tall_svd
from chaosfit.methods.koopman.plots import plot_singular_values
from chaosfit.numerics.delay import average_windows, hankel, window_span
from chaosfit.validation import Interval, StrOptions, check_states

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HAVOK"]

_POSITIVE = Interval(Integral, 1, None, closed="left")
_NOISY = 0.7  # R2 below which a coordinate counts as not modelled


class HAVOK(TransformerMixin, StepDynamics):
    r"""A linear ODE in the leading delay modes of a series, driven by the last mode.

    .. math:: H = U S V^T, \qquad \dot v = A v + B f, \qquad v = (v_1 \ldots v_{r-c}), \; f = (v_{r-c+1} \ldots v_r)

    The forcing f rests most of the time and bursts before the system switches its course.

    Parameters
    ----------
    n_delays : int >= 1, default=100
        Samples per window, q. The published choice for Lorenz at dt = 0.001; keep q dt near 0.1.
    rank : int > n_forcing or "auto", default="auto"
        Coordinates r, forcing included. Published for Lorenz: 11 and 15. "auto" keeps the singular values
        ten times above the noise floor, and fewer where the linear model of those does not close.
    lag : int >= 1, default=1
        Samples between two delays.
    n_forcing : int >= 1, default=1
        Trailing coordinates c that are not modelled but force the others.
    dt : float > 0, default=1.0
        Time between rows.
    structured : bool, default=False
        Take derivatives from the SVDs of the first and the last windows (sHAVOK): a more antisymmetric A
        from short series at rank 5; at rank 9 and above its first-order differences do more harm.
    event_share : float in (0, 1), default=0.1
        Share p of the training data during which the forcing counts as active.
    forcing_model : {"zero", "ar"}, default="zero"
        What a forecast assumes of the future forcing: rest, or a linear autoregression of order 10.

    Attributes
    ----------
    rank_ : int
    A_ : ndarray of shape (r - c, r - c), B_ : ndarray of shape (r - c, c)
    fit_scores_ : ndarray of shape (r,)
        R2 of the regression of each derivative; the last is low, which is why it is a forcing.
    eigenvalues_ : ndarray of shape (r - c,), complex
        Of A, per unit of time. Positive real parts grow in long simulations.
    singular_values_ : ndarray of shape (q d,)
    components_ : ndarray of shape (q d, r)
        U, the delay modes, newest window row last; the largest entry of each is positive.
    threshold_ : float
        The forcing is active above this size.

    Notes
    -----
    This is not an autonomous forecaster: without its forcing the model follows the present lobe of Lorenz
    and the forecast is worthless after some tenths of a Lyapunov time. What it gives is a decomposition
    and an early warning, `events`, which on Lorenz is little better than watching |x|. Noise of 1e-6 ruins
    rank 11 and above. Coordinates are stamped with the end of their window, so nothing looks ahead.

    References
    ----------
    Brunton, Brunton, Proctor, Kaiser, Kutz, Nat. Commun. 8, 19 (2017), arXiv:1608.05306; Hirsh et al.,
    Proc. R. Soc. A 477, 20210097 (2021), arXiv:2101.07344.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.havok import HAVOK
    >>> t = 0.01 * np.arange(2000)
    >>> X = (np.sin(t) + np.sin(np.sqrt(2) * t))[:, None]
    >>> model = HAVOK(n_delays=50, rank=4, dt=0.01).fit(X)
    >>> model.A_.shape, model.transform(X).shape
    ((3, 3), (2000, 4))
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_delays": [_POSITIVE],
        "rank": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "lag": [_POSITIVE],
        "n_forcing": [_POSITIVE],
        "dt": [Interval(Real, 0, None, closed="neither")],
        "structured": ["boolean"],
        "event_share": [Interval(Real, 0, 1, closed="neither")],
        "forcing_model": [StrOptions({"zero", "ar"})],
    }

    def __init__(
        self,
        n_delays=100,
        rank="auto",
        lag=1,
        n_forcing=1,
        dt=1.0,
        structured=False,
        event_share=0.1,
        forcing_model="zero",
    ):
        self.n_delays = n_delays
        self.rank = rank
        self.lag = lag
        self.n_forcing = n_forcing
        self.dt = dt
        self.structured = structured
        self.event_share = event_share
        self.forcing_model = forcing_model

    def _context_length(self):
        return window_span(self.n_delays, self.lag)

    def _kept_rows(self):
        return self._context_length() + AR_ORDER

    def _is_markov(self):
        return self._context_length() == 1

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # a few delay modes are no basis for arbitrary targets
        return tags

    # ------------------------------------------------------------------ fit
    def _fit(self, trajectories):
        span = self._context_length()
        lengths = [len(t.states) - span + 1 for t in trajectories]
        H = np.concatenate([hankel(t.states, self.n_delays, self.lag) for t in trajectories])
        V, s, Ut = tall_svd(H, lambda s: self._largest_rank(s, len(H)))
        self.singular_values_ = s
        self.rank_ = r = self._closing_rank(V, lengths)
        self.components_ = np.ascontiguousarray(Ut[:r].T)
        self._inverse = np.divide(1.0, s[:r], out=np.zeros(r), where=s[:r] > 0)
        parts = np.split(V[:, :r], np.cumsum(lengths)[:-1])
        self._fit_model(*(shifted_derivatives(H, parts, self.dt) if self.structured else derivatives(parts, self.dt)))
        forcings = [part[:, r - self.n_forcing :] for part in parts]
        size = np.abs(np.concatenate(forcings)).max(axis=1)
        self.threshold_ = float(np.quantile(size, 1 - self.event_share))
        self._forcing_weights = autoregression(forcings)
        features = np.concatenate([p[: len(t.Y) - span + 1] for p, t in zip(parts, trajectories, strict=True)])
        targets = np.concatenate([t.Y[span - 1 :] for t in trajectories])
        self._readout = np.linalg.lstsq(features, targets, rcond=None)[0]

    def _fit_model(self, rates: np.ndarray, rows: np.ndarray) -> None:
        """Regress the rates of all coordinates on the coordinates; keep the part that is modelled."""
        model = np.linalg.lstsq(rows, rates, rcond=None)[0].T  # (r, r): v' = model v
        n = len(model) - self.n_forcing
        total = np.sum((rates - rates.mean(axis=0)) ** 2, axis=0)
        missed = np.sum((rates - rows @ model.T) ** 2, axis=0)
        self.fit_scores_ = 1 - np.divide(missed, total, out=np.zeros_like(total), where=total > 0)
        self.A_, self.B_ = model[:n, :n].copy(), model[:n, n:].copy()
        self.eigenvalues_ = linalg.eigvals(self.A_)
        self._hold = first_order_hold(self.A_, self.B_, self.dt)
        if self._self_supervised and self.fit_scores_[:n].min() < _NOISY:
            warnings.warn(
                f"HAVOK: the derivative of coordinate {self.fit_scores_[:n].argmin() + 1} of {n} is mostly noise "
                f"(R2 {self.fit_scores_[:n].min():.2f}); reduce rank, smooth the series, or choose n_delays dt "
                "nearer to a tenth of its fastest period",
                UserWarning,
                stacklevel=4,
            )

    def _largest_rank(self, s: np.ndarray, n_windows: int) -> int:
        """Return the rank that was asked for, or the largest that the noise allows."""
        c = self.n_forcing
        largest = min(len(s), n_windows - 5)  # the regression needs rows left after differentiation
        if largest <= c or (self.rank != "auto" and self.rank > largest):
            wanted = c + 1 if self.rank == "auto" else self.rank
            raise ValueError(
                f"rank={wanted} needs n_delays * n_variables >= {wanted} and at least "
                f"{self._context_length() + wanted + 4} samples, got {len(s)} delay modes of {n_windows} windows; "
                "change rank or n_delays"
            )
        if self.rank == "auto":
            # Other targets than the next state are regressed on every direction: nothing is iterated there.
            kept = noise_rank(s) if self.n_outputs_ == self.n_features_in_ else int(np.sum(s > 1e-12 * s[0]))
            return max(c + 1, min(kept, largest))
        if self.rank <= c:
            raise ValueError(f"rank must exceed n_forcing={c}, got rank={self.rank}")
        if s[self.rank - 1] <= 1e-15 * s[0]:
            numerical = int(np.sum(s > 1e-15 * s[0]))
            raise ValueError(f"the series has numerical rank {numerical}, below rank={self.rank}; reduce rank")
        return self.rank

    def _closing_rank(self, V: np.ndarray, lengths: list[int]) -> int:
        """Return how many of the coordinates V to keep: "auto" drops those whose linear model does not close."""
        if self.rank != "auto" or self.n_outputs_ != self.n_features_in_:
            return V.shape[1]
        return closing_rank(*derivatives(np.split(V, np.cumsum(lengths)[:-1]), self.dt), self.n_forcing)

    # ------------------------------------------------------------------ coordinates
    def _coordinates(self, X: np.ndarray) -> np.ndarray:
        """Delay coordinates (n, r) of X (n, d), stamped with the end of the window; the start is padded."""
        padded = np.concatenate([np.repeat(X[:1], self._context_length() - 1, axis=0), X])
        H = hankel(padded, self.n_delays, self.lag)
        projection = self.components_ * self._inverse
        # A Hankel view has overlapping rows, which BLAS cannot take: copy it piece by piece.
        return np.concatenate([np.ascontiguousarray(H[i : i + 4096]) @ projection for i in range(0, len(X), 4096)])

    def transform(self, X) -> np.ndarray:
        """Return the delay coordinates of a series in the modes of the training data.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, r)
            Row t belongs to the window that ends at t; the first (q - 1) lag rows repeat the first
            sample. The scale is that of the training data, where each column has norm one.
        """
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        return self._coordinates(X)

    def inverse_transform(self, V) -> np.ndarray:
        """Return the series (n, d) of coordinates (n, r), each sample the mean over its windows."""
        check_is_fitted(self)
        V = np.asarray(V, dtype=np.float64)
        if V.ndim != 2 or V.shape[1] != self.rank_:
            raise ValueError(f"expected coordinates of shape (n, {self.rank_}), got shape {V.shape}")
        H = (V * self.singular_values_[: self.rank_]) @ self.components_.T
        return average_windows(H, self.n_delays, self.lag)[self._context_length() - 1 :]

    def forcing(self, X) -> np.ndarray:
        """Return the forcing (n, c) along a series: the last c coordinates."""
        return np.asarray(self.transform(X))[:, self.rank_ - self.n_forcing :]

    def active(self, X) -> np.ndarray:
        """Return when the forcing exceeds `threshold_`, (n,) bool, known at each t from X[: t + 1].

        The first (q - 1) lag rows lack history and count as at rest.
        """
        active = np.abs(self.forcing(X)).max(axis=1) > self.threshold_
        active[: self._context_length() - 1] = False
        return active

    def events(self, X, min_gap: int = 1) -> np.ndarray:
        """Return first and last row of each burst of the forcing, (k, 2), bursts within `min_gap` merged."""
        return bursts(self.active(X), min_gap)

    def simulate(self, forcing, v0) -> np.ndarray:
        """Integrate v' = A v + B f exactly for a forcing that is linear between samples.

        Parameters
        ----------
        forcing : array-like of shape (n, c) or (n,)
        v0 : array-like of shape (r - c,)

        Returns
        -------
        ndarray of shape (n, r - c), the first row v0
        """
        check_is_fitted(self)
        f = np.asarray(forcing, dtype=np.float64)
        f = f[:, None] if f.ndim == 1 else f
        v0 = np.asarray(v0, dtype=np.float64)
        if f.ndim != 2 or f.shape[1] != self.n_forcing or v0.shape != (len(self.A_),):
            raise ValueError(
                f"expected forcing (n, {self.n_forcing}) and v0 ({len(self.A_)},), got {f.shape} and {v0.shape}"
            )
        P, Q0, Q1 = self._hold
        drive = f[:-1] @ Q0.T + f[1:] @ Q1.T
        path = np.empty((len(f), len(v0)))
        path[0] = v0
        for k in range(len(f) - 1):
            path[k + 1] = P @ path[k] + drive[k]
        return path

    def coordinate_equations(self, precision: int = 3) -> list[str]:
        """Return the linear ODE as r - c lines of text, terms below one per mille of the largest left out."""
        check_is_fitted(self)
        model = np.hstack([self.A_, self.B_])
        small = 1e-3 * np.abs(model).max()
        names = [f"v{j + 1}" for j in range(self.rank_)]
        lines = []
        for name, row in zip(names, model, strict=False):
            terms = [f"{row[j]:.{precision}g} {names[j]}" for j in np.flatnonzero(np.abs(row) > small)]
            lines.append(f"d{name}/dt = {' + '.join(terms) or '0'}".replace("+ -", "- "))
        return lines

    # ------------------------------------------------------------------ engine
    def _start(self, n_batch):
        return None

    def _step(self, state, x, u):
        outputs, state = self._observe(x[:, None], u)
        return state, outputs[:, 0]

    def _observe(self, X, u):
        V = np.stack([self._coordinates(x) for x in X])
        split = self.rank_ - self.n_forcing
        recent = V[:, -len(self._forcing_weights) // self.n_forcing :, split:]
        return V @ self._readout, (V[:, -1, :split], recent)

    def _free_step(self, state, y, u):
        v, recent = state
        P, Q0, Q1 = self._hold
        following = np.zeros_like(recent[:, -1])
        if self.forcing_model == "ar":
            following = recent[:, ::-1].reshape(len(v), -1) @ self._forcing_weights
        v = v @ P.T + recent[:, -1] @ Q0.T + following @ Q1.T
        recent = np.concatenate([recent[:, 1:], following[:, None]], axis=1)
        return (v, recent), np.hstack([v, following]) @ self._readout

    # ------------------------------------------------------------------ pictures
    def plot_spectrum(self, ax: Axes | None = None) -> Axes:
        """Draw the singular values of the Hankel matrix and the rank kept; return the axes."""
        return plot_singular_values(self.singular_values_, self.rank_, ax)

    def plot_forcing(self, X, ax: Axes | None = None) -> Axes:
        """Draw the first coordinate along X, the forcing below it, bursts shaded; return the axes."""
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(8, 3))[1] if ax is None else ax
        start = self._context_length() - 1  # rows before lack history
        V = np.asarray(self.transform(X))
        time = self.dt * np.arange(len(V))
        first, forcing = V[:, 0], V[:, self.rank_ - self.n_forcing]
        for offset, series, label in ((0, first, "first coordinate"), (-2, forcing, "forcing")):
            shape = series[start:] / np.abs(series[start:]).max(initial=1e-300)
            ax.plot(time[start:], offset + shape, linewidth=0.8, label=label)
        for begin, end in self.events(X):
            ax.axvspan(time[begin], time[end], color="tab:red", alpha=0.2, linewidth=0)
        ax.set(xlabel="time", yticks=[])
        ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        return ax

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"n_delays": 4}, {"n_delays": 3, "structured": True, "forcing_model": "ar"}]
