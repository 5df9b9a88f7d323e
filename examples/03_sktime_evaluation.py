"""sktime's evaluation and tuning, with every method through one forecaster class."""

from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.performance_metrics.forecasting import MeanSquaredError
from sktime.split import ExpandingWindowSplitter

import chaosfit

y = chaosfit.to_series(chaosfit.Lorenz63().simulate(2000, dt=0.02, random_state=0), dt=0.02, columns=["x", "y", "z"])
cv = ExpandingWindowSplitter(fh=range(1, 51), initial_window=1500, step_length=100)

# "no-update_params": fit once, forecast from many later states, as is usual for chaotic systems.
for model in (chaosfit.Persistence(), chaosfit.LinearAutoregression(n_lags=10), chaosfit.NGRC()):
    table = evaluate(
        chaosfit.DynamicsForecaster(model), cv=cv, y=y, strategy="no-update_params", scoring=MeanSquaredError()
    )
    print(f"{type(model).__name__:22s} MSE over 50 steps: {table['test_MeanSquaredError'].mean():9.4f}")

search = ForecastingGridSearchCV(
    chaosfit.DynamicsForecaster(chaosfit.NGRC()),
    cv=cv,
    param_grid={"estimator__n_delays": [1, 2], "estimator__ridge": [1e-6, 1e-3]},
    scoring=MeanSquaredError(),
    strategy="no-update_params",
    backend=None,
).fit(y)
print("best:", search.best_params_)

# Intervals, where the method can draw futures.
forecaster = chaosfit.DynamicsForecaster(chaosfit.LocalAnalogues(random_state=0)).fit(y, fh=[1, 25, 50])
print(forecaster.predict_interval(coverage=0.9)["x"].round(2))
