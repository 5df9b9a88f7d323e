"""What chaosfit promises about every estimator, and what this one adds."""

import numpy as np
import pytest
from chaosfit_example_plugin import RadialBasisMap

from chaosfit import registry
from chaosfit.testing import parametrize_with_dynamics_checks


@parametrize_with_dynamics_checks([RadialBasisMap(**params) for params in RadialBasisMap.get_test_params()])
def test_contract(check):
    check()


def test_chaosfit_finds_it():
    assert registry.get("radial_basis_map") is RadialBasisMap


@pytest.mark.parametrize("n_units", [0, -1, 2.5, "many"])
def test_wrong_parameters_are_refused(n_units):
    with pytest.raises(ValueError, match="The 'n_units' parameter of RadialBasisMap must be an int in the range"):
        RadialBasisMap(n_units=n_units).fit(np.zeros((10, 2)))


def henon(n_rows):
    X = np.empty((n_rows, 2))
    X[0] = 0.1, 0.1
    for t in range(n_rows - 1):
        X[t + 1] = 1 - 1.4 * X[t, 0] ** 2 + X[t, 1], 0.3 * X[t, 0]
    return X


def test_it_learns_the_henon_map():
    X = henon(1100)[100:]
    train, test = X[:500], X[500:]
    error = np.abs(RadialBasisMap().fit(train).predict(test)[:-1] - test[1:]).max()
    persistence = np.abs(test[:-1] - test[1:]).max()
    assert error < 0.01 < persistence
