"""Files of fitted neural estimators: parameters as JSON, fitted attributes as tensors and plain values."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from chaosfit.nn import checkpoint
from chaosfit.nn.trainer import Trainer


class FileMixin(BaseEstimator):
    """`save` and `load` for estimators with a parameter `trainer`.

    Fitted attributes must be numbers, strings, arrays, or lists, tuples and dictionaries of them; an estimator with
    others translates them in `_fitted` and `_restore`.
    """

    trainer: Trainer | None

    def _fitted(self) -> dict[str, Any]:
        """Return what `fit` has set, in a form that can be stored."""
        parameters = self.get_params(deep=False)
        return {name: value for name, value in vars(self).items() if name not in parameters}

    def _restore(self, fitted: dict[str, Any]) -> None:
        """Set what `_fitted` has returned."""
        if "feature_names_in_" in fitted:
            fitted["feature_names_in_"] = np.asarray(fitted["feature_names_in_"], dtype=object)
        for name, value in fitted.items():
            setattr(self, name, value)

    def save(self, path: str | PathLike) -> None:
        """Write parameters, fitted attributes and weights to a file that loads without running code.

        Parameters
        ----------
        path : path
            Replaced if it exists. `random_state` must be an integer or None.
        """
        check_is_fitted(self)
        parameters: dict[str, Any] = self.get_params(deep=False)
        if self.trainer is not None:
            parameters["trainer"] = self.trainer.get_params()
        config = {"class": type(self).__name__, "parameters": parameters}
        checkpoint.write(path, config, _to_tensors(self._fitted()))

    @classmethod
    def load(cls, path: str | PathLike):
        """Read an estimator of this class that `save` has written.

        Raises
        ------
        ValueError
            If the file holds another class or was not written by `save`.
        """
        config, fitted = checkpoint.read(path)
        if config.get("class") != cls.__name__:
            raise ValueError(f"{path} must hold a {cls.__name__}, but it holds {config.get('class')!r}")
        parameters: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in config["parameters"].items()
        }
        if parameters["trainer"] is not None:
            parameters["trainer"] = Trainer(**parameters["trainer"])
        model = cls(**parameters)
        model._restore(_to_arrays(fitted))
        return model


def _to_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        is_array = isinstance(value, np.ndarray) and value.dtype != object
        return torch.tensor(value) if is_array else value.tolist()
    if isinstance(value, dict):
        return {name: _to_tensors(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to_tensors(part) for part in value)
    if value is None or isinstance(value, Tensor | str | int | float | complex):
        return value
    raise TypeError(f"a file can hold numbers, strings and arrays, got {type(value).__name__}")


def _to_arrays(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {name: _to_arrays(part) for name, part in value.items()}
    return type(value)(_to_arrays(part) for part in value) if isinstance(value, list | tuple) else value
