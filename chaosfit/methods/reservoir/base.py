"""What reservoir computers of a global state share: fit a readout, carry the network's state along."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from chaosfit.base import StepDynamics
from chaosfit.methods.reservoir.network import (
    Network,
    conditional_exponent,
    draw_network,
    drive,
    memory_length,
    one_thread,
)
from chaosfit.methods.reservoir.readout import READOUTS, fit_readout
from chaosfit.validation import Interval, StrOptions

POSITIVE_INTEGER = Interval(Integral, 1, None, closed="left")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")

#: Constraints of the parameters that all reservoirs share.
NETWORK_CONSTRAINTS = {
    "n_units": [POSITIVE_INTEGER],
    "spectral_radius": [NOT_NEGATIVE],
    "input_scale": [NOT_NEGATIVE, StrOptions({"auto"})],
    "bias_scale": [NOT_NEGATIVE],
    "degree": [POSITIVE_INTEGER],
    "leak_rate": [Interval(Real, 0, 1, closed="right")],
    "readout": [StrOptions(set(READOUTS))],
    "ridge": [NOT_NEGATIVE],
    "washout": [Interval(Integral, 0, None, closed="left")],
    "noise": [NOT_NEGATIVE],
    "dtype": [StrOptions({"float64", "float32"})],
    "random_state": ["random_state"],
}

_DIAGNOSTIC_ROWS = 1000
_AUTO_SCALE = 0.6  # of the sum that a unit receives, in uniform weights: 0.35 for each of three variables


def standard_units(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the columns, 1 for a constant one."""
    scale = columns.std(axis=0)
    return columns.mean(axis=0), np.where(scale > 0, scale, 1.0)


def check_washout(longest: int, washout: int) -> None:
    """Refuse trajectories of which the washout leaves nothing."""
    if longest <= washout:
        raise ValueError(
            f"washout={washout} leaves nothing to fit: it needs a trajectory of at least {washout + 1} rows with a "
            f"target, the longest has {longest}. Lower washout."
        )


def network_memory(estimator, network, z: np.ndarray) -> int | None:
    """`memory_length`, with a warning if the network never forgets its initial state under inputs z."""
    memory = memory_length(network, z)
    if memory is None and len(z) > _DIAGNOSTIC_ROWS // 4:
        exponent = conditional_exponent(network, z[:_DIAGNOSTIC_ROWS])
        if exponent > 0:
            warnings.warn(
                f"{type(estimator).__name__}: the driven network does not forget its initial state (conditional "
                f"Lyapunov exponent {exponent:.3g} per step), so its states are no function of the data. Lower "
                f"spectral_radius={estimator.spectral_radius} or raise input_scale={estimator.input_scale}.",
                RuntimeWarning,
                stacklevel=4,
            )
    return memory


class BaseReservoir(StepDynamics):
    """Engine of the reservoirs with one network; subclasses say what enters the network and the readout.

    Attributes
    ----------
    network_ : Network
        W (N, N), W_in (N, k) with the bias as its last column, leak_rate.
    coef_ : ndarray of shape (m, p)
        Weights of the readout's p features.
    intercept_ : ndarray of shape (m,)
    memory_length_ : int or None
        Rows after which the state no longer depends on where it started; None if it needs more than half of the
        training data.
    """

    _accepts_inputs = True

    @abstractmethod
    def _encode(self, X: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """Return the inputs (n, k) of the network for states X (n, d), in standard units; the last one is 1."""

    @abstractmethod
    def _features(self, r: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the features (p, c) for states r (N, c) of the network and its inputs z (c, k)."""

    def _learn_units(self, trajectories) -> None:
        """Learn what `_encode` needs."""
        self.mean_, self.scale_ = standard_units(np.concatenate([t.states for t in trajectories]))
        if self.n_inputs_:
            self._u_mean, self._u_scale = standard_units(np.concatenate([t.u for t in trajectories]))

    def _fit(self, trajectories):
        check_washout(max(len(t.X) for t in trajectories), self.washout)
        rng = check_random_state(self.random_state)
        self._learn_units(trajectories)
        series = [self._encode(t.X, t.u) for t in trajectories]
        self.network_ = self._draw(rng, series[0].shape[1])
        if self.noise:
            spread = np.append(np.full(series[0].shape[1] - 1, self.noise), 0.0)
            series = [z + spread * rng.standard_normal(z.shape) for z in series]
        self.memory_length_ = network_memory(self, self.network_, max(series, key=len))
        self.network_ = self.network_.astype(self.dtype)
        inputs = np.concatenate(series)
        readout = fit_readout(
            self.network_,
            series,
            np.concatenate([t.Y for t in trajectories]),
            lambda rows, r: self._features(r, inputs[rows]),
            washout=self.washout,
            ridge=self.ridge,
            overlap=self.memory_length_,
        )
        self.coef_, self.intercept_ = readout.coef, readout.intercept

    def _draw(self, rng, n_inputs: int) -> Network:
        # What a unit receives from all variables together should not depend on how many there are.
        auto = _AUTO_SCALE / np.sqrt(n_inputs - 1)
        return draw_network(
            self.n_units,
            n_inputs,
            spectral_radius=self.spectral_radius,
            input_scale=auto if self.input_scale == "auto" else self.input_scale,
            bias_scale=self.bias_scale,
            degree=self.degree,
            leak_rate=self.leak_rate,
            rng=rng,
        )

    def _kept_rows(self):
        return self.memory_length_

    def _standardise(self, X, u):
        z = (X - self.mean_) / self.scale_
        one = np.ones((len(X), 1))
        return np.hstack([z, one] if u is None else [z, (u - self._u_mean) / self._u_scale, one])

    def _read(self, r, z):
        return (self.coef_ @ self._features(r, z)).T + self.intercept_

    def _start(self, n_batch):
        return np.zeros((self.n_units, n_batch), dtype=self.dtype)

    def _step(self, state, x, u):
        z = self._encode(x, u)
        state = self.network_.step(state, z.T)
        return state, self._read(state, z)

    def _observe(self, X, u):
        """Drive all trajectories of the batch, and pieces of a long one, side by side."""
        n_batch, n_rows, _ = X.shape
        z = self._encode(X.reshape(n_batch * n_rows, -1), None if u is None else u.reshape(n_batch * n_rows, -1))
        outputs = np.empty((len(z), self.n_outputs_))
        last = np.empty((self.n_units, n_batch), dtype=self.dtype)
        for rows, r in drive(self.network_, np.split(z, n_batch), self.memory_length_):
            outputs[rows] = self._read(r, z[rows])
            at_end = np.flatnonzero(rows % n_rows == n_rows - 1)
            last[:, rows[at_end] // n_rows] = r[:, at_end]
        return outputs.reshape(n_batch, n_rows, -1), last

    def _free_run(self, context, n_steps, u):
        with one_thread():
            return super()._free_run(context, n_steps, u)

    def _states(self, z: np.ndarray) -> np.ndarray:
        """Return the states (n, N) along one series z (n, k)."""
        states = np.empty((len(z), self.n_units))
        for rows, r in drive(self.network_, [z], self.memory_length_):
            states[rows] = r.T
        return states
