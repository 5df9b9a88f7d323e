"""The contract checks must fail where they should: each mutant breaks one promise."""

import warnings

import numpy as np
import pytest

from chaosfit import NextStepRegressor
from chaosfit.testing import check_dynamics, dynamics_checks


class Linear(NextStepRegressor):
    """The healthy model that the mutants are made of."""

    def __init__(self, regressor=None, n_lags=2, lag=1):
        super().__init__(regressor, n_lags, lag)


class WritesContext(Linear):
    def forecast(self, n_steps, context=None, *, u=None):
        path = super().forecast(n_steps, context, u=u)
        self.context_ = np.concatenate([self.context_, path])[-2:] if path.ndim == 2 else self.context_
        return path


class ShiftedByOne(Linear):
    def forecast(self, n_steps, context=None, *, u=None):
        return super().forecast(n_steps + 1 if type(n_steps) is int else n_steps, context, u=u)[..., 1:, :]


class IgnoresContext(Linear):
    def forecast(self, n_steps, context=None, *, u=None):
        return super().forecast(n_steps, None, u=u)


class LooksAhead(Linear):
    def predict(self, X, *, trajectory_id=None, u=None):
        return super().predict(X, trajectory_id=trajectory_id, u=u) + np.mean(np.asarray(X, float)) * 1e-3


class IgnoresTrajectories(Linear):
    def fit(self, X, y=None, *, trajectory_id=None, u=None):
        return super().fit(X, y, u=u)


class PersistenceInDisguise(Linear):
    def _forward(self, windows, u):
        super()._forward(windows, u)
        return windows[:, -1:] if self._self_supervised else super()._forward(windows, u)


class LyingMarkovTag(Linear):
    def _is_markov(self):
        return True


class UnseededNoise(Linear):
    def forecast(self, n_steps, context=None, *, u=None):
        path = super().forecast(n_steps, context, u=u)
        return path + 1e-3 * np.random.default_rng().standard_normal(path.shape)


class ClampsSteps(Linear):
    def forecast(self, n_steps, context=None, *, u=None):
        try:
            n_steps = min(max(int(n_steps), 1), 5)
        except (TypeError, ValueError):
            n_steps = 1
        return super().forecast(n_steps, context, u=u)


MUTANTS = [
    (WritesContext, {"check_no_side_effects", "check_prefix"}),
    (ShiftedByOne, {"check_one_step"}),
    (IgnoresContext, {"check_shapes", "check_forecast_arguments", "check_batch"}),
    (LooksAhead, {"check_causal"}),
    (IgnoresTrajectories, {"check_trajectory_boundary"}),
    (PersistenceInDisguise, {"check_skill"}),
    (LyingMarkovTag, {"check_declared_markov", "check_methods_subset_invariance"}),
    (UnseededNoise, {"check_default_context", "check_one_step", "check_prefix", "check_pickle"}),
    (ClampsSteps, {"check_forecast_arguments"}),
]


def failures(estimator):
    return {result.name for result in check_dynamics(estimator, raise_error=False) if result.status == "failed"}


def test_the_healthy_model_passes():
    assert failures(Linear()) == set()


@pytest.mark.parametrize(("mutant", "caught_by"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_mutant_is_caught(mutant, caught_by):
    assert caught_by <= failures(mutant())


def test_error_names_the_failed_checks():
    with pytest.raises(AssertionError, match=r"(?s)ShiftedByOne fails .*check_one_step: "):
        check_dynamics(ShiftedByOne())


class Diverging(Linear):
    """Raises on large values instead of returning NaN."""

    def forecast(self, n_steps, context=None, *, u=None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = super().forecast(n_steps, context, u=u)
        if not np.isfinite(path).all():
            raise FloatingPointError("overflow")
        return path


def test_raising_on_divergence_is_caught():
    assert "check_divergence" in failures(Diverging())


class Exempt(PersistenceInDisguise):
    contract_exemptions = {"check_skill": "without skill by design"}  # noqa: RUF012 - as a plugin author writes it


class ExemptWithoutNeed(Linear):
    contract_exemptions = {"check_skill": "not true"}  # noqa: RUF012


class ExemptFromNothing(Linear):
    contract_exemptions = {"check_skil": "a typing error"}  # noqa: RUF012


def test_exemptions_are_strict():
    results = {r.name: r for r in check_dynamics(Exempt(), raise_error=False)}
    assert results["check_skill"].status == "exempt"
    assert results["check_skill"].message == "without skill by design"
    results = {r.name: r for r in check_dynamics(ExemptWithoutNeed(), raise_error=False)}
    assert "but passed" in results["check_skill"].message
    with pytest.raises(ValueError, match=r"name unknown checks: \['check_skil'\]"):
        list(dynamics_checks(ExemptFromNothing()))
