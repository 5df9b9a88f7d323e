import numpy as np
import pytest
from sklearn.linear_model import Ridge

from chaosfit.methods.reservoir.network import draw_network
from chaosfit.methods.reservoir.readout import features_slope, fit_readout, readout_features


def test_features():
    r = np.array([[0.5], [0.2], [-0.5]])
    np.testing.assert_allclose(readout_features(r, "linear"), r)
    np.testing.assert_allclose(readout_features(r, "even"), [[0.25], [0.2], [0.25]])
    np.testing.assert_allclose(readout_features(r, "full"), [[0.5], [0.2], [-0.5], [0.25], [0.04], [0.25]])
    assert r[0, 0] == 0.5


@pytest.mark.parametrize("kind", ["linear", "even", "full"])
def test_slope_of_the_features(kind):
    rng = np.random.default_rng(0)
    r, direction = rng.normal(size=7), rng.normal(size=7)
    ahead, behind = (readout_features((r + s * direction)[:, np.newaxis], kind)[:, 0] for s in (1e-6, -1e-6))
    np.testing.assert_allclose(features_slope(r, kind) @ direction, (ahead - behind) / 2e-6, atol=1e-8)


def test_readout_is_ridge_regression_after_the_washout():
    rng = np.random.default_rng(0)
    net = draw_network(
        30, 3, spectral_radius=0.5, input_scale=1, bias_scale=1, degree=4, leak_rate=1, rng=np.random.RandomState(0)
    )
    series = [rng.normal(size=(n, 3)) for n in (200, 15, 60)]
    targets = 5 + rng.normal(size=(275, 2))
    readout = fit_readout(
        net, series, targets, lambda rows, r: readout_features(r, "even"), washout=20, ridge=0.1, overlap=None
    )
    features, kept = [], []
    for z in series:
        r = np.zeros((30, 1))
        for t, row in enumerate(z):
            r = net.step(r, row[:, np.newaxis])
            features.append(readout_features(r, "even")[:, 0])
            kept.append(t >= 20)
    direct = Ridge(0.1).fit(np.array(features)[kept], targets[kept])
    np.testing.assert_allclose(readout.coef, direct.coef_, atol=1e-9)
    np.testing.assert_allclose(readout.intercept, direct.intercept_, atol=1e-9)
