import subprocess
import sys

import numpy as np
import pytest

from chaosfit.systems.cache import cached
from chaosfit.systems.flows import Lorenz63, Rossler
from chaosfit.systems.integrate import integrate
from chaosfit.systems.maps import Henon

T = np.linspace(0.0, 0.5, 6)


@pytest.fixture
def count(tmp_path, monkeypatch):
    """Number of trajectories that were computed and not read."""
    monkeypatch.setenv("CHAOSFIT_CACHE", str(tmp_path))
    calls = []
    solve = Lorenz63._solve
    monkeypatch.setattr(Lorenz63, "_solve", lambda self, *arguments: calls.append(1) or solve(self, *arguments))
    return lambda: len(calls)


def test_the_same_call_is_read(count):
    first = Lorenz63().simulate(20, random_state=3, transient=0.0)
    assert count() == 1
    np.testing.assert_array_equal(Lorenz63().simulate(20, random_state=3, transient=0.0), first)
    np.testing.assert_array_equal(Lorenz63().simulate(20, x0=first[0]), first)
    assert count() == 1


def test_whatever_decides_the_numbers_is_in_the_key(count):
    x0 = [1.0, 1.0, 20.0]
    calls = [
        lambda: integrate(Lorenz63(), x0, T),
        lambda: integrate(Lorenz63(rho=29.0), x0, T),
        lambda: integrate(Lorenz63(), [1.0, 1.0, 20.0 + 1e-12], T),
        lambda: integrate(Lorenz63(), x0, T + 1e-9),
        lambda: integrate(Lorenz63(), x0, T[:-1]),
        lambda: integrate(Lorenz63(), x0, T, rtol=1e-9),
        lambda: integrate(Lorenz63(), x0, T, backend="taylor"),
        lambda: Lorenz63(tolerance=1e-9).simulate(6, x0=x0, dt=0.1),
    ]
    for call in calls:
        call()
    assert count() == len(calls)
    for call in calls:
        call()
    assert count() == len(calls)


def test_systems_do_not_share_entries(count):
    assert not np.allclose(Lorenz63().simulate(9, x0=[1.0, 1.0, 0.0]), Rossler().simulate(9, x0=[1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(Henon().simulate(9, x0=[0.0, 0.0]), Henon().simulate(9, x0=[0.0, 0.0]))


def test_another_process_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAOSFIT_CACHE", str(tmp_path))
    simulate = (
        "from chaosfit.systems.flows import Lorenz63; print(Lorenz63().simulate(9, random_state=0, transient=0.0))"
    )
    cannot = "import chaosfit.systems.system as s; s.integrate_batch = None; "
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        for code in (simulate, cannot + simulate)
    )
    assert first.returncode == second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


def test_without_a_folder_nothing_is_kept(monkeypatch):
    monkeypatch.delenv("CHAOSFIT_CACHE", raising=False)
    values = iter([np.zeros(1), np.ones(1)])
    assert [float(cached(Henon(), ("x",), lambda: next(values))[0]) for _ in range(2)] == [0.0, 1.0]
