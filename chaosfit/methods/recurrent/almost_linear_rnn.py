"""Recurrent network that is linear but for a few rectifiers: a switching linear system one can read."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from chaosfit.methods.recurrent.piecewise_linear import PiecewiseLinearNetwork, PiecewiseLinearRNN, diagonal_start
from chaosfit.nn.trainer import Trainer
from chaosfit.validation import Interval, check_states, split_trajectories

_COUNT = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


class AlmostLinearRNN(PiecewiseLinearRNN):
    r"""Almost-linear recurrent network: M units, of which only the last P are rectified.

    z[t+1] = A z[t] + W (z_1, ..., z_{M-P}, max(z_{M-P+1}, 0), ..., max(z_M, 0)) + h with a diagonal A; the first d
    units are the standardised state that is observed, the others start at L z_{1..d}. The signs of the P units name at
    most 2^P regions, in each of which the map is affine; usually a handful is visited. While it learns on sequences,
    the observed units are overwritten by the data at every tau-th step.

    Parameters
    ----------
    n_states : int >= d, default=20
        Units M. Published: 20 in three dimensions, 50 to 100 for real data.
    n_rectified : int in 0..n_states, default=10
        Units P that are rectified. Published: 2 for Lorenz-63, 1 for Roessler, the fewest with which a model can be
        right; many more steps and several `random_state` are then needed. With 10, every run succeeds.
    forcing_interval : int >= 1, default=16
        Steps tau. Published: 16 for Lorenz-63 at dt = 0.01, 10 for an electrocardiogram.
    sequence_length : int >= 1, default=200
        Steps of a training sequence. Published: 200, 50 for an electrocardiogram.
    noise : float >= 0, default=0.0
        Deviation of noise that is added to the training sequences, in standard deviations of the data. Published: 0.05.
    trainer : Trainer or None, default=None
        Options of training. None means 5000 steps of RAdam with 32 sequences, from 1e-2 down to 1e-5. Published:
        100 000 steps.
    random_state : int, RandomState or None, default=None
        Seeds initial weights, batches and noise.

    Attributes
    ----------
    map_ : PiecewiseLinearMap
        In standardised coordinates.
    start_ : ndarray of shape (M - d, d)
        L, from the standardised state to the units that are not observed.
    mean_, scale_ : ndarrays of shape (d,)
    history_ : list of dict
        Losses during training.

    Notes
    -----
    A method to understand an attractor, not to forecast it: a polynomial map is better at that by far. One-step and
    twenty-step errors do not tell a chaotic model from one that settles on a cycle; compare `state_space_divergence` of
    free runs. It cannot use known inputs. Training is fastest with numba installed.

    References
    ----------
    Brenner, Hemmer, Monfared and Durstewitz, Almost-Linear RNNs Yield Highly Interpretable Symbolic Codes in Dynamical
    Systems Reconstruction, NeurIPS 2024, arXiv:2410.14240

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import AlmostLinearRNN
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> trainer = Trainer(max_steps=200, learning_rate=2e-2, optimizer="radam", batch_size=16, validation_fraction=0)
    >>> model = AlmostLinearRNN(6, 2, sequence_length=20, trainer=trainer, random_state=0).fit(X)
    >>> model.forecast(10).shape, model.symbols(X).shape, bool(model.score(X) > 0.9)
    ((10, 2), (300,), True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_states": [_COUNT],
        "n_rectified": [Interval(Integral, 0, None, closed="left")],
        "forcing_interval": [_COUNT],
        "sequence_length": [_COUNT],
        "noise": [_NOT_NEGATIVE],
        "trainer": [Trainer, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_states=20,
        n_rectified=10,
        forcing_interval=16,
        sequence_length=200,
        noise=0.0,
        trainer=None,
        random_state=None,
    ):
        self.n_states = n_states
        self.n_rectified = n_rectified
        self.forcing_interval = forcing_interval
        self.sequence_length = sequence_length
        self.noise = noise
        self.trainer = trainer
        self.random_state = random_state

    # ------------------------------------------------------------------ fit
    def _network(self, n_features, n_outputs):
        if self.n_states < max(n_features, n_outputs):
            raise ValueError(
                f"n_states must be at least {max(n_features, n_outputs)}, the number of variables that are seen and "
                f"predicted, got {self.n_states}."
            )
        if self.n_rectified > self.n_states:
            raise ValueError(f"n_rectified must be at most n_states={self.n_states}, got {self.n_rectified}.")
        return _AlmostLinearNetwork(n_features, self.n_states, self.n_rectified)

    def _forcing(self, network, data):
        steps = torch.arange(data.shape[1])
        # Targets that are not the next states cannot stand in for them: then data force every step.
        forced = steps % (self.forcing_interval if self._self_supervised else 1) == 0
        return forced[:, None].expand(data.shape[1:]).to(data.dtype)

    def _keep(self, network):
        super()._keep(network)
        self.start_ = network.L.detach().double().numpy()

    # ------------------------------------------------------------------ use
    def _step(self, state, x, u):
        state = self.map_(self._overwritten(state, self._scaled(x)))
        return state, self._outputs(state)

    def _overwritten(self, state, z):
        """States (B, M) with the observed part z (B, d); before the first row the others follow from z."""
        d = z.shape[1]
        hidden = np.where(np.isnan(state[:, d:]), z @ self.start_.T, state[:, d:])
        return np.concatenate([z, hidden], axis=1)

    def closed_loop(self, states: np.ndarray) -> np.ndarray:
        """Advance states (n, M) of all units, in standardised coordinates: the learned dynamical system."""
        self._check_autonomous()
        return self.map_(states)

    def jacobian(self, states: np.ndarray) -> np.ndarray:
        """Return the derivatives (n, M, M) of `closed_loop` at states (n, M) of all units."""
        self._check_autonomous()
        return self.map_.jacobian(states)

    def states(self, X, *, trajectory_id=None) -> np.ndarray:
        """Return the states (n, M) of all units along X (n, d), in standardised coordinates."""
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        parts = []
        for rows in split_trajectories(len(X), trajectory_id):
            state = self._start(1)
            for x in self._scaled(X[rows])[:, np.newaxis]:
                parts.append(self._overwritten(state, x))
                state = self.map_(parts[-1])
        return np.concatenate(parts)

    def symbols(self, X=None, *, n_steps: int = 10_000, transient: int = 1000, trajectory_id=None) -> np.ndarray:
        """Return the regions that the data or a free run visit, as numbers; see `chaosfit.symbolic_dynamics`.

        Parameters
        ----------
        X : array-like of shape (n, d), optional
            Data to be encoded. Default: a free run from the end of the training data.
        n_steps, transient : int
            Length of the free run, and of its beginning that is dropped.
        trajectory_id : array-like of shape (n,), optional

        Returns
        -------
        ndarray of int of shape (n,) or (n_steps,)
            Bit i is set where rectified unit i is positive. A free run that is lost ends early.
        """
        if self.n_rectified > 62:
            raise ValueError(f"symbols need at most 62 rectified units, got n_rectified={self.n_rectified}.")
        if X is None:
            self._check_autonomous()
            states = self._orbit(transient + n_steps)[transient:]
        else:
            states = self.states(X, trajectory_id=trajectory_id)
        return self.map_.region(states) @ (1 << np.arange(self.n_rectified, dtype=np.int64))

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=250, learning_rate=5e-2, batch_size=32, optimizer="radam", validation_fraction=0)
        small = {"n_states": 12, "sequence_length": 8, "forcing_interval": 2, "trainer": brief, "random_state": 0}
        return [{**small, "n_rectified": 2}, {**small, "n_rectified": 0, "noise": 1e-3}]


class _AlmostLinearNetwork(PiecewiseLinearNetwork):
    """The rectified units are the last of all states, so the weights to them are a part of W."""

    def __init__(self, n_features, n_states, n_rectified):
        super().__init__()
        self.n_linear = n_states - n_rectified
        self.A = nn.Parameter(diagonal_start(n_states))
        self.W = nn.Parameter(0.01 * torch.randn(n_states, n_states))
        self.h = nn.Parameter(torch.zeros(n_states))
        self.L = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_states - n_features, n_features)))

    def matrices(self):
        n_states = len(self.h)
        linear = torch.arange(n_states) < self.n_linear
        W = torch.cat([self.A.diag() + self.W * linear, self.h[:, None], self.W[:, self.n_linear :]], 1)
        return W, torch.eye(n_states, n_states + 1, dtype=W.dtype)[self.n_linear :]

    def start(self, first):
        return torch.cat([first, first @ self.L.T], 1)
