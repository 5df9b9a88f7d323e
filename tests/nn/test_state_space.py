import time

import pytest
import torch
from torch import nn
from torch.nn import functional

from chaosfit.nn import state_space
from chaosfit.nn.state_space import SelectiveSSM, StateSpaceDual, dual_scan, linear_scan, selective_scan
from chaosfit.nn.trainer import Phase, Trainer, seeded, torch_threads
from chaosfit.nn.windows import Samples


def inputs(length, *, n_batch=2, channels=6, d_state=3, step_scale=1.0, dtype=torch.float64):
    """Random x, delta, A, B, C; channels 0-2 and 3-5 share their step size and decay."""
    generator = torch.Generator().manual_seed(length)
    x, B, C = (torch.randn(n_batch, length, n, generator=generator, dtype=dtype) for n in (channels, d_state, d_state))
    delta = functional.softplus(torch.randn(n_batch, length, 2, generator=generator, dtype=dtype) - 2) * step_scale
    A = -torch.tensor([1.0, 9.0], dtype=dtype)
    return (
        x,
        delta.repeat_interleave(channels // 2, 2),
        A.repeat_interleave(channels // 2)[:, None].repeat(1, d_state),
        B,
        C,
    )


def reference(x, delta, A, B, C, exact):
    """The recurrence, written down."""
    state, outputs = 0.0, []
    for t in range(x.shape[1]):
        decay = torch.exp(delta[:, t, :, None] * A)
        factor = (decay - 1) / A if exact else delta[:, t, :, None]
        state = decay * state + factor * B[:, t, None] * x[:, t, :, None]
        outputs.append((state * C[:, t, None]).sum(2))
    return torch.stack(outputs, 1), state


def dual(x, delta, A, B, C, exact, chunk=32):
    half = x.shape[2] // 2
    y, state = dual_scan(x.unflatten(2, (2, half)), delta[..., ::half], A[::half, 0], B, C, exact=exact, chunk=chunk)
    return y.flatten(2), state.flatten(1, 2)


def log_space(x, delta, A, B, C, exact):
    """Cumulative sums divided by cumulative decays: known to overflow."""
    total = (delta[..., None] * A).cumsum(1)
    state = total.exp() * ((delta * x)[..., None] * B[:, :, None] * (-total).exp()).cumsum(1)
    return (state * C[:, :, None]).sum(3), state[:, -1]


SCANS = {
    "selective": lambda *a: selective_scan(*a[:5], exact=a[5]),
    "dual": dual,
    "dual in chunks of 7": lambda *a: dual(*a, chunk=7),
}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("step_scale", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("length", [1, 40, 200])
@pytest.mark.parametrize("scan", SCANS)
def test_scans_equal_the_recurrence(scan, length, step_scale, exact):
    values = inputs(length, step_scale=step_scale)
    desired, desired_state = reference(*values, exact)
    y, state = SCANS[scan](*(value.float() for value in values), exact)
    assert (y - desired).norm() < 1e-5 * desired.norm()
    assert (state - desired_state).norm() < 1e-5 * desired_state.norm()


def test_log_space_would_not_pass():
    values = inputs(200, step_scale=10.0)
    y, _ = log_space(*(value.float() for value in values), False)
    assert not y.isfinite().all()


def test_a_large_step_does_not_cost_the_later_ones_their_digits():
    x, delta, A, B, C = inputs(64)
    delta = delta.clone()
    delta[:, 0] = 1e4
    desired, _ = reference(x, delta, A, B, C, False)
    y, _ = dual(*(value.float() for value in (x, delta, A, B, C)), False)
    assert (y - desired)[:, 1:].norm() < 1e-5 * desired[:, 1:].norm()


@pytest.mark.parametrize("step_scale", [1.0, 100.0])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("scan", SCANS)
def test_gradients(monkeypatch, scan, exact, step_scale):
    monkeypatch.setattr(state_space, "_STORED_ROWS", 4)
    monkeypatch.setattr(state_space, "_RECOMPUTED_ROWS", 4)
    x, delta, A, B, C = inputs(10, n_batch=1, channels=2, d_state=2, step_scale=step_scale)
    values = [value.clone().requires_grad_() for value in (x, delta, A[:, :1], B, C)]

    def outputs(x, delta, A, B, C):
        return SCANS[scan](x, delta, A.expand(-1, 2), B, C, exact)

    assert torch.autograd.gradcheck(outputs, values)


def test_linear_scan():
    a, b, start = torch.rand(3, 2, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind(0)
    start = start[:, 0]
    states = linear_scan(a, b, start)
    state = start
    for t in range(9):
        state = a[:, t] * state + b[:, t]
        torch.testing.assert_close(states[:, t], state)
    backward = linear_scan(a, b, reverse=True)
    torch.testing.assert_close(backward, linear_scan(a.flip(1), b.flip(1)).flip(1))
    a.requires_grad_()
    b.requires_grad_()
    assert torch.autograd.gradcheck(linear_scan, (a, b))


LAYERS = {
    "dual": lambda: StateSpaceDual(8, d_state=4, head_size=8),
    "dual exact": lambda: StateSpaceDual(8, d_state=4, head_size=4, exact=True),
    "selective": lambda: SelectiveSSM(8, d_state=4),
    "selective exact": lambda: SelectiveSSM(8, d_state=4, exact=True),
    "selective psd": lambda: SelectiveSSM(8, d_state=4, io_constraint="psd"),
}


@pytest.mark.parametrize("with_gaps", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_streaming_equals_the_whole_sequence(name, with_gaps):
    with seeded(0):
        layer = LAYERS[name]()
        u = torch.randn(3, 150, 8)
        gaps = torch.rand(3, 150) * 2 if with_gaps else None
    whole, state = layer(u, gaps), layer.init_state(3)
    for t in range(150):
        row, state = layer.step(u[:, t], state, None if gaps is None else gaps[:, t])
        torch.testing.assert_close(row, whole[:, t], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_causal(name):
    with seeded(0):
        layer = LAYERS[name]().double()
        u = torch.randn(2, 150, 8, dtype=torch.float64)
    changed = u.clone()
    changed[:, 100:] += 3.0
    torch.testing.assert_close(layer(changed)[:, :100], layer(u)[:, :100], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(layer(changed)[:, 100], layer(u)[:, 100])


@pytest.mark.parametrize("scan", ["selective", "dual"])
def test_exact_factor_is_consistent_when_a_gap_is_split(scan):
    """One interval with constant input, or two halves of it: the same state. The Euler factor differs."""
    x, delta, A, B, C = inputs(1)
    halves = (x.repeat(1, 2, 1), delta.repeat(1, 2, 1) / 2, A, B.repeat(1, 2, 1), C.repeat(1, 2, 1))
    for exact in (True, False):
        once, twice = SCANS[scan](x, delta, A, B, C, exact)[1], SCANS[scan](*halves, exact)[1]
        assert ((once - twice).norm() < 1e-5 * once.norm()) == exact


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"head_size must divide expand \* d_model = 16, got 5"):
        StateSpaceDual(8, head_size=5)
    with pytest.raises(ValueError, match="io_constraint must be 'none' or 'psd', got 'nsd'"):
        SelectiveSSM(8, io_constraint="nsd")
    with pytest.raises(ValueError, match=r"needs d_state <= expand \* d_model = 16, got 17"):
        SelectiveSSM(8, d_state=17, io_constraint="psd")


def test_sorted_tokens_see_each_other_in_any_order():
    """With scores as large as the tokens' step sizes are apart the soft order is the sorted one, and it is undone."""
    with seeded(0):
        layer, plain = SelectiveSSM(8, d_state=4, width=1, token_order="importance").double(), SelectiveSSM(8)
        u = torch.randn(2, 12, 8, dtype=torch.float64)
    layer.score.weight.data *= 1e6
    shuffled = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(u[:, shuffled]), layer(u)[:, shuffled])
    layer.score.weight.data *= 1e-6
    layer(u).sum().backward()
    assert layer.score.weight.grad.abs().max() > 0
    assert plain.score is None
    with pytest.raises(ValueError, match="to stream, use 'given'"):
        layer.init_state(1)
    with pytest.raises(ValueError, match="token_order must be 'given' or 'importance', got 'time'"):
        SelectiveSSM(8, token_order="time")


def test_decays_are_exempt_from_weight_decay():
    for layer in (StateSpaceDual(32), SelectiveSSM(8)):
        exempt = {name for name, p in layer.named_parameters() if hasattr(p, "no_weight_decay")}
        assert {"A_log", "skip"} < exempt
        assert len(exempt) == 3


def cpu_seconds(scan, length):
    generator = torch.Generator().manual_seed(0)
    x, delta = torch.rand(2, 32, length, 64, generator=generator).unbind(0)
    B, C = torch.randn(2, 32, length, 16, generator=generator).unbind(0)
    A = -torch.arange(1.0, 17.0).repeat(64, 1)
    values = [value.requires_grad_() for value in (x, delta, A, B, C)]
    times = []
    for _ in range(3):
        started = time.process_time()
        scan(*values)[0].sum().backward()
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.slow
def test_cost_grows_linearly_and_heads_are_cheap():
    def one_head(x, delta, A, B, C):
        return dual_scan(x.unsqueeze(2), delta[..., :1], A[:1, 0], B, C)

    def stored(*values):
        return state_space._scan_rows(*values, torch.zeros(32, 64, 16), False)

    with torch_threads(1):
        plain, short, dual_time = cpu_seconds(stored, 512), cpu_seconds(stored, 128), cpu_seconds(one_head, 512)
        assert plain < 6 * short
        assert cpu_seconds(selective_scan, 512) < 6 * cpu_seconds(selective_scan, 128) * 1.5  # two kinds of storage
        assert dual_time < 0.35 * plain


class Copier(nn.Module):
    """Two layers between an embedding and a classifier; without `selective` Delta, B and C are constant."""

    def __init__(self, selective):
        super().__init__()
        self.embed = nn.Embedding(10, 64)
        self.layers = nn.ModuleList(StateSpaceDual(64, d_state=64, head_size=16) for _ in range(2))
        self.norms = nn.ModuleList(nn.RMSNorm(64) for _ in range(2))
        self.read = nn.Linear(64, 8)
        for layer in self.layers if not selective else ():
            weight = layer.project_in.weight
            chosen = torch.ones_like(weight)
            chosen[2 * layer.inner :] = 0.0  # what makes B, C and Delta depend on the input
            weight.data *= chosen
            weight.register_hook(lambda gradient, chosen=chosen: gradient * chosen)

    def forward(self, tokens):
        z = self.embed(tokens)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            z = z + layer(norm(z))
        return self.read(z)


def copying(n_examples, seed):
    """4 of 8 symbols scattered over 16 rows of noise (8), then 4 rows (9) that ask for them in order.

    16 symbols in 64 rows take longer than a test may: accuracy 0.78 after 90 CPU seconds, with d_state = 128.
    """
    generator = torch.Generator().manual_seed(seed)
    symbols = torch.randint(8, (n_examples, 4), generator=generator)
    places = torch.rand(n_examples, 16, generator=generator).argsort(1)[:, :4].sort(1).values
    tokens = torch.full((n_examples, 20), 8).scatter(1, places, symbols)
    tokens[:, 16:] = 9
    return Samples({"tokens": tokens, "symbols": symbols})


def copying_accuracy(selective):
    def loss(network, batch):
        answers = network(batch["tokens"])[:, -4:]
        return {"entropy": functional.cross_entropy(answers.flatten(0, 1), batch["symbols"].flatten())}

    with seeded(0):
        network = Copier(selective)
    trainer = Trainer(max_steps=350, batch_size=64, learning_rate=4e-3)
    trainer.train(network, copying(50_000, seed=0), [Phase("copy", loss)])
    test = copying(500, seed=1).views
    with torch.no_grad():
        return (network(test["tokens"])[:, -4:].argmax(2) == test["symbols"]).float().mean().item()


@pytest.mark.slow
def test_selective_copying_needs_selection():
    assert copying_accuracy(selective=True) >= 0.95
    assert copying_accuracy(selective=False) <= 0.6
