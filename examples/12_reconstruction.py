"""Dynamical systems reconstruction: what a piecewise-linear network learns of a flow, read from its weights.

Run with ``python examples/12_reconstruction.py`` (half a minute).
"""

import numpy as np

from chaosfit import (
    AlmostLinearRNN,
    Lorenz63,
    ShallowPLRNN,
    Trainer,
    lyapunov_spectrum,
    power_spectrum_hellinger,
    state_space_divergence,
    symbolic_dynamics,
)

DT = 0.01
system = Lorenz63()
data = system.simulate(20_000, dt=DT, random_state=0)
mean, scale = data.mean(axis=0), data.std(axis=0)
X = (data - mean) / scale
truth = (system.simulate(10_000, dt=DT, random_state=1) - mean) / scale

# A short training, so that this example is short; ten times as many make a better model (docs/reconstruction.md).
trainer = Trainer(max_steps=2000, batch_size=16, optimizer="radam", schedule="exponential", validation_fraction=0)
models = {
    "ShallowPLRNN": ShallowPLRNN(50, forcing=0.15, trainer=trainer, random_state=0),
    "AlmostLinearRNN": AlmostLinearRNN(20, 10, trainer=trainer, random_state=0),
}
for name, model in models.items():
    model.fit(X)
    run = model.forecast(len(truth), truth[:50])
    space, spectrum = state_space_divergence(truth, run), power_spectrum_hellinger(truth, run)
    states = model.states(truth) if name == "AlmostLinearRNN" else truth
    exponents = lyapunov_spectrum(model, 3, x0=states[500::1000], dt=DT, n_steps=1000).exponents
    print(f"{name}: D_stsp {space:.2f}, D_H {spectrum:.2f}, exponents {exponents.round(2)}")
    for point in model.fixed_points():
        inside = np.abs(point.points - truth.mean(axis=0)).max() < 3
        if inside:
            n_growing = int((np.abs(point.eigenvalues) > 1).sum())
            print("  fixed point", (point.points[0] * scale + mean).round(1), f"with {n_growing} growing directions")

# The regions in which the network is linear are symbols of its motion.
symbols = symbolic_dynamics(models["AlmostLinearRNN"].symbols(), min_share=1e-3)
print(f"{len(symbols.symbols)} symbols, entropy at most {symbols.block_entropies[-1] / DT:.1f} per unit of time")
print("Lorenz: exponents 0.91, 0, -14.57; fixed points (+-8.5, +-8.5, 27) with 2 growing directions, and the origin")
