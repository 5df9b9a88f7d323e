"""What networks minimise: functions of a network and a batch, and distances between batches of states."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def one_block(network: nn.Module, batch: dict[str, Tensor], block: int | None = None) -> dict[str, Tensor]:
    """Mean squared error of the network's block of future rows (teacher forcing).

    `batch` has `past` (B, L, d), `future` (B, H, m) and, with known inputs, `known` (B, H, p); H >= block.
    """
    known = () if "known" not in batch else (batch["known"][:, :block],)
    forecast = network(batch["past"], *known)
    return {"mse": functional.mse_loss(forecast, batch["future"][:, :block])}


def free_run(network: nn.Module, batch: dict[str, Tensor], block: int | None = None) -> dict[str, Tensor]:
    """Mean squared error of a forecast as long as `future`, block after block from the network's own output."""
    future = batch["future"]
    forecast = roll_out(network, batch["past"], future.shape[1], batch.get("known"), block)
    return {"free_run": functional.mse_loss(forecast, future)}


def roll_out(
    network: nn.Module, past: Tensor, n_steps: int, known: Tensor | None = None, block: int | None = None
) -> Tensor:
    """Feed the network's blocks back into its window: (B, L, d) -> (B, n_steps, d), with gradient.

    With known inputs (B, n_steps, p), `block` is the number of rows that the network takes at once.
    """
    blocks, length, done = [], past.shape[1], 0
    while done < n_steps:
        forecast = network(past) if known is None else network(past, known[:, done:][:, :block])
        blocks.append(forecast)
        done += forecast.shape[1]
        past = torch.cat([past, forecast], 1)[:, -length:]
    return torch.cat(blocks, 1)[:, :n_steps]


def relative_l2(forecast: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of ||forecast - target|| / ||target||, all other axes flattened."""
    error = (forecast - target).flatten(1).norm(dim=1)
    return (error / target.flatten(1).norm(dim=1).clamp_min(1e-12)).mean()


def frequency_l1(forecast: Tensor, target: Tensor) -> Tensor:
    """Mean modulus of the difference of the Fourier transforms along time, axis 1 (arXiv 2402.02399)."""
    return (torch.fft.rfft(forecast, dim=1) - torch.fft.rfft(target, dim=1)).abs().mean()


def gaussian_nll(mean: Tensor, log_scale: Tensor, target: Tensor) -> Tensor:
    """Mean negative log likelihood of independent normal variables."""
    z = (target - mean) * torch.exp(-log_scale)
    return (0.5 * z**2 + log_scale).mean() + 0.5 * math.log(2 * math.pi)


def crps(members: Tensor, target: Tensor) -> Tensor:
    """Fair continuous ranked probability score of an ensemble (S, ...) against (...), averaged.

    E|x - y| - E|x - x'| / 2 with the pair expectation over distinct members (doi 10.1002/qj.2270); S >= 2.
    """
    n_members = len(members)
    spread = (members[:, None] - members[None]).abs().sum((0, 1)) / (2 * n_members * (n_members - 1))
    return ((members - target).abs().mean(0) - spread).mean()


def mmd(first: Tensor, second: Tensor, scales: tuple[float, ...] = (0.2, 0.5, 0.9, 1.3)) -> Tensor:
    """Squared maximum mean discrepancy of two sets of states (..., B, d), rational quadratic kernels: (...).

    k(x, z) = sum_s s^2 / (s^2 + |x - z|^2), the biased estimate clamped at zero (the measure penalty of
    arXiv 2402.04467). The scales assume standardised channels; they grow with sqrt(d / 3).
    """
    widen = max(first.shape[-1] / 3.0, 1.0)

    def kernel(x: Tensor, z: Tensor) -> Tensor:
        distance = ((x.unsqueeze(-2) - z.unsqueeze(-3)) ** 2).sum(-1)
        squares = [s**2 * widen for s in scales]
        return torch.stack([(square / (square + distance)).mean((-2, -1)) for square in squares]).sum(0)

    return (kernel(first, first) + kernel(second, second) - 2 * kernel(first, second)).clamp_min(0.0)
