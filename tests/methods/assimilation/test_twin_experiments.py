"""Published twin experiments; thresholds lie above the published errors, the baselines must miss them.

Settings: Lorenz-96 and Lorenz-63 as in Sakov and Oke, Tellus A 60, 361 (2008), and Bocquet, Nonlin. Processes Geophys.
18, 735 (2011); Kuramoto-Sivashinsky as in Raanes et al., DAPPER, J. Open Source Softw. 9, 5150 (2024).
"""

from typing import NamedTuple

import numpy as np
import pytest

from chaosfit.methods.assimilation.ensemble_kalman_filter import EnsembleKalmanFilter
from chaosfit.systems.pdes import KuramotoSivashinsky

pytestmark = pytest.mark.slow

N_SEEDS = 3


class Twin(NamedTuple):
    """Truth and observations (N_SEEDS, n, d), a free run of the model (n, d), and how to filter."""

    truth: np.ndarray
    observations: np.ndarray
    free_run: np.ndarray
    step: object
    noise: float
    burn_in: int
    initial_variance: float

    def rmse(self, estimate):
        """Time mean of the error at every row, over the seeds."""
        return np.sqrt(np.mean((estimate - self.truth) ** 2, axis=-1))[:, self.burn_in :].mean()

    def filtered(self, observations=None, **params):
        """Filter from an ensemble close to the truth."""
        rng = np.random.default_rng(1)
        start, n_ensemble = self.truth[:, :1], params["n_ensemble"]
        error = rng.standard_normal(start.shape) + rng.standard_normal((N_SEEDS, n_ensemble, start.shape[2]))
        model = EnsembleKalmanFilter(self.step, observation_noise=self.noise, random_state=0, **params)
        ensemble = start + np.sqrt(self.initial_variance) * error
        observations = self.observations if observations is None else observations
        return model.fit(self.free_run).assimilate(observations, ensemble=ensemble)

    def climatology(self):
        return self.rmse(self.free_run.mean(axis=0))

    def no_assimilation(self, **params):
        return self.rmse(self.filtered(np.full_like(self.truth, np.nan), **params).mean)

    def optimal_interpolation(self):
        """Kalman update of the climatology by every observation on its own."""
        mean, P = self.free_run.mean(axis=0), np.cov(self.free_run.T)
        gain = P @ np.linalg.inv(P + self.noise**2 * np.eye(len(P)))
        return self.rmse(mean + (self.observations - mean) @ gain.T)


def twin(step, start, n_rows, n_transient, noise, burn_in, initial_variance=0.001):
    rng = np.random.default_rng(7)
    x = start + rng.standard_normal((N_SEEDS + 1, len(start)))
    for _ in range(n_transient):
        x = step(x)
    path = [x]
    for _ in range(n_rows - 1):
        path.append(step(path[-1]))
    path = np.stack(path, axis=1)
    truth = path[:N_SEEDS]
    observations = truth + noise * rng.standard_normal(truth.shape)
    return Twin(truth, observations, path[-1], step, noise, burn_in, initial_variance)


def runge_kutta(rhs, dt, n_steps):
    def step(x):
        for _ in range(n_steps):
            k1 = rhs(x)
            k2 = rhs(x + dt / 2 * k1)
            k3 = rhs(x + dt / 2 * k2)
            k4 = rhs(x + dt * k3)
            x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x

    return step


def lorenz63(x):
    return np.stack(
        [10 * (x[:, 1] - x[:, 0]), x[:, 0] * (28 - x[:, 2]) - x[:, 1], x[:, 0] * x[:, 1] - 8 / 3 * x[:, 2]], axis=1
    )


def lorenz96(x):
    return (np.roll(x, -1, axis=1) - np.roll(x, 2, axis=1)) * np.roll(x, 1, axis=1) - x + 8


@pytest.fixture(scope="module")
def l96():
    return twin(runge_kutta(lorenz96, 0.05, 1), np.zeros(40), 2000, 300, 1.0, 400)


@pytest.fixture(scope="module")
def l63():
    start = np.array([1.509, -1.531, 25.46])
    return twin(runge_kutta(lorenz63, 0.01, 25), start, 2000, 100, np.sqrt(2), 400, initial_variance=2.0)


@pytest.fixture(scope="module")
def ks():
    system = KuramotoSivashinsky(length=32 * np.pi, n_points=128, max_step=0.5)
    return twin(lambda x: system.simulate(2, x0=x, dt=1.0)[:, 1], np.zeros(128), 300, 200, 1.0, 60)


L96_CASES = {
    "etkf": ({"n_ensemble": 28}, 0.21),
    "letkf": ({"n_ensemble": 7, "inflation": 1.04, "localization_radius": 4.0}, 0.25),
    "serial": ({"scheme": "serial", "n_ensemble": 28}, 0.21),
    "denkf": ({"scheme": "denkf", "n_ensemble": 40, "inflation": 1.01}, 0.21),
    "stochastic": ({"scheme": "stochastic", "n_ensemble": 40, "inflation": 1.06, "rotation": False}, 0.25),
    "enkf_n": ({"scheme": "enkf_n", "n_ensemble": 24, "inflation": 1.0}, 0.25),
}


@pytest.mark.parametrize("case", L96_CASES)
def test_lorenz96(l96, case):
    params, threshold = L96_CASES[case]
    result = l96.filtered(**params)
    error = l96.rmse(result.mean)
    assert error <= threshold
    spread = np.sqrt(np.mean(result.spread**2, axis=-1))[:, 400:].mean()
    assert spread == pytest.approx(error, rel=0.25)


def test_lorenz96_half_observed(l96):
    rng = np.random.default_rng(2)
    half = l96._replace(noise=1.5, observations=l96.truth + 1.5 * rng.standard_normal(l96.truth.shape))
    half.observations[:, :, 1::2] = np.nan
    assert half.rmse(half.filtered(scheme="enkf_n", n_ensemble=24, inflation=1.01).mean) <= 0.65


def test_lorenz96_baselines_fail(l96):
    assert l96.climatology() > 3
    assert l96.no_assimilation(n_ensemble=28) > 3
    assert l96.optimal_interpolation() > 0.8
    # Ten members without localisation and inflation lose the truth.
    assert l96.rmse(l96.filtered(n_ensemble=10, inflation=1.0, rotation=False).mean) > 2


def test_lorenz63(l63):
    assert l63.rmse(l63.filtered(n_ensemble=10).mean) <= 0.68


def test_lorenz63_smoother(l63):
    """Two later observations, half a Lyapunov time, take more than a quarter of the error away."""
    filtered, smoothed = (l63.filtered(n_ensemble=10, smoother_lag=lag) for lag in (0, 2))
    assert l63.rmse(smoothed.mean) < 0.75 * l63.rmse(filtered.mean)


def test_lorenz63_baselines_fail(l63):
    assert l63.climatology() > 6
    assert l63.no_assimilation(n_ensemble=10) > 6
    assert l63.optimal_interpolation() > 1


def test_kuramoto_sivashinsky(ks):
    assert ks.rmse(ks.filtered(n_ensemble=16, localization_radius=51 / 1.82).mean) <= 0.12


def test_kuramoto_sivashinsky_baselines_fail(ks):
    assert ks.climatology() > 1
    assert ks.no_assimilation(n_ensemble=16) > 0.5
    assert ks.optimal_interpolation() > 0.3
