import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, RationalQuadratic

from chaosfit.methods.baselines.climatology import Climatology
from chaosfit.methods.baselines.kernel_autoregression import KernelAutoregression
from chaosfit.methods.baselines.local_analogues import LocalAnalogues
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.systems.delays import MackeyGlass
from chaosfit.systems.maps import Henon


@pytest.fixture(scope="module")
def henon():
    return Henon().simulate(400, random_state=0)


@pytest.mark.parametrize(
    ("kernel", "same"),
    [
        ("matern", Matern(length_scale=2.0, nu=2.5)),
        ("gaussian", RBF(length_scale=2.0)),
        # Sums of squares: (1 + r^2 / (2 a l^2))^-a with a = 1/2.
        ("inverse_multiquadric", RationalQuadratic(alpha=0.5, length_scale=2.0)),
    ],
)
def test_is_the_posterior_mean_of_a_gaussian_process(henon, kernel, same):
    model = KernelAutoregression(n_delays=2, kernel=kernel, length_scale=1.0, ridge=1e-3).fit(henon)
    V = np.hstack([henon[1:-1], henon[:-2]]) / np.tile(henon[:-1].std(axis=0), 2)
    mean = henon[2:].mean(axis=0)
    # Four coordinates: the length of one standard deviation each is sqrt(4) = 2 in all.
    process = GaussianProcessRegressor(same, alpha=1e-3, optimizer=None).fit(V, henon[2:] - mean)
    np.testing.assert_allclose(model.predict(henon)[1:-1], process.predict(V) + mean, rtol=1e-7, atol=1e-9)


def test_a_block_is_predicted_at_once(henon):
    model = KernelAutoregression(n_delays=3, horizon=4, ridge=1e-4).fit(henon)
    assert model.library_.shape == (400 - 3 - 4 + 1, 6)
    assert model.weights_.shape == (len(model.library_), 8)
    path = model.forecast(6, henon[:50])
    again = model.forecast(2, np.concatenate([henon[:50], path[:4]]))
    np.testing.assert_allclose(path[4:], again, rtol=1e-12)


def test_far_from_all_data_it_returns_the_mean(henon):
    model = KernelAutoregression(ridge=1e-3).fit(henon)
    np.testing.assert_allclose(model.predict([[50.0, -50.0]])[0], henon[1:].mean(axis=0), rtol=1e-9)


def test_long_data_are_thinned_evenly(henon):
    whole = KernelAutoregression(n_delays=2, ridge=1e-6).fit(henon)
    thin = KernelAutoregression(n_delays=2, ridge=1e-6, max_windows=100).fit(henon)
    np.testing.assert_array_equal(thin.library_, whole.library_[np.linspace(0, 397, 100).astype(int)])
    assert 0.999 < thin.score(henon) < whole.score(henon)
    enough = KernelAutoregression(n_delays=2, ridge=1e-6, max_windows=398).fit(henon)
    np.testing.assert_array_equal(enough.weights_, whole.weights_)


def test_several_trajectories_and_short_ones(henon):
    model = KernelAutoregression(n_delays=2, horizon=2)
    ids = np.repeat([0, 1, 2], [200, 2, 198])
    assert len(model.fit(henon, trajectory_id=ids).library_) == (200 - 3) + (198 - 3)
    with pytest.raises(ValueError, match=r"needs a trajectory with 31 rows .* got 29 rows"):
        KernelAutoregression(n_delays=2, horizon=30).fit(henon[:30])


def test_says_when_the_kernel_matrix_is_singular(henon):
    with pytest.raises(ValueError, match="singular to working precision; raise ridge or lower length_scale"):
        KernelAutoregression(kernel="gaussian", length_scale=1e4, ridge=1e-300).fit(henon)


def test_mackey_glass_from_one_variable():
    """Casdagli (1989): with few hundred points radial functions beat local linear maps at short horizons."""
    X = MackeyGlass().simulate(1500, dt=6.0, random_state=0)[:, :1]
    train, scale = X[:500], X[:500].std()
    starts = np.arange(600, 1450, 25)
    contexts = np.stack([X[s - 50 : s] for s in starts])
    truth = np.stack([X[s : s + 6] for s in starts])  # 36 units of time

    def error(model):
        return np.sqrt(np.mean((model.fit(train).forecast(6, contexts)[:, -1] - truth[:, -1]) ** 2)) / scale

    ours = error(KernelAutoregression(n_delays=4))
    assert ours < 0.1
    assert error(LocalAnalogues(n_delays=4)) > 1.5 * ours
    assert min(error(Persistence()), error(Climatology())) > 0.7
