"""The base class of neural methods: windows in, blocks of future rows out, trained by one `Trainer`."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from chaosfit.base import WindowDynamics
from chaosfit.nn import losses
from chaosfit.nn.files import FileMixin
from chaosfit.nn.trainer import Phase, Trainer, seeded, torch_threads
from chaosfit.nn.windows import Samples, split_tail, windows
from chaosfit.validation import Interval, Trajectory

COUNT = Interval(Integral, 1, None, closed="left")


class NeuralForecaster(FileMixin, WindowDynamics):
    """A network that maps the last L scaled rows to the next k, inside the contract of `WindowDynamics`.

    Subclasses have the constructor parameters `context_length` (L), `horizon` (k), `trainer` and `random_state`,
    and write `_network`. Where one mean squared error is not enough they also write `_loss` or `_phases`.

    Rows are scaled to mean 0 and deviation 1 over the training rows before a network sees them. Where the outputs
    are states, the network predicts increments from the last row of its window; see `Increments`.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network in float64, on the CPU.
    history_ : list of dict
        Records of `Trainer.train`.
    input_mean_, input_scale_ : ndarray of shape (d + p,)
        Of the states, then of the known inputs.
    target_mean_, target_scale_ : ndarray of shape (m,)
    """

    _parameter_constraints: ClassVar[dict] = {
        "context_length": [COUNT],
        "horizon": [COUNT],
        "trainer": [Trainer, None],
        "random_state": ["random_state"],
    }

    # ------------------------------------------------------------------ hooks
    @abstractmethod
    def _network(self, n_features: int, n_outputs: int, n_inputs: int) -> nn.Module:
        """Return an untrained network: past (B, L, d) [, known (B, k, p)] -> (B, k, m).

        Initial weights may be drawn from torch's generator: it is seeded by `random_state` meanwhile.
        """

    def _loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms of the loss for scaled `past` (B, L, d), `future` (B, H, m) [, `known` (B, H, p)]."""
        return losses.one_block(network, batch, self.horizon)

    def _phases(self) -> list[Phase]:
        """Return the phases of training."""
        return [Phase("train", self._loss)]

    def _training_horizon(self) -> int:
        """Return the number H >= k of future rows in a batch; more than k where a phase runs freely."""
        return self.horizon

    def _target_moments(self, targets: list[np.ndarray], rows: list[slice]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation (m,) that scale the targets; those of the inputs are set already."""
        return _moments(targets, rows)

    # ------------------------------------------------------------------ the contract
    def _context_length(self):
        return self.context_length

    def _block_length(self):
        return self.horizon

    def _fit(self, trajectories: list[Trajectory]) -> None:
        trainer = Trainer() if self.trainer is None else self.trainer
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        training, validation = self._examples(trajectories, trainer.validation_fraction)
        with seeded(seed):
            network = self._scaled_network(self.n_features_in_, self.n_outputs_, self.n_inputs_)
        if isinstance(network, Increments):
            network.measure(training)
        self.history_ = trainer.train(network, training, self._phases(), validation=validation, seed=seed)
        self.network_ = network.double()

    def _scaled_network(self, n_features: int, n_outputs: int, n_inputs: int) -> nn.Module:
        network = self._network(n_features, n_outputs, n_inputs)
        return Increments(network, self.horizon, n_outputs) if n_outputs == n_features else network

    def _examples(self, trajectories: list[Trajectory], fraction: float) -> tuple[Samples, Samples | None]:
        """Split off the validation rows, fit the scales on the others, and cut both into windows."""
        horizon = self._training_horizon()
        counts = [len(t.X) for t in trajectories]
        parts = split_tail(counts, fraction, shortest=self.context_length + horizon - 1)
        inputs = [t.X if t.u is None else np.hstack([t.X, t.u]) for t in trajectories]
        targets = [t.Y for t in trajectories]
        self.input_mean_, self.input_scale_ = _moments(inputs, parts[0])
        self.target_mean_, self.target_scale_ = self._target_moments(targets, parts[0])

        def cut(rows: list[slice]) -> Samples:
            x = [_scaled(a[r], self.input_mean_, self.input_scale_) for a, r in zip(inputs, rows, strict=True)]
            y = [_scaled(a[r], self.target_mean_, self.target_scale_) for a, r in zip(targets, rows, strict=True)]
            future = {"future": y}
            if self.n_inputs_:
                future["known"] = [a[:, self.n_features_in_ :] for a in x]
                x = [a[:, : self.n_features_in_] for a in x]
            return windows({"past": x}, future, self.context_length, horizon)

        return cut(parts[0]), cut(parts[1]) if any(r.stop > r.start for r in parts[1]) else None

    def _forward(self, windows, u):
        d = self.n_features_in_
        past = torch.from_numpy((windows - self.input_mean_[:d]) / self.input_scale_[:d])
        known = () if u is None else (torch.from_numpy((u - self.input_mean_[d:]) / self.input_scale_[d:]),)
        n_threads = None if self.trainer is None else self.trainer.n_threads
        with torch.no_grad(), torch_threads(n_threads):
            outputs = self.network_(past, *known).numpy()
        return outputs * self.target_scale_ + self.target_mean_

    # ------------------------------------------------------------------ files
    def _fitted(self):
        return super()._fitted() | {"network_": self.network_.state_dict()}

    def _restore(self, fitted):
        weights = fitted.pop("network_")
        super()._restore(fitted)
        with seeded(0):
            network = self._scaled_network(self.n_features_in_, self.n_outputs_, self.n_inputs_)
        network.double().load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        self.network_ = network.eval()


class Increments(nn.Module):
    """x[t+j] = x[t] + s_j * network(past)_j, with s_j the deviation of x[t+j] - x[t] over the training data.

    Small time steps make small increments: without s the network would start far from the identity and spend
    its training on learning it.
    """

    scale: Tensor

    def __init__(self, network: nn.Module, horizon: int, n_outputs: int):
        super().__init__()
        self.network = network
        self.register_buffer("scale", torch.ones(horizon, n_outputs))

    def forward(self, past: Tensor, *known: Tensor) -> Tensor:
        """Map past (B, L, d) to (B, k, d)."""
        return past[:, -1:] + self.scale * self.network(past, *known)

    def measure(self, samples: Samples) -> None:
        """Set s from at most 4096 examples, evenly spaced."""
        count = min(len(samples), 4096)
        batch = samples.batch(torch.arange(count) * len(samples) // count)
        increments = batch["future"][:, : len(self.scale)] - batch["past"][:, -1:]
        # The root of the mean square stays positive for a drift without scatter and for a single example.
        scale = increments.square().mean(0).sqrt()
        self.scale.copy_(torch.where(scale > 1e-6, scale, torch.ones_like(scale)))


def _moments(arrays: list[np.ndarray], rows: list[slice]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the columns over the given rows; constant columns get deviation 1."""
    values = np.concatenate([array[part] for array, part in zip(arrays, rows, strict=True)])
    mean, scale = values.mean(axis=0), values.std(axis=0)
    return mean, np.where(scale > 10 * np.finfo(float).eps * np.abs(mean), scale, 1.0)


def _scaled(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Tensor:
    return torch.from_numpy(((values - mean) / scale).astype(np.float32))
