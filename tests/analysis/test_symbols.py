import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosfit.analysis.symbols import symbolic_dynamics


def test_a_cycle_has_no_entropy():
    result = symbolic_dynamics(np.tile([3, 5, 9], 200))
    assert result.symbols.tolist() == [3, 5, 9]
    np.testing.assert_allclose(result.frequencies, 1 / 3)
    np.testing.assert_array_equal(result.dwell_times, 1)
    np.testing.assert_allclose([result.topological_entropy, result.entropy_rate], 0, atol=1e-12)
    np.testing.assert_allclose(result.block_entropies[1:], 0, atol=1e-4)


def test_coin_tosses_have_ln_two_per_step():
    result = symbolic_dynamics(np.random.default_rng(0).integers(0, 2, 100_000), n_blocks=5)
    np.testing.assert_allclose([result.topological_entropy, result.entropy_rate], np.log(2), rtol=1e-3)
    np.testing.assert_allclose(result.block_entropies, np.log(2), rtol=1e-3)
    np.testing.assert_allclose(result.dwell_times, 2, rtol=0.02)
    np.testing.assert_allclose(result.switches, [[0, 1], [1, 0]])


def test_the_golden_mean_shift_has_the_entropy_of_the_golden_ratio():
    rng, symbols = np.random.default_rng(0), [0]
    for toss in rng.random(20_000):
        symbols.append(0 if symbols[-1] == 1 else int(toss < 0.5))
    assert symbolic_dynamics(symbols).topological_entropy == pytest.approx(np.log((1 + 5**0.5) / 2), abs=1e-9)


def test_rare_symbols_are_left_out():
    symbols = np.tile([0, 1], 1000)
    symbols[[7, 1234]] = 4
    result = symbolic_dynamics(symbols, min_share=0.01)
    assert result.symbols.tolist() == [0, 1]
    assert result.topological_entropy == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=40, max_size=200))
def test_shares_and_entropies_are_what_they_should_be(symbols):
    result = symbolic_dynamics(symbols, n_blocks=3)
    assert result.frequencies.sum() == pytest.approx(1)
    assert (result.dwell_times @ np.array([1 / d for d in result.dwell_times])) == pytest.approx(len(result.symbols))
    sums = result.transitions.sum(axis=1)
    assert np.all(np.isclose(sums, 1) | (sums == 0))
    assert result.entropy_rate <= np.log(4) + 1e-12
    brute = [tuple(symbols[i : i + 2]) for i in range(len(symbols) - 1)]
    shares = np.array([brute.count(w) for w in set(brute)]) / len(brute)
    assert result.block_entropies[:2].sum() == pytest.approx(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize(
    ("symbols", "options", "message"),
    [
        ([1], {}, "two or more integers in a row, got int64 of shape"),
        ([0.5, 1.0], {}, "integers in a row, got float64"),
        ([[0, 1]], {}, "of shape"),
        ([0, 1], {"n_blocks": 0}, "n_blocks must be >= 1"),
        (range(10), {"min_share": 0.5}, "no symbol has a share"),
    ],
)
def test_bad_input(symbols, options, message):
    with pytest.raises(ValueError, match=message):
        symbolic_dynamics(symbols, **options)
