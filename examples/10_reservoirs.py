"""Four kinds of reservoirs: one network, a network with an imperfect model, no network, and many local ones.

Valid times are medians over the starts, in Lyapunov times.
"""

import numpy as np

import chaosfit


def show(models, system, exponent, dt, n_train, n_steps):
    """Fit all models to one trajectory and forecast from the first 100 rows of 12 others."""
    train = system.simulate(n_train, dt=dt, random_state=0)
    test = system.simulate(100 + n_steps, dt=dt, random_state=1, n_trajectories=12)
    for name, model in models.items():
        forecasts = model.fit(train).forecast(n_steps, test[:, :100])
        options = {"dt": dt, "lyapunov_exponent": exponent, "scale": train.std(axis=0)}
        print(f"  {name:28s} {np.median(chaosfit.valid_time(test[:, 100:], forecasts, **options)):5.1f}")


# One network, the same in single precision, and delays and monomials in its place.
lorenz = chaosfit.Lorenz63()
models = {
    "ReservoirComputer": chaosfit.ReservoirComputer(random_state=0),
    "  in float32": chaosfit.ReservoirComputer(dtype="float32", random_state=0),
    "NGRC": chaosfit.NGRC(),
}
print("Lorenz-63, every 0.02, 5000 rows")
show(models, lorenz, 0.906, dt=0.02, n_train=5000, n_steps=700)


def wrong_step(X):
    """One step of 0.1 of Lorenz's equations with a parameter 5 % off, for states (B, 3)."""
    return chaosfit.integrate(chaosfit.Lorenz63(rho=29.4), X, [0.0, 0.1], backend="dop853")[:, -1]


# A small network alone forecasts badly, and so does the model (0.9); together they do not.
print("Lorenz-63, every 0.1, 2000 rows, 50 units")
models = {
    "ReservoirComputer": chaosfit.ReservoirComputer(n_units=50, ridge=1e-6, random_state=0),
    "HybridReservoir": chaosfit.HybridReservoir(wrong_step, n_units=50, random_state=0),
}
show(models, lorenz, 0.906, dt=0.1, n_train=2000, n_steps=200)

# A field in space: one network for all points does not learn it, one for every stretch of four points does.
flame = chaosfit.KuramotoSivashinsky(length=44.0)
print("Kuramoto-Sivashinsky, L = 44, 64 points, every 0.25, 3000 rows")
models = {
    "ReservoirComputer, 1000 units": chaosfit.ReservoirComputer(n_units=1000, ridge=1e-4, random_state=0),
    "LocalReservoir, no halo": chaosfit.LocalReservoir(n_groups=16, random_state=0),
    "LocalReservoir, halo of 8": chaosfit.LocalReservoir(n_groups=16, halo=8, random_state=0),
}
show(models, flame, 0.085, dt=0.25, n_train=3000, n_steps=400)
