import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.methods.assimilation import analysis

SQUARE_ROOTS = [analysis.etkf_weights, analysis.serial_weights]


def problem(n_members=7, n_variables=4, n_observed=4, n_batch=(), seed=0):
    """Anomalies, whitened observed anomalies of a linear operator, and innovation."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((*n_batch, n_members, n_variables))
    A -= A.mean(axis=-2, keepdims=True)
    H = rng.standard_normal((n_variables, n_observed))
    return A, A @ H, rng.standard_normal((*n_batch, n_observed)), H


def moments(ensemble):
    anomalies = ensemble - ensemble.mean(axis=0)
    return ensemble.mean(axis=0), anomalies.T @ anomalies / (len(ensemble) - 1)


@pytest.mark.parametrize("scheme", SQUARE_ROOTS)
@given(n_members=st.integers(2, 12), n_observed=st.integers(1, 8), seed=st.integers(0, 1000))
def test_square_roots_are_the_kalman_update(scheme, n_members, n_observed, seed):
    A, Y, innovation, H = problem(n_members, 4, n_observed, seed=seed)
    P = A.T @ A / (n_members - 1)
    gain = P @ H @ np.linalg.inv(H.T @ P @ H + np.eye(n_observed))
    mean, covariance = moments(scheme(Y, innovation) @ A)
    scale = 1 + np.abs(P).max() + np.abs(innovation).max()
    np.testing.assert_allclose(mean, gain @ innovation, atol=1e-10 * scale)
    np.testing.assert_allclose(covariance, P - gain @ H.T @ P, atol=1e-10 * scale)


def test_deterministic_and_stochastic_means_are_the_kalman_mean():
    A, Y, innovation, _ = problem(6, 4, 9)
    noise = np.random.default_rng(1).standard_normal(Y.shape)
    noise -= noise.mean(axis=0)
    expected = (analysis.etkf_weights(Y, innovation) @ A).mean(axis=0)
    np.testing.assert_allclose((analysis.denkf_weights(Y, innovation) @ A).mean(axis=0), expected, atol=1e-12)
    stochastic = analysis.stochastic_weights(Y, innovation, noise) @ A
    np.testing.assert_allclose(stochastic.mean(axis=0), expected, atol=1e-12)


def test_denkf_covariance_is_the_published_one():
    A, Y, innovation, H = problem(9, 3, 3)
    P = A.T @ A / 8
    half = np.eye(3) - 0.5 * P @ H @ np.linalg.inv(H.T @ P @ H + np.eye(3)) @ H.T
    _, covariance = moments(analysis.denkf_weights(Y, innovation) @ A)
    np.testing.assert_allclose(covariance, half @ P @ half.T, atol=1e-12)


def test_stochastic_covariance_converges_to_the_kalman_covariance():
    A, Y, innovation, H = problem(20000, 2, 2)
    noise = np.random.default_rng(1).standard_normal(Y.shape)
    precision = np.linalg.inv(Y.T @ Y + 19999 * np.eye(2))
    # Among 20000 members the N x N system is too large: the same update, written with m x m.
    updated = A + (innovation + noise - noise.mean(axis=0) - Y) @ precision @ (Y.T @ A)
    small = analysis.stochastic_weights(Y[:50], innovation, noise[:50]) @ A[:50]
    direct = A[:50] + (innovation + noise[:50] - Y[:50]) @ np.linalg.inv(Y[:50].T @ Y[:50] + 49 * np.eye(2)) @ (
        Y[:50].T @ A[:50]
    )
    np.testing.assert_allclose(small, direct, atol=1e-11)
    P = A.T @ A / 19999
    expected = P - P @ H @ np.linalg.inv(H.T @ P @ H + np.eye(2)) @ H.T @ P
    np.testing.assert_allclose(moments(updated)[1], expected, atol=0.02)


def test_local_etkf_with_full_taper_is_the_etkf():
    _, Y, innovation, _ = problem(n_batch=(3,))
    local = analysis.local_etkf_weights(Y, innovation, np.ones((4, 4)))
    expected = analysis.etkf_weights(Y, innovation)
    np.testing.assert_allclose(local, np.repeat(expected[:, np.newaxis], 4, axis=1), atol=1e-11)


def test_local_etkf_without_overlap_updates_variables_one_by_one():
    A, _, innovation, _ = problem()
    weights = analysis.local_etkf_weights(A, innovation, np.eye(4))
    for j in range(4):
        alone = analysis.etkf_weights(A[:, j : j + 1], innovation[j : j + 1])
        np.testing.assert_allclose(weights[j], alone, atol=1e-12)


@pytest.mark.parametrize("scheme", [*SQUARE_ROOTS, analysis.denkf_weights, analysis.finite_size_weights])
def test_zero_columns_drop_out_and_filters_are_independent(scheme):
    _, Y, innovation, _ = problem(n_batch=(2,))
    Y[..., 1:], innovation[..., 1:] = 0, 0
    expected = [scheme(Y[i, :, :1], innovation[i, :1]) for i in range(2)]
    np.testing.assert_allclose(scheme(Y, innovation), expected, atol=1e-12)


def test_finite_size_inflation_minimises_its_cost():
    values, projected = np.array([0.0, 0.5, 3.0, 20.0]), np.array([0.0, 1.0, 9.0, 60.0])
    dof, n_members = 3, 4
    mode = (5 / 4 / (4 / 3)) ** (0.5 * dof * np.mean(1 / (values + dof)))

    def cost(factor):
        z = factor**2
        misfit = np.sum(projected[1:] ** 2 / values[1:] / (z * values[1:] + dof))
        return misfit + (n_members + 1) / n_members / mode / z + n_members / dof * mode * np.log(z)

    factors = np.linspace(0.3, 20, 200001)
    best = factors[np.argmin([cost(f) for f in factors[::20]]) * 20]
    assert analysis.finite_size_inflation(values, projected) == pytest.approx(best, abs=0.003)


def test_finite_size_inflation_without_observations_is_one():
    assert analysis.finite_size_inflation(np.zeros(5), np.zeros(5)) == pytest.approx(1.0)


def test_gaspari_cohn():
    taper = analysis.gaspari_cohn(np.array([0.0, 4.0, -4.0, 14.56, 100.0]), 4.0)
    np.testing.assert_allclose(taper, [1, 0.63356, 0.63356, 0, 0], atol=1e-5)
    distance = np.linspace(0, 16, 1000)
    steps = np.diff(analysis.gaspari_cohn(distance, 4.0))
    assert (steps <= 1e-12).all()
    assert steps.min() > -0.005  # continuous where its pieces meet


@given(n_members=st.integers(2, 30), seed=st.integers(0, 100))
def test_rotation_is_orthogonal_and_keeps_the_mean(n_members, seed):
    rotation = analysis.random_rotation(n_members, np.random.default_rng(seed))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(n_members), atol=1e-12)
    np.testing.assert_allclose(rotation.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(rotation.sum(axis=0), 1, atol=1e-12)
