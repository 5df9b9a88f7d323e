"""Every neural method comes back from its file as it was saved, and no object that could run code gets into one."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from chaosfit import registry
from chaosfit.methods.neuralde.neural_ode import NeuralODE
from chaosfit.nn.files import FileMixin
from chaosfit.nn.trainer import Trainer

X = np.sin(0.3 * np.arange(80) + np.array([[0.0], [1.57]])).T
CLASSES = [registry.get(record.name) for record in registry.records() if record.builtin]
NEURAL = [cls for cls in CLASSES if issubclass(cls, FileMixin)]


def brief(cls):
    model = cls(**cls.get_test_params()[-1])
    return model.set_params(trainer=clone(model.trainer).set_params(max_steps=3, validate_every=2))


@pytest.mark.filterwarnings("ignore:.*diverged")
@pytest.mark.parametrize("y", [None, X[:, 0] * X[:, 1]], ids=["states", "outputs"])
@pytest.mark.parametrize("cls", NEURAL)
def test_round_trip(cls, y, tmp_path):
    model = brief(cls).fit(X, y)
    model.save(tmp_path / "model.pt")
    copy = cls.load(tmp_path / "model.pt")
    assert (copy.predict(X) == model.predict(X)).all()
    if y is None:
        np.testing.assert_array_equal(copy.forecast(9), model.forecast(9))
    assert repr(copy.get_params()) == repr(model.get_params())
    assert vars(copy).keys() == vars(model).keys()
    torch.load(tmp_path / "model.pt", weights_only=True)


def test_all_neural_methods_are_here():
    assert {cls for cls in CLASSES if "trainer" in cls().get_params()} == set(NEURAL)


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        NeuralODE().save(tmp_path / "model.pt")
    model = brief(NeuralODE).fit(X)
    model.secret_ = object()
    with pytest.raises(TypeError, match="a file can hold numbers, strings and arrays, got object"):
        model.save(tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


def test_a_path_in_the_trainer(tmp_path):
    trainer = Trainer(max_steps=2, checkpoint=tmp_path / "run.pt")
    NeuralODE(trainer=trainer, random_state=0).fit(X).save(tmp_path / "model.pt")
    assert NeuralODE.load(tmp_path / "model.pt").trainer.checkpoint == str(tmp_path / "run.pt")
