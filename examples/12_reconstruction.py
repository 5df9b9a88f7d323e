"""Learn Lorenz-63 as a piecewise-linear network, let it run for ever, and read its fixed points from its weights.

Run with ``python examples/12_reconstruction.py`` (twenty seconds; with numba ten).
"""

import numpy as np

from chaosfit import (
    Lorenz63,
    Persistence,
    ShallowPLRNN,
    Trainer,
    lyapunov_spectrum,
    power_spectrum_hellinger,
    return_map_distance,
    state_space_divergence,
)

DT = 0.02
train, truth, other = (Lorenz63().simulate(20_000, dt=DT, random_state=seed) for seed in range(3))

trainer = Trainer(
    max_steps=5000,
    batch_size=32,
    learning_rate=1e-2,
    optimizer="radam",
    schedule="exponential",
    clip_norm=None,
    validation_fraction=0,
)
model = ShallowPLRNN(50, sequence_length=30, forcing=0.15, trainer=trainer, random_state=0).fit(train)

# After a few Lyapunov times no forecast is right; is the run still on the same attractor, with the same rhythm?
free_run = model.forecast(len(truth), truth[:1])
still = Persistence().fit(train).forecast(len(truth), truth[:1])
for name, run in [("another run of Lorenz", other), ("ShallowPLRNN", free_run), ("persistence", still)]:
    space, spectrum = state_space_divergence(truth, run), power_spectrum_hellinger(truth, run)
    print(f"{name:22} D_stsp {space:5.2f}  D_H {spectrum:.2f}  return map {return_map_distance(truth, run):.2f}")

exponents = lyapunov_spectrum(model, x0=free_run[5000::2000], n_steps=1000, dt=DT).exponents
print("exponents", exponents.round(2), "of Lorenz: 0.91, 0, -14.57")

# The network is linear in every region of its state space, so its fixed points are exact.
print("of Lorenz: (+-8.5, +-8.5, 27) and the origin; of the network:")
for point in model.fixed_points():
    print("fixed point", point.points[0].round(1), "largest eigenvalue", np.abs(point.eigenvalues[0]).round(3))
