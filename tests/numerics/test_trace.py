import pickle

import numpy as np
import pytest

from chaosfit.numerics.trace import TraceError, trace

X = np.array([[0.3, 0.7], [1.4, -0.8], [2.5, 0.2]])


def numbers(function):
    return np.array([np.ravel(function(x, 0.0)) for x in X], float)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, t: [x[0] ** 3 - 2 / x[1], x[0] / x[1] - x[1] ** -2],
        lambda x, t: [np.exp(-x[0]) * np.log(x[0]), x[0] ** 0.3 + np.sqrt(x[0])],
        lambda x, t: np.sin(x) * np.cos(x)[::-1] + np.tan(x / 3),
        lambda x, t: [np.sinh(x[0]) + np.cosh(x[1]), np.tanh(x[0] * x[1]) + np.arctan(x[1])],
        lambda x, t: [abs(x[1]) + np.abs(x[0] - 1), np.sign(x[1]) * np.heaviside(x[0] - 1, 0)],
        lambda x, t: [np.minimum(x[0], x[1]), np.maximum(x[0], 1.0)],
        lambda x, t: np.array([[1.0, -2.0], [0.5, 0.0]]) @ x + np.sum(x) + np.dot(x, x),
        lambda x, t: np.matmul(np.array([[1.0, -2.0], [0.5, 3.0]]), 1.0 / (1.0 + np.exp(-x))),
        lambda x, t: [np.min(np.array([[1.0, 2.0]]).T * x[None], axis=1)[0], x[0] % 0.9 + (3 * x[1]) // 1],
        lambda x, t: [np.arccos(x[0] / 3), 2.0 ** x[1] + x[0] ** x[0]],
        lambda x, t: [1.0, 0.0 * x[0] + 7],
    ],
)
def test_record_gives_the_values_and_derivatives_of_the_function(function):
    tape = trace(function, 2)
    np.testing.assert_allclose(tape.function(X), numbers(function), rtol=1e-13, atol=1e-15)
    step = 1e-6 * np.eye(2)
    slopes = [(tape.function(X + h) - tape.function(X - h)) / 2e-6 for h in step]
    jacobian = tape.jacobian().function(X).reshape(-1, 2, 2)
    np.testing.assert_allclose(jacobian, np.moveaxis(slopes, 0, 2), rtol=1e-7, atol=1e-7)


def test_tangent_is_the_jacobian_times_the_vectors():
    tape = trace(lambda x, t: [x[0] * x[1] + t, np.sin(x[0]) / x[1]], 2)
    frame = np.random.default_rng(0).normal(size=(3, 2, 4))
    out = tape.tangent(4).function(np.concatenate([X, frame.reshape(3, 8)], axis=1), np.ones(3))
    np.testing.assert_allclose(out[:, :2], tape.function(X, np.ones(3)))
    np.testing.assert_allclose(out[:, 2:].reshape(3, 2, 4), tape.jacobian().function(X).reshape(3, 2, 2) @ frame)


def test_equal_operations_are_recorded_once():
    tape = trace(lambda x, t: [np.sin(x[0]) * x[1], np.sin(x[0]) + np.cos(x[0]) + x[1] * np.sin(x[0])], 2)
    assert [op.name for op in tape.operations].count("multiply") == 1
    assert [op.name for op in tape.operations].count("sin") == 1


def test_time_dependence_is_seen():
    assert trace(lambda x, t: [x[0] * np.cos(t)], 1).time_dependent
    assert not trace(lambda x, t: [x[0] + 0.0 * t], 1).time_dependent


def test_tape_is_a_value():
    tape = trace(lambda x, t: [x[0] ** 2], 1)
    assert tape.function(X[:, :1]).shape == (3, 1)
    assert pickle.loads(pickle.dumps(tape)) == tape
    assert hash(tape) == hash(trace(lambda x, t: [x[0] * x[0]], 1))


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda x, t: [x[0] if x[0] > 0 else -x[0]], "cannot be traced: TypeError"),
        (lambda x, t: [x[0] if x[0] else 1.0], "branches on a value of the state"),
        (lambda x, t: [np.cbrt(x[0])], "uses numpy.cbrt"),
        (lambda x, t: [x[0], x[0]], "expected 1 derivatives, got 2"),
        (lambda x, t: [float(x[0])], "cannot be traced: TypeError"),
    ],
)
def test_what_cannot_be_recorded_is_said(function, match):
    with pytest.raises(TraceError, match=match):
        trace(function, 1)
