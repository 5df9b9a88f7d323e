"""HAVOK on Lorenz: the structure of the published model, simulation under known forcing, causal events."""

import matplotlib
import numpy as np
import pytest

from chaosfit import HAVOK, Lorenz63
from chaosfit.methods.koopman.havok import bursts, first_order_hold

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def series():
    return Lorenz63().simulate(70_000, dt=0.001, random_state=0)[:, :1]


@pytest.fixture(scope="module")
def model(series):
    return HAVOK(n_delays=100, rank=11, dt=0.001).fit(series[:50_000])


@pytest.mark.slow
def test_structure_of_the_published_model(model):
    A = np.abs(model.A_)
    band = np.abs(np.subtract.outer(np.arange(10), np.arange(10))) == 1
    assert np.abs(model.A_ + model.A_.T).max() / A.max() < 0.02
    assert A[~band].max() / A.max() < 0.05
    np.testing.assert_allclose(np.abs(np.diag(model.A_, 1))[:4], [5.1, 9.9, 13.6, 19.0], rtol=0.05)
    assert model.fit_scores_[-1] < 0.7
    assert model.fit_scores_[:-1].min() > 0.99


@pytest.mark.slow
def test_simulation_under_known_forcing(series, model):
    V = model.transform(series[50_000 - 200 :])[200:]
    known = model.simulate(model.forcing(series[50_000 - 200 :])[200:], V[0, :10])
    resting = model.simulate(np.zeros((len(V), 1)), V[0, :10])
    error = [np.sqrt(np.mean((path[:, 0] - V[:, 0]) ** 2)) / V[:, 0].std() for path in (known, resting)]
    assert error[0] < 0.10
    assert error[1] > 0.8


def test_events_do_not_look_ahead():
    x = Lorenz63().simulate(6000, dt=0.005, random_state=1)[:, :1]
    model = HAVOK(n_delays=20, rank=5, dt=0.005).fit(x[:4000])
    changed = x.copy()
    changed[5000:] += 10.0
    np.testing.assert_array_equal(model.active(x)[:5000], model.active(changed)[:5000])


def test_automatic_rank_sees_the_noise():
    x = Lorenz63().simulate(20_000, dt=0.001, random_state=0)[:, :1]
    noisy = x + 1e-3 * x.std() * np.random.default_rng(0).standard_normal(x.shape)
    assert HAVOK(n_delays=100, dt=0.001).fit(noisy).rank_ in (3, 4, 5)


def test_round_trip_at_full_rank():
    x = np.random.default_rng(0).standard_normal((200, 1))
    model = HAVOK(n_delays=5, rank=5).fit(x)
    np.testing.assert_allclose(model.inverse_transform(model.transform(x))[4:-4], x[4:-4], atol=1e-10)


def test_the_hold_is_exact_for_ramps():
    P, Q0, Q1 = first_order_hold(np.array([[-1.0]]), np.array([[1.0]]), 0.5)
    v = P @ [0.0] + Q0 @ [0.0] + Q1 @ [0.5]  # dv/dt = -v + t from rest
    np.testing.assert_allclose(v, np.exp(-0.5) - 1 + 0.5, atol=1e-12)


def test_bursts_are_merged():
    active = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1], dtype=bool)
    assert bursts(active).tolist() == [[1, 2], [4, 4], [8, 8]]
    assert bursts(active, min_gap=2).tolist() == [[1, 4], [8, 8]]


def test_plots_draw():
    import matplotlib.pyplot as plt

    x = Lorenz63().simulate(2000, dt=0.005, random_state=1)[:, :1]
    model = HAVOK(n_delays=20, rank=5, dt=0.005).fit(x)
    for ax in (model.plot_spectrum(), model.plot_forcing(x)):
        assert ax.lines
        plt.close(ax.figure)
    assert len(model.coordinate_equations()) == 4


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rank": 3, "n_forcing": 3}, "rank must exceed n_forcing=3"),
        ({"n_delays": 2, "rank": 9}, "rank=9 needs n_delays"),
        ({"dt": 0}, "'dt' parameter of HAVOK must be"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        HAVOK(**{"n_delays": 10, **params}).fit(np.random.default_rng(0).standard_normal((100, 1)))


def test_numerical_rank_is_named():
    t = np.arange(500.0)
    with pytest.raises(ValueError, match="numerical rank"):
        HAVOK(n_delays=30, rank=20).fit(np.sin(0.3 * t)[:, None])
