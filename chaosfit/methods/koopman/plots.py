"""Pictures of spectra; every function returns the matplotlib axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_eigenvalues", "plot_singular_values"]


def plot_eigenvalues(
    eigenvalues: np.ndarray, residuals: np.ndarray, *, tolerance: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw eigenvalues (r,) with the unit circle, coloured by residual (r,), ringed where verified."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    ax = plt.subplots()[1] if ax is None else ax
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 361))
    ax.plot(circle.real, circle.imag, color="0.7", linewidth=0.8)
    colour = np.clip(residuals, 1e-4, 1)
    points = ax.scatter(
        eigenvalues.real, eigenvalues.imag, c=colour, norm=LogNorm(1e-4, 1), cmap="plasma", s=18, zorder=3
    )
    passed = eigenvalues[residuals < tolerance]
    ax.scatter(passed.real, passed.imag, s=70, facecolors="none", edgecolors="k", label=f"residual < {tolerance:g}")
    ax.figure.colorbar(points, ax=ax, label="residual")
    ax.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$", aspect="equal")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def plot_singular_values(singular_values: np.ndarray, rank: int, ax: Axes | None = None) -> Axes:
    """Draw the spectrum of a Hankel matrix, relative to its first value, and the rank that was kept."""
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1] if ax is None else ax
    number = np.arange(1, len(singular_values) + 1)
    ax.semilogy(number, np.maximum(singular_values / singular_values[0], 1e-17), ".", color="0.5")
    ax.semilogy(number[:rank], singular_values[:rank] / singular_values[0], "o", label=f"kept: {rank}")
    ax.set(xlabel="number", ylabel="singular value / first")
    ax.legend(frameon=False)
    return ax
