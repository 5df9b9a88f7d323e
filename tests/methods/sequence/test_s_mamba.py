import numpy as np
import pytest
import torch

from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.sequence.nlinear import NLinear
from chaosfit.methods.sequence.s_mamba import SMamba
from chaosfit.nn.trainer import Trainer, seeded
from chaosfit.numerics import delay
from chaosfit.systems.flows import Lorenz96

SMALL = {"context_length": 5, "horizon": 2, "d_model": 8, "d_hidden": 12, "d_state": 4, "random_state": 0}


def network(n_features=6, n_outputs=6, n_inputs=0, **options):
    with seeded(0):
        return SMamba(**{**SMALL, **options})._network(n_features, n_outputs, n_inputs).double()


def rows(n, d=6, seed=1):
    return torch.randn(3, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_layer_as_its_equation_reads():
    (layer,) = network(n_layers=1).layers
    z = torch.randn(3, 6, 8, dtype=torch.float64)
    reversed_order = torch.arange(5, -1, -1)
    mixed = z + layer.forwards(z) + layer.backwards(z[:, reversed_order])[:, reversed_order]
    first = layer.norm(mixed)
    torch.testing.assert_close(layer(z), layer.last_norm(first + layer.perceptron(first)))


@pytest.mark.parametrize("layer", ["dual", "selective"])
def test_every_variable_reaches_every_other(layer):
    past = rows(5).requires_grad_()
    net = network(layer=layer)
    for variable in (0, 5):
        (gradient,) = torch.autograd.grad(net(past)[:, :, variable].sum(), past)
        assert (gradient.abs().sum((0, 1)) > 0).all()


@pytest.mark.parametrize("instance_norm", [False, True])
@pytest.mark.parametrize("n_outputs", [6, 3])
@pytest.mark.parametrize("n_inputs", [0, 2])
def test_shapes(instance_norm, n_outputs, n_inputs):
    net = network(6, n_outputs, n_inputs, instance_norm=instance_norm)
    known = (rows(2, n_inputs),) if n_inputs else ()
    assert net(rows(5), *known).shape == (3, 2, n_outputs)


def test_one_variable_with_two_outputs():
    assert network(1, 2)(rows(5, 1)).shape == (3, 2, 2)


def test_known_inputs_are_tokens():
    net = network(n_inputs=2)
    with torch.no_grad():
        net.direct.weight.zero_()
    past, known = rows(5), rows(2, 2)
    assert not torch.allclose(net(past, known), net(past, known + 1.0))


def test_instance_norm_moves_and_scales_with_the_window():
    net, past = network(instance_norm=True), rows(5)
    torch.testing.assert_close(net(past + 7.0), net(past))
    torch.testing.assert_close(net(1e3 * past) / 1e3, net(past), rtol=1e-3, atol=1e-4)  # its floor is 1e-5
    plain = network()
    assert not torch.allclose(plain(past + 7.0), plain(past))


def test_only_the_first_layer_sorts():
    net = network(layer="selective", token_order="importance", io_constraint="psd", n_layers=2)
    sorts = [[direction.score is not None for direction in (b.forwards, b.backwards)] for b in net.layers]
    assert sorts == [[True, True], [False, False]]
    assert all(b.forwards.sign is not None for b in net.layers)
    past = rows(5).requires_grad_()
    net(past).square().sum().backward()
    assert net.layers[0].forwards.score.weight.grad.abs().sum() > 0


def test_refinements_need_selective_layers():
    X = np.random.default_rng(0).normal(size=(100, 3))
    for name, value in (("io_constraint", "psd"), ("token_order", "importance")):
        with pytest.raises(ValueError, match=f"{name}='{value}' .* set layer='selective'"):
            SMamba(**SMALL, **{name: value}).fit(X)
    with pytest.raises(ValueError, match="The 'layer' parameter of SMamba must be"):
        SMamba(layer="attention").fit(X)


def test_a_drifting_level_needs_instance_norm():
    """Rows ten times higher than those of training: the windows look the same only after normalisation."""
    t = np.arange(400)
    X = np.stack([np.sin(0.3 * t), np.cos(0.3 * t)], 1)
    high = np.stack([np.sin(0.3 * t[:40]), np.cos(0.3 * t[:40])], 1) + 10.0
    errors = {}
    for instance_norm in (False, True):
        trainer = Trainer(max_steps=300, batch_size=64, learning_rate=1e-2)
        model = SMamba(**{**SMALL, "instance_norm": instance_norm, "trainer": trainer}).fit(X)
        errors[instance_norm] = np.abs(model.predict(high)[6:-1] - high[7:]).max()
    assert errors[True] < 0.1 < errors[False]


@pytest.mark.slow
def test_lorenz96_needs_the_neighbours():
    """A linear map of every variable alone is beaten, and a shuffled order of the variables ruins the forecast."""
    X = Lorenz96().simulate(5600, dt=0.05, random_state=0)
    train, test = X[:5000], X[5000:]
    windows = delay.windows(test, 36)
    order = np.random.default_rng(0).permutation(40)

    def error(model, columns):
        return np.mean((model.forecast(12, windows[:, :24, columns]) - windows[:, 24:, columns]) ** 2)

    given = np.arange(40)
    model = SMamba(trainer=Trainer(max_steps=150, batch_size=64), random_state=0).fit(train)
    assert error(model, given) <= 0.7 * error(NLinear(24, 12).fit(train), given)
    assert error(model, given) <= 0.7 * error(Persistence().fit(train), given)
    assert error(model, order) >= 1.5 * error(model, given)
