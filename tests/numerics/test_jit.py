"""heyoka follows the same equations as the other forms of Taylor's method."""

import numpy as np
import pytest

from chaosfit.numerics.jit import integrate_heyoka
from chaosfit.numerics.taylor import integrate_taylor
from chaosfit.numerics.trace import trace

TIMES = np.linspace(0.5, 2.0, 7)


def field(x, t):
    """Every operation that heyoka is given."""
    y = np.sin(x[0]) * np.exp(-x[1]) + np.log(2.0 + np.cos(t)) - x[0] / (1.5 + np.arctan(x[1]))
    return [y + 0.3, (2.0 + y * y) ** 0.5 - 1.0 / (3.0 + x[0])]


def test_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "heyoka", None)
    with pytest.raises(ImportError, match=r'pip install "chaosfit\[heyoka\]"'):
        integrate_heyoka(trace(lambda x, t: [2.0 * x[0]], 1), np.ones((1, 1)), TIMES, rtol=1e-3, atol=1e-3)


def test_agrees_with_generated_code():
    pytest.importorskip("heyoka")
    tape, x0 = trace(field, 2), np.array([[0.3, -0.2], [1.0, 0.5]])
    x = integrate_heyoka(tape, x0, TIMES, rtol=1e-10, atol=1e-10)
    for start, row in zip(x0, x, strict=True):
        np.testing.assert_allclose(row, integrate_taylor(tape, start, TIMES), rtol=1e-10)


def test_an_escape_is_nan_from_there():
    pytest.importorskip("heyoka")
    x = integrate_heyoka(
        trace(lambda x, t: [x[0] * x[0]], 1), np.array([[1.0], [-1.0]]), TIMES, rtol=1e-10, atol=1e-10, bound=1e6
    )
    np.testing.assert_allclose(x[1, :, 0], -1.0 / (0.5 + TIMES), rtol=1e-10)
    assert np.isnan(x[0, TIMES >= 1.5]).all()
    np.testing.assert_allclose(x[0, TIMES < 1.5, 0], 1.0 / (1.5 - TIMES[TIMES < 1.5]), rtol=1e-9)


def test_kinks_are_refused():
    pytest.importorskip("heyoka")
    with pytest.raises(
        ValueError, match="contains sign, which backend='heyoka' cannot follow; use 'numba' or 'taylor'"
    ):
        integrate_heyoka(trace(lambda x, t: [np.abs(x[0])], 1), np.ones((1, 1)), TIMES, rtol=1e-9, atol=1e-9)
