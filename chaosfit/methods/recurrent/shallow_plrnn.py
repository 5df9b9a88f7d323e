"""Shallow piecewise-linear recurrent network, trained by generalised teacher forcing."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from chaosfit.methods.recurrent.forcing import ESTIMATORS, GeneralisedForcing, growth_bound
from chaosfit.methods.recurrent.piecewise_linear import PiecewiseLinearNetwork, PiecewiseLinearRNN, diagonal_start
from chaosfit.nn.trainer import Trainer
from chaosfit.validation import Interval, StrOptions, check_states

_COUNT = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


class ShallowPLRNN(PiecewiseLinearRNN):
    r"""Shallow piecewise-linear recurrent network: one hidden layer of rectifiers, as many states as variables.

    z[t+1] = A z[t] + W1 (max(W2 z[t] + h2, 0) - max(W2 z[t], 0)) + h1 with a diagonal A and z the standardised state.
    The bracket lies between 0 and h2 (`clipped`), so \|A\| < 1 bounds every free run; without it the second maximum is
    missing. While it learns on sequences, z[t] is replaced by (1 - alpha) z[t] + alpha x[t]: that keeps the gradients
    of chaotic dynamics bounded and yet lets errors act over many steps.

    Parameters
    ----------
    n_units : int >= 1, default=50
        Rectifiers L. Published: 50 for Lorenz-63, 250 for an electrocardiogram, 512 for an electroencephalogram.
    sequence_length : int >= 1, default=200
        Steps of a training sequence. Published: 200, 50 for an electroencephalogram.
    forcing : float in [0, 1] or str, default="product_upper_bound"
        A constant alpha (published: 0.1 to 0.3), or what bounds the growth of gradients, from which alpha then follows:
        {"product_upper_bound", "batch_maximum", "explog_approx", "arithmetic_mean", "jacobian_upper_bound"}.
    clipped : bool, default=True
    noise : float >= 0, default=0.0
        Deviation of noise that is added to the training sequences, in standard deviations of the data.
    penalty : float >= 0, default=0.0
        Weight of \|\|1 - A\|\|^2 + \|\|W1\|\|^2 + \|\|W2\|\|^2 + \|\|h1\|\|^2 + \|\|h2\|\|^2. Published: 0 to 1e-4.
    trainer : Trainer or None, default=None
        Options of training. None means 5000 steps of RAdam with 32 sequences, from 1e-2 down to 1e-5. Published:
        250 000 steps.
    random_state : int, RandomState or None, default=None
        Seeds initial weights, batches and noise.

    Attributes
    ----------
    map_ : PiecewiseLinearMap
        In standardised coordinates.
    mean_, scale_ : ndarrays of shape (d,)
    alpha_history_ : list of float
        Forcing after each estimate; empty with a constant one.
    history_ : list of dict
        Losses during training.

    Notes
    -----
    A method for the long-run behaviour, attractor and exponents, not for records of short-term skill. Budget decides: a
    run that is too short often gives a limit cycle at the same loss. Lorenz-63 at dt = 0.01 with noise needs 5000 steps
    or more. A signal that is only a part of the state is embedded first; see `DelayEmbedding`. It cannot use known
    inputs.

    Training is fastest with numba installed.

    References
    ----------
    Hess, Monfared, Brenner and Durstewitz, Generalized Teacher Forcing for Learning Chaotic Dynamics, ICML 2023,
    arXiv:2306.04406

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import ShallowPLRNN
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> trainer = Trainer(max_steps=300, learning_rate=2e-2, optimizer="radam", batch_size=16, validation_fraction=0)
    >>> model = ShallowPLRNN(10, sequence_length=20, forcing=0.2, trainer=trainer, random_state=0).fit(X)
    >>> model.forecast(10).shape, model.jacobian(X[:1]).shape, bool(model.score(X) > 0.99)
    ((10, 2), (1, 2, 2), True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_units": [_COUNT],
        "sequence_length": [_COUNT],
        "forcing": [Interval(Real, 0, 1, closed="both"), StrOptions(set(ESTIMATORS))],
        "clipped": ["boolean"],
        "noise": [_NOT_NEGATIVE],
        "penalty": [_NOT_NEGATIVE],
        "trainer": [Trainer, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_units=50,
        sequence_length=200,
        forcing="product_upper_bound",
        clipped=True,
        noise=0.0,
        penalty=0.0,
        trainer=None,
        random_state=None,
    ):
        self.n_units = n_units
        self.sequence_length = sequence_length
        self.forcing = forcing
        self.clipped = clipped
        self.noise = noise
        self.penalty = penalty
        self.trainer = trainer
        self.random_state = random_state

    # ------------------------------------------------------------------ fit
    def _network(self, n_features, n_outputs):
        network = _ShallowNetwork(n_features, n_outputs, self.n_units, self.clipped, self.penalty)
        network.schedule = GeneralisedForcing(self.forcing)
        return network

    def _training_steps(self):
        return self.sequence_length if self._self_supervised else 1  # other targets cannot be fed back

    def _forcing(self, network, data):
        if network.training and data.shape[1] > 1:
            network.schedule.update(lambda: self._growth(network, data))
        return torch.full(data.shape[1:], network.schedule.alpha)

    def _growth(self, network, data) -> float:
        """How fast gradients grow along the data of a batch (B, T, d), per step."""
        F = network.to_map()
        if self.forcing == "jacobian_upper_bound":
            norms = [np.linalg.norm(weights, 2) for weights in (F.V, F.U)]
            return float(np.abs(F.K).max() + norms[0] * norms[1])
        jacobians = F.jacobian(data.reshape(-1, data.shape[2]).double().numpy())
        return growth_bound(jacobians.reshape(*data.shape[:2], *jacobians.shape[1:]), self.forcing)

    def _keep(self, network):
        super()._keep(network)
        self.alpha_history_ = network.schedule.history

    # ------------------------------------------------------------------ use
    def _kept_rows(self):
        return 1

    def _is_markov(self):
        return True

    def _step(self, state, x, u):
        state = self.map_(self._scaled(x))
        return state, self._outputs(state)

    def _observe(self, X, u):
        states = self.map_(self._scaled(X.reshape(-1, X.shape[2]))).reshape(*X.shape[:2], -1)
        return self._outputs(states), states[:, -1]

    def closed_loop(self, states: np.ndarray) -> np.ndarray:
        """Advance states (n, d) by one step, in the units of the data: the learned dynamical system."""
        self._check_autonomous()
        return self._outputs(self.map_(self._scaled(states)))

    def jacobian(self, X) -> np.ndarray:
        """Return the derivatives of the one-step map by the state.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, m, d)
            In the units of the data, as everywhere outside `map_`.
        """
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        return self.map_.jacobian(self._scaled(X)) * (self.target_scale_[:, np.newaxis] / self.scale_)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=250, learning_rate=5e-2, batch_size=32, optimizer="radam", validation_fraction=0)
        small = {"n_units": 8, "sequence_length": 8, "trainer": brief, "random_state": 0}
        return [{**small, "forcing": 0.2}, {**small, "forcing": "arithmetic_mean", "clipped": False, "penalty": 1e-6}]


class _ShallowNetwork(PiecewiseLinearNetwork):
    """Weights as published; A has as many entries as the smaller of numbers of inputs and outputs."""

    schedule: GeneralisedForcing

    def __init__(self, n_features, n_outputs, n_units, clipped, weight):
        super().__init__()
        self.clipped, self.weight = clipped, weight

        def uniform(*shape: int, fan: int) -> nn.Parameter:
            return nn.Parameter((2 * torch.rand(*shape) - 1) / fan**0.5)

        self.A = nn.Parameter(diagonal_start(n_features)[:n_outputs])
        self.W1 = uniform(n_outputs, n_units, fan=n_units)
        self.W2 = uniform(n_units, n_features, fan=n_features)
        self.h1 = nn.Parameter(torch.zeros(n_outputs))
        # Without a threshold the clipped bracket, and every gradient through it, would be zero for ever.
        self.h2 = uniform(n_units, fan=n_units) if clipped else nn.Parameter(torch.zeros(n_units))

    def matrices(self):
        n_outputs, n_features = len(self.h1), self.W2.shape[1]
        K = torch.zeros(n_outputs, n_features, dtype=self.A.dtype)
        K[: len(self.A), : len(self.A)] = self.A.diag()
        W = torch.cat([K, self.h1[:, None], self.W1], 1)
        return W, torch.cat([self.W2, self.h2[:, None]], 1)

    def penalty(self):
        if not self.weight:
            return 0.0
        squares = (1 - self.A).square().sum() + sum(p.square().sum() for p in (self.W1, self.W2, self.h1, self.h2))
        return self.weight * squares
