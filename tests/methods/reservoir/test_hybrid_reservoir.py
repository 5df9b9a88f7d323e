import numpy as np
import pytest

from chaosfit.methods.reservoir.hybrid_reservoir import HybridReservoir
from chaosfit.methods.reservoir.reservoir_computer import ReservoirComputer
from chaosfit.metrics.forecast import valid_time
from chaosfit.systems.flows import Lorenz63
from chaosfit.testing import parametrize_with_dynamics_checks

SMALL = {"n_units": 40, "washout": 5, "random_state": 0}
STEP = 0.1


@parametrize_with_dynamics_checks([HybridReservoir(**p) for p in HybridReservoir.get_test_params()])
def test_contract(check):
    check()


def walk(n_rows=200):
    return np.cumsum(np.random.default_rng(0).normal(size=(n_rows, 2)), axis=0)


def rotate(X):
    return X @ np.array([[0.8, 0.6], [-0.6, 0.8]])


def test_a_perfect_model_is_used_as_it_is():
    X = [np.array([1.0, 0.5])]
    for _ in range(300):
        X.append(rotate(X[-1]))
    X = np.array(X)
    model = HybridReservoir(rotate, **SMALL).fit(X[:200])
    np.testing.assert_allclose(model.forecast(50), X[200:250], atol=1e-4)


def test_the_model_is_called_once_per_step_with_the_whole_batch():
    shapes = []

    def model(X):
        shapes.append(X.shape)
        return rotate(X)

    X = walk()
    fitted = HybridReservoir(model, **SMALL).fit(X)
    shapes.clear()
    fitted.forecast(6, np.stack([X[:20]] * 7))
    assert shapes == [(7 * 20, 2), *[(7, 2)] * 5]


def test_a_model_may_work_in_place():
    def in_place(X):
        X *= 0.5
        return X

    X = walk()
    pure = HybridReservoir(lambda X: 0.5 * X, **SMALL).fit(X)
    np.testing.assert_array_equal(HybridReservoir(in_place, **SMALL).fit(X).predict(X), pure.predict(X))


def test_a_model_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"model must return an array of the shape of .*, \(199, 2\), got \(199,\)"):
        HybridReservoir(lambda X: X[:, 0], **SMALL).fit(walk())


def test_a_model_that_is_not_finite_is_refused():
    def fails(X):
        return np.where(X[17, 0] < X, np.inf, X) if len(X) > 100 else X

    X = walk()
    with pytest.raises(ValueError, match=r"model returned NaN or infinity for \d+ of 199 states, the first in row \d+"):
        HybridReservoir(fails, **SMALL).fit(X)
    model = HybridReservoir(rotate, **SMALL).fit(X)
    model.model = fails
    with pytest.raises(ValueError, match="model returned NaN or infinity"):
        model.predict(X)


def test_a_model_that_fails_in_a_forecast_ends_it():
    model = HybridReservoir(rotate, **SMALL).fit(walk())
    model.model = lambda X: np.full_like(X, np.nan)
    with pytest.warns(RuntimeWarning, match="1 of 1 forecast.* diverged, the first at step 1"):
        assert np.isnan(model.forecast(5)).all()


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="'model' parameter of HybridReservoir must be"):
        HybridReservoir("lorenz", **SMALL).fit(walk())


# --------------------------------------------------------------------- science
class WrongLorenz:
    """One step of Lorenz's equations with a wrong rho, by Runge-Kutta."""

    def __init__(self, error: float):
        self.rhs = Lorenz63(rho=28 * (1 + error)).rhs

    def __call__(self, X):
        h = STEP / 10
        for _ in range(10):
            a = self.rhs(X)
            b = self.rhs(X + h / 2 * a)
            c = self.rhs(X + h / 2 * b)
            X = X + h / 6 * (a + 2 * b + 2 * c + self.rhs(X + h * c))
        return X


@pytest.fixture(scope="module")
def data():
    train = Lorenz63().simulate(2000, dt=STEP, random_state=0)
    test = Lorenz63().simulate(250, dt=STEP, random_state=1, n_trajectories=100)
    return train, test[:, :50], test[:, 50:]


def median_valid_time(forecasts, data):
    train, _, futures = data
    scale = train.std(axis=0)
    return np.median(valid_time(futures, forecasts, dt=STEP, lyapunov_exponent=0.9056, scale=scale))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hybrid_forecasts_three_times_longer_than_both_parts(data, seed):
    """Model 5 % off, 50 units: measured 6.8 to 7.3, the model 0.9, the reservoir 0.6 to 1.6."""
    train, contexts, futures = data
    wrong, x, alone = WrongLorenz(0.05), contexts[:, -1], []
    for _ in range(futures.shape[1]):
        x = wrong(x)
        alone.append(x)
    hybrid = HybridReservoir(wrong, n_units=50, random_state=seed).fit(train)
    reservoir = ReservoirComputer(n_units=50, ridge=1e-6, random_state=seed).fit(train)
    times = [
        median_valid_time(forecasts, data)
        for forecasts in (
            hybrid.forecast(futures.shape[1], contexts),
            reservoir.forecast(futures.shape[1], contexts),
            np.stack(alone, axis=1),
        )
    ]
    assert times[0] >= 4.0
    assert times[0] >= 3 * max(times[1:])


def test_hybrid_is_worth_it_for_a_large_network_too(data):
    train, contexts, futures = data
    hybrid = HybridReservoir(WrongLorenz(0.05), n_units=300, random_state=0).fit(train)
    reservoir = ReservoirComputer(n_units=300, ridge=1e-6, random_state=0).fit(train)
    h, r = (median_valid_time(m.forecast(futures.shape[1], contexts), data) for m in (hybrid, reservoir))
    assert h > r + 1.0
