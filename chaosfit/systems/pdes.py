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
        slope = self._slope
        advance = self._propagator(dt, lambda u: slope * np.fft.rfft(u**2))
        out = np.empty((len(starts), n_samples, self.dim))
        out[:, 0], v = starts, np.fft.rfft(starts)
        with np.errstate(all="ignore"):
            for sample in range(1, n_samples):
                v = advance(v)
                out[:, sample] = np.fft.irfft(v, self.dim)
        return out

    def advance_tangent(self, x: np.ndarray, frame: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Advance states (B, dim) and tangent vectors (B, dim, k), w_t = -(u w)_x - w_xx - w_xxxx, by dt."""
        # Row 0 is the state, the other rows are the tangent vectors; (u^2)' = 2 u w.
        rows = np.concatenate([x[:, None], np.swapaxes(frame, 1, 2)], axis=1)

        slope, factor = self._slope, np.full((rows.shape[1], 1), 2.0)
        factor[0] = 1.0

        def products(u: np.ndarray) -> np.ndarray:
            return slope * np.fft.rfft(factor * u[:, :1] * u)

        rows = np.fft.irfft(self._propagator(dt, products)(np.fft.rfft(rows)), self.dim)
        return rows[:, 0], np.swapaxes(rows[:, 1:], 1, 2)

    @property
    def _wavenumber(self) -> np.ndarray:
        return 2.0 * np.pi / self.length * np.arange(self.dim // 2 + 1)

    @property
    def _slope(self) -> np.ndarray:
        """The operator -(1/2) d/dx."""
        slope = -0.5j * self._wavenumber
        # The first derivative of the highest resolved wave is not representable on the grid.
        slope[-1] = 0.0
        return slope

    def _propagator(self, dt, products):
        """Advance Fourier coefficients by dt; `products` gives the nonlinear term from the values u."""
        n_substeps = int(np.ceil(dt / self.max_step * (1.0 - 1e-12)))
        coefficients = etdrk4(self._wavenumber**2 - self._wavenumber**4, dt / n_substeps)

        def advance(v: np.ndarray) -> np.ndarray:
            for _ in range(n_substeps):
                v = etdrk4_step(v, lambda w: products(np.fft.irfft(w, self.dim)), coefficients)
            return v

        return advance
