"""Every registered estimator keeps the contract, with the parameter sets its class names."""

import pytest

from chaosfit import registry
from chaosfit.testing import parametrize_with_dynamics_checks

#: They fit a forecaster of sktime for every row that they predict.
SLOW = {"forecaster_dynamics"}


def instances(slow):
    for record in registry.records():
        if record.builtin and (record.name in SLOW) == slow:
            cls = registry.get(record.name)
            yield from (cls(**params) for params in cls.get_test_params())


@pytest.mark.filterwarnings("ignore")
@parametrize_with_dynamics_checks(instances(slow=False))
def test_contract(check):
    check()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_dynamics_checks(instances(slow=True))
def test_contract_slowly(check):
    check()
