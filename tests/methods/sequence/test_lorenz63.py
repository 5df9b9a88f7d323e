"""Lorenz-63 from 8000 rows at dt = 0.02: how many Lyapunov times networks, and what they have to beat, stay right."""

import numpy as np
import pytest

from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.recurrent.lstm import LSTM
from chaosfit.methods.sequence.dlinear import DLinear
from chaosfit.methods.sequence.mlp import MLP
from chaosfit.methods.sequence.nbeats import NBeatsLite
from chaosfit.methods.sequence.nlinear import NLinear
from chaosfit.methods.sequence.phyx_mamba import PhyxMamba
from chaosfit.metrics.forecast import valid_time
from chaosfit.nn.trainer import Trainer
from chaosfit.systems.flows import Lorenz63

DT, HORIZON = 0.02, 600


@pytest.fixture(scope="module")
def data():
    train = Lorenz63().simulate(8000, dt=DT, random_state=0)
    test = Lorenz63().simulate(30 + HORIZON, dt=DT, random_state=1, n_trajectories=60)
    return train, test[:, :30], test[:, 30:]


def median_valid_time(model, data):
    train, contexts, truth = data
    forecast = model.fit(train).forecast(HORIZON, contexts)
    times = valid_time(truth, forecast, dt=DT, lyapunov_exponent=0.9056, scale=train.std(axis=0))
    return np.median(times)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "least"), [(MLP(), 4.0), (NBeatsLite(), 3.5), (LSTM(), 3.0)], ids=["mlp", "nbeats", "lstm"]
)
def test_networks(model, least, data):
    model.set_params(trainer=Trainer(max_steps=3000), random_state=0)
    assert median_valid_time(model, data) >= least


@pytest.mark.slow
def test_phyx_mamba_in_a_third_of_its_training(data):
    model = PhyxMamba(free_run_length=0, n_branches=0, random_state=0)
    model.set_params(trainer=Trainer(max_steps=600, batch_size=128))
    assert median_valid_time(model, data) >= 1.5


@pytest.mark.parametrize("model", [Persistence(), LinearAutoregression(n_lags=30), NLinear(), DLinear()], ids=repr)
def test_what_is_linear_fails(model, data):
    assert median_valid_time(model, data) < 0.5
