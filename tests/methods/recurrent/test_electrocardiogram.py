"""A recorded heartbeat: the network keeps its attractor and its spectrum together."""

import os
from pathlib import Path

import numpy as np
import pytest

from chaosfit.methods.recurrent.shallow_plrnn import ShallowPLRNN
from chaosfit.metrics.attractor import power_spectrum_hellinger, state_space_divergence
from chaosfit.nn.trainer import Trainer


def trainer(max_steps, batch_size, learning_rate):
    options = {"optimizer": "radam", "schedule": "exponential", "clip_norm": None, "validation_fraction": 0.0}
    return Trainer(max_steps=max_steps, batch_size=batch_size, learning_rate=learning_rate, **options)


def _heartbeats(name):
    path = Path(os.environ.get("CHAOSFIT_DATA", "data")) / "real-data" / f"ecg_{name}_scalar.npy"
    if not path.exists():
        pytest.skip(f"{path} not found; set CHAOSFIT_DATA to the folder that holds real-data/{path.name}")
    x = np.load(path).astype(float)
    return np.stack([x[lag : lag + 100_000] for lag in (0, 20, 68, 55, 10)], axis=1)[::10]


@pytest.mark.slow
def test_an_electrocardiogram_keeps_its_attractor_and_spectrum():
    """Both together are what neither one beat for ever, nor linear noise, nor rows without order reach."""
    train, truth = _heartbeats("train"), _heartbeats("test")
    model = ShallowPLRNN(
        100, sequence_length=60, forcing=0.3, noise=0.01, trainer=trainer(8000, 32, 1e-2), random_state=1
    ).fit(train)
    run = model.forecast(12_500, truth[:1])[2500:]

    def scores(run):
        return state_space_divergence(truth, run, n_bins=8), power_spectrum_hellinger(truth, run)

    def passes(space, spectrum):
        return space <= 1.5 and spectrum <= 0.33

    assert passes(*scores(run))
    assert not passes(*scores(np.tile(train[:70], (143, 1))[:10_000]))
    assert not passes(*scores(np.random.default_rng(0).permutation(train)))
    assert not passes(*scores(np.repeat(truth[:1], 10_000, axis=0)))
