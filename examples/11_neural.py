"""Neural forecasters: one trainer, early stopping, a run that is resumed, a file, a grid search, and what beats them.

Run with ``python examples/11_neural.py`` (a quarter of a minute).
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from chaosfit import MLP, NGRC, Lorenz63, Trainer, valid_time

DT = 0.02
train = Lorenz63().simulate(4000, dt=DT, random_state=0)
test = Lorenz63().simulate(630, dt=DT, n_trajectories=20, random_state=1)


def skill(model):
    """Median valid time in Lyapunov times over the test trajectories."""
    forecast = model.forecast(600, test[:, :30])
    times = valid_time(test[:, 30:], forecast, dt=DT, lyapunov_exponent=0.9056, scale=train.std(axis=0))
    return np.median(times)


# All options of training are one object, and so parameters of the model.
trainer = Trainer(max_steps=1000, patience=5)
model = MLP(trainer=trainer, random_state=0).fit(train)
last = model.history_[-1]
print(f"MLP, {last['step']} steps, validation loss {last['validation_loss']:.1e}: {skill(model):.1f} Lyapunov times")

# With a checkpoint an interrupted fit goes on where it was, and ends with the same numbers.
folder = Path(tempfile.mkdtemp())
resumable = MLP(trainer=Trainer(max_steps=300, checkpoint=str(folder / "run.pt")), random_state=0)
first = resumable.fit(train).forecast(5)
print("resumed fit gives the same numbers:", bool((resumable.fit(train).forecast(5) == first).all()))

# Fitted models are files of numbers: reading one runs no code.
model.save(folder / "mlp.pt")
print("the file forecasts the same:", bool((MLP.load(folder / "mlp.pt").forecast(9) == model.forecast(9)).all()))

# Scikit-learn's searches reach into the trainer.
short = MLP(trainer=Trainer(max_steps=200), random_state=0)
search = GridSearchCV(short, {"trainer__learning_rate": [5e-4, 5e-3]}, cv=TimeSeriesSplit(2)).fit(train)
print("best learning rate:", search.best_params_["trainer__learning_rate"])

# On clean data with all variables a polynomial map, fitted in a moment, is better.
print(f"NGRC: {skill(NGRC().fit(train)):.1f} Lyapunov times")
