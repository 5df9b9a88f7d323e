import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chaosfit.benchmark.statistics import (
    average_ranks,
    bootstrap_median,
    critical_difference,
    diebold_mariano,
    friedman_nemenyi,
    hodges_lehmann,
    holm,
    indistinguishable_groups,
    share_won,
    wilcoxon_holm,
)


def scores(n_systems=30, n_methods=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n_systems, n_methods))


@pytest.mark.parametrize(("n_methods", "q"), [(3, 2.34), (5, 2.73), (8, 3.03), (10, 3.16), (15, 3.39), (20, 3.54)])
def test_critical_difference_uses_the_published_quantiles(n_methods, q):
    unit = np.sqrt(n_methods * (n_methods + 1) / (6 * 109))
    assert critical_difference(109, n_methods) / unit == pytest.approx(q, abs=0.006)


def test_friedman_equals_scipy_and_ranks_the_best_first():
    values = scores() + np.arange(4.0)
    result = friedman_nemenyi(values)
    expected = stats.friedmanchisquare(*values.T)
    assert result.statistic == pytest.approx(expected.statistic)
    assert result.pvalue == pytest.approx(expected.pvalue)
    assert np.argsort(result.ranks).tolist() == [3, 2, 1, 0]
    assert friedman_nemenyi(-values, larger_is_better=False).ranks.tolist() == result.ranks.tolist()


def test_friedman_of_nothing_but_ties():
    assert friedman_nemenyi(np.zeros((5, 3))).pvalue == 1.0


def test_friedman_refuses_two_methods():
    with pytest.raises(ValueError, match="at least 3 methods and 2 systems, got 2 and 30"):
        friedman_nemenyi(scores(n_methods=2))


def test_friedman_orders_failures_last():
    values = scores()
    values[:, 1] = np.inf
    assert friedman_nemenyi(values, larger_is_better=False).ranks[1] == 4.0


def test_bootstrap_interval_of_the_median_equals_scipys():
    values = scores(n_systems=41, n_methods=2)
    median, low, high = bootstrap_median(values)
    for method in range(2):
        expected = stats.bootstrap(
            (values[:, method],), np.median, method="percentile", n_resamples=10_000, rng=np.random.default_rng(1)
        ).confidence_interval
        assert median[method] == np.median(values[:, method])
        assert low[method] == pytest.approx(expected.low, abs=0.05)
        assert high[method] == pytest.approx(expected.high, abs=0.05)


def test_bootstrap_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    _, low, high = bootstrap_median(rng.standard_normal((60, 300)), n_resamples=1000)
    assert 0.92 < ((low <= 0) & (high >= 0)).mean() < 0.98


def test_copies_of_a_system_do_not_narrow_the_interval_when_they_are_a_family():
    values = scores(n_systems=15, n_methods=1)
    copies, families = np.repeat(values, 6, axis=0), np.repeat(np.arange(15), 6)
    widths = {}
    for label, given_families in {"blind": None, "family": families}.items():
        _, low, high = bootstrap_median(copies, families=given_families, n_resamples=4000)
        widths[label] = (high - low)[0]
    _, low, high = bootstrap_median(values, n_resamples=4000)
    assert widths["family"] == pytest.approx((high - low)[0], rel=0.1)
    assert widths["blind"] < 0.7 * widths["family"]


def test_median_with_infinite_scores():
    median, low, high = bootstrap_median([[1.0], [1.0], [np.inf]])
    assert (median[0], low[0], high[0]) == (1.0, 1.0, np.inf)


def test_families_need_one_label_per_system():
    with pytest.raises(ValueError, match="one label per system, 30"):
        bootstrap_median(scores(), families=["a"])


def test_nan_is_refused_with_its_place():
    values = scores()
    values[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"scores\[3, 1\] is NaN"):
        share_won(values)


def test_share_won_divides_ties():
    assert share_won([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]).tolist() == pytest.approx([5 / 12, 1 / 6, 5 / 12])
    assert share_won([[1.0, 2.0]], larger_is_better=False).tolist() == [1.0, 0.0]


@given(st.integers(0, 1000))
def test_shares_sum_to_one_and_ranks_to_their_total(seed):
    values = np.round(scores(12, 5, seed))
    assert share_won(values).sum() == pytest.approx(1.0)
    assert average_ranks(values).sum() == pytest.approx(15.0)


def test_wilcoxon_without_ties_equals_scipy_and_is_corrected():
    values = scores(20, 3)
    values[:, 2] += 1.0
    found = wilcoxon_holm(values)
    raw = [stats.wilcoxon(values[:, i], values[:, j]).pvalue for i, j in [(0, 1), (0, 2), (1, 2)]]
    assert [found[0, 1], found[0, 2], found[1, 2]] == pytest.approx(holm(raw).tolist())
    assert np.array_equal(found, found.T)
    assert np.diag(found).tolist() == [1.0, 1.0, 1.0]


def test_wilcoxon_keeps_ties_as_pratt_does():
    values = scores(20, 2)
    values[:8, 1] = values[:8, 0]
    expected = stats.wilcoxon(values[:, 0] - values[:, 1], zero_method="pratt", method="asymptotic").pvalue
    assert wilcoxon_holm(values)[0, 1] == pytest.approx(expected)


def test_wilcoxon_of_failures():
    values = np.abs(scores(20, 2))
    values[:, 1] = np.inf
    assert wilcoxon_holm(values)[0, 1] < 1e-3
    values[:, 0] = np.inf
    assert wilcoxon_holm(values)[0, 1] == 1.0


def test_holm_against_a_known_case():
    # Holm 1979 by hand: 4 * 0.005, 3 * 0.01, 2 * 0.03, then monotone
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]


def test_hodges_lehmann_finds_a_shift():
    assert hodges_lehmann(scores(200, 1)[:, 0] + 2.0) == pytest.approx(2.0, abs=0.2)


def test_groups_are_the_largest_ones_within_the_difference():
    assert indistinguishable_groups([1.0, 2.0, 3.0, 6.0], 1.0) == [[0, 1], [1, 2]]
    assert indistinguishable_groups([1.0, 2.0, 3.0], 5.0) == [[0, 1, 2]]
    assert indistinguishable_groups([1.0, 4.0], 1.0) == []


class TestDieboldMariano:
    @pytest.mark.parametrize("loss", ["square", "absolute"])
    def test_one_step_ahead_is_the_paired_t_test(self, loss):
        """Up to the divisor of the variance: sqrt((n - 1) / n) of it is Harvey's correction for h = 1."""
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((2, 80))
        power = {"square": 2, "absolute": 1}[loss]
        expected = stats.ttest_rel(np.abs(a) ** power, np.abs(b) ** power)
        assert diebold_mariano(a, b, loss=loss) == pytest.approx((expected.statistic, expected.pvalue))

    @pytest.mark.parametrize(("horizon", "autocorrelated"), [(1, False), (3, True)])
    def test_equally_good_forecasts_are_told_apart_in_one_of_twenty_cases(self, horizon, autocorrelated):
        rng = np.random.default_rng(0)
        pairs = rng.standard_normal((2000, 2, 62))
        window = 3 if autocorrelated else 1  # errors of forecasts h steps ahead are moving averages of h shocks
        errors = sum(pairs[..., k : 60 + k] for k in range(window))
        rejected = np.mean([diebold_mariano(a, b, horizon=horizon).pvalue < 0.05 for a, b in errors])
        assert 0.03 <= rejected <= (0.08 if autocorrelated else 0.07)
        if autocorrelated:
            assert np.mean([diebold_mariano(a, b).pvalue < 0.05 for a, b in errors]) > 0.12

    def test_sign_and_symmetry(self):
        rng = np.random.default_rng(0)
        good, bad = rng.standard_normal(50), 3 * rng.standard_normal(50)
        result = diebold_mariano(good, bad, horizon=2)
        assert result.statistic < -3
        assert result.pvalue < 0.01
        assert diebold_mariano(bad, good, horizon=2) == pytest.approx((-result.statistic, result.pvalue))

    def test_identical_forecasts_do_not_differ(self):
        errors = np.arange(10.0)
        assert diebold_mariano(errors, -errors) == (0.0, 1.0)

    def test_a_constant_difference_leaves_no_doubt(self):
        assert diebold_mariano(np.ones(9), np.zeros(9)) == (np.inf, 0.0)

    def test_negative_sums_of_covariances_are_replaced(self):
        alternating = np.sqrt(1.1 + np.resize([1.0, -1.0], 40))
        result = diebold_mariano(alternating, np.ones(40), horizon=2)
        assert np.isfinite(result.statistic)
        assert 0 < result.pvalue < 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([1.0, 2.0], [1.0]), r"one length, got the shapes \(2,\), \(1,\)"),
            (([1.0, np.nan], [1.0, 2.0]), "contain NaN or infinity"),
            (([1.0], [2.0]), "horizon must be between 1 and the number of errors - 1, 0, got 1"),
        ],
    )
    def test_refusals(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            diebold_mariano(*arguments)
        with pytest.raises(ValueError, match="loss must be 'square' or 'absolute', got 'huber'"):
            diebold_mariano([1.0, 2.0], [2.0, 3.0], loss="huber")
