import importlib.util

import numpy as np
import pytest

from chaosfit.bridges.neuralforecast import NeuralForecastDynamics
from chaosfit.testing import rotation

installed = importlib.util.find_spec("neuralforecast") is not None
needs_package = pytest.mark.skipif(not installed, reason="neuralforecast is not installed")
BRIEF = {"max_steps": 300, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def X():
    return rotation(300)


@pytest.mark.skipif(installed, reason="neuralforecast is installed")
def test_the_missing_package_is_named(X):
    with pytest.raises(ImportError, match="pip install neuralforecast"):
        NeuralForecastDynamics().fit(X)


@needs_package
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["NLinear", "MLPMultivariate"])
def test_forecasts_better_than_persistence(X, model):
    train, test = X[:250], X[250:]
    fitted = NeuralForecastDynamics(model, context_length=4, horizon=2, options=BRIEF, random_state=0).fit(train)
    assert fitted.forecast(5, np.stack([train[:9], train[9:18]])).shape == (2, 5, 2)
    np.testing.assert_allclose(fitted.forecast(1, test[:8])[0], fitted.predict(test[:8])[-1], rtol=1e-5)
    error = np.mean((fitted.predict(test)[5:-1] - test[6:]) ** 2)
    assert error < 0.5 * np.mean((test[5:-1] - test[6:]) ** 2)


@needs_package
@pytest.mark.filterwarnings("ignore")
def test_bad_input(X):
    with pytest.raises(ValueError, match="model must name a class of neuralforecast.models, got 'NoSuch'"):
        NeuralForecastDynamics("NoSuch").fit(X)
    with pytest.raises(ValueError, match="learns from one trajectory, got 2"):
        NeuralForecastDynamics("TSMixer", context_length=4).fit(X, trajectory_id=np.repeat([0, 1], 150))
