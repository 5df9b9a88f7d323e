import numpy as np
import pytest

from chaosfit.methods.recurrent.shallow_plrnn import ShallowPLRNN
from chaosfit.nn.trainer import Trainer
from chaosfit.systems.system import central_differences
from chaosfit.systems.tangent import lyapunov_spectrum

BRIEF = Trainer(max_steps=300, learning_rate=2e-2, optimizer="radam", batch_size=16, validation_fraction=0)
FORCINGS = ["product_upper_bound", "batch_maximum", "arithmetic_mean", "jacobian_upper_bound"]


def circle(n=300):
    return np.array([5.0, -3.0]) + np.sin(0.3 * np.arange(n) + np.array([[0.0], [1.57]])).T * [2.0, 0.1]


def brief(**params):
    params = {"n_units": 10, "sequence_length": 20, "forcing": 0.2, "trainer": BRIEF, "random_state": 0} | params
    return ShallowPLRNN(**params)


@pytest.fixture(scope="module")
def model():
    return brief().fit(circle())


def test_it_learns_a_rotation_and_keeps_turning(model):
    X = circle(400)
    assert model.score(X) > 0.99
    path = model.forecast(1000)
    assert np.abs(path - X.mean(axis=0)).max() < 4.0
    assert path[-100:].std(axis=0)[0] > 0.5  # not at rest


@pytest.mark.parametrize("forcing", FORCINGS)
def test_adaptive_forcing_falls_from_one_as_gradients_allow(forcing):
    model = brief(forcing=forcing).fit(circle())
    assert len(model.alpha_history_) == 300 // 5
    assert all(0 <= alpha <= 1 for alpha in model.alpha_history_)
    assert model.alpha_history_[-1] < model.alpha_history_[0] <= 1


def test_a_constant_forcing_has_no_history(model):
    assert model.alpha_history_ == []


def test_jacobian_is_the_derivative_of_the_closed_loop_in_the_units_of_the_data(model):
    X = circle()[:5]
    np.testing.assert_allclose(model.closed_loop(X), model.predict(X))
    np.testing.assert_allclose(model.jacobian(X), central_differences(model.closed_loop, X), rtol=1e-4, atol=1e-6)


def test_fixed_points_map_onto_themselves(model):
    points = model.fixed_points()
    assert points
    for point in points:
        np.testing.assert_allclose(model.closed_loop(point.points), point.points, atol=1e-8)
        assert point.is_stable == bool((np.abs(point.eigenvalues) < 1).all())


def test_the_lyapunov_spectrum_of_a_learned_rotation_is_not_chaotic(model):
    result = lyapunov_spectrum(model, x0=circle()[[50, 100, 150]], n_steps=500, dt=0.1)
    assert result.exponents[0] < 0.05
    assert result.exponents.shape == (2,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"forcing": 1.5}, "forcing"),
        ({"forcing": "largest"}, "forcing"),
        ({"n_units": 0}, "n_units"),
        ({"sequence_length": 400}, "rows"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        brief(**params).fit(circle())


def test_a_closed_loop_needs_a_model_of_the_state():
    model = brief().fit(circle(), circle()[:, 0])
    with pytest.raises(ValueError, match="fit ShallowPLRNN without y"):
        model.closed_loop(circle())
    with pytest.raises(ValueError, match="period must be an integer >= 1"):
        brief().fit(circle()).cycles(0)
    with pytest.raises(ValueError, match="x0 must hold two or more states"):
        lyapunov_spectrum(brief().fit(circle()), dt=0.1)
