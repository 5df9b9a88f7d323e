r"""What happens to tokens that pass many selective state-space layers: collapse or divergence.

Depth is a continuous time. Of a layer only the selective scan is kept, and a token x_l (D,) follows

dx_l/dt = sum_{j <= l} (S_C x_l . S_B x_j) exp(A sum_{j < k <= l} Delta(x_k)) Delta(x_j) x_j

with Delta(x) = softplus(S_Delta x); the exponential, Delta and the last product act channel by channel. If S_C' S_B
has no positive direction all tokens go to zero, like t^(-1/2); otherwise they grow, slowly while Delta decays and to
infinity in finite time while it grows.

References
----------
Vo, Pham, Tong and Nguyen, Demystifying the Token Dynamics of Deep Selective State Space Models, arXiv:2410.03292.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import solve_ivp

from chaosfit.nn.state_space import SelectiveSSM


def token_velocity(x: np.ndarray, S_B: np.ndarray, S_C: np.ndarray, S_delta: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Evaluate dx/dt of tokens.

    Parameters
    ----------
    x : ndarray of shape (L, D)
    S_B, S_C : ndarray of shape (N, D)
    S_delta : ndarray of shape (D, D)
    A : ndarray of shape (D,), negative

    Returns
    -------
    ndarray of shape (L, D)
    """
    delta = np.logaddexp(0.0, x @ S_delta.T)
    weight = np.tril((x @ S_C.T) @ (x @ S_B.T).T)  # (L, L)
    total = np.cumsum(delta, axis=0)
    past = np.tril(np.ones((len(x), len(x))))[:, :, np.newaxis] > 0
    exponent = np.where(past, A * (total[:, np.newaxis] - total), -np.inf)
    return np.einsum("lj,ljd,jd->ld", weight, np.exp(exponent), delta * x)


def simulate_tokens(
    x0: np.ndarray,
    times: np.ndarray,
    S_B: np.ndarray,
    S_C: np.ndarray,
    S_delta: np.ndarray,
    A: np.ndarray,
    *,
    bound: float = 1e5,
) -> tuple[np.ndarray, float]:
    """Follow tokens through depth.

    Parameters
    ----------
    x0 : ndarray of shape (L, D)
    times : ndarray of shape (n,), increasing from 0
    S_B, S_C, S_delta, A
        As in `token_velocity`.
    bound : float > 0, default=1e5
        A token of this size has blown up, and the integration stops.

    Returns
    -------
    path : ndarray of shape (n, L, D)
        NaN after the blow-up.
    blow_up : float
        When the first token reached the bound; infinite if none did.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones((1, 1))
    >>> path, blow_up = simulate_tokens(one, np.array([0.0, 1e4]), one, -one, one, -np.ones(1))
    >>> bool(abs(path[1, 0, 0] / (2 * np.log(2) * 1e4) ** -0.5 - 1) < 0.02), blow_up
    (True, inf)
    """
    times = np.asarray(times, dtype=float)

    def reaches_bound(t, x):
        return np.abs(x).max() - bound

    reaches_bound.terminal = True  # type: ignore[attr-defined]
    solution = solve_ivp(
        lambda t, x: token_velocity(x.reshape(x0.shape), S_B, S_C, S_delta, A).ravel(),
        (times[0], times[-1]),
        np.ravel(x0).astype(float),
        t_eval=times,
        events=reaches_bound,
        rtol=1e-8,
        atol=1e-10,
        method="LSODA",
    )
    path = np.full((len(times), *np.shape(x0)), np.nan)
    path[: len(solution.t)] = solution.y.T.reshape(-1, *np.shape(x0))
    hits = solution.t_events[0]
    return path, float(hits[0]) if len(hits) else float("inf")


def token_scenario(layer: SelectiveSSM) -> tuple[np.ndarray, str]:
    """Eigenvalues (inner,) of the symmetric part of S_C' S_B, and "divergence" if one is positive, else "collapse"."""
    with torch.no_grad():
        S_B, S_C = (weight.double().numpy() for weight in layer.io_weights())
    product = S_C.T @ S_B
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    tolerance = 1e-9 * np.abs(eigenvalues).max()
    return eigenvalues, "divergence" if eigenvalues[-1] > tolerance else "collapse"
