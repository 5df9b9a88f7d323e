"""A smooth function of the recent past that passes near all of the training data."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.spatial.distance import cdist

from chaosfit.base import WindowDynamics
from chaosfit.numerics import delay
from chaosfit.validation import Interval, StrOptions

_POSITIVE = Interval(Integral, 1, None, closed="left")


class KernelAutoregression(WindowDynamics):
    r"""Kernel ridge regression of the next states on a delay vector.

    .. math:: x_{t+j} = c_j + \sum_i k(v_t, v_i) W_{ij}, \quad W = (K + ridge \, I)^{-1} (Y - c),
        \quad j = 1 \dots horizon,

    with v[t] = [x[t], x[t-lag], ..., x[t-(n_delays-1) lag]] in standard deviations, K the kernel between all training
    vectors, and distances r relative to length_scale sqrt(dimension of v).

    It is the posterior mean of a Gaussian process with noise variance `ridge`. Where few, accurate data of one
    variable are given, it forecasts longer than polynomials and local models.

    Parameters
    ----------
    n_delays : int, default=1
        Number >= 1 of states in a delay vector; more than needed does no harm here.
    lag : int, default=1
        Samples >= 1 between two of them.
    kernel : {"matern", "gaussian", "inverse_multiquadric"}, default="matern"
        (1 + s + s^2 / 3) exp(-s) with s = sqrt(5) r; exp(-r^2 / 2); 1 / sqrt(1 + r^2). The rougher Matern kernel (two
        derivatives) suits data whose function is not analytic, or not resolved.
    length_scale : float, default=1.0
        Distance > 0 per coordinate over which the function changes.
    ridge : float, default=1e-6
        Penalty > 0: the variance of the noise over that of the function.
    horizon : int, default=1
        Number >= 1 of steps that are predicted at once; more against noise. Not used with targets that are no
        states.
    max_windows : int >= 1 or None, default=None
        Of more delay vectors, so many are taken, spread evenly over the training data. None: all.

    Attributes
    ----------
    library_ : ndarray of shape (n_windows, n_delays * d)
        The delay vectors in standard deviations, newest state first.
    weights_ : ndarray of shape (n_windows, horizon * m)
        W, in the units of the targets.
    intercept_ : ndarray of shape (horizon * m,)
        c, the mean of the targets.
    scale_ : ndarray of shape (d,)

    Notes
    -----
    Fitting takes n^3 / 3 operations and n^2 numbers, a prediction n: beyond 5000 rows use `max_windows`, or
    `LocalAnalogues`. Far from all data it returns the mean, so that it cannot diverge; measured, this makes
    better free runs than to predict the increment.

    It is not a Gaussian process that tunes itself: `AutoDynamics` chooses the parameters by free runs.

    References
    ----------
    Casdagli, Nonlinear prediction of chaotic time series, Physica D 35, 335 (1989), doi:10.1016/0167-2789(89)90074-2
    Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapters 2 and 4

    Examples
    --------
    >>> from chaosfit import Henon, KernelAutoregression
    >>> x = Henon().simulate(300, random_state=0)[:, :1]
    >>> model = KernelAutoregression(n_delays=2, kernel="gaussian", length_scale=2.0, ridge=1e-8).fit(x[:250])
    >>> bool(model.score(x[250:]) > 0.99999)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_delays": [_POSITIVE],
        "lag": [_POSITIVE],
        "kernel": [StrOptions({"matern", "gaussian", "inverse_multiquadric"})],
        "length_scale": [Interval(Real, 0, None, closed="neither")],
        "ridge": [Interval(Real, 0, None, closed="neither")],
        "horizon": [_POSITIVE],
        "max_windows": [_POSITIVE, None],
    }

    def __init__(self, n_delays=1, lag=1, kernel="matern", length_scale=1.0, ridge=1e-6, horizon=1, max_windows=None):
        self.n_delays = n_delays
        self.lag = lag
        self.kernel = kernel
        self.length_scale = length_scale
        self.ridge = ridge
        self.horizon = horizon
        self.max_windows = max_windows

    def _context_length(self):
        return delay.window_span(self.n_delays, self.lag)

    def _block_length(self):
        return self.horizon if self.n_outputs_ == self.n_features_in_ else 1

    def _fit(self, trajectories):
        length, block = self._context_length(), self._block_length()
        span = length + block - 1
        long_enough = [t for t in trajectories if len(t.X) >= span]
        if not long_enough:
            raise ValueError(
                f"KernelAutoregression needs a trajectory with {span} rows that have a target for n_delays="
                f"{self.n_delays}, lag={self.lag} and horizon={self.horizon}, got "
                f"{max(len(t.X) for t in trajectories)} rows."
            )
        scale = np.concatenate([t.X for t in trajectories]).std(axis=0)
        self.scale_ = np.where(scale > 0, scale, 1.0)
        self.library_ = np.concatenate(
            [self._delay_vectors(delay.windows(t.X, length)[: len(t.X) - span + 1]) for t in long_enough]
        )
        targets = np.concatenate([delay.hankel(t.Y[length - 1 :], block) for t in long_enough])
        if self.max_windows is not None and self.max_windows < len(targets):
            kept = np.linspace(0, len(targets) - 1, self.max_windows).astype(int)
            self.library_, targets = self.library_[kept], targets[kept]
        self.intercept_ = targets.mean(axis=0)
        K = self._kernel_matrix(self.library_)
        K.flat[:: len(K) + 1] += self.ridge
        try:
            factor = cho_factor(K, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            raise ValueError(
                f"the kernel matrix plus ridge={self.ridge:g} is singular to working precision; raise ridge or lower "
                f"length_scale={self.length_scale:g}."
            ) from None
        self.weights_ = cho_solve(factor, targets - self.intercept_, check_finite=False)

    def _forward(self, windows, u):
        states = self._kernel_matrix(self._delay_vectors(windows)) @ self.weights_ + self.intercept_
        return states.reshape(len(windows), self._block_length(), -1)

    def _kernel_matrix(self, vectors):
        """Return k between vectors (N, p) and the library, (N, n_windows)."""
        unit = self.length_scale * np.sqrt(vectors.shape[1])
        if self.kernel == "matern":
            r = cdist(vectors, self.library_)
            r *= np.sqrt(5.0) / unit
            return (1.0 + r + r**2 / 3.0) * np.exp(-r)
        q = cdist(vectors, self.library_, "sqeuclidean")
        q /= unit**2
        return np.exp(-0.5 * q) if self.kernel == "gaussian" else 1.0 / np.sqrt(1.0 + q)

    def _delay_vectors(self, windows):
        return (windows[:, :: -self.lag] / self.scale_).reshape(len(windows), -1)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        short = {"n_delays": 2, "lag": 2, "kernel": "gaussian", "ridge": 1e-4, "horizon": 2, "max_windows": 200}
        return [{}, short]
