"""Variable projection against the matrices of the literature."""

import numpy as np
import pytest

from chaosfit.methods.koopman.exponentials import _normal_equations, amplitude_map, best_coefficients, shared_modes


def test_normal_equations_are_those_of_the_full_jacobian():
    """The (n d, r) Jacobian of the literature, formed here, never in the method."""
    rng = np.random.default_rng(0)
    t, X = np.linspace(0, 3, 25), rng.normal(size=(25, 4))
    alpha = np.array([0.1 + 2j, 0.1 - 2j, -0.5])
    (trial,), _ = best_coefficients([X], [t], alpha)
    inverse = np.linalg.pinv(trial.basis)
    outside = np.eye(25) - trial.basis @ inverse
    columns = []
    for j in range(3):
        slope = np.zeros_like(trial.basis)
        slope[:, j] = t * trial.basis[:, j]
        inner = inverse.conj().T @ slope.conj().T @ trial.residual
        columns.append((outside @ slope @ trial.coefficients + inner).ravel())
    J = np.stack(columns, axis=1)
    gram, right = _normal_equations(trial, t)
    np.testing.assert_allclose(gram, J.conj().T @ J, atol=1e-10)
    np.testing.assert_allclose(right, J.conj().T @ trial.residual.ravel(), atol=1e-10)


def test_amplitude_map_inverts_the_model_without_overflow():
    rng = np.random.default_rng(0)
    exponents = np.array([-300.0, 200.0 + 1j, 200.0 - 1j, 0.1j])
    modes = rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))
    t = np.linspace(0, 5, 12)
    M = amplitude_map(exponents, modes, t)
    assert np.isfinite(M).all()
    now = np.array([0.0, 1.0, 2.0, 3.0])
    window = (np.exp(exponents[1:] * (t[:, None] - t[-1])) * now[1:]) @ modes[1:]
    np.testing.assert_allclose(window.ravel() @ M, now, atol=1e-8)


def test_shared_modes_have_norm_one_and_the_direction():
    mode = np.array([3.0, 4.0j])
    (found,) = shared_modes([mode[None] * 2, mode[None] * 1j])
    assert np.abs(np.vdot(found, mode / 5)) == pytest.approx(1)
