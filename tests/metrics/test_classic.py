"""General forecasting scores: against peers where these are right, and where they are not."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from chaosfit.metrics import classic
from chaosfit.metrics.classic import DYSTS_METRICS

LOWER_IS_BETTER = ["mse", "mae", "rmse", "nrmse", "marre", "rmsle", "mape", "wape", "coefficient_of_variation"]
WORST = {
    **dict.fromkeys(LOWER_IS_BETTER, np.inf),
    "smape": 200.0,
    "r2_score": -np.inf,
    "spearman": -1.0,
    "pearson": -1.0,
    "kendall": -1.0,
    "mutual_information": 0.0,
    "kl_divergence": np.inf,
    "hellinger_distance": 1.0,
}
PERFECT = {
    **dict.fromkeys([*LOWER_IS_BETTER, "smape", "kl_divergence", "hellinger_distance"], 0.0),
    **dict.fromkeys(["r2_score", "spearman", "pearson", "kendall"], 1.0),
}


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    true, noise = np.random.default_rng(0).normal(size=(2, 80, 3)) * [1.0, 2.0, 0.5] + 5.0
    return true, 0.8 * true + 0.2 * noise + 0.1


def test_all_seventeen_are_there():
    assert len(DYSTS_METRICS) == 17
    assert set(WORST) == set(DYSTS_METRICS)


@pytest.mark.parametrize("name", PERFECT)
def test_perfect_forecast(name, pair):
    assert DYSTS_METRICS[name](pair[0], pair[0]) == pytest.approx(PERFECT[name], abs=1e-12)


@pytest.mark.parametrize("name", DYSTS_METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_forecast_that_is_not_finite_gets_the_worst_score(name, value, pair):
    pred = pair[1].copy()
    pred[40:] = value
    score = DYSTS_METRICS[name](pair[0], pred)
    assert score == WORST[name] or (name == "smape" and score > 100)


@pytest.mark.parametrize("name", DYSTS_METRICS)
def test_batch_is_the_scores_of_its_trajectories(name, pair):
    true, pred = np.stack([pair[0]] * 3), np.stack([pair[1], pair[0], pair[1][::-1]])
    pred[1, 3, 0] = np.nan
    single = [DYSTS_METRICS[name](t, p) for t, p in zip(true, pred, strict=True)]
    np.testing.assert_allclose(DYSTS_METRICS[name](true, pred), single)


@pytest.mark.parametrize("name", DYSTS_METRICS)
@given(pred=arrays(np.float64, (8, 2), elements=st.floats(-1e3, 1e3)))
def test_never_nan(name, pred):
    true = np.random.default_rng(0).normal(size=(8, 2))
    assert not np.isnan(DYSTS_METRICS[name](true, pred))


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("mse", sklearn.metrics.mean_squared_error),
        ("mae", sklearn.metrics.mean_absolute_error),
        ("rmse", lambda y, p: np.sqrt(((y - p) ** 2).mean())),
        ("r2_score", sklearn.metrics.r2_score),
        ("mape", lambda y, p: 100 * sklearn.metrics.mean_absolute_percentage_error(y, p)),
        ("wape", lambda y, p: 100 * np.abs(y - p).sum() / np.abs(y).sum()),
        ("marre", lambda y, p: 100 * (np.abs(y - p) / np.ptp(y, axis=0)).mean()),
        ("pearson", lambda y, p: np.mean([stats.pearsonr(a, b)[0] for a, b in zip(y.T, p.T, strict=True)])),
        ("spearman", lambda y, p: np.mean([stats.spearmanr(a, b)[0] for a, b in zip(y.T, p.T, strict=True)])),
        ("kendall", lambda y, p: np.mean([stats.kendalltau(a, b)[0] for a, b in zip(y.T, p.T, strict=True)])),
    ],
)
def test_against_peers(name, peer, pair):
    assert DYSTS_METRICS[name](*pair) == pytest.approx(peer(*pair))


@pytest.mark.parametrize("name", ["mse", "mae", "rmse", "nrmse", "mape", "wape", "spearman", "kendall"])
def test_same_as_dysts_where_dysts_is_right(name, pair):
    theirs = pytest.importorskip("dysts.metrics")
    assert DYSTS_METRICS[name](*pair) == pytest.approx(getattr(theirs, name)(*pair), rel=1e-6)


def test_pearson_of_a_single_series_is_not_that_of_the_ranks():
    true = np.array([1.0, 2.0, 3.0, 4.0])
    assert classic.pearson(true, true**5) < 0.95
    assert classic.spearman(true, true**5) == 1.0


def test_rmsle_sees_an_offset(pair):
    assert classic.rmsle(pair[0], pair[0] + 100) > 1
    assert np.isfinite(classic.rmsle(pair[0], pair[0] - 100))


def test_r2_is_not_inflated_by_coordinates_far_apart():
    true = np.random.default_rng(0).normal(size=(200, 2)) + np.array([0.0, 1000.0])
    pred = np.broadcast_to([0.0, 1000.0], true.shape)
    assert abs(classic.r2_score(true, pred)) < 0.1


def test_marre_gives_every_coordinate_its_range(pair):
    factors = np.array([1.0, 1e6, 1e-3])
    assert classic.marre(pair[0] * factors, pair[1] * factors) == pytest.approx(classic.marre(*pair))


def test_coefficient_of_variation_sees_bias_and_has_a_sign(pair):
    centred = pair[0] - pair[0].mean(axis=0)
    assert 0 < classic.coefficient_of_variation(centred, centred + 1) < 1000


def test_constant_forecast_has_no_correlation(pair):
    stuck = np.full_like(pair[0], 3.3)
    for name in ("pearson", "spearman", "kendall"):
        assert DYSTS_METRICS[name](pair[0], stuck) == 0


def test_mutual_information_is_repeatable_and_ordered(pair):
    values = [classic.mutual_information(*pair) for _ in range(2)]
    assert values[0] == values[1]
    shuffled = np.random.default_rng(0).permutation(pair[1])
    assert values[0] > 0.5 > classic.mutual_information(pair[0], shuffled)
    with pytest.raises(ValueError, match="n_neighbors must be between 1 and 79, got 80"):
        classic.mutual_information(*pair, n_neighbors=80)


def test_zero_truth():
    assert classic.wape([0.0, 0.0], [0.0, 0.0]) == 0
    assert classic.wape([0.0, 0.0], [0.0, 1.0]) == np.inf
    assert classic.mape([0.0, 1.0], [0.0, 1.0]) == 0
    assert classic.mape([0.0, 1.0], [0.1, 1.0]) == np.inf
