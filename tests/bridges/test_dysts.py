import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from chaosfit.bridges import dysts as bridge
from chaosfit.bridges.dysts import DystsSystem, dysts_names
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.tangent import lyapunov_spectrum

pytestmark = pytest.mark.skipif(importlib.util.find_spec("dysts") is None, reason="needs dysts")


def test_names_are_the_flows_and_come_without_importing_dysts():
    code = (
        "import sys; from chaosfit.bridges.dysts import dysts_names; names = dysts_names(); "
        "assert 'dysts' not in sys.modules; assert 'Lorenz' in names and 'MackeyGlass' not in names; print(len(names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(dysts_names()) > 100


def test_lorenz_is_lorenz63():
    ours = Lorenz63(beta=2.667).simulate(201, x0=[1.0, 2.0, 20.0], dt=0.01)
    np.testing.assert_allclose(DystsSystem("Lorenz").simulate(201, x0=[1.0, 2.0, 20.0], dt=0.01), ours, atol=1e-7)


# Columns unpacked, variables indexed first, matrix products that no batch passes, branches, explicit time.
@pytest.mark.parametrize("name", ["Halvorsen", "Lorenz96", "Hopfield", "MacArthur", "Chua", "DoublePendulum", "Torus"])
def test_batched_right_hand_side_equals_rows(name):
    system = DystsSystem(name)
    rng = np.random.default_rng(1)
    X = system.initial_state * (1.0 + 0.1 * rng.standard_normal((5, system.dim)))
    time = system.period * rng.random(5)
    rows = np.array([np.asarray(system._model.rhs(x, t), float) for x, t in zip(X, time, strict=True)])
    np.testing.assert_allclose(system.rhs(X, time), rows, rtol=1e-10)


def test_what_cannot_be_batched_is_known():
    assert DystsSystem("Halvorsen")._vectorised
    assert DystsSystem("Lorenz96")._vectorised
    assert not DystsSystem("MacArthur")._vectorised


def test_explicit_time_reaches_the_equation():
    system = DystsSystem("Torus")
    assert system.time_dependent
    assert not DystsSystem("Rossler").time_dependent
    ours = system.simulate(101, x0=system.initial_state)
    t = system.dt * np.arange(101)
    reference = solve_ivp(
        lambda time, x: system._model.rhs(x, time),
        (0.0, t[-1]),
        system.initial_state,
        method="DOP853",
        t_eval=t,
        rtol=1e-12,
        atol=1e-12,
    )
    np.testing.assert_allclose(ours, reference.y.T, atol=1e-7)


def test_sampling_follows_the_period():
    system = DystsSystem("Rossler")
    assert system.dt == system.period / 100.0
    x = system.simulate(300, random_state=0, n_trajectories=2)
    assert x.shape == (2, 300, 3)
    np.testing.assert_array_equal(x[0], system.simulate(300, random_state=0))


def test_database_exponents_are_marked_as_such():
    system = DystsSystem("Lorenz")
    assert system.lyapunov_exponents is None
    assert system.kaplan_yorke_dimension is None
    assert system.database_lyapunov_exponent == pytest.approx(0.89, abs=0.01)
    assert len(system.database_lyapunov_exponents) == 3
    assert system.parameters["sigma"] == 10
    assert repr(system) == "DystsSystem(tolerance=1e-10, name='Lorenz')"
    assert system != DystsSystem("Rossler")


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
    with pytest.raises(LookupError, match="dysts has no flow 'Lorentz'; nearest names: Lorenz"):
        DystsSystem("Lorentz")
    with pytest.raises(LookupError, match="no flow 'MackeyGlass'"):
        DystsSystem("MackeyGlass")


def test_missing_package_says_how_to_install_it(monkeypatch):
    bridge._database.cache_clear()
    monkeypatch.setattr(bridge, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "chaosfit\[dysts\]"'):
        DystsSystem("Lorenz")
    bridge._database.cache_clear()


@pytest.mark.slow
def test_every_flow_can_be_simulated():
    for name in dysts_names():
        system = DystsSystem(name)
        assert system.simulate(20, transient=system.period, random_state=0).shape == (20, system.dim), name
