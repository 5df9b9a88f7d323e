"""Echo state network: a random recurrent network driven by the data, read out linearly."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.utils import TransformerTags
from sklearn.utils.validation import check_is_fitted

from chaosfit.methods.reservoir.base import NETWORK_CONSTRAINTS, BaseReservoir
from chaosfit.methods.reservoir.readout import features_slope, readout_features
from chaosfit.validation import check_inputs, check_states, split_trajectories


class ReservoirComputer(BaseReservoir):
    """Echo state network for forecasting.

    r[t] = (1 - a) r[t-1] + a tanh(W r[t-1] + W_in z[t] + b),    x[t+1] = C phi(r[t]) + c

    with z the standardised state (and known inputs), W sparse and random, a the leak rate. Only C and c are fitted,
    by ridge regression. In a forecast each output is the next input.

    Parameters
    ----------
    n_units : int, default=500
        Number N >= 1 of units. Published: 300 to 1000 for Lorenz's equations, 3000 for 40 variables.
    spectral_radius : float, default=0.4
        Largest |eigenvalue| >= 0 of W. Above 1 the network may fail to forget its initial state. Published: 0.6 to 1.2.
    input_scale : float or "auto", default="auto"
        W_in is uniform in [-input_scale, input_scale]. "auto" is 0.6 / sqrt(number of variables and inputs). More for
        coarse sampling, less for slow systems with rare spikes. Published: 0.1 to 1.
    bias_scale : float, default=0.5
        b is uniform in [-bias_scale, bias_scale].
    degree : int, default=6
        Links per unit, from 1 to n_units.
    leak_rate : float, default=1.0
        a in (0, 1]; less makes the network slower than the sampling.
    readout : {"even", "linear", "full"}, default="even"
        phi: states with every second one squared, states alone, or states and all their squares.
    ridge : float, default=1e-7
        Penalty >= 0 on C, not divided by the number of rows.
    washout : int, default=100
        First rows >= 0 of each trajectory that are not fitted, while the state still remembers its start.
    noise : float, default=0.0
        Standard deviation >= 0 of noise on the standardised inputs, not the targets, in training. Published: 0.01.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the states. "float32" halves the time and changes no valid time that was measured; the sums over
        rows and the readout are float64 in any case.
    random_state : int, RandomState or None, default=None
        Draws network and noise.

    Attributes
    ----------
    network_ : Network
        W (N, N) sparse, W_in (N, d + p + 1) with b as its last column, leak_rate.
    coef_ : ndarray of shape (m, n_features)
        C in the units of the targets.
    intercept_ : ndarray of shape (m,)
        c
    mean_, scale_ : ndarrays of shape (d,)
        What standardises the states.
    memory_length_ : int or None
        Rows after which two different initial states of the network agree; contexts should be as long. None if that
        takes more than half of the training data: then forecasts start from the whole training trajectory.

    Raises
    ------
    ValueError
        If degree > n_units, or washout leaves no row to fit.

    Warns
    -----
    RuntimeWarning
        If the driven network is chaotic by itself (positive conditional Lyapunov exponent).

    Notes
    -----
    Give contexts of at least ten rows: the network must first synchronise with the data. With targets `y` the
    readout is regressed on them instead of the next states.

    It is not trained by gradients, and W is never changed. Weights of the readout are ill-conditioned, so compare
    predictions, not coefficients.

    References
    ----------
    Jaeger and Haas, Science 304, 78 (2004), doi:10.1126/science.1091277
    Pathak, Hunt, Girvan, Lu and Ott, Phys. Rev. Lett. 120, 024102 (2018), doi:10.1103/PhysRevLett.120.024102

    Examples
    --------
    >>> from chaosfit import Lorenz63, ReservoirComputer
    >>> X = Lorenz63().simulate(3000, random_state=0)
    >>> model = ReservoirComputer(n_units=200, random_state=0).fit(X)
    >>> model.forecast(100).shape
    (100, 3)
    """

    _parameter_constraints: ClassVar[dict] = NETWORK_CONSTRAINTS

    def __init__(
        self,
        n_units=500,
        spectral_radius=0.4,
        input_scale="auto",
        bias_scale=0.5,
        degree=6,
        leak_rate=1.0,
        readout="even",
        ridge=1e-7,
        washout=100,
        noise=0.0,
        dtype="float64",
        random_state=None,
    ):
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

    def _encode(self, X, u):
        return self._standardise(X, u)

    def _features(self, r, z):
        return readout_features(r, self.readout)

    def transform(self, X, *, trajectory_id=None, u=None):
        """Return the states of the network along X.

        Parameters
        ----------
        X : array-like of shape (n, d)
        trajectory_id : array-like of shape (n,), optional
        u : array-like of shape (n, p), optional

        Returns
        -------
        ndarray of shape (n, n_units)
            Row t has seen rows up to t of its own trajectory. The first rows still remember the zero state.
        """
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        z = self._encode(X, check_inputs(self, u, len(X), n_inputs=self.n_inputs_))
        return np.concatenate([self._states(z[s]) for s in split_trajectories(len(X), trajectory_id)])

    def fit_transform(self, X, y=None, **fit_params):
        """Fit and return the states of the network along X."""
        return self.fit(X, y, **fit_params).transform(X, **fit_params)

    def closed_loop(self, r: np.ndarray) -> np.ndarray:
        """Advance states r (n_units,) or (B, n_units) of the network by one step on its own output.

        This autonomous map is the learned dynamical system, without known inputs.
        """
        self._check_autonomous()
        states = np.atleast_2d(r).T
        x = (self.coef_ @ readout_features(states, self.readout)).T + self.intercept_
        new = self.network_.step(states, self._encode(x, None).T).T
        return new.reshape(np.shape(r))

    def jacobian(self, r: np.ndarray) -> np.ndarray:
        """Return the derivative (n_units, n_units) of `closed_loop` at a state r (n_units,), or at each of B states.

        Its products along a run give the Lyapunov spectrum of the learned system; see `lyapunov_spectrum`.
        """
        self._check_autonomous()
        if r.ndim == 2:
            return np.stack([self.jacobian(row) for row in r])
        slope = self.coef_ / self.scale_[:, np.newaxis] @ features_slope(r, self.readout)
        x = self.coef_ @ readout_features(r[:, np.newaxis], self.readout)[:, 0] + self.intercept_
        slope = np.vstack([slope, np.zeros((1, len(r)))])  # the constant input
        return self.network_.jacobian(r, self._encode(x[np.newaxis], None)[0], slope)

    def _check_autonomous(self) -> None:
        check_is_fitted(self)
        if self.n_inputs_ or self.n_outputs_ != self.n_features_in_:
            raise ValueError("the closed loop needs a model of the state alone: fit ReservoirComputer without y and u.")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()
        return tags

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        small = {"n_units": 60, "washout": 2, "ridge": 1e-5, "random_state": 0}
        return [small, {**small, "leak_rate": 0.5, "readout": "full"}]
