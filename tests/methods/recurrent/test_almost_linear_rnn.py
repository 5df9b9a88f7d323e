import numpy as np
import pytest

from chaosfit.methods.recurrent.almost_linear_rnn import AlmostLinearRNN
from chaosfit.nn.trainer import Trainer
from chaosfit.systems.system import central_differences

BRIEF = Trainer(max_steps=300, learning_rate=2e-2, optimizer="radam", batch_size=16, validation_fraction=0)


def circle(n=300):
    return np.array([5.0, -3.0]) + np.sin(0.3 * np.arange(n) + np.array([[0.0], [1.57]])).T * [2.0, 0.1]


def brief(**params):
    return AlmostLinearRNN(**({"n_states": 6, "n_rectified": 2, "sequence_length": 20, "trainer": BRIEF} | params))


@pytest.fixture(scope="module")
def model():
    return brief(random_state=0).fit(circle())


def test_it_learns_a_rotation(model):
    assert model.score(circle()) > 0.99
    assert model.forecast(200).std(axis=0)[0] > 0.5


def test_states_begin_with_the_data_and_follow_the_closed_loop_between(model):
    X = circle(20)
    states = model.states(X)
    np.testing.assert_allclose(states[:, :2], (X - model.mean_) / model.scale_)
    np.testing.assert_allclose(model.closed_loop(states[:-1])[:, 2:], states[1:, 2:])
    np.testing.assert_allclose(states[0, 2:], states[0, :2] @ model.start_.T)


def test_trajectories_start_anew(model):
    X = circle(20)
    both = model.states(np.concatenate([X, X]), trajectory_id=np.repeat([0, 1], 20))
    np.testing.assert_array_equal(both[:20], both[20:])


def test_jacobian_is_the_derivative_of_the_closed_loop(model):
    states = model.states(circle(5))
    np.testing.assert_allclose(
        model.jacobian(states), central_differences(model.closed_loop, states), rtol=1e-6, atol=1e-8
    )


def test_symbols_are_the_signs_of_the_rectified_units(model):
    X = circle()
    symbols = model.symbols(X)
    np.testing.assert_array_equal(symbols, (model.states(X)[:, -2:] > 0) @ [1, 2])
    assert model.symbols(n_steps=100, transient=10).shape == (100,)


def test_without_rectifiers_it_is_linear():
    model = brief(n_rectified=0, random_state=0).fit(circle())
    assert len(np.unique(model.symbols(circle()))) == 1
    (point,) = model.fixed_points()
    J = model.jacobian(point.states)[0]
    np.testing.assert_allclose(model.jacobian(model.states(circle(3)))[0], J)
    np.testing.assert_allclose(model.closed_loop(point.states), point.states, atol=1e-8)


def test_as_many_rectifiers_as_states_is_a_whole_piecewise_linear_network():
    assert brief(n_rectified=6, random_state=0).fit(circle()).score(circle()) > 0.9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_states": 1}, "n_states must be at least 2"),
        ({"n_rectified": 7}, "n_rectified must be at most n_states=6"),
        ({"forcing_interval": 0}, "forcing_interval"),
        ({"sequence_length": 400}, "rows"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        brief(**params).fit(circle())


def test_too_many_rectifiers_for_symbols():
    model = brief(n_states=70, n_rectified=64, trainer=Trainer(max_steps=1, validation_fraction=0)).fit(circle())
    with pytest.raises(ValueError, match="at most 62 rectified units"):
        model.symbols(circle())
