import numpy as np
import pytest
from sklearn.linear_model import Ridge

from chaosfit.methods.sequence.dlinear import DLinear, moving_average
from chaosfit.methods.sequence.nlinear import NLinear


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return np.cumsum(rng.standard_normal((300, 3)), axis=0) * [1.0, 10.0, 0.1] + [0.0, 500.0, 3.0]


def stacked(X, length, horizon):
    """Standardised windows and futures of all variables, one below the other: (N d, L) and (N d, k)."""
    z = (X - X[:-1].mean(axis=0)) / X[:-1].std(axis=0)
    starts = range(len(X) - length - horizon + 1)
    past = np.concatenate([z[s : s + length].T for s in starts])
    future = np.concatenate([z[s + length : s + length + horizon].T for s in starts])
    return past, future


def test_nlinear_is_ridge_on_differences(X):
    past, future = stacked(X, 10, 4)
    desired = Ridge(alpha=0.5).fit(past[:, :-1] - past[:, -1:], future - past[:, -1:])
    model = NLinear(context_length=10, horizon=4, ridge=0.5).fit(X)
    np.testing.assert_allclose(model.coef_, desired.coef_, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, desired.intercept_, atol=1e-8)
    last = (X[-10:] - model.mean_) / model.scale_
    step = desired.predict((last[:-1] - last[-1]).T) + last[-1][:, None]
    np.testing.assert_allclose(model.forecast(4), step.T * model.scale_ + model.mean_, rtol=1e-8)


def test_dlinear_is_ridge_on_remainder_and_trend(X):
    past, future = stacked(X, 10, 4)
    padded = np.pad(past, ((0, 0), (2, 2)), mode="edge")
    trend = np.stack([np.convolve(row, np.ones(5) / 5, mode="valid") for row in padded])
    desired = Ridge(alpha=0.5).fit(np.hstack([past - trend, trend]), future)
    model = DLinear(context_length=10, horizon=4, trend_length=5, ridge=0.5).fit(X)
    np.testing.assert_allclose(model.coef_, desired.coef_, atol=1e-7)
    np.testing.assert_allclose(model.intercept_, desired.intercept_, atol=1e-8)


@pytest.mark.parametrize("width", [1, 4, 25])
def test_moving_average(width):
    matrix = moving_average(8, width)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    before, after = (width - 1) // 2, width - 1 - (width - 1) // 2
    x = np.random.default_rng(0).standard_normal(8)
    padded = np.concatenate([np.repeat(x[0], before), x, np.repeat(x[-1], after)])
    np.testing.assert_allclose(matrix @ x, np.convolve(padded, np.ones(width) / width, mode="valid"))


@pytest.mark.parametrize("cls", [NLinear, DLinear])
def test_units_do_not_matter(cls, X):
    factor, shift = np.array([2.0, 0.01, 300.0]), np.array([5.0, -1.0, 0.0])
    plain, scaled = cls(context_length=8, horizon=2).fit(X), cls(context_length=8, horizon=2).fit(X * factor + shift)
    np.testing.assert_allclose(scaled.forecast(6), plain.forecast(6) * factor + shift, rtol=1e-6)


@pytest.mark.parametrize("cls", [NLinear, DLinear])
def test_variables_do_not_see_each_other(cls, X):
    model = cls(context_length=8, horizon=2).fit(X)
    changed = X.copy()
    changed[-4:, 0] += 3.0
    difference = np.abs(model.forecast(4, changed) - model.forecast(4, X)).max(axis=0)
    assert difference[0] > 0
    assert (difference[1:] == 0).all()


@pytest.mark.parametrize("cls", [NLinear, DLinear])
def test_outputs_that_are_not_states_may_use_all_variables(cls, X):
    y = np.column_stack([X[:, 0] - X[:, 1], np.roll(X[:, 2], 2)])
    model = cls(context_length=4, horizon=1).fit(X, y)
    assert model.coef_.shape[0] == 2
    np.testing.assert_allclose(model.predict(X)[4:], y[4:], atol=1e-3 * X.std())


@pytest.mark.parametrize("cls", [NLinear, DLinear])
def test_blocks_and_trajectories_give_what_one_pass_gives(cls, X, monkeypatch):
    ids = np.repeat([0, 1, 2], [120, 5, 175])  # the second is too short for a window and its future
    model = cls(context_length=8, horizon=2)
    desired = model.fit(X, trajectory_id=ids).forecast(5)
    monkeypatch.setattr("chaosfit.methods.sequence.linear_window._BLOCK", 7)
    np.testing.assert_allclose(model.fit(X, trajectory_id=ids).forecast(5), desired, rtol=1e-9)


def test_wrong_sizes_are_refused(X):
    with pytest.raises(ValueError, match="The 'context_length' parameter of NLinear must be"):
        NLinear(context_length=1).fit(X)
    with pytest.raises(ValueError, match=r"DLinear needs a trajectory with 34 rows .* got 31 rows"):
        DLinear().fit(X[:32])
