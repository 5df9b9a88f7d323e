"""N-BEATS with generic blocks, on all variables at once."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from chaosfit.nn.forecaster import COUNT, NeuralForecaster
from chaosfit.nn.layers import perceptron
from chaosfit.nn.trainer import Trainer


class NBeatsLite(NeuralForecaster):
    """Blocks that each explain a part of the window away and add their part of the forecast.

    r_1 = [x[t-L+1], ..., x[t]];  (b_i, y_i) = block_i(r_i, u);  r_{i+1} = r_i - b_i;
    x[t+j] = x[t] + s_j * sum_i y_i[j], j = 1 .. k, with s_j the deviation of the increment over j steps.

    Parameters
    ----------
    context_length : int >= 1, default=30
        Rows L of the window.
    horizon : int >= 1, default=5
        Rows k that one evaluation predicts.
    n_blocks : int >= 1, default=3
        Blocks (published: 30 in each of the stacks).
    n_units : int >= 1, default=128
        Units of the two hidden layers of a block (published: 512 in four layers).
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
    Not the published model: variables are treated jointly and there are no trend and seasonality stacks.

    References
    ----------
    Oreshkin, Carpov, Chapados and Bengio, N-BEATS, ICLR 2020, arXiv:1905.10437

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.nbeats import NBeatsLite
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> model = NBeatsLite(context_length=6, horizon=2, trainer=Trainer(max_steps=100), random_state=0).fit(X)
    >>> model.forecast(10).shape, bool(model.score(X) > 0.99)
    ((10, 2), True)
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        **NeuralForecaster._parameter_constraints,
        "n_blocks": [COUNT],
        "n_units": [COUNT],
    }

    def __init__(self, context_length=30, horizon=5, n_blocks=3, n_units=128, trainer=None, random_state=None):
        self.context_length = context_length
        self.horizon = horizon
        self.n_blocks = n_blocks
        self.n_units = n_units
        self.trainer = trainer
        self.random_state = random_state

    def _network(self, n_features, n_outputs, n_inputs):
        n_window, n_known = self.context_length * n_features, self.horizon * n_inputs
        sizes = [n_window + n_known, self.n_units, self.n_units, n_window + self.horizon * n_outputs]
        return _Stack(nn.ModuleList(perceptron(sizes) for _ in range(self.n_blocks)), n_window, self.horizon)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=150, learning_rate=1e-2, batch_size=64)
        small = {"n_blocks": 2, "n_units": 16, "trainer": brief, "random_state": 0}
        return [{"context_length": 2, "horizon": 1, **small}, {"context_length": 4, "horizon": 2, **small}]


class _Stack(nn.Module):
    """Past (B, L, d) [, known (B, k, p)] -> (B, k, m)."""

    def __init__(self, blocks: nn.ModuleList, n_window: int, horizon: int):
        super().__init__()
        self.blocks, self.n_window, self.horizon = blocks, n_window, horizon

    def forward(self, past, *known):
        residual, forecast = past.flatten(1), 0.0
        known = [part.flatten(1) for part in known]
        for block in self.blocks:
            explained, part = block(torch.cat([residual, *known], 1)).tensor_split([self.n_window], dim=1)
            residual, forecast = residual - explained, forecast + part
        return forecast.unflatten(1, (self.horizon, -1))
