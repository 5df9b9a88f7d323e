"""The evidence and its maximisation, against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.numerics.gram import lazy_gram
from chaosfit.numerics.relevance import _add, _delete, _Model, default_kappa, fit_relevance


def problem(n=60, p=12, seed=0, noise=0.3):
    """Correlated columns, three terms."""
    rng = np.random.default_rng(seed)
    phi = rng.standard_normal((n, p)) @ (np.eye(p) + 0.3 * rng.standard_normal((p, p)))
    t = phi[:, :3] @ [1.0, -2.0, 0.5] + noise * rng.standard_normal(n)
    return phi, t


def dense_log_evidence(phi, t, fit):
    active = fit.active
    C = np.eye(len(t)) / fit.noise_precision + phi[:, active] / fit.weight_precision[active] @ phi[:, active].T
    return -0.5 * (len(t) * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + t @ np.linalg.solve(C, t))


def fitted(phi, t, **options):
    return fit_relevance(phi.T @ phi, phi.T @ t, t @ t, len(t), **options)


def unit_model(phi, t):
    """The model inside `fit_relevance` before its first iteration, with what it adds columns from."""
    norms = np.linalg.norm(phi, axis=0)
    G, spread = phi.T @ phi, np.sqrt(t @ t / len(t))
    return _Model(phi.T @ t / norms / spread, len(t)), G, norms


@given(seed=st.integers(0, 100), kappa=st.sampled_from([1.0, None]))
def test_posterior_and_evidence_agree_with_dense_formulas(seed, kappa):
    phi, t = problem(seed=seed)
    fit = fitted(phi, t, kappa=kappa)
    assert fit.converged
    active = phi[:, fit.active]
    precision = np.diag(fit.weight_precision[fit.active]) + fit.noise_precision * active.T @ active
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(precision), rtol=1e-8, atol=1e-14)
    mean = fit.noise_precision * fit.covariance @ (active.T @ t)
    np.testing.assert_allclose(fit.coef[fit.active], mean, rtol=1e-8)
    assert np.count_nonzero(fit.coef) == len(fit.active)
    assert fit.log_evidence == pytest.approx(dense_log_evidence(phi, t, fit), rel=1e-10)


@given(seed=st.integers(0, 100))
def test_quality_and_sparsity_agree_with_dense_formulas(seed):
    phi, t = problem(seed=seed)
    model, G, norms = unit_model(phi, t)
    for _ in range(3):
        _add(model, G, norms, 1.0, np.zeros(12, dtype=int))
    unit, target = phi / norms, t / np.sqrt(t @ t / len(t))

    def covariance(columns, alpha):
        return np.eye(len(t)) / model.beta + unit[:, columns] / alpha @ unit[:, columns].T

    S, Q = model.outside()
    inverse = np.linalg.inv(covariance(model.active, model.alpha))
    np.testing.assert_allclose(S, np.einsum("ij,ij->j", unit, inverse @ unit), rtol=1e-9)
    np.testing.assert_allclose(Q, unit.T @ inverse @ target, rtol=1e-8, atol=1e-10)
    s, q = model.inside()
    for k, column in enumerate(model.active):
        rest = np.delete(model.active, k)
        without = np.linalg.inv(covariance(rest, np.delete(model.alpha, k)))
        assert s[k] == pytest.approx(unit[:, column] @ without @ unit[:, column], rel=1e-8)
        assert q[k] == pytest.approx(unit[:, column] @ without @ target, rel=1e-8)


@given(seed=st.integers(0, 200), noise=st.sampled_from([0.0, 0.01, 0.3, 3.0]))
def test_evidence_never_falls_at_fixed_noise(seed, noise):
    phi, t = problem(seed=seed, noise=noise)
    model, G, norms = unit_model(phi, t)
    deletions = np.zeros(12, dtype=int)
    for _ in range(25):
        for change in (
            lambda: _delete(model, 1.0, deletions) or _add(model, G, norms, 1.0, deletions),
            model.update_weights,
        ):
            before = model.log_evidence()
            change()
            rounding = 1e-15 * model.beta * len(t)  # of the residual, a difference of sums
            assert model.log_evidence() > before - 1e-8 - rounding
        model.update_noise(1e-10)


def test_added_precision_is_the_maximum():
    phi, t = problem()
    model, G, norms = unit_model(phi, t)
    _add(model, G, norms, 1.0, np.zeros(12, dtype=int))
    best, best_alpha = model.log_evidence(), model.alpha.copy()
    for factor in (0.9, 1.1):
        model.alpha = factor * best_alpha
        model.refresh()
        assert model.log_evidence() < best


def test_lazy_columns_give_the_same_model():
    rng = np.random.default_rng(0)
    phi = rng.standard_normal((400, 150))
    t = phi[:, ::50] @ [1.0, 2.0, -1.0] + 0.1 * rng.standard_normal(400)
    sums = lazy_gram(phi, t[:, None])
    lazy = fit_relevance(sums.G, sums.R[:, 0], sums.yy[0], 400)
    np.testing.assert_array_equal(lazy.active, [0, 50, 100])
    np.testing.assert_allclose(lazy.coef, fitted(phi, t).coef, rtol=1e-10)


def test_multiples_of_a_column_are_left_out_and_named():
    phi, t = problem()
    twice = np.column_stack([phi, -3 * phi[:, 1], phi[:, 5]])
    fit = fitted(twice, t)
    np.testing.assert_array_equal(fit.active, [0, 1, 2])
    np.testing.assert_array_equal(fit.repeated, [12])


@pytest.mark.parametrize("kappa", [1.0, None])
def test_nearly_collinear_library(kappa):
    """Powers of a variable on a small range: nothing overflows and the fit describes the data."""
    u = np.linspace(0.9, 1.1, 500)
    phi = np.column_stack([u**k for k in range(8)])
    t = 2 * u - u**3
    fit = fitted(phi, t, kappa=kappa)
    assert np.isfinite(fit.log_evidence)
    assert np.linalg.norm(phi @ fit.coef - t) < 1e-3 * np.linalg.norm(t)


def test_pure_noise_and_silence_have_no_terms():
    rng = np.random.default_rng(0)
    phi = rng.standard_normal((500, 20))
    noise = fitted(phi, rng.standard_normal(500))
    assert len(noise.active) == 0
    assert noise.noise_precision == pytest.approx(1.0, rel=0.2)
    assert np.isinf(fitted(phi, np.zeros(500)).noise_precision)


def test_default_kappa():
    assert default_kappa(1, 1) == 1.0
    assert default_kappa(24, 10240) == pytest.approx(1 + 2 * np.log(24) + np.log(10240))
