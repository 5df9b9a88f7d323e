"""SINDy on Lorenz: coefficients with and without noise, free forecasts, pysindy's parts, bad input."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pysindy
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from chaosfit import Henon, Lorenz63, Persistence, RVMRegressor, SINDy, stack_trajectories, valid_time
from chaosfit.numerics.integrate import integrate_driven
from chaosfit.validation import Trajectory

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "bench_sindy.py"

TRUE = {"x0": (-10, 28, 0), "x1": (10, -1, 0), "x2": (0, 0, -8 / 3), "x0 x1": (0, 0, 1), "x0 x2": (0, -1, 0)}


def true_coefficients(names):
    return np.array([TRUE.get(name, (0, 0, 0)) for name in names], dtype=float).T


def coefficient_error(model):
    true = true_coefficients(model.term_names_)
    return np.linalg.norm(model.coef_ - true, 2) / np.linalg.norm(true, 2)


def exact_support(model):
    return bool(((model.coef_ != 0) == (true_coefficients(model.term_names_) != 0)).all())


def lorenz(seed, noise=0.0, n_rows=10_000, dt=0.004, overall=False):
    """Noise as a share of the mean standard deviation of the columns, or of that of all values together."""
    X = Lorenz63().simulate(n_rows, dt=dt, random_state=seed)
    size = X.std() if overall else X.std(axis=0).mean()
    return X + noise * size * np.random.default_rng(seed).standard_normal(X.shape)


@pytest.mark.parametrize(("noise", "limit"), [(0.0, 1e-7), (0.01, 2e-3), (0.05, 5e-3), (0.1, 1e-2)])
@pytest.mark.parametrize("overall", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_coefficients_under_noise(noise, limit, overall):
    data = [lorenz(seed, noise, overall=overall) for seed in range(3)]
    models = [SINDy(dt=0.004, degree=3, n_models=2).fit(X) for X in data]
    assert np.median([coefficient_error(model) for model in models]) <= limit
    assert sum(exact_support(model) for model in models) >= 2


def test_differences_as_pysindy_takes_them_fail_at_five_percent():
    X = lorenz(0, 0.05)
    peer = pysindy.SINDy(feature_library=pysindy.PolynomialLibrary(3), optimizer=pysindy.STLSQ(threshold=0.3))
    peer.fit(X, t=0.004)
    names = [name.replace("^", " ").strip() for name in peer.get_feature_names()]
    true = true_coefficients(names)
    assert np.linalg.norm(peer.coefficients() - true, 2) / np.linalg.norm(true, 2) > 0.3


def median_valid_time(model, seed=7, n_steps=2000):
    test = Lorenz63().simulate(6000, dt=0.01, random_state=seed)
    starts = np.arange(0, 4000, 200)
    truth = np.stack([test[s + 1 : s + 1 + n_steps] for s in starts])
    paths = model.forecast(n_steps, test[starts][:, None])
    return np.median(valid_time(truth, paths, dt=0.01, lyapunov_exponent=0.9056, scale=test.std(axis=0)))


def test_free_forecasts_outlast_nine_lyapunov_times():
    X = Lorenz63().simulate(10_000, dt=0.01, random_state=0)
    assert median_valid_time(SINDy(dt=0.01).fit(X)) >= 9
    assert median_valid_time(Persistence().fit(X)) <= 0.1


def test_the_henon_map_in_discrete_time():
    model = SINDy(discrete_time=True).fit(Henon().simulate(500, random_state=0))
    assert model.equations() == ["x0[t+1] = 1.000 + 1.000 x1 - 1.400 x0^2", "x1[t+1] = 0.300 x0"]


def test_reading_the_equations():
    model = SINDy(dt=0.004).fit(lorenz(0))
    assert model.equations(1)[2] == "x2' = -2.7 x2 + 1.0 x0 x1"
    assert str(model.to_sympy()[0].expand()).count("x") == 2
    assert model.to_latex().startswith("\\begin{aligned}")


def test_units_do_not_decide_which_terms_are_found():
    units = np.array([1e-3, 1.0, 1e3])
    X = lorenz(1, 0.01)
    scaled, plain = (SINDy(dt=0.004, degree=3, n_models=2).fit(data) for data in (X * units, X))
    assert exact_support(plain)
    assert ((scaled.coef_ != 0) == (plain.coef_ != 0)).all()


def test_the_ensemble_knows_how_far_coefficients_are_off():
    model = SINDy(dt=0.004, random_state=0).fit(lorenz(0, 0.05))
    true = true_coefficients(model.term_names_)
    kept = true != 0
    off = np.abs(model.coef_ - true)[kept] / model.coef_std_[kept]
    assert 0.2 < np.median(off) < 3
    assert (model.inclusion_probability_[kept] > 0.8).all()
    assert (model.inclusion_probability_[~kept] < 0.5).all()


@pytest.mark.parametrize(
    ("optimizer", "error"),
    [
        (pysindy.STLSQ(threshold=0.3), 1e-3),
        (pysindy.SR3(), 0.05),
        (pysindy.SSR(), 2.0),
        (pysindy.FROLS(), 2.0),
        (RVMRegressor(), 1e-3),
    ],
)
def test_optimizers_are_accepted_as_they_are(optimizer, error):
    model = SINDy(dt=0.004, optimizer=optimizer, derivative="finite_difference", n_models=2).fit(lorenz(0, n_rows=3000))
    assert coefficient_error(model) < error
    assert model.coef_std_.shape == (3, 10)
    if isinstance(optimizer, RVMRegressor):
        np.testing.assert_array_equal(model.coef_std_, model.optimizer_.coef_std_)
        assert optimizer.fit_intercept  # the parameter of the user's object is left alone


def oscillator(n_rows=3000, dt=0.02):
    t = dt * np.arange(n_rows)
    return np.column_stack([np.sin(t) + 0.3 * np.sin(2.3 * t), np.cos(t) + 0.69 * np.cos(2.3 * t)])


CUSTOM = pysindy.CustomLibrary([lambda x: x, lambda x, y: x * y], [lambda x: x, lambda x, y: f"{x} {y}"])


@pytest.mark.parametrize(
    "library",
    [
        pysindy.PolynomialLibrary(2),
        CUSTOM,
        pysindy.PolynomialLibrary(2) + pysindy.FourierLibrary(1),
        pysindy.PolynomialLibrary(1) * pysindy.PolynomialLibrary(1),
    ],
    ids=["polynomial", "custom", "sum", "product"],
)
def test_pysindy_libraries_are_accepted_as_they_are(library):
    model = SINDy(dt=0.01, library=library, derivative="weak", n_models=2).fit(lorenz(0, n_rows=2000, dt=0.01))
    assert np.isfinite(model.forecast(100)).all()
    assert model.residual_.max() < 1e-6
    for method in (model.to_sympy, model.to_latex, lambda: model.jacobian(np.zeros((1, 3)))):
        with pytest.raises(ValueError, match="polynomial library only"):
            method()


def test_a_pendulum_in_a_fourier_library():
    x0, dt = np.array([[2.0, 0.0]]), 0.05
    path = integrate_driven(lambda X, U: np.stack([X[:, 1], -np.sin(X[:, 0])], axis=1), x0, np.zeros((1, 1500, 1)), dt)
    library = pysindy.FourierLibrary(1) + pysindy.PolynomialLibrary(1, include_bias=False)
    model = SINDy(dt=dt, library=library, n_models=2).fit(path[0])
    assert np.count_nonzero(model.coef_) == 2
    assert model.equations(2) == ["x0' = 1.00 x1", "x1' = -1.00 sin(1 x0)"]


def test_known_inputs_enter_the_equations():
    rng, dt = np.random.default_rng(0), 0.01
    u = np.repeat(20 * rng.standard_normal((600, 1)), 5, axis=0)

    def rhs(X, U):
        return np.stack([-10 * X[:, 0] + 10 * X[:, 1] + U[:, 0], *Lorenz63().rhs(X).T[1:]], axis=1)

    x0 = np.array([[1.0, 1.0, 20.0]])
    X = np.concatenate([x0, integrate_driven(rhs, x0, u[None], dt)[0, :-1]])
    model = SINDy(dt=dt, n_models=2).fit(X, u=u)
    assert model.equations(1)[0] == "x0' = -10.0 x0 + 10.0 x1 + 1.0 u0"
    assert model.jacobian(X[:2], u=u[:2]).shape == (2, 3, 3)


def test_several_trajectories():
    X, ids = stack_trajectories([lorenz(seed, n_rows=600) for seed in range(5)])
    model = SINDy(dt=0.004, n_models=2).fit(X, trajectory_id=ids)
    assert exact_support(model)
    assert coefficient_error(model) < 1e-7


def test_other_outputs_than_the_next_state():
    X = lorenz(0, n_rows=1000)
    model = SINDy(degree=2, n_models=2).fit(X, X[:, 0] * X[:, 1])
    assert model.equations(1) == ["y0[t+1] = 1.0 x0 x1"]


def test_same_seed_same_bits_and_grid_search():
    X = lorenz(0, n_rows=3000)
    one, two = (SINDy(dt=0.004, random_state=3).fit(X) for _ in range(2))
    assert (one.coef_ == two.coef_).all()
    assert (one.forecast_samples(20, n_samples=4) == two.forecast_samples(20, n_samples=4)).all()
    for grid in ({"threshold": [0.1, 0.5]}, {"degree": [1, 2]}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # degree 1 fits poorly, and says so
            search = GridSearchCV(SINDy(dt=0.004, n_models=2), grid, cv=TimeSeriesSplit(3)).fit(X)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_jacobian_is_that_of_lorenz():
    model = SINDy(dt=0.004).fit(lorenz(0))
    x = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(model.jacobian(x)[0], Lorenz63().jacobian(x)[0], atol=1e-5)


@pytest.mark.parametrize("params", [{"dt": 0}, {"degree": 0}, {"threshold": -1}, {"derivative": "spline"}])
def test_bad_parameters(params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of SINDy must be"):
        SINDy(**params).fit(lorenz(0, n_rows=100))


def test_a_dense_cubic_model_of_noisy_data_does_no_harm():
    model = SINDy(dt=0.004, degree=3, threshold=0.0, random_state=0).fit(lorenz(0, 0.05))
    assert np.count_nonzero(model.coef_) == 60
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = model.forecast(3000, np.stack([lorenz(0)[:1], [[80.0, -80.0, 200.0]]]))
    lost = ~np.isfinite(path).all(axis=-1)
    assert np.nanmax(np.abs(path)) <= model.bound_
    assert (np.maximum.accumulate(lost, axis=1) == lost).all()
    assert [w.category for w in caught] == ([RuntimeWarning] if lost.any() else [])
    assert np.isfinite(model.predict(lorenz(0, 0.05)[:500])).all()


@pytest.mark.parametrize(
    ("params", "n_rows", "message"),
    [
        ({"degree": 9}, 400, r"has \d+ terms, more than 1000: lower degree"),
        ({"degree": 2}, 400, "has 2145 terms, more than 1000"),
    ],
)
def test_libraries_that_are_too_large_are_refused_at_once(params, n_rows, message):
    X = np.random.default_rng(0).standard_normal((n_rows, 64))
    with pytest.raises(ValueError, match=message):
        SINDy(**params).fit(X)


def test_libraries_beyond_memory_are_refused():
    X = np.broadcast_to(np.random.default_rng(0).standard_normal((1, 9)), (2_500_000, 9))
    model = SINDy(degree=3)
    model.n_features_in_, model.n_inputs_ = 9, 0
    with pytest.raises(ValueError, match="220 terms on 2500000 rows needs 4 GB"):
        model._prepare_library([Trajectory(X, X, None, X)])


def test_more_terms_than_rows_is_worth_a_warning():
    with pytest.warns(UserWarning, match="20 terms but only 14 rows"):
        SINDy(dt=0.004, degree=3, threshold=0.1).fit(lorenz(0, n_rows=15))


def test_the_weak_form_needs_two_windows():
    with pytest.raises(
        ValueError, match=r"needs a trajectory of more than \d+ rows \(two windows\), the longest has 11"
    ):
        SINDy(dt=0.004, derivative="weak").fit(lorenz(0, n_rows=12))


def test_terms_that_are_not_finite_are_named():
    library = pysindy.CustomLibrary([lambda x: x, lambda x: 1 / (x - x)], [lambda x: x, lambda x: f"pole({x})"])
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"term 'pole\(x0\)' is not finite"):
        SINDy(dt=0.02, library=library, n_models=2).fit(oscillator())


def test_a_variable_without_terms_is_reported():
    with pytest.warns(UserWarning, match=r"kept no term for \['x0', 'x1', 'x2'\]: give a library"):
        model = SINDy(dt=0.004, threshold=1e6, derivative="weak", n_models=2).fit(lorenz(0, n_rows=2000))
    assert not model.coef_.any()
    np.testing.assert_allclose(model.forecast(3), np.tile(model.context_, (3, 1)))
    assert model.equations()[0] == "x0' = 0"


def test_a_library_that_does_not_fit_is_reported():
    with pytest.warns(UserWarning, match="no term for"), pytest.warns(UserWarning, match=r"unexplained \(x1: \d+%\)"):
        model = SINDy(dt=0.004, degree=1, n_models=2).fit(lorenz(0))
    assert model.residual_[0] < 1e-6 < 0.1 < model.residual_[1]


@pytest.mark.slow
def test_dysts_systems_reach_the_published_errors():
    """Medians of weak-form STLSQ over 70 systems, Kaptanoglu et al. (2023), arXiv:2302.10787, table of errors."""
    spec = importlib.util.spec_from_file_location("bench_sindy", BENCHMARK)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    names = ["Aizawa", "Bouali", "Chen", "Dadras", "GenesioTesi", "Halvorsen", "HyperPang", "NoseHoover", "SprottN"]
    flows = [bench.flow(name) for name in names]
    for noise, limit in bench.PUBLISHED.items():
        assert np.median([bench.relative_error(*flow, noise)[0] for flow in flows]) <= limit
