"""What the analyses of one trajectory share: checked states in common units, and their time scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["mean_period", "standardised_states", "theiler_window"]

# Fewer points hold no scaling range; an exponent or dimension from them would be a guess.
MIN_STATES = 500


def standardised_states(X: ArrayLike) -> NDArray[np.float64]:
    """Return X as states (n, d) with mean 0 and variance 1 per coordinate.

    Exponents and dimensions do not change under this; distances then weigh all coordinates alike.

    Raises
    ------
    ValueError
        If X is not (n,) or (n, d), has fewer than 500 rows, is not finite, or has a constant column.
    """
    X = np.asarray(X, dtype=np.float64)
    X = X[:, None] if X.ndim == 1 else X
    if X.ndim != 2:
        raise ValueError(f"expected one trajectory of shape (n,) or (n, d), got shape {X.shape}.")
    if len(X) < MIN_STATES:
        raise ValueError(f"at least {MIN_STATES} states are needed, got {len(X)}.")
    if not np.isfinite(X).all():
        row, column = np.argwhere(~np.isfinite(X))[0]
        raise ValueError(f"X must be finite, got {X[row, column]} in row {row}, column {column}.")
    spread = X.std(axis=0)
    constant = np.flatnonzero(spread <= 1e-12 * np.abs(X).max(axis=0))
    if constant.size:
        raise ValueError(f"column {constant[0]} of X is constant; leave it out.")
    return (X - X.mean(axis=0)) / spread


def mean_period(X: ArrayLike, dt: float = 1.0) -> float:
    r"""Return the reciprocal of the mean frequency.

    .. math:: T = \sum_f P_f \Big/ \sum_f f P_f

    with the power P summed over the coordinates, each of variance 1.

    Parameters
    ----------
    X : array (n,) or (n, d)
        Equally spaced states.
    dt : float > 0, default 1
        Time between two rows.

    Returns
    -------
    float
        In the unit of dt. About 4 dt for white noise. Broadband high frequencies (noise) shorten it.

    References
    ----------
    Rosenstein, Collins and De Luca, Physica D 65, 117 (1993), doi:10.1016/0167-2789(93)90009-P.

    Examples
    --------
    >>> import numpy as np
    >>> round(mean_period(np.sin(2 * np.pi * np.arange(1000) / 25), dt=0.1), 6)
    2.5
    """
    states = standardised_states(X)
    power = (np.abs(np.fft.rfft(states, axis=0)) ** 2).sum(axis=1)
    return float(dt * power.sum() / (np.fft.rfftfreq(len(states)) @ power))


def theiler_window(theiler: int | None, states: NDArray[np.float64]) -> int:
    """Return how far apart in time two states must be to count as neighbours, one mean period by default."""
    if theiler is None:
        return min(int(np.ceil(mean_period(states))), len(states) // 10)
    if not 0 <= theiler < len(states) // 4:
        raise ValueError(f"theiler must be between 0 and a quarter of the {len(states)} states, got {theiler}.")
    return int(theiler)
