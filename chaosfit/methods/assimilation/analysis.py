"""Analysis schemes of ensemble Kalman filters: pure functions from one forecast ensemble to weights of its members.

Every scheme returns a matrix W (..., N, N), and the analysis ensemble is mean + W A with the anomalies A (..., N, d) of
the forecast, one row a member. Its arguments are in units of the observation noise:

    Y (..., N, m)          anomalies of the observed members
    innovation (..., m)    observation minus the mean of the observed members

A missing observation is a column of zeros in both: it drops out exactly. Everything is solved among the N members, so
no matrix with d or m on both sides is formed. Leading axes are independent filters.
"""

from __future__ import annotations

import numpy as np

#: Half the support of the taper in radii: near a Gaussian of that standard deviation.
_TAPER_SCALE = 1.82


def etkf_weights(Y: np.ndarray, innovation: np.ndarray) -> np.ndarray:
    """Ensemble transform Kalman filter: the symmetric square root (Hunt et al. 2007)."""
    if Y.shape[-1] < Y.shape[-2]:
        return _square_root_of_few_observations(Y, innovation)
    return _square_root(*_spectrum(Y @ _transpose(Y)), _times(Y, innovation))


def local_etkf_weights(Y: np.ndarray, innovation: np.ndarray, taper: np.ndarray) -> np.ndarray:
    """Local ETKF, one transform for every variable; returns (..., d, N, N).

    `taper` (d, m) multiplies the inverse noise variance that a variable sees in an observation.
    """
    n_members, n_observed = Y.shape[-2:]
    products = Y[..., :, np.newaxis, :] * Y[..., np.newaxis, :, :]
    products = products.reshape(*Y.shape[:-2], n_members**2, n_observed)
    gram = (taper @ _transpose(products)).reshape(*Y.shape[:-2], len(taper), n_members, n_members)
    return _square_root(*_spectrum(gram), taper @ _transpose(Y * innovation[..., np.newaxis, :]))


def finite_size_weights(Y: np.ndarray, innovation: np.ndarray) -> np.ndarray:
    """EnKF-N: the ETKF with the inflation of the forecast that its sampling error calls for (Bocquet et al. 2015)."""
    values, vectors = _spectrum(Y @ _transpose(Y))
    scale = finite_size_inflation(values, _times(_transpose(vectors), _times(Y, innovation)))[..., np.newaxis]
    weights = _square_root(scale**2 * values, vectors, scale * _times(Y, innovation))
    return scale[..., np.newaxis] * weights


def finite_size_inflation(values: np.ndarray, projected: np.ndarray) -> np.ndarray:
    """Minimise sum p^2 / (v (v z + N - 1)) + e / z + c ln z over z; return the factor sqrt(z) of the anomalies.

    v are the eigenvalues (..., N) of Y Y^T and p the components of Y innovation along its eigenvectors.
    """
    n_members = values.shape[-1]
    dof = n_members - 1
    repulsion, attraction = (n_members + 1) / n_members, n_members / dof
    # Makes 1 the most probable inflation where the observations say nothing.
    mode = (repulsion / attraction) ** (0.5 * dof * np.mean(1 / (values + dof), axis=-1))
    repulsion, attraction = repulsion / mode, attraction * mode
    low, high = np.full(mode.shape, -7.0), np.full(mode.shape, 14.0)  # of ln z
    for _ in range(45):
        middle = (low + high) / 2
        z = np.exp(middle)[..., np.newaxis]
        pull = np.sum((projected * z / (z * values + dof)) ** 2, axis=-1)
        rising = attraction * z[..., 0] > repulsion + pull
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return np.exp((low + high) / 4)


def denkf_weights(Y: np.ndarray, innovation: np.ndarray) -> np.ndarray:
    """Deterministic EnKF: half the gain for the anomalies (Sakov and Oke 2008)."""
    n_members = Y.shape[-2]
    gram = Y @ _transpose(Y)
    precision = np.linalg.inv(gram + (n_members - 1) * np.eye(n_members))
    shift = _times(precision, _times(Y, innovation))
    return np.eye(n_members) - gram @ precision / 2 + shift[..., np.newaxis, :]


def stochastic_weights(Y: np.ndarray, innovation: np.ndarray, perturbations: np.ndarray) -> np.ndarray:
    """EnKF with perturbed observations (Burgers et al. 1998); `perturbations` (..., N, m) have mean zero."""
    n_members = Y.shape[-2]
    precision = np.linalg.inv(Y @ _transpose(Y) + (n_members - 1) * np.eye(n_members))
    return np.eye(n_members) + (innovation[..., np.newaxis, :] + perturbations - Y) @ _transpose(Y) @ precision


def serial_weights(Y: np.ndarray, innovation: np.ndarray) -> np.ndarray:
    """Potter's square root, one observation after the other (Whitaker and Hamill 2002)."""
    n_members = Y.shape[-2]
    dof = n_members - 1
    Y = Y.copy()
    transform = np.broadcast_to(np.eye(n_members), (*Y.shape[:-2], n_members, n_members)).copy()
    for j in range(Y.shape[-1]):
        column = Y[..., j, np.newaxis].copy()
        total = np.sum(column**2, axis=(-2, -1), keepdims=True) + dof
        scaled = column / (total + np.sqrt(dof * total))
        transform -= scaled @ (_transpose(column) @ transform)
        Y -= scaled @ (_transpose(column) @ Y)
    shift = _times(_transpose(transform), _times(Y, innovation)) / dof
    return transform + shift[..., np.newaxis, :]


def gaspari_cohn(distance: np.ndarray, radius: float) -> np.ndarray:
    """Taper of compact support (Gaspari and Cohn 1999): 0.63 at `radius`, 0 from 3.64 radii on."""
    z = np.abs(distance) / (_TAPER_SCALE * radius)
    near = 1 - z**2 * (5 / 3 - z * (5 / 8 + z * (1 / 2 - z / 4)))
    far_z = np.clip(z, 1, 2)
    far = 4 - far_z * (5 - far_z * (5 / 3 + far_z * (5 / 8 - far_z * (1 / 2 - far_z / 12)))) - 2 / (3 * far_z)
    return np.where(z <= 1, near, np.maximum(far, 0))


def random_rotation(n_members: int, rng: np.random.Generator) -> np.ndarray:
    """Orthogonal matrix (N, N), uniform among those that keep the vector of ones, hence mean and covariance."""
    factor, triangle = np.linalg.qr(rng.standard_normal((n_members - 1, n_members - 1)))
    rotation = np.eye(n_members)
    rotation[1:, 1:] = factor * np.sign(np.diag(triangle))
    axis = np.full(n_members, -1 / np.sqrt(n_members))
    axis[0] += 1
    reflection = np.eye(n_members) - 2 * np.outer(axis, axis) / (axis @ axis)
    return reflection @ rotation @ reflection


def _spectrum(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0), vectors  # rounding may leave them slightly negative


def _square_root(values, vectors, b) -> np.ndarray:
    """Weights from the eigenvalues and eigenvectors of Y Y^T and b = Y innovation."""
    dof = values.shape[-1] - 1
    gain = 1 / (values + dof)
    shift = _times(vectors, gain * _times(_transpose(vectors), b))
    transform = (vectors * np.sqrt(dof * gain)[..., np.newaxis, :]) @ _transpose(vectors)
    return transform + shift[..., np.newaxis, :]


def _square_root_of_few_observations(Y, innovation) -> np.ndarray:
    """Return what `_square_root` does, from the m x m matrix Y^T Y = V D V^T: f(Y Y^T) = f(0) + Y V g(D) V^T Y^T."""
    dof = Y.shape[-2] - 1
    values, vectors = _spectrum(_transpose(Y) @ Y)
    gain = 1 / (values + dof)
    projected = Y @ vectors
    shift = _times(projected, gain * _times(_transpose(vectors), innovation))
    # (sqrt(dof gain) - 1) / values, without the cancellation
    change = (projected * (gain / (1 + np.sqrt(dof * gain)))[..., np.newaxis, :]) @ _transpose(projected)
    return np.eye(dof + 1) - change + shift[..., np.newaxis, :]


def _transpose(matrix: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrix, -1, -2)


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., np.newaxis])[..., 0]
