"""GRNNRegressor: its limits, its choice of bandwidth, and what it refuses."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from chaosfit.methods.regression import grnn
from chaosfit.methods.regression.grnn import BANDWIDTHS, GRNNRegressor


@parametrize_with_checks([GRNNRegressor(), GRNNRegressor(bandwidth=0.5)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) * [1.0, 1e3]
    return X, np.sin(2 * X[:, 0]) + 1e-3 * X[:, 1]


def test_weights_are_those_of_the_equation(data):
    X, y = data
    z, new = X / X.std(axis=0), X[:5] + np.array([0.1, 50.0])
    expected = []
    for row in new / X.std(axis=0):
        k = np.exp(-np.sum((z - row) ** 2, axis=1) / (2 * 0.3**2))
        expected.append(k @ y / k.sum())
    np.testing.assert_allclose(GRNNRegressor(bandwidth=0.3).fit(X, y).predict(new), expected, rtol=1e-10)


def test_a_small_bandwidth_gives_the_nearest_neighbour(data):
    X, y = data
    new = X + 0.05 * X.std(axis=0)
    nearest = KNeighborsRegressor(1).fit(X / X.std(axis=0), y).predict(new / X.std(axis=0))
    for bandwidth in (1e-4, 1e-300):
        np.testing.assert_allclose(GRNNRegressor(bandwidth=bandwidth).fit(X, y).predict(new), nearest)


def test_a_large_bandwidth_gives_the_mean(data):
    X, y = data
    np.testing.assert_allclose(GRNNRegressor(bandwidth=1e6).fit(X, y).predict(X), y.mean(), rtol=1e-9)


def test_far_from_all_data_it_answers_with_the_nearest(data):
    X, y = data
    far = GRNNRegressor(bandwidth=0.05).fit(X, y).predict([[1e4, 0.0]])
    assert far[0] == pytest.approx(y[X[:, 0].argmax()])


def test_the_bandwidth_has_the_least_error_for_left_out_rows(data):
    X, y = data
    noisy = y + 0.3 * np.random.default_rng(1).normal(size=len(y))
    model = GRNNRegressor().fit(X, noisy)
    assert BANDWIDTHS[0] < model.bandwidth_ < BANDWIDTHS[-1]
    errors = []
    for i in range(len(X)):
        others = np.arange(len(X)) != i
        # The units of the columns are those of all rows.
        z = (X - X.mean(axis=0)) / X.std(axis=0)
        k = np.exp(-np.sum((z[others] - z[i]) ** 2, axis=1) / (2 * model.bandwidth_**2))
        errors.append((k @ noisy[others] / k.sum() - noisy[i]) ** 2)
    assert model.errors_.min() == pytest.approx(np.mean(errors) / noisy.var())


def test_units_do_not_matter(data):
    X, y = data
    expected = GRNNRegressor().fit(X, y).predict(X[:20])
    np.testing.assert_allclose(GRNNRegressor().fit(1e5 * X + 7, 3 * y).predict(1e5 * X[:20] + 7), 3 * expected)


def test_several_targets_share_the_weights(data):
    X, y = data
    both = GRNNRegressor(bandwidth=0.3).fit(X, np.column_stack([y, y**2]))
    assert both.predict(X[:7]).shape == (7, 2)
    np.testing.assert_allclose(both.predict(X)[:, 1], GRNNRegressor(bandwidth=0.3).fit(X, y**2).predict(X))


def test_blocks_do_not_change_the_result(data, monkeypatch):
    X, y = data
    whole = GRNNRegressor().fit(X, y)
    monkeypatch.setattr(grnn, "_BLOCK_NUMBERS", 1000)
    parts = GRNNRegressor().fit(X, y)
    np.testing.assert_allclose(parts.errors_, whole.errors_)
    np.testing.assert_allclose(parts.predict(X), whole.predict(X))


@pytest.mark.parametrize("bandwidth", [0, -1.0, "silverman", None])
def test_a_bandwidth_out_of_range_is_refused(bandwidth, data):
    with pytest.raises(ValueError, match="'bandwidth' parameter of GRNNRegressor must be"):
        GRNNRegressor(bandwidth=bandwidth).fit(*data)
