"""Lorenz's equations, sampled every 0.02: one training trajectory and 50 test stretches from other starts."""

from typing import NamedTuple

import numpy as np
import pytest

from chaosfit.metrics.forecast import valid_time
from chaosfit.systems.flows import Lorenz63


class Lorenz(NamedTuple):
    train: np.ndarray  # (5000, 3)
    contexts: np.ndarray  # (50, 100, 3)
    futures: np.ndarray  # (50, 300, 3)

    def median_valid_time(self, model) -> float:
        """Median over the starts, in Lyapunov times."""
        forecasts = model.forecast(self.futures.shape[1], self.contexts)
        scale = self.train.std(axis=0)
        return np.median(valid_time(self.futures, forecasts, dt=0.02, lyapunov_exponent=0.9056, scale=scale))


@pytest.fixture(scope="session")
def lorenz() -> Lorenz:
    train = Lorenz63().simulate(5000, dt=0.02, transient=50.0, random_state=0)
    test = Lorenz63().simulate(400, dt=0.02, transient=50.0, random_state=1, n_trajectories=50)
    return Lorenz(train, test[:, :100], test[:, 100:])
