"""Whether the solver-cost regularisers of NeuralODE save evaluations, and at what error.

Run with ``python tests/benchmarks/bench_neural_ode.py [fast | small | figure]``. One flow over one unit of time is
learned from pairs of states; `fast` starts from weights four times as large as usual, so that the field is needlessly
fast, `small` from the usual ones. Printed: median over the seeds of SciPy's RK45 evaluations at tolerance 1e-6, of the
mean squared error of the adaptively integrated flow on unseen pairs, and the CPU seconds of a fit, each with its ratio
to those without a regulariser.

``figure`` draws that of docs/neural_ode.md instead: free runs learned from noisy rows of Lorenz-63, as single steps and
as segments.
"""

import sys
import time

import numpy as np
import torch

from chaosfit import Lorenz63, NeuralODE, Trainer

# A vanishing weight makes the control take the same steps as the others.
WEIGHTS = {"none": {"error_weight": 1e-12}, "error": {"error_weight": 1e-2}, "stiffness": {"stiffness_weight": 1e-1}}
SEEDS = range(5)


class FromLargeWeights(NeuralODE):
    """Starts with all weights times a gain."""

    gain = 1.0

    def _network(self, n_in, n_out):
        network = super()._network(n_in, n_out)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter *= self.gain
        return network


def twisted(X):
    """Rotate each state about the origin by an angle that grows with its radius."""
    angle = 0.5 + 0.5 * np.linalg.norm(X, axis=1)
    c, s = np.cos(angle), np.sin(angle)
    return np.column_stack([c * X[:, 0] - s * X[:, 1], s * X[:, 0] + c * X[:, 1]])


def measure(gain: float, seed: int, n_substeps: int, max_steps: int, **weights) -> tuple[float, float, float]:
    """Evaluations, error and CPU seconds of one fit."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-1.5, 1.5, (1200, 2))
    pairs = np.stack([start, twisted(start)], axis=1)
    train, test = pairs[:1000], pairs[1000:]
    trainer = Trainer(max_steps=max_steps, batch_size=128, learning_rate=1e-2, validation_fraction=0.0)
    model = FromLargeWeights(
        hidden=(48, 48), segment_length=1, n_substeps=n_substeps, trainer=trainer, random_state=seed, **weights
    )
    model.gain = gain
    began = time.process_time()
    model.fit(train.reshape(-1, 2), trajectory_id=np.repeat(np.arange(len(train)), 2))
    seconds = time.process_time() - began
    error = float(np.mean((model.predict(test[:, 0]) - test[:, 1]) ** 2))
    return model.solver_cost(test[:40, 0]), error, seconds


def report(gain: float, n_substeps: int, max_steps: int) -> None:
    """Print one table."""
    results = {name: [] for name in WEIGHTS}
    for seed in SEEDS:
        for name, weights in WEIGHTS.items():
            results[name].append(measure(gain, seed, n_substeps, max_steps, **weights))
            print(f"seed {seed}, {name}: {results[name][-1]}", file=sys.stderr)
    base = np.median(results["none"], axis=0)
    print("regulariser  evaluations      mean squared error      CPU seconds")
    for name, values in results.items():
        cost, error, seconds = np.median(values, axis=0)
        ratio = np.median(values, axis=0) / base
        print(
            f"{name:11s}  {cost:8.1f} ({ratio[0]:.2f})  {error:12.2e} ({ratio[1]:.2f})  {seconds:9.1f} ({ratio[2]:.2f})"
        )


def figure(directory: str = "docs/_static") -> None:
    """Draw data and free runs of 3000 rows."""
    import matplotlib.pyplot as plt

    dt = 0.02
    clean = Lorenz63().simulate(10_000, dt=dt, random_state=0)
    noisy = clean + 0.05 * clean.std(axis=0) * np.random.default_rng(0).normal(size=clean.shape)
    runs = {"without noise": clean[-3000:], "data, 5 % noise": noisy[-3000:]}
    for length, trainer in ((1, Trainer(max_steps=3000)), (8, Trainer(batch_size=128, max_steps=1500))):
        model = NeuralODE(dt=dt, segment_length=length, trainer=trainer, random_state=0).fit(noisy)
        runs[f"segments of {length}"] = model.forecast(3000)
    drawing, panels = plt.subplots(1, 4, figsize=(8.6, 2.3), layout="constrained", sharex=True, sharey=True)
    for panel, (name, run) in zip(panels, runs.items(), strict=True):
        panel.plot(run[:, 0], run[:, 2], lw=0.3, color="0.35" if "segments" in name else "black")
        panel.set_title(name, fontsize=10)
        panel.set_axis_off()
    drawing.savefig(f"{directory}/neural_ode.png", dpi=80)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "fast"
    if chosen == "figure":
        figure()
    else:
        report(*{"fast": (4.0, 16, 300), "small": (1.0, 4, 300)}[chosen])
