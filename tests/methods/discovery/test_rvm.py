"""RVMRegressor: supports, units, precision, error bars, kernels, messages."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import ARDRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.utils.estimator_checks import check_estimator

from chaosfit.methods.discovery.rvm import RVMRegressor
from chaosfit.numerics.gram import gram


def problem(n=2000, p=50, noise=0.1, seed=0, n_terms=5):
    """Correlated columns, five terms, noise as a share of the standard deviation of y."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) @ (np.eye(p) + 0.3 * rng.standard_normal((p, p)))
    coef = np.zeros(p)
    coef[rng.choice(p, n_terms, replace=False)] = rng.choice([-1, 1], n_terms) * rng.uniform(0.5, 2, n_terms)
    y = X @ coef
    return X, y + noise * y.std() * rng.standard_normal(n), coef


def targets(d=3, **options):
    """One X, several targets."""
    X, y, _ = problem(**options)
    Y = np.column_stack([y, *(problem(**options)[0][:, k] * 2 + 1 + 0.1 * y for k in range(1, d))])
    return X, Y


def exact(model, coef):
    return np.array_equal(model.coef_ != 0, coef != 0)


class TestScience:
    def test_finds_the_support_where_evidence_alone_and_ard_do_not(self):
        n_problems, hits = 100, np.zeros(3)
        for seed in range(n_problems):
            X, y, coef = problem(seed=seed)
            models = RVMRegressor().fit(X, y), RVMRegressor(kappa=1).fit(X, y), ARDRegression().fit(X, y)
            hits += [exact(model, coef) for model in models]
        threshold, evidence, ard = hits / n_problems
        assert threshold >= 0.95
        assert evidence < 0.2
        assert ard < 0.5

    @pytest.mark.parametrize("seed", range(5))
    def test_noise_free_data_give_exact_coefficients(self, seed):
        X, y, coef = problem(noise=0.0, seed=seed)
        model = RVMRegressor().fit(X, y)
        assert np.linalg.norm(model.coef_ - coef) < 1e-10 * np.linalg.norm(coef)
        assert model.n_iter_ <= 20

    @pytest.mark.parametrize("kappa", ["auto", 1])
    def test_units_do_not_matter(self, kappa):
        X, y, _ = problem(seed=3)
        reference = RVMRegressor(kappa=kappa).fit(X, y)
        null = RVMRegressor(kappa=1e12).fit(X, y)
        columns = 10.0 ** np.random.default_rng(0).uniform(-3, 3, X.shape[1])
        for unit in (1e-4, 1e4):
            model = RVMRegressor(kappa=kappa).fit(X * columns, y * unit)
            np.testing.assert_array_equal(model.active_, reference.active_)
            np.testing.assert_allclose(model.coef_ * columns / unit, reference.coef_, rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(model.coef_std_ * columns / unit, reference.coef_std_, rtol=1e-8)
            gain = model.log_evidence_ - RVMRegressor(kappa=1e12).fit(X * columns, y * unit).log_evidence_
            assert gain == pytest.approx(reference.log_evidence_ - null.log_evidence_, rel=1e-8)

    def test_ard_depends_on_units(self):
        """What the invariance above is worth."""
        X, y, _ = problem(seed=3)
        n_terms = {np.count_nonzero(ARDRegression().fit(X, y * unit).coef_) for unit in (1e-4, 1.0, 1e4)}
        assert len(n_terms) == 3

    def test_predictive_intervals_cover(self):
        X, y, _ = problem(n=12000, seed=1)
        mean, std = RVMRegressor().fit(X[:2000], y[:2000]).predict(X[2000:], return_std=True)
        assert 0.93 < np.mean(np.abs(y[2000:] - mean) < 1.96 * std) < 0.97

    def test_coefficient_intervals_cover(self):
        scores = []
        for seed in range(60):
            X, y, coef = problem(n=300, p=20, seed=seed)
            model = RVMRegressor().fit(X, y)
            if exact(model, coef):
                scores.extend((model.coef_ - coef)[model.active_] / model.coef_std_[model.active_])
        assert len(scores) > 200
        assert np.std(scores) == pytest.approx(1.0, abs=0.15)

    def test_sinc_needs_a_handful_of_relevance_vectors(self):
        rng = np.random.default_rng(0)
        x = np.linspace(-10, 10, 200)[:, None]
        y = np.sinc(x[:, 0] / np.pi)
        model = RVMRegressor(kernel="rbf", kernel_params={"gamma": 0.1})
        model.fit(x, y + 0.05 * rng.standard_normal(200))
        assert 3 <= len(model.relevance_vectors_) <= 12
        assert np.sqrt(np.mean((model.predict(x) - y) ** 2)) < 0.02


class TestInterface:
    @pytest.mark.parametrize(
        "model",
        [
            RVMRegressor(),
            RVMRegressor(fit_intercept=False),
            RVMRegressor(kernel="rbf"),
            RVMRegressor(kernel="precomputed"),
        ],
        ids=str,
    )
    def test_check_estimator(self, model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(model, on_fail=None)
        assert not [r["check_name"] for r in results if r["status"] == "failed"]

    def test_several_targets_equal_single_fits(self):
        X, Y = targets()
        together = RVMRegressor().fit(X, Y)
        assert together.coef_.shape == (3, 50)
        mean, std = together.predict(X, return_std=True)
        for k in range(3):
            alone = RVMRegressor().fit(X, Y[:, k])
            np.testing.assert_allclose(together.coef_[k], alone.coef_, rtol=1e-9)
            np.testing.assert_allclose(together.coef_cov_[k], alone.coef_cov_, rtol=1e-9)
            alone_mean, alone_std = alone.predict(X, return_std=True)
            np.testing.assert_allclose(mean[:, k], alone_mean, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(std[:, k], alone_std, rtol=1e-9)
            for name in ("intercept_", "noise_precision_", "log_evidence_", "n_iter_", "condition_number_"):
                assert getattr(together, name)[k] == pytest.approx(getattr(alone, name), rel=1e-9)

    def test_one_column_of_targets_stays_a_column(self):
        X, y, _ = problem()
        model = RVMRegressor().fit(X, y[:, None])
        assert model.coef_.shape == (1, 50)
        assert model.predict(X).shape == (2000, 1)

    def test_intercept_equals_centring_by_hand(self):
        X, y, _ = problem()
        X, y = X + 5.0, y - 3.0
        model = RVMRegressor().fit(X, y)
        by_hand = RVMRegressor(fit_intercept=False).fit(X - X.mean(0), y - y.mean())
        np.testing.assert_allclose(model.coef_, by_hand.coef_, rtol=1e-3)  # one degree of freedom less
        np.testing.assert_allclose(model.predict(X).mean(), y.mean())

    def test_fit_gram_equals_fit(self):
        X, Y = targets()
        sums = gram(X, Y, center=True)
        model = RVMRegressor().fit(X, Y)
        from_sums = RVMRegressor().fit_gram(sums.G, sums.R, sums.yy, sums.n_samples - 1)
        np.testing.assert_allclose(from_sums.coef_, model.coef_, rtol=1e-10)
        np.testing.assert_allclose(from_sums.log_evidence_, model.log_evidence_)
        single = RVMRegressor().fit_gram(sums.G, sums.R[:, 0], sums.yy[0], sums.n_samples - 1)
        np.testing.assert_allclose(single.coef_, model.coef_[0], rtol=1e-10)
        np.testing.assert_allclose(single.predict(X), X @ single.coef_)

    def test_leaving_a_fold_out_by_subtraction(self):
        X, y, _ = problem(n=500)
        rest = gram(X, y[:, None], center=True) - gram(X[:100], y[:100, None], center=True)
        model = RVMRegressor().fit_gram(rest.G, rest.R[:, 0], rest.yy, rest.n_samples - 1)
        np.testing.assert_allclose(model.coef_, RVMRegressor().fit(X[100:], y[100:]).coef_, rtol=1e-9)

    def test_many_columns_are_read_lazily_with_the_same_result(self):
        X, y, _ = problem(n=600, p=120)
        lazy, whole = RVMRegressor().fit(X, y), RVMRegressor().fit(X, y, sample_weight=np.ones(600))
        np.testing.assert_allclose(lazy.coef_, whole.coef_, rtol=1e-9)

    def test_sparsity_path(self):
        X, Y = targets()
        kappas = [1, 20, 1e9]
        path = RVMRegressor().sparsity_path(X, Y, kappas)
        assert path.shape == (3, 3, 50)
        for kappa, coef in zip(kappas, path, strict=True):
            np.testing.assert_allclose(RVMRegressor(kappa=kappa).fit(X, Y).coef_, coef, rtol=1e-10)
        n_terms = np.count_nonzero(path, axis=(1, 2))
        assert n_terms[0] > n_terms[1] > n_terms[2] == 0
        assert RVMRegressor().sparsity_path(X, Y[:, 0], kappas).shape == (3, 50)

    def test_precomputed_kernel_equals_kernel(self):
        X, y, _ = problem(n=120, p=2, n_terms=2)
        K = rbf_kernel(X, gamma=0.5)
        one = RVMRegressor(kernel="rbf", kernel_params={"gamma": 0.5}).fit(X, y)
        other = RVMRegressor(kernel="precomputed").fit(K, y)
        for a, b in zip(one.predict(X, return_std=True), other.predict(K, return_std=True), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)

    def test_fitted_model_is_small(self):
        """The rows are not kept."""
        X, y, _ = problem(n=5000, p=100)
        assert len(pickle.dumps(RVMRegressor().fit(X, y))) < 20_000

    def test_constant_columns_are_masked(self):
        X, _, coef = problem()
        X[:, 7] = 3.3
        X[:, 8] = 0.0
        model = RVMRegressor().fit(X, X @ coef)
        assert not model.active_[[7, 8]].any()

    def test_pure_noise_has_no_terms_but_a_mean(self):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((500, 10))
        y = 4.0 + rng.standard_normal(500)
        model = RVMRegressor().fit(X, y)
        assert not model.active_.any()
        mean, std = model.predict(X, return_std=True)
        np.testing.assert_allclose(mean, y.mean())
        np.testing.assert_allclose(std, y.std(), rtol=0.01)


class TestMessages:
    def test_warnings(self):
        X, y, _ = problem(n=200)
        constant = np.column_stack([y, np.full(200, 0.1)])
        with pytest.warns(UserWarning, match=r"Targets \[1\] of y are constant"):
            model = RVMRegressor().fit(X, constant)
        np.testing.assert_allclose(model.predict(X)[:, 1], 0.1)
        first = np.flatnonzero(RVMRegressor().fit(X, y).active_)[0]
        with pytest.warns(UserWarning, match=r"Columns \[50\] are left out because they are multiples"):
            twin = RVMRegressor().fit(np.column_stack([X, -2 * X[:, first]]), y)
        assert twin.active_[first]
        with pytest.warns(ConvergenceWarning, match="not maximised in max_iter=1 iterations; increase max_iter"):
            RVMRegressor(max_iter=1).fit(X, y)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"X": np.ones((1, 3)), "y": np.ones(1)}, "1 sample"),
            ({"X": np.full((20, 3), np.nan)}, "contains NaN"),
            ({"y": np.full(20, np.inf)}, "contains infinity"),
            ({"X": np.full((20, 3), 2.1)}, r"All columns are constant .*: nothing to regress on"),
            ({"sample_weight": -np.ones(20)}, "Negative values in data passed to `sample_weight`"),
            ({"sample_weight": np.full(20, 0.01)}, r"sum of their weights, must be larger than 1, got 0\.2"),
            ({"y": np.ones(19)}, "inconsistent numbers of samples"),
            ({"y": np.ones((20, 2, 2))}, "dim 3"),
        ],
    )
    def test_bad_data(self, change, message):
        rng = np.random.default_rng(0)
        data = {"X": rng.standard_normal((20, 3)), "y": rng.standard_normal(20)} | change
        with pytest.raises(ValueError, match=message):
            RVMRegressor().fit(**data)

    @pytest.mark.parametrize(
        "parameters",
        [{"kappa": 0.5}, {"kappa": "none"}, {"max_iter": 0}, {"tol": 0.0}, {"noise_floor": 0}, {"kernel": "cubic"}],
    )
    def test_bad_parameters(self, parameters):
        with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter of RVMRegressor"):
            RVMRegressor(**parameters).fit(np.eye(3), np.arange(3.0))

    def test_kernel_matrix_must_be_square(self):
        with pytest.raises(ValueError, match=r"precomputed kernel must be square in fit, got shape \(20, 3\)"):
            RVMRegressor(kernel="precomputed").fit(np.ones((20, 3)), np.arange(20.0))

    @pytest.mark.parametrize(
        ("G", "R", "yy", "message"),
        [
            (np.ones((2, 3)), np.ones(2), 1.0, r"got shapes \(2, 3\), \(2,\) and \(1,\)"),
            (np.eye(2), np.ones((2, 3)), 1.0, r"got shapes \(2, 2\), \(2, 3\) and \(1,\)"),
            (np.eye(2), [np.nan, 1.0], 1.0, "R must be finite"),
            (np.zeros((2, 2)), np.zeros(2), 1.0, "nothing to regress on"),
        ],
    )
    def test_bad_sums(self, G, R, yy, message):
        with pytest.raises(ValueError, match=message):
            RVMRegressor().fit_gram(G, R, yy, 10)
        with pytest.raises(ValueError, match="must be larger than 0, got 0"):
            RVMRegressor().fit_gram(np.eye(2), np.ones(2), 3.0, 0)
        with pytest.raises(ValueError, match="needs kernel=None, got 'rbf'"):
            RVMRegressor(kernel="rbf").fit_gram(np.eye(2), np.ones(2), 3.0, 10)

    def test_bad_kappas_and_unfitted(self):
        X, y, _ = problem(n=50)
        with pytest.raises(ValueError, match="kappas must be a sequence of numbers >= 1"):
            RVMRegressor().sparsity_path(X, y, [0.5])
        with pytest.raises(NotFittedError):
            RVMRegressor().predict(X)
