import numpy as np
import pytest

from chaosfit.methods.recurrent.forcing import GeneralisedForcing, growth_bound

NAMES = ["product_upper_bound", "batch_maximum", "explog_approx", "arithmetic_mean"]
ROTATION = np.array([[0.0, -1.0], [1.0, 0.0]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("matrix", [2.5 * np.eye(2), np.diag([3.0, 0.5]), 1.5 * ROTATION])
def test_all_estimates_of_one_constant_matrix_are_its_norm(name, matrix):
    jacobians = np.broadcast_to(matrix, (3, 7, 2, 2))
    assert growth_bound(jacobians, name) == pytest.approx(np.linalg.norm(matrix, 2))


def test_a_product_is_bounded_by_the_geometric_mean_of_its_worst_sequence():
    jacobians = np.stack([np.stack([np.eye(2) * a, np.eye(2) * b]) for a, b in ((4.0, 1.0), (9.0, 1.0))])
    assert growth_bound(jacobians, "product_upper_bound") == pytest.approx(3.0)
    assert growth_bound(jacobians, "batch_maximum") == pytest.approx(9.0)
    assert growth_bound(jacobians, "arithmetic_mean") == pytest.approx(5.0)


def test_a_matrix_without_a_real_logarithm_is_estimated_by_products_with_a_warning():
    jacobians = np.broadcast_to(np.diag([-2.0, 1.0]), (1, 3, 2, 2))
    with pytest.warns(RuntimeWarning, match="no real logarithm"):
        assert growth_bound(jacobians, "explog_approx") == pytest.approx(2.0)


def test_strength_jumps_up_and_decays_slowly():
    forcing = GeneralisedForcing("batch_maximum", decay=0.9, every=2)
    growths = iter([1.0, 4.0])  # asks for 0, then for 3/4
    for _ in range(2):
        forcing.update(lambda: next(growths))
    assert forcing.alpha == pytest.approx(0.9)
    forcing.decay = 0.0
    forcing.update(lambda: 1.0)
    assert forcing.alpha == 0.0
    forcing.update(lambda: pytest.fail("between two estimates"))
    forcing.update(lambda: 4.0)
    assert forcing.alpha == 0.75
    assert forcing.history == pytest.approx([0.9, 0.0, 0.75])


def test_contracting_maps_need_no_forcing_and_a_number_stays():
    forcing = GeneralisedForcing("batch_maximum", decay=0.0, every=1)
    forcing.update(lambda: 0.5)
    assert forcing.alpha == 0.0
    constant = GeneralisedForcing(0.3)
    constant.update(lambda: pytest.fail("never needed"))
    assert constant.alpha == 0.3
    assert constant.history == []
