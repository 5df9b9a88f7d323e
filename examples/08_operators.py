"""Linear operators for nonlinear dynamics: what they are good for, and what they cannot do.

Writes two pictures to the folder in which it is run.
"""

import matplotlib
import numpy as np
from sklearn.preprocessing import PolynomialFeatures

import chaosfit

matplotlib.use("Agg")
import matplotlib.pyplot as plt

rng = np.random.default_rng(0)

# Periodic signals with noise: OptDMD finds frequencies that a least-squares DMD damps away.
t = 0.1 * np.arange(1400)
clean = np.cos(np.outer(t, [1.0, 2**0.5, 2.7])) @ rng.normal(size=(3, 20))
noisy = clean[:400] + 0.1 * clean.std() * rng.normal(size=(400, 20))
model = chaosfit.OptDMD(6, context_length=399, dt=0.1).fit(noisy)
error = np.sqrt(np.mean((model.forecast(1000) - clean[400:]) ** 2)) / clean.std()
print(f"OptDMD, 10 % noise: 1000 steps ahead with an error of {error:.3f} standard deviations")

# Chaos: of all eigenvalues that EDMD computes for Lorenz, only that of the constant is one.
X = chaosfit.Lorenz63().simulate(20_000, dt=0.1, random_state=0)
model = chaosfit.ResDMD(PolynomialFeatures(6)).fit(X)
large = np.abs(model.eigenvalues_) > 0.9
print(f"ResDMD on Lorenz: {large.sum()} eigenvalues look slow, {model.verified(0.05).sum()} is verified")
model.plot_pseudospectrum().figure.savefig("pseudospectrum.png", dpi=110)

# HAVOK: a linear model driven by bursts that come before the switches of the lobes.
x = chaosfit.Lorenz63().simulate(60_000, dt=0.001, random_state=0)[:, :1]
model = chaosfit.HAVOK(n_delays=100, rank=11, dt=0.001).fit(x[:50_000])
*modelled, forcing = model.fit_scores_
print(f"HAVOK: R2 of the modelled coordinates >= {min(modelled):.4f}, of the forcing {forcing:.2f}")
print(f"{len(model.events(x[50_000:], min_gap=50))} bursts in ten units of time that were not used for the fit")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
model.plot_spectrum(axes[0])
model.plot_forcing(x[50_000:], axes[1])
figure.savefig("havok.png", dpi=110)
