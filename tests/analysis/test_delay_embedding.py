"""The transformer: alignment, causality and what it refuses."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.compose import NextStepRegressor, TransformedDynamics
from chaosfit.numerics.delay import delay_vectors

ROW_ORDER = "rows are consecutive samples of one series; a row needs the rows before it"


def expected_failures(embedding):
    if embedding.n_delays == 1:
        return {}
    return {
        "check_methods_sample_order_invariance": ROW_ORDER,
        "check_methods_subset_invariance": ROW_ORDER,
    }


@pytest.mark.filterwarnings("ignore:the autocorrelation stays above")
@parametrize_with_checks(
    [DelayEmbedding(n_delays=1, lag=1), DelayEmbedding(n_delays=3, lag=2), DelayEmbedding()],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def series():
    t = np.arange(600)
    return np.column_stack([np.sin(0.2 * t), np.cos(0.2 * t * np.sqrt(2))])


def test_rows_stay_and_are_aligned(series):
    embedding = DelayEmbedding(n_delays=4, lag=3).fit(series)
    Z = embedding.transform(series)
    assert Z.shape == (600, 8)
    assert embedding.context_length_ == 10
    np.testing.assert_array_equal(Z[9:], delay_vectors(series, 4, 3))
    np.testing.assert_array_equal(Z[0], np.tile(series[0], 4))
    np.testing.assert_array_equal(Z[4], np.r_[series[4], series[1], series[0], series[0]])
    np.testing.assert_array_equal(embedding.inverse_transform(Z), series)


def test_future_does_not_leak(series):
    embedding = DelayEmbedding().fit(series[:400])
    chosen = (embedding.n_delays_, embedding.lag_)
    changed = series.copy()
    changed[400:] = 99.0
    again = DelayEmbedding().fit(changed[:400])
    assert (again.n_delays_, again.lag_) == chosen
    np.testing.assert_array_equal(embedding.transform(changed)[:400], embedding.transform(series)[:400])


def test_automatic_choice_keeps_what_was_given(series):
    embedding = DelayEmbedding(n_delays=7).fit(series)
    assert embedding.n_delays_ == 7
    assert embedding.lag_ == DelayEmbedding().fit(series).lag_
    embedding = DelayEmbedding(lag=2).fit(series)
    assert embedding.lag_ == 2
    assert embedding.curves_.n_delays() == embedding.n_delays_
    assert DelayEmbedding(n_delays=2, lag=2).fit(series).curves_ is None


def test_names(series):
    names = DelayEmbedding(n_delays=2, lag=5).fit(series).get_feature_names_out()
    assert names.tolist() == ["x0", "x1", "x0[t-5]", "x1[t-5]"]


def test_composes_with_a_dynamics_model(series):
    """A sine needs its past: one sample alone cannot tell rising from falling."""
    x = series[:, :1]
    embedded = TransformedDynamics(DelayEmbedding(n_delays=2, lag=1), NextStepRegressor()).fit(x[:500])
    alone = NextStepRegressor().fit(x[:500])
    error = np.abs(embedded.forecast(100) - x[500:]).max()
    assert error < 0.05
    assert np.abs(alone.forecast(100) - x[500:]).max() > 0.5


@pytest.mark.parametrize(
    ("embedding", "X", "message"),
    [
        (DelayEmbedding(n_delays=0), np.eye(5), "'n_delays' parameter of DelayEmbedding must be"),
        (DelayEmbedding(lag="first"), np.eye(5), "'lag' parameter of DelayEmbedding must be"),
        (DelayEmbedding(), np.ones((50, 1)), "the series is constant"),
        (DelayEmbedding(n_delays=2, lag=1), np.array([[1.0], [np.nan]]), "contains NaN"),
    ],
)
def test_refusals(embedding, X, message):
    with pytest.raises(ValueError, match=message):
        embedding.fit(X)


def test_inverse_refuses_another_width(series):
    embedding = DelayEmbedding(n_delays=2, lag=1).fit(series)
    with pytest.raises(ValueError, match=r"shape \(n, 4\), got shape \(600, 2\)"):
        embedding.inverse_transform(series)
