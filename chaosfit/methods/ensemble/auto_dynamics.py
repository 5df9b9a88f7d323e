"""For a user with no opinion: try many methods, keep those that run freely best, and take their median."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from chaosfit import registry
from chaosfit.base import BaseDynamics
from chaosfit.validation import Interval, Trajectory, check_states, split_trajectories, stack_trajectories

#: Each trajectory is cut into so many blocks; every block but the first, which has no past, is held out once.
_N_BLOCKS = 5
#: Origins in a block: fewer where every one of them tests several variables.
_MOST_ORIGINS, _LEAST_ORIGINS = 8, 3
#: Longest free run in validation: on long series the error has saturated by then.
_LONGEST_RUN = 250
_LONGEST_CONTEXT = 1000
_N_MEMBERS = 7
#: A member's error may exceed the best one's by this factor, and by this much where the best is nearly perfect.
_TOLERANCE, _SLACK = 2.0, 0.02
_MOST_FEATURES = 600
#: Choosing among more terms takes seconds.
_MOST_TERMS = 50

#: A kernel matrix of more rows takes seconds.
_MOST_KERNEL_ROWS = 1500

# (n_delays, span): delay vectors of kernel regressions, as long as so many periods of the series.
_SHAPES = ((15, 1.0), (8, 0.6), (25, 1.3), (8, 0.25), (4, 0.4))
# (kernel, length_scale, ridge, horizon in periods or None for one step), in tiers as below.
_KERNELS = (
    (("matern", 1.0, 1e-5, None), ("inverse_multiquadric", 1.0, 1e-4, None), ("matern", 1.0, 1e-2, None)),
    (
        ("matern", 1.0, 1e-7, None),
        ("matern", 3.0, 1e-2, None),
        ("inverse_multiquadric", 1.0, 0.1, None),
        ("matern", 1.0, 0.03, 0.25),
        ("gaussian", 1.0, 1e-6, None),
    ),
)
# (n_delays, n_neighbors, ridge, lags) and (n_delays, degree, ridge, lags), in the order in which they are tried:
# first two tiers that cover clean and noisy, finely and coarsely sampled scalar series, then their neighbours.
_ANALOGUES = (
    ((16, 8, 0.1, (10, 5, 2, 1)), (4, 12, 1e-4, (10, 4, 1)), (5, 6, 1e-2, (2, 1, 4))),
    (
        (10, 30, 1e-2, (10, 5, 2, 20)),
        (6, 20, 1e-3, (10, 5, 2, 20)),
        (10, 8, 0.1, (7, 11, 4)),
        (25, 8, 0.3, (4, 7, 1)),
        (12, 60, 0.1, (1, 6, 12)),
        (8, 6, 1e-2, (1, 3)),
    ),
)
_POLYNOMIALS = (
    ((4, 3, 1e-6, (4, 7, 1)), (6, 3, 1e-4, (11, 7, 4)), (5, 2, 1e-6, (1, 2)), (16, 2, 100.0, (4, 1, 11))),
    (
        (8, 3, 1e-2, (16, 11, 7, 2)),
        (5, 3, 0.1, (2, 1)),
        (4, 3, 1e-6, (25, 16, 2)),
        (10, 2, 1e-4, (2, 7, 16)),
        (25, 1, 1.0, (1, 4)),
        (10, 2, 10.0, (2, 16)),
    ),
)


class AutoDynamics(MetaEstimatorMixin, BaseDynamics):
    """The median of the methods that forecast held-out parts of the training data best.

    x[t+h] = median over the members m of F_m^h(x[t], x[t-1], ...), every member running on its own output.

    Candidates are compared by free runs: each trajectory is cut into five blocks, every block but the first is held
    out once, and the error e = mean over steps and variables of min(1, |forecast - truth| / standard deviation) is
    averaged over three (of one variable eight) origins a block. Members are at most the seven best candidates whose
    error is below twice the smallest (plus 0.02), refitted on all data.

    Parameters
    ----------
    candidates : list of dynamics estimators, default=None
        Tried in this order. None: a floor (the mean, persistence, `ContextParroting`), linear autoregressions,
        `KernelAutoregression` (on at most 1500 delay vectors), `LocalAnalogues` and `NGRC` over delays, lags, degrees
        and penalties, and with several variables `SINDy` (up to 50 terms), those that have proved good first.
    budget : float, default=10.0
        CPU seconds > 0 that `fit` may take; at least one candidate is tried. A candidate or the final fit may exceed
        it. Infinite: all candidates are tried, and the result depends on data and parameters only.
    random_state : int, RandomState or None, default=None
        Seeds the candidates whose own `random_state` is None.

    Attributes
    ----------
    best_estimators_ : list of fitted estimators
        The members, best first.
    validation_table_ : list of dict
        One row a candidate tried, ready for `pandas.DataFrame`: "estimator" (unfitted), "error" e (a lower bound if
        not "complete": the candidate was abandoned when it could not become a member any more), "complete",
        "seconds", "failure" (empty, or why it could not be used) and "chosen".

    Notes
    -----
    With targets `y` other than the next state there is no free run; candidates are compared by their predictions.

    Validation holds out the middle of the series, too: it assumes that the dynamics does not change along it.
    The members' context must fit into one fifth of a trajectory; members whose context is longer than the one given to
    `forecast` do not take part in that forecast. Where members have lost each other, their median settles in the
    middle: the better forecast, but no motion of the system; for a long free run take `best_estimators_[0]`. Nothing
    is tuned beyond the list of candidates.

    References
    ----------
    Gilpin, Chaos as an interpretable benchmark for forecasting and data-driven modelling (2021), arXiv:2110.05266
    Farmer and Sidorowich, Phys. Rev. Lett. 59, 845 (1987), doi:10.1103/PhysRevLett.59.845

    Examples
    --------
    >>> from chaosfit import NGRC, Henon, Persistence
    >>> from chaosfit.methods.ensemble.auto_dynamics import AutoDynamics
    >>> X = Henon().simulate(400, random_state=0)
    >>> model = AutoDynamics([Persistence(), NGRC(n_delays=1, ridge=1e-9)]).fit(X)
    >>> model.best_estimators_
    [NGRC(n_delays=1, ridge=1e-09)]
    """

    _parameter_constraints: ClassVar[dict] = {
        "candidates": [list, tuple, None],
        "budget": [Interval(Real, 0, None, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(self, candidates=None, budget=10.0, random_state=None):
        self.candidates = candidates
        self.budget = budget
        self.random_state = random_state

    def _members(self) -> list[BaseDynamics]:
        return getattr(self, "best_estimators_", [])

    def _context_length(self):
        # Before fit: what is needed to hold a block out.
        return min((member._context_length() for member in self._members()), default=_N_BLOCKS)

    def _history_length(self):
        return max(member._history_length() for member in self._members())

    def _kept_rows(self):
        kept = [member._kept_rows() for member in self._members()]
        return None if None in kept else max(kept)

    def _is_markov(self):
        return False

    def _fit(self, trajectories: list[Trajectory]) -> None:
        start = time.process_time()
        pieces = [(t.states, None if self._self_supervised else t.Y) for t in trajectories]
        folds = [_fold(pieces, block) for block in reversed(range(1, _N_BLOCKS))]
        self.validation_table_: list[dict] = []
        for candidate in self._seeded_candidates(pieces):
            # The members are fitted once more at the end: that time is set aside.
            spent = time.process_time() - start + sum(row["seconds"] for row in self._best_rows()) / len(folds)
            if self.validation_table_ and spent >= self.budget:
                break
            self.validation_table_.append(self._validate(candidate, folds))
        best = self._best_rows()
        if not best:
            reasons = "; ".join(f"{row['estimator']}: {row['failure']}" for row in self.validation_table_[:3])
            raise ValueError(f"no candidate of AutoDynamics could be fitted and validated. {reasons or 'none given.'}")
        self.best_estimators_ = [_fit_pieces(row["estimator"], pieces) for row in best]
        for row in self.validation_table_:
            row["chosen"] = any(row is member for member in best)

    def refit(self, X, *, trajectory_id=None):
        """Fit the members to other data of the same kind, without choosing anew.

        Benchmarks with a trajectory for tuning call `fit` on it, then `refit` on the data before the forecast.

        Parameters
        ----------
        X : array-like of shape (n, d)
        trajectory_id : array-like of shape (n,), optional
            As in `fit`.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        longest = max(member._context_length() for member in self.best_estimators_)
        X, _ = check_states(self, X, reset=False, min_rows=longest + 1)
        members = [clone(member).fit(X, trajectory_id=trajectory_id) for member in self.best_estimators_]
        self.bound_ = max(member.bound_ for member in members)
        self.best_estimators_ = members
        slices = split_trajectories(len(X), trajectory_id)
        self._keep_context(X, None, [s for s in slices if s.stop - s.start >= self._context_length()][-1])
        return self

    def _seeded_candidates(self, pieces) -> Iterator[BaseDynamics]:
        random_state = check_random_state(self.random_state)
        longest = max((states for states, _ in pieces), key=len)
        default = _default_candidates(len(longest), longest.shape[1], _period(longest))
        for candidate in default if self.candidates is None else self.candidates:
            estimator = clone(candidate)
            if estimator.get_params().get("random_state", 0) is None:
                estimator.set_params(random_state=int(random_state.randint(2**31 - 1)))
            yield estimator

    def _best_rows(self) -> list[dict[str, Any]]:
        complete = [row for row in self.validation_table_ if row["complete"]]
        best = sorted(complete, key=lambda row: row["error"])[:_N_MEMBERS]
        return [row for row in best if row["error"] <= _TOLERANCE * best[0]["error"] + _SLACK]

    def _limit(self) -> float:
        """Return the error from which on a candidate cannot become a member."""
        errors = sorted(row["error"] for row in self.validation_table_ if row["complete"])[:_N_MEMBERS]
        if not errors:
            return math.inf
        allowed = _TOLERANCE * errors[0] + _SLACK
        return min(errors[-1], allowed) if len(errors) == _N_MEMBERS else allowed

    def _validate(self, candidate, folds) -> dict[str, Any]:
        start, limit = time.process_time(), self._limit()
        total, complete, failure = 0.0, True, ""
        try:
            for i, fold in enumerate(folds):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that a candidate is doubtful shows in its error
                    total += _fold_error(clone(candidate), fold)
                # Errors are never negative: the sum so far bounds the mean over all folds from below.
                if total / len(folds) > limit and i + 1 < len(folds):
                    complete = False
                    break
        except (ValueError, ArithmeticError, np.linalg.LinAlgError, MemoryError) as error:
            total, complete, failure = math.inf, False, f"{type(error).__name__}: {error}"
        return {
            "estimator": candidate,
            "error": total / len(folds),
            "complete": complete,
            "seconds": time.process_time() - start,
            "failure": failure,
        }

    def _teacher_forced(self, X, u):
        outputs = [member._teacher_forced(X, None) for member in self.best_estimators_]
        for member, output in zip(self.best_estimators_, outputs, strict=True):
            # As in a forecast from there, whose context would be too short.
            output[self._context_length() - 1 : member._context_length() - 1] = np.nan
        return _median(outputs)

    def _free_run(self, context, n_steps, u):
        able = [member for member in self.best_estimators_ if member._context_length() <= context.shape[1]]
        return _median([member._free_run(context, n_steps, None) for member in able])

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        linear = registry.get("linear_autoregression")
        pair = [linear(n_lags=2), linear(n_lags=3, ridge=1e-3)]
        return [{"candidates": pair, "budget": math.inf, "random_state": 0}]


class _Fold(NamedTuple):
    """Pieces (states, targets or None) to fit, and (trajectory, targets or None, held-out rows) to forecast."""

    training: list[tuple[np.ndarray, np.ndarray | None]]
    held_out: list[tuple[np.ndarray, np.ndarray | None, slice]]


def _fold(pieces, block: int) -> _Fold:
    """Hold out the same block of every trajectory."""
    training, held_out = [], []
    for states, targets in pieces:
        first, stop = (len(states) * b // _N_BLOCKS for b in (block, block + 1))
        held_out.append((states, targets, slice(first, stop)))
        training += [
            (states[rows], None if targets is None else targets[rows]) for rows in (slice(first), slice(stop, None))
        ]
    return _Fold([piece for piece in training if len(piece[0])], held_out)


def _fit_pieces(estimator, pieces):
    """Fit a clone to several trajectories."""
    X, ids = stack_trajectories([states for states, _ in pieces])
    y = None if pieces[0][1] is None else np.concatenate([targets for _, targets in pieces])
    return clone(estimator).fit(X, y, trajectory_id=ids)


def _fold_error(estimator, fold: _Fold) -> float:
    """Mean error of an estimator over the held-out block of all trajectories."""
    estimator = _fit_pieces(estimator, fold.training)
    reference = np.concatenate([states if targets is None else targets for states, targets, _ in fold.held_out])
    scale = np.where(np.ptp(reference, axis=0) > 0, reference.std(axis=0), 1.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        errors = [_block_error(estimator, *held_out, scale) for held_out in fold.held_out]
    return float(np.mean(errors))


def _block_error(estimator, states, targets, rows: slice, scale) -> float:
    """Saturated error of free runs from several origins of a block, or of predictions if there are targets."""
    if targets is not None:
        return _saturated(estimator._teacher_forced(states[: rows.stop], None)[rows] - targets[rows], scale)
    n_block = rows.stop - rows.start
    n_steps = min(n_block, _LONGEST_RUN)
    n_origins = max(_MOST_ORIGINS // states.shape[1], _LEAST_ORIGINS)
    origins = sorted({rows.start + n_block * i // n_origins for i in range(n_origins)})
    n_past = min(rows.start, _LONGEST_CONTEXT)
    if n_past < estimator._context_length():
        raise ValueError(f"its context of {estimator._context_length()} rows is longer than the {n_past} rows of past")
    paths = estimator._free_run(np.stack([states[o - n_past : o] for o in origins]), n_steps, None)
    truths = [states[o : min(o + n_steps, rows.stop)] for o in origins]
    return float(np.mean([_saturated(p[: len(t)] - t, scale) for p, t in zip(paths, truths, strict=True)]))


def _saturated(difference: np.ndarray, scale: np.ndarray) -> float:
    """Mean of min(1, |difference| / scale); what is not finite counts as 1."""
    return float(np.nan_to_num(np.minimum(np.abs(difference) / scale, 1.0), nan=1.0).mean())


def _median(outputs: list[np.ndarray]) -> np.ndarray:
    """Median over the finite members; NaN where there is none."""
    stacked = np.stack(outputs)
    ranked = np.sort(np.where(np.isfinite(stacked), stacked, np.nan), axis=0)  # NaN comes last
    count = np.isfinite(ranked).sum(axis=0, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    middle = [np.take_along_axis(ranked, np.minimum(i, len(ranked) - 1), axis=0)[0] for i in (low, high)]
    return np.where(count[0] > 0, (middle[0] + middle[1]) / 2, np.nan)


def _period(states: np.ndarray) -> float:
    """Rows in one turn of the fastest motion that matters: all slower ones hold four fifths of the power."""
    scale = np.where(np.ptp(states, axis=0) > 0, states.std(axis=0), 1.0)
    power = (np.abs(np.fft.rfft((states - states.mean(axis=0)) / scale, axis=0)[1:]) ** 2).sum(axis=1)
    share = power.cumsum() / (power.sum() or 1.0)
    return len(states) / (1 + min(int(np.searchsorted(share, 0.8)), len(power) - 1))


def _default_candidates(n_rows: int, n_dims: int, period: float) -> Iterator[BaseDynamics]:
    """Yield what is tried on a longest trajectory of n_rows, the promising ones first."""
    autoregression = registry.get("linear_autoregression")
    yield autoregression(n_lags=1, ridge=1e12)  # the mean
    yield registry.get("persistence")()
    longest = max(1, n_rows // _N_BLOCKS)
    yield registry.get("context_parroting")(n_delays=min(10, longest))
    yield from (autoregression(n_lags=k, ridge=r) for k, r in ((100, 1e-6), (30, 1e-6), (50, 10.0)) if k <= longest)
    yield autoregression()
    seen = set()
    for tier in (0, 1):
        others = _scalar_tier(tier) if n_dims == 1 else _vector_tier() if tier == 0 else []
        for name, params in _take_turns(_kernels(tier, period), others):
            n_delays, degree = params.get("n_delays", 1), params.get("degree", max(params.get("degrees", (1,))))
            span = (n_delays - 1) * params.get("lag", 1) + params.get("horizon", 1)
            n_features = math.comb(n_delays * n_dims + degree, degree)
            affordable = n_features <= (_MOST_TERMS if name == "sindy" else _MOST_FEATURES)
            if span < longest and affordable and (name, *params.items()) not in seen:
                seen.add((name, *params.items()))
                yield registry.get(name)(**params)


_Candidate = tuple[str, dict[str, Any]]


def _take_turns(*groups: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """Yield one of each group, then the next of each, as long as there are any."""
    for turn in zip_longest(*groups):
        yield from (candidate for candidate in turn if candidate is not None)


def _analogues(n_delays: int, lag: int, n_neighbors: int, ridge: float) -> _Candidate:
    return "local_analogues", {"n_delays": n_delays, "lag": lag, "n_neighbors": n_neighbors, "ridge": ridge}


def _polynomial(n_delays: int, lag: int, degree: int, ridge: float) -> _Candidate:
    return "ngrc", {"n_delays": n_delays, "lag": lag, "degrees": tuple(range(1, degree + 1)), "ridge": ridge}


def _kernels(tier: int, period: float) -> Iterator[_Candidate]:
    for kernel, length_scale, ridge, horizon in _KERNELS[tier]:
        for n_delays, span in _SHAPES:
            yield (
                "kernel_autoregression",
                {
                    "n_delays": n_delays,
                    "lag": max(1, round(span * period / (n_delays - 1))),
                    "kernel": kernel,
                    "length_scale": length_scale,
                    "ridge": ridge,
                    "horizon": 1 if horizon is None else max(1, round(horizon * period)),
                    "max_windows": _MOST_KERNEL_ROWS,
                },
            )


def _scalar_tier(tier: int) -> Iterator[_Candidate]:
    """Walk through the first lag of every entry, then the second, and so on."""
    for turn in range(4):
        for n_delays, n_neighbors, ridge, lags in _ANALOGUES[tier]:
            yield from (_analogues(n_delays, lag, n_neighbors, ridge) for lag in lags[turn : turn + 1])
        for n_delays, degree, ridge, lags in _POLYNOMIALS[tier]:
            yield from (_polynomial(n_delays, lag, degree, ridge) for lag in lags[turn : turn + 1])


def _vector_tier() -> Iterator[_Candidate]:
    """All variables observed: few delays suffice, and the equations may be within reach."""
    yield from (("sindy", {"degree": degree}) for degree in (2, 3))
    for n_delays in (1, 2, 3, 4):
        for ridge in (1e-6, 1e-2, 10.0):
            yield from (_polynomial(n_delays, 1, degree, ridge) for degree in (2, 3, 1))
        yield from (_analogues(n_delays, 1, n, ridge) for n, ridge in ((20, 1e-4), (8, 0.1), (60, 0.1)))
