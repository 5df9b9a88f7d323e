"""A reservoir that corrects an imperfect model."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from chaosfit.methods.reservoir.base import NETWORK_CONSTRAINTS, BaseReservoir
from chaosfit.methods.reservoir.readout import readout_features


class HybridReservoir(BaseReservoir):
    """Echo state network that is given, and reads out, the forecast of an imperfect one-step model.

    r[t] = (1 - a) r[t-1] + a tanh(W r[t-1] + W_in [K(x[t]), x[t]] + b),    x[t+1] = C [phi(r[t]), K(x[t])] + c

    with K the model. Where K is right the readout can use it as it is, and the network corrects the rest. A model
    with a parameter 5 % off and a small network together forecast several times longer than each of them.

    Parameters
    ----------
    model : callable, default=None
        K, one step of the imperfect model: maps states (B, d) to the states (B, d) one sampling interval
        later. Called once per step for the whole batch. None: persistence, K(x) = x.
    n_units : int, default=500
        Number N >= 1 of units. Published: 500 for Lorenz's equations.
    spectral_radius : float, default=0.2
        Largest |eigenvalue| >= 0 of W. Less than without a model, which knows what comes next without memory.
    input_scale, bias_scale, degree, leak_rate, readout, ridge, washout, noise, dtype, random_state
        See `ReservoirComputer`.

    Attributes
    ----------
    network_ : Network
        W (N, N) sparse, W_in (N, 2 d + p + 1) with b as its last column, leak_rate.
    coef_ : ndarray of shape (m, n_features + d)
        C; the last d columns weigh the standardised model forecast.
    intercept_ : ndarray of shape (m,)
    mean_, scale_ : ndarrays of shape (d,)
        What standardises the states and the forecasts of the model.
    memory_length_ : int or None
        See `ReservoirComputer`.

    Raises
    ------
    ValueError
        If the model returns another shape than it was given, or, in `fit` and `predict`, a value that is not finite.

    Notes
    -----
    The model is not fitted or changed, and it must not carry a state of its own. To pickle the estimator, define it
    in a module.

    References
    ----------
    Pathak, Wikner, Fussell, Chandra, Hunt, Girvan and Ott, Chaos 28, 041101 (2018), doi:10.1063/1.5028373,
    arXiv:1803.04779

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import HybridReservoir
    >>> x = [0.3]
    >>> for _ in range(500):
    ...     x.append(3.9 * x[-1] * (1 - x[-1]))
    >>> X = np.array(x)[:, np.newaxis]
    >>> model = HybridReservoir(lambda x: 3.7 * x * (1 - x), n_units=50, random_state=0)
    >>> bool(model.fit(X[:400]).score(X[400:]) > 0.9999)
    True
    """

    _parameter_constraints: ClassVar[dict] = {**NETWORK_CONSTRAINTS, "model": [None, callable]}

    def __init__(
        self,
        model=None,
        n_units=500,
        spectral_radius=0.2,
        input_scale="auto",
        bias_scale=0.5,
        degree=6,
        leak_rate=1.0,
        readout="even",
        ridge=1e-6,
        washout=100,
        noise=0.0,
        dtype="float64",
        random_state=None,
    ):
        self.model = model
        self.n_units = n_units
        self.spectral_radius = spectral_radius
        self.input_scale = input_scale
        self.bias_scale = bias_scale
        self.degree = degree
        self.leak_rate = leak_rate
        self.readout = readout
        self.ridge = ridge
        self.washout = washout
        self.noise = noise
        self.dtype = dtype
        self.random_state = random_state

    def _fit(self, trajectories):
        for t in trajectories:
            self._check_finite(self._run_model(t.X))
        super()._fit(trajectories)

    def _run_model(self, X):
        if self.model is None:
            return X
        # A copy, because a foreign function may work in place.
        forecast = np.asarray(self.model(X.copy()), dtype=np.float64)
        if forecast.shape != X.shape:
            raise ValueError(
                f"model must return an array of the shape of its argument, {X.shape}, got {forecast.shape}."
            )
        return forecast

    def _check_finite(self, values: np.ndarray) -> None:
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f"model returned NaN or infinity for {len(np.unique(bad[:, 0]))} of {len(values)} states, the first "
                f"in row {bad[0, 0]}. Make it finite on the range of the data."
            )

    def _encode(self, X, u):
        """Put the standardised forecast of the model in front: [K(x), x, u, 1]."""
        forecast = (self._run_model(X) - self.mean_) / self.scale_
        return np.hstack([forecast, self._standardise(X, u)])

    def _features(self, r, z):
        return np.concatenate([readout_features(r, self.readout), z[:, : self.n_features_in_].T])

    def _teacher_forced(self, X, u):
        self._check_finite(self._run_model(X))
        return super()._teacher_forced(X, u)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        small = {"n_units": 60, "washout": 2, "ridge": 1e-5, "random_state": 0}
        return [small, {**small, "model": np.sin, "readout": "linear"}]
