"""Both forms of Taylor's method against solutions in closed form, and against each other."""

import numpy as np
import pytest

from chaosfit.numerics.compiled import integrate_compiled
from chaosfit.numerics.taylor import integrate_taylor, taylor_order
from chaosfit.numerics.trace import TraceError, trace


def generated(function, x0, t, **options):
    return integrate_taylor(trace(function, len(x0)), np.array(x0), np.asarray(t), **options)


# Without numba its program runs as Python, so it is tested in either case.
def interpreted(function, x0, t, **options):
    return integrate_compiled(trace(function, len(x0)), np.array([x0]), np.asarray(t), **options)[0]


both = pytest.mark.parametrize("solve", [generated, interpreted])
TIMES = np.linspace(0.0, 2.0, 9)
NESTED = {
    "exp": (lambda x, t: [-x[0] + 0.0 * np.exp(x[0])], lambda t: np.exp(-t)),
    "power": (lambda x, t: [-0.5 * x[0] ** 3.0], lambda t: (1 + t) ** -0.5),
    "fractional power": (lambda x, t: [x[0] ** 0.5], lambda t: (1 + t / 2) ** 2),
    "inverse": (lambda x, t: [1 / x[0]], lambda t: np.sqrt(1 + 2 * t)),
    "divide": (lambda x, t: [t / x[0]], lambda t: np.sqrt(1 + t**2)),
    "log": (lambda x, t: [x[0] * (1 - np.log(x[0]))], lambda t: np.exp(1 - np.exp(-t))),
    "tan": (lambda x, t: [1 / np.tan(x[0])], lambda t: np.arccos(np.cos(1.0) * np.exp(-t))),
    "arctan": (lambda x, t: [np.arctan(np.tan(x[0] * 0.1)) * 10], lambda t: np.exp(t)),
    "tanh": (lambda x, t: [1 / np.tanh(x[0])], lambda t: np.arccosh(np.cosh(1.0) * np.exp(t))),
    "sinh": (lambda x, t: [-np.tanh(x[0])], lambda t: np.arcsinh(np.sinh(1.0) * np.exp(-t))),
    "time": (lambda x, t: [t * np.cos(t)], lambda t: 1 + t * np.sin(t) + np.cos(t) - 1),
    "exponential": (lambda x, t: [np.exp(-x[0])], lambda t: np.log(np.e + t)),
    "at rest": (lambda x, t: [0.0 * x[0]], lambda t: np.ones_like(t)),
    "constant": (lambda x, t: [2.5], lambda t: 1 + 2.5 * t),
}


@both
@pytest.mark.parametrize("name", NESTED)
def test_solution_in_closed_form(solve, name):
    function, solution = NESTED[name]
    np.testing.assert_allclose(solve(function, [1.0], TIMES)[:, 0], solution(TIMES), rtol=1e-11)


@both
def test_a_circle_closes(solve):
    x = solve(lambda x, t: [x[1], -x[0]], [0.0, 1.0], np.linspace(0.0, 20 * np.pi, 11))
    np.testing.assert_allclose(x, np.broadcast_to([0.0, 1.0], x.shape), atol=1e-12)


@both
def test_steep_switches_are_not_passed_over(solve):
    # x turns at x = 1, by a switch that the series at x = 0 knows nothing of: tanh(-5000) is -1 to the last digit.
    x = solve(lambda x, t: [-0.5 * np.tanh(5000.0 * (x[0] - 1.0)) + 0.25], [0.0], [0.0, 1.0, 2.0, 30.0])
    rest = 1.0 + np.arctanh(0.5) / 5000.0
    np.testing.assert_allclose(x[:, 0], [0.0, 0.75, rest, rest], rtol=1e-10)


@both
def test_kinks_are_met_exactly(solve):
    # x'' = -sign(x) is a ball on a roof: parabolas of period 4 sqrt(2) from x = 1 at rest.
    period = 4.0 * np.sqrt(2.0)
    x = solve(lambda x, t: [x[1], -np.sign(x[0])], [1.0, 0.0], period * np.arange(6) / 2)
    np.testing.assert_allclose(x[:, 0], [1, -1, 1, -1, 1, -1], atol=1e-12)
    bounce = solve(lambda x, t: [x[1], -np.abs(x[0])], [1.0, 0.0], [0.0, np.pi / 2, np.pi / 2 + 1.0])
    np.testing.assert_allclose(bounce[1], [0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(bounce[2, 0], -np.sinh(1.0), rtol=1e-12)


@both
def test_sliding_along_a_jump_ends_the_trajectory(solve):
    x = solve(lambda x, t: [-np.sign(x[0])], [1.0], [0.0, 0.5, 2.0])[:, 0]
    np.testing.assert_allclose(x[:2], [1.0, 0.5], atol=1e-14)
    assert np.isnan(x[2])


@both
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (lambda x, t: [x[0] ** 2], {}),
        (lambda x, t: [x[0]], {"bound": 10.0}),
        (lambda x, t: [-1e6 * (x[0] - np.cos(t))], {"max_steps": 50}),
        (lambda x, t: [0.1 * np.log(x[0]) - 1.0], {"max_steps": 200}),
    ],
    ids=["pole", "bound", "stiff", "left its domain"],
)
def test_what_cannot_be_continued_is_nan_from_there(solve, function, options):
    with np.errstate(all="ignore"):
        x = solve(function, [1.0], np.linspace(0.0, 4.0, 41), **options)[:, 0]
    ended = np.isnan(x)
    assert not ended[0]
    assert ended[-1]
    assert (np.diff(ended.astype(int)) >= 0).all()


@both
def test_tolerance_bounds_the_error_of_a_chaotic_trajectory(solve):
    def lorenz(x, t):
        return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]

    t = np.linspace(0.0, 5.0, 6)
    exact = solve(lorenz, [1.0, 1.0, 20.0], t, rtol=1e-13, atol=1e-13)
    for tolerance in (1e-4, 1e-7, 1e-10):
        error = np.abs(solve(lorenz, [1.0, 1.0, 20.0], t, rtol=tolerance, atol=tolerance) - exact).max()
        assert error < 10.0 * tolerance


def test_both_forms_agree():
    def field(x, t):
        return [np.sin(x[1]) + t / 10, x[0] * x[2] - np.tanh(x[1]), 1 / (2 + x[0] ** 2) - x[2] ** 2]

    t = np.array([0.0, 0.1, 0.11, 3.0, 8.0])
    np.testing.assert_allclose(generated(field, [0.1, 0.2, 0.3], t), interpreted(field, [0.1, 0.2, 0.3], t), atol=1e-12)


def test_order_grows_with_the_digits():
    assert [taylor_order(10.0**-n) for n in (1, 6, 10, 16)] == [4, 8, 13, 20]


def test_maps_have_no_series():
    with pytest.raises(TraceError, match="no Taylor series of floor"):
        generated(lambda x, t: [x[0] // 1], [1.0], TIMES)
