import copy
import math

import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from chaosfit.nn import trainer as module
from chaosfit.nn.trainer import NonFiniteLossError, Phase, Trainer, evaluate, seeded, torch_threads
from chaosfit.nn.windows import pairs


def squared_error(network, batch):
    return {"mse": ((network(batch["inputs"]) - batch["targets"]) ** 2).mean()}


def make_data(n=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, generator=generator)
    return pairs(x, torch.sin(2 * x[:, :1]) + x[:, 1:] ** 2)


def make_network(seed=0, dropout=0.0):
    with seeded(seed):
        return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Dropout(dropout), nn.Linear(32, 1))


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


TRAIN = Phase("train", squared_error)


def test_overfits_one_batch():
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    data, network = pairs(x, x[:, :1] ** 2), nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    before = evaluate(network, squared_error, data)
    Trainer(max_steps=300, learning_rate=1e-2).train(network, data, [TRAIN])
    assert evaluate(network, squared_error, data) < 1e-4 * before


@pytest.mark.parametrize("optimizer", ["adamw", "radam"])
def test_same_seed_same_weights(optimizer):
    results = []
    for seed in (1, 1, 2):
        network = make_network(dropout=0.1)
        Trainer(max_steps=60, batch_size=64, optimizer=optimizer).train(network, make_data(), [TRAIN], seed=seed)
        results.append(weights(network))
    assert results[0].equal(results[1])
    assert not results[0].equal(results[2])


def test_global_state_is_left_alone():
    torch.manual_seed(5)
    before, n_threads = torch.get_rng_state(), torch.get_num_threads()
    Trainer(max_steps=5).train(make_network(dropout=0.5), make_data(), [TRAIN], validation=make_data(seed=1))
    assert torch.get_rng_state().equal(before)
    assert torch.get_num_threads() == n_threads
    with torch_threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == n_threads


class Interrupted(Exception):
    pass


def interrupting(limit):
    calls = 0

    def loss(network, batch):
        nonlocal calls
        calls += network.training
        if calls > limit:
            raise Interrupted
        return squared_error(network, batch)

    return loss


@pytest.mark.parametrize("stop", [130, 250, 290])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, stop):
    def run(path, *, limit=math.inf):
        network = make_network(dropout=0.2)
        phases = [
            Phase("first", interrupting(limit)),
            Phase("second", interrupting(limit - 200), learning_rate=1e-3, parameters="3"),
        ]
        trainer = Trainer(max_steps=200, validate_every=40, batch_size=64, checkpoint=path)
        history = trainer.train(network, make_data(), phases, validation=make_data(seed=1), seed=3)
        return weights(network), history

    whole, whole_history = run(None)
    path = tmp_path / "run.pt"
    with pytest.raises(Interrupted):
        run(path, limit=stop)
    resumed, history = run(path)
    assert resumed.equal(whole)
    for record, desired in zip(history, whole_history, strict=True):
        assert {**record, "seconds": 0} == {**desired, "seconds": 0}
    finished, _ = run(path, limit=0)  # nothing is left to do
    assert finished.equal(whole)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    trainer = Trainer(max_steps=20, checkpoint=tmp_path / "run.pt")
    trainer.train(make_network(), make_data(), [TRAIN])
    with pytest.raises(ValueError, match="same run, but seed, first_examples differ"):
        trainer.train(make_network(), make_data(seed=4), [TRAIN], seed=1)
    with pytest.raises(ValueError, match="same run, but trainer differ"):
        clone(trainer).set_params(max_steps=30).train(make_network(), make_data(), [TRAIN])


def test_best_weights_are_restored():
    data, validation = make_data(40), make_data(40, seed=1)  # few examples: it overfits
    network = make_network()
    trainer = Trainer(max_steps=2000, validate_every=20, learning_rate=2e-2, patience=10)
    history = trainer.train(network, data, [TRAIN], validation=validation)
    losses = [record["validation_loss"] for record in history]
    assert len(losses) < 100, "patience should have stopped it"
    assert len(losses) - 1 - losses.index(min(losses)) == 10
    assert evaluate(network, squared_error, validation) == pytest.approx(min(losses), rel=1e-6)


def test_without_validation_the_last_weights_stay():
    network = make_network()
    history = Trainer(max_steps=30, validate_every=10, patience=1).train(network, make_data(), [TRAIN])
    assert [record["step"] for record in history] == [10, 20, 30]
    assert "validation_loss" not in history[-1]


def test_a_monitor_replaces_the_validation_loss():
    scores = iter([3.0, 1.0, 2.0, 2.0])
    seen = []

    def monitor(network):
        seen.append(weights(network))
        return next(scores)

    network = make_network()
    phase = Phase("train", squared_error, monitor=monitor)
    Trainer(max_steps=100, validate_every=10, patience=2).train(network, make_data(), [phase])
    assert len(seen) == 4
    assert weights(network).equal(seen[1])


def test_a_phase_trains_only_what_matches():
    network = make_network()
    network[0].weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    Trainer(max_steps=10).train(network, make_data(), [Phase("head", squared_error, parameters=r"^3\.")])
    for name, value in network.state_dict().items():
        assert value.equal(before[name]) == (not name.startswith("3."))
    assert {name: p.requires_grad for name, p in network.named_parameters()} == {
        "0.weight": False,
        "0.bias": True,
        "3.weight": True,
        "3.bias": True,
    }
    with pytest.raises(ValueError, match="parameters='nothing' must match a trainable parameter"):
        Trainer().train(network, make_data(), [Phase("head", squared_error, parameters="nothing")])


def test_no_weight_decay():
    network = make_network()
    network[0].bias.no_weight_decay = True

    def nothing(network, batch):
        return {"zero": 0.0 * sum(p.sum() for p in network.parameters())}

    before = copy.deepcopy(network.state_dict())
    Trainer(max_steps=5, weight_decay=0.5).train(network, make_data(), [Phase("decay", nothing)])
    assert network[0].bias.equal(before["0.bias"])
    assert not network[0].weight.equal(before["0.weight"])


def test_three_failures_in_a_row_stop_training():
    calls = []

    def loss(network, batch):
        calls.append(1)
        good = squared_error(network, batch)["mse"]
        # Steps 4 and 5 fail and are survived; from 8 on all fail.
        return {"good": good, "bad": good * (math.nan if len(calls) in (4, 5) or len(calls) >= 8 else 1.0)}

    network = make_network()
    with pytest.raises(NonFiniteLossError, match=r"phase 'fragile' the loss term\(s\) bad .* step 9 .*learning_rate"):
        Trainer(max_steps=50, learning_rate=1e-3).train(network, make_data(), [Phase("fragile", loss)])
    assert len(calls) == 10
    assert weights(network).isfinite().all()


def test_a_gradient_that_is_not_finite_is_caught():
    def loss(network, batch):
        return {"root": (0.0 * network(batch["inputs"])).abs().sqrt().sum()}

    with pytest.raises(NonFiniteLossError, match="the gradient was not finite"):
        Trainer().train(make_network(), make_data(), [Phase("root", loss)])


def test_time_limit():
    with pytest.warns(ConvergenceWarning, match=r"phase 'train' was stopped by max_seconds=0\.2 after"):
        history = Trainer(max_steps=10**6, max_seconds=0.2).train(make_network(), make_data(), [TRAIN])
    assert history[-1]["seconds"] < 10


def test_steps_of_an_epoch_visit_every_example_once():
    seen = []

    def loss(network, batch):
        seen.append(batch["inputs"][:, 0])
        return squared_error(network, batch)

    data = make_data(100)
    Trainer(max_steps=8, batch_size=30).train(make_network(), data, [Phase("train", loss)])
    assert [len(part) for part in seen] == [25] * 8
    for epoch in (seen[:4], seen[4:]):
        assert torch.cat(epoch).sort().values.equal(data.views["inputs"][:, 0].sort().values)
    assert not seen[0].equal(seen[4])


def test_evaluation_drops_nothing(monkeypatch):
    data = make_data(2500)
    network = make_network(dropout=0.5).eval()
    with torch.no_grad():
        desired = squared_error(network, data.batch(torch.arange(2500)))["mse"].item()
    network.train()
    assert evaluate(network, squared_error, data, batch_size=7) == pytest.approx(desired, rel=1e-5)
    assert network.training
    monkeypatch.setattr(module, "VALIDATION_EXAMPLES", 100)
    assert evaluate(network, squared_error, data) == pytest.approx(desired, rel=0.5)


def test_parameters():
    assert Trainer(max_steps=7).get_params()["max_steps"] == 7
    assert clone(Trainer(schedule="constant")).schedule == "constant"
    for name, value in [("learning_rate", 0.0), ("optimizer", "sgd"), ("validation_fraction", 0.9), ("max_steps", 0)]:
        with pytest.raises(ValueError, match=f"The '{name}' parameter of Trainer must be"):
            Trainer(**{name: value}).train(make_network(), make_data(), [TRAIN])


def test_schedules():
    rates = {}
    for schedule in ("cosine", "exponential", "constant"):
        trainer = Trainer(max_steps=10, validate_every=1, schedule=schedule, learning_rate=1.0)
        history = trainer.train(make_network(), make_data(), [TRAIN])
        rates[schedule] = [record["learning_rate"] for record in history]
    assert rates["constant"] == [1.0] * 10
    assert rates["cosine"][5] == pytest.approx(0.5)
    assert rates["exponential"][5] == pytest.approx(1e-3**0.5)


def test_silent_unless_verbose(capsys):
    Trainer(max_steps=3).train(make_network(), make_data(), [TRAIN])
    assert capsys.readouterr() == ("", "")
    Trainer(max_steps=3, verbose=True).train(make_network(), make_data(), [TRAIN])
    assert "train" in capsys.readouterr().err
