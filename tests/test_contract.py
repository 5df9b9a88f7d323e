"""Every registered estimator keeps the contract, with the parameter sets its class names."""

import pytest

from chaosfit import registry
from chaosfit.testing import parametrize_with_dynamics_checks


def instances():
    for record in registry.records():
        if record.builtin:
            cls = registry.get(record.name)
            yield from (cls(**params) for params in cls.get_test_params())


@pytest.mark.filterwarnings("ignore")
@parametrize_with_dynamics_checks(instances())
def test_contract(check):
    check()
