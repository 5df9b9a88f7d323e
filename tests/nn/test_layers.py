import pytest
import torch
from torch.nn import functional

from chaosfit.nn.layers import CausalConv1d, RevIN, perceptron
from chaosfit.nn.trainer import seeded


@pytest.fixture
def x():
    return torch.randn(3, 100, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("length", [2, 20, 100])
def test_causal_convolution_equals_the_sum(x, length):
    x = x[:, :length]
    with seeded(0):
        layer = CausalConv1d(5, width=4)
    y = layer(x)
    t = length - 1
    desired = layer.bias + sum(layer.weight[3 - i] * x[:, t - i] for i in range(min(4, length)))
    torch.testing.assert_close(y[:, t], desired)
    library = functional.conv1d(
        functional.pad(x.transpose(1, 2), (3, 0)), layer.weight.t()[:, None], layer.bias, groups=5
    )
    torch.testing.assert_close(y, library.transpose(1, 2))


def test_causal_convolution_streams_and_is_causal(x):
    with seeded(0):
        layer = CausalConv1d(5)
    y, state = layer(x), layer.init_state(3)
    for t in range(x.shape[1]):
        row, state = layer.step(x[:, t], state)
        torch.testing.assert_close(row, y[:, t])
    changed = x.clone()
    changed[:, 50:] += 1.0
    assert layer(changed)[:, :50].equal(y[:, :50])
    assert not layer(changed)[:, 50].equal(y[:, 50])


def test_revin_is_undone(x):
    layer = RevIN(5)
    normal, moments = layer(3 * x + 7)
    torch.testing.assert_close(normal.mean(1), torch.zeros(3, 5), atol=1e-4, rtol=0)
    torch.testing.assert_close(normal.std(1, unbiased=False), torch.ones(3, 5), atol=1e-3, rtol=0)
    torch.testing.assert_close(layer.undo(normal, moments), 3 * x + 7)


def test_perceptron():
    network = perceptron([2, 3, 1])
    assert [type(part).__name__ for part in network] == ["Linear", "SiLU", "Linear"]
