"""The contract as executable checks, for chaosfit's own methods and for plugin authors alike.

scikit-learn's and sktime's checks pass a forecaster that is shifted by one step or ignores its context;
these do not. A plugin's whole test file is::

    from chaosfit.testing import parametrize_with_dynamics_checks
    from myplugin import MyModel

    @parametrize_with_dynamics_checks([MyModel(), MyModel(n_lags=3)])
    def test_contract(check):
        check()

A check that cannot hold for a method is declared on its class, with the reason::

    contract_exemptions = {"check_skill": "a baseline without skill by design"}
"""

from __future__ import annotations

import functools
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.utils.estimator_checks import estimator_checks_generator

__all__ = ["CheckResult", "check_dynamics", "dynamics_checks", "parametrize_with_dynamics_checks"]

_ORDER_REASON = "rows of X are consecutive samples of one trajectory; the output for a row needs the rows before it"
#: The scikit-learn checks that a method with memory cannot pass, and no others.
ROW_ORDER_CHECKS = {
    "check_methods_sample_order_invariance": _ORDER_REASON,
    "check_methods_subset_invariance": _ORDER_REASON,
}
_CHECKS: list[Callable] = []
_RTOL, _ATOL = 1e-6, 1e-8


class CheckResult(NamedTuple):
    """Outcome of one check: status is "passed", "failed" or "exempt"; the message says why."""

    name: str
    status: str
    message: str


# ---------------------------------------------------------------------- entry points
def dynamics_checks(estimator) -> Iterator[tuple[str, Callable[[], None], str | None]]:
    """Yield (name, check, reason) for every check; `reason` tells why a failure is expected, or is None."""
    exemptions = getattr(type(estimator), "contract_exemptions", {})
    known = {check.__name__ for check in _CHECKS}
    unknown = set(exemptions) - known
    if unknown:
        raise ValueError(f"contract_exemptions of {type(estimator).__name__} name unknown checks: {sorted(unknown)}.")
    for check in _CHECKS:
        yield check.__name__, functools.partial(check, estimator), exemptions.get(check.__name__)
    expected = {} if _is_markov(estimator) else ROW_ORDER_CHECKS
    for instance, check in estimator_checks_generator(estimator, legacy=True):
        name = check.func.__name__ if isinstance(check, functools.partial) else check.__name__
        yield name, functools.partial(check, instance), expected.get(name)


def check_dynamics(estimator, *, raise_error: bool = True) -> list[CheckResult]:
    """Run every check on an estimator.

    Parameters
    ----------
    estimator : dynamics estimator
        An instance; its context must fit into 9 rows, since some checks fit on ten.
    raise_error : bool, default=True
        Raise AssertionError naming the failed checks; otherwise only return them.

    Returns
    -------
    list of CheckResult

    Examples
    --------
    >>> from chaosfit import NextStepRegressor
    >>> from chaosfit.testing import check_dynamics
    >>> results = check_dynamics(NextStepRegressor())
    >>> [result.name for result in results if result.status == "failed"]
    []
    """
    results = [_run(*row) for row in dynamics_checks(estimator)]
    failed = [result for result in results if result.status == "failed"]
    if failed and raise_error:
        lines = "\n".join(f"  {result.name}: {result.message}" for result in failed)
        raise AssertionError(f"{type(estimator).__name__} fails {len(failed)} check(s):\n{lines}")
    return results


def parametrize_with_dynamics_checks(estimators):
    """Decorate a pytest function `test(check)`: one case per estimator and check, expected failures strict."""
    import pytest

    cases = []
    for estimator in estimators:
        for name, check, reason in dynamics_checks(estimator):
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            cases.append(pytest.param(check, id=f"{estimator!r}-{name}".replace("\n", ""), marks=marks))
    return pytest.mark.parametrize("check", cases)


def _run(name: str, check: Callable, reason: str | None) -> CheckResult:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check()
    except Exception as error:
        if type(error).__name__ == "SkipTest":
            return CheckResult(name, "exempt", str(error))
        return CheckResult(name, "exempt" if reason else "failed", reason or f"{type(error).__name__}: {error}")
    if reason:
        return CheckResult(name, "failed", f"was expected to fail ({reason}), but passed")
    return CheckResult(name, "passed", "")


# ---------------------------------------------------------------------- data
def rotation(n_rows: int = 300, seed: int = 0, amplitude: float = 1.0) -> np.ndarray:
    """A damped, weakly forced rotation in the plane: linear, smooth, not at rest, known to every method."""
    rng = np.random.default_rng(seed)
    angle, damping = 0.3, 0.99
    turn = damping * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    X = np.empty((n_rows, 2))
    X[0] = amplitude * np.array([1.0, 0.5])
    kicks = 0.01 * rng.standard_normal((n_rows, 2))
    for t in range(1, n_rows):
        X[t] = turn @ X[t - 1] + kicks[t]
    return X


def _fitted(estimator, X, **fit_params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(estimator).fit(X, **fit_params)


def _is_markov(estimator) -> bool:
    tags = getattr(estimator.__sklearn_tags__(), "dynamics_tags", None)
    return tags is None or tags.markov


def _accepts_inputs(estimator) -> bool:
    tags = getattr(estimator.__sklearn_tags__(), "dynamics_tags", None)
    return tags is not None and tags.control


def _same(actual, desired, what: str) -> None:
    np.testing.assert_allclose(actual, desired, rtol=_RTOL, atol=_ATOL, err_msg=what)


def _refuses(call: Callable, error: type[Exception], *words: str) -> None:
    """The call must raise `error` with one of the words in its message."""
    try:
        call()
    except error as raised:
        if words and not any(word.lower() in str(raised).lower() for word in words):
            raise AssertionError(f"the message should mention one of {words}: {raised}") from raised
        return
    raise AssertionError(f"expected {error.__name__} mentioning one of {words}, but nothing was raised")


def _check(function: Callable) -> Callable:
    _CHECKS.append(function)
    return function


# ---------------------------------------------------------------------- checks
@_check
def check_unfitted(estimator):
    """Using an unfitted estimator raises scikit-learn's NotFittedError."""
    X = rotation(20)
    for call in (lambda e: e.predict(X), lambda e: e.forecast(3), lambda e: e.score(X)):
        _refuses(functools.partial(call, clone(estimator)), NotFittedError)


@_check
def check_shapes(estimator):
    """Outputs are finite float64 arrays of the promised shapes; a frozen forecast length would show."""
    X = rotation()
    model = _fitted(estimator, X)
    contexts = np.stack([X[:40], X[40:80], X[80:120]])
    for output, shape in [
        (model.predict(X), X.shape),
        (model.forecast(1), (1, 2)),
        (model.forecast(7), (7, 2)),
        (model.forecast(5, X[:40]), (5, 2)),
        (model.forecast(5, contexts), (3, 5, 2)),
    ]:
        assert isinstance(output, np.ndarray), f"expected an ndarray, got {type(output).__name__}"
        assert output.dtype == np.float64, f"expected float64, got {output.dtype}"
        assert output.shape == shape, f"expected shape {shape}, got {output.shape}"
        assert np.isfinite(output).all(), "output is not finite"


@_check
def check_forecast_arguments(estimator):
    """Bad arguments of forecast are refused with a message that names them."""
    X = rotation()
    model = _fitted(estimator, X)
    for n_steps in (0, -1, 2.5, True, "3"):
        _refuses(functools.partial(model.forecast, n_steps), ValueError, "n_steps")
    _refuses(lambda: model.forecast(3, X[:40, :1]), ValueError, "features as input")
    _refuses(lambda: model.forecast(3, np.stack([X[:40, :1]])), ValueError, "features as input")
    broken = X[:40].copy()
    broken[17, 1] = np.nan
    _refuses(lambda: model.forecast(3, broken), ValueError, "row 17")
    length = model._context_length() if hasattr(model, "_context_length") else 1
    if length > 1:
        _refuses(lambda: model.forecast(3, X[: length - 1]), ValueError, "while a minimum of")


@_check
def check_default_context(estimator):
    """Without a context the forecast continues the training data."""
    X = rotation()
    model = _fitted(estimator, X)
    _same(model.forecast(6), model.forecast(6, X), "forecast() differs from forecast(context=training data)")


@_check
def check_one_step(estimator):
    """The first forecast step is the last one-step prediction, for any context."""
    X = rotation()
    model = _fitted(estimator, X)
    for rows in (X, X[:150], X[:60]):
        _same(model.forecast(1, rows)[0], model.predict(rows)[-1], "forecast(1) differs from predict")


@_check
def check_prefix(estimator):
    """A longer forecast begins with the shorter one."""
    model = _fitted(estimator, rotation())
    _same(model.forecast(9)[:4], model.forecast(4), "forecast(9)[:4] differs from forecast(4)")


@_check
def check_batch(estimator):
    """A batch of contexts gives what a loop over them gives."""
    X = rotation()
    model = _fitted(estimator, X)
    contexts = np.stack([X[start : start + 50] for start in (0, 60, 120, 200)])
    loop = np.stack([model.forecast(6, context) for context in contexts])
    _same(model.forecast(6, contexts), loop, "batched forecast differs from single ones")


@_check
def check_no_side_effects(estimator):
    """Nothing but fit changes the object, and nothing changes the input."""
    X = rotation()
    given = X.copy()
    model = _fitted(estimator, given)
    before = pickle.dumps(model)
    model.predict(given)
    model.forecast(4)
    model.forecast(4, given[:60])
    model.score(given)
    assert pickle.dumps(model) == before, "predict, forecast or score changed the fitted estimator"
    assert (given == X).all(), "the input array was changed"


@_check
def check_causal(estimator):
    """Predictions do not change when the future does."""
    X = rotation()
    model = _fitted(estimator, X)
    changed = X.copy()
    changed[200:] += 5.0
    _same(model.predict(changed)[:200], model.predict(X)[:200], "predict looks into the future")


@_check
def check_trajectory_boundary(estimator):
    """Trajectories do not see each other, in predict and in fit."""
    first, second = rotation(150), rotation(150, seed=1) + 50.0
    ids = np.repeat([0, 1], 150)
    forward, backward = np.concatenate([first, second]), np.concatenate([second, first])
    model = _fitted(estimator, forward, trajectory_id=ids)
    apart = np.concatenate([model.predict(first), model.predict(second)])
    _same(model.predict(forward, trajectory_id=ids), apart, "predict mixes trajectories")
    other = _fitted(estimator, backward, trajectory_id=ids)
    difference = np.sqrt(np.mean((other.predict(first) - model.predict(first)) ** 2))
    typical_step = np.sqrt(np.mean(np.diff(first, axis=0) ** 2))
    assert difference < 0.1 * typical_step, (
        f"the order of the trajectories matters: predictions differ by {difference / typical_step:.2g} steps; "
        f"was a transition from one to the other learned?"
    )


@_check
def check_declared_markov(estimator):
    """The tag `markov` tells whether rows may be shuffled."""
    X = rotation()
    model = _fitted(estimator, X)
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = model.predict(X[order])
    same = np.allclose(shuffled, model.predict(X)[order], rtol=_RTOL, atol=_ATOL)
    assert same or not _is_markov(model), "tagged markov, but the prediction for a row depends on other rows"


@_check
def check_pickle(estimator):
    """A pickled copy predicts and forecasts the same numbers."""
    X = rotation()
    model = _fitted(estimator, X)
    copy = pickle.loads(pickle.dumps(model))
    assert (copy.predict(X) == model.predict(X)).all(), "the copy predicts differently"
    assert (copy.forecast(5) == model.forecast(5)).all(), "the copy forecasts differently"


@_check
def check_skill(estimator):
    """One-step errors on unseen data are less than half those of persistence."""
    X = rotation(450)
    train, test = X[:300], X[300:]
    model = _fitted(estimator, train)
    error = np.mean((model.predict(test)[20:-1] - test[21:]) ** 2)
    naive = np.mean((test[20:-1] - test[21:]) ** 2)
    assert error < 0.5 * naive, f"one-step error is {error / naive:.2f} of that of persistence"


@_check
def check_score_self_supervised(estimator):
    """score(X) is the R2 of predict against the next rows."""
    X = rotation()
    model = _fitted(estimator, X)
    first = (model._history_length() if hasattr(model, "_history_length") else 1) - 1
    desired = r2_score(X[first + 1 :], model.predict(X)[first:-1])
    _same(model.score(X), desired, "score is not the one-step R2")


@_check
def check_next_states_as_y(estimator):
    """With y = the next states a forecast is possible; with other outputs it is refused by name."""
    X = rotation()
    model = _fitted(estimator, X[:-1], y=X[1:])
    assert model.forecast(4).shape == (4, 2), "forecast after fit(X, next states) has the wrong shape"
    model = _fitted(estimator, X, y=X[:, 0])
    assert model.predict(X).shape == (300,), "predict should have the shape of y"
    _refuses(lambda: model.forecast(4), ValueError, "n_outputs")


@_check
def check_divergence(estimator):
    """A lost roll-out is NaN from there on, with a RuntimeWarning, and never an exception."""
    X = rotation()
    model = _fitted(estimator, X)
    contexts = np.stack([X[:50], 1e8 * X[:50]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = model.forecast(50, contexts)
    _same(path[0], model.forecast(50, X[:50]), "a lost trajectory disturbs the others of its batch")
    bad = ~np.isfinite(path[1]).all(axis=1)
    assert (np.maximum.accumulate(bad) == bad).all(), "values reappear after the roll-out was lost"
    assert (np.abs(path[1][~bad]) <= model.bound_).all(), "values beyond 1000 times the training range remain"
    if bad.any():
        assert any(w.category is RuntimeWarning for w in caught), "a lost roll-out needs a RuntimeWarning"


@_check
def check_samples(estimator):
    """forecast_samples, where it exists, is seeded and has shape (S, h, d)."""
    if not hasattr(estimator, "forecast_samples"):
        return
    X = rotation()
    model = _fitted(estimator, X)
    samples = model.forecast_samples(6, n_samples=5)
    assert samples.shape == (5, 6, 2), f"expected shape (5, 6, 2), got {samples.shape}"
    assert (samples == model.forecast_samples(6, n_samples=5)).all(), "two calls draw different samples"
    batch = model.forecast_samples(6, np.stack([X[:50], X[50:100]]), n_samples=5)
    assert batch.shape == (5, 2, 6, 2), f"expected shape (5, 2, 6, 2), got {batch.shape}"
    assert np.ptp(samples, axis=0).max() > 0, "all samples are equal"
    _refuses(lambda: model.forecast_samples(6, n_samples=0), ValueError, "n_samples")


@_check
def check_inputs(estimator):
    """u[t] acts between X[t] and X[t+1]; methods without inputs refuse them."""
    u = np.repeat(np.random.default_rng(3).choice([-1.0, 1.0], size=100), 3)[:, np.newaxis]
    if not _accepts_inputs(estimator):
        _refuses(lambda: _fitted(estimator, rotation(), u=u), ValueError, "known inputs")
        return
    X = np.zeros((300, 2))
    turn = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    for t in range(299):
        X[t + 1] = turn @ X[t] + 0.2 * u[t]
    model = _fitted(estimator, X[:250], u=u[:250])
    forecast = model.forecast(30, X[:250], u=u[:279])
    late = model.forecast(30, X[:250], u=np.roll(u, 1)[:279])
    error, shifted = (np.mean((path - X[250:280]) ** 2) for path in (forecast, late))
    assert error < 0.5 * shifted, "inputs shifted by one step forecast as well as the right ones"
    _same(model.forecast(30, u=u[249:279]), forecast, "u with and without the inputs along the context differ")
    _refuses(lambda: model.forecast(5), ValueError, "pass u")
    _refuses(lambda: model.forecast(5, u=u[:3]), ValueError, "u must hold")


@_check
def check_capabilities(estimator):
    """What a class offers beyond forecasts has the promised form."""
    X = rotation()
    model = _fitted(estimator, X)
    if hasattr(model, "equations"):
        equations = model.equations()
        assert len(equations) == 2, "equations() should return one string per variable"
        assert all(isinstance(line, str) and line for line in equations), "equations() should return strings"
    if hasattr(model, "transform"):
        assert len(model.transform(X)) == len(X), "transform should keep the number of rows"


@_check
def check_data_frame(estimator):
    """DataFrames set feature_names_in_, other column orders are refused, outputs are arrays."""
    import pandas as pd

    frame = pd.DataFrame(rotation(), columns=["x", "y"])
    model = _fitted(estimator, frame)
    assert list(model.feature_names_in_) == ["x", "y"], "feature_names_in_ is missing"
    assert isinstance(model.predict(frame), np.ndarray), "predict should return an ndarray"
    _refuses(lambda: model.predict(frame[["y", "x"]]), ValueError, "feature names")


@_check
def check_float32(estimator):
    """float32 input is accepted; output is float64."""
    X = rotation().astype(np.float32)
    model = _fitted(estimator, X)
    assert model.predict(X).dtype == np.float64, "predict should return float64"
    assert model.forecast(3, X[:60]).dtype == np.float64, "forecast should return float64"


@_check
def check_bad_data(estimator):
    """NaN, infinity and mixed-up trajectories are refused with the place named."""
    for value, word in ((np.nan, "NaN"), (np.inf, "infinity")):
        X = rotation()
        X[123, 1] = value
        _refuses(
            functools.partial(_fitted, estimator, X),
            ValueError,
            f"{word}: the first of 1 such value(s) is in row 123",
        )
    ids = np.repeat([0, 1, 0], 100)
    _refuses(lambda: _fitted(estimator, rotation(), trajectory_id=ids), ValueError, "not contiguous")
    _refuses(
        lambda: _fitted(estimator, rotation(), trajectory_id=ids[:5]),
        ValueError,
        "trajectory_id must have shape",
    )
