"""SINDy on Lorenz: coefficients with and without noise, free forecasts, pysindy's parts, bad input."""

import numpy as np
import pysindy
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from chaosfit import Henon, Lorenz63, Persistence, RVMRegressor, SINDy, valid_time

TRUE = {"x0": (-10, 28, 0), "x1": (10, -1, 0), "x2": (0, 0, -8 / 3), "x0 x1": (0, 0, 1), "x0 x2": (0, -1, 0)}


def true_coefficients(names):
    return np.array([TRUE.get(name, (0, 0, 0)) for name in names], dtype=float).T


def coefficient_error(model):
    true = true_coefficients(model.term_names_)
    return np.linalg.norm(model.coef_ - true, 2) / np.linalg.norm(true, 2)


def exact_support(model):
    return bool(((model.coef_ != 0) == (true_coefficients(model.term_names_) != 0)).all())


def lorenz(seed, noise=0.0, n_rows=10_000, dt=0.004):
    X = Lorenz63().simulate(n_rows, dt=dt, random_state=seed)
    return X + noise * X.std(axis=0).mean() * np.random.default_rng(seed).standard_normal(X.shape)


@pytest.mark.parametrize(("noise", "limit"), [(0.0, 1e-7), (0.01, 2e-3), (0.05, 5e-3)])
def test_coefficients_under_noise(noise, limit):
    models = [SINDy(dt=0.004, degree=3, random_state=0).fit(lorenz(seed, noise)) for seed in range(3)]
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


@pytest.mark.parametrize("optimizer", [pysindy.STLSQ(threshold=0.3), pysindy.SR3(), RVMRegressor(fit_intercept=False)])
def test_optimizers_are_accepted_as_they_are(optimizer):
    model = SINDy(dt=0.004, optimizer=optimizer).fit(lorenz(0))
    assert coefficient_error(model) < 0.05


def test_a_pysindy_library_is_accepted_as_it_is():
    model = SINDy(dt=0.004, library=pysindy.PolynomialLibrary(2)).fit(lorenz(0))
    assert np.isfinite(model.forecast(100)).all()
    with pytest.raises(ValueError, match="polynomial library"):
        model.to_sympy()


def test_same_seed_same_bits_and_grid_search():
    X = lorenz(0, n_rows=3000)
    one, two = (SINDy(dt=0.004, random_state=3).fit(X) for _ in range(2))
    assert (one.coef_ == two.coef_).all()
    assert (one.forecast_samples(20, n_samples=4) == two.forecast_samples(20, n_samples=4)).all()
    search = GridSearchCV(SINDy(dt=0.004, n_models=2), {"threshold": [0.1, 0.5]}, cv=TimeSeriesSplit(3)).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_jacobian_is_that_of_lorenz():
    model = SINDy(dt=0.004).fit(lorenz(0))
    x = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(model.jacobian(x)[0], Lorenz63().jacobian(x)[0], atol=1e-5)


@pytest.mark.parametrize("params", [{"dt": 0}, {"degree": 0}, {"threshold": -1}, {"derivative": "spline"}])
def test_bad_parameters(params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of SINDy must be"):
        SINDy(**params).fit(lorenz(0, n_rows=100))


def test_a_library_beyond_memory_is_refused():
    X = np.random.default_rng(0).standard_normal((400, 64))
    with pytest.raises(ValueError, match="terms"):
        SINDy().fit(X)
