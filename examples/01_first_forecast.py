"""A first forecast: fit a method to a trajectory, run it freely, say how far it can be trusted."""

import numpy as np

import chaosfit

system = chaosfit.Lorenz63()
X = system.simulate(6000, dt=0.02, random_state=0)  # rows are consecutive times: (n, d)
train, test = X[:5000], X[5000:]

model = chaosfit.ReservoirComputer(random_state=0).fit(train)
print(f"one-step R2 on unseen data: {model.score(test):.6f}")

# Run freely from the end of the training data, then from twenty later starts at once.
forecast = model.forecast(500)
print(f"the forecast holds for {chaosfit.valid_time(test[:500], forecast, dt=0.02):.1f} time units")

starts = np.arange(100, 500, 20)
contexts = np.stack([test[s - 100 : s] for s in starts])  # (20, 100, 3): what each forecast may see
truth = np.stack([test[s : s + 500] for s in starts])
forecasts = model.forecast(500, contexts)  # (20, 500, 3)
times = chaosfit.valid_time(
    truth, forecasts, dt=0.02, lyapunov_exponent=system.lyapunov_exponent, scale=train.std(axis=0)
)
print(f"median over 20 starts: {np.median(times):.1f} Lyapunov times")

# Which equations govern it? An equation discoverer says so.
print(*chaosfit.SINDy(dt=0.02).fit(train).equations(), sep="\n")

# And which method is best? The same as `chaosfit compare lorenz63` on the command line.
comparison = chaosfit.compare(X, methods=["persistence", "ngrc", "reservoir_computer"], dt=0.02)
print(comparison)
