import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfit.systems.maps import Henon, Logistic


@given(st.floats(-2.0, 2.0), st.floats(-1.0, 1.0), st.floats(0.5, 2.0), st.floats(0.1, 0.9))
def test_henon_is_inverted_by_hand(x, y, a, b):
    (x_new, y_new) = Henon(a=a, b=b).step(np.array([[x, y]]))[0]
    assert y_new / b == pytest.approx(x, abs=1e-9)
    assert x_new - 1.0 + a * (y_new / b) ** 2 == pytest.approx(y, abs=1e-9)


def test_logistic_is_conjugate_to_angle_doubling():
    angle = 0.1234
    x = Logistic().simulate(12, x0=[np.sin(angle) ** 2])[:, 0]
    np.testing.assert_allclose(x, np.sin(2.0 ** np.arange(12) * angle) ** 2, atol=1e-9)


def test_logistic_invariant_density_is_the_arcsine_law():
    x = Logistic().simulate(4000, random_state=0, n_trajectories=5).ravel()
    counts, _ = np.histogram(2.0 / np.pi * np.arcsin(np.sqrt(x)), bins=10, range=(0.0, 1.0))
    np.testing.assert_allclose(counts / len(x), 0.1, atol=0.01)
