"""Piecewise-linear maps: their regions, fixed points and cycles, and the base class of networks that learn them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from chaosfit.base import StepDynamics
from chaosfit.methods.recurrent.recursion import recur
from chaosfit.nn.files import FileMixin
from chaosfit.nn.trainer import Phase, Trainer, seeded
from chaosfit.nn.windows import windows

__all__ = ["Cycle", "PiecewiseLinearMap", "PiecewiseLinearNetwork", "PiecewiseLinearRNN"]


@dataclass(frozen=True)
class Cycle:
    """A periodic orbit of a piecewise-linear map; a fixed point has period 1.

    Attributes
    ----------
    points : ndarray of shape (k, d)
        In the units of the data.
    states : ndarray of shape (k, M)
        All units, in the scaled coordinates of the map.
    eigenvalues : ndarray of shape (M,)
        Of the Jacobian along the whole orbit, largest modulus first.
    """

    points: np.ndarray
    states: np.ndarray
    eigenvalues: np.ndarray

    @property
    def is_stable(self) -> bool:
        """Whether all eigenvalues lie inside the unit circle."""
        return bool(np.abs(self.eigenvalues[0]) < 1)


@dataclass(frozen=True)
class PiecewiseLinearMap:
    """F(z) = K z + V g(U z + c) + h with g(y) = max(y, 0) or, clipped, max(y, 0) - max(y - c, 0).

    Attributes
    ----------
    K, V, U : ndarrays of shape (m, M), (m, L), (L, M)
    c, h : ndarrays of shape (L,), (m,)
    clipped : bool
    """

    K: np.ndarray
    V: np.ndarray
    U: np.ndarray
    c: np.ndarray
    h: np.ndarray
    clipped: bool = False

    def __call__(self, Z: np.ndarray) -> np.ndarray:
        """Map states (n, M) to (n, m)."""
        arguments = Z @ self.U.T
        units = np.maximum(arguments + self.c, 0.0)
        if self.clipped:
            units -= np.maximum(arguments, 0.0)
        return Z @ self.K.T + units @ self.V.T + self.h

    def region(self, Z: np.ndarray) -> np.ndarray:
        """Return which rectifiers are on at states (n, M): bool (n, L), or (n, 2 L) if clipped.

        F is affine where all of them stay as they are.
        """
        arguments = Z @ self.U.T
        on = arguments + self.c > 0
        return np.concatenate([on, arguments > 0], axis=-1) if self.clipped else on

    def affine(self, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return J (..., m, M) and b (..., m) with F(z) = J z + b in a region (..., L or 2 L)."""
        n_units = len(self.c)
        on = region[..., :n_units].astype(float)
        slope = on - region[..., n_units:] if self.clipped else on
        return self.K + (self.V * slope[..., np.newaxis, :]) @ self.U, (on * self.c) @ self.V.T + self.h

    def jacobian(self, Z: np.ndarray) -> np.ndarray:
        """Return the derivatives (n, m, M) at states (n, M)."""
        return self.affine(self.region(Z))[0]

    def cycles(self, period: int, words: Iterable[np.ndarray], n_jumps: int = 100) -> list[np.ndarray]:
        """Search for orbits (period, M) of exactly this period.

        A word names the regions (period, L or 2 L) of an orbit. In each word the fixed point of the composed affine map
        is exact; it is an orbit if it passes the regions of the word. If not, the search goes on with the word that
        the found point does pass. Words whose orbits are not isolated (a line of fixed points) are left out.
        """
        found: dict[bytes, np.ndarray] = {}
        seen: set[bytes] = set()
        for word in words:
            for _ in range(n_jumps):
                if word.tobytes() in seen:
                    break
                seen.add(word.tobytes())
                orbit = self._solve(word)
                if orbit is None:
                    break
                actual = self.region(orbit)
                if (actual == word).all():
                    if not _repeats(orbit):
                        first = np.lexsort(np.round(orbit, 9).T)[0]  # rotations of one cycle are one cycle
                        orbit = np.roll(orbit, -first, axis=0)
                        found.setdefault(np.round(orbit, 6).tobytes(), orbit)
                    break
                word = actual
        return list(found.values())

    def _solve(self, word: np.ndarray) -> np.ndarray | None:
        jacobians, constants = self.affine(word)
        whole, constant = np.eye(self.K.shape[1]), np.zeros(self.K.shape[1])
        for J, b in zip(jacobians, constants, strict=True):
            whole, constant = J @ whole, J @ constant + b
        matrix = np.eye(len(whole)) - whole
        if np.linalg.cond(matrix) > 1e12:
            return None
        orbit = [np.linalg.solve(matrix, constant)]
        for J, b in zip(jacobians[:-1], constants[:-1], strict=True):
            orbit.append(J @ orbit[-1] + b)
        return np.array(orbit)

    def eigenvalues(self, orbit: np.ndarray) -> np.ndarray:
        """Eigenvalues of the product of the Jacobians along an orbit (k, M), largest modulus first."""
        product = np.eye(orbit.shape[1])
        for J in self.jacobian(orbit):
            product = J @ product
        values = np.linalg.eigvals(product)
        return values[np.argsort(-np.abs(values))]


def _repeats(orbit: np.ndarray) -> bool:
    """Whether an orbit of k points has a shorter period, a divisor of k."""
    k = len(orbit)
    return any(k % p == 0 and np.allclose(orbit[0], orbit[p], rtol=1e-8, atol=1e-10) for p in range(1, k))


def diagonal_start(n_states: int) -> Tensor:
    """Draw the initial diagonal (M,) of a linear part: positive, at most 1."""
    R = torch.randn(n_states, n_states)
    spectrum = R.T @ R / n_states + torch.eye(n_states)
    return spectrum.diagonal() / torch.linalg.eigvalsh(spectrum)[-1]


class PiecewiseLinearNetwork(nn.Module):
    """The trainable form of a `PiecewiseLinearMap` with M states, of which the first d are observed."""

    clipped: ClassVar[bool] = False

    def matrices(self) -> tuple[Tensor, Tensor]:
        """Return [K h V] (m, M + 1 + L) and [U c] (L, M + 1)."""
        raise NotImplementedError

    def start(self, first: Tensor) -> Tensor:
        """Return the states (B, M) that belong to the first observations (B, d)."""
        return first

    def penalty(self) -> Tensor | float:
        """Return what is added to the loss."""
        return 0.0

    def forward(self, data: Tensor, mix: Tensor) -> Tensor:
        """Predict (B, T, m) from data (B, T, d), which force the states after row 0 by mix (T, d)."""
        W, U = self.matrices()
        start = self.start(data[:, 0])
        hidden = (0, start.shape[1] - data.shape[2])
        data = functional.pad(data, hidden).permute(1, 2, 0).contiguous()
        mix = functional.pad(mix, hidden)[..., None]
        return recur(W, U, start.T.contiguous(), data, mix, self.clipped).permute(2, 0, 1)

    def to_map(self) -> PiecewiseLinearMap:
        """Return the learned map in float64."""
        W, U = (x.detach().double().numpy() for x in self.matrices())
        n_states = U.shape[1] - 1
        return PiecewiseLinearMap(
            W[:, :n_states], W[:, n_states + 1 :], U[:, :-1], U[:, -1], W[:, n_states], self.clipped
        )


class PiecewiseLinearRNN(FileMixin, StepDynamics):
    """A recurrent piecewise-linear map of standardised states, trained on sequences with forcing by the data.

    Subclasses have the parameters `sequence_length`, `noise`, `trainer`, `random_state`, and write `_network` and
    `_forcing`.

    Attributes
    ----------
    map_ : PiecewiseLinearMap
        In standardised coordinates.
    mean_, scale_ : ndarrays of shape (d,)
    target_mean_, target_scale_ : ndarrays of shape (m,)
    history_ : list of dict
        Records of `Trainer.train`.
    """

    sequence_length: int
    noise: float
    trainer: Trainer | None
    random_state: Any

    @abstractmethod
    def _network(self, n_features: int, n_outputs: int) -> PiecewiseLinearNetwork:
        """Return an untrained network."""

    @abstractmethod
    def _forcing(self, network: PiecewiseLinearNetwork, batch: Tensor) -> Tensor:
        """Return how strongly data (B, T, d) force the states: (T, d), each in [0, 1]."""

    def _training_steps(self) -> int:
        """Return the number of steps of a training sequence."""
        return self.sequence_length

    def _default_trainer(self) -> Trainer:
        return Trainer(
            learning_rate=1e-2,
            batch_size=32,
            max_steps=5000,
            optimizer="radam",
            schedule="exponential",
            clip_norm=None,
            validation_fraction=0.0,
            validate_every=500,
        )

    # ------------------------------------------------------------------ fit
    def _fit(self, trajectories):
        trainer = self._default_trainer() if self.trainer is None else self.trainer
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        states, targets = (np.concatenate([getattr(t, name) for t in trajectories]) for name in ("states", "Y"))
        self.mean_, self.scale_ = _moments(states)
        self.target_mean_, self.target_scale_ = (
            (self.mean_, self.scale_) if self._self_supervised else _moments(targets)
        )
        x = [_tensor(t.X, self.mean_, self.scale_) for t in trajectories]
        y = [_tensor(t.Y, self.target_mean_, self.target_scale_) for t in trajectories]
        samples = windows({"first": x}, {"data": x, "future": y}, 1, self._training_steps())
        with seeded(seed):
            network = self._network(self.n_features_in_, self.n_outputs_)
        self.history_ = trainer.train(network, samples, [Phase("train", self._loss)], seed=seed)
        self._keep(network)

    def _keep(self, network: PiecewiseLinearNetwork) -> None:
        self.map_ = network.to_map()

    def _loss(self, network, batch):
        # Noise on the targets would change gradients, but not their mean: no prediction depends on it.
        data = batch["data"]
        if network.training and self.noise:
            data = data + self.noise * torch.randn_like(data)
        future = batch["future"]
        predictions = network(data, self._forcing(network, data))[..., : future.shape[2]]
        return {"mse": functional.mse_loss(predictions, future), "penalty": torch.as_tensor(network.penalty())}

    # ------------------------------------------------------------------ files
    def _fitted(self):
        return super()._fitted() | {"map_": vars(self.map_)}

    def _restore(self, fitted):
        super()._restore(fitted | {"map_": PiecewiseLinearMap(**fitted["map_"])})

    # ------------------------------------------------------------------ use
    def _start(self, n_batch):
        return np.full((n_batch, self.map_.K.shape[1]), np.nan)

    def _scaled(self, X):
        return (X - self.mean_) / self.scale_

    def _outputs(self, Z):
        return Z[..., : self.n_outputs_] * self.target_scale_ + self.target_mean_

    def fixed_points(self) -> list[Cycle]:
        """Find the fixed points of the learned map; see `cycles`."""
        return self.cycles(1)

    def cycles(self, period: int, *, n_starts: int = 200) -> list[Cycle]:
        """Find periodic orbits of the learned map, exactly, in the regions that its orbits visit and from there on.

        Parameters
        ----------
        period : int >= 1
            Exact period in steps.
        n_starts : int >= 1, default=200
            States from which the search starts, spread over a free run and a box around it.

        Returns
        -------
        list of Cycle
            Each once. The search is heuristic: orbits whose regions are never met may be missed. Where a model has
            at most ten rectifiers, all their patterns are tried for the fixed points.
        """
        self._check_autonomous()
        if isinstance(period, bool) or not isinstance(period, int | np.integer) or period < 1:
            raise ValueError(f"period must be an integer >= 1, got {period!r}.")
        orbits = self.map_.cycles(int(period), self._words(int(period), n_starts))
        return [Cycle(self._outputs(orbit), orbit, self.map_.eigenvalues(orbit)) for orbit in orbits]

    def _words(self, period: int, n_starts: int) -> Iterable[np.ndarray]:
        """Regions (period, L) that short orbits pass from many starts."""
        F = self.map_
        orbit = self._orbit(10 * n_starts)
        rng = np.random.default_rng(0)
        low, high = orbit.min(axis=0) - 1.0, orbit.max(axis=0) + 1.0
        Z = np.concatenate([orbit[::10], rng.uniform(low, high, size=(n_starts, len(low)))])
        path = []
        for _ in range(period):
            path.append(F.region(Z))
            Z = F(Z)
        yield from np.stack(path, axis=1)
        n_bits = path[0].shape[1]
        if period == 1 and n_bits <= 10:
            yield from (np.arange(2**n_bits)[:, np.newaxis, np.newaxis] >> np.arange(n_bits) & 1).astype(bool)

    def _orbit(self, n_steps: int) -> np.ndarray:
        """A free run (n, M) of all units from the end of the training data, up to where it is lost."""
        state = self._observe(self.context_[np.newaxis], None)[1]
        states = np.empty((n_steps, state.shape[1]))
        for t in range(n_steps):
            states[t] = state[0]
            state = self.map_(state)
        lost = ~(np.abs(states).max(axis=1) < 1e3)
        return states[: np.argmax(lost)] if lost.any() else states

    def _check_autonomous(self):
        check_is_fitted(self)
        if self.n_outputs_ != self.n_features_in_:
            raise ValueError(f"a closed loop needs a model of the state: fit {type(self).__name__} without y.")


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the columns; constant columns get deviation 1."""
    mean, scale = values.mean(axis=0), values.std(axis=0)
    return mean, np.where(scale > 10 * np.finfo(float).eps * np.abs(mean), scale, 1.0)


def _tensor(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Tensor:
    return torch.from_numpy(((values - mean) / scale).astype(np.float32))
