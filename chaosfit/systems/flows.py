"""Ordinary differential equations with published invariants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaosfit.systems.system import Flow

__all__ = ["Lorenz63", "Lorenz96", "Rossler", "TwoScaleLorenz96"]


@dataclass(frozen=True, kw_only=True)
class Lorenz63(Flow):
    """Lorenz's three-variable model of convection.

    dx/dt = sigma (y - x),  dy/dt = x (rho - z) - y,  dz/dt = x y - beta z.

    Parameters
    ----------
    sigma, rho, beta : float
        Published: 10, 28, 8/3. The sum of the Lyapunov exponents is -(sigma + 1 + beta) exactly.
    tolerance : float
        Local error of the integration.

    References
    ----------
    Lorenz, J. Atmos. Sci. 20, 130, 1963, doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2. Exponents and dimension:
    Sprott, Chaos and Time-Series Analysis, 2003, ISBN 978-0-19-850840-3.

    Examples
    --------
    >>> from chaosfit.systems.flows import Lorenz63
    >>> Lorenz63().simulate(100, random_state=0).shape
    (100, 3)
    """

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8.0 / 3.0

    name = "lorenz63"
    dim = 3
    dt = 0.01
    transient = 30.0
    initial_state = (1.0, 1.0, 20.0)
    initial_spread = 1.0
    published_exponents = (0.9056, 0.0, -14.5723)
    published_dimension = 2.062
    reference = "doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2; Sprott 2003, ISBN 978-0-19-850840-3"

    def rhs(self, X):
        x, y, z = X.T
        return np.array([self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z]).T

    def jacobian(self, X):
        out = np.zeros((len(X), 3, 3))
        out[:, 0, :2] = -self.sigma, self.sigma
        out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = self.rho - X[:, 2], -1.0, -X[:, 0]
        out[:, 2, 0], out[:, 2, 1], out[:, 2, 2] = X[:, 1], X[:, 0], -self.beta
        return out


@dataclass(frozen=True, kw_only=True)
class Rossler(Flow):
    """Rossler's single-scroll flow.

    dx/dt = -y - z,  dy/dt = x + a y,  dz/dt = b + z (x - c).

    Parameters
    ----------
    a, b, c : float
        Published: 0.2, 0.2, 5.7.
    tolerance : float
        Local error of the integration.

    References
    ----------
    Rossler, Phys. Lett. A 57, 397, 1976, doi:10.1016/0375-9601(76)90101-8. Exponents and dimension: Sprott, Chaos and
    Time-Series Analysis, 2003, ISBN 978-0-19-850840-3.

    Examples
    --------
    >>> from chaosfit.systems.flows import Rossler
    >>> Rossler().simulate(50, x0=[1.0, 1.0, 0.0])[0].tolist()
    [1.0, 1.0, 0.0]
    """

    a: float = 0.2
    b: float = 0.2
    c: float = 5.7

    name = "rossler"
    dim = 3
    dt = 0.1
    transient = 300.0
    initial_state = (1.0, 1.0, 0.0)
    initial_spread = 1.0
    published_exponents = (0.0714, 0.0, -5.3943)
    published_dimension = 2.013
    reference = "doi:10.1016/0375-9601(76)90101-8; Sprott 2003, ISBN 978-0-19-850840-3"

    def rhs(self, X):
        x, y, z = X.T
        return np.array([-y - z, x + self.a * y, self.b + z * (x - self.c)]).T

    def jacobian(self, X):
        out = np.zeros((len(X), 3, 3))
        out[:, 0, 1:] = -1.0
        out[:, 1, :2] = 1.0, self.a
        out[:, 2, 0], out[:, 2, 2] = X[:, 2], X[:, 0] - self.c
        return out


@dataclass(frozen=True, kw_only=True)
class Lorenz96(Flow):
    """Lorenz's ring of sites, a minimal model of error growth in the weather.

    dx_i/dt = (x_(i+1) - x_(i-2)) x_(i-1) - x_i + forcing, indices modulo n_variables.

    Parameters
    ----------
    n_variables : int
        Number of sites, >= 4; published: 40. The sum of the Lyapunov exponents is -n_variables exactly.
    forcing : float
        Published: 8.
    tolerance : float
        Local error of the integration.

    References
    ----------
    Lorenz, Emanuel, J. Atmos. Sci. 55, 399, 1998, doi:10.1175/1520-0469(1998)055<0399:OSFSWO>2.0.CO;2. Exponent and
    dimension: Karimi, Paul, Chaos 20, 043105, 2010, doi:10.1063/1.3496397, arXiv:0906.3496.

    Examples
    --------
    >>> from chaosfit.systems.flows import Lorenz96
    >>> Lorenz96(n_variables=6).simulate(20, random_state=0).shape
    (20, 6)
    """

    n_variables: int = 40
    forcing: float = 8.0

    name = "lorenz96"
    dt = 0.05
    transient = 20.0
    initial_spread = 1.0
    published_exponents = (1.68,)
    published_dimension = 27.1
    reference = "doi:10.1175/1520-0469(1998)055<0399:OSFSWO>2.0.CO;2; doi:10.1063/1.3496397"

    def __post_init__(self) -> None:
        """Refuse rings on which the neighbours of a site coincide."""
        super().__post_init__()
        if not isinstance(self.n_variables, int | np.integer) or self.n_variables < 4:
            raise ValueError(f"Lorenz96: n_variables must be an integer >= 4, got {self.n_variables!r}")

    @property
    def dim(self) -> int:
        """Number of sites."""
        return int(self.n_variables)

    @property
    def initial_state(self) -> np.ndarray:
        """The unstable equilibrium x_i = forcing."""
        return np.full(self.dim, float(self.forcing))

    def rhs(self, X):
        behind, ahead, far = self._neighbours(X)
        return (ahead - far) * behind - X + self.forcing

    def jacobian(self, X):
        behind, ahead, far = self._neighbours(X)
        out, site = np.zeros((len(X), self.dim, self.dim)), np.arange(self.dim)
        out[:, site, site] = -1.0
        out[:, site, site - 1] = ahead - far
        out[:, site, site - 2] = -behind
        out[:, site, (site + 1) % self.dim] = behind
        return out

    @staticmethod
    def _neighbours(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ring = np.concatenate([X[:, -2:], X, X[:, :1]], axis=1)
        return ring[:, 1:-2], ring[:, 3:], ring[:, :-3]


@dataclass(frozen=True, kw_only=True)
class TwoScaleLorenz96(Flow):
    """Lorenz's ring of slow sites, each coupled to small and fast ones: weather and convection.

    dX_k/dt = (X_(k+1) - X_(k-2)) X_(k-1) - X_k + forcing - (h c / b) sum_j Y_(j,k),
    dY_i/dt = c b (Y_(i-1) - Y_(i+2)) Y_(i+1) - c Y_i + (h c / b) X_(site of i),

    all fast variables on one ring. A sample is (X, Y), the fast variables site after site.

    Parameters
    ----------
    n_variables, n_fast : int
        Slow sites, >= 4, and fast variables per site, >= 1; published: 36 and 10.
    forcing, coupling : float
        Published: 10 and 1 (h).
    time_ratio, space_ratio : float
        How much faster (c) and smaller (b) the fast variables are; published: 10 and 10.
    tolerance : float
        Local error of the integration.

    References
    ----------
    Lorenz, Predictability: a problem partly solved, ECMWF seminar 1995, reprinted in Palmer, Hagedorn (eds.), 2006,
    doi:10.1017/CBO9780511617652.004.

    Examples
    --------
    >>> from chaosfit.systems.flows import TwoScaleLorenz96
    >>> TwoScaleLorenz96(n_variables=4, n_fast=3).simulate(10, transient=1.0, random_state=0).shape
    (10, 16)
    """

    n_variables: int = 36
    n_fast: int = 10
    forcing: float = 10.0
    coupling: float = 1.0
    time_ratio: float = 10.0
    space_ratio: float = 10.0

    name = "two_scale_lorenz96"
    dt = 0.01
    transient = 10.0
    initial_spread = 0.1
    reference = "doi:10.1017/CBO9780511617652.004"

    def __post_init__(self) -> None:
        """Refuse rings on which the neighbours of a site coincide."""
        super().__post_init__()
        for name, least in (("n_variables", 4), ("n_fast", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"TwoScaleLorenz96: {name} must be an integer >= {least}, got {value!r}")

    @property
    def dim(self) -> int:
        """Number of slow and fast variables together."""
        return int(self.n_variables * (1 + self.n_fast))

    @property
    def initial_state(self) -> np.ndarray:
        """Slow sites at half the forcing, fast variables at rest."""
        return np.repeat([0.5 * self.forcing, 0.0], [self.n_variables, self.n_variables * self.n_fast])

    def rhs(self, X):
        K, c, b = self.n_variables, self.time_ratio, self.space_ratio
        slow, fast = X[:, :K], X[:, K:]
        behind, ahead, far = Lorenz96._neighbours(slow)
        # The fast ring turns the other way round.
        after, before, beyond = (ring[:, ::-1] for ring in Lorenz96._neighbours(fast[:, ::-1]))
        exchange = self.coupling * c / b
        load = exchange * fast.reshape(len(X), K, self.n_fast).sum(axis=2)
        return np.concatenate(
            [
                (ahead - far) * behind - slow + self.forcing - load,
                c * b * (before - beyond) * after - c * fast + exchange * np.repeat(slow, self.n_fast, axis=1),
            ],
            axis=1,
        )
