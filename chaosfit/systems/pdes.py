"""Partial differential equations on a periodic line, in Fourier space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaosfit.numerics.spectral import etdrk4, etdrk4_step
from chaosfit.systems.system import System

__all__ = ["KuramotoSivashinsky"]


@dataclass(frozen=True, kw_only=True)
class KuramotoSivashinsky(System):
    """The Kuramoto-Sivashinsky equation of flame fronts, u_t = -u u_x - u_xx - u_xxxx, periodic in x.

    Exponential time differencing (ETDRK4) of the Fourier coefficients. The spatial mean is conserved; random starts
    have mean zero. A sample is u on the grid x_j = j length / n_points.

    Parameters
    ----------
    length : float
        Period, > 0; published: 22.
    n_points : int
        Even number of grid points, >= 8.
    max_step : float
        Upper limit of the time step, > 0.

    References
    ----------
    Kuramoto, Tsuzuki, Prog. Theor. Phys. 55, 356, 1976, doi:10.1143/PTP.55.356. Exponents at length 22: Ding, Chate,
    Cvitanovic, Siminos, Takeuchi, Phys. Rev. Lett. 117, 024101, 2016, doi:10.1103/PhysRevLett.117.024101.

    Examples
    --------
    >>> from chaosfit.systems.pdes import KuramotoSivashinsky
    >>> KuramotoSivashinsky(n_points=32).simulate(10, transient=5.0, random_state=0).shape
    (10, 32)
    """

    length: float = 22.0
    n_points: int = 64
    max_step: float = 0.05

    name = "kuramoto_sivashinsky"
    dt = 0.25
    transient = 200.0
    initial_spread = 1.0
    published_exponents = (
        0.048,
        0.0,
        0.0,
        -0.003,
        -0.189,
        -0.256,
        -0.290,
        -0.310,
    )
    published_dimension = 4.24
    reference = "doi:10.1143/PTP.55.356; doi:10.1103/PhysRevLett.117.024101"

    def __post_init__(self) -> None:
        """Refuse grids without a real Fourier transform of even length."""
        super().__post_init__()
        if not isinstance(self.n_points, int | np.integer) or self.n_points < 8 or self.n_points % 2:
            raise ValueError(f"KuramotoSivashinsky: n_points must be an even integer >= 8, got {self.n_points!r}")
        if self.length <= 0.0 or self.max_step <= 0.0:
            raise ValueError(f"{self!r}: length and max_step must be > 0")

    @property
    def dim(self) -> int:
        """Number of grid points."""
        return int(self.n_points)

    @property
    def initial_state(self) -> np.ndarray:
        """The unstable rest state; noise around it respects all symmetries of the equation."""
        return np.zeros(self.dim)

    def _random_starts(self, n_trajectories, rng):
        starts = super()._random_starts(n_trajectories, rng)
        return starts - starts.mean(axis=1, keepdims=True)

    def _advance(self, starts, n_samples, dt, time):
        wavenumber = 2.0 * np.pi / self.length * np.arange(self.dim // 2 + 1)
        n_substeps = int(np.ceil(dt / self.max_step * (1.0 - 1e-12)))
        coefficients = etdrk4(wavenumber**2 - wavenumber**4, dt / n_substeps)
        derivative = -0.5j * wavenumber
        # The first derivative of the highest resolved wave is not representable on the grid.
        derivative[-1] = 0.0

        def advection(v: np.ndarray) -> np.ndarray:
            return derivative * np.fft.rfft(np.fft.irfft(v, self.dim) ** 2)

        out = np.empty((len(starts), n_samples, self.dim))
        out[:, 0], v = starts, np.fft.rfft(starts)
        with np.errstate(all="ignore"):
            for sample in range(1, n_samples):
                for _ in range(n_substeps):
                    v = etdrk4_step(v, advection, coefficients)
                out[:, sample] = np.fft.irfft(v, self.dim)
        return out
