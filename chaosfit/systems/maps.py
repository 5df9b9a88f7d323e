"""Maps with published invariants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaosfit.systems.system import Map

__all__ = ["Henon", "Logistic"]


@dataclass(frozen=True, kw_only=True)
class Henon(Map):
    """Henon's map of the plane.

    x' = 1 - a x^2 + y,  y' = b x.

    Parameters
    ----------
    a, b : float
        Published: 1.4, 0.3. The sum of the Lyapunov exponents is ln abs(b) exactly.

    References
    ----------
    Henon, Commun. Math. Phys. 50, 69, 1976, doi:10.1007/BF01608556. Exponents and dimension: Sprott, Chaos and
    Time-Series Analysis, 2003, ISBN 978-0-19-850840-3.

    Examples
    --------
    >>> from chaosfit.systems.maps import Henon
    >>> Henon().simulate(3, x0=[0.0, 0.0]).round(3).tolist()
    [[0.0, 0.0], [1.0, 0.0], [-0.4, 0.3]]
    """

    a: float = 1.4
    b: float = 0.3

    name = "henon"
    dim = 2
    transient = 1000.0
    initial_state = (0.0, 0.0)
    initial_spread = 0.05
    published_exponents = (0.41922, -1.62319)
    published_dimension = 1.258
    reference = "doi:10.1007/BF01608556; Sprott 2003, ISBN 978-0-19-850840-3"

    def step(self, X):
        x, y = X.T
        return np.array([1.0 - self.a * x**2 + y, self.b * x]).T

    def jacobian(self, X):
        out = np.zeros((len(X), 2, 2))
        out[:, 0, 0], out[:, 0, 1], out[:, 1, 0] = -2.0 * self.a * X[:, 0], 1.0, self.b
        return out


@dataclass(frozen=True, kw_only=True)
class Logistic(Map):
    """The logistic map x' = r x (1 - x).

    Parameters
    ----------
    r : float
        Growth rate; at the default, 4, the Lyapunov exponent is ln 2 exactly.

    References
    ----------
    May, Nature 261, 459, 1976, doi:10.1038/261459a0.

    Examples
    --------
    >>> from chaosfit.systems.maps import Logistic
    >>> Logistic().simulate(3, x0=[0.25]).ravel().tolist()
    [0.25, 0.75, 0.75]
    """

    r: float = 4.0

    name = "logistic"
    dim = 1
    transient = 1000.0
    initial_state = (0.4,)
    initial_spread = 0.03
    published_exponents = (float(np.log(2.0)),)
    published_dimension = 1.0
    reference = "doi:10.1038/261459a0"

    def step(self, X):
        return self.r * X * (1.0 - X)

    def jacobian(self, X):
        return (self.r * (1.0 - 2.0 * X))[:, :, None]
