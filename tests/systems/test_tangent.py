import numpy as np
import pytest

from chaosfit.systems.delays import MackeyGlass
from chaosfit.systems.flows import Lorenz63, Lorenz96, Rossler
from chaosfit.systems.maps import Henon, Logistic
from chaosfit.systems.tangent import lyapunov_spectrum


def test_sum_of_the_lorenz63_exponents_is_the_divergence():
    result = lyapunov_spectrum(Lorenz63(), n_steps=40, n_trajectories=2, random_state=0)
    assert result.exponents.sum() == pytest.approx(-(10.0 + 1.0 + 8.0 / 3.0), abs=1e-5)
    assert (np.diff(result.exponents) < 0.0).all()


def test_sum_of_the_lorenz96_exponents_is_minus_n():
    result = lyapunov_spectrum(Lorenz96(n_variables=10), n_steps=20, n_trajectories=2, random_state=0)
    assert result.exponents.sum() == pytest.approx(-10.0, abs=1e-5)


def test_henon_against_published_values():
    result = lyapunov_spectrum(Henon(), n_steps=10_000, random_state=0)
    assert result.exponents.sum() == pytest.approx(np.log(0.3), abs=1e-12)
    assert result.exponents[0] == pytest.approx(0.419, abs=0.005)
    assert result.kaplan_yorke_dimension == pytest.approx(1.26, abs=0.01)
    assert 0.0 < result.standard_errors[0] < 0.003


def test_logistic_is_ln_two():
    result = lyapunov_spectrum(Logistic(), n_steps=5000, random_state=0)
    assert result.exponents == pytest.approx(np.log(2.0), abs=1e-3)
    assert result.kaplan_yorke_dimension == 1.0


@pytest.mark.slow
def test_lorenz63_against_published_values():
    result = lyapunov_spectrum(Lorenz63(), n_steps=1500, random_state=0)
    assert result.exponents[0] == pytest.approx(0.906, abs=0.02)
    assert result.exponents[1] == pytest.approx(0.0, abs=0.01)
    assert result.exponents.sum() == pytest.approx(-13.6667, abs=1e-4)
    assert result.kaplan_yorke_dimension == pytest.approx(2.06, abs=0.01)


@pytest.mark.slow
def test_rossler_against_published_values():
    result = lyapunov_spectrum(Rossler(), n_steps=600, random_state=0)
    assert result.exponents[0] == pytest.approx(0.0714, abs=0.006)
    assert result.exponents[1] == pytest.approx(0.0, abs=0.006)
    assert result.kaplan_yorke_dimension == pytest.approx(2.013, abs=0.005)


@pytest.mark.slow
def test_lorenz96_has_thirteen_positive_exponents():
    result = lyapunov_spectrum(Lorenz96(), n_steps=100, random_state=0)
    assert result.exponents.sum() == pytest.approx(-40.0, abs=1e-4)
    assert result.exponents[0] == pytest.approx(1.68, abs=0.12)
    assert (result.exponents > 2.0 * result.standard_errors).sum() == 13
    assert result.kaplan_yorke_dimension == pytest.approx(27.1, abs=0.7)


def test_leading_exponents_only():
    few = lyapunov_spectrum(Lorenz63(), 1, n_steps=40, n_trajectories=2, random_state=0)
    all_ = lyapunov_spectrum(Lorenz63(), n_steps=40, n_trajectories=2, random_state=0)
    assert few.exponents.shape == few.standard_errors.shape == (1,)
    assert few.exponents[0] == pytest.approx(all_.exponents[0], abs=1e-3)
    assert np.isnan(few.kaplan_yorke_dimension)


def test_central_differences_replace_a_missing_jacobian():
    class Bare(Lorenz63):
        jacobian = Lorenz63.__mro__[1].jacobian

    options = {"n_steps": 30, "n_trajectories": 2, "random_state": 0}
    bare, analytic = lyapunov_spectrum(Bare(), **options), lyapunov_spectrum(Lorenz63(), **options)
    np.testing.assert_allclose(bare.exponents, analytic.exponents, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"system": object()}, TypeError, "needs a Flow or a Map, or a delay equation, got object"),
        ({"system": MackeyGlass(max_step=8.5), "n_exponents": 6}, ValueError, r"n_exponents must lie in 1..5, got 6"),
        ({"system": Henon(), "n_exponents": 3}, ValueError, r"n_exponents must lie in 1..2, got 3"),
        ({"system": Henon(), "n_trajectories": 1}, ValueError, "n_trajectories must be >= 2"),
        ({"system": Henon(), "n_steps": 0}, ValueError, "n_steps must be an integer >= 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        lyapunov_spectrum(**arguments)
