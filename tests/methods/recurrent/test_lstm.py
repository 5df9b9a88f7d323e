import numpy as np
import torch

from chaosfit.methods.recurrent.lstm import LSTM
from chaosfit.nn.trainer import Trainer, seeded


def network(context_length, horizon=2):
    with seeded(0):
        return LSTM(context_length, horizon=horizon, n_units=6)._network(3, 3, 0)


def test_gates():
    """The library's cell is the one of the docstring."""
    net = network(2)
    past = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0))
    cell = net.recurrence
    gates = cell.weight_ih_l0 @ past.flatten() + cell.bias_ih_l0 + cell.bias_hh_l0
    i, _, g, o = gates.split(6)
    hidden = torch.sigmoid(o) * torch.tanh(torch.sigmoid(i) * torch.tanh(g))  # c starts at zero
    torch.testing.assert_close(net(past).flatten(), net.head(hidden))


def test_incomplete_first_patch_repeats_the_first_row():
    net = network(5)
    past = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(past), net(torch.cat([past[:, :1], past], 1)))


def test_forecast_depends_on_the_window_alone():
    X = np.sin(0.3 * np.arange(200))[:, None]
    model = LSTM(context_length=6, horizon=2, n_units=8, trainer=Trainer(max_steps=20), random_state=0).fit(X)
    assert (model.forecast(9, X) == model.forecast(9, X[-6:])).all()
