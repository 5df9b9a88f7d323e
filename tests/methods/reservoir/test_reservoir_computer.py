import time
from pathlib import Path

import numpy as np
import pytest

from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.local_analogues import LocalAnalogues
from chaosfit.methods.reservoir.reservoir_computer import ReservoirComputer
from chaosfit.metrics.forecast import valid_time
from chaosfit.systems.flows import Rossler
from chaosfit.systems.tangent import lyapunov_spectrum
from chaosfit.testing import parametrize_with_dynamics_checks

SMALL = {"n_units": 40, "washout": 5, "random_state": 0}
# Odd in its input, so that a linear readout cannot represent products of variables.
ODD = {"spectral_radius": 0.9, "input_scale": 0.1, "bias_scale": 0.0, "readout": "linear"}


@parametrize_with_dynamics_checks([ReservoirComputer(**p) for p in ReservoirComputer.get_test_params()])
def test_contract(check):
    check()


def walk(n_rows=200, n_dims=2, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(n_rows, n_dims)), axis=0)


def test_transform_gives_the_states_of_the_equation():
    X = walk()
    model = ReservoirComputer(**SMALL, leak_rate=0.3).fit(X)
    z = np.hstack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones((len(X), 1))])
    W, W_in, r = model.network_.W.toarray(), model.network_.W_in, np.zeros(40)
    for t, row in enumerate(z[:30]):
        r = 0.7 * r + 0.3 * np.tanh(W @ r + W_in @ row)
        np.testing.assert_allclose(model.transform(X)[t], r, atol=1e-13)


def test_transform_starts_anew_with_every_trajectory():
    X, ids = walk(), np.repeat([0, 1], 100)
    model = ReservoirComputer(**SMALL).fit(X)
    apart = np.concatenate([model.transform(X[:100]), model.transform(X[100:])])
    np.testing.assert_allclose(model.transform(X, trajectory_id=ids), apart)


def test_forecast_continues_a_long_training_trajectory(lorenz):
    model = ReservoirComputer(n_units=100, random_state=0).fit(lorenz.train)
    assert len(model.context_) == model.memory_length_ < 100
    np.testing.assert_allclose(model.forecast(1)[0], model.predict(lorenz.train)[-1], rtol=1e-10)


def test_a_network_with_long_memory_keeps_the_whole_trajectory():
    X = walk(300)
    model = ReservoirComputer(**SMALL, leak_rate=0.01).fit(X)
    assert model.memory_length_ is None
    assert len(model.context_) == 300
    np.testing.assert_allclose(model.forecast(1)[0], model.predict(X)[-1], rtol=1e-10)


def test_noise_is_drawn_from_random_state():
    X, params = walk(), {"n_units": 40, "washout": 5}
    draw = [ReservoirComputer(**params, noise=0.01, random_state=seed).fit(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draw[0].coef_, draw[1].coef_)
    clean = ReservoirComputer(**params, random_state=0).fit(X)
    assert (draw[0].network_.W_in == clean.network_.W_in).all()
    assert np.abs(draw[0].coef_ - clean.coef_).max() > 0


def test_units_and_offsets_of_the_data_do_not_matter(lorenz):
    X, units = lorenz.train[:2000], [1e-3, 1.0, 1e4]
    model = ReservoirComputer(n_units=100, random_state=0)
    expected = model.fit(X).forecast(20)
    shifted = model.fit(1e6 + X).forecast(20) - 1e6
    np.testing.assert_allclose(shifted, expected, atol=1e-4)
    np.testing.assert_allclose(model.fit(X * units).forecast(20), expected * units, rtol=1e-6)


def test_inputs_are_scaled_by_their_number():
    for n_dims in (1, 3, 9):
        model = ReservoirComputer(**SMALL).fit(walk(200, n_dims))
        assert np.abs(model.network_.W_in[:, :-1]).max() == pytest.approx(0.6 / np.sqrt(n_dims), rel=0.1)
    fixed = ReservoirComputer(**SMALL, input_scale=0.25).fit(walk(200, 9))
    assert np.abs(fixed.network_.W_in[:, :-1]).max() == pytest.approx(0.25, rel=0.1)


def test_washout_longer_than_the_data_is_refused():
    with pytest.raises(ValueError, match="washout=100 leaves nothing to fit: .* at least 101 rows .* longest has 99"):
        ReservoirComputer().fit(walk(100))


@pytest.mark.parametrize(
    "params",
    [
        {"n_units": 0},
        {"spectral_radius": -0.1},
        {"leak_rate": 0.0},
        {"leak_rate": 1.1},
        {"ridge": -1.0},
        {"degree": 0},
        {"readout": "odd"},
        {"washout": -1},
        {"input_scale": "small"},
        {"dtype": "float16"},
    ],
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        ReservoirComputer(**params).fit(walk())


def test_more_links_than_units_are_refused():
    with pytest.raises(ValueError, match="degree must be at most n_units, got degree=6 and n_units=3"):
        ReservoirComputer(n_units=3, washout=5).fit(walk())


def test_bad_data_are_named():
    X = walk()
    model = ReservoirComputer(**SMALL).fit(X)
    X[17, 1] = np.nan
    with pytest.raises(ValueError, match="NaN: the first of 1 such value.* row 17"):
        ReservoirComputer(**SMALL).fit(X)
    with pytest.raises(ValueError, match="X has 1 features, but ReservoirComputer is expecting 2"):
        model.forecast(3, np.zeros((5, 1)))


def test_a_chaotic_network_is_reported(lorenz):
    model = ReservoirComputer(n_units=200, spectral_radius=1.6, input_scale=0.05, bias_scale=0.0, random_state=0)
    with pytest.warns(RuntimeWarning, match=r"does not forget its initial state \(conditional Lyapunov exponent 0\."):
        model.fit(lorenz.train)


# --------------------------------------------------------------------- science: Lorenz's equations
@pytest.fixture(scope="module")
def model(lorenz):
    return ReservoirComputer(n_units=300, random_state=0).fit(lorenz.train)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lorenz_is_forecast_for_six_lyapunov_times(lorenz, seed):
    """Measured 7.7, 8.4, 8.1, and 1.7 to 1.9 for the odd network."""
    good = ReservoirComputer(n_units=300, random_state=seed).fit(lorenz.train)
    odd = ReservoirComputer(n_units=300, **ODD, random_state=seed).fit(lorenz.train)
    assert lorenz.median_valid_time(good) >= max(6.0, 3 * lorenz.median_valid_time(odd))


def test_ten_rows_of_context_are_enough_and_needed(lorenz, model):
    one, two, five, ten, hundred = (lorenz.median_valid_time(model, n) for n in (1, 2, 5, 10, 100))
    assert one < 0.2 < two < five < ten
    assert ten >= 5.0
    assert ten == pytest.approx(hundred, rel=0.1)


def test_less_ridge_forecasts_clean_data_longer(lorenz):
    times = [
        lorenz.median_valid_time(ReservoirComputer(n_units=300, ridge=ridge, random_state=0).fit(lorenz.train))
        for ridge in (1e-3, 1e-5, 1e-7, 1e-9)
    ]
    assert (np.diff(times) > 0).all()  # measured 3.4, 6.3, 7.7, 10.1


@pytest.mark.parametrize("ridge", [1e-9, 1e-7, 1e-5])
def test_states_of_single_precision_forecast_as_long(lorenz, ridge):
    """Measured 10.1, 7.7 and 6.3 Lyapunov times in double precision."""
    double, single = (
        ReservoirComputer(n_units=300, ridge=ridge, dtype=dtype, random_state=0).fit(lorenz.train)
        for dtype in ("float64", "float32")
    )
    assert single.network_.W.dtype == single._start(1).dtype == np.float32
    assert single.transform(lorenz.contexts[0]).dtype == single.forecast(2).dtype == np.float64
    np.testing.assert_allclose(single.forecast(50), double.forecast(50), atol=0.01)
    assert lorenz.median_valid_time(single) == pytest.approx(lorenz.median_valid_time(double), rel=0.05)


def test_the_spikes_of_rossler_are_forecast():
    """Measured 4.9 to 7.2 Lyapunov times; input weights of 0.5 drive the network too far there."""
    train = Rossler().simulate(5000, dt=0.1, random_state=0)
    test = Rossler().simulate(1000, dt=0.1, random_state=1, n_trajectories=20)
    models = (ReservoirComputer(random_state=0), ReservoirComputer(input_scale=0.5, random_state=0), LocalAnalogues())
    scale = {"dt": 0.1, "lyapunov_exponent": 0.0714, "scale": train.std(axis=0)}
    good, driven_too_far, analogues = (
        np.median(valid_time(test[:, 100:], model.fit(train).forecast(900, test[:, :100]), **scale)) for model in models
    )
    assert good >= 4.0
    assert good > 1.5 * analogues
    assert good > 4 * driven_too_far


def test_one_percent_of_noise_leaves_three_lyapunov_times(lorenz):
    noise = 0.01 * lorenz.train.std(axis=0) * np.random.default_rng(0).normal(size=lorenz.train.shape)
    noisy = ReservoirComputer(n_units=300, random_state=0).fit(lorenz.train + noise)
    assert lorenz.median_valid_time(noisy) >= 3.0  # measured 3.8 to 4.2


def test_a_batch_equals_single_forecasts_in_a_fifth_of_the_time(lorenz, model):
    contexts = lorenz.contexts[:20]

    def timed(run):
        start = time.process_time()
        return run(), time.process_time() - start

    runs = [
        (*timed(lambda: model.forecast(300, contexts)), *timed(lambda: [model.forecast(300, c) for c in contexts]))
        for _ in range(3)
    ]
    batch, _, single, _ = runs[0]
    np.testing.assert_allclose(batch[:, :50], np.array(single)[:, :50], atol=1e-8)
    assert min(run[3] for run in runs) >= 5 * min(run[1] for run in runs)  # measured 7.2


def test_closed_loop_is_the_forecast(lorenz, model):
    context = lorenz.contexts[0]
    r = model.transform(context)[-1]
    for _ in range(20):
        r = model.closed_loop(r)
    expected = model.transform(np.concatenate([context, model.forecast(20, context)]))[-1]
    np.testing.assert_allclose(r, expected, atol=1e-9)


@pytest.mark.parametrize("params", [{}, {"readout": "full", "leak_rate": 0.5}])
def test_jacobian_is_the_derivative_of_the_closed_loop(params):
    X = [5.0, 30.0] * walk()
    model = ReservoirComputer(**SMALL, **params, ridge=1e-3).fit(X)
    r, direction = model.transform(X)[-1], np.random.default_rng(0).normal(size=40)
    numeric = (model.closed_loop(r + 1e-6 * direction) - model.closed_loop(r - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(model.jacobian(r) @ direction, numeric, atol=1e-7)
    assert np.abs(numeric).max() > 0.1


def test_closed_loop_needs_an_autonomous_model():
    X = walk()
    with pytest.raises(ValueError, match="fit ReservoirComputer without y and u"):
        ReservoirComputer(**SMALL).fit(X, X[:, 0]).closed_loop(np.zeros(40))


@pytest.mark.slow
def test_the_closed_loop_has_the_lyapunov_spectrum_of_lorenz(lorenz):
    """Lorenz: 0.906, 0, -14.57. Pathak et al., Chaos 27, 121102 (2017), doi:10.1063/1.5010300."""
    model = ReservoirComputer(n_units=300, random_state=1).fit(lorenz.train)
    states = model.transform(lorenz.train)[1000::1000]
    spectrum = lyapunov_spectrum(model, 4, x0=states[:4], dt=0.02, n_steps=1200).exponents
    np.testing.assert_allclose(spectrum[:2], [0.906, 0.0], atol=0.06)
    assert spectrum[2] == pytest.approx(-14.57, abs=0.7)
    assert spectrum[3] < -20  # the directions that only the network has are more stable than the attractor


# --------------------------------------------------------------------- science: a laser
def test_laser_intensity_is_predicted_one_step_ahead():
    """Santa Fe data set A; published one-step errors of networks are near this, a linear model has 0.42."""
    reservoirpy = pytest.importorskip("reservoirpy", reason="the laser data come with reservoirpy")
    X = np.load(Path(reservoirpy.__file__).parent / "datasets" / "santafe_laser.npy").reshape(-1, 1).astype(float)
    train, test = X[:4000], X[4000:8000]

    def nrmse(model):
        return np.sqrt(np.mean((model.fit(train).predict(test)[100:-1] - test[101:]) ** 2) / test.var())

    reservoir = nrmse(ReservoirComputer(n_units=300, spectral_radius=0.9, ridge=1e-4, random_state=0))
    assert reservoir <= 0.10  # measured 0.055 to 0.059
    assert reservoir < nrmse(LinearAutoregression(50)) / 4
