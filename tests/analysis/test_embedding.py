"""Lag, number of delays and determinism of series whose answers are known."""

import matplotlib
import numpy as np
import pytest
from scipy.signal import lfilter

from chaosfit.analysis.embedding import (
    autocorrelation,
    cao,
    embedding_parameters,
    false_nearest_neighbours,
    lag_by_autocorrelation,
    lag_by_mutual_information,
    mutual_information,
    plot_cao,
    plot_mutual_information,
)
from chaosfit.numerics.integrate import integrate_batch


def logistic(n):
    x = np.empty(n)
    x[0] = 0.3
    for t in range(n - 1):
        x[t + 1] = 3.99999 * x[t] * (1 - x[t])
    return x


def henon(n):
    x = np.zeros(n + 101)
    for t in range(1, n + 100):
        x[t + 1] = 1 - 1.4 * x[t] ** 2 + 0.3 * x[t - 1]
    return x[101:]


@pytest.fixture(scope="module")
def lorenz():
    """The x of Lorenz-63, 10 000 samples at dt = 0.02."""

    def rhs(X):
        x, y, z = X.T
        return np.column_stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    path = integrate_batch(rhs, np.array([[-8.0, 8.0, 27.0]]), 0.02 * np.arange(11000))
    return path[0, 1000:, 0]


def sine(n=5000):
    return np.sin(0.1 * np.arange(n))


def white(seed, n=3000):
    return np.random.default_rng(seed).normal(size=n)


def test_number_of_delays_of_known_systems(lorenz):
    assert cao(henon(5000), 1).n_delays() in (2, 3)
    assert cao(sine(), 15).n_delays() == 2
    for lag in (5, 9, 16):
        assert cao(lorenz, lag).n_delays() in (3, 4, 5)


def test_lag_of_lorenz(lorenz):
    assert 7 <= lag_by_mutual_information(lorenz) <= 10
    assert 13 <= lag_by_autocorrelation(lorenz) <= 18


def test_determinism_is_told_from_noise(lorenz):
    for x, lag in ((henon(5000), 1), (logistic(3000), 1), (lorenz, 9)):
        curves = cao(x, lag)
        assert curves.determinism >= 0.25
        assert curves.deterministic is True
    for seed in range(3):
        for x in (white(seed), lfilter([1], [1, -0.9], white(seed))):
            curves = cao(x, 1)
            assert curves.determinism <= 0.1
            assert curves.deterministic is False


@pytest.mark.parametrize("method", ["autocorrelation", "mutual_information"])
def test_unit_and_offset_do_not_matter(lorenz, method):
    one = embedding_parameters(lorenz, lag_method=method)
    other = embedding_parameters(1000 * lorenz + 5, lag_method=method)
    assert (one.lag, one.n_delays) == (other.lag, other.n_delays)
    np.testing.assert_allclose(other.curves.e1, one.curves.e1, rtol=0, atol=1e-10)


def test_several_variables_are_embedded_together(lorenz):
    """Two delays of x are what x and its past need apart from each other."""
    pair = np.column_stack([lorenz[9:], lorenz[:-9]])
    assert cao(pair, 9).n_delays() < cao(lorenz, 9).n_delays()
    assert embedding_parameters(pair, lag=9).lag == 9


def test_quantised_data_do_not_break_the_neighbours(lorenz):
    coarse = cao(np.round(4 * lorenz), 8)
    assert np.isfinite(coarse.e1).all()
    assert abs(coarse.n_delays() - cao(lorenz, 8).n_delays()) <= 1
    assert coarse.deterministic is True


def test_false_nearest_neighbours_vanish_at_the_dimension(lorenz):
    share = false_nearest_neighbours(lorenz, 8, 5)
    assert share[0] > 0.9
    assert share[1] > 0.01
    assert (share[2:] < 0.01).all()
    assert (false_nearest_neighbours(henon(5000), 1, 3)[1:] < 0.01).all()
    assert (false_nearest_neighbours(white(0), 1, 3) > 0.2).all()


def test_theiler_window_excludes_neighbours_in_time():
    """Along a slow curve the nearest neighbours are the ones before and after."""
    x = np.cumsum(white(0))
    assert false_nearest_neighbours(x, 1, 1, theiler=0) != false_nearest_neighbours(x, 1, 1, theiler=200)
    with pytest.raises(ValueError, match="no point has a neighbour"):
        false_nearest_neighbours(x[:50], 1, 1, theiler=50)


def test_autocorrelation_of_a_short_series_by_hand():
    z = np.array([1.0, 2.0, 0.0, -1.0, -2.0])
    expected = [np.sum(z[: 5 - k] * z[k:]) / 10 for k in range(3)]
    np.testing.assert_allclose(autocorrelation(z, 2), expected, atol=1e-15)


def test_mutual_information_of_noise_and_of_itself():
    information = mutual_information(white(0, 20000), 3, n_bins=8)
    assert information[0] == pytest.approx(np.log(8), rel=1e-6)
    assert (information[1:] < 0.01).all()


def test_mutual_information_without_a_minimum_falls_back():
    x = np.exp(-0.001 * np.arange(500)) + 1e-9 * white(0, 500)
    assert lag_by_mutual_information(x, max_lag=3) is None


def test_trend_has_no_lag_and_says_so():
    trend = np.arange(1000.0)
    assert lag_by_autocorrelation(trend) is None
    with pytest.warns(UserWarning, match="stays above 1/e up to lag 100, which is used; detrend"):
        assert embedding_parameters(trend).lag == 100


def test_plot_shows_both_curves():
    matplotlib.use("Agg")
    ax = plot_cao(cao(logistic(1000), 1, 5))
    assert [len(line.get_xdata()) for line in ax.get_lines()[:2]] == [5, 5]
    matplotlib.pyplot.close(ax.figure)


def test_plot_shows_information_correlation_and_the_lags(lorenz):
    matplotlib.use("Agg")
    ax = plot_mutual_information(lorenz, max_lag=40)
    information, correlation = (line.get_ydata() for line in ax.get_lines() if len(line.get_xdata()) == 41)
    np.testing.assert_allclose(correlation, autocorrelation(lorenz, 40))
    assert information[0] == 1
    marked = {line.get_xdata()[0] for line in ax.get_lines() if line.get_linestyle() == ":"}
    assert marked == {lag_by_mutual_information(lorenz), lag_by_autocorrelation(lorenz)}
    matplotlib.pyplot.close(ax.figure)
    ax = plot_mutual_information(np.arange(300.0), ax=matplotlib.pyplot.subplots()[1])  # a trend has no lag
    assert "below 1/e at None" in ax.get_legend().get_texts()[1].get_text()
    matplotlib.pyplot.close(ax.figure)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cao(np.ones(100)), "the series is constant"),
        (lambda: cao(np.r_[np.nan, np.zeros(9)]), "contains NaN or infinity"),
        (lambda: cao(white(0, 20), 3, 10), "11 delays with lag 3 need at least 38 samples, got 20"),
        (lambda: cao(np.zeros((3, 4, 5))), r"shape \(n,\) or \(n, d\), got shape \(3, 4, 5\)"),
        (lambda: autocorrelation(np.eye(3), 1), "expected one series, got 3 variables"),
        (lambda: embedding_parameters(sine(), lag_method="acf"), "lag_method must be 'autocorrelation' or"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
