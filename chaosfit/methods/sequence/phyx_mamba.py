"""Mamba layers on patches of delay vectors, trained to forecast and then to keep the attractor."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.nn import losses
from chaosfit.nn.forecaster import COUNT, Increments, NeuralForecaster
from chaosfit.nn.state_space import StateSpaceDual
from chaosfit.nn.trainer import Phase, Trainer
from chaosfit.validation import Interval, StrOptions

_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


class PhyxMamba(NeuralForecaster):
    """Stack of Mamba-2 layers over patches of delay vectors; free runs are trained to stay on the attractor.

    e[t] = [x[t-(m-1)tau], ..., x[t-tau], x[t]];  E_i = W [e of the k rows of patch i] + p_i;
    r_0 = E,  q_j = mamba_j(r_{j-1}),  r_j = r_{j-1} - W_b q_j,  O = q_1 + q_2 + ...;
    rows of patch i + 1 = last row of patch i + s * head(O_i).

    The first stage minimises the squared error of every patch. Branches predict the patches after the next, from
    O and the embedding of what lies between; they only help to train. The second stage runs freely for several blocks
    and adds to the squared error the squared maximum mean discrepancy of the forecasts of a batch at equal lead time,
    to the states where windows begin (the forecast keeps the measure) and to the true states (it is the right one).

    Parameters
    ----------
    context_length : int >= 2, default=30
        Rows L of the window. If k does not divide L, the first patch is filled up by repeating the first row.
    horizon : int >= 1, default=5
        Rows k of a patch (published: 2 to 12).
    n_delays : int >= 1 or "auto", default=3
        Samples m of a delay vector; rows before the window repeat its first row. "auto" asks `DelayEmbedding`.
    lag : int >= 1 or "auto", default=7
        Rows tau between two of them; (m - 1) tau must be smaller than L - k.
    d_model : int >= 1, default=64
        Size of a token (published: 256).
    d_state : int >= 1, default=16
        State of a channel (published: 1024).
    n_layers : int >= 1, default=2
        Layers (published: 1 to 4).
    residual_stack : bool, default=True
        Take from r what a layer has explained. Without it a layer reads the output of the one below.
    n_branches : int >= 0, default=2
        Patches after the next that are predicted during training, as far as the window has them (published: 3).
    branch_weight : float >= 0, default=0.1
    free_run_length : int >= 0, default=30
        Rows of a free run in the second stage; 0 leaves the stage out.
    free_run_steps : int >= 1, default=200
        Steps of the second stage, after a quarter as many for the head alone, at a fiftieth of the learning rate.
    stationarity, consistency : float >= 0, default=1.0 and 1000.0
        Weights of the discrepancies to the first and to the true states (as published).
    trainer : Trainer or None, default=None
        Options of training; None means `Trainer()`, whose `max_steps` are those of the first stage.
    random_state : int, RandomState or None, default=None
        Seeds initial weights and batches.

    Attributes
    ----------
    n_delays_, lag_ : int
    network_ : torch.nn.Module
        (B, L, d) scaled -> (B, k, m) scaled.
    history_ : list of dict
        Losses during training; `phase` is "teacher", "head" or "free run".

    Notes
    -----
    Not the fastest way to a forecast: on clean data with all variables a polynomial map is better in a second.
    Published windows are padded with zeros, which makes the early delay vectors false.

    References
    ----------
    Mamba Integrated with Physics Principles Masters Long-term Chaotic System Forecasting, arXiv:2505.23863

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.methods.sequence.phyx_mamba import PhyxMamba
    >>> from chaosfit.nn.trainer import Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> trainer = Trainer(max_steps=60, batch_size=64)
    >>> small = {"context_length": 6, "horizon": 2, "n_delays": 2, "lag": 1, "d_model": 16, "free_run_length": 0}
    >>> model = PhyxMamba(**small, trainer=trainer, random_state=0).fit(X)
    >>> model.forecast(10).shape, bool(model.score(X) > 0.99)
    ((10, 2), True)
    """

    _parameter_constraints: ClassVar[dict] = {
        **NeuralForecaster._parameter_constraints,
        "context_length": [Interval(Integral, 2, None, closed="left")],
        "n_delays": [COUNT, StrOptions({"auto"})],
        "lag": [COUNT, StrOptions({"auto"})],
        "d_model": [COUNT],
        "d_state": [COUNT],
        "n_layers": [COUNT],
        "residual_stack": ["boolean"],
        "n_branches": [Interval(Integral, 0, None, closed="left")],
        "branch_weight": [_NOT_NEGATIVE],
        "free_run_length": [Interval(Integral, 0, None, closed="left")],
        "free_run_steps": [COUNT],
        "stationarity": [_NOT_NEGATIVE],
        "consistency": [_NOT_NEGATIVE],
    }

    def __init__(
        self,
        context_length=30,
        horizon=5,
        n_delays=3,
        lag=7,
        d_model=64,
        d_state=16,
        n_layers=2,
        residual_stack=True,
        n_branches=2,
        branch_weight=0.1,
        free_run_length=30,
        free_run_steps=200,
        stationarity=1.0,
        consistency=1000.0,
        trainer=None,
        random_state=None,
    ):
        self.context_length = context_length
        self.horizon = horizon
        self.n_delays = n_delays
        self.lag = lag
        self.d_model = d_model
        self.d_state = d_state
        self.n_layers = n_layers
        self.residual_stack = residual_stack
        self.n_branches = n_branches
        self.branch_weight = branch_weight
        self.free_run_length = free_run_length
        self.free_run_steps = free_run_steps
        self.stationarity = stationarity
        self.consistency = consistency
        self.trainer = trainer
        self.random_state = random_state

    def _fit(self, trajectories):
        longest = max((t.states for t in trajectories), key=len)
        found = DelayEmbedding(self.n_delays, self.lag, lag_method="mutual_information").fit(longest)
        self.n_delays_, self.lag_ = found.n_delays_, found.lag_
        reach = (self.n_delays_ - 1) * self.lag_
        if reach and reach >= self.context_length - self.horizon:
            raise ValueError(
                f"delay vectors must fit into the window: (n_delays - 1) * lag = {reach} must be smaller than "
                f"context_length - horizon = {self.context_length - self.horizon}. Give a longer context_length, or "
                f"less than n_delays={self.n_delays_} and lag={self.lag_}."
            )
        super()._fit(trajectories)

    def _network(self, n_features, n_outputs, n_inputs):
        return _PatchMamba(self, n_features, n_outputs)

    # ------------------------------------------------------------------ training
    def _runs_freely(self) -> bool:
        return self.free_run_length > 0 and self.n_outputs_ == self.n_features_in_

    def _training_horizon(self):
        return max(self.horizon, self.free_run_length) if self._runs_freely() else self.horizon

    def _phases(self):
        teacher = Phase("teacher", self._loss)
        if not self._runs_freely():
            return [teacher]
        rate = (Trainer() if self.trainer is None else self.trainer).learning_rate / 50
        n_head = math.ceil(self.free_run_steps / 4)
        return [
            teacher,
            Phase("head", self._free_run_loss, r"\bhead\b", rate, n_head),
            Phase("free run", self._free_run_loss, learning_rate=rate, max_steps=self.free_run_steps),
        ]

    def _loss(self, network, batch):
        """Squared error of every patch of the window but the first, and of the one after it."""
        if not isinstance(network, Increments):
            return losses.one_block(network, batch, self.horizon)
        body = network.network
        past = body.fill(batch["past"])
        whole = torch.cat([past, batch["future"][:, : self.horizon]], 1)
        patches = whole.unflatten(1, (-1, self.horizon))
        last, target = patches[:, :-1, -1:], patches[:, 1:]
        errors = [
            functional.mse_loss(last[:, ahead:] + network.scale * increments, target[:, ahead:])
            for ahead, increments in enumerate(body.patches(past))
        ]
        if len(errors) == 1:
            return {"mse": errors[0]}
        return {"mse": errors[0], "branches": self.branch_weight * torch.stack(errors[1:]).mean()}

    def _free_run_loss(self, network, batch):
        """Squared error of a free run, and discrepancies of its states over the batch, lead time by lead time."""
        past, future = batch["past"], batch["future"]
        forecast = losses.roll_out(network, past, future.shape[1])
        terms = {"free_run": functional.mse_loss(forecast, future)}
        forecast, future = forecast.transpose(0, 1), future.transpose(0, 1)
        if self.stationarity:
            terms["stationarity"] = self.stationarity * losses.mmd(past[:, 0], forecast).mean()
        if self.consistency:
            terms["consistency"] = self.consistency * losses.mmd(future, forecast).mean()
        return terms

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=60, learning_rate=2e-2, batch_size=64)
        small = {"d_model": 8, "d_state": 4, "n_layers": 1, "trainer": brief, "random_state": 0}
        return [
            {"context_length": 4, "horizon": 2, "n_delays": 2, "lag": 1, "free_run_length": 0, **small},
            {
                "context_length": 3,
                "horizon": 1,
                "n_delays": 1,
                "n_branches": 1,
                "free_run_length": 2,
                "free_run_steps": 4,
                **small,
            },
        ]


class _PatchMamba(nn.Module):
    """Past (B, L, d) -> increments (B, k, m); `patches` gives those of every patch."""

    def __init__(self, options: PhyxMamba, n_features: int, n_outputs: int):
        super().__init__()
        self.horizon, self.lag, self.n_delays = options.horizon, options.lag_, options.n_delays_
        self.missing, self.residual_stack = -options.context_length % options.horizon, options.residual_stack
        size, n_patches = options.d_model, math.ceil(options.context_length / options.horizon)
        n_branches = min(options.n_branches, n_patches - 1) if n_outputs == n_features else 0

        def layers(count: int) -> nn.ModuleList:
            head_size = math.gcd(64, 2 * size)
            return nn.ModuleList(StateSpaceDual(size, options.d_state, head_size) for _ in range(count))

        self.embed = nn.Linear(options.horizon * self.n_delays * n_features, size)
        self.position = nn.Parameter(0.02 * torch.randn(n_patches, size))
        self.layers = layers(options.n_layers)
        self.explain = nn.Linear(size, size, bias=False)
        self.norm = nn.RMSNorm(size, eps=1e-5)
        self.join = nn.ModuleList(nn.Linear(2 * size, size) for _ in range(n_branches))
        self.branches = layers(n_branches)
        self.head = nn.Linear(size, options.horizon * n_outputs)

    def forward(self, past: Tensor) -> Tensor:
        return self.head(self._mix(self._tokens(self.fill(past)))[:, -1]).unflatten(1, (self.horizon, -1))

    def fill(self, past: Tensor) -> Tensor:
        """Repeat the first row until patches are complete."""
        return torch.cat([past[:, :1].expand(-1, self.missing, -1), past], 1)

    def patches(self, past: Tensor) -> list[Tensor]:
        """Increments (B, T - i, k, m) to the patches 1 + i further on: i = 0 is the forecast, then come branches."""
        tokens = self._tokens(past)
        outputs = [self._mix(tokens)]
        embedded = self.norm(tokens)
        for ahead, (join, layer) in enumerate(zip(self.join, self.branches, strict=True), start=1):
            both = torch.cat([self.norm(outputs[-1][:, : tokens.shape[1] - ahead]), embedded[:, ahead:]], 2)
            outputs.append(layer(join(both)))
        return [self.head(output).unflatten(2, (self.horizon, -1)) for output in outputs]

    def _tokens(self, past: Tensor) -> Tensor:
        reach, length = (self.n_delays - 1) * self.lag, past.shape[1]
        rows = torch.cat([past[:, :1].expand(-1, reach, -1), past], 1)
        delayed = torch.cat([rows[:, start : start + length] for start in range(0, reach + 1, self.lag)], 2)
        return self.embed(delayed.reshape(len(past), length // self.horizon, -1)) + self.position

    def _mix(self, tokens: Tensor) -> Tensor:
        if not self.residual_stack:
            for layer in self.layers:
                tokens = layer(tokens)
            return tokens
        output = torch.zeros_like(tokens)
        for layer in self.layers:
            part = layer(tokens)
            tokens, output = tokens - self.explain(part), output + part
        return output
