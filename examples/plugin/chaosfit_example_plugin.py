"""A third-party estimator for chaosfit: copy this folder and change the names.

1. Write a class on one of the three engines in ``chaosfit.base`` (this file).
2. Give it a name by an entry point (``pyproject.toml``).
3. Install it where chaosfit lives: ``pip install -e .``
4. Look at it: ``chaosfit plugins``, ``chaosfit describe radial_basis_map``, ``chaosfit check radial_basis_map``.
5. Use it: ``chaosfit.registry.make("radial_basis_map", n_units=50)``, or rank it against the built-in methods:
   ``chaosfit compare data.csv --methods radial_basis_map,persistence``.

The contract as a pytest file is in ``tests/test_contract.py``.
"""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from chaosfit.base import WindowDynamics
from chaosfit.validation import Interval


class RadialBasisMap(WindowDynamics):
    """A global map made of radial basis functions.

    x[t+1] = b + A x[t] + sum_k w_k |x[t] - c_k|^3, linear in b, A and w: fitted by least squares.
    The centres c_k are training states, spread evenly over the time of the training data.

    Parameters
    ----------
    n_units : int, default=30
        Largest number >= 1 of centres; more of them resolve more structure, and more noise.

    Attributes
    ----------
    centers_ : ndarray of shape (n_centers, d)
    weights_ : ndarray of shape (1 + d + n_centers, m)
        Rows: b, A, w.

    Notes
    -----
    Not an interpolation: with fewer centres than rows the data are approximated.

    References
    ----------
    Casdagli, Physica D 35, 335 (1989), doi:10.1016/0167-2789(89)90074-2

    Examples
    --------
    >>> import numpy as np
    >>> X = np.empty((300, 1))
    >>> X[0] = 0.3
    >>> for t in range(299):
    ...     X[t + 1] = 3.9 * X[t] * (1 - X[t])  # the logistic map
    >>> model = RadialBasisMap().fit(X[:200])
    >>> bool(model.score(X[200:]) > 0.9999)
    True
    >>> model.forecast(5).shape
    (5, 1)
    """

    chaosfit_api = (1, 0)  # the version of the contract that this class was written for
    _parameter_constraints: ClassVar[dict] = {"n_units": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_units=30):
        self.n_units = n_units

    def _fit(self, trajectories):
        states = np.concatenate([trajectory.X for trajectory in trajectories])  # (n, d)
        targets = np.concatenate([trajectory.Y for trajectory in trajectories])  # (n, m)
        rows = np.linspace(0, len(states) - 1, min(self.n_units, len(states))).astype(int)
        self.centers_ = states[rows]
        features = self._features(states)
        # Cubes of distances dwarf the states: least squares sees columns of equal size.
        size = np.abs(features).max(axis=0)
        size[size == 0] = 1.0
        weights, *_ = np.linalg.lstsq(features / size, targets, rcond=1e-10)
        self.weights_ = weights / size[:, np.newaxis]

    def _forward(self, windows, u):
        outputs = self._features(windows[:, -1]) @ self.weights_
        return outputs[:, np.newaxis]  # (N, 1, m): one step

    def _features(self, states):
        cubes = cdist(states, self.centers_) ** 3
        return np.hstack([np.ones((len(states), 1)), states, cubes])

    @classmethod
    def get_test_params(cls):
        """Parameter sets for `chaosfit check`."""
        return [{}, {"n_units": 3}]
