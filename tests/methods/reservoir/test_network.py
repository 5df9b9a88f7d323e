import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from chaosfit.methods.reservoir.network import (
    Network,
    conditional_exponent,
    draw_network,
    drive,
    largest_eigenvalue,
    memory_length,
)

SETTINGS = {"spectral_radius": 0.7, "input_scale": 0.5, "bias_scale": 0.3, "degree": 5, "leak_rate": 0.6}


def network(n_units=50, n_inputs=3, seed=0, **settings) -> Network:
    return draw_network(n_units, n_inputs, rng=np.random.RandomState(seed), **{**SETTINGS, **settings})


def naive_states(net: Network, z: np.ndarray) -> np.ndarray:
    W, r, states = net.W.toarray(), np.zeros(net.W.shape[0]), []
    for row in z:
        r = (1 - net.leak_rate) * r + net.leak_rate * np.tanh(W @ r + net.W_in @ row)
        states.append(r)
    return np.array(states)


def collect(net: Network, series, overlap) -> np.ndarray:
    states = np.full((sum(map(len, series)), net.W.shape[0]), np.nan)
    for rows, r in drive(net, series, overlap):
        assert np.isnan(states[rows]).all()  # every row once
        states[rows] = r.T
    return states


@pytest.mark.parametrize("n_units", [50, 400])  # dense eigenvalues and ARPACK
def test_network_has_the_degree_and_spectral_radius_asked_for(n_units):
    net = network(n_units)
    assert (np.diff(net.W.indptr) == 5).all()
    assert np.abs(np.linalg.eigvals(net.W.toarray())).max() == pytest.approx(0.7, rel=1e-5)
    assert np.abs(net.W_in[:, :-1]).max() == pytest.approx(0.5, rel=0.1)
    assert np.abs(net.W_in[:, -1]).max() == pytest.approx(0.3, rel=0.1)


def test_one_input_per_unit():
    W_in = network(n_units=40, n_inputs=5, one_input_per_unit=True).W_in
    assert ((W_in[:, :-1] != 0).sum(axis=1) == 1).all()
    assert ((W_in[:, :-1] != 0).sum(axis=0) == 10).all()
    assert (W_in[:, -1] != 0).all()


def test_the_dense_solver_answers_where_arpack_does_not(monkeypatch):
    from scipy.sparse.linalg import ArpackNoConvergence

    def fail(*args, **kwargs):
        raise ArpackNoConvergence("no convergence", [], [])

    W = network(400).W
    monkeypatch.setattr("chaosfit.methods.reservoir.network.eigs", fail)
    assert largest_eigenvalue(W, np.random.RandomState(0)) == pytest.approx(0.7, rel=1e-6)


def test_a_nilpotent_network_is_drawn_again_and_then_refused(monkeypatch):
    monkeypatch.setattr("chaosfit.methods.reservoir.network.largest_eigenvalue", lambda W, rng: 0.0)
    with pytest.raises(ValueError, match="5 random networks of n_units=50 with degree=5 had spectral radius 0"):
        network()


def test_more_links_than_units_are_refused():
    with pytest.raises(ValueError, match="degree must be at most n_units, got degree=5 and n_units=4"):
        network(4)


@pytest.mark.parametrize("lengths", [[700], [5, 300, 41], [1], [64, 64, 64], [20, 2000, 7, 20] + 100 * [3]])
def test_pieces_side_by_side_give_the_states_of_one_long_run(lengths):
    net, rng = network(), np.random.default_rng(0)
    series = [rng.normal(size=(n, 3)) for n in lengths]
    expected = np.concatenate([naive_states(net, z) for z in series])
    np.testing.assert_allclose(collect(net, series, None), expected, atol=1e-14)
    np.testing.assert_allclose(collect(net, series, 80), expected, atol=1e-13)
    shortened = np.abs(collect(net, series, 2) - expected).max()
    assert shortened > 1e-6 or max(lengths) <= 8 * 2  # too short an overlap would show


def test_memory_length_is_where_two_starts_agree():
    net, z = network(), np.random.default_rng(0).normal(size=(1000, 3))
    n_rows = memory_length(net, z)
    whole, tail = naive_states(net, z)[-1], naive_states(net, z[-n_rows:])[-1]
    np.testing.assert_allclose(tail, whole, atol=2e-13)
    assert np.abs(naive_states(net, z[-n_rows // 3 :])[-1] - whole).max() > 1e-8


def test_memory_longer_than_half_of_the_data_is_none():
    assert memory_length(network(leak_rate=0.01), np.random.default_rng(0).normal(size=(500, 3))) is None


def test_conditional_exponent_tells_order_from_chaos():
    z = 0.01 * np.random.default_rng(0).normal(size=(1500, 3))
    linear = network(spectral_radius=0.5, leak_rate=1.0, bias_scale=0.0, input_scale=1e-3)
    assert conditional_exponent(linear, z) == pytest.approx(np.log(0.5), abs=0.02)  # W alone
    assert conditional_exponent(network(200, spectral_radius=2.0, leak_rate=1.0, bias_scale=0.0), z) > 0.05


def test_jacobian_of_the_driven_network():
    net, rng = network(), np.random.default_rng(0)
    r, z, direction = rng.uniform(-1, 1, size=50), rng.normal(size=3), rng.normal(size=50)
    dz_dr = rng.normal(size=(3, 50))

    def move(step):
        moved = r + step * direction
        return net.step(moved[:, np.newaxis], (z + dz_dr @ (moved - r))[:, np.newaxis])[:, 0]

    numeric = (move(1e-6) - move(-1e-6)) / 2e-6
    np.testing.assert_allclose(net.jacobian(r, z, dz_dr) @ direction, numeric, atol=1e-8)


def n_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_steps_run_in_one_thread_and_their_caller_in_its_own(monkeypatch):
    seen, step = [], Network.step

    def watched(self, r, z):
        seen.append(n_threads())
        return step(self, r, z)

    net = network()
    with threadpool_limits(2, user_api="blas"):
        if n_threads() != {2}:
            pytest.skip("this BLAS does not let its number of threads be set")
        monkeypatch.setattr(Network, "step", watched)
        for _ in drive(net, [np.ones((300, 3))], 5):
            assert n_threads() == {2}
    assert seen
    assert all(threads == {1} for threads in seen)
