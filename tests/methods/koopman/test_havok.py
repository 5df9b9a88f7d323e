"""HAVOK on Lorenz: the structure of the published model, simulation under known forcing, causal events."""

import matplotlib
import numpy as np
import pytest

from chaosfit import HAVOK, Lorenz63
from chaosfit.methods.koopman.forced_linear import bursts, closing_rank, first_order_hold

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
    assert np.linalg.norm(model.A_ + model.A_.T) / np.linalg.norm(A) < 0.02
    assert np.linalg.norm(A[~band]) / np.linalg.norm(A) < 0.05
    np.testing.assert_allclose(np.abs(np.diag(model.A_, 1))[:4], [5.1, 9.9, 13.6, 19.0], rtol=0.03)
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
    assert not model.active(x)[:19].any()  # no full window yet
    assert model.active(x)[19:].mean() > 0.05


def switches(x):
    """Rows at which x (n,) changes its sign."""
    return np.flatnonzero(np.sign(x[1:]) != np.sign(x[:-1])) + 1


def recall_precision_lead(alarms, events, valid):
    """An alarm is right if an event follows within `valid` rows; the lead is that of the last alarm before."""
    lead = np.array([event - alarms[(alarms < event) & (alarms >= event - valid)].max(initial=-1) for event in events])
    warned = lead <= valid
    right = [((events > alarm) & (events <= alarm + valid)).any() for alarm in alarms]
    return warned.mean(), np.mean(right), np.median(lead[warned])


@pytest.mark.slow
def test_bursts_announce_lobe_switches():
    x = Lorenz63().simulate(150_000, dt=0.001, random_state=0)[:, :1]
    model = HAVOK(n_delays=100, rank=11, dt=0.001).fit(x[:50_000])
    test, events = x[50_000:], switches(x[50_000:, 0])
    alarms = model.events(test, min_gap=50)[:, 0]
    recall, precision, lead = recall_precision_lead(alarms, events, 1000)
    assert recall >= 0.75
    assert precision >= 0.9
    assert lead >= 200
    random = np.sort(np.random.default_rng(0).integers(0, len(test), len(alarms)))
    assert precision >= recall_precision_lead(random, events, 1000)[1] + 0.3


@pytest.mark.slow
def test_noise_ruins_high_ranks_and_not_the_automatic_one():
    x = Lorenz63().simulate(70_000, dt=0.001, random_state=0)[:, :1]
    noisy = x + 1e-3 * x.std() * np.random.default_rng(0).standard_normal(x.shape)

    def error(model):
        V = model.transform(noisy[49_901:])[99:]
        path = model.simulate(V[:, model.rank_ - 1], V[0, : model.rank_ - 1])
        return np.sqrt(np.mean((path[:, 0] - V[:, 0]) ** 2)) / V[:, 0].std()

    automatic = HAVOK(n_delays=100, dt=0.001).fit(noisy[:50_000])
    assert automatic.rank_ in (4, 5)
    assert error(automatic) < 0.3
    with pytest.warns(UserWarning, match="is mostly noise"):
        high = HAVOK(n_delays=100, rank=15, dt=0.001).fit(noisy[:50_000])
    assert error(high) > 1


@pytest.mark.slow
def test_structured_variant_is_more_antisymmetric_on_short_series():
    x = Lorenz63().simulate(2000, dt=0.001, random_state=0)[:, :1]

    def defect(structured):
        A = HAVOK(n_delays=100, rank=5, dt=0.001, structured=structured).fit(x).A_
        return np.linalg.norm(A + A.T) / np.linalg.norm(A)

    assert defect(True) < 0.5 * defect(False)


def test_forecasts_follow_the_forcing_model():
    """Two tones need four coordinates: with the last at rest the forecast fails, with its regression it holds."""
    t = 0.05 * np.arange(3000)
    x = (np.sin(t) + np.sin(np.sqrt(2) * t))[:, None]
    error = {}
    for forcing_model in ("zero", "ar"):
        model = HAVOK(n_delays=40, rank=4, dt=0.05, forcing_model=forcing_model).fit(x[:2500])
        path = model.forecast(200)
        error[forcing_model] = np.abs(path - x[2500:2700]).max()
        np.testing.assert_allclose(path[0], x[2500], atol=1e-6)
    assert error["ar"] < 1e-2 < error["zero"]


def test_coordinates_of_new_data_use_the_training_modes():
    x = Lorenz63().simulate(6000, dt=0.005, random_state=1)[:, :1]
    model = HAVOK(n_delays=20, rank=5, dt=0.005).fit(x[:4000])
    V = model.transform(x)
    window = x[4980:5000, 0]  # the window that ends at row 4999, oldest first
    np.testing.assert_allclose(V[4999], model.components_.T @ window / model.singular_values_[:5], rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(V[19:4000], axis=0), 1, rtol=1e-9)


def test_closing_rank_drops_coordinates_that_do_not_close():
    rng = np.random.default_rng(0)
    rows = np.linalg.qr(rng.standard_normal((500, 6)))[0]
    A = np.triu(np.ones((6, 6)), 1)[:, :6] * (np.subtract.outer(range(6), range(6)) == -1)
    rates = rows @ A.T  # v1' = v2, v2' = v3, ...
    assert closing_rank(rates, rows, 1) == 6
    rates[:, 3] += rng.standard_normal(500)  # v4' is noise: it can only be the forcing
    assert closing_rank(rates, rows, 1) == 4
    assert closing_rank(rng.standard_normal((500, 6)), rows, 1) == 6


def test_automatic_rank_sees_the_noise():
    x = Lorenz63().simulate(20_000, dt=0.001, random_state=0)[:, :1]
    noisy = x + 1e-3 * x.std() * np.random.default_rng(0).standard_normal(x.shape)
    assert HAVOK(n_delays=100, dt=0.001).fit(noisy).rank_ in (3, 4, 5)


@pytest.mark.filterwarnings("ignore:HAVOK. the derivative of coordinate")
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
