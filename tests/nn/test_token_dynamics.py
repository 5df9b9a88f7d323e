import numpy as np
import pytest

from chaosfit.nn.state_space import SelectiveSSM
from chaosfit.nn.token_dynamics import simulate_tokens, token_scenario, token_velocity
from chaosfit.nn.trainer import seeded

X0 = np.array([[0.8], [1.1], [0.6]])
ONE = np.ones((1, 1))


def simulate(mu, step, times, **options):
    return simulate_tokens(X0, np.asarray(times), mu * ONE, ONE, step * ONE, -np.ones(1), **options)


def test_velocity_equals_the_double_sum():
    rng = np.random.default_rng(0)
    x, S_B, S_C, S_delta = (rng.standard_normal(shape) for shape in [(4, 3), (2, 3), (2, 3), (3, 3)])
    A = -rng.random(3)
    delta = np.log1p(np.exp(x @ S_delta.T))
    desired = np.zeros_like(x)
    for token in range(4):
        for j in range(token + 1):
            decay = np.exp(A * delta[j + 1 : token + 1].sum(axis=0))
            desired[token] += (S_C @ x[token]) @ (S_B @ x[j]) * decay * delta[j] * x[j]
    np.testing.assert_allclose(token_velocity(x, S_B, S_C, S_delta, A), desired, rtol=1e-12)


def slope(path, times):
    return np.polyfit(np.log(times), np.log(path[:, 0, 0]), 1)[0]


def test_tokens_collapse_like_the_inverse_root():
    times = np.concatenate([[0.0], np.geomspace(1e3, 1e4, 20)])
    path, blow_up = simulate(-1.0, 1.0, times)
    assert blow_up == np.inf
    assert -0.52 < slope(path[1:], times[1:]) < -0.47
    assert path[-1, 0, 0] == pytest.approx((2 * np.log(2) * 1e4) ** -0.5, rel=0.02)


def test_tokens_diverge_slowly_when_the_step_decays():
    path, blow_up = simulate(1.0, -1.0, [0.0, 1e2, 1e4, 1e6])
    assert blow_up == np.inf
    np.testing.assert_allclose(path[1:, 0, 0], [11.6, 17.6, 23.1], rtol=0.05)
    assert not -0.52 < slope(path[1:], np.array([1e2, 1e4, 1e6])) < -0.47


def test_tokens_blow_up_in_finite_time():
    path, blow_up = simulate(1.0, 1.0, np.linspace(0, 1, 101))
    assert 0.20 < blow_up < 0.25
    assert np.isnan(path[-1]).all()
    last = path[np.isfinite(path[:, 0, 0])][-1].ravel()
    assert last.argmax() == 1, "the tokens grow at different rates"


def test_the_laws_need_the_softplus(monkeypatch):
    """With Delta = S x instead of its softplus the collapse is faster than the inverse root."""
    monkeypatch.setattr(np, "logaddexp", lambda _, x: x)
    times = np.concatenate([[0.0], np.geomspace(1e3, 1e4, 20)])
    path, _ = simulate(-1.0, 1.0, times)
    assert not -0.52 < slope(path[1:], times[1:]) < -0.47


def test_scenarios_of_layers():
    with seeded(0):
        free, constrained, negative = (
            SelectiveSSM(8, d_state=4, io_constraint=kind) for kind in ("none", "psd", "none")
        )
    negative.to_B.weight.data = -negative.to_C.weight.data
    eigenvalues, scenario = token_scenario(constrained)
    assert (eigenvalues > -1e-9).all()
    assert np.sum(eigenvalues > 1e-9) == 4
    assert scenario == "divergence"
    assert token_scenario(negative)[1] == "collapse"
    assert token_scenario(free)[1] == "divergence"
