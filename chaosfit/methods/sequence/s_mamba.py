"""Mamba layers that mix variables: every variable's whole window is one token."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from chaosfit.nn.forecaster import COUNT, NeuralForecaster
from chaosfit.nn.layers import RevIN
from chaosfit.nn.state_space import SelectiveSSM, StateSpaceDual
from chaosfit.nn.trainer import Trainer
from chaosfit.validation import StrOptions


class SMamba(NeuralForecaster):
    """Variables as tokens, mixed by Mamba layers that run along the variables in both directions.

    E_v = W x_v, the window of variable v, and W' u_i, the next k rows of known input i;
    E <- norm(E + mamba_f(E) + flip(mamba_b(flip(E))));  E <- norm(E + W_2 gelu(W_1 E));
    x_v[t+j] = x_v[t] + s_j ((V E_v)_j + (U u)_vj), j = 1 .. k, with s_j the deviation of the increment over j steps.

    Parameters
    ----------
    context_length : int >= 1, default=24
        Rows L of the window (published: 96).
    horizon : int >= 1, default=12
        Rows k that one evaluation predicts (published: 12 to 720).
    d_model : int >= 1, default=64
        Size of a token (published: 128 to 1024).
    d_hidden : int >= 1, default=128
        Units between W_1 and W_2.
    d_state : int >= 1, default=16
        State of a channel (published: 2 to 32).
    n_layers : int >= 1, default=2
        Layers (published: 2 to 4).
    layer : {"dual", "selective"}, default="dual"
        `StateSpaceDual` or, as published and several times slower, `SelectiveSSM`.
    io_constraint : {"none", "psd"}, default="none"
        "psd" keeps the input-output matrices of selective layers positive semidefinite; see `SelectiveSSM`.
    token_order : {"given", "importance"}, default="given"
        "importance" lets the first, selective layer sort the variables softly by a learned score.
    instance_norm : bool, default=False
        Scale every window by its own mean and deviation (published: on). It hides the position on the attractor;
        use it for series whose level drifts.
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
    The order of the columns matters: neighbours should be neighbours. With fewer than about eight variables `MLP` is
    both better and faster.

    References
    ----------
    Wang et al., Is Mamba Effective for Time Series Forecasting?, arXiv:2403.11144.  Vo, Pham, Tong and Nguyen,
    Demystifying the Token Dynamics of Deep Selective State Space Models, arXiv:2410.03292

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.s_mamba import SMamba
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.linspace(0, 3, 6)[:, np.newaxis]).T
    >>> trainer = Trainer(max_steps=60, batch_size=64)
    >>> model = SMamba(context_length=6, horizon=2, d_model=16, trainer=trainer, random_state=0).fit(X)
    >>> model.forecast(10).shape, bool(model.score(X) > 0.99)
    ((10, 6), True)
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        **NeuralForecaster._parameter_constraints,
        "d_model": [COUNT],
        "d_hidden": [COUNT],
        "d_state": [COUNT],
        "n_layers": [COUNT],
        "layer": [StrOptions({"dual", "selective"})],
        "io_constraint": [StrOptions({"none", "psd"})],
        "token_order": [StrOptions({"given", "importance"})],
        "instance_norm": ["boolean"],
    }

    def __init__(
        self,
        context_length=24,
        horizon=12,
        d_model=64,
        d_hidden=128,
        d_state=16,
        n_layers=2,
        layer="dual",
        io_constraint="none",
        token_order="given",
        instance_norm=False,
        trainer=None,
        random_state=None,
    ):
        self.context_length = context_length
        self.horizon = horizon
        self.d_model = d_model
        self.d_hidden = d_hidden
        self.d_state = d_state
        self.n_layers = n_layers
        self.layer = layer
        self.io_constraint = io_constraint
        self.token_order = token_order
        self.instance_norm = instance_norm
        self.trainer = trainer
        self.random_state = random_state

    def _fit(self, trajectories):
        if self.layer == "dual" and (self.io_constraint, self.token_order) != ("none", "given"):
            raise ValueError(
                f"io_constraint={self.io_constraint!r} and token_order={self.token_order!r} are options of selective "
                "layers: set layer='selective', or io_constraint='none' and token_order='given'."
            )
        super()._fit(trajectories)

    def _network(self, n_features, n_outputs, n_inputs):
        return _VariateMamba(self, n_features, n_outputs, n_inputs)

    def _mixer(self, is_first: bool) -> nn.Module:
        """Return one Mamba layer; published: no inner widening, a convolution over two tokens."""
        if self.layer == "dual":
            return StateSpaceDual(self.d_model, self.d_state, math.gcd(64, self.d_model), expand=1, width=2)
        order = self.token_order if is_first else "given"
        options = {"io_constraint": self.io_constraint, "token_order": order}
        return SelectiveSSM(self.d_model, self.d_state, expand=1, width=2, **options)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=150, learning_rate=2e-2, batch_size=32)
        small = {"d_model": 8, "d_hidden": 16, "d_state": 4, "n_layers": 1, "trainer": brief, "random_state": 0}
        refined = {"layer": "selective", "io_constraint": "psd", "token_order": "importance"}
        return [{"context_length": 3, "horizon": 1, **small}, {"context_length": 4, "horizon": 2, **refined, **small}]


class _VariateMamba(nn.Module):
    """Past (B, L, d) [, known (B, k, p)] -> (B, k, m)."""

    def __init__(self, options: SMamba, n_features: int, n_outputs: int, n_inputs: int):
        super().__init__()
        self.horizon, self.n_features, size = options.horizon, n_features, options.d_model
        self.revin = RevIN(n_features) if options.instance_norm else None
        self.embed = nn.Linear(options.context_length, size)
        if n_inputs:
            self.embed_known = nn.Linear(self.horizon, size)
            self.direct = nn.Linear(self.horizon * n_inputs, self.horizon * n_outputs, bias=False)
        self.layers = nn.ModuleList(_Layer(options, i == 0) for i in range(options.n_layers))
        self.norm = nn.LayerNorm(size)
        # Outputs that are not states have no token of their own: they read all tokens.
        self.of_states = n_outputs == n_features
        n_tokens, n_read = (1, 1) if self.of_states else (n_features, n_outputs)
        self.head = nn.Linear(n_tokens * size, self.horizon * n_read)

    def forward(self, past: Tensor, *known: Tensor) -> Tensor:
        if self.revin is None:
            outputs = self._mixed(past, *known)
        else:
            window, moments = self.revin(past)
            outputs = self._mixed(window, *known)
            if self.of_states:
                outputs = self.revin.undo(window[:, -1:] + outputs, moments) - past[:, -1:]
        for part in known:
            outputs = outputs + self.direct(part.flatten(1)).unflatten(1, (self.horizon, -1))
        return outputs

    def _mixed(self, window: Tensor, *known: Tensor) -> Tensor:
        z = torch.cat([self.embed(window.mT), *(self.embed_known(part.mT) for part in known)], 1)
        for layer in self.layers:
            z = layer(z)
        return self._read(self.norm(z[:, : self.n_features]))

    def _read(self, z: Tensor) -> Tensor:
        if self.of_states:
            return self.head(z).transpose(1, 2)
        return self.head(z.flatten(1)).unflatten(1, (self.horizon, -1))


class _Layer(nn.Module):
    """Tokens (B, V, d_model) to the same shape: both directions of Mamba, then a perceptron for every token."""

    def __init__(self, options: SMamba, is_first: bool):
        super().__init__()
        size, hidden = options.d_model, options.d_hidden
        self.forwards, self.backwards = options._mixer(is_first), options._mixer(is_first)
        self.norm, self.last_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.perceptron = nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))

    def forward(self, z: Tensor) -> Tensor:
        z = self.norm(z + self.forwards(z) + self.backwards(z.flip(1)).flip(1))
        return self.last_norm(z + self.perceptron(z))
