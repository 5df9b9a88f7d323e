import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from torch import nn

from chaosfit.nn import losses
from chaosfit.nn.forecaster import Increments, NeuralForecaster
from chaosfit.nn.trainer import Phase, Trainer


class Tiny(NeuralForecaster):
    _accepts_inputs = True

    def __init__(self, context_length=3, horizon=2, trainer=None, random_state=0):
        self.context_length = context_length
        self.horizon = horizon
        self.trainer = trainer
        self.random_state = random_state

    def _network(self, n_features, n_outputs, n_inputs):
        return Linear(self.context_length * n_features + self.horizon * n_inputs, self.horizon, n_outputs)


class Linear(nn.Module):
    def __init__(self, n_in, horizon, n_outputs):
        super().__init__()
        self.layer, self.shape = nn.Linear(n_in, horizon * n_outputs), (horizon, n_outputs)

    def forward(self, *parts):
        return self.layer(torch.cat([part.flatten(1) for part in parts], 1)).unflatten(1, self.shape)


class FreeRunning(Tiny):
    def _phases(self):
        return [
            Phase("teacher", self._loss),
            Phase("head", self._loss, parameters="layer", max_steps=20),
            Phase("free run", losses.free_run, max_steps=30),
        ]

    def _training_horizon(self):
        return 6


BRIEF = Trainer(max_steps=300, batch_size=64, learning_rate=2e-2)


def waves(n=400):
    t = np.arange(n)
    return np.stack([3 + np.sin(0.2 * t), 100 * np.cos(0.2 * t)], 1)


def test_learns_a_linear_map_in_units_of_the_data():
    model = Tiny(trainer=BRIEF).fit(waves())
    np.testing.assert_allclose(model.forecast(20), waves(420)[400:], atol=1.0)
    assert model.score(waves()) > 0.9999
    assert model.network_.network.layer.weight.dtype == torch.float64


def test_same_numbers_from_both_ways_to_say_it():
    X = waves()
    one, two = Tiny(trainer=BRIEF).fit(X), Tiny(trainer=BRIEF).fit(X[:-1], X[1:])
    assert (one.predict(X) == two.predict(X)).all()


def test_outputs_that_are_not_states():
    X = waves()
    y = X[:, 0] * 2 + X[:, 1] / 10
    model = Tiny(context_length=1, horizon=1, trainer=BRIEF).fit(X, y)
    assert not isinstance(model.network_, Increments)
    assert model.score(X, y) > 0.999


def test_scales_come_from_the_training_rows_only():
    X = waves()
    X[-30:] *= 50
    trainer = clone(BRIEF).set_params(validate_every=300)  # validates once, so both keep the last weights
    clean, dirty = Tiny(trainer=trainer).fit(waves()), Tiny(trainer=trainer).fit(X)
    assert (clean.input_scale_ == dirty.input_scale_).all()
    assert (clean.predict(X) == dirty.predict(X)).all()
    assert dirty.history_[-1]["validation_loss"] > 10 * clean.history_[-1]["validation_loss"]


def test_best_weights_reproduce_the_logged_loss():
    X = waves() + 0.1 * np.random.default_rng(0).standard_normal((400, 2))
    model = Tiny(trainer=clone(BRIEF).set_params(validate_every=10)).fit(X)
    best = min(record["validation_loss"] for record in model.history_)
    rows = X[399 - 40 : 399]  # targets of the last 40 of 399 pairs
    windows = np.stack([rows[i : i + 3] for i in range(37)])
    targets = np.stack([X[399 - 40 + i + 3 : 399 - 40 + i + 5] for i in range(37)])
    error = (model._forward(windows, None) - targets) / model.target_scale_
    assert np.mean(error**2) == pytest.approx(best, rel=1e-4)


def test_phases_in_order():
    model = FreeRunning(trainer=clone(BRIEF).set_params(validate_every=50)).fit(waves())
    names = [record["phase"] for record in model.history_]
    assert names == ["teacher"] * 6 + ["head"] + ["free run"]
    assert "free_run" in model.history_[-1]


def test_nested_parameters():
    model = Tiny(trainer=Trainer())
    assert clone(model).set_params(trainer__learning_rate=0.1).trainer.learning_rate == 0.1
    assert model.trainer.learning_rate == Trainer().learning_rate
    with pytest.raises(ValueError, match="The 'learning_rate' parameter of Trainer must be"):
        clone(model).set_params(trainer__learning_rate=-1.0).fit(waves())
    with pytest.raises(ValueError, match="The 'context_length' parameter of Tiny must be"):
        Tiny(context_length=0).fit(waves())


@pytest.mark.slow
def test_two_workers_find_what_one_finds():
    grid = {"trainer__learning_rate": [1e-4, 2e-2]}
    searches = [
        GridSearchCV(Tiny(trainer=Trainer(max_steps=100)), grid, cv=TimeSeriesSplit(2), n_jobs=n_jobs).fit(waves())
        for n_jobs in (1, 2)
    ]
    assert searches[0].best_params_ == {"trainer__learning_rate": 2e-2}
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert (scores[0] == scores[1]).all()


def test_seeds():
    X = waves()
    first, same, other = (Tiny(trainer=BRIEF, random_state=seed).fit(X).forecast(5) for seed in (0, 0, 1))
    assert (first == same).all()
    assert not (first == other).all()


@pytest.mark.parametrize("mode", ["states", "outputs", "inputs"])
def test_files(tmp_path, mode):
    X = waves()
    u = None if mode != "inputs" else np.sign(np.sin(0.1 * np.arange(400)))[:, None]
    model = Tiny(trainer=BRIEF).fit(X, X[:, 0] if mode == "outputs" else None, u=u)
    model.save(tmp_path / "model.pt")
    for copy in (Tiny.load(tmp_path / "model.pt"), pickle.loads(pickle.dumps(model))):
        assert (copy.predict(X, u=u) == model.predict(X, u=u)).all()
        assert copy.get_params()["trainer__max_steps"] == 300
        assert copy.history_ == model.history_
    with pytest.raises(ValueError, match="must hold a FreeRunning, but it holds 'Tiny'"):
        FreeRunning.load(tmp_path / "model.pt")


def test_files_keep_names_and_context(tmp_path):
    pd = pytest.importorskip("pandas")
    model = Tiny(trainer=BRIEF).fit(pd.DataFrame(waves(), columns=["a", "b"]))
    model.save(tmp_path / "model.pt")
    copy = Tiny.load(tmp_path / "model.pt")
    assert copy.feature_names_in_.tolist() == ["a", "b"]
    assert (copy.forecast(9) == model.forecast(9)).all()


def test_too_few_rows():
    with pytest.raises(ValueError, match="at least 12 rows with a target for a context of 3 and a horizon of 10"):
        Tiny(horizon=10).fit(waves(9))


def test_increments_of_constant_columns():
    X = waves()
    X[:, 1] = 5.0
    with pytest.warns(UserWarning, match="constant"):
        model = Tiny(trainer=BRIEF).fit(X)
    np.testing.assert_allclose(model.forecast(5)[:, 1], 5.0, atol=0.5)


@pytest.mark.slow
def test_a_million_points_take_less_than_two_gigabytes():
    code = """if True:
        import resource
        import numpy as np
        from chaosfit.methods.sequence.mlp import MLP
        from chaosfit.nn.trainer import Trainer
        X = np.cumsum(np.random.default_rng(0).standard_normal((1_000_000, 3)), axis=0)
        MLP(context_length=50, trainer=Trainer(max_steps=20)).fit(X)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 2.0
