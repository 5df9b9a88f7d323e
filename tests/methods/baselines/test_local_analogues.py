import numpy as np
import pytest

from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.local_analogues import LocalAnalogues
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([LocalAnalogues(**p) for p in LocalAnalogues.get_test_params()])
def test_contract(check):
    check()


@pytest.mark.parametrize("n_dims", [3, 30])  # fewer and more than neighbours
def test_local_model_equals_a_direct_ridge_regression(n_dims):
    rng = np.random.default_rng(0)
    X, y, query = rng.normal(size=(60, n_dims)), rng.normal(size=60), rng.normal(size=n_dims)
    model = LocalAnalogues(n_neighbors=12, ridge=0.1).fit(X, y)
    scale = X.std(axis=0)
    near = np.argsort((((X - query) / scale) ** 2).sum(axis=1))[:12]
    V, w = X[near] / scale, y[near]
    V_centred = V - V.mean(axis=0)
    G = V_centred.T @ V_centred
    slope = np.linalg.solve(G + 0.1 * np.trace(G) / n_dims * np.eye(n_dims), V_centred.T @ (w - w.mean()))
    expected = w.mean() + (query / scale - V.mean(axis=0)) @ slope
    np.testing.assert_allclose(model.predict([query]), [expected])
    residuals = model._local_model(query[np.newaxis, np.newaxis])[1][0, :, 0]
    np.testing.assert_allclose(np.sort(residuals), np.sort(w - w.mean() - V_centred @ slope))


def test_a_linear_map_is_exact():
    rng = np.random.default_rng(0)
    A = 0.9 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    X = np.empty((300, 3))
    X[0] = 1
    for t in range(299):
        X[t + 1] = A @ X[t] + rng.normal(size=3)
    model = LocalAnalogues(ridge=0.0).fit(X[:-1], X[:-1] @ A.T)
    np.testing.assert_allclose(model.predict(X), X @ A.T, atol=1e-9)


def test_coinciding_neighbours_are_no_trouble():
    X = np.tile([[0.0, 1.0], [1.0, 0.0]], (30, 1))
    np.testing.assert_allclose(LocalAnalogues(n_neighbors=5).fit(X).forecast(2), [[0, 1], [1, 0]], atol=1e-9)


def test_chunks_do_not_matter(monkeypatch):
    X = np.random.default_rng(0).normal(size=(100, 2))
    model = LocalAnalogues().fit(X)
    whole = model.predict(X)
    monkeypatch.setattr("chaosfit.methods.baselines.local_analogues._BLOCK", 100)
    np.testing.assert_allclose(model.predict(X), whole)


def test_samples_spread_as_noise_and_average_to_the_forecast():
    rng = np.random.default_rng(0)
    X = np.zeros((3000, 1))
    for t in range(2999):
        X[t + 1] = 0.8 * X[t] + 0.1 * rng.normal()
    model = LocalAnalogues(n_neighbors=200, random_state=0).fit(X)
    samples = model.forecast_samples(3, n_samples=2000)[..., 0]
    assert abs(samples[:, 0].mean() - model.forecast(1)[0, 0]) < 0.01
    expected = 0.1 * np.sqrt([1, 1 + 0.8**2, 1 + 0.8**2 + 0.8**4])
    np.testing.assert_allclose(samples.std(axis=0), expected, rtol=0.15)


def test_valid_time_on_lorenz(lorenz):
    analogues = lorenz.median_valid_time(LocalAnalogues().fit(lorenz.train))
    assert analogues > 2.5  # measured 3.1 and 4.3 on two training trajectories
    assert analogues > 10 * lorenz.median_valid_time(LinearAutoregression().fit(lorenz.train))


def test_linear_neighbourhoods_beat_the_mean_of_analogues(lorenz):
    local = lorenz.median_valid_time(LocalAnalogues().fit(lorenz.train))
    mean = lorenz.median_valid_time(LocalAnalogues(ridge=1e6).fit(lorenz.train))
    assert local > 2 * mean
