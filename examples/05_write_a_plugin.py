"""Write a method: pick an engine, write two hooks, have the contract checked. `plugin/` is the installable form."""

import numpy as np

import chaosfit
from chaosfit import registry
from chaosfit.base import WindowDynamics
from chaosfit.testing import check_dynamics


class NearestSuccessor(WindowDynamics):
    """Repeat the change that followed the most similar past state (Lorenz's analogue, 1969)."""

    def _fit(self, trajectories):
        self.states_ = np.concatenate([t.X for t in trajectories])
        self.changes_ = np.concatenate([t.Y - (t.X if self._self_supervised else 0) for t in trajectories])

    def _forward(self, windows, u):
        """Map windows (N, 1, d) to the next row (N, 1, m)."""
        states = windows[:, -1]
        nearest = [np.argmin(((self.states_ - x) ** 2).sum(axis=1)) for x in states]
        start = states if self._self_supervised else 0
        return (start + self.changes_[nearest])[:, np.newaxis]


# Validation, several trajectories, batches, divergence, scikit-learn and sktime come with the engine.
results = check_dynamics(NearestSuccessor())
print(f"{len(results)} checks, statuses: {sorted({result.status for result in results})}")

registry.register("nearest_successor", NearestSuccessor)  # in a notebook; a package uses an entry point
X = chaosfit.Lorenz63().simulate(3000, dt=0.02, random_state=0)
print(chaosfit.compare(X, methods=["persistence", "nearest_successor", "local_analogues"], dt=0.02))
