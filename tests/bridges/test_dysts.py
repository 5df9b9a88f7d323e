import importlib.util
import json
import os
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import Radau, solve_ivp

from chaosfit.bridges import dysts as bridge
from chaosfit.bridges.dysts import DystsSystem, dysts_names
from chaosfit.systems.delays import DelayFlow, MackeyGlass
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.integrate import integrate
from chaosfit.systems.system import Flow, Map, central_differences
from chaosfit.systems.tangent import lyapunov_spectrum

pytestmark = pytest.mark.skipif(importlib.util.find_spec("dysts") is None, reason="needs dysts")


def dysts_flows():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that numba is missing
        import dysts.flows
    return dysts.flows


def test_names_come_without_importing_dysts():
    code = (
        "import sys; from chaosfit.bridges.dysts import dysts_names; "
        "print(*(len(dysts_names(k)) for k in (None, 'flow', 'delay', 'map'))); assert 'dysts' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    everything, *kinds = map(int, done.stdout.split())
    assert everything == sum(kinds)
    assert kinds[0] >= 129
    assert kinds[1:] == [6, 23]
    with pytest.raises(ValueError, match="kind must be one of flow, delay, map, got 'pde'"):
        dysts_names("pde")


@pytest.mark.parametrize(
    ("name", "kind"), [("Lorenz", Flow), ("Henon", Map), ("DuffingMap", Map), ("VossDelay", DelayFlow)]
)
def test_each_kind_is_a_system_of_its_kind(name, kind):
    system = DystsSystem(name)
    assert isinstance(system, kind)
    assert isinstance(system, DystsSystem)
    assert system.name == name
    x = system.simulate(50, transient=2.0, random_state=0, n_trajectories=2)
    assert x.shape == (2, 50, system.dim)
    assert pickle.loads(pickle.dumps(system)) == system
    assert eval(repr(system), vars(bridge)) == system


def test_lorenz_is_lorenz63():
    ours = Lorenz63(beta=2.667).simulate(201, x0=[1.0, 2.0, 20.0], dt=0.01)
    np.testing.assert_allclose(DystsSystem("Lorenz").simulate(201, x0=[1.0, 2.0, 20.0], dt=0.01), ours, atol=1e-7)


# Columns unpacked, variables indexed first, matrix products and minima, branches, a maximum, a sum, explicit time.
@pytest.mark.parametrize(
    "name",
    [
        *("Halvorsen", "Lorenz96", "Hopfield", "MacArthur", "Chua", "DoublePendulum", "BelousovZhabotinsky"),
        *("InteriorSquirmer", "MultiChua", "SprottMore", "Torus"),
    ],
)
def test_recorded_right_hand_side_equals_the_original(name):
    system, original = DystsSystem(name), getattr(dysts_flows(), name)()
    rng = np.random.default_rng(1)
    X = system.initial_state * (1.0 + 0.1 * rng.standard_normal((5, system.dim)))
    time = system.period * rng.random(5)
    rows = np.array([np.ravel(original.rhs(x, t)) for x, t in zip(X, time, strict=True)], float)
    np.testing.assert_allclose(system.rhs(X, time), rows, rtol=1e-10)
    slopes = central_differences(system.rhs, X, time)
    np.testing.assert_allclose(system.jacobian(X, time), slopes, rtol=1e-5, atol=1e-5 * np.abs(slopes).max())


def test_recorded_jacobian_equals_the_one_of_dysts():
    system, original = DystsSystem("Rossler"), dysts_flows().Rossler()
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(system.jacobian(x[None])[0], original.jac(x, 0.0), rtol=1e-14)


@pytest.mark.parametrize("name", ["Henon", "Ikeda", "Chebyshev", "KaplanYorke", "Baker", "Logistic", "Hopalong"])
def test_maps_iterate_like_the_original(name):
    system = DystsSystem(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dysts.maps

        original = getattr(dysts.maps, name)().make_trajectory(8)
    ours = system.simulate(9, x0=system.initial_state)
    np.testing.assert_allclose(ours[1:], original.reshape(8, -1), rtol=1e-9)
    X = system.simulate(20, random_state=0)
    inside = np.abs(X - 0.5).min(axis=1) > 1e-3  # central differences do not see the jump of x mod 1 beside them
    np.testing.assert_allclose(
        system.jacobian(X)[inside], central_differences(system.step, X)[inside], rtol=1e-4, atol=1e-5
    )


def test_published_series_are_reproduced_by_their_recipe():
    """First five samples: Radau with loose tolerances and the first step of the publication, from the first sample."""
    folder = Path(os.environ.get("CHAOSFIT_DATA", "data")) / "dysts-data"
    if not (folder / "multivariate15.npz").exists():
        pytest.skip(f"published series not found in {folder}; set CHAOSFIT_DATA to the folder that holds dysts-data")
    published = np.load(folder / "multivariate15.npz", allow_pickle=True)
    recipes = json.loads((folder / "integration_metadata_2021.json").read_text())
    # Wrapped series are other variables, and the parameters of CircadianRhythm, one of them, have changed.
    plain = [n for n in dysts_names("flow") if not hasattr(getattr(dysts_flows(), n), "_postprocessing")]
    names = [n for n in map(str, published["systems"]) if n in recipes and n in plain]
    assert len(names) > 50
    for name in names:
        system, x, end = DystsSystem(name), published[f"test/{name}"], 12.0 * recipes[name]["period"]
        t = np.linspace(0.0, end, len(x))[:5]
        solver = Radau(
            lambda time, y, system=system: system.rhs(y[None], np.array([time]))[0],
            0.0,
            x[0],
            end,
            first_step=recipes[name]["first_step"],
        )
        done = [x[0]]
        while len(done) < 5:
            with np.errstate(over="ignore"):  # trial steps go far
                solver.step()
            within = t[len(done) :][t[len(done) :] <= solver.t]
            done += list(solver.dense_output()(within).T) if len(within) else []
        np.testing.assert_allclose(done, x[:5], rtol=0.0, atol=1e-7 * x.std(), err_msg=name)


@pytest.mark.parametrize("backend", ["taylor", "dop853"])
def test_lorenz_agrees_with_a_second_solver_over_two_periods(backend):
    system = DystsSystem("Lorenz")
    x0, t = system.initial_state, system.dt * np.arange(201)
    second = solve_ivp(
        lambda time, x: system.rhs(x[None])[0], (0, t[-1]), x0, method="DOP853", t_eval=t, rtol=1e-13, atol=1e-13
    )
    tolerance = 1e-10 if backend == "taylor" else 1e-13
    np.testing.assert_allclose(integrate(system, x0, t, rtol=tolerance, backend=backend), second.y.T, atol=1e-9)


def test_delay_equation_is_the_original():
    system = DystsSystem("MackeyGlass")
    own = MackeyGlass(tau=16.0, max_step=system.max_step)
    x = system.simulate(300, dt=1.0, x0=[0.5])
    np.testing.assert_allclose(x, own.simulate(300, dt=1.0, x0=[0.5]), rtol=1e-10)
    voss = DystsSystem("VossDelay")
    coarse, fine = (replace(voss, max_step=h).simulate(100, x0=[0.3]) for h in (0.02, 0.005))
    np.testing.assert_allclose(coarse, fine, atol=1e-5)
    with pytest.raises(ValueError, match="max_step must be > 0"):
        DystsSystem("VossDelay", max_step=0.0)


def test_explicit_time_reaches_the_equation():
    system, original = DystsSystem("Torus"), dysts_flows().Torus()
    assert system.time_dependent
    assert not DystsSystem("Rossler").time_dependent
    ours = system.simulate(101, x0=system.initial_state)
    t = system.dt * np.arange(101)
    reference = solve_ivp(
        lambda time, x: original.rhs(x, time),
        (0.0, t[-1]),
        system.initial_state,
        method="DOP853",
        t_eval=t,
        rtol=1e-12,
        atol=1e-12,
    )
    np.testing.assert_allclose(ours, reference.y.T, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tolerance": 0.0}, "tolerance must be > 0"),
        ({"backend": "euler"}, "must be one of taylor, numba, heyoka, dop853"),
    ],
)
def test_impossible_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        DystsSystem("Lorenz", **options)


def test_sampling_follows_the_period():
    system = DystsSystem("Rossler")
    assert system.dt == system.period / 100.0
    x = system.simulate(300, random_state=0, n_trajectories=2)
    assert x.shape == (2, 300, 3)
    np.testing.assert_array_equal(x[0], system.simulate(300, random_state=0))


def test_database_exponents_are_marked_as_such():
    system = DystsSystem("Lorenz")
    assert system.database_lyapunov_exponent == pytest.approx(0.89, abs=0.01)
    assert len(system.database_lyapunov_exponents) == 3
    assert system.parameters["sigma"] == 10
    assert repr(system) == "DystsFlow(tolerance=1e-10, name='Lorenz', backend='taylor')"
    assert system != DystsSystem("Rossler")


def test_exponents_are_those_of_the_own_table():
    lorenz, torus = DystsSystem("Lorenz"), DystsSystem("Torus")
    assert lorenz.lyapunov_exponent == lorenz.lyapunov_exponents[0] == pytest.approx(0.9056, rel=0.02)
    assert lorenz.kaplan_yorke_dimension == pytest.approx(2.062, rel=0.01)
    assert lorenz.is_chaotic
    assert torus.is_chaotic is False
    assert torus.lyapunov_exponent is None
    assert torus.lyapunov_time is None
    assert torus.lyapunov_exponents is not None


def test_equations_that_cannot_be_recorded_are_integrated_as_they_are(monkeypatch):
    recorded = DystsSystem("Lorenz")
    expected = recorded.simulate(20, x0=recorded.initial_state)
    bridge._equations.cache_clear()

    def refuse(function, n_variables):
        raise bridge.TraceError("no")

    monkeypatch.setattr(bridge, "trace", refuse)
    plain = DystsSystem("Lorenz", backend="dop853")
    np.testing.assert_allclose(plain.simulate(20, x0=recorded.initial_state), expected, rtol=1e-8)
    X, time = recorded.initial_state[None], np.zeros(1)
    np.testing.assert_allclose(plain.jacobian(X, time), recorded.jacobian(X, time), atol=1e-6)
    with pytest.raises(ValueError, match="cannot be traced.*use backend='dop853'"):
        DystsSystem("Lorenz").simulate(20, x0=recorded.initial_state)
    bridge._equations.cache_clear()


def test_tangent_flow_works_on_any_flow():
    result = lyapunov_spectrum(DystsSystem("Lorenz"), n_steps=20, dt=0.1, n_trajectories=2, random_state=0)
    assert result.exponents.sum() == pytest.approx(-13.667, abs=1e-3)


def test_global_random_state_is_untouched():
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    DystsSystem("Lorenz").simulate(5, transient=0.0)
    assert np.random.random() == expected  # noqa: NPY002


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(LookupError, match="dysts has no system 'Lorentz'; nearest names: Lorenz"):
        DystsSystem("Lorentz")


def test_missing_package_says_how_to_install_it(monkeypatch):
    bridge._database.cache_clear()
    monkeypatch.setattr(bridge, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "chaosfit\[dysts\]"'):
        DystsSystem("Lorenz")
    bridge._database.cache_clear()


@pytest.mark.parametrize("kind", ["flow", "map"])
def test_every_system_can_be_simulated(kind):
    for name in dysts_names(kind):
        system = DystsSystem(name)
        transient = 0.0 if kind == "flow" else 100.0
        x = system.simulate(50, transient=transient, random_state=0)
        assert x.shape == (50, system.dim), name


@pytest.mark.slow
def test_every_delay_equation_can_be_simulated():
    for name in dysts_names("delay"):
        system = DystsSystem(name)
        x = system.simulate(200, transient=2.0 * system.period, random_state=0)[:, 0]
        assert 0.05 < x.std() < 10.0, name
