"""Skill of the networks on Lorenz-63 and Lorenz-96, and CPU time of the state-space layers and of the training loop.

Not a test: run it by hand, ``OMP_NUM_THREADS=1 python tests/benchmarks/bench_nn.py WHAT``, with one of
  skill [METHOD ...]  Lorenz-63, 8000 rows at dt = 0.02, windows of 30 rows, 60 starts, threshold 0.4, seeds 0 to 2;
                      twenty minutes for all methods
  lattice [SEED ...]  Lorenz-96 with 40 variables, 20 000 rows at dt = 0.05, error over 12 steps; two minutes a seed
  figures             those of docs/neural.md, after three fits
  scans, loop         CPU milliseconds; trust ratios
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
import time

import numpy as np
import torch
from sklearn.base import clone

from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.methods.neuralde.neural_ode import NeuralODE
from chaosfit.methods.recurrent.almost_linear_rnn import AlmostLinearRNN
from chaosfit.methods.recurrent.lstm import LSTM
from chaosfit.methods.recurrent.shallow_plrnn import ShallowPLRNN
from chaosfit.methods.reservoir.ngrc import NGRC
from chaosfit.methods.sequence.conv1d import Conv1d
from chaosfit.methods.sequence.dlinear import DLinear
from chaosfit.methods.sequence.hankel_stnn import HankelStNN
from chaosfit.methods.sequence.mlp import MLP
from chaosfit.methods.sequence.nbeats import NBeatsLite
from chaosfit.methods.sequence.nlinear import NLinear
from chaosfit.methods.sequence.phyx_mamba import PhyxMamba
from chaosfit.methods.sequence.s_mamba import SMamba
from chaosfit.metrics.forecast import valid_time
from chaosfit.nn.losses import one_block
from chaosfit.nn.state_space import _scan_rows, dual_scan, selective_scan
from chaosfit.nn.trainer import Phase, Trainer, torch_threads
from chaosfit.nn.windows import windows
from chaosfit.numerics import delay
from chaosfit.systems.flows import Lorenz63, Lorenz96

DT, N_PAST, N_STEPS = 0.02, 31, 1000
_MAMBA = Trainer(batch_size=128, max_steps=1800)
LINEAR = {
    "Persistence": Persistence(),
    "LinearAutoregression": LinearAutoregression(n_lags=30),
    "NLinear": NLinear(),
    "DLinear": DLinear(),
    "NGRC": NGRC(),
}
NETWORKS = {
    "MLP": MLP(),
    "NBeatsLite": NBeatsLite(),
    "LSTM": LSTM(),
    "Conv1d": Conv1d(),
    "HankelStNN": HankelStNN(context_length=30, horizon=5),
    "NeuralODE": NeuralODE(dt=DT),
    "ShallowPLRNN": ShallowPLRNN(50, sequence_length=30, forcing=0.15),
    "AlmostLinearRNN": AlmostLinearRNN(20, 10, sequence_length=50),
    "SMamba": SMamba(context_length=30, horizon=5, trainer=_MAMBA),
    "PhyxMamba": PhyxMamba(trainer=_MAMBA),
}


def skill(*names: str) -> None:
    """Print median valid times in Lyapunov times, one a seed."""
    for name in names or [*LINEAR, *NETWORKS]:
        if name in LINEAR:
            report(name, LINEAR[name])
        else:
            for seed in range(3):
                report(f"{name}, seed {seed}", clone(NETWORKS[name]).set_params(random_state=seed))


def report(label: str, model) -> None:
    """Fit and print the skill and the CPU time."""
    train = Lorenz63().simulate(8000, dt=DT, random_state=0)
    test = Lorenz63().simulate(N_PAST + N_STEPS, dt=DT, random_state=1, n_trajectories=60)
    started = time.process_time()
    model.fit(train)
    seconds = time.process_time() - started
    forecast = model.forecast(N_STEPS, test[:, :N_PAST])
    scale = train.std(axis=0)
    times = valid_time(test[:, N_PAST:], forecast, dt=DT, lyapunov_exponent=0.9056, scale=scale)
    print(f"{label:45} {np.median(times):5.2f} Lyapunov times   fit {seconds:6.1f} CPU-s", flush=True)


def lattice(*seeds: str) -> None:
    """Print mean squared errors over 12 steps by the variance, with the variables in order and shuffled."""
    X = Lorenz96().simulate(25_000, dt=0.05, random_state=0)
    train, test = X[:20_000], delay.windows(X[20_000:], 36)[::4]
    shuffled = test[:, :, np.random.default_rng(0).permutation(40)]

    def error(model, windows):
        return np.mean((model.forecast(12, windows[:, :24]) - windows[:, 24:]) ** 2) / train.var()

    for reference in (Persistence(), NLinear(24, 12), NGRC(n_delays=1)):
        print(f"{reference!r}: {error(reference.fit(train), test):.3f}", flush=True)
    single = test.transpose(0, 2, 1).reshape(-1, 36, 1)
    for seed in map(int, seeds or "012"):
        # As many weights as SMamba, and every variable on its own.
        alone = MLP(24, 12, hidden=(290, 290), trainer=Trainer(max_steps=3000), random_state=seed)
        alone.fit(train.T.reshape(-1, 1), trajectory_id=np.repeat(np.arange(40), len(train)))
        print(f"MLP of single variables, seed {seed}: {error(alone, single):.3f}", flush=True)
        model = SMamba(trainer=Trainer(max_steps=500, batch_size=64), random_state=seed)
        started = time.process_time()
        model.fit(train)
        seconds = time.process_time() - started
        errors = f"{error(model, test):.3f}, shuffled {error(model, shuffled):.3f}"
        print(f"SMamba, seed {seed}: {errors}, fit {seconds:.0f} CPU-s", flush=True)


def figures(directory: str = "docs/_static") -> None:
    """Draw training curves and attractors of one fit each."""
    import matplotlib.pyplot as plt

    truth = Lorenz63().simulate(4000, dt=DT, random_state=3)
    curves, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    attractors, panels = plt.subplots(1, 4, figsize=(8.6, 2.3), layout="constrained", sharex=True, sharey=True)
    runs = {"data": truth}
    for name in ("MLP", "NBeatsLite", "PhyxMamba"):
        model = clone(NETWORKS[name]).set_params(random_state=0)
        if name == "PhyxMamba":
            model.set_params(free_run_length=0)
        report(name, model)
        runs[name] = model.forecast(len(truth), truth[:N_PAST])
        axes.semilogy([r["step"] for r in model.history_], [r["validation_loss"] for r in model.history_], label=name)
    axes.set(xlabel="step", ylabel="validation loss")
    axes.legend(frameon=False)
    for panel, (name, run) in zip(panels.flat, runs.items(), strict=True):
        panel.plot(run[:, 0], run[:, 2], lw=0.3, color="black" if name == "data" else "0.35")
        panel.set_title(name, fontsize=10)
        panel.set_axis_off()
    curves.savefig(f"{directory}/neural_training.png", dpi=110)
    attractors.savefig(f"{directory}/neural_attractors.png", dpi=80)


def scans() -> None:
    """Print CPU milliseconds of forward and backward passes, B = 32, D = 64, N = 16."""

    def stored(*values):
        return _scan_rows(*values, torch.zeros(32, 64, 16), False)

    def heads(x, delta, A, B, C, size):
        return dual_scan(x.unflatten(2, (-1, size)), delta[..., ::size], A[::size, 0], B, C)

    ways = {
        "S6, states stored": stored,
        "S6": selective_scan,
        "SSD, heads of 16": lambda *values: heads(*values, 16),
        "SSD, heads of 64": lambda *values: heads(*values, 64),
    }
    for length in (8, 32, 64, 128, 512):
        print(f"L = {length}:  " + "   ".join(f"{name} {scan_time(way, length):.1f} ms" for name, way in ways.items()))


def scan_time(scan, length: int) -> float:
    """Return the best CPU time of three calls in milliseconds."""
    generator = torch.Generator().manual_seed(0)
    x, delta = torch.rand(2, 32, length, 64, generator=generator).unbind(0)
    B, C = torch.randn(2, 32, length, 16, generator=generator).unbind(0)
    values = [v.requires_grad_() for v in (x, delta, -torch.arange(1.0, 17.0).repeat(64, 1), B, C)]
    best = np.inf
    for _ in range(3):
        started = time.process_time()
        scan(*values)[0].sum().backward()
        best = min(best, time.process_time() - started)
    return 1000 * best


def loop() -> None:
    """Print what the loop adds to the steps of a bare one, for the default perceptron."""
    rows = torch.randn(8000, 3)
    samples = windows({"past": [rows[:-1]]}, {"future": [rows[1:]]}, 30, 5)
    network = MLP()._network(3, 3, 0)
    batch = samples.batch(torch.arange(256))
    optimizer = torch.optim.AdamW(network.parameters())
    started = time.process_time()
    for _ in range(1000):
        optimizer.zero_grad()
        one_block(network, batch)["mse"].backward()
        optimizer.step()
    bare = time.process_time() - started
    started = time.process_time()
    Trainer(max_steps=1000).train(network, samples, [Phase("train", one_block)])
    print(f"1000 steps: bare {bare:.2f} CPU-s, trainer {time.process_time() - started:.2f} CPU-s")


if __name__ == "__main__":
    what, *options = sys.argv[1:] or ["skill"]
    with torch_threads(1):
        {"skill": skill, "lattice": lattice, "figures": figures, "scans": scans, "loop": loop}[what](*options)
