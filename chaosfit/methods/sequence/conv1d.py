"""Stack of dilated causal convolutions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from chaosfit.nn.forecaster import COUNT, NeuralForecaster
from chaosfit.nn.trainer import Trainer


class Conv1d(NeuralForecaster):
    """Causal convolutions of width 3 whose dilation doubles from layer to layer.

    z_0 = W x;  z_{i+1}[t] = z_i[t] + silu(A_i z_i[t - 2 * 2^i] + B_i z_i[t - 2^i] + C_i z_i[t] + c_i);
    x[t+j] = x[t] + s_j * V_j [z_n[t], u[t], ..., u[t+k-1]], j = 1 .. k, with s_j the deviation of the increment over
    j steps. There are as many layers as it takes to see the whole window: n layers see 2^(n+1) - 1 rows.

    Parameters
    ----------
    context_length : int >= 1, default=31
        Rows L of the window. Rows before it, where the layers see any, repeat its first row.
    horizon : int >= 1, default=5
        Rows k that one evaluation predicts.
    n_channels : int >= 1, default=64
        Channels of z.
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
    The convolution runs along time, never along the variables: use it for few variables of any kind, not as a model
    of a field that is translation invariant in space.

    References
    ----------
    Bai, Kolter and Koltun, arXiv:1803.01271

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.conv1d import Conv1d
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> trainer = Trainer(max_steps=100, learning_rate=5e-3)
    >>> model = Conv1d(context_length=7, horizon=1, trainer=trainer, random_state=0).fit(X)
    >>> model.forecast(10).shape, bool(model.score(X) > 0.99)
    ((10, 2), True)
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        **NeuralForecaster._parameter_constraints,
        "n_channels": [COUNT],
    }

    def __init__(self, context_length=31, horizon=5, n_channels=64, trainer=None, random_state=None):
        self.context_length = context_length
        self.horizon = horizon
        self.n_channels = n_channels
        self.trainer = trainer
        self.random_state = random_state

    def _network(self, n_features, n_outputs, n_inputs):
        n_layers = max(self.context_length.bit_length() - 1, 1)  # the fewest with 2^(n+1) - 1 >= L
        return _Convolutions(n_features, n_outputs, n_inputs, self.horizon, self.n_channels, n_layers)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=150, learning_rate=2e-2, batch_size=64)
        small = {"n_channels": 8, "trainer": brief, "random_state": 0}
        return [{"context_length": 3, "horizon": 1, **small}, {"context_length": 7, "horizon": 2, **small}]


class _Convolutions(nn.Module):
    """Past (B, L, d) [, known (B, k, p)] -> (B, k, m).

    Only the last output is needed. Its dilated convolutions touch every second row that the layer below has
    computed, so each layer is a convolution with stride 2: 31 rows, then 15, 7, 3, 1.
    """

    def __init__(self, n_features, n_outputs, n_inputs, horizon, n_channels, n_layers):
        super().__init__()
        self.horizon, self.reach = horizon, 2 ** (n_layers + 1) - 1
        self.lift = nn.Linear(n_features, n_channels)
        self.layers = nn.ModuleList(nn.Linear(3 * n_channels, n_channels) for _ in range(n_layers))
        self.head = nn.Linear(n_channels + horizon * n_inputs, horizon * n_outputs)

    def forward(self, past, *known):
        z = self.lift(torch.cat([past[:, :1].expand(-1, self.reach - past.shape[1], -1), past], 1))
        for layer in self.layers:
            neighbours = torch.cat([z[:, :-2:2], z[:, 1:-1:2], z[:, 2::2]], 2)
            z = z[:, 2::2] + functional.silu(layer(neighbours))
        features = torch.cat([z[:, -1], *(part.flatten(1) for part in known)], 1)
        return self.head(features).unflatten(1, (self.horizon, -1))
