import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.numerics.spectral import etdrk4, etdrk4_step, kaplan_yorke_dimension


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([0.9056, 0.0, -14.5723], 2.06215),
        ([-14.5723, 0.9056, 0.0], 2.06215),
        ([0.41922, -1.62319], 1.25827),
        ([-0.1, -1.0], 0.0),
        ([0.0, -1.0], 1.0),
    ],
)
def test_kaplan_yorke_dimension(exponents, dimension):
    assert kaplan_yorke_dimension(exponents) == pytest.approx(dimension, abs=1e-4)


def test_kaplan_yorke_warns_where_volume_does_not_shrink():
    with pytest.warns(UserWarning, match="no sum of exponents is negative"):
        assert kaplan_yorke_dimension([1.0, 0.0, -1.0]) == 3.0


@pytest.mark.parametrize("exponents", [[], [np.nan]])
def test_kaplan_yorke_refuses_nothing_and_nan(exponents):
    with pytest.raises(ValueError, match="at least one Lyapunov exponent, all finite"):
        kaplan_yorke_dimension(exponents)


@given(st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=6))
def test_kaplan_yorke_lies_between_zero_and_the_number_of_exponents(exponents):
    exponents = [*exponents, -100.0]
    assert 0.0 <= kaplan_yorke_dimension(exponents) <= len(exponents)


@pytest.mark.parametrize("rate", [0.0, -1e-9, -1.0, -300.0])
def test_etdrk4_solves_a_constant_forcing_exactly(rate):
    v = etdrk4_step(np.zeros(1), np.ones_like, etdrk4([rate], 0.1))
    expected = 0.1 if rate == 0.0 else np.expm1(rate * 0.1) / rate
    assert v[0] == pytest.approx(expected, rel=1e-12)


def test_etdrk4_is_of_fourth_order():
    # v' = -v + (2 v - v^3), the logistic equation in v^2.
    def solve(step):
        v, coefficients = np.array([0.1]), etdrk4([-1.0], step)
        for _ in range(round(2.0 / step)):
            v = etdrk4_step(v, lambda v: 2.0 * v - v**3, coefficients)
        return v[0]

    exact = 1.0 / np.sqrt(1.0 + 99.0 * np.exp(-4.0))
    errors = [abs(solve(step) - exact) for step in (0.1, 0.05)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.3)


def test_etdrk4_takes_complex_rates():
    v = etdrk4_step(np.array([1.0 + 0.0j]), lambda v: 0.0 * v, etdrk4([1.0j], 0.3))
    assert v[0] == pytest.approx(np.exp(0.3j), abs=1e-14)
