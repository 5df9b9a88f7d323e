"""The published scores of arXiv:2110.05266 come out of our baselines, system by system."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from chaosfit.methods.baselines.drift import Drift
from chaosfit.methods.baselines.linear_autoregression import LinearAutoregression
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.metrics.forecast import smape

N_CONTEXT, N_STEPS = 1000, 200


class Mean:
    """Forecasts the mean of the training data."""

    def fit(self, X):
        self.mean = X.mean(axis=0)
        return self

    def forecast(self, n_steps):
        return np.tile(self.mean, (n_steps, 1))


@pytest.fixture(scope="module")
def published():
    """Rows (series, lags, scores of all models, stored forecasts) of every scored system."""
    folder = Path(os.environ.get("CHAOSFIT_DATA", "data"))
    needed = ["dysts-data/univariate.npz", "dysts-data/univariate100_published_predictions.npz"]
    needed += ["dysts-published/univariate_smape.csv", "dysts-published/selected_hyperparameters.csv"]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found in {folder}; set CHAOSFIT_DATA to their folder")
    series, forecasts = (np.load(folder / name, allow_pickle=True) for name in needed[:2])
    tables = []
    for name in needed[2:]:
        with (folder / name).open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    scores = {r["system"]: r for r in tables[0] if r["granularity"] == "100" and float(r["noise"]) == 0}
    lags = {r["system"]: int(r["LinearRegression"]) for r in tables[1] if r["setting"] == "uni100"}
    of_system = {str(name): i for i, name in enumerate(forecasts["systems"])}
    return [
        (x, lags[name], scores[name], {m: forecasts[m][of_system[name]] for m in forecasts.files if m != "systems"})
        for name, x in zip(map(str, series["systems"]), series["test_100"], strict=True)
        if name in scores
    ]


@pytest.mark.parametrize(
    ("column", "make"),
    [
        ("NaiveSeasonal", lambda lags: Persistence()),
        ("NaiveDrift", lambda lags: Drift()),
        ("NaiveMean", lambda lags: Mean()),
        ("LinearRegression", lambda lags: LinearAutoregression(n_lags=lags, ridge=0.0)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*diverged:RuntimeWarning")
def test_baseline_has_the_published_score_on_every_system(published, column, make):
    assert len(published) > 60
    for series, lags, scores, forecasts in published:
        context, truth = series[:N_CONTEXT, np.newaxis], series[N_CONTEXT:-1, np.newaxis]
        # The published forecasts are stored in single precision, the table with five digits.
        path = make(lags).fit(context).forecast(N_STEPS).astype(np.float32)
        score, stored = (smape(truth, p[:-1]) for p in (path, forecasts[column][:, np.newaxis]))
        assert score == pytest.approx(stored, rel=1e-7), scores["system"]
        assert score == pytest.approx(float(scores[column]), rel=6e-5), scores["system"]
