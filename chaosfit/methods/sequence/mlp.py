"""Multilayer perceptron on a window."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from chaosfit.nn.forecaster import NeuralForecaster
from chaosfit.nn.layers import perceptron
from chaosfit.nn.trainer import Trainer


class MLP(NeuralForecaster):
    """Multilayer perceptron from a window of states to the block of states that follows it.

    x[t+j] = x[t] + s_j * W_n silu(... silu(W_1 [x[t-L+1], ..., x[t], u[t], ..., u[t+k-1]])), j = 1 .. k,
    with s_j the deviation of the increment over j steps. Longer forecasts feed the block back.

    Parameters
    ----------
    context_length : int >= 1, default=30
        Rows L that the network sees.
    horizon : int >= 1, default=5
        Rows k that one evaluation predicts.
    hidden : tuple of int >= 1, default=(256, 256)
        Units of the hidden layers.
    trainer : Trainer or None, default=None
        Options of training; None means `Trainer()`.
    random_state : int, RandomState or None, default=None
        Seeds initial weights and batches.

    Attributes
    ----------
    network_ : torch.nn.Module
        (B, L, d) scaled -> (B, k, m) scaled.
    history_ : list of dict
        Losses during training.

    Notes
    -----
    It is not a recurrent network and does not extrapolate: outside the training data the forecast may diverge.

    References
    ----------
    Hornik, Stinchcombe and White, Neural Networks 2, 359 (1989), doi:10.1016/0893-6080(89)90020-8

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.mlp import MLP
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> model = MLP(context_length=3, horizon=1, trainer=Trainer(max_steps=200), random_state=0).fit(X)
    >>> model.forecast(10).shape, bool(model.score(X) > 0.99)
    ((10, 2), True)
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {**NeuralForecaster._parameter_constraints, "hidden": [tuple, list]}

    def __init__(self, context_length=30, horizon=5, hidden=(256, 256), trainer=None, random_state=None):
        self.context_length = context_length
        self.horizon = horizon
        self.hidden = hidden
        self.trainer = trainer
        self.random_state = random_state

    def _network(self, n_features, n_outputs, n_inputs):
        n_first = self.context_length * n_features + self.horizon * n_inputs
        return _Flat(perceptron([n_first, *self.hidden, self.horizon * n_outputs]), self.horizon)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=150, learning_rate=1e-2, batch_size=64)
        return [
            {"context_length": 1, "horizon": 1, "hidden": (16,), "trainer": brief, "random_state": 0},
            {"context_length": 3, "horizon": 2, "hidden": (16,), "trainer": brief, "random_state": 0},
        ]


class _Flat(nn.Module):
    """A network of vectors as one of windows: flatten what comes in, fold what comes out."""

    def __init__(self, body: nn.Module, horizon: int):
        super().__init__()
        self.body, self.horizon = body, horizon

    def forward(self, past, *known):
        flat = torch.cat([part.flatten(1) for part in (past, *known)], 1)
        return self.body(flat).unflatten(1, (self.horizon, -1))
