"""Dynamic mode decomposition of delay vectors."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.methods.koopman.lifted import LiftedDynamics, galerkin
from chaosfit.validation import Interval, StrOptions

__all__ = ["HankelDMD"]

_POSITIVE = Interval(Integral, 1, None, closed="left")


class HankelDMD(LiftedDynamics):
    r"""Linear map between delay vectors, restricted to their leading singular directions.

    .. math:: h_t = (x_t, x_{t-lag}, \ldots) \approx z_t T^+, \qquad z_{t+1} \approx z_t K,
              \qquad x_{t+1} \approx z_t D

    Parameters
    ----------
    n_delays : int >= 1, default=10
        Samples per delay vector, q.
    rank : int >= 1 or "auto", default="auto"
        Singular directions kept, r. "auto" takes those ten times above the noise floor.
    lag : int >= 1, default=1
        Samples between two delays.
    dt : float > 0, default=1.0
        Time between rows, for `continuous_eigenvalues_`.

    Attributes
    ----------
    rank_ : int, r
    singular_values_ : ndarray of shape (q d,)
        Of the Hankel matrix of the training data.
    operator_ : ndarray of shape (r, r)
    eigenvalues_, continuous_eigenvalues_ : ndarray of shape (r,), complex
        lambda, by falling absolute value, and log(lambda) / dt.
    residuals_ : ndarray of shape (r,)
        |g(F(x)) - lambda g(x)| / |g| of each eigenfunction g.
    modes_ : ndarray of shape (r, d), complex

    Notes
    -----
    For periodic and quasi-periodic signals. A linear model of delays follows chaos for some tenths of a
    Lyapunov time only, and noise damps its eigenvalues: `OptDMD` is not biased that way.

    References
    ----------
    Arbabi, Mezic, SIAM J. Appl. Dyn. Syst. 16, 2096 (2017), doi:10.1137/17M1125236; Tu et al., J. Comput.
    Dyn. 1, 391 (2014), arXiv:1312.0041.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.koopman.hankel_dmd import HankelDMD
    >>> t = 0.1 * np.arange(200)
    >>> X = (np.sin(t) + np.sin(np.sqrt(2) * t))[:, None]
    >>> model = HankelDMD(n_delays=20, dt=0.1).fit(X)
    >>> np.sort(model.continuous_eigenvalues_.imag).round(4)
    array([-1.4142, -1.    ,  1.    ,  1.4142])
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_delays": [_POSITIVE],
        "rank": [_POSITIVE, StrOptions({"auto"})],
        "lag": [_POSITIVE],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, n_delays=10, rank="auto", lag=1, dt=1.0):
        self.n_delays = n_delays
        self.rank = rank
        self.lag = lag
        self.dt = dt

    def _dictionary(self):
        return DelayEmbedding(n_delays=self.n_delays, lag=self.lag)

    def _galerkin(self, PX, PY):
        # Other targets than the next state are regressed on all delays: nothing is iterated there.
        rank = self.rank if self.n_outputs_ == self.n_features_in_ else None
        model, Q = galerkin(PX, PY, rank=rank, scale=False)
        self.rank_ = len(model.matrix)
        return model, Q

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"n_delays": 4}, {"n_delays": 2, "rank": 3, "lag": 3}]
