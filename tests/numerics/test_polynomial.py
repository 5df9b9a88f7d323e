"""Monomials against their definition."""

import numpy as np
import pytest

from chaosfit.numerics.polynomial import monomial_derivatives, monomial_powers, monomials

X = np.random.default_rng(0).standard_normal((7, 3))
POWERS = monomial_powers(3, range(5))


@pytest.mark.parametrize("rows", [slice(None), [7, 3, 30], [0], []])
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_values(rows, dtype):
    powers = POWERS[rows].astype(dtype)
    np.testing.assert_allclose(monomials(X, powers), np.prod(X[:, None] ** powers, axis=2), rtol=1e-13)


def test_derivatives():
    step = 1e-6
    for variable in range(3):
        kick = step * (np.arange(3) == variable)
        difference = (monomials(X + kick, POWERS) - monomials(X - kick, POWERS)) / (2 * step)
        np.testing.assert_allclose(monomial_derivatives(X, POWERS)[..., variable], difference, atol=1e-7)
