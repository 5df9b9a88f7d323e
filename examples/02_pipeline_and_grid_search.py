"""scikit-learn as you know it: pipelines, grid search with TimeSeriesSplit, any regressor as a dynamics model."""

from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import chaosfit

X = chaosfit.Lorenz63().simulate(3000, dt=0.02, random_state=0)
train, test = X[:2500], X[2500:]

# Parameters by cross-validation; the score is the one-step R2.
search = GridSearchCV(
    chaosfit.NGRC(),
    {"n_delays": [1, 2, 3], "ridge": [1e-6, 1e-4, 1e-2]},
    cv=TimeSeriesSplit(4),
).fit(train)
print("best:", search.best_params_, f"R2 {search.best_score_:.8f}")
print("steps that the best forecast holds:", chaosfit.valid_time(test, search.best_estimator_.forecast(500)))

# Any regressor or Pipeline becomes a dynamics model...
polynomial = make_pipeline(StandardScaler(), PolynomialFeatures(3), Ridge(1e-6))
for regressor in (polynomial, ExtraTreesRegressor(50, random_state=0)):
    model = chaosfit.NextStepRegressor(regressor, n_lags=2).fit(train)
    steps = chaosfit.valid_time(test, model.forecast(500))
    print(f"{type(regressor).__name__}: {steps:.0f} steps")

# ... and a transformer around a dynamics model returns forecasts in the units of X.
scaled = chaosfit.TransformedDynamics(StandardScaler(), chaosfit.LinearAutoregression(n_lags=5)).fit(train)
print("first forecast row, in original units:", scaled.forecast(1)[0].round(2))
