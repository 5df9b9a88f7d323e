"""Long short-term memory network on a window of patches."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from chaosfit.nn.forecaster import COUNT, NeuralForecaster
from chaosfit.nn.trainer import Trainer


class LSTM(NeuralForecaster):
    """Long short-term memory network that reads a window in patches of k states and predicts the next patch.

    i, f, o, g = sigma, sigma, sigma, tanh of affine maps of [patch, h];  c <- f c + i g;  h <- o tanh(c);
    x[t+j] = x[t] + s_j * (V_j h + V'_j [u[t], ..., u[t+k-1]]), j = 1 .. k, with s_j the deviation of the increment
    over j steps. The state starts at zero in every window, so a forecast depends on the last L rows alone.

    Parameters
    ----------
    context_length : int >= 1, default=30
        Rows L of the window. If k does not divide L, the first patch is filled up by repeating the first row.
    horizon : int >= 1, default=5
        Rows k of a patch.
    n_units : int >= 1, default=96
        Size of h and c.
    n_layers : int >= 1, default=1
        Layers on top of each other.
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
    It runs forward in time only: a bidirectional network would see the future that it is to forecast.

    References
    ----------
    Hochreiter and Schmidhuber, Neural Computation 9, 1735 (1997), doi:10.1162/neco.1997.9.8.1735

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.recurrent.lstm import LSTM
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> trainer = Trainer(max_steps=200, learning_rate=1e-2)
    >>> model = LSTM(context_length=6, horizon=2, n_units=16, trainer=trainer, random_state=0).fit(X)
    >>> model.forecast(10).shape, bool(model.score(X) > 0.99)
    ((10, 2), True)
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        **NeuralForecaster._parameter_constraints,
        "n_units": [COUNT],
        "n_layers": [COUNT],
    }

    def __init__(self, context_length=30, horizon=5, n_units=96, n_layers=1, trainer=None, random_state=None):
        self.context_length = context_length
        self.horizon = horizon
        self.n_units = n_units
        self.n_layers = n_layers
        self.trainer = trainer
        self.random_state = random_state

    def _network(self, n_features, n_outputs, n_inputs):
        return _PatchLSTM(n_features, n_outputs, n_inputs, self.horizon, self.n_units, self.n_layers)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=150, learning_rate=5e-2, batch_size=32)
        small = {"n_units": 8, "trainer": brief, "random_state": 0}
        return [{"context_length": 3, "horizon": 1, **small}, {"context_length": 5, "horizon": 2, **small}]


class _PatchLSTM(nn.Module):
    """Past (B, L, d) [, known (B, k, p)] -> (B, k, m)."""

    def __init__(self, n_features, n_outputs, n_inputs, horizon, n_units, n_layers):
        super().__init__()
        self.horizon = horizon
        self.recurrence = nn.LSTM(horizon * n_features, n_units, n_layers, batch_first=True)
        self.head = nn.Linear(n_units + horizon * n_inputs, horizon * n_outputs)

    def forward(self, past, *known):
        missing = -past.shape[1] % self.horizon
        past = torch.cat([past[:, :1].expand(-1, missing, -1), past], 1)
        hidden, _ = self.recurrence(past.reshape(len(past), -1, self.horizon * past.shape[2]))
        features = torch.cat([hidden[:, -1], *(part.flatten(1) for part in known)], 1)
        return self.head(features).unflatten(1, (self.horizon, -1))
