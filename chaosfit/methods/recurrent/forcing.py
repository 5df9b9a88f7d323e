"""Generalised teacher forcing: how strongly states are pulled to the data while a recurrent model learns."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

__all__ = ["ESTIMATORS", "GeneralisedForcing", "growth_bound"]

Floats = np.ndarray


def growth_bound(jacobians: Floats, estimator: str = "product_upper_bound") -> float:
    """Estimate how fast the products of Jacobians along sequences grow, per step.

    Parameters
    ----------
    jacobians : array (S, T, M, M)
        Of the map, at T consecutive states of S sequences.
    estimator : {"product_upper_bound", "batch_maximum", "explog_approx", "arithmetic_mean"}
        Largest geometric mean of the norms along a sequence; largest norm; norm of the exponential of the mean
        logarithm; norm of the mean. Norms are spectral.

    Returns
    -------
    float >= 0

    Examples
    --------
    >>> import numpy as np
    >>> growth_bound(np.broadcast_to(2 * np.eye(3), (4, 5, 3, 3)))
    2.0
    """
    return float(_BOUNDS[estimator](jacobians))


def _norms(jacobians: Floats) -> Floats:
    """Spectral norms; the eigenvalues of J'J are several times cheaper than singular values."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(jacobians.swapaxes(-1, -2) @ jacobians)[..., -1], 0.0))


def _product_upper_bound(jacobians: Floats) -> float:
    return np.exp(np.log(np.maximum(_norms(jacobians), 1e-300)).mean(axis=1)).max()


def _explog(jacobians: Floats) -> float:
    values, vectors = np.linalg.eig(jacobians)
    if ((values.imag == 0) & (values.real <= 0)).any() or np.linalg.cond(vectors).max() > 1e12:
        warnings.warn(
            "some Jacobians have no real logarithm: the forcing is estimated by product_upper_bound instead",
            RuntimeWarning,
            stacklevel=2,
        )
        return _product_upper_bound(jacobians)
    logarithms = (vectors * np.log(values.astype(complex))[..., np.newaxis, :]) @ np.linalg.inv(vectors)
    values, vectors = np.linalg.eig(logarithms.mean(axis=1))
    means = (vectors * np.exp(values)[..., np.newaxis, :]) @ np.linalg.inv(vectors)
    return _norms(means.real).max()


_BOUNDS: dict[str, Callable[[Floats], float]] = {
    "product_upper_bound": _product_upper_bound,
    "batch_maximum": lambda jacobians: _norms(jacobians).max(),
    "explog_approx": _explog,
    "arithmetic_mean": lambda jacobians: _norms(jacobians.mean(axis=1)).max(),
}
#: "jacobian_upper_bound" needs the weights alone, so the model itself computes it.
ESTIMATORS = (*_BOUNDS, "jacobian_upper_bound")


class GeneralisedForcing:
    r"""The strength alpha with which states are mixed with data, z <- (1 - alpha) z + alpha z_data.

    .. math:: \alpha^* = \max(0, 1 - 1 / n), \qquad
        \alpha \leftarrow \alpha^* \text{ if } \alpha^* > \alpha, \text{ else } \gamma \alpha + (1 - \gamma) \alpha^*

    With n an upper bound of the growth of gradients in a step, their products along the sequence stay bounded by 1.
    A number as `strength` stays as it is; otherwise alpha starts at 1, jumps up at once and decays slowly.

    Parameters
    ----------
    strength : float in [0, 1] or str
        Constant alpha, or the name of the estimator of n.
    decay : float in [0, 1), default=0.999
        gamma.
    every : int >= 1, default=5
        Training steps between two estimates.

    Attributes
    ----------
    alpha : float
    history : list of float
        alpha after each estimate.

    References
    ----------
    Hess, Monfared, Brenner and Durstewitz, ICML 2023, arXiv:2306.04406

    Examples
    --------
    >>> forcing = GeneralisedForcing("product_upper_bound", decay=0.5, every=1)
    >>> forcing.update(lambda: 1.25)
    >>> round(forcing.alpha, 3)  # half way from 1 to 1 - 1 / 1.25
    0.6
    """

    def __init__(self, strength: float | str, decay: float = 0.999, every: int = 5):
        self.is_adaptive = isinstance(strength, str)
        self.alpha = 1.0 if isinstance(strength, str) else float(strength)
        self.decay, self.every = decay, every
        self.history: list[float] = []
        self._n_updates = 0

    def update(self, growth: Callable[[], float]) -> None:
        """Count a training step; at every fifth, move alpha to what `growth()` per step asks for."""
        if not self.is_adaptive:
            return
        if self._n_updates % self.every == 0:
            target = max(0.0, 1.0 - 1.0 / max(growth(), 1e-300))
            rises = target > self.alpha
            self.alpha = target if rises else self.decay * self.alpha + (1 - self.decay) * target
            self.history.append(self.alpha)
        self._n_updates += 1
