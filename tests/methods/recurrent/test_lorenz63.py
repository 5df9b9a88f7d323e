"""Lorenz-63 with noise of 5 %: attractor, spectrum, exponent and skill of what is learned.

Free runs start from many states, because a single one can end on a stable cycle that lies beside the attractor.
"""

import numpy as np
import pytest

from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.recurrent.almost_linear_rnn import AlmostLinearRNN
from chaosfit.methods.recurrent.shallow_plrnn import ShallowPLRNN
from chaosfit.metrics.attractor import power_spectrum_hellinger, state_space_divergence
from chaosfit.metrics.forecast import valid_time
from chaosfit.nn.trainer import Trainer
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.tangent import lyapunov_spectrum

DT = 0.01


@pytest.fixture(scope="module")
def data():
    """Noisy training rows (100000, 3) and clean trajectories (20, 5000, 3), in deviations."""
    rows = Lorenz63().simulate(100_000, dt=DT, random_state=0)
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    train = (rows - mean) / scale + 0.05 * np.random.default_rng(0).normal(size=rows.shape)
    truth = (Lorenz63().simulate(5000, dt=DT, n_trajectories=20, random_state=1) - mean) / scale
    return train, truth


def scores(model, truth, warm_up=5):
    """D_stsp of all free runs together, mean D_H, and median valid time in Lyapunov times."""
    truth, starts = truth[:, warm_up:], truth[:, :warm_up]
    runs = model.forecast(truth.shape[1], starts)
    space = state_space_divergence(truth.reshape(-1, 3), runs.reshape(-1, 3))
    spectrum = np.mean([power_spectrum_hellinger(x, run) for x, run in zip(truth, runs, strict=True)])
    pieces = truth[:, : 5 * 900].reshape(-1, 900, 3)
    path = model.forecast(900 - warm_up, pieces[:, :warm_up])
    valid = valid_time(pieces[:, warm_up:], path, dt=DT, lyapunov_exponent=0.9056, scale=np.ones(3))
    return space, spectrum, np.median(valid)


def trainer(max_steps, batch_size):
    options = {"optimizer": "radam", "schedule": "exponential", "clip_norm": None, "validation_fraction": 0.0}
    return Trainer(learning_rate=1e-2, max_steps=max_steps, batch_size=batch_size, **options)


@pytest.mark.slow
def test_shallow_plrnn_keeps_attractor_spectrum_exponent_and_skill(data):
    train, truth = data
    model = ShallowPLRNN(50, sequence_length=100, forcing=0.15, trainer=trainer(10_000, 16), random_state=0).fit(train)
    space, spectrum, valid = scores(model, truth)
    assert space <= 1.0
    assert spectrum <= 0.15
    assert valid >= 1.6
    exponent = lyapunov_spectrum(model, 1, x0=truth[:16, 2000], dt=DT, n_steps=4000).exponents[0]
    assert 0.75 <= exponent <= 1.08


@pytest.mark.slow
def test_almost_linear_rnn_keeps_attractor_spectrum_exponent_and_skill(data):
    train, truth = data
    model = AlmostLinearRNN(20, 10, sequence_length=96, trainer=trainer(5000, 32), random_state=0).fit(train)
    space, spectrum, valid = scores(model, truth, warm_up=160)
    assert space <= 1.5
    assert spectrum <= 0.25
    assert valid >= 1.0
    states = model.states(truth[0])[200::300]
    assert 0.6 <= lyapunov_spectrum(model, 1, x0=states, dt=DT, n_steps=4000).exponents[0] <= 1.15


@pytest.mark.slow
@pytest.mark.parametrize("model", [Persistence(), LinearAutoregression(n_lags=5)], ids=lambda m: type(m).__name__)
def test_persistence_and_a_linear_map_fail_at_all_of_it(model, data):
    train, truth = data
    space, spectrum, valid = scores(model.fit(train), truth)
    assert space > 1.5
    assert spectrum > 0.15
    assert valid < 0.5
