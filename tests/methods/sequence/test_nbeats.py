import torch

from chaosfit.methods.sequence.nbeats import NBeatsLite
from chaosfit.nn.trainer import seeded


def test_parameters_of_the_default():
    net = NBeatsLite()._network(3, 3, 0)
    assert sum(p.numel() for p in net.parameters()) == 125_115


def test_forecast_is_the_sum_over_residuals():
    with seeded(0):
        net = NBeatsLite(context_length=4, horizon=2, n_blocks=2, n_units=5)._network(2, 2, 0)
    past = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    first = net.blocks[0](past.flatten(1))
    second = net.blocks[1](past.flatten(1) - first[:, :8])
    torch.testing.assert_close(net(past).flatten(1), first[:, 8:] + second[:, 8:])
