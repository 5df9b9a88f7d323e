"""The contract of the three engines, beyond what the public checks cover."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chaosfit.base import FlowDynamics, StepDynamics, WindowDynamics
from chaosfit.testing import check_dynamics, rotation


class Blocks(WindowDynamics):
    """Persistence by blocks of three rows, with the input added; records the shapes it is given."""

    _accepts_inputs = True

    def _fit(self, trajectories):
        self.seen_ = [(t.X.shape, t.Y.shape, None if t.u is None else t.u.shape) for t in trajectories]

    def _context_length(self):
        return 2

    def _block_length(self):
        return 3

    def _forward(self, windows, u):
        future = np.repeat(windows[:, -1:], 3, axis=1)
        return future if u is None else future + np.cumsum(u, axis=1)


class RunningMean(StepDynamics):
    """Predicts the mean of all it has absorbed, inputs included: every past row matters."""

    _accepts_inputs = True

    def _fit(self, trajectories):
        self.fitted_ = True

    def _start(self, n_batch):
        return np.zeros((n_batch, 1)), 0

    def _step(self, state, x, u):
        total, count = state
        total = total + x + (0.0 if u is None else u)
        return (total, count + 1), total / (count + 1)


class Decay(FlowDynamics):
    """dx/dt = -x + u."""

    _accepts_inputs = True

    def __init__(self, dt=0.1):
        self.dt = dt

    def _fit(self, trajectories):
        self.fitted_ = True

    def _rhs(self, X, u):
        return -X if u is None else -X + u


class Squaring(WindowDynamics):
    def _fit(self, trajectories):
        self.fitted_ = True

    def _forward(self, windows, u):
        return windows[:, -1:] ** 2


def test_blocks_are_cut_to_the_horizon():
    X = rotation(50)
    model = Blocks().fit(X)
    for n_steps in (1, 3, 4, 7):
        assert model.forecast(n_steps).shape == (n_steps, 2)
    np.testing.assert_array_equal(model.forecast(7), np.tile(X[-1], (7, 1)))


def test_blocks_see_the_inputs_of_their_rows():
    X = np.zeros((10, 1))
    model = Blocks().fit(X + np.arange(10)[:, None], u=np.ones(10))
    path = model.forecast(5, X, u=[1, 10, 100, 1000, 2000])
    np.testing.assert_array_equal(path[:, 0], [1, 11, 111, 1111, 3111])


def test_a_block_that_is_lost_half_way_keeps_its_first_half():
    model = Blocks().fit(np.arange(10.0)[:, None], u=np.ones(10))  # bound 9000
    contexts = np.zeros((2, 3, 1))
    u = np.array([[1, 10, 1e4, 1, 1], [1, 1, 1, 1, 1]])[:, :, None]
    with pytest.warns(RuntimeWarning, match="1 of 2 .* step 3"):
        path = model.forecast(5, contexts, u=u)[..., 0]
    np.testing.assert_array_equal(path, [[1, 11, np.nan, np.nan, np.nan], [1, 2, 3, 4, 5]])


def test_state_starts_anew_for_every_trajectory():
    X = np.arange(6.0)[:, None]
    model = RunningMean().fit(X)
    ids = [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(model.predict(X, trajectory_id=ids)[:, 0], [0, 0.5, 1, 3, 3.5, 4])


def test_a_state_needs_the_inputs_along_a_given_context():
    X = np.arange(8.0)[:, None]
    u = np.ones((8, 1))
    model = RunningMean().fit(X, u=u)
    with pytest.raises(ValueError, match="u must hold 10 rows: RunningMean remembers"):
        model.forecast(3, X, u=np.ones((3, 1)))
    whole = model.forecast(3, X, u=np.ones((10, 1)))
    np.testing.assert_allclose(model.forecast(3, u=np.ones((3, 1))), whole)


def test_flow_is_integrated_exactly():
    X = np.exp(-0.1 * np.arange(20))[:, None]
    model = Decay(dt=0.1).fit(X)
    np.testing.assert_allclose(model.predict(X)[:-1], X[1:], rtol=1e-9)
    np.testing.assert_allclose(model.forecast(5)[:, 0], np.exp(-0.1 * np.arange(20, 25)), rtol=1e-9)


def test_flow_holds_its_input_over_a_step():
    X = np.linspace(1, 2, 10)[:, None]
    model = Decay(dt=0.5).fit(X, u=np.zeros(10))
    path = model.forecast(2, np.array([[0.0]]), u=[1.0, 0.0])
    first = 1 - np.exp(-0.5)
    np.testing.assert_allclose(path[:, 0], [first, first * np.exp(-0.5)], rtol=1e-9)


def test_divergence_is_nan_from_its_step_with_one_warning():
    X = np.linspace(-1.5, 1.5, 20)[:, None]
    model = Squaring().fit(X)  # bound 1500: 2 -> 4 -> 16 -> 256 -> lost
    contexts = np.array([[[2.0]], [[0.5]]])
    with pytest.warns(RuntimeWarning, match=r"Squaring: 1 of 2 forecast\(s\) diverged, the first at step 4") as caught:
        path = model.forecast(6, contexts)
    assert len(caught) == 1
    np.testing.assert_array_equal(path[0, :3, 0], [4, 16, 256])
    assert np.isnan(path[0, 3:]).all()
    np.testing.assert_allclose(path[1, :, 0], 0.5 ** (2.0 ** np.arange(1, 7)))


def test_several_trajectories_reach_the_hook_apart():
    X = rotation(30)
    model = Blocks().fit(X, trajectory_id=[0] * 10 + [5] * 19 + [7], u=np.zeros((30, 4)))
    assert model.seen_ == [((9, 2), (9, 2), (9, 4)), ((18, 2), (18, 2), (18, 4))]  # one row holds no transition
    np.testing.assert_array_equal(model.context_, X[27:29])
    with pytest.raises(ValueError, match="every trajectory is shorter than the 3 rows that Blocks needs"):
        Blocks().fit(X, trajectory_id=np.arange(30) // 2)


def test_forecasts_of_foreign_outputs_are_refused():
    X = rotation(30)
    model = Blocks().fit(X, X[:, :1])
    with pytest.raises(ValueError, match="n_outputs=1 for n_features=2. Fit it without y"):
        model.forecast(3)
    with pytest.raises(ValueError, match="pass y to score"):
        Scalar().fit(X, X[:, 0]).score(X)


class Scalar(Blocks):
    def _forward(self, windows, u):
        return super()._forward(windows, u)[..., :1]


@pytest.mark.parametrize(
    ("u", "message"),
    [
        (None, "was fitted with 1 known input"),
        (np.ones((5, 1)), r"u must hold n_steps=3 rows \(or 4 with the context\), got 5"),
        (np.ones((3, 2)), r"u has shape \(3, 2\), but Blocks was fitted with 1 known"),
        (np.full((3, 1), np.nan), "Input u contains NaN: .* row 0"),
        (np.ones((2, 3, 1)), "u has batch size 2, but the context has 1"),
        (3.0, r"u must hold n_steps=3 rows \(or 4 with the context\), got 1"),
    ],
)
def test_bad_future_inputs(u, message):
    X = rotation(30)
    model = Blocks().fit(X, u=np.ones(30))
    with pytest.raises(ValueError, match=message):
        model.forecast(3, u=u)


def test_inputs_unknown_at_fit_are_refused():
    X = rotation(30)
    with pytest.raises(ValueError, match="was fitted without known inputs"):
        Blocks().fit(X).forecast(3, u=np.ones(3))
    with pytest.raises(ValueError, match="Squaring cannot use known inputs"):
        Squaring().fit(X, u=np.ones(30))
    with pytest.raises(ValueError, match="u must hold one row for each of the 30 rows of X, got 7"):
        Blocks().fit(X, u=np.ones(7))


def test_orientation_and_constant_columns_are_noticed():
    X = rotation(30)
    with pytest.warns(UserWarning, match="did you mean X.T?"):
        Blocks().fit(X.T[:, :5].repeat(2, axis=0))
    with pytest.raises(ValueError, match=r"X has 30 features.*did you mean X.T\?"):
        Blocks().fit(X).predict(X.T)
    with pytest.warns(UserWarning, match=r"column\(s\) \[1\] of X are constant"):
        Blocks().fit(np.column_stack([X[:, 0], np.ones(30)]))
    with pytest.raises(ValueError, match="minimum of 3 is required"):
        Blocks().fit(X[:2])
    with pytest.raises(ValueError, match=r"X has shape \(2, 300\) .* did you mean X.T\?"):
        Blocks().fit(rotation(300).T)


def test_a_failed_fit_leaves_no_half_fitted_model():
    model = Squaring().fit(rotation(30))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((30, 2), np.nan))
    with pytest.raises(NotFittedError):
        model.forecast(3)
    model.fit(rotation(30))
    with pytest.raises(ValueError, match="cannot use known inputs"):
        model.fit(rotation(30), u=np.ones(30))
    with pytest.raises(NotFittedError):
        model.predict(rotation(30))
    with pytest.raises(ValueError, match="no trajectory has a row that could be predicted"):
        model.fit(rotation(30)).score(rotation(30), trajectory_id=np.arange(30))


def test_weights_belong_to_rows():
    X = rotation(30)
    model = Squaring().fit(X)
    first_half = np.arange(30) < 15
    assert model.score(X, sample_weight=first_half) == pytest.approx(model.score(X[:16]))
    for n_weights in (29, 31):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            model.score(X, sample_weight=np.ones(n_weights))


def test_cross_validation_without_y():
    X = rotation(200)
    search = GridSearchCV(Decay(), {"dt": [0.01, 0.1]}, cv=TimeSeriesSplit(3)).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_trajectories_are_routed_like_any_metadata():
    X, ids = rotation(90), np.repeat([0, 1, 2], 30)
    with sklearn.config_context(enable_metadata_routing=True):
        model = Decay().set_fit_request(trajectory_id=True).set_score_request(trajectory_id=True)
        search = GridSearchCV(model, {"dt": [0.01, 0.1]}, cv=GroupKFold(3))
        search.fit(X, trajectory_id=ids, groups=ids)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_pipeline_with_targets_is_an_ordinary_regressor():
    X = rotation(100)
    pipeline = make_pipeline(StandardScaler(), Squaring()).fit(X[:-1], X[1:])
    assert pipeline.predict(X).shape == X.shape


def test_the_engines_keep_the_contract():
    assert {r.status for r in check_dynamics(clone(Decay()), raise_error=False) if "skill" not in r.name} >= {"passed"}


def test_batched_inputs():
    X = rotation(30)
    model = Blocks().fit(X, u=np.ones(30))
    u = np.random.default_rng(0).standard_normal((2, 4, 1))
    contexts = np.stack([X[:5], X[5:10]])
    batch = model.forecast(4, contexts, u=u)
    np.testing.assert_array_equal(batch, np.stack([model.forecast(4, contexts[i], u=u[i]) for i in range(2)]))
