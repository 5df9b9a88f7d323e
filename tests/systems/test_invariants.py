"""The table of exponents: complete, current, and right where the literature knows the value."""

import importlib.util

import numpy as np
import pytest

from chaosfit import registry
from chaosfit.bridges.dysts import DystsSystem, dysts_names
from chaosfit.systems.invariants import fingerprint, measured, table


@pytest.mark.parametrize(
    ("name", "exponent", "dimension"),
    [
        ("lorenz63", 0.9056, 2.062),
        ("rossler", 0.0714, 2.013),
        ("henon", 0.419, 1.258),
        ("logistic", np.log(2.0), 1.0),
        ("lorenz96", 1.68, 27.1),
        ("kuramoto_sivashinsky", 0.048, 4.24),
        ("mackey_glass", 1.0 / 197.0, None),
        ("Lorenz", 0.9056, 2.062),
        ("Rossler", 0.0714, 2.013),
        ("SprottJerk", 0.055, 2.027),
    ],
)
def test_largest_exponent_and_dimension_of_the_literature(name, exponent, dimension):
    row = table()[name]
    assert row.is_chaotic
    assert row.exponents[0] == pytest.approx(exponent, rel=0.02)
    assert row.standard_errors[0] < 0.02 * exponent
    if dimension is not None:
        assert row.kaplan_yorke_dimension == pytest.approx(dimension, rel=0.01)


def test_chaotic_flows_have_an_exponent_zero():
    """Along a trajectory that does not settle nothing grows; a mixture of attractors would show here."""
    for row in table().values():
        if row.kind == "flow" and row.is_chaotic and len(row.exponents) == row.dim:
            nearest = np.argmin(np.abs(row.exponents))
            assert abs(row.exponents[nearest]) < 0.25 * row.exponents[0], row.system


@pytest.mark.skipif(importlib.util.find_spec("dysts") is None, reason="needs dysts")
def test_table_is_complete_and_belongs_to_the_installed_systems():
    assert set(table()) == {*dysts_names(), *registry.names("systems")}
    for name in dysts_names():
        system = DystsSystem(name)
        row = measured(name, system.parameters)
        assert row is not None, f"{name}: run tests/benchmarks/lyapunov_table.py {name}"
        assert (row.kind, row.dim) == (system.kind, system.dim)


def test_regular_motion_is_not_called_chaos():
    for name in ("Torus", "ForcedVanDerPol", "BickleyJet"):
        assert not table()[name].is_chaotic


def test_other_parameters_have_no_row():
    assert measured("Lorenz", {"sigma": 10.0, "rho": 29.0, "beta": 2.667}) is None
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": np.array([2.0, 3.0]), "a": 1.0})
