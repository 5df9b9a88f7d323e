import numpy as np
import pytest
import torch

from chaosfit.methods.recurrent import recursion
from chaosfit.methods.recurrent.recursion import recur


@pytest.fixture(params=[False, True], ids=["numpy", "loops"], autouse=True)
def way(request, monkeypatch):
    """Take the one or the other; without numba the loops run as Python."""
    monkeypatch.setattr(recursion, "is_compiled", request.param)


def eager(W, U, first, data, mix, clipped):
    """The same recursion, left to automatic differentiation."""
    n_states, states = U.shape[1] - 1, []
    one = torch.ones(1, first.shape[1], dtype=first.dtype)
    s = first
    for t in range(len(data)):
        if t > 0:
            s = states[-1] + mix[t] * (data[t] - states[-1])
        y = U @ torch.cat([s, one])
        units = y.relu() - (y - U[:, -1:]).relu() if clipped else y.relu()
        states.append(W[:, :n_states] @ s + W[:, n_states : n_states + 1] + W[:, n_states + 1 :] @ units)
    return torch.stack(states)


def inputs(alpha, n_steps=11, M=4, L=6, B=5, seed=0):
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return 0.4 * torch.randn(*shape, generator=g, dtype=torch.float64)

    mix = torch.full((n_steps, M, 1), alpha, dtype=torch.float64)
    weights = [draw(M, M + 1 + L), draw(L, M + 1), draw(M, B)]
    return [w.requires_grad_() for w in weights], draw(n_steps, M, B), mix


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_values_and_gradients_are_those_of_automatic_differentiation(alpha, clipped):
    weights, data, mix = inputs(alpha, n_steps=2 * recursion._BLOCK + 3)
    results = []
    for function in (recur, eager):
        Z = function(*weights, data, mix, clipped)
        loss = (Z.square() * torch.arange(1, len(Z) + 1)[:, None, None]).mean()
        results.append((Z.detach(), *torch.autograd.grad(loss, weights)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_sparse_forcing_whose_interval_does_not_divide_the_length():
    weights, data, mix = inputs(0.0, n_steps=10)
    mix[::3, :2] = 1.0
    results = [torch.autograd.grad(f(*weights, data, mix, False).square().sum(), weights) for f in (recur, eager)]
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_gradients_stop_at_full_forcing():
    weights, data, mix = inputs(1.0)
    gradient = torch.autograd.grad(recur(*weights, data, mix, False)[-1].sum(), weights[2])[0]
    np.testing.assert_array_equal(gradient, 0)


def test_one_step_with_fewer_outputs_than_states():
    weights, data, mix = inputs(0.0, n_steps=1)
    weights[0] = weights[0].detach()[:2].requires_grad_()
    results = [torch.autograd.grad(f(*weights, data, mix, True).square().sum(), weights) for f in (recur, eager)]
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
