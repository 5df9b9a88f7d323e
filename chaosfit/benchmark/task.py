"""One task: fit one method on the first part of one data set, forecast from many later starts, score.

Everything that determines the result goes into `Task.key`; everything that came out is one flat
dictionary, the record. A list of tasks is a benchmark: `compare` makes a short one, a suite a long one.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import json
import math
import time
import traceback
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from threadpoolctl import threadpool_limits

from chaosfit import __version__
from chaosfit.benchmark.data import Dataset
from chaosfit.benchmark.pairs import Pair
from chaosfit.benchmark.protocol import Protocol, Split, split
from chaosfit.metrics.attractor import state_space_divergence, state_space_divergence_mixture
from chaosfit.metrics.ctf import ctf_scores
from chaosfit.metrics.forecast import error_growth, nrmse, smape, valid_steps

_PACKAGES = ("numpy", "scipy", "scikit-learn")
_CURVE_POINTS = 60
#: A forecast kept for plots: its first steps, as so many points.
_EXAMPLE_STEPS, _EXAMPLE_POINTS = 1000, 200
# More equations than this, or longer ones (in characters), explain nothing to a reader.
_READABLE_VARIABLES = 10
_READABLE_LENGTH = 160


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A method, a data set and a protocol.

    Attributes
    ----------
    method : str
        Label of the method.
    estimator : estimator or Exception
        Unfitted. An exception stands for a method that could not be made; its record tells why.
    data : Dataset or Pair
    protocol : Protocol
    """

    method: str
    estimator: BaseEstimator | Exception
    data: Dataset | Pair
    protocol: Protocol

    @functools.cached_property
    def prepared(self) -> BaseEstimator:
        """The estimator that is fitted: time step and seed filled in where it leaves them open."""
        if isinstance(self.estimator, Exception):
            raise self.estimator
        return _prepare(self.estimator, self.data, self.protocol.random_state)

    @functools.cached_property
    def key(self) -> str:
        """Hash of everything that determines the result; the same task has the same key in every process."""
        try:
            described = _describe(self.prepared)
        except Exception as error:
            described = repr(error)
        content = [
            __version__,
            self.method,
            described,
            self.data.fingerprint,
            [self.data.dt, self.data.lyapunov_exponent],
            dataclasses.asdict(self.protocol),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one task may use.

    Attributes
    ----------
    seconds : float, default 600
        Wall time of fit, forecast and scores, without the simulation of the data.
    gibibytes : float, default 4
        Memory on top of what the process had before, data segments only. Enforced on Linux.
    """

    seconds: float = 600.0
    gibibytes: float = 4.0


def run_task(task: Task, keep_forecasts: bool = False) -> dict[str, Any]:
    """Run one task and return its record. A method that fails in whatever way is a record, too.

    Parameters
    ----------
    task : Task
    keep_forecasts : bool, default=False
        Add the forecasts (B, horizon, d) as an array under "forecasts"; it is no part of the written record.

    Returns
    -------
    dict
        "status" is "ok" or "failed", "reason" why. Scores are lists with one number per start; null stands
        for a number that is not finite.
    """
    record = _identity(task)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            data = task.data
            parts = data.split() if isinstance(data, Pair) else split(data, task.protocol)
            # One thread: those of numpy's and scipy's libraries fight over problems of this size, and the seconds
            # that a method takes should not depend on how many cores are free. Several methods can run at a time.
            with threadpool_limits(limits=1, user_api="blas"):
                forecasts, costs = _forecast(task.prepared, parts)
            scores = score(parts, forecasts, data, task.protocol) | {"equations": _equations(task.prepared)}
            if isinstance(data, Pair):
                scores |= _ctf(data, parts, forecasts)
        # A method may call sys.exit; only the user's own interrupt may end the run.
        except (Exception, SystemExit) as error:
            record |= {
                "status": "failed",
                "reason": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
            }
        else:
            record |= {"status": "ok", "reason": ""} | costs | scores
            if keep_forecasts:
                record["forecasts"] = forecasts
    record["warnings"] = sorted({" ".join(str(w.message).split()) for w in caught})
    return record


def failed_record(task: Task, reason: str) -> dict[str, Any]:
    """Return the record of a task that could not be run to its end, also where its data cannot be had."""
    try:
        record = _identity(task)
    except (Exception, SystemExit):
        data = task.data
        nothing = Dataset(data.name, np.empty((0, 0)), (), data.dt, data.lyapunov_exponent, source=data.source)
        record = _identity(dataclasses.replace(task, data=nothing)) | {"key": task.key}
    return record | {"status": "failed", "reason": reason, "traceback": "", "warnings": []}


def score(parts: Split, forecasts: np.ndarray, data: Dataset | Pair, protocol: Protocol) -> dict[str, Any]:
    """Judge forecasts (B, horizon, d); a value that is not finite counts as a failure everywhere."""
    truth, scale = parts.targets, parts.scale
    steps: Any = valid_steps(truth, forecasts, threshold=protocol.threshold, scale=scale)
    per_step = 1.0 / (data.lyapunov_steps or 1.0)
    n_score = protocol.score_steps
    return {
        "valid_time": _plain(steps * per_step),
        "valid_steps": steps.tolist(),
        "n_censored": int((steps == protocol.horizon).sum()),
        "nrmse": _plain(nrmse(truth, forecasts, scale=scale, horizon=n_score)),
        "smape": _plain(smape(truth, forecasts, horizon=n_score)),
        "d_stsp": _plain(climate_distance(truth, forecasts)),
        "n_diverged": int((~np.isfinite(forecasts).all(axis=(1, 2))).sum()),
        "error_growth": _error_curve(truth, forecasts, scale, per_step),
        "example": _example(truth, forecasts, per_step),
    }


def _error_curve(truth: np.ndarray, forecasts: np.ndarray, scale: np.ndarray, per_step: float) -> dict[str, Any]:
    """Median over the starts of the scaled error, at no more than _CURVE_POINTS steps."""
    errors = np.quantile(error_growth(truth, forecasts, scale=scale), 0.5, axis=0, method="nearest")
    steps = np.unique(np.linspace(0, truth.shape[1] - 1, _CURVE_POINTS).astype(int))
    return {"time": _plain((steps + 1) * per_step), "error": _plain(errors[steps])}


def _example(truth: np.ndarray, forecasts: np.ndarray, per_step: float) -> dict[str, Any]:
    """The first variable from the middle start, thinned and with the digits that a plot can show."""
    start, n_steps = len(truth) // 2, min(truth.shape[1], _EXAMPLE_STEPS)
    stride = math.ceil(n_steps / _EXAMPLE_POINTS)
    curves = {"truth": truth, "forecast": forecasts}
    points = {name: [float(f"{x:.4g}") for x in c[start, :n_steps:stride, 0]] for name, c in curves.items()}
    return {"start": start, "spacing": stride * per_step} | {name: _plain(c) for name, c in points.items()}


def climate_distance(truth: np.ndarray, forecasts: np.ndarray) -> float:
    """State space divergence between all states of two batches (B, h, d), whatever their order.

    Boxes for up to three variables, Gaussian mixtures above, as in arXiv:2505.13192. A state that is not
    finite counts as one outside every box. NaN where a variable of the truth never changes: a single state has
    no climate.
    """
    d = truth.shape[2]
    truth, forecasts = truth.reshape(-1, d), forecasts.reshape(-1, d)
    if (np.ptp(truth, axis=0) == 0).any():
        return np.nan
    if d > 3:
        return float(state_space_divergence_mixture(truth, forecasts))
    outside = np.abs(truth).max() * 1e6 + 1.0
    return float(state_space_divergence(truth, np.where(np.isfinite(forecasts), forecasts, outside)))


def _forecast(estimator: BaseEstimator, parts: Split) -> tuple[np.ndarray, dict[str, float]]:
    """Fit, then roll out from all starts in one batch; also the seconds that both took."""
    clocks = [(time.perf_counter(), time.process_time())]
    if parts.tuning is not None and hasattr(estimator, "refit"):
        estimator.fit(parts.tuning).refit(parts.train)
    elif parts.trajectory_id is not None:
        estimator.fit(parts.train, trajectory_id=parts.trajectory_id)
    else:
        estimator.fit(parts.train)
    clocks.append((time.perf_counter(), time.process_time()))
    if parts.reconstructs:
        forecasts = reconstruct(estimator, parts.train)
    else:
        forecasts = np.asarray(estimator.forecast(parts.targets.shape[1], parts.contexts), dtype=np.float64)
    forecasts = forecasts[np.newaxis] if parts.contexts is None else forecasts
    clocks.append((time.perf_counter(), time.process_time()))
    if forecasts.shape != parts.targets.shape:
        raise ValueError(f"expected a forecast of shape {parts.targets.shape}, got {forecasts.shape}.")
    (fit_wall, fit_cpu), (forecast_wall, forecast_cpu) = np.diff(clocks, axis=0).tolist()
    return forecasts, {
        "fit_seconds": fit_wall,
        "fit_cpu_seconds": fit_cpu,
        "forecast_seconds": forecast_wall,
        "forecast_cpu_seconds": forecast_cpu,
    }


def reconstruct(estimator: BaseEstimator, X: np.ndarray) -> np.ndarray:
    """Estimate the states (n, d) behind noisy rows X (n, d) on which the estimator has been fitted.

    What a filter assimilates. Of any other method its prediction of every row from those before, as in the published
    reservoir's entry to arXiv:2510.23166; the first row stays as it is.
    """
    if hasattr(estimator, "assimilate"):
        return estimator.assimilate(X).mean
    return np.concatenate([X[:1], estimator.predict(X)[:-1]])


def _ctf(pair: Pair, parts: Split, forecasts: np.ndarray) -> dict[str, Any]:
    """Scores E1..E12 that the pair gives, as published and in the Frobenius norm."""
    truth, forecast = parts.targets[0], forecasts[0]
    scores = {norm: ctf_scores(pair.number, truth, forecast, norm=norm) for norm in ("spectral", "frobenius")}
    return {"ctf": scores["spectral"], "ctf_frobenius": scores["frobenius"]}


def _equations(estimator: BaseEstimator) -> list[str]:
    """The equations of a fitted method that can tell them, one per variable; none where nobody could read them."""
    if not hasattr(estimator, "equations") or getattr(estimator, "n_features_in_", 1) > _READABLE_VARIABLES:
        return []
    equations = list(estimator.equations())
    return equations if max(map(len, equations)) <= _READABLE_LENGTH else []


def _identity(task: Task) -> dict[str, Any]:
    """The part of the record that is known before anything has run."""
    data, protocol = task.data, task.protocol
    try:
        parameters = _describe(task.prepared)
    except Exception:
        parameters = {}
    return {
        "key": task.key,
        "method": task.method,
        "parameters": parameters,
        "data": {
            "name": data.name,
            "source": data.source,
            "fingerprint": data.fingerprint,
            "n_rows": len(data.X),
            "columns": list(data.columns),
            "dt": data.dt,
            "lyapunov_exponent": data.lyapunov_exponent,
            "exponent_source": data.exponent_source,
        },
        "protocol": dataclasses.asdict(protocol),
        "unit": "Lyapunov times" if data.lyapunov_exponent else "steps",
        "versions": _versions(),
    }


@functools.cache
def _versions() -> dict[str, str]:
    return {"chaosfit": __version__} | {package: importlib.metadata.version(package) for package in _PACKAGES}


def _prepare(estimator: BaseEstimator, data: Dataset | Pair, random_state: int) -> BaseEstimator:
    """Clone; fill in the time step, its kind and the seed wherever the user left the default."""
    estimator = clone(estimator)
    known = {"dt": data.dt, "discrete_time": data.discrete_time or None}
    for name, value in estimator.get_params(deep=True).items():
        owner_name, _, parameter = name.rpartition("__")
        owner = estimator.get_params(deep=True)[owner_name] if owner_name else estimator
        if parameter == "random_state" and value is None:
            estimator.set_params(**{name: random_state})
        elif known.get(parameter) is not None and value == _default(owner, parameter):
            estimator.set_params(**{name: known[parameter]})
    return estimator


def _default(estimator: BaseEstimator, parameter: str) -> Any:
    return inspect.signature(type(estimator)).parameters[parameter].default


def _describe(value: Any) -> Any:
    """Turn an estimator or a parameter into plain JSON that is the same in every process."""
    if isinstance(value, BaseEstimator):
        params = {name: _describe(each) for name, each in sorted(value.get_params(deep=False).items())}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}"} | params
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        return f"array {value.shape} {value.dtype} {digest}"
    if isinstance(value, list | tuple):
        return [_describe(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _describe(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.number):
        return _plain(value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def _plain(values: Any) -> Any:
    """Numbers as JSON knows them; None for what is not finite."""
    if np.ndim(values):
        return [_plain(value) for value in values]
    return float(values) if np.isfinite(values) else None
