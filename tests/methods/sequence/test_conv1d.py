import pytest
import torch
from torch.nn import functional

from chaosfit.methods.sequence.conv1d import Conv1d
from chaosfit.nn.trainer import seeded


def network(context_length):
    with seeded(0):
        return Conv1d(context_length, horizon=2, n_channels=6)._network(3, 3, 0).double()


def dilated(net, past):
    """The stack as its equation reads: every layer at every row, dilation doubling."""
    z = net.lift(past)
    for i, layer in enumerate(net.layers):
        kernel = layer.weight.unflatten(1, (3, 6)).transpose(1, 2)  # oldest row first
        padded = functional.pad(z.transpose(1, 2), (2 * 2**i, 0), mode="replicate")
        y = functional.conv1d(padded, kernel, layer.bias, dilation=2**i).transpose(1, 2)
        z = z + functional.silu(y)
    return net.head(z[:, -1]).unflatten(1, (2, 3))


@pytest.mark.parametrize(("length", "n_layers"), [(1, 1), (3, 1), (4, 2), (7, 2), (31, 4), (32, 5)])
def test_as_many_layers_as_it_takes(length, n_layers):
    assert len(network(length).layers) == n_layers
    assert network(length).reach >= length


@pytest.mark.parametrize("length", [3, 7, 31])
def test_strides_equal_dilations(length):
    past = torch.randn(4, length, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    net = network(length)
    torch.testing.assert_close(net(past), dilated(net, past))


def test_every_row_of_the_window_counts():
    past = torch.randn(1, 20, 3, dtype=torch.float64, requires_grad=True)
    network(20)(past).sum().backward()
    assert (past.grad.abs().sum(2) > 0).all()
