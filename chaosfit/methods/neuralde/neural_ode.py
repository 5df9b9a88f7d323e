"""A network as the right-hand side of a differential equation."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from scipy.integrate import RK45, solve_ivp
from scipy.special import expit
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from chaosfit.base import FlowDynamics
from chaosfit.nn.files import FileMixin
from chaosfit.nn.layers import perceptron
from chaosfit.nn.trainer import Phase, Trainer, seeded
from chaosfit.nn.windows import Samples, split_tail, windows
from chaosfit.validation import Interval, Trajectory, check_inputs, check_states

__all__ = ["NeuralODE"]

_COUNT = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")

# Scale of the local error that `error_weight` counts steps for, and where |h lambda| leaves the region of stability.
_TOLERANCE = 1e-6
_STABILITY_LIMIT = 3.307


class NeuralODE(FileMixin, FlowDynamics):
    r"""A perceptron f learned as dx/dt = f(x), or f(x, u), by multiple shooting.

    .. math:: \min_f \sum_i \sum_{k=1}^{S} \| \Phi^k_f(x_i) - x_{i+k} \|^2

    :math:`\Phi_f` advances by one row with fixed Runge-Kutta steps, and gradients are those of these steps. Segments of
    S rows start at data, many in a batch, so that no gradient has to survive more than a fraction of a Lyapunov time.
    With noisy data S must exceed 1. Forecasts integrate f adaptively in double precision.

    Parameters
    ----------
    dt : float > 0, default=1.0
        Time between rows.
    hidden : tuple of int >= 1, default=(64, 64)
        Units of the hidden layers.
    segment_length : int >= 1, default=8
        Rows S that one segment predicts. S dt should stay below one Lyapunov time.
    n_substeps : int >= 1, default=1
        Runge-Kutta steps between two rows while training. Coarsely sampled data need more: the field that makes
        inaccurate steps fit is not the field of the data.
    error_weight, stiffness_weight : float >= 0, default=0.0
        Weights of what makes f expensive to integrate: the mean number of steps between two rows that a
        Dormand-Prince solver would need by its own error estimate, and the largest eigenvalue by its stiffness
        estimate, in units of the largest stable one. One of them positive makes training take Dormand-Prince steps
        in place of the classical ones, half as many again. They save nothing where f is smooth and small.
    trainer : Trainer or None, default=None
        Options of training; None means 2000 steps of 128 segments.
    random_state : int, RandomState or None, default=None
        Seeds initial weights and batches.

    Attributes
    ----------
    layers_ : list of (ndarray (n_out, n_in), ndarray (n_out,))
        Weights and biases, acting on standardised states.
    mean_, scale_ : ndarrays of shape (d + p,)
        Of the states, then of the known inputs.
    offset_, rate_ : ndarrays of shape (m,)
        f = offset_ + rate_ * perceptron.
    history_ : list of dict
        Records of `Trainer.train`.

    Notes
    -----
    Not the first choice for clean data with all variables: there `SINDy` or `NGRC` are better in a second. Not for
    a signal that is only a part of the state. It cannot use irregular sampling.

    The published regulariser averages E h over the steps of an adaptive solver, E being the error by tolerance. The
    steps here are fixed, so it is E to the power of 1/5, which an adaptive solver would make its steps shorter by.

    References
    ----------
    Chen, Rubanova, Bettencourt, Duvenaud, NeurIPS 2018, arXiv:1806.07366. Multiple shooting, choice of gradients:
    Kidger, thesis, arXiv:2202.02435. Regularisers: Pal, Ma, Shah, Rackauckas, ICML 2021, arXiv:2105.03918.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit import NeuralODE, Trainer
    >>> X = np.sin(0.3 * np.arange(300) + np.array([[0.0], [1.57]])).T
    >>> model = NeuralODE(dt=0.3, hidden=(16,), trainer=Trainer(max_steps=300), random_state=0).fit(X)
    >>> bool(np.abs(model.forecast(20)[-1] - np.sin(0.3 * 319 + np.array([0.0, 1.57]))).max() < 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "dt": [Interval(Real, 0, None, closed="neither")],
        "hidden": [tuple, list],
        "segment_length": [_COUNT],
        "n_substeps": [_COUNT],
        "error_weight": [_NOT_NEGATIVE],
        "stiffness_weight": [_NOT_NEGATIVE],
        "trainer": [Trainer, None],
        "random_state": ["random_state"],
    }
    _accepts_inputs: ClassVar[bool] = True
    _tolerance: ClassVar[float] = 1e-8  # the weights were trained in single precision

    def __init__(
        self,
        dt=1.0,
        hidden=(64, 64),
        segment_length=8,
        n_substeps=1,
        error_weight=0.0,
        stiffness_weight=0.0,
        trainer=None,
        random_state=None,
    ):
        self.dt = dt
        self.hidden = hidden
        self.segment_length = segment_length
        self.n_substeps = n_substeps
        self.error_weight = error_weight
        self.stiffness_weight = stiffness_weight
        self.trainer = trainer
        self.random_state = random_state

    # ------------------------------------------------------------------ training
    def _fit(self, trajectories):
        trainer = Trainer(batch_size=128, max_steps=2000) if self.trainer is None else self.trainer
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        horizon = 1 if self._is_map() else self.segment_length
        parts = split_tail([len(t.X) for t in trajectories], trainer.validation_fraction, horizon)
        training = [_rows(t, part) for t, part in zip(trajectories, parts[0], strict=True)]
        held_out = [_rows(t, part) for t, part in zip(trajectories, parts[1], strict=True) if part.stop > part.start]
        self._measure(training)
        with seeded(seed):
            network = self._network(self.n_features_in_ + self.n_inputs_, self.n_outputs_)
        # One row is the unit of time, one deviation that of states.
        network.register_buffer("rate", _single(np.ones(1) if self._is_map() else self._increments / self._deviation))
        validation = self._examples(held_out, horizon) if held_out else None
        examples = self._examples(training, horizon)
        self.history_ = trainer.train(network, examples, [Phase("train", self._loss)], validation=validation, seed=seed)
        linear = [layer for layer in network if isinstance(layer, nn.Linear)]
        self.layers_ = [tuple(p.detach().double().numpy() for p in (layer.weight, layer.bias)) for layer in linear]

    def _network(self, n_in: int, n_out: int) -> nn.Sequential:
        return perceptron([n_in, *self.hidden, n_out])

    def _measure(self, trajectories: list[Trajectory]) -> None:
        """Set all scales from the rows for training."""
        inputs = np.concatenate([_inputs(t) for t in trajectories])
        targets = np.concatenate([t.Y for t in trajectories])
        self.mean_, self.scale_ = inputs.mean(axis=0), _positive(inputs.std(axis=0))
        if self._is_map():
            self.offset_, self.rate_ = targets.mean(axis=0), _positive(targets.std(axis=0))
            return
        self._deviation = self.scale_[: self.n_features_in_]
        steps = targets - inputs[:, : self.n_features_in_]
        self._increments = _positive(np.sqrt(np.mean(steps**2, axis=0)))
        self.offset_, self.rate_ = np.zeros(self.n_outputs_), self._increments / self.dt

    def _examples(self, trajectories: list[Trajectory], horizon: int) -> Samples:
        d = self.n_features_in_
        inputs = [_single((_inputs(t) - self.mean_) / self.scale_) for t in trajectories]
        mean, scale = (self.offset_, self.rate_) if self._is_map() else (self.mean_[:d], self._deviation)
        future = {"future": [_single((t.Y - mean) / scale) for t in trajectories], "known": [x[:, d:] for x in inputs]}
        return windows({"start": [x[:, :d] for x in inputs]}, future, 1, horizon)

    def _loss(self, network, batch):
        z, known, future = batch["start"][:, 0], batch["known"], batch["future"]
        if self._is_map():
            return {"mse": functional.mse_loss(network(torch.cat([z, known[:, 0]], 1)), future[:, 0])}
        step = 1.0 / self.n_substeps
        is_measured = self.error_weight > 0 or self.stiffness_weight > 0
        path, measures = [], []
        for u in known.unbind(1):

            def field(x, u=u):
                return network.rate * network(torch.cat([x, u], 1))

            for _ in range(self.n_substeps):
                if is_measured:
                    z, *measured = _dormand_prince(field, z, step)
                    measures.append(torch.stack(measured))
                else:
                    z = _runge_kutta(field, z, step)
            path.append(z)
        terms = {"mse": functional.mse_loss(torch.stack(path, 1), future)}
        if is_measured:
            shortening, stiffness = torch.stack(measures).unbind(1)  # (n_steps, B) each
            terms["error"] = self.error_weight * shortening.mean() / step
            terms["stiffness"] = self.stiffness_weight * stiffness.amax(0).mean()
        return terms

    # ------------------------------------------------------------------ use
    def _rhs(self, X, u):
        h = (X if u is None else np.hstack([X, u])) - self.mean_
        h /= self.scale_
        for W, b in self.layers_[:-1]:
            h = h @ W.T + b
            h *= expit(h)
        W, b = self.layers_[-1]
        return self.offset_ + self.rate_ * (h @ W.T + b)

    def vector_field(self, X, *, u=None) -> np.ndarray:
        """Evaluate the learned dx/dt (n, d) at states X (n, d); of a model fitted with y, its outputs."""
        check_is_fitted(self)
        X, _ = check_states(self, X, reset=False)
        return self._rhs(X, check_inputs(self, u, len(X), n_inputs=self.n_inputs_))

    def jacobian(self, X) -> np.ndarray:
        """Return the derivatives of dx/dt by the state; of a model fitted with y, those of its outputs.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, m, d)
        """
        self._check_autonomous()
        X, _ = check_states(self, X, reset=False)
        h = (X - self.mean_) / self.scale_
        J = np.broadcast_to(np.diag(1 / self.scale_), (len(X), *2 * self.scale_.shape))
        for W, b in self.layers_[:-1]:
            h = h @ W.T + b
            gate = expit(h)
            J = (gate * (1 + h * (1 - gate)))[:, :, np.newaxis] * (W @ J)
            h *= gate
        return self.rate_[:, np.newaxis] * (self.layers_[-1][0] @ J)

    def closed_loop(self, states: np.ndarray) -> np.ndarray:
        """Advance states (n, d) by one row."""
        self._check_autonomous()
        if self.n_outputs_ != self.n_features_in_:
            raise ValueError("a closed loop needs a model of the state: fit NeuralODE without y.")
        return self._teacher_forced(states, None)

    def solver_cost(self, X, *, tolerance: float = 1e-6) -> float:
        """Return the mean number of evaluations of f with which SciPy's RK45 advances states X (n, d) by one row."""
        self._check_autonomous()
        if self._is_map():
            raise ValueError("NeuralODE was fitted with y, so there is nothing to integrate. Fit it without y.")
        X, _ = check_states(self, X, reset=False)
        options = {"method": RK45, "rtol": tolerance, "atol": tolerance * self.scale_}
        runs = [solve_ivp(lambda t, x: self._rhs(x[np.newaxis], None)[0], (0, self.dt), x, **options) for x in X]
        return float(np.mean([run.nfev for run in runs]))

    def _check_autonomous(self):
        check_is_fitted(self)
        if self.n_inputs_:
            raise ValueError("NeuralODE was fitted with known inputs, so it has no flow of its own. Fit it without u.")

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        brief = Trainer(max_steps=150, learning_rate=2e-2, batch_size=32)
        small = {"hidden": (16,), "trainer": brief, "random_state": 0}
        return [{"segment_length": 2, **small}, {"segment_length": 1, "error_weight": 1e-3, **small}]


def _runge_kutta(field, z: Tensor, step: float) -> Tensor:
    """Advance z (B, d) by one classical step of order 4."""
    k1 = field(z)
    k2 = field(z + step / 2 * k1)
    k3 = field(z + step / 2 * k2)
    k4 = field(z + step * k3)
    return z + step / 6 * (k1 + 2 * (k2 + k3) + k4)


def _dormand_prince(field, z: Tensor, step: float) -> tuple[Tensor, Tensor, Tensor]:
    """Advance z (B, d) by one step of order 5.

    Returns
    -------
    z : Tensor of shape (B, d)
    shortening : Tensor of shape (B,)
        How many times shorter the step had to be for a local error of one tolerance.
    stiffness : Tensor of shape (B,)
        |lambda| by the limit of stability, lambda the dominant eigenvalue as two stages at the end of the step see it.
    """
    slopes = [field(z)]
    argument = z
    for weights in RK45.A[1:]:
        argument = z + step * _combine(weights, slopes)
        slopes.append(field(argument))
    end = z + step * _combine(RK45.B, slopes)
    slopes.append(field(end))
    scale = _TOLERANCE * (1 + torch.maximum(z.abs(), end.abs()))
    error = (step * _combine(RK45.E, slopes) / scale).square().mean(1)
    # Where the error is none its root has no derivative.
    shortening = (error + 1e-6).pow(0.1)
    apart = torch.linalg.vector_norm(slopes[-1] - slopes[-2], dim=1)
    stiffness = apart / torch.linalg.vector_norm(end - argument, dim=1).clamp_min(1e-12) / _STABILITY_LIMIT
    return end, shortening, stiffness


def _combine(weights: np.ndarray, slopes: list[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=False):  # rows of the tableau end in zeros
        if weight:
            total = total + weight * slope
    return total


def _rows(trajectory: Trajectory, part: slice) -> Trajectory:
    X, Y, u = trajectory.X[part], trajectory.Y[part], trajectory.u
    return Trajectory(X, Y, None if u is None else u[part], X)


def _inputs(trajectory: Trajectory) -> np.ndarray:
    return trajectory.X if trajectory.u is None else np.hstack([trajectory.X, trajectory.u])


def _positive(scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 0, scale, 1.0)


def _single(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
