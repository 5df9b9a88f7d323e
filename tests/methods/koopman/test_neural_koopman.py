"""NeuralKoopman on the slow manifold whose rates are published, and the parts that must be exact."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import FunctionTransformer

from chaosfit.methods.koopman.edmd import EDMD
from chaosfit.methods.koopman.neural_koopman import NeuralKoopman
from chaosfit.nn.trainer import Trainer
from chaosfit.numerics.integrate import integrate_batch

BRIEF = Trainer(max_steps=60)


def rotation(n, angle=0.3):
    return np.column_stack([np.cos(angle * np.arange(n)), np.sin(angle * np.arange(n))])


@pytest.mark.slow
def test_rates_of_the_slow_manifold():
    """Lusch et al. 2018: x1' = -0.05 x1, x2' = -(x2 - x1^2) has the eigenvalues -0.05 and -1.

    They are not alone: |x1|^p has -0.05 p, and times the fast one -1 - 0.05 p. A network finds some p from 1 to 2.
    """

    def rhs(X):
        return np.column_stack([-0.05 * X[:, 0], X[:, 0] ** 2 - X[:, 1]])

    rng = np.random.default_rng(0)
    train, test = (
        integrate_batch(rhs, rng.uniform(-1, 1, (n, 2)), 0.1 * np.arange(k)) for n, k in ((100, 41), (30, 101))
    )
    data = {"X": train.reshape(-1, 2), "trajectory_id": np.repeat(np.arange(100), 41)}
    trainer = Trainer(max_steps=2000)
    model = NeuralKoopman(2, horizon=20, hidden=(32, 32), relift=False, dt=0.1, trainer=trainer, random_state=0)
    model.fit(**data)
    slow, fast = model.continuous_eigenvalues_.real
    assert -0.1 < slow < -0.045
    assert -1.1 < fast < -0.95
    assert np.abs(model.continuous_eigenvalues_.imag).max() < 0.02
    assert (model.residuals_ < 0.01).all()

    def error(forecast):
        return np.sqrt(np.mean((forecast - test[:, 1:]) ** 2))

    assert error(model.forecast(100, test[:, :1])) < 0.02
    linear = EDMD(FunctionTransformer(), relift=False).fit(**data)
    assert error(linear.forecast(100, test[:, :1])) > 0.05
    assert error(test[:, :1]) > 0.05  # persistence
    assert error(data["X"].mean(axis=0)) > 0.05


def test_linear_and_relifted_forecasts_part_after_the_horizon():
    X = rotation(200)
    model = NeuralKoopman(2, horizon=4, hidden=(8,), trainer=BRIEF, random_state=0).fit(X)
    relifted = model.forecast(10)
    linear = model.set_params(relift=False).forecast(10)
    np.testing.assert_allclose(relifted[:4], linear[:4], atol=1e-12)
    assert np.abs(relifted[4:] - linear[4:]).max() > 1e-6
    np.testing.assert_allclose(model.predict(X[-1:])[0], linear[0], atol=1e-12)


def test_linear_forecast_is_the_formula():
    X = rotation(200)
    model = NeuralKoopman(3, context_length=2, hidden=(8,), relift=False, trainer=BRIEF, random_state=0).fit(X)
    phi = model.eigenfunctions(X)[-1]
    order = np.argsort(model._order)  # the decoder knows the order of training
    with torch.no_grad():
        paths = [torch.from_numpy((phi * model.eigenvalues_**k)[order]) for k in (0, 50)]
        now, ahead = (model.network_.decode(values) for values in paths)
    expected = X[-1] + (ahead - now).numpy() * model.target_scale_
    np.testing.assert_allclose(model.forecast(50, X)[-1], expected, atol=1e-10)


def test_residuals_are_those_of_the_held_out_rows():
    X = rotation(200)
    model = NeuralKoopman(2, horizon=5, hidden=(8,), trainer=BRIEF, random_state=0).fit(X)
    phi = model.eigenfunctions(X)[179:]  # the last tenth of 199 pairs
    error = np.abs(phi[1:] - model.eigenvalues_ * phi[:-1])
    expected = np.sqrt(np.mean(error**2, axis=0)) / phi[:-1].std(axis=0)
    np.testing.assert_allclose(model.residuals_, expected, rtol=1e-9)
    assert (model.verified(expected.max() * 1.01)).all()
    every_row = NeuralKoopman(2, hidden=(8,), trainer=Trainer(max_steps=5, validation_fraction=0), random_state=0)
    assert np.isfinite(every_row.fit(X).residuals_).all()


@pytest.mark.parametrize("constraint", ["stable", "imaginary"])
def test_constraints_hold_where_data_grow(constraint):
    X = rotation(300) * 1.01 ** np.arange(300)[:, None]
    model = NeuralKoopman(3, hidden=(), constraint=constraint, trainer=Trainer(max_steps=100), random_state=0).fit(X)
    size = np.abs(model.eigenvalues_)
    assert (size <= 1).all()
    if constraint == "imaginary":
        np.testing.assert_allclose(size, 1, atol=1e-12)


def test_noise_is_not_verified():
    X = np.random.default_rng(0).normal(size=(600, 2))
    model = NeuralKoopman(3, hidden=(16,), trainer=Trainer(max_steps=200), random_state=0).fit(X)
    assert not model.verified(0.5).any()


def test_a_saved_model_is_the_same(tmp_path):
    X = rotation(100)
    model = NeuralKoopman(2, hidden=(8,), trainer=BRIEF, random_state=0).fit(X)
    model.save(tmp_path / "model.pt")
    loaded = NeuralKoopman.load(tmp_path / "model.pt")
    np.testing.assert_array_equal(loaded.forecast(20), model.forecast(20))
    np.testing.assert_array_equal(loaded.eigenvalues_, model.eigenvalues_)


def test_refusals():
    X = rotation(100)
    with pytest.raises(ValueError, match="'n_pairs' parameter of NeuralKoopman must be"):
        NeuralKoopman(0).fit(X)
    with pytest.raises(ValueError, match="'constraint' parameter of NeuralKoopman must be"):
        NeuralKoopman(constraint="unstable").fit(X)
    with pytest.raises(ValueError, match=r"fitted with y, so it holds no operator\. Fit it without y"):
        NeuralKoopman(2, hidden=(), trainer=Trainer(max_steps=5)).fit(X, X).verified()
