"""Alike causes have alike effects: a linear model among the nearest past states."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.spatial import KDTree

from chaosfit.base import SamplesMixin, WindowDynamics
from chaosfit.numerics import delay
from chaosfit.validation import Interval

_POSITIVE = Interval(Integral, 1, None, closed="left")

#: Numbers in the neighbourhoods that are treated at once, so that memory stays bounded.
_BLOCK = 2_000_000


class LocalAnalogues(SamplesMixin, WindowDynamics):
    """Locally linear regression among the nearest delay vectors (Lorenz's analogues).

    x[t+1] - x[t] = c + A (v[t] - mean v), v[t] = [x[t], x[t-lag], ..., x[t-(n_delays-1) lag]], with c and A fitted by
    ridge regression to the `n_neighbors` training vectors nearest to v[t], anew for every prediction.

    Parameters
    ----------
    n_delays : int, default=1
        Number >= 1 of states in a delay vector. Use 1 if all variables are observed, else 2 D + 1 for an attractor of
        dimension D.
    lag : int, default=1
        Samples >= 1 between two of them.
    n_neighbors : int, default=20
        Number >= 1 of analogues; more against noise, fewer against curvature. All if there are fewer.
    ridge : float, default=1e-4
        Penalty >= 0 on A, relative to the mean variance of the neighbours' coordinates. The limit of a large
        ridge is Lorenz's method, the mean of what followed the analogues.
    random_state : int, RandomState or None, default=None
        Draws the residuals of `forecast_samples`.

    Attributes
    ----------
    library_ : ndarray of shape (n_windows, n_delays * d)
        The delay vectors, newest state first.
    targets_ : ndarray of shape (n_windows, m)
        What followed, or the targets `y`; the increment if the target is a state.

    Notes
    -----
    `forecast_samples` adds at every step the residual of a random neighbour from the local model, so that the spread
    reflects how well the analogues agree.

    The error falls with the number n of training rows as n^(-2/D). It is not a global model: nothing is learned
    beyond the convex hull of the data.

    References
    ----------
    Lorenz, J. Atmos. Sci. 26, 636 (1969), doi:10.1175/1520-0469(1969)26<636:APARBN>2.0.CO;2
    Farmer and Sidorowich, Phys. Rev. Lett. 59, 845 (1987), doi:10.1103/PhysRevLett.59.845

    Examples
    --------
    >>> from chaosfit import Henon, LocalAnalogues
    >>> X = Henon().simulate(2000, random_state=0)
    >>> bool(LocalAnalogues().fit(X[:1500]).score(X[1500:]) > 0.9999)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_delays": [_POSITIVE],
        "lag": [_POSITIVE],
        "n_neighbors": [_POSITIVE],
        "ridge": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, n_delays=1, lag=1, n_neighbors=20, ridge=1e-4, random_state=None):
        self.n_delays = n_delays
        self.lag = lag
        self.n_neighbors = n_neighbors
        self.ridge = ridge
        self.random_state = random_state

    def _context_length(self):
        return delay.window_span(self.n_delays, self.lag)

    def _fit(self, trajectories):
        windows, targets, _ = self._training_windows(trajectories)
        self.library_ = self._delay_vectors(windows)
        self.targets_ = targets - self._present(windows)
        scale = self.library_.std(axis=0)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._tree = KDTree(self.library_ / self._scale)

    def _forward(self, windows, u):
        return self._local_model(windows)[0]

    def _sample_run(self, context, n_steps, n_samples, rng, u):
        length = self._context_length()
        window = np.tile(context[:, -length:], (n_samples, 1, 1))
        paths = np.empty((len(window), n_steps, window.shape[2]))
        for step in range(n_steps):
            mean, residuals = self._local_model(window)
            drawn = rng.randint(residuals.shape[1], size=len(window))
            state = mean[:, 0] + residuals[np.arange(len(window)), drawn]
            # A member that has left the range goes on from its context, so that the tree meets no infinities.
            lost = ~(np.abs(state).max(axis=1) <= self.bound_)
            paths[:, step] = np.where(lost[:, np.newaxis], np.nan, state)
            state[lost] = window[lost, -1]
            window = np.concatenate([window[:, 1:], state[:, np.newaxis]], axis=1)
        return paths.reshape(n_samples, len(context), n_steps, -1)

    def _local_model(self, windows):
        """Return the predictions (N, 1, m) and the residuals (N, k, m) of the neighbours for windows (N, L, d)."""
        queries = self._delay_vectors(windows) / self._scale
        n_neighbors = min(self.n_neighbors, len(self.library_))
        size = max(1, _BLOCK // (n_neighbors * queries.shape[1]))
        parts = [self._fit_neighbours(queries[i : i + size], n_neighbors) for i in range(0, len(queries), size)]
        predictions, residuals = (np.concatenate(part) for part in zip(*parts, strict=True))
        return (predictions + self._present(windows))[:, np.newaxis], residuals

    def _fit_neighbours(self, queries, n_neighbors):
        near = self._tree.query(queries, k=np.arange(1, n_neighbors + 1))[1]
        return _local_ridge(self._tree.data[near], self.targets_[near], queries, self.ridge)

    def _delay_vectors(self, windows):
        return windows[:, :: -self.lag].reshape(len(windows), -1)

    def _present(self, windows):
        """What a target is measured from: the present state if it is a state, else zero."""
        return windows[:, -1] if self.n_outputs_ == self.n_features_in_ else 0.0

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        return [{"random_state": 0}, {"n_delays": 2, "lag": 2, "n_neighbors": 10, "random_state": 0}]


def _local_ridge(V: np.ndarray, Y: np.ndarray, query: np.ndarray, ridge: float):
    """Fit one linear model per query to its neighbours.

    Parameters
    ----------
    V : array (N, k, p) of neighbours
    Y : array (N, k, m) of their targets
    query : array (N, p)
    ridge : float

    Returns
    -------
    predictions (N, m) and residuals of the neighbours (N, k, m)
    """
    V_mean, Y_mean = V.mean(axis=1, keepdims=True), Y.mean(axis=1, keepdims=True)
    V, Y, offset = V - V_mean, Y - Y_mean, query[:, np.newaxis] - V_mean
    V_T = V.transpose(0, 2, 1)
    few_neighbours = V.shape[1] < V.shape[2]  # then their inner products are the smaller matrix, with the same result
    G = V @ V_T if few_neighbours else V_T @ V
    # The floor keeps the system regular where all neighbours coincide.
    penalty = (ridge + 1e-13) * np.trace(G, axis1=1, axis2=2) / V.shape[2] + np.finfo(float).tiny
    G += penalty[:, np.newaxis, np.newaxis] * np.eye(G.shape[1])
    if few_neighbours:
        dual = np.linalg.solve(G, Y)
        return (Y_mean + (offset @ V_T) @ dual)[:, 0], penalty[:, np.newaxis, np.newaxis] * dual
    A = np.linalg.solve(G, V_T @ Y)
    return (Y_mean + offset @ A)[:, 0], Y - V @ A
