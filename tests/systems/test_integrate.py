from dataclasses import dataclass

import numpy as np
import pytest

from chaosfit.systems.delays import MackeyGlass
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.integrate import integrate
from chaosfit.systems.maps import Henon
from chaosfit.systems.pdes import KuramotoSivashinsky
from chaosfit.systems.system import Flow


@dataclass(frozen=True, kw_only=True)
class Oscillator(Flow):
    """Van der Pol's oscillator, stiff for large mu."""

    mu: float = 1000.0
    name, dim, dt, transient, initial_state, initial_spread = "oscillator", 2, 1.0, 0.0, (2.0, 0.0), 0.0

    def rhs(self, X):
        x, v = X.T
        return np.array([v, self.mu * (1.0 - x * x) * v - x]).T


class Branching(Oscillator):
    def rhs(self, X):
        return -X if X[0, 0] > 0 else X


@pytest.mark.parametrize("backend", ["taylor", "dop853"])
def test_rows_times_and_backends(backend):
    x0, t = np.array([[1.0, 1.0, 20.0], [0.5, -1.0, 15.0]]), np.array([0.0, 0.01, 0.5, 0.7])
    x = integrate(Lorenz63(), x0, t, backend=backend)
    assert x.shape == (2, 4, 3)
    np.testing.assert_array_equal(x[:, 0], x0)
    np.testing.assert_array_equal(integrate(Lorenz63(), x0[1], t, backend=backend), x[1])
    np.testing.assert_allclose(x, integrate(Lorenz63(), x0, t, rtol=1e-13, backend="dop853"), rtol=1e-8)


@pytest.mark.parametrize("backend", ["taylor", "dop853"])
def test_stiff_flows_are_handed_to_an_implicit_method(backend):
    x = integrate(Oscillator(), [2.0, 0.0], [0.0, 1.0, 400.0, 800.0], rtol=1e-8, backend=backend)
    # On the slow branch x^2 / 2 - ln x falls by t / mu; the fast transient before it shifts that by about 1e-6.
    slow = 2.0 - np.log(2.0) - np.array([1.0, 400.0]) / 1000.0
    np.testing.assert_allclose(x[1:3, 0] ** 2 / 2 - np.log(x[1:3, 0]), slow, atol=2e-5)
    assert np.isfinite(x).all()


@pytest.mark.parametrize("backend", ["taylor", "dop853"])
def test_an_escape_is_nan_from_there(backend):
    x = integrate(Lorenz63(beta=-50.0), [1.0, 1.0, 1.0], np.linspace(0.0, 5.0, 11), backend=backend)
    finite = np.isfinite(x).all(axis=1)
    assert finite[0]
    assert not finite[-1]
    assert (np.diff(finite.astype(int)) <= 0).all()


def test_other_kinds_of_systems():
    assert integrate(Henon(), [0.0, 0.0], [0, 1, 2])[:, 0] == pytest.approx([0.0, 1.0, -0.4])
    np.testing.assert_array_equal(
        integrate(MackeyGlass(), [1.2], np.arange(5.0)), MackeyGlass().simulate(5, x0=[1.2], dt=1.0)
    )
    flame = KuramotoSivashinsky(n_points=16)
    x0 = np.cos(2 * np.pi * np.arange(16) / 16)
    np.testing.assert_array_equal(integrate(flame, x0, [0.0, 0.25, 0.5]), flame.simulate(3, x0=x0, dt=0.25))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: integrate(Lorenz63(), [1.0, 2.0], [0.0, 1.0]), r"expected x0 of shape \(3,\) or \(B, 3\), got \(2,\)"),
        (lambda: integrate(Lorenz63(), np.ones(3), [0.0, 0.0]), "strictly increasing"),
        (lambda: integrate(Lorenz63(), np.ones(3), [0.0, np.nan]), "strictly increasing"),
        (lambda: integrate(Lorenz63(), np.ones(3), [0.0, 1.0], rtol=0.0), "rtol must be > 0, got 0.0"),
        (
            lambda: integrate(Lorenz63(), np.ones(3), [0.0, 1.0], backend="euler"),
            "must be one of taylor, numba, heyoka, dop853",
        ),
        (lambda: integrate(Henon(), np.ones(2), [0.0, 1.0], rtol=1e-9), "no rtol or backend: its own parameters"),
        (lambda: integrate(MackeyGlass(), np.ones(1), [0.0, 1.0, 3.0]), "needs equally spaced times"),
        (lambda: integrate(Branching(), np.ones(2), [0.0, 1.0], backend="taylor"), "cannot be traced.*'dop853'"),
    ],
)
def test_wrong_arguments_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()
