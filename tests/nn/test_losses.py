import math

import numpy as np
import pytest
import torch
from torch import nn

from chaosfit.nn import losses


class Doubling(nn.Module):
    """Block of two rows: twice the last row, plus what is known."""

    def forward(self, past, known=None):
        block = 2 * past[:, -1:].repeat(1, 2, 1)
        return block if known is None else block + known


def test_roll_out_feeds_blocks_back():
    past = torch.ones(3, 4, 1)
    path = losses.roll_out(Doubling(), past, 5)
    assert path[0, :, 0].tolist() == [2, 2, 4, 4, 8]
    known = torch.tensor([0.0, 1.0, 0.0, 0.0]).reshape(1, 4, 1).expand(3, 4, 1)
    assert losses.roll_out(Doubling(), past, 4, known, block=2)[0, :, 0].tolist() == [2, 3, 6, 6]


def test_one_block_and_free_run():
    future = torch.tensor([2.0, 2.0, 4.0, 5.0]).reshape(1, 4, 1)
    batch = {"past": torch.ones(1, 3, 1), "future": future}
    assert losses.one_block(Doubling(), batch, 2)["mse"].item() == 0.0
    assert losses.free_run(Doubling(), batch)["free_run"].item() == 0.25
    known = {**batch, "known": torch.ones(1, 4, 1)}
    assert losses.one_block(Doubling(), known, 2)["mse"].item() == 1.0


def test_relative_l2():
    target = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert losses.relative_l2(target * 1.1, target).item() == pytest.approx(0.1)


def test_frequency_l1_is_zero_for_equal_series_and_sees_a_shift():
    wave = torch.sin(0.5 * torch.arange(40.0)).reshape(1, -1, 1)
    assert losses.frequency_l1(wave, wave).item() == 0.0
    assert losses.frequency_l1(wave.roll(3, 1), wave).item() > 0.5


def test_gaussian_nll_equals_torch():
    mean, log_scale, target = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    desired = -torch.distributions.Normal(mean, log_scale.exp()).log_prob(target).mean()
    assert losses.gaussian_nll(mean, log_scale, target).item() == pytest.approx(desired.item(), rel=1e-6)


def test_crps_of_a_normal_ensemble_is_the_closed_form():
    members = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    closed = math.sqrt(2 / math.pi) - 1 / math.sqrt(math.pi)  # observation at the mean
    assert losses.crps(members, torch.zeros(1, dtype=torch.float64)).item() == pytest.approx(closed, rel=0.03)


def test_crps_is_fair():
    """Its mean over small ensembles does not depend on their size."""
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(2, 200_000, generator=generator)
    large = torch.randn(8, 200_000, generator=generator)
    target = torch.randn(200_000, generator=generator)
    assert losses.crps(small, target).item() == pytest.approx(losses.crps(large, target).item(), rel=0.01)


def test_mmd_tells_shifted_measures_apart():
    rng = np.random.default_rng(0)
    first, second, third = torch.tensor(rng.standard_normal((3, 1024, 3)))
    assert losses.mmd(first, second) < 0.01
    assert losses.mmd(first, third + 1.0) > 0.1
    first.requires_grad_()
    (gradient,) = torch.autograd.grad(losses.mmd(first, first.detach() + 0.0), first)
    assert gradient.isfinite().all()
