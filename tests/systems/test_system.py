"""The contract that every system keeps, and the messages of `simulate`."""

import pickle
import warnings

import numpy as np
import pytest

from chaosfit.systems.delays import MackeyGlass
from chaosfit.systems.flows import Lorenz63, Lorenz96, Rossler
from chaosfit.systems.maps import Henon, Logistic
from chaosfit.systems.pdes import KuramotoSivashinsky
from chaosfit.systems.system import central_differences

SYSTEMS = [
    Lorenz63(),
    Rossler(),
    Lorenz96(n_variables=8),
    Henon(),
    Logistic(),
    MackeyGlass(max_step=0.5),
    KuramotoSivashinsky(n_points=32, max_step=0.25),
]
each_system = pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)


@each_system
def test_simulate_is_seeded_and_trajectory_i_does_not_depend_on_how_many(system):
    options = {"transient": 20.0, "random_state": 3}
    single = system.simulate(30, **options)
    several = system.simulate(30, n_trajectories=3, **options)
    assert single.shape == (30, system.dim)
    assert several.shape == (3, 30, system.dim)
    assert single.dtype == np.float64
    np.testing.assert_array_equal(single, several[0])
    np.testing.assert_array_equal(single, system.simulate(30, **options))
    assert np.ptp(several[:, 0], axis=0).min() > 0.0
    assert np.abs(single - system.simulate(30, transient=20.0, random_state=4)).max() > 1e-3


@each_system
def test_given_start_is_the_first_sample(system):
    starts = np.asarray(system.initial_state) + 0.01 * np.arange(1, system.dim + 1) * np.array([[1.0], [2.0]])
    out = system.simulate(5, x0=starts)
    np.testing.assert_allclose(out[:, 0], starts, atol=1e-15)
    np.testing.assert_array_equal(system.simulate(5, x0=starts[1]), out[1])


@each_system
def test_default_transient_ends_on_the_attractor(system):
    state = system.simulate(1, random_state=0)
    assert np.isfinite(state).all()
    assert np.abs(state).max() < 60.0


@each_system
def test_published_values_belong_to_the_published_parameters_only(system):
    published = type(system)()
    name = next(name for name in published.parameters if name not in published.numerical_parameters)
    changed = type(system)(**{name: published.parameters[name] + (2 if name == "n_variables" else 0.01)})
    assert published.lyapunov_exponent == published.lyapunov_exponents[0] > 0.0
    assert published.lyapunov_time == pytest.approx(1.0 / published.lyapunov_exponent)
    assert changed.lyapunov_exponents is changed.lyapunov_exponent is changed.lyapunov_time is None
    assert changed.kaplan_yorke_dimension is None
    assert "10." in published.reference or "arXiv" in published.reference


@each_system
def test_systems_are_values(system):
    again = pickle.loads(pickle.dumps(system))
    assert again == system
    assert hash(again) == hash(system)
    assert eval(repr(system), {type(system).__name__: type(system)}) == system


def test_accuracy_is_not_a_physical_parameter():
    assert Lorenz63(tolerance=1e-6).is_published
    assert KuramotoSivashinsky(n_points=32).is_published
    assert Lorenz63(tolerance=1e-6) != Lorenz63()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_steps": 0}, "n_steps must be an integer >= 1, got 0"),
        ({"n_steps": 2.5}, "n_steps must be an integer >= 1, got 2.5"),
        ({"n_steps": 5, "dt": 0.0}, "dt must be a number > 0, got 0.0"),
        ({"n_steps": 5, "dt": np.nan}, "dt must be a number > 0, got nan"),
        ({"n_steps": 5, "dt": "1"}, "dt must be a number > 0, got '1'"),
        ({"n_steps": 5, "transient": -1}, "transient must be a number >= 0, got -1"),
        ({"n_steps": 5, "x0": [1.0, 2.0]}, r"expected x0 of shape \(3,\), got \(2,\)"),
        (
            {"n_steps": 5, "x0": np.zeros((2, 3)), "n_trajectories": 3},
            r"expected x0 of shape \(3, 3\), got \(2, 3\)",
        ),
        ({"n_steps": 5, "x0": [1.0, np.nan, 0.0]}, "x0 must be finite"),
        ({"n_steps": 5, "n_trajectories": 0}, "n_trajectories must be an integer >= 1, got 0"),
        ({"n_steps": 5, "n_trajectories": True}, "n_trajectories must be an integer >= 1, got True"),
    ],
)
def test_wrong_arguments_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        Lorenz63().simulate(**arguments)


@pytest.mark.parametrize(
    ("system", "x0"),
    [
        (Henon(a=3.0), [1.0, 1.0]),
        (Logistic(), [2.0]),
        (Lorenz63(beta=-1.0), [1.0, 1.0, 1.0]),
        (MackeyGlass(gamma=-2.0), [1.0]),
        (KuramotoSivashinsky(n_points=8, length=400.0, max_step=0.5), np.arange(8.0) * 1e4),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_divergence_is_an_error_that_names_system_and_parameters(system, x0):
    name = type(system).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=rf"{name}\(.*=.*\) diverges from x0"):
            system.simulate(2000, x0=x0)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: Lorenz63(rho=np.nan), "Lorenz63: rho must be a finite number, got nan"),
        (lambda: Lorenz63(rho="28"), "Lorenz63: rho must be a finite number, got '28'"),
        (lambda: Lorenz63(tolerance=0.0), "tolerance must be > 0"),
        (lambda: Lorenz96(n_variables=3), "n_variables must be an integer >= 4, got 3"),
        (lambda: Lorenz96(n_variables=40.0), "n_variables must be an integer >= 4, got 40.0"),
        (lambda: MackeyGlass(tau=0.0), "tau and max_step must be > 0"),
        (lambda: KuramotoSivashinsky(n_points=33), "n_points must be an even integer >= 8, got 33"),
        (lambda: KuramotoSivashinsky(length=-1.0), "length and max_step must be > 0"),
    ],
)
def test_impossible_parameters_are_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()


def test_map_needs_whole_iterations():
    stride = Henon().simulate(4, dt=3, x0=[0.1, 0.1])
    np.testing.assert_array_equal(stride, Henon().simulate(10, x0=[0.1, 0.1])[::3])
    with pytest.raises(ValueError, match="whole number of iterations, got 0.5"):
        Henon().simulate(4, dt=0.5)


@pytest.mark.parametrize("system", [s for s in SYSTEMS if hasattr(s, "jacobian")], ids=lambda s: s.name)
def test_analytic_jacobian_agrees_with_central_differences(system):
    X = system.simulate(20, random_state=0, transient=5.0)
    function = system.rhs if hasattr(system, "rhs") else system.step
    assert type(system).jacobian is not type(system).__mro__[1].jacobian
    np.testing.assert_allclose(system.jacobian(X), central_differences(function, X), atol=1e-7)
