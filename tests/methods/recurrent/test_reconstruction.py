"""What trained networks know of the system: exponents, fixed points, symbols, the growth of gradients."""

import numpy as np
import pytest

from chaosfit.analysis.symbols import symbolic_dynamics
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.recurrent.almost_linear_rnn import AlmostLinearRNN
from chaosfit.methods.recurrent.shallow_plrnn import ShallowPLRNN
from chaosfit.metrics.attractor import power_spectrum_hellinger, state_space_divergence
from chaosfit.nn.trainer import Trainer
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.tangent import lyapunov_spectrum

DT = 0.02
# Lorenz's fixed points but the origin, in its own units.
LOBES = np.array([[72**0.5, 72**0.5, 27.0], [-(72**0.5), -(72**0.5), 27.0]])


def trainer(max_steps, batch_size, learning_rate):
    options = {"optimizer": "radam", "schedule": "exponential", "clip_norm": None, "validation_fraction": 0.0}
    return Trainer(max_steps=max_steps, batch_size=batch_size, learning_rate=learning_rate, **options)


@pytest.fixture(scope="module")
def lorenz():
    return [Lorenz63().simulate(20_000, dt=DT, random_state=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def shallow(lorenz):
    model = ShallowPLRNN(50, sequence_length=30, forcing=0.15, trainer=trainer(5000, 32, 1e-2), random_state=0)
    return model.fit(lorenz[0])


def lobes_missed_by(points, scale):
    """Distance of the nearest of these fixed points from each lobe's, in deviations."""
    found = np.concatenate([point.points for point in points])
    return np.linalg.norm((found[:, np.newaxis] - LOBES) / scale, axis=2).min(axis=0)


@pytest.mark.slow
def test_attractor_exponents_and_fixed_points_of_lorenz(shallow, lorenz):
    train, truth = lorenz
    run = shallow.forecast(len(truth), truth[:1])
    assert state_space_divergence(truth, run) < 3.0
    assert power_spectrum_hellinger(truth, run) < 0.15
    still = Persistence().fit(train).forecast(len(truth), truth[:1])
    assert state_space_divergence(truth, still) > 10.0
    assert 0.75 < lyapunov_spectrum(shallow, x0=run[5000::2000], n_steps=1000, dt=DT).exponents[0] < 1.2
    assert lobes_missed_by(shallow.fixed_points(), truth.std(axis=0)).max() < 0.3


@pytest.mark.slow
def test_forcing_bounds_gradients_that_explode_without(shallow, lorenz):
    jacobians = shallow.map_.jacobian(shallow._scaled(lorenz[1][:2000]))
    alpha = 1 - 1 / np.linalg.norm(jacobians, 2, axis=(1, 2)).max()
    assert 0 < alpha < 1
    free, forced = np.eye(3), np.eye(3)
    growth = []
    for J in jacobians:
        free, forced = J @ free, (1 - alpha) * J @ forced
        growth.append((np.linalg.norm(free, 2), np.linalg.norm(forced, 2)))
    free_growth, forced_growth = np.array(growth).T
    assert forced_growth.max() <= 1 + 1e-12
    assert free_growth.max() > 1e6  # exp(0.906 * 40)


@pytest.mark.slow
def test_two_rectifiers_read_lorenz_as_two_lobes_and_a_switch(lorenz):
    model = AlmostLinearRNN(
        20, 2, sequence_length=40, forcing_interval=10, trainer=trainer(6000, 32, 1e-2), random_state=1
    ).fit(lorenz[0])
    result = symbolic_dynamics(model.symbols(lorenz[1]), min_share=1e-3)
    assert 3 <= len(result.symbols) <= 4
    # Two regions never follow each other: who leaves a lobe passes the third.
    x = lorenz[1][:, 0]
    symbols = model.symbols(lorenz[1])
    left, right = (
        max(result.symbols, key=lambda s, part=part: (symbols[part] == s).mean()) for part in (x < -8, x > 8)
    )
    left, right = np.searchsorted(result.symbols, [left, right])
    assert left != right
    assert result.switches[left, right] + result.switches[right, left] < 0.02
    points = model.fixed_points()
    assert lobes_missed_by(points, lorenz[1].std(axis=0)).max() < 0.4
