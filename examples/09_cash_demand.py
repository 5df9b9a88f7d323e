"""Daily cash demand (Vangala and Ravi, arXiv:2008.10365): delay embedding and weekday for six kinds of forecasters.

Run `python 09_cash_demand.py FILE.csv` (first column days, second amounts), or without a file on synthetic data.
"""

import sys
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sktime.forecasting.arima import StatsModelsARIMA

import chaosfit
from chaosfit.analysis.embedding import embedding_parameters
from chaosfit.benchmark.statistics import diebold_mariano

warnings.simplefilter("ignore")  # statsmodels and sktime speak of their own future
if len(sys.argv) > 1:
    y = pd.read_csv(sys.argv[1], index_col=0, parse_dates=True).iloc[:, 0].asfreq("D").interpolate()
else:
    print("No file given (the paper's bank keeps its records private): a synthetic series stands in.")
    y = chaosfit.load_demand(1000, random_state=1)

# The last 90 days are forecast one day ahead, and nothing learns from them.
n, values = len(y) - 90, y.to_numpy()
X, truth = values[:, np.newaxis], values[n:]
weekday = pd.get_dummies((y.index + pd.Timedelta(days=1)).dayofweek, dtype=float).to_numpy()  # of the day forecast
found = embedding_parameters(X[:n])
print(f"lag {found.lag}, {found.n_delays} delays, deterministic: {found.deterministic}\n")

regressors = {"random forest": RandomForestRegressor(150, min_samples_leaf=2, random_state=0)}
regressors |= {"GMDH": chaosfit.GMDHRegressor(), "GRNN": chaosfit.GRNNRegressor()}
mlp = MLPRegressor(hidden_layer_sizes=(32,), alpha=1e-2, max_iter=2000, random_state=0)
for name, regressor in {"SVR": SVR(C=10, epsilon=0.05), "MLP": mlp}.items():
    scaled = make_pipeline(StandardScaler(), regressor)
    regressors[name] = TransformedTargetRegressor(scaled, transformer=StandardScaler())

forecasts = {("last week", "no model"): values[n - 7 : -7]}
for name, regressor in regressors.items():
    for features, n_lags in {"one day": 1, "embedded": found.n_delays}.items():
        model = chaosfit.NextStepRegressor(regressor, n_lags=n_lags, lag=found.lag)
        forecasts[name, features] = model.fit(X[:n]).predict(X[:-1])[n - 1 :, 0]
        path = model.fit(X[:n], u=weekday[:n]).predict(X[:-1], u=weekday[:-1])
        forecasts[name, f"{features} + weekday"] = path[n - 1 :, 0]
dummies = pd.get_dummies(y.index.dayofweek, drop_first=True, dtype=float).set_index(y.index).add_prefix("day")
for features, inputs in {"one day": None, "one day + weekday": dummies}.items():
    past, future = (None, None) if inputs is None else (inputs[:n], inputs[n:])
    model = StatsModelsARIMA(order=(3, 0, 1), trend="c").set_config(remember_data=False).fit(y[:n], X=past)
    model.update(y[n:], X=future, update_params=False)
    forecasts["ARIMA(3, 0, 1)", features] = model.predict(fh=np.arange(-89, 1), X=inputs).to_numpy()

table = pd.Series({key: chaosfit.smape(truth, path) for key, path in forecasts.items()}).unstack()
print("sMAPE:", table.round(1).to_string(na_rep=""), sep="\n")
best = forecasts[table.stack().idxmin()]
print("\nDiebold-Mariano test against the best of the table:")
for name in table.index:
    p = diebold_mariano(truth - forecasts[name, table.loc[name].idxmin()], truth - best).pvalue
    print(f"  {name:15s} p = {p:.2g}")
