import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from chaosfit.analysis.delay_embedding import DelayEmbedding
from chaosfit.methods.sequence.phyx_mamba import PhyxMamba
from chaosfit.nn.forecaster import Increments
from chaosfit.nn.trainer import Trainer, seeded

SMALL = {"context_length": 8, "horizon": 2, "d_model": 8, "d_state": 4, "n_delays": 2, "lag": 3, "random_state": 0}
BRIEF = Trainer(max_steps=20, batch_size=64, learning_rate=1e-2)


def network(**options):
    """The untrained network as training sees it: increments in units of 0.1."""
    model = PhyxMamba(**{**SMALL, **options})
    model.n_delays_, model.lag_ = model.n_delays, model.lag
    with seeded(0):
        wrapped = Increments(model._network(2, 2, 0), model.horizon, 2).double()
    wrapped.scale.fill_(0.1)
    return model, wrapped


def rows(n, seed=1):
    return torch.randn(3, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_tokens_are_patches_of_delay_vectors():
    _, wrapped = network()
    net, past = wrapped.network, rows(8)
    padded = torch.cat([past[:, :1].expand(-1, 3, -1), past], 1)
    patch = torch.cat([torch.cat([padded[:, t], padded[:, t + 3]], 1) for t in (4, 5)], 1)  # rows 4 and 5: the third
    torch.testing.assert_close(net._tokens(past)[:, 2], net.embed(patch) + net.position[2])


def test_layers_explain_away():
    _, wrapped = network(n_layers=3)
    net, tokens = wrapped.network, torch.randn(3, 4, 8, dtype=torch.float64)
    first = net.layers[0](tokens)
    second = net.layers[1](tokens - net.explain(first))
    third = net.layers[2](tokens - net.explain(first) - net.explain(second))
    torch.testing.assert_close(net._mix(tokens), first + second + third)
    net.residual_stack = False
    torch.testing.assert_close(net._mix(tokens), net.layers[2](net.layers[1](first)))


def test_the_loss_compares_every_patch_with_the_next_and_branches_with_later_ones():
    model, wrapped = network(n_branches=2)
    past, future = rows(8), rows(2, seed=2)
    terms = model._loss(wrapped, {"past": past, "future": future})
    whole = torch.cat([past, future], 1)
    main, first, second = (0.1 * part for part in wrapped.network.patches(past))
    assert main.shape == (3, 4, 2, 2)
    assert first.shape == (3, 3, 2, 2)
    assert second.shape == (3, 2, 2, 2)

    def error(increments, ahead):
        errors = [
            functional.mse_loss(whole[:, end - 1, None] + part, whole[:, end : end + 2])
            for part, end in zip(increments.unbind(1), range(2 + 2 * ahead, 10, 2), strict=True)
        ]
        return torch.stack(errors).mean()

    torch.testing.assert_close(terms["mse"], error(main, 0))
    torch.testing.assert_close(terms["branches"], 0.1 * (error(first, 1) + error(second, 2)) / 2)
    torch.testing.assert_close(wrapped(past), past[:, -1:] + main[:, -1])


def test_a_branch_sees_no_row_that_it_predicts():
    _, wrapped = network(n_branches=2)
    past = rows(8)
    changed = past.clone()
    changed[:, 4:] += 1.0
    for ahead, (one, other) in enumerate(
        zip(wrapped.network.patches(past), wrapped.network.patches(changed), strict=True)
    ):
        known = 2 - ahead  # token i of the branch has seen patches up to i + ahead; patches 0 and 1 are unchanged
        torch.testing.assert_close(one[:, :known], other[:, :known])
        assert not torch.allclose(one[:, known], other[:, known])


def test_more_branches_than_patches_are_left_out():
    assert len(network(n_branches=9)[1].network.branches) == 3
    assert len(network(n_branches=0)[1].network.branches) == 0


def test_stages_and_their_terms():
    X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    model = PhyxMamba(**SMALL, free_run_length=6, free_run_steps=8, trainer=BRIEF).fit(X)
    assert [record["phase"] for record in model.history_] == ["teacher", "head", "free run"]
    assert [record["step"] for record in model.history_] == [20, 2, 8]
    assert {"mse", "branches"} < set(model.history_[0])
    assert {"free_run", "stationarity", "consistency"} < set(model.history_[2])
    plain = PhyxMamba(**SMALL, free_run_length=0, trainer=BRIEF).fit(X)
    assert [record["phase"] for record in plain.history_] == ["teacher"]
    no_penalty = PhyxMamba(
        **SMALL, free_run_length=6, free_run_steps=4, stationarity=0.0, consistency=0.0, trainer=BRIEF
    )
    assert {"stationarity", "consistency"}.isdisjoint(no_penalty.fit(X).history_[2])


def test_only_the_head_moves_in_the_second_phase():
    X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    model = PhyxMamba(**SMALL, free_run_length=4, free_run_steps=4, trainer=BRIEF)
    model.n_outputs_ = model.n_features_in_ = 2
    pattern = model._phases()[1].parameters
    _, wrapped = network()
    matching = [name for name, _ in wrapped.named_parameters() if re.search(pattern, name)]
    assert matching == ["network.head.weight", "network.head.bias"]
    assert 0 < model.fit(X).history_[1]["learning_rate"] <= BRIEF.learning_rate / 50


def test_automatic_delays_fill_in_and_survive_a_file(tmp_path):
    X = np.sin(0.3 * np.arange(600))[:, None]
    options = {**SMALL, "n_delays": "auto", "lag": "auto", "context_length": 30}
    model = PhyxMamba(**options, free_run_length=0, trainer=BRIEF).fit(X)
    found = DelayEmbedding(lag_method="mutual_information").fit(X)
    assert (model.lag_, model.n_delays_) == (found.lag_, found.n_delays_)
    model.save(tmp_path / "model.pt")
    assert (PhyxMamba.load(tmp_path / "model.pt").forecast(9) == model.forecast(9)).all()


def test_delays_must_fit():
    with pytest.raises(ValueError, match=r"\* lag = 6 must be smaller than context_length - horizon = 6"):
        PhyxMamba(**{**SMALL, "lag": 6}).fit(np.random.default_rng(0).normal(size=(100, 1)))
    with pytest.raises(ValueError, match="The 'branch_weight' parameter of PhyxMamba must be"):
        PhyxMamba(branch_weight=-1.0).fit(np.zeros((100, 1)))
