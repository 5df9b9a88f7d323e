import numpy as np
import pytest
import torch

from chaosfit.methods.sequence.mlp import MLP
from chaosfit.nn.trainer import Trainer


def test_sizes():
    net = MLP(context_length=4, horizon=3, hidden=(7, 5))._network(2, 2, 1)
    assert [tuple(p.shape) for p in net.parameters()] == [(7, 11), (7,), (5, 7), (5,), (6, 5), (6,)]
    assert net(torch.zeros(9, 4, 2), torch.zeros(9, 3, 1)).shape == (9, 3, 2)


def test_no_hidden_layer_is_a_linear_map():
    rng = np.random.default_rng(0)
    X = np.zeros((400, 2))
    turn = 0.98 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    for t in range(399):
        X[t + 1] = turn @ X[t] + rng.normal(size=2)
    model = MLP(context_length=1, horizon=1, hidden=(), trainer=Trainer(max_steps=500), random_state=0).fit(X)
    columns = (model.predict(np.eye(2)) - model.predict(np.zeros((2, 2)))).T
    np.testing.assert_allclose(columns, turn, atol=0.05)


def test_hidden_must_be_a_tuple():
    with pytest.raises(ValueError, match="The 'hidden' parameter of MLP must be"):
        MLP(hidden=64).fit(np.zeros((50, 1)))
