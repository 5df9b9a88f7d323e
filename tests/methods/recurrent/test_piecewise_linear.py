import numpy as np
import pytest

from chaosfit.analysis.symbols import symbolic_dynamics
from chaosfit.methods.recurrent.piecewise_linear import PiecewiseLinearMap
from chaosfit.systems.system import central_differences


@pytest.fixture
def tent():
    """z' = 2 z for z < 1/2 and 2 - 2 z above: one state, one rectifier."""
    return PiecewiseLinearMap(
        K=np.array([[2.0]]), V=np.array([[-4.0]]), U=np.array([[1.0]]), c=np.array([-0.5]), h=np.array([0.0])
    )


def random_map(clipped, seed=0):
    rng = np.random.default_rng(seed)
    K, V, U = 0.5 * np.eye(3), rng.normal(size=(3, 5)), rng.normal(size=(5, 3))
    return PiecewiseLinearMap(K, V, U, rng.normal(size=5), rng.normal(size=3), clipped)


def test_fixed_points_of_the_tent_map_are_exact(tent):
    words = np.array([[[False]], [[True]]])
    points = np.sort([orbit[0, 0] for orbit in tent.cycles(1, words)])
    np.testing.assert_allclose(points, [0, 2 / 3], atol=1e-12)


def test_the_two_cycle_of_the_tent_map_is_exact(tent):
    (orbit,) = tent.cycles(2, np.array([[[False], [True]], [[True], [False]], [[True], [True]]]))
    np.testing.assert_allclose(np.sort(orbit[:, 0]), [0.4, 0.8], atol=1e-12)
    np.testing.assert_allclose(tent.eigenvalues(orbit), [-4])


def test_the_tent_map_has_ln_two_per_step(tent):
    rng, z, symbols = np.random.default_rng(0), np.array([[0.3137]]), []
    for _ in range(20_000):
        symbols.append(int(tent.region(z)[0, 0]))
        z = tent(z) + 1e-12 * rng.random()  # binary arithmetic would reach zero
    result = symbolic_dynamics(symbols)
    assert result.entropy_rate == pytest.approx(np.log(2), abs=0.01)
    assert result.topological_entropy == pytest.approx(np.log(2), abs=0.01)


@pytest.mark.parametrize("clipped", [False, True])
def test_a_region_is_where_the_map_is_affine(clipped):
    F, Z = random_map(clipped), np.random.default_rng(1).normal(size=(50, 3))
    J, b = F.affine(F.region(Z))
    np.testing.assert_allclose(np.einsum("nij,nj->ni", J, Z) + b, F(Z), atol=1e-12)
    np.testing.assert_allclose(F.jacobian(Z), central_differences(F, Z), atol=1e-6)


@pytest.mark.parametrize("clipped", [False, True])
def test_what_is_found_is_periodic(clipped):
    F = random_map(clipped, seed=3)
    Z = np.random.default_rng(2).normal(size=(100, 3))
    for period in (1, 2, 3):
        words = np.stack([F.region(Z), F.region(F(Z)), F.region(F(F(Z)))][:period], axis=1)
        for orbit in F.cycles(period, words):
            np.testing.assert_allclose(F(orbit), np.roll(orbit, -1, axis=0), atol=1e-8)
    assert F.cycles(1, F.region(Z)[:, np.newaxis])


def test_clipped_orbits_stay_within_their_bound():
    F = random_map(clipped=True)
    bound = (np.abs(F.V) @ np.abs(F.c) + np.abs(F.h)) / (1 - np.diag(F.K))
    Z = np.random.default_rng(0).uniform(-1, 1, size=(200, 3)) * bound
    for _ in range(2000):
        Z = F(Z)
        assert (np.abs(Z) <= bound * (1 + 1e-12)).all()


def test_a_line_of_fixed_points_is_left_out():
    F = PiecewiseLinearMap(np.eye(2), np.zeros((2, 1)), np.ones((1, 2)), np.zeros(1), np.zeros(2))
    assert F.cycles(1, np.array([[[True]], [[False]]])) == []
