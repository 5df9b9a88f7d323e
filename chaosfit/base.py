"""The contract: what every chaosfit estimator can do, and the three engines that do the looping.

An author picks an engine by how the method sees the past and writes its hooks; validation,
trajectories, batching, known inputs, divergence and messages exist only here.

===================  =======================================  =====================================
engine               the method is                            hooks
===================  =======================================  =====================================
`WindowDynamics`     a block of context -> a block of future  `_fit`, `_context_length`, `_forward`
`StepDynamics`       a state carried along                    `_fit`, `_start`, `_step` (`_observe`)
`FlowDynamics`       a right-hand side dx/dt = f(x)           `_fit`, `_rhs`
===================  =======================================  =====================================

Hooks receive float64 arrays that have been checked. `predict` and `forecast` follow from the same
hooks, so they cannot disagree.
"""

from __future__ import annotations

import dataclasses
import warnings
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags as SklearnTags
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from chaosfit.numerics import delay
from chaosfit.numerics.integrate import integrate_batch, integrate_driven
from chaosfit.validation import (
    Trajectory,
    check_context,
    check_future_inputs,
    check_inputs,
    check_n_steps,
    check_states,
    split_trajectories,
    warn_constant_columns,
)

#: A roll-out is lost when it leaves the largest training value this many times over.
DIVERGENCE_FACTOR = 1e3

#: Rows that one call of a window hook sees at most, so that memory stays bounded in `predict`.
_CHUNK = 8192


@dataclasses.dataclass(slots=True)
class DynamicsTags:
    """What the outside cannot see from the methods that a class has.

    Attributes
    ----------
    markov : bool
        The prediction for a row depends on that row alone, so rows may be shuffled.
    control : bool
        `fit` accepts known inputs `u`.
    """

    markov: bool = True
    control: bool = False


@dataclasses.dataclass(slots=True)
class Tags(SklearnTags):
    """scikit-learn's tags and one more field, `dynamics_tags`."""

    dynamics_tags: DynamicsTags | None = None


class BaseDynamics(RegressorMixin, BaseEstimator):
    """A model of x[t+1] = F(x[t], x[t-1], ..., u[t]) with the scikit-learn interface.

    Do not subclass this directly: choose `StepDynamics`, `FlowDynamics` or `WindowDynamics`.

    Attributes
    ----------
    n_features_in_, n_outputs_, n_inputs_ : int
        Numbers d of variables, m of outputs and p of known inputs.
    context_ : ndarray of shape (n_rows, d)
        The end of the (last) training trajectory: where `forecast` starts by default.
    bound_ : float
        A roll-out beyond this absolute value counts as diverged.
    """

    # The version of this contract; the registry compares it with a plugin's.
    chaosfit_api: ClassVar[tuple[int, int]] = (1, 0)
    _parameter_constraints: ClassVar[dict] = {}
    #: Whether `fit` takes known inputs, and whether earlier ones still matter when a forecast starts.
    _accepts_inputs: ClassVar[bool] = False
    _remembers_inputs: ClassVar[bool] = False
    #: Whether a row may be much longer than there are rows, as fields on a fine grid are.
    _rows_may_be_wide: ClassVar[bool] = False
    _doc_link_module = "chaosfit"
    _doc_link_template = ""

    # ------------------------------------------------------------------ hooks
    @abstractmethod
    def _fit(self, trajectories: list[Trajectory]) -> None:
        """Learn; set attributes that end in an underscore."""

    def _context_length(self) -> int:
        """Return the number L of rows without which no forecast can start, before and after fit."""
        return 1

    def _kept_rows(self) -> int | None:
        """Return how many training rows determine the state at their end; None means all."""
        return self._context_length()

    def _history_length(self) -> int:
        """Return how many rows a prediction needs before it for its full quality; `score` starts there."""
        return self._context_length()

    def _is_markov(self) -> bool:
        return self._context_length() == 1

    @abstractmethod
    def _teacher_forced(self, X: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """One-step outputs (n, m) for all rows of one trajectory (n, d)."""

    @abstractmethod
    def _free_run(self, context: np.ndarray, n_steps: int, u: np.ndarray | None) -> np.ndarray:
        """Roll out (B, h, d) from contexts (B, L', d); u is (B, L' - 1 + h, p) or None."""

    @classmethod
    def get_test_params(cls) -> list[dict]:
        """Parameter sets with which the contract checks run; contexts must fit into 9 rows."""
        return [{}]

    # ------------------------------------------------------------------ fit
    def fit(self, X, y=None, *, trajectory_id=None, u=None):
        """Learn the dynamics from one or several trajectories.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Consecutive, equally spaced states, one row a time.
        y : array-like of shape (n,) or (n, m), optional
            Target of every row. By default the next row: X[t] -> X[t+1].
        trajectory_id : array-like of shape (n,), optional
            Label of the trajectory that a row belongs to; equal labels form one block.
            No transition between two blocks is learned.
        u : array-like of shape (n, p), optional
            Known inputs (control, exogenous): x[t+1] = F(x[t], u[t]).

        Returns
        -------
        self
        """
        self._validate_params()
        self._forget()
        self_supervised = y is None
        context_length = self._context_length()
        min_rows = context_length + int(self_supervised)
        X, y = check_states(self, X, y, reset=True, min_rows=max(min_rows, 2))
        if u is not None and not self._accepts_inputs:
            raise ValueError(f"{type(self).__name__} cannot use known inputs; leave u out.")
        u = check_inputs(self, u, len(X))
        warn_constant_columns(X, self)
        targets = None if self_supervised else y.reshape(len(y), -1)
        slices = split_trajectories(len(X), trajectory_id)
        long_enough = [s for s in slices if s.stop - s.start >= min_rows]
        if not long_enough:
            raise ValueError(
                f"every trajectory is shorter than the {min_rows} rows that {type(self).__name__} needs; "
                f"the longest of {len(slices)} has {max(s.stop - s.start for s in slices)}."
            )

        self.n_outputs_ = X.shape[1] if self_supervised else targets.shape[1]
        self.n_inputs_ = 0 if u is None else u.shape[1]
        self.bound_ = DIVERGENCE_FACTOR * (max(float(X.max()), -float(X.min())) or 1.0)
        self._self_supervised = self_supervised
        self._flat_output = not self_supervised and y.ndim == 1
        self._fit([_trajectory(X, targets, u, s) for s in long_enough])
        # What was chosen in `_fit` (an embedding) may need more rows than could be known before.
        ready = [s for s in long_enough if s.stop - s.start >= self._context_length()]
        self._keep_context(X, u, (ready or long_enough)[-1])
        return self

    def _forget(self) -> None:
        """Drop what an earlier fit left, so that parameters alone decide and an interrupted fit is no fit."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("__")]:
            delattr(self, name)

    def _keep_context(self, X, u, last: slice) -> None:
        kept = self._kept_rows()
        start = last.start if kept is None else max(last.start, last.stop - kept)
        self.context_ = X[start : last.stop].copy()
        self._context_inputs = None if u is None else u[start : last.stop].copy()

    # ------------------------------------------------------------------ use
    def predict(self, X, *, trajectory_id=None, u=None):
        """Predict one step ahead from every row.

        The first rows of a trajectory lack history: it is filled by repeating the first row.

        Parameters
        ----------
        X : array-like of shape (n, d)
        trajectory_id : array-like of shape (n,), optional
        u : array-like of shape (n, p), optional

        Returns
        -------
        ndarray of shape (n, d), or the shape of the `y` given to `fit`
            Row t depends on rows up to t of its own trajectory only.
        """
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        u = check_inputs(self, u, len(X), n_inputs=self.n_inputs_)
        parts = [
            self._teacher_forced(X[s], None if u is None else u[s]) for s in split_trajectories(len(X), trajectory_id)
        ]
        outputs = np.concatenate(parts)
        return outputs[:, 0] if self._flat_output else outputs

    def forecast(self, n_steps: int, context=None, *, u=None):
        """Run the model on its own output.

        Parameters
        ----------
        n_steps : int
            Number h >= 1 of steps.
        context : array-like of shape (L', d) or (B, L', d), optional
            States up to the start; a batch is rolled out together. Default: the end of the training data.
        u : array-like of shape (h, p), (L' - 1 + h, p) or with a leading batch axis, optional
            Known inputs: the row that acts at the last context row, and the h - 1 after it.
            A method that remembers needs those along the context, too.

        Returns
        -------
        ndarray of shape (h, d) or (B, h, d)
            NaN from where a roll-out diverged (with one RuntimeWarning), never an exception.
        """
        context, batch, u = self._prepare_forecast(n_steps, context, u)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            path = self._free_run(context, int(n_steps), u)
        path = self._mask_divergence(path)
        return path if batch else path[0]

    def score(self, X, y=None, sample_weight=None, *, trajectory_id=None, u=None) -> float:
        """Return the R2 of the one-step predictions.

        Rows without full history are left out, at most half of a trajectory.
        """
        check_is_fitted(self)
        if y is not None:
            prediction = self.predict(X, trajectory_id=trajectory_id, u=u)
            return float(r2_score(y, prediction, sample_weight=sample_weight))
        X, _ = check_states(self, X, reset=False, min_rows=self._context_length() + 1)
        check_consistent_length(X, sample_weight)
        prediction = self.predict(X, trajectory_id=trajectory_id, u=u)
        if prediction.shape != X.shape:
            raise ValueError(f"{type(self).__name__} was fitted with y: pass y to score, too.")
        rows = np.concatenate([self._scored_rows(s) for s in split_trajectories(len(X), trajectory_id)])
        if not len(rows):
            raise ValueError("no trajectory has a row that could be predicted and the row after it.")
        weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
        return float(r2_score(X[rows + 1], prediction[rows], sample_weight=weight))

    # ------------------------------------------------------------------ inside
    def _scored_rows(self, trajectory: slice) -> np.ndarray:
        """Rows of a trajectory that have enough history before and a row after them."""
        longest = max(self._context_length() - 1, (trajectory.stop - trajectory.start) // 2)
        first = min(self._history_length() - 1, longest)
        return np.arange(trajectory.start + first, trajectory.stop - 1)

    def _prepare_forecast(self, n_steps, context, u):
        """Validate; return context (B, L', d), whether it was a batch, and u (B, L' - 1 + h, p)."""
        check_is_fitted(self)
        n_steps = check_n_steps(n_steps)
        if self.n_outputs_ != self.n_features_in_:
            raise ValueError(
                f"forecast needs a model of the state itself, but {type(self).__name__} was fitted with "
                f"n_outputs={self.n_outputs_} for n_features={self.n_features_in_}. Fit it without y."
            )
        past = None
        if context is None:
            context, batch, past = self.context_[np.newaxis], False, self._context_inputs
        else:
            context, batch = check_context(self, context, self._context_length())
        return context, batch, self._prepare_inputs(u, n_steps, context, past)

    def _prepare_inputs(self, u, n_steps: int, context: np.ndarray, past: np.ndarray | None):
        if u is None and not self.n_inputs_:
            return None
        n_batch, n_rows, _ = context.shape
        if u is None or not self.n_inputs_:
            check_inputs(self, u, n_steps, n_inputs=self.n_inputs_)
        u = check_future_inputs(self, u, n_batch)
        whole = n_rows - 1 + n_steps
        if u.shape[-2] == n_steps and n_rows > 1:
            if past is None and self._remembers_inputs:
                raise ValueError(
                    f"u must hold {whole} rows: {type(self).__name__} remembers, so give the inputs along the "
                    f"{n_rows} rows of context, too, then those of the n_steps={n_steps} steps."
                )
            before = u[..., :1, :].repeat(n_rows - 1, axis=-2) if past is None else past[:-1]
            u = np.concatenate([np.broadcast_to(before, (*u.shape[:-2], n_rows - 1, u.shape[-1])), u], axis=-2)
        if u.shape[-2] != whole:
            with_context = f" (or {whole} with the context)" if n_rows > 1 else ""
            raise ValueError(f"u must hold n_steps={n_steps} rows{with_context}, got {u.shape[-2]}.")
        return np.broadcast_to(u, (n_batch, whole, self.n_inputs_))

    def _mask_divergence(self, path: np.ndarray) -> np.ndarray:
        """Write NaN from the first lost step on and warn once."""
        lost = _lost(path, self.bound_)
        if not lost.any():
            return path
        lost = np.logical_or.accumulate(lost, axis=1)
        first = int(np.argmax(lost.any(axis=0))) + 1
        warnings.warn(
            f"{type(self).__name__}: {int(lost[:, -1].sum())} of {len(path)} forecast(s) diverged, the first at "
            f"step {first}; values from there on are NaN.",
            RuntimeWarning,
            stacklevel=3,
        )
        return np.where(lost[:, :, np.newaxis], np.nan, path)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "context_")  # set last: a fit that failed half-way is no fit

    def __sklearn_tags__(self) -> Tags:
        base = super().__sklearn_tags__()
        tags = Tags(**{field.name: getattr(base, field.name) for field in dataclasses.fields(base)})
        tags.target_tags.required = False
        tags.target_tags.multi_output = True
        tags.dynamics_tags = DynamicsTags(markov=self._is_markov(), control=self._accepts_inputs)
        return tags


def _trajectory(X, targets, u, rows: slice) -> Trajectory:
    """Cut one trajectory out of the stacked rows; without targets, pair each row with the next."""
    states = X[rows]
    u = None if u is None else u[rows]
    if targets is not None:
        return Trajectory(states, targets[rows], u, states)
    return Trajectory(states[:-1], states[1:], None if u is None else u[:-1], states)


def _lost(states: np.ndarray, bound: float) -> np.ndarray:
    """Whether a state (..., d) is non-finite or beyond the bound (NaN compares False)."""
    return ~(np.abs(states).max(axis=-1) <= bound)


class WindowDynamics(BaseDynamics):
    """Engine for methods that map the last L rows to the next k rows.

    A memoryless map has L = 1 and k = 1; a lag regression L > 1; a direct multi-step network k > 1.
    """

    def _block_length(self) -> int:
        """Return the number k of rows that one call of `_forward` yields."""
        return 1

    @abstractmethod
    def _forward(self, windows: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """Map windows (N, L, d), oldest row first, and inputs u (N, k, p) or None to (N, k, m)."""

    def _training_windows(self, trajectories: list[Trajectory]):
        """Stack every full window (N, L, d) with its target (N, m) and input (N, p) or None."""
        first = self._context_length() - 1
        windows = np.concatenate([delay.windows(t.X, first + 1) for t in trajectories])
        targets = np.concatenate([t.Y[first:] for t in trajectories])
        u = [t.u[first:] for t in trajectories if t.u is not None]
        return windows, targets, np.concatenate(u) if u else None

    def _teacher_forced(self, X, u):
        length, block = self._context_length(), self._block_length()
        padded = np.concatenate([np.repeat(X[:1], length - 1, axis=0), X])
        windows = delay.windows(padded, length)
        if u is not None:
            u = delay.windows(np.concatenate([u, np.repeat(u[-1:], block - 1, axis=0)]), block)
        outputs = [
            self._forward(windows[i : i + _CHUNK], None if u is None else u[i : i + _CHUNK])[:, 0]
            for i in range(0, len(X), _CHUNK)
        ]
        return np.concatenate(outputs)

    def _free_run(self, context, n_steps, u):
        length, block = self._context_length(), self._block_length()
        context = context[:, -length:]
        n_batch, _, n_dims = context.shape
        n_blocks = -(-n_steps // block)
        path = np.empty((n_batch, length + n_blocks * block, n_dims))
        path[:, :length] = context
        if u is not None:
            u = u[:, -n_steps:]
            u = np.concatenate([u, np.repeat(u[:, -1:], n_blocks * block - n_steps, axis=1)], axis=1)
        lost_from = np.full(n_batch, n_steps)
        for start in range(0, n_blocks * block, block):
            window = path[:, start : start + length]
            future = path[:, length + start : length + start + block]
            future[:] = self._forward(window, None if u is None else u[:, start : start + block])
            lost = _lost(future, self.bound_)
            if lost.any():
                rows = lost.any(axis=1)
                lost_from[rows] = np.minimum(lost_from[rows], start + lost[rows].argmax(axis=1))
                if (lost_from < n_steps).all():
                    break
                # A lost row goes on from its context, so that the hook never meets infinities.
                future[lost] = np.broadcast_to(context[:, -1:], future.shape)[lost]
        path = path[:, length : length + n_steps]
        path[np.arange(n_steps) >= lost_from[:, np.newaxis]] = np.nan
        return path


class StepDynamics(BaseDynamics):
    """Engine for methods that carry a state: reservoirs, recurrent networks, operators, filters.

    The state is a value that the hooks take and return, never something left on the object.
    """

    _remembers_inputs = True

    @abstractmethod
    def _start(self, n_batch: int) -> Any:
        """Return the state before the first row, for `n_batch` trajectories side by side."""

    @abstractmethod
    def _step(self, state: Any, x: np.ndarray, u: np.ndarray | None) -> tuple[Any, np.ndarray]:
        """Absorb the observed x (B, d) and u (B, p); return the new state and the output (B, m)."""

    def _free_step(self, state: Any, y: np.ndarray, u: np.ndarray | None) -> tuple[Any, np.ndarray]:
        """Advance without an observation; y (B, d) is the last output. Default: absorb it."""
        return self._step(state, y, u)

    def _observe(self, X: np.ndarray, u: np.ndarray | None) -> tuple[np.ndarray, Any]:
        """Absorb X (B, T, d); return the output after each row (B, T, m) and the last state.

        Override it where the rows can be treated faster than one by one.
        """
        state = self._start(len(X))
        outputs = []
        for t in range(X.shape[1]):
            state, y = self._step(state, X[:, t], None if u is None else u[:, t])
            outputs.append(y)
        return np.stack(outputs, axis=1), state

    def _kept_rows(self):
        return None

    def _is_markov(self):
        return False

    def _teacher_forced(self, X, u):
        return self._observe(X[np.newaxis], None if u is None else u[np.newaxis])[0][0]

    def _free_run(self, context, n_steps, u):
        n_past = context.shape[1]
        outputs, state = self._observe(context, None if u is None else u[:, :n_past])
        y = outputs[:, -1]
        path = np.full((len(context), n_steps, context.shape[2]), np.nan)
        alive = np.ones(len(context), dtype=bool)
        for step in range(n_steps):
            lost = _lost(y, self.bound_)
            if lost.any():
                alive &= ~lost
                if not alive.any():
                    break
                y = np.where(alive[:, np.newaxis], y, context[:, -1])
            path[alive, step] = y[alive]
            if step + 1 < n_steps:
                state, y = self._free_step(state, y, None if u is None else u[:, n_past + step])
        return path


class FlowDynamics(BaseDynamics):
    """Engine for methods that learn a right-hand side dx/dt = f(x, u) and integrate it.

    Subclasses have a constructor parameter `dt`, the time between two rows. When `fit` was given `y`,
    the learned function is that map X[t] -> y[t] itself and nothing is integrated (`_is_map`).
    """

    _tolerance: ClassVar[float] = 1e-10

    @abstractmethod
    def _rhs(self, X: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """Evaluate f for rows X (N, d) and inputs u (N, p) or None; shape (N, d)."""

    def _is_map(self) -> bool:
        """Whether f gives the output itself instead of dx/dt."""
        return not self._self_supervised

    def _teacher_forced(self, X, u):
        if self._is_map():
            return self._rhs(X, u)
        path = self._integrate(X, 1, None if u is None else u[:, np.newaxis])
        # predict is never NaN: a row from which the flow escapes at once keeps its value.
        return np.where(np.isfinite(path[:, 0]), path[:, 0], X)

    def _free_run(self, context, n_steps, u):
        x = context[:, -1]
        u = None if u is None else u[:, -n_steps:]
        if not self._is_map():
            return self._integrate(x, n_steps, u)
        path = np.full((len(x), n_steps, x.shape[1]), np.nan)
        for step in range(n_steps):
            x = self._rhs(x, None if u is None else u[:, step])
            x = np.where(_lost(x, self.bound_)[:, np.newaxis], np.nan, x)
            path[:, step] = x
        return path

    def _integrate(self, x0, n_steps, u):
        scale = self.bound_ / DIVERGENCE_FACTOR
        options = {"rtol": self._tolerance, "atol": self._tolerance * scale, "bound": self.bound_}
        if u is not None:
            return integrate_driven(self._rhs, x0, u, self.dt, **options)
        times = self.dt * np.arange(n_steps + 1)
        return integrate_batch(lambda x: self._rhs(x, None), x0, times, **options)[:, 1:]


class SamplesMixin(BaseDynamics):
    """Adds `forecast_samples` to an estimator that can draw futures; put it left of the engine."""

    random_state: Any

    @abstractmethod
    def _sample_run(
        self,
        context: np.ndarray,
        n_steps: int,
        n_samples: int,
        rng: np.random.RandomState,
        u: np.ndarray | None,
    ) -> np.ndarray:
        """Draw futures (S, B, h, d) from contexts (B, L', d); u is as in `_free_run`."""

    def forecast_samples(self, n_steps: int, context=None, *, n_samples: int = 100, u=None):
        """Draw possible futures, seeded by `random_state`.

        Parameters
        ----------
        n_steps : int
            Number h >= 1 of steps.
        context : array-like of shape (L', d) or (B, L', d), optional
            States up to the start. Default: the end of the training data.
        n_samples : int, default=100
            Number S of futures.
        u : array-like, optional
            Known inputs as in `forecast`.

        Returns
        -------
        ndarray of shape (S, h, d) or (S, B, h, d)
        """
        context, batch, u = self._prepare_forecast(n_steps, context, u)
        if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer >= 1, got {n_samples!r}.")
        rng = check_random_state(self.random_state)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            paths = self._sample_run(context, int(n_steps), int(n_samples), rng, u)
        shape = paths.shape
        paths = self._mask_divergence(paths.reshape(-1, *shape[2:])).reshape(shape)
        return paths if batch else paths[:, 0]
