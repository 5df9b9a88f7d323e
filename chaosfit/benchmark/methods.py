"""Turn the methods that a user names into estimators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from joblib.externals.loky.cloudpickle_wrapper import dumps, loads
from sklearn.base import BaseEstimator

from chaosfit import registry


def resolve_methods(methods: Any) -> dict[str, BaseEstimator | Exception]:
    """Return label to estimator; a plugin that cannot be loaded is an entry with its error.

    Parameters
    ----------
    methods : sequence of names or estimators, or mapping of label to name or estimator
        A name that is repeated counts once.

    Raises
    ------
    TypeError
        For what is no dynamics estimator: a class instead of an instance, a plain regressor.
    LookupError
        For an unknown name: that is the user's slip, to be told before anything is computed.
    """
    if isinstance(methods, Mapping):
        _refuse_others(methods.values())
        return {label: _make(each) if isinstance(each, str) else each for label, each in methods.items()}
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        raise TypeError(f"methods must be a list of names or estimators, or a mapping, got {methods!r}.")
    if not methods:
        raise ValueError("methods is empty: name at least one, or leave it out for the default selection.")
    _refuse_others(methods)
    resolved: dict[str, BaseEstimator | Exception] = {}
    for method in methods:
        if isinstance(method, str) and method in resolved:
            continue
        label, estimator = (method, _make(method)) if isinstance(method, str) else (repr(method), method)
        while label in resolved:
            label += "'"
        resolved[label] = estimator
    return resolved


def portable(estimator: BaseEstimator | Exception) -> BaseEstimator | Exception:
    """Return the estimator, or an error in its place if it cannot travel to another process."""
    try:
        return loads(dumps(estimator))
    # What cannot be pickled may raise anything: the method's fault, and a row of the results.
    except Exception as error:
        name = type(estimator).__name__
        return TypeError(f"{name} cannot be sent to another process ({type(error).__name__}: {error}).")


def _refuse_others(methods: Iterable[Any]) -> None:
    """Raise for what is neither a name nor a dynamics estimator, which only would fail later and less clearly."""
    for method in methods:
        if isinstance(method, type):
            raise TypeError(f"methods holds the class {method.__name__}: pass {method.__name__}(), not the class.")
        if not isinstance(method, str | Exception) and not hasattr(method, "forecast"):
            raise TypeError(
                f"methods holds {method!r}, which has no forecast. Wrap a regressor in NextStepRegressor, "
                f"an sktime forecaster in ForecasterDynamics."
            )


def _make(name: str) -> BaseEstimator | Exception:
    try:
        return registry.make(name)
    except LookupError:
        raise
    # A plugin may do anything, even sys.exit, when it is imported or constructed.
    except (Exception, SystemExit) as error:
        return error if isinstance(error, Exception) else RuntimeError(f"SystemExit: {error}")
