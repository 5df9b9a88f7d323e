"""NeuralODE: its steps against SciPy's, its derivatives, and Lorenz's attractor from noisy data."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.neuralde.neural_ode import NeuralODE, _dormand_prince, _runge_kutta
from chaosfit.metrics.attractor import state_space_divergence
from chaosfit.metrics.forecast import valid_time
from chaosfit.nn.trainer import Trainer
from chaosfit.systems.flows import Lorenz63
from chaosfit.systems.system import central_differences
from chaosfit.systems.tangent import lyapunov_spectrum

BRIEF = Trainer(max_steps=150, learning_rate=2e-2, batch_size=32)
TURN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)


def circle(n=300):
    return np.array([5.0, -3.0]) + np.sin(0.3 * np.arange(n) + np.array([[0.0], [1.57]])).T * [2.0, 0.1]


def brief(**params):
    params = {"dt": 0.3, "hidden": (16,), "segment_length": 4, "trainer": BRIEF, "random_state": 0} | params
    return NeuralODE(**params)


@pytest.fixture(scope="module")
def model():
    return brief().fit(circle())


@pytest.mark.parametrize(("advance", "order"), [(_runge_kutta, 4), (lambda *a: _dormand_prince(*a)[0], 5)])
def test_order_of_the_steps(advance, order):
    def error(n_steps):
        z = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        for _ in range(n_steps):
            z = advance(lambda x: x @ TURN.T, z, 2.0 / n_steps)
        exact = torch.tensor([[np.cos(2.0), -np.sin(2.0)]])
        return float((z - exact).abs().max())

    assert np.log2(error(10) / error(20)) == pytest.approx(order, abs=0.2)


def test_error_estimate_is_that_of_scipy_and_stiffness_the_eigenvalue():
    z = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    step = 0.5
    end, shortening, stiffness = _dormand_prince(lambda x: x @ TURN.T, z, step)
    run = solve_ivp(lambda t, x: TURN.numpy() @ x, (0, step), z[0].numpy(), max_step=step, first_step=step, rtol=1)
    np.testing.assert_allclose(end[0], run.y[:, -1], rtol=1e-12)
    assert float(stiffness[0]) == pytest.approx(1 / 3.307, rel=1e-6)  # the field turns at unit speed
    # The step of the estimated length has a local error of the tolerance.
    _, alike, _ = _dormand_prince(lambda x: x @ TURN.T, z, step / float(shortening[0]))
    assert float(alike[0]) == pytest.approx(1.0, abs=0.1)


def test_gradients_of_the_loss_are_those_of_the_steps():
    X = circle()
    model = brief(error_weight=1e-2, stiffness_weight=1e-2, n_substeps=2).fit(X)
    torch.manual_seed(0)
    network = model._network(2, 2).double()
    network.register_buffer("rate", torch.tensor([0.4, 0.3], dtype=torch.float64))
    batch = {
        "start": torch.randn(5, 1, 2).double(),
        "known": torch.zeros(5, 3, 0).double(),
        "future": torch.randn(5, 3, 2).double(),
    }
    weight = network[0].weight

    def loss():
        return sum(model._loss(network, batch).values())

    loss().backward()
    with torch.no_grad():
        losses = []
        for shift in (1e-6, -2e-6):
            weight[3, 1] += shift
            losses.append(float(loss()))
    assert float(weight.grad[3, 1]) == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5)


def test_it_learns_a_rotation(model):
    X = circle(340)
    assert np.abs(model.forecast(40) - X[300:]).max() < 0.1
    slope = np.gradient(X, 0.3, axis=0)[1:-1]
    assert np.abs(model.vector_field(X[1:-1]) - slope).max() < 0.1 * np.abs(slope).max()


def test_jacobian_is_the_derivative_of_the_field(model):
    X = circle()[:5]
    np.testing.assert_allclose(model.jacobian(X), central_differences(model.vector_field, X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.closed_loop(X), model.predict(X))
    exponents = lyapunov_spectrum(model, x0=circle()[[50, 100]], n_steps=100).exponents
    assert abs(exponents[0]) < 0.05


def test_a_field_in_other_units_is_the_same_field(model):
    other = brief(dt=3.0).fit(1e3 * circle())
    np.testing.assert_allclose(other.forecast(20), 1e3 * model.forecast(20), rtol=1e-2)
    np.testing.assert_allclose(other.jacobian(1e3 * circle()[:1]), model.jacobian(circle()[:1]) / 10, atol=2e-2)


def test_known_inputs_drive_the_field():
    u = np.repeat(np.random.default_rng(0).choice([-1.0, 1.0], 100), 4)[:, np.newaxis]
    X = np.zeros((400, 1))
    for t in range(399):  # dx/dt = u - x with u held for one row
        X[t + 1] = u[t] + (X[t] - u[t]) * np.exp(-0.2)
    model = brief(dt=0.2).fit(X[:300], u=u[:300])
    path = model.forecast(50, X[:300], u=u[299:349])
    assert np.abs(path - X[300:350]).max() < 0.1
    np.testing.assert_allclose(model.vector_field([[0.5]], u=[[1.0]]), [[0.5]], atol=0.1)
    with pytest.raises(ValueError, match="fitted with known inputs, so it has no flow of its own"):
        model.jacobian(X)


def test_other_targets_are_learned_as_a_map():
    X = circle()
    model = brief().fit(X, X[:, 0] * X[:, 1])
    assert model.score(X, X[:, 0] * X[:, 1]) > 0.95
    assert model.jacobian(X).shape == (300, 1, 2)
    with pytest.raises(ValueError, match="fit NeuralODE without y"):
        model.closed_loop(X)
    with pytest.raises(ValueError, match=r"nothing to integrate\. Fit it without y"):
        model.solver_cost(X)


def test_solver_cost_counts_evaluations(model):
    cheap, dear = (model.solver_cost(circle()[:3], tolerance=tolerance) for tolerance in (1e-3, 1e-10))
    assert 7 <= cheap < dear


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dt": 0.0}, "'dt' parameter of NeuralODE must be"),
        ({"hidden": 64}, "'hidden' parameter of NeuralODE must be"),
        ({"segment_length": 0}, "'segment_length' parameter of NeuralODE must be"),
        ({"n_substeps": 0.5}, "'n_substeps' parameter of NeuralODE must be"),
        ({"error_weight": -1.0}, "'error_weight' parameter of NeuralODE must be"),
        ({"segment_length": 400}, "every trajectory must have at least 400 rows"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        brief(**params).fit(circle())


@pytest.mark.slow
def test_lorenz_from_noisy_data():
    """With 5 % noise segments of 8 rows reach what single rows do not, and persistence fails."""
    dt = 0.02
    clean = Lorenz63().simulate(10_000, dt=dt, random_state=0)
    scale = clean.std(axis=0)
    X = clean + 0.05 * scale * np.random.default_rng(0).normal(size=clean.shape)
    test = Lorenz63().simulate(1001, dt=dt, n_trajectories=50, random_state=1)

    def skill(model):
        path = model.forecast(1000, test[:, :1])
        return np.median(valid_time(test[:, 1:], path, dt=dt, lyapunov_exponent=0.9056, scale=scale)), path

    segments = NeuralODE(dt=dt, trainer=Trainer(batch_size=128, max_steps=1500), random_state=0).fit(X)
    valid, path = skill(segments)
    assert valid >= 1.2
    assert state_space_divergence(test[:, 1:].reshape(-1, 3), path.reshape(-1, 3)) <= 0.8
    rows = NeuralODE(dt=dt, segment_length=1, trainer=Trainer(max_steps=3000), random_state=0).fit(X)
    assert skill(rows)[0] < valid
    assert skill(Persistence().fit(X))[0] < 0.2


class FromLargeWeights(NeuralODE):
    """Starts from weights four times as large, so that the field is needlessly fast."""

    def _network(self, n_in, n_out):
        network = super()._network(n_in, n_out)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter *= 4.0
        return network


@pytest.mark.slow
def test_regularised_error_makes_a_needlessly_fast_field_cheap():
    """Pairs of a flow that turns faster further out; see `bench_neural_ode.py` for five seeds and for stiffness."""
    start = np.random.default_rng(0).uniform(-1.5, 1.5, (1200, 2))
    angle = 0.5 + 0.5 * np.linalg.norm(start, axis=1)
    turned = (start[:, 0] + 1j * start[:, 1]) * np.exp(1j * angle)
    pairs = np.stack([start, np.column_stack([turned.real, turned.imag])], axis=1)
    trainer = Trainer(max_steps=300, batch_size=128, learning_rate=1e-2, validation_fraction=0.0)
    cost, error = {}, {}
    for weight in (1e-12, 1e-2):  # the first makes the same kind of steps without a penalty
        model = FromLargeWeights(
            hidden=(48, 48), segment_length=1, n_substeps=16, error_weight=weight, trainer=trainer, random_state=0
        )
        model.fit(pairs[:1000].reshape(-1, 2), trajectory_id=np.repeat(np.arange(1000), 2))
        cost[weight] = model.solver_cost(pairs[1000:1040, 0])
        error[weight] = np.mean((model.predict(pairs[1000:, 0]) - pairs[1000:, 1]) ** 2)
    assert cost[1e-12] >= 150
    assert cost[1e-2] <= 0.8 * cost[1e-12]
    assert error[1e-2] <= 1.2 * error[1e-12]
    assert error[1e-2] < 0.01 * pairs[:, 1].var()
