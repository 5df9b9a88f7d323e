"""Networks of the neuralforecast package as dynamics estimators."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from chaosfit.bridges.forecaster import WindowForecaster
from chaosfit.validation import Interval

__all__ = ["NeuralForecastDynamics"]

_COUNT = Interval(Integral, 1, None, closed="left")
_QUIET = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


class NeuralForecastDynamics(WindowForecaster):
    """A network of neuralforecast that maps the last L rows to the next k.

    [x[t+1], ..., x[t+k]] = network(x[t-L+1], ..., x[t]), and so on from its own output.

    Parameters
    ----------
    model : str, default="NHITS"
        Name of a class of `neuralforecast.models`. Most treat every variable as a series of its own, so that variables
        do not see each other; MLPMultivariate, TSMixer, iTransformer and other multivariate ones couple them, and learn
        from one trajectory only.
    context_length : int >= 1, default=30
        Rows L of the window (`input_size`).
    horizon : int >= 1, default=5
        Rows k that the network predicts at once (`h`).
    options : dict or None, default=None
        Further arguments of the class, such as {"max_steps": 500, "learning_rate": 1e-3, "scaler_type": "standard"}.
        Variables are standardised before.
    random_state : int, RandomState or None, default=None
        Seeds the network.

    Attributes
    ----------
    forecaster_ : neuralforecast.NeuralForecast
    mean_, scale_ : ndarray of shape (d,)

    Notes
    -----
    The package brings Lightning and ray, and its defaults are meant for many short series: `MLP`, `LSTM` and
    `NBeatsLite` are lighter, couple all variables and train on the windows of one long trajectory.

    References
    ----------
    Olivares et al., NeuralForecast: User friendly state-of-the-art neural forecasting models (2022),
    https://github.com/Nixtla/neuralforecast

    Examples
    --------
    >>> from chaosfit import NeuralForecastDynamics
    >>> NeuralForecastDynamics("MLPMultivariate", options={"max_steps": 200}).get_params()["model"]
    'MLPMultivariate'
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [str],
        "context_length": [_COUNT],
        "horizon": [_COUNT],
        "options": [dict, None],
        "random_state": ["random_state"],
    }

    def __init__(self, model="NHITS", context_length=30, horizon=5, options=None, random_state=None):
        self.model = model
        self.context_length = context_length
        self.horizon = horizon
        self.options = options
        self.random_state = random_state

    def _context_length(self):
        return self.context_length

    def _fit_states(self, trajectories):
        package = _neuralforecast()
        network = self._network(package.models, trajectories[0].shape[1])
        self._couples = bool(network.MULTIVARIATE)
        if self._couples and len(trajectories) > 1:
            raise ValueError(
                f"{self.model} of neuralforecast learns from one trajectory, got {len(trajectories)}; give the longest."
            )
        rows = np.concatenate(trajectories)
        self.mean_, scale = rows.mean(axis=0), rows.std(axis=0)
        self.scale_ = np.where(scale > 0, scale, 1.0)
        self.forecaster_ = package.NeuralForecast([network], freq=1)
        self.forecaster_.fit(_long([(t - self.mean_) / self.scale_ for t in trajectories]), verbose=False)

    def _network(self, models, n_variables: int):
        cls: Any = getattr(models, self.model, None)
        if not isinstance(getattr(cls, "MULTIVARIATE", None), bool):
            raise ValueError(f"model must name a class of neuralforecast.models, got {self.model!r}.")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        options: dict[str, Any] = {**_QUIET, "accelerator": "cpu", "random_seed": seed, **(self.options or {})}
        if cls.MULTIVARIATE:
            options["n_series"] = n_variables
        return cls(h=self.horizon, input_size=self.context_length, **options)

    def _paths(self, windows):
        scaled = (windows - self.mean_) / self.scale_
        batches = scaled[:, np.newaxis] if self._couples else [scaled]
        n_variables = windows.shape[2]
        paths = []
        for batch in batches:
            table = self.forecaster_.predict(df=_long(list(batch)), verbose=False)
            values = table.sort_values(["unique_id", "ds"])[self.model].to_numpy(dtype=float)
            paths.append(values.reshape(len(batch), n_variables, self.horizon).transpose(0, 2, 1))
        return np.concatenate(paths) * self.scale_ + self.mean_


def _long(trajectories: list[np.ndarray]) -> pd.DataFrame:
    """One row for every value: integer `unique_id` of trajectory and variable, time `ds`, value `y`."""
    n_variables = trajectories[0].shape[1]
    lengths = np.repeat([len(t) for t in trajectories], n_variables)
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(lengths)), lengths),
            "ds": np.concatenate([np.tile(np.arange(len(t)), n_variables) for t in trajectories]),
            "y": np.concatenate([t.T.ravel() for t in trajectories]),
        }
    )


def _neuralforecast():
    try:
        import neuralforecast
        import neuralforecast.models
    except ImportError as error:
        raise ImportError("NeuralForecastDynamics needs neuralforecast: pip install neuralforecast") from error
    return neuralforecast
