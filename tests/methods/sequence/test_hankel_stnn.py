"""HankelStNN: what is counted, what the structure costs in skill on Lorenz-63, and Lotka-Volterra."""

import numpy as np
import pytest

from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.sequence.hankel_stnn import HankelStNN
from chaosfit.methods.sequence.mlp import MLP
from chaosfit.metrics.forecast import valid_time
from chaosfit.nn.trainer import Phase, Trainer
from chaosfit.numerics.integrate import integrate_batch
from chaosfit.systems.flows import Lorenz63

DT, HORIZON = 0.02, 600
BRIEF = Trainer(max_steps=5)


class OnlyHead(HankelStNN):
    """The structured layers stay as they were drawn."""

    def _phases(self):
        return [Phase("head", self._loss, parameters=rf"body\.{2 * self.n_layers}\.")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*forecast.s. diverged:RuntimeWarning")  # that is a result, and counts as failure
def test_skill_on_lorenz63_for_a_third_of_the_parameters():
    train = Lorenz63().simulate(8000, dt=DT, random_state=0)
    test = Lorenz63().simulate(50 + HORIZON, dt=DT, random_state=1, n_trajectories=30)

    def skill(model):
        forecast = model.fit(train).forecast(HORIZON, test[:, :50])
        times = valid_time(test[:, 50:], forecast, dt=DT, lyapunov_exponent=0.9056, scale=train.std(axis=0))
        return np.median(times)

    def median(kind, **options):
        return np.median([skill(kind(**options, random_state=seed)) for seed in range(3)])

    structured = median(HankelStNN)
    dense = median(MLP, context_length=8, horizon=1, hidden=(64, 64))
    assert structured >= 2.4
    assert structured >= 0.7 * dense
    assert median(OnlyHead, n_terms=1) < 0.5 * median(HankelStNN, n_terms=1)
    assert max(skill(Persistence()), skill(LinearAutoregression(n_lags=50))) < 0.3
    model = HankelStNN(trainer=BRIEF).fit(train)
    assert model.n_parameters_ <= 0.45 * model.dense_equivalent_parameters_
    assert model.dense_equivalent_parameters_ == 5955


def test_lotka_volterra():
    """x' = x/2 - xy/2, y' = xy/2 - y/2 from [1, 2]^2, 32 trajectories, dt = 0.5: the mean over a horizon of 10."""

    def rhs(X):
        x, y = X.T
        return np.stack([0.5 * x - 0.5 * x * y, 0.5 * x * y - 0.5 * y], axis=1)

    paths = integrate_batch(rhs, np.random.default_rng(0).uniform(1, 2, (64, 2)), 0.5 * np.arange(21))
    train, test = paths[:32], paths[32:]
    model = HankelStNN(context_length=1, trainer=Trainer(max_steps=1500), random_state=0)
    model.fit(train.reshape(-1, 2), trajectory_id=np.repeat(np.arange(32), 21))

    def error(forecast):
        return np.mean((forecast - test[:, 1:]) ** 2)

    assert error(model.forecast(20, test[:, :1])) < 1e-4
    assert error(test[:, :1]) > 0.05  # persistence
    assert error(train.mean(axis=(0, 1))) > 0.05  # climatology


@pytest.mark.parametrize("kind", ["hankel", "vandermonde"])
def test_what_was_learned_and_what_it_costs(kind):
    X = np.sin(0.3 * np.arange(120) + np.array([[0.0], [1.5]])).T
    model = HankelStNN(6, 2, n_units=16, n_layers=3, n_terms=2, kind=kind, rank=3, trainer=BRIEF, random_state=0).fit(X)
    assert model.n_parameters_ == sum(p.numel() for p in model.network_.parameters())
    assert [H.shape for H in model.hankel_matrices_] == [(2, 16, 12), (2, 16, 16), (2, 16, 16)]
    H = model.hankel_matrices_[1][0]
    np.testing.assert_array_equal(H[1:, :-1], H[:-1, 1:])  # constant along the other diagonals
    assert model.dense_equivalent_parameters_ == 16 * 13 + 2 * 16 * 17 + 4 * 17
    assert model.flops_per_step_ == model.dense_equivalent_flops_ == 2 * (16 * 12 + 2 * 16 * 16 + 4 * 16)
    if kind == "vandermonde":
        assert [z.shape for z in model.exponents_] == [(2, 3)] * 3
        assert all((z.real < 0).all() for z in model.exponents_)
    else:
        with pytest.raises(AttributeError, match="exponents_ needs kind='vandermonde'"):
            _ = model.exponents_


def test_modes_of_multiplication_agree():
    X = np.sin(0.3 * np.arange(120) + np.array([[0.0], [1.5]])).T
    forecasts = [HankelStNN(mode=mode, trainer=BRIEF, random_state=0).fit(X).forecast(5) for mode in ("dense", "fft")]
    np.testing.assert_allclose(*forecasts, atol=1e-4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_terms": 0}, "'n_terms' parameter of HankelStNN must be"),
        ({"kind": "toeplitz"}, "'kind' parameter of HankelStNN must be"),
        ({"n_units": 0}, "'n_units' parameter of HankelStNN must be"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        HankelStNN(**params).fit(np.zeros((50, 1)))


def test_context_must_be_long_enough():
    X = np.sin(0.3 * np.arange(60))[:, None]
    with pytest.raises(ValueError, match="context has 7 sample"):
        HankelStNN(trainer=BRIEF).fit(X).forecast(3, X[:7])
