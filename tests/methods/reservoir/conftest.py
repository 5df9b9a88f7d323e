"""Lorenz's equations, sampled every 0.02: one training trajectory and 50 test stretches from other starts."""

from typing import NamedTuple

import numpy as np
import pytest

from chaosfit.metrics.forecast import valid_time
from chaosfit.numerics.integrate import integrate_batch


class Lorenz(NamedTuple):
    train: np.ndarray  # (5000, 3)
    contexts: np.ndarray  # (50, 100, 3)
    futures: np.ndarray  # (50, 800, 3)

    def median_valid_time(self, model, n_context: int = 100) -> float:
        """Median over the starts, in Lyapunov times, from contexts of so many rows."""
        forecasts = model.forecast(self.futures.shape[1], self.contexts[:, -n_context:])
        scale = self.train.std(axis=0)
        return np.median(valid_time(self.futures, forecasts, dt=0.02, lyapunov_exponent=0.9056, scale=scale))


def _rhs(X):
    x, y, z = X.T
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=1)


@pytest.fixture(scope="session")
def lorenz() -> Lorenz:
    starts = np.random.default_rng(0).normal([0, 0, 25], 5, size=(51, 3))
    starts = integrate_batch(_rhs, starts, [0.0, 50.0])[:, -1]
    train = integrate_batch(_rhs, starts[:1], 0.02 * np.arange(5000))[0]
    test = integrate_batch(_rhs, starts[1:], 0.02 * np.arange(900))
    return Lorenz(train, test[:, :100], test[:, 100:])
