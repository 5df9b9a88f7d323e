import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

from chaosfit import DelayEmbedding, Henon, LocalAnalogues, NextStepRegressor, ReservoirComputer, TransformedDynamics
from chaosfit.testing import rotation


@pytest.fixture(scope="module")
def henon():
    return Henon().simulate(400, random_state=1)


def quadratic():
    return NextStepRegressor(make_pipeline(PolynomialFeatures(2), LinearRegression()))


def test_a_pipeline_learns_the_henon_map(henon):
    model = quadratic().fit(henon)
    path = model.forecast(20, henon[:100])
    np.testing.assert_allclose(path, henon[100:120], atol=1e-6)


def test_lags_are_newest_first():
    X = np.arange(20.0)[:, None]
    features = []

    class Spy(LinearRegression):
        def fit(self, X, y):
            features.append(X)
            return super().fit(X, y)

    NextStepRegressor(Spy(), n_lags=3, lag=2).fit(X)
    assert features[0][0].tolist() == [4, 2, 0]


def test_scaling_does_not_change_what_an_affine_model_predicts(henon):
    plain = NextStepRegressor(LinearRegression()).fit(henon)
    scaled = TransformedDynamics(MinMaxScaler(), NextStepRegressor(LinearRegression())).fit(henon)
    np.testing.assert_allclose(scaled.predict(henon), plain.predict(henon), atol=1e-10)
    np.testing.assert_allclose(scaled.forecast(5), plain.forecast(5), atol=1e-10)


def test_a_plain_pipeline_would_answer_in_scaled_units(henon):
    X = henon * [100, 1] + [1000, 0]
    assert abs(make_pipeline(StandardScaler(), quadratic()).fit(X).predict(X)[:, 0].mean()) < 5
    assert abs(TransformedDynamics(StandardScaler(), quadratic()).fit(X).predict(X)[:, 0].mean() - 1000) < 100


def test_reduction_and_embedding(henon):
    X = np.hstack([henon, henon @ [[1.0], [2.0]]])
    path = TransformedDynamics(PCA(2), quadratic()).fit(X).forecast(5, X[:100])
    np.testing.assert_allclose(path, X[100:105], atol=1e-5)
    scalar = henon[:, :1]
    embedded = TransformedDynamics(DelayEmbedding(n_delays=2, lag=1), quadratic()).fit(scalar)
    assert embedded._context_length() == 2
    np.testing.assert_allclose(embedded.forecast(5, scalar[:100]), scalar[100:105], atol=1e-5)


def test_a_trajectory_shorter_than_the_embedding_is_no_start(henon):
    ids = np.repeat([0, 1], [len(henon) - 3, 3])
    model = TransformedDynamics(DelayEmbedding(n_delays=3, lag=2), NextStepRegressor()).fit(henon, trajectory_id=ids)
    alone = TransformedDynamics(DelayEmbedding(n_delays=3, lag=2), NextStepRegressor()).fit(henon[:-3])
    np.testing.assert_allclose(model.forecast(2), alone.forecast(2))
    with pytest.raises(
        ValueError, match=r"DelayEmbedding.* needs 5 rows .* the longest trajectory has 5: nothing is left"
    ):
        TransformedDynamics(DelayEmbedding(n_delays=3, lag=2), NextStepRegressor()).fit(henon[:5])


@pytest.mark.parametrize("regressor", [SVR(), make_pipeline(StandardScaler(), SVR())])
def test_a_regressor_of_one_target_serves_every_variable(henon, regressor):
    model = NextStepRegressor(regressor).fit(henon)
    apart = [clone(regressor).fit(henon[:-1], target).predict(henon) for target in henon[1:].T]
    np.testing.assert_allclose(model.predict(henon), np.column_stack(apart))
    assert isinstance(NextStepRegressor(regressor).fit(henon[:, :1]).regressor_, type(regressor))


def test_a_refit_forgets_the_longer_context(henon):
    model = TransformedDynamics(estimator=NextStepRegressor(n_lags=5)).fit(henon)
    model.set_params(estimator=NextStepRegressor(n_lags=1)).fit(henon[:3])
    assert model._context_length() == 1


def test_inputs_and_trajectories_pass_through():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((100, 1))
    X = np.zeros((100, 1))
    for t in range(99):
        X[t + 1] = 0.5 * X[t] + u[t]
    model = TransformedDynamics(StandardScaler(), NextStepRegressor(LinearRegression())).fit(X, u=u)
    np.testing.assert_allclose(model.forecast(9, X[:91], u=u[90:99])[:, 0], X[91:, 0], atol=1e-10)
    reservoir = TransformedDynamics(StandardScaler(), ReservoirComputer(n_units=50, washout=5, random_state=0))
    ids = np.repeat([0, 1], 50)
    assert reservoir.fit(rotation(100), trajectory_id=ids).forecast(3, rotation(100)[:20]).shape == (3, 2)


@pytest.mark.parametrize("params", [{"n_lags": 0}, {"lag": 0}, {"n_lags": 1.5}, {"regressor": "ridge"}])
def test_bad_parameters(henon, params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of NextStepRegressor must be"):
        NextStepRegressor(**params).fit(henon)


def test_samples_come_in_the_units_of_the_data(henon):
    model = TransformedDynamics(StandardScaler(), LocalAnalogues(random_state=0)).fit(henon)
    contexts = np.stack([henon[:5], henon[5:10]])
    samples = model.forecast_samples(4, contexts, n_samples=30)
    assert samples.shape == (30, 2, 4, 2)
    scaler = StandardScaler().fit(henon)
    inner = LocalAnalogues(random_state=0).fit(scaler.transform(henon))
    latent = scaler.transform(contexts.reshape(-1, 2)).reshape(contexts.shape)
    desired = inner.forecast_samples(4, latent, n_samples=30)
    np.testing.assert_allclose(samples, desired * scaler.scale_ + scaler.mean_)
    np.testing.assert_allclose(model.forecast_samples(4, n_samples=2)[:, 0], [model.forecast(1)[0]] * 2, atol=0.1)
    assert not hasattr(TransformedDynamics(), "forecast_samples")
    with pytest.raises(ValueError, match="fit without y"):
        model.fit(henon[:-1], henon[1:]).forecast_samples(4)


def test_a_delay_embedding_draws_samples(henon):
    model = TransformedDynamics(DelayEmbedding(n_delays=2, lag=1), LocalAnalogues(random_state=0)).fit(henon[:, :1])
    samples = model.forecast_samples(3, n_samples=7)
    assert samples.shape == (7, 3, 1)
    assert np.isfinite(samples).all()


def test_transformer_without_inverse(henon):
    with pytest.raises(ValueError, match="The 'transformer' parameter of TransformedDynamics must be"):
        TransformedDynamics(PolynomialFeatures(2)).fit(henon)
