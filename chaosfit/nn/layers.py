"""Parts of networks: perceptron, causal convolution, reversible instance normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def perceptron(sizes: Sequence[int], activation: type[nn.Module] = nn.SiLU) -> nn.Sequential:
    """Linear layers of the given sizes with an activation between each two, none after the last."""
    parts: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        parts += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*parts[:-1])


class CausalConv1d(nn.Module):
    """Causal convolution along time, every channel with its own kernel: y_t = b + sum_i w_i x_{t-width+1+i}.

    Maps (B, L, D) to (B, L, D); `step` does one row at a time with the last `width - 1` rows as its state.
    """

    def __init__(self, n_channels: int, width: int = 4):
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(width, n_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; rows before the first count as zero."""
        width, length = len(self.weight), x.shape[1]
        padded = functional.pad(x, (0, 0, width - 1, 0))
        # A sum of shifted products: torch's grouped convolution takes 1.3 (L = 8192) to 4 times (L = 6) as long.
        y: Tensor = self.bias
        for shift in range(width):
            y = torch.addcmul(y, padded[:, shift : shift + length], self.weight[shift])
        return y

    def init_state(self, n_batch: int) -> Tensor:
        """Return the rows before the first: zeros (B, width - 1, D)."""
        return self.weight.new_zeros(n_batch, len(self.weight) - 1, self.weight.shape[1])

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve one row x (B, D); return y (B, D) and the next state."""
        rows = torch.cat([state, x.unsqueeze(1)], 1)
        return self.bias + (rows * self.weight).sum(1), rows[:, 1:]


class RevIN(nn.Module):
    """Reversible instance normalisation: scale every window by its own mean and deviation, and undo it.

    It removes the position on the attractor from what a network sees, so autonomous systems are better off without;
    it helps where the level drifts.

    References
    ----------
    Kim et al., Reversible Instance Normalization for Accurate Time-Series Forecasting against Distribution Shift,
    ICLR 2022.
    """

    def __init__(self, n_channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(n_channels))
        self.shift = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Normalise x (B, L, D); return it and the mean and deviation (B, 1, D) that `undo` needs."""
        mean = x.mean(1, keepdim=True)
        deviation = (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return (x - mean) / deviation * self.gain + self.shift, (mean, deviation)

    def undo(self, y: Tensor, moments: tuple[Tensor, Tensor]) -> Tensor:
        """Return forecasts (B, k, D) to the units of the window."""
        mean, deviation = moments
        return (y - self.shift) / self.gain * deviation + mean
