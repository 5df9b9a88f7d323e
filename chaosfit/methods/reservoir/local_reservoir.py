"""Many small reservoirs side by side, each forecasting its own stretch of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.utils import check_random_state

from chaosfit.base import StepDynamics
from chaosfit.methods.reservoir.base import (
    NETWORK_CONSTRAINTS,
    NOT_NEGATIVE,
    POSITIVE_INTEGER,
    check_washout,
    network_memory,
    standard_units,
)
from chaosfit.methods.reservoir.network import draw_network, drive, one_thread
from chaosfit.methods.reservoir.readout import RidgeSums, readout_features
from chaosfit.validation import Interval

_CONSTRAINTS = {name: rule for name, rule in NETWORK_CONSTRAINTS.items() if name != "noise"}
_CONSTRAINTS["input_scale"] = [NOT_NEGATIVE]  # a unit has one input here, however many there are


class LocalReservoir(StepDynamics):
    """Reservoirs on overlapping neighbourhoods of a spatially extended system, coupled by what they forecast.

    The d grid points are cut into g groups of q = d / g. The network of group i sees the points of its own group and
    `halo` more on either side, and forecasts its own q points:

    r_i[t] = (1 - a) r_i[t-1] + a tanh(W r_i[t-1] + W_in x[t, i q - halo : (i + 1) q + halo] + b),
    x[t+1, i q : (i + 1) q] = C_i phi(r_i[t]) + c_i

    All groups have the same W, W_in and b. The cost grows in proportion to d, where one network would have to grow
    with d to forecast as long.

    Parameters
    ----------
    n_groups : int, default=None
        Number g of groups, a divisor of d. Published: 64 for 512 points. None: d, every point for itself.
    halo : int, default=0
        Points >= 0 seen on either side; as far as information travels in one step, and some more. The
        neighbourhood must not be wider than the grid. Published: 6.
    periodic : bool, default=True
        Whether the grid closes on itself; otherwise the values at the ends are repeated outside.
    share_weights : bool, default=True
        One readout for all groups, fitted to all of them: for systems that are the same everywhere. It needs g times
        fewer data. False: each group has its own.
    n_units : int, default=500
        Units per group. Published: 5000.
    spectral_radius : float, default=0.6
    input_scale : float, default=0.3
        Each unit has one input, with a weight uniform in [-input_scale, input_scale].
    bias_scale : float, default=0.5
    degree : int, default=3
    leak_rate, readout, ridge, washout, dtype, random_state
        See `ReservoirComputer`; ridge is 1e-4 by default, as published.

    Attributes
    ----------
    network_ : Network
        W (N, N) sparse, W_in (N, q + 2 halo + p + 1) with b as its last column, leak_rate.
    coef_ : ndarray of shape (1, q, p) or (g, q, p)
        C, one or one per group.
    intercept_ : ndarray of shape (1, q) or (g, q)
    mean_, scale_ : ndarrays of shape (d,)
        What standardises the states; with shared weights the same for all points.
    memory_length_ : int or None
        See `ReservoirComputer`.

    Raises
    ------
    ValueError
        If d is no multiple of n_groups, or a neighbourhood is wider than the grid.

    Notes
    -----
    Columns of X are grid points in their order. Targets `y` of another shape than the state are regressed on the
    features of all groups together, g times as many.

    References
    ----------
    Pathak, Hunt, Girvan, Lu and Ott, Phys. Rev. Lett. 120, 024102 (2018), doi:10.1103/PhysRevLett.120.024102

    Examples
    --------
    >>> from chaosfit import Lorenz96, LocalReservoir
    >>> X = Lorenz96().simulate(1000, random_state=0)
    >>> model = LocalReservoir(halo=2, n_units=100, random_state=0).fit(X)
    >>> model.forecast(10).shape == (10, X.shape[1])
    True
    """

    _accepts_inputs = True
    _parameter_constraints: ClassVar[dict] = {
        **_CONSTRAINTS,
        "n_groups": [None, POSITIVE_INTEGER],
        "halo": [Interval(Integral, 0, None, closed="left")],
        "periodic": ["boolean"],
        "share_weights": ["boolean"],
    }

    def __init__(
        self,
        n_groups=None,
        halo=0,
        periodic=True,
        share_weights=True,
        n_units=500,
        spectral_radius=0.6,
        input_scale=0.3,
        bias_scale=0.5,
        degree=3,
        leak_rate=1.0,
        readout="even",
        ridge=1e-4,
        washout=100,
        dtype="float64",
        random_state=None,
    ):
        self.n_groups = n_groups
        self.halo = halo
        self.periodic = periodic
        self.share_weights = share_weights
        self.n_units = n_units
        self.spectral_radius = spectral_radius
        self.input_scale = input_scale
        self.bias_scale = bias_scale
        self.degree = degree
        self.leak_rate = leak_rate
        self.readout = readout
        self.ridge = ridge
        self.washout = washout
        self.dtype = dtype
        self.random_state = random_state

    # ------------------------------------------------------------------ fit
    def _fit(self, trajectories):
        check_washout(max(len(t.X) for t in trajectories), self.washout)
        self._neighbours = self._lay_out(self.n_features_in_)
        self._learn_units(trajectories)
        series = [self._encode(t.X, t.u) for t in trajectories]
        self.network_ = draw_network(
            self.n_units,
            series[0].shape[2],
            spectral_radius=self.spectral_radius,
            input_scale=self.input_scale,
            bias_scale=self.bias_scale,
            degree=self.degree,
            leak_rate=self.leak_rate,
            rng=check_random_state(self.random_state),
            one_input_per_unit=True,
        )
        self.memory_length_ = network_memory(self, self.network_, max(series, key=len)[:, 0])
        self.network_ = self.network_.astype(self.dtype)
        washed_out = np.concatenate([np.arange(len(z)) for z in series]) < self.washout
        self._fit_readouts(series, np.concatenate([t.Y for t in trajectories]), washed_out)

    def _lay_out(self, n_points: int) -> np.ndarray:
        """Return the points (g, q + 2 halo) that each group sees."""
        n_groups = n_points if self.n_groups is None else self.n_groups
        size, rest = divmod(n_points, n_groups)
        if rest or not size:
            raise ValueError(f"n_groups must divide the {n_points} columns of X, got {n_groups}.")
        if self.halo > n_points - size - self.halo:
            raise ValueError(
                f"halo={self.halo} is too wide: the {size} points of a group and the halo on either side must fit "
                f"into the {n_points} points of the grid."
            )
        points = np.arange(n_groups)[:, np.newaxis] * size + np.arange(-self.halo, size + self.halo)
        return points % n_points if self.periodic else np.clip(points, 0, n_points - 1)

    def _learn_units(self, trajectories) -> None:
        states = np.concatenate([t.states for t in trajectories])
        columns = states.reshape(-1, 1) if self.share_weights else states
        mean, scale = standard_units(columns)
        self.mean_, self.scale_ = (np.broadcast_to(v, states.shape[1]).copy() for v in (mean, scale))
        if self.n_inputs_:
            self._u_mean, self._u_scale = standard_units(np.concatenate([t.u for t in trajectories]))

    def _fit_readouts(self, series, targets, washed_out):
        n_groups, is_state = len(self._neighbours), self.n_outputs_ == self.n_features_in_
        targets = targets.reshape(len(targets), n_groups, -1) if is_state else targets[:, np.newaxis]
        weight = np.where(washed_out, 0.0, 1.0)[:, np.newaxis, np.newaxis]
        offset = targets.mean(axis=(0, 1) if self.share_weights else 0)
        Y = np.concatenate([targets - offset, np.ones((*targets.shape[:2], 1))], axis=2) * weight
        sums = [RidgeSums() for _ in range(n_groups if is_state and not self.share_weights else 1)]
        for times, phi in self._drive(series):
            phi *= weight[times, 0, 0]
            blocks = self._regressions(phi, Y[times].transpose(1, 0, 2))
            for total, (features, y) in zip(sums, blocks, strict=True):
                total.add(features, y)
        readouts = [total.solve(self.ridge) for total in sums]
        self.coef_ = np.stack([readout.coef for readout in readouts])
        self.intercept_ = np.stack([readout.intercept for readout in readouts]) + offset

    def _regressions(self, phi, Y):
        """Pair features (p, c) and targets (c, m) of every readout, for phi (g, p, c) and Y (g or 1, c, m)."""
        if self.n_outputs_ != self.n_features_in_:
            return [(np.ascontiguousarray(phi.reshape(-1, phi.shape[2])), Y[0])]
        if self.share_weights:
            features = phi.transpose(1, 0, 2).reshape(phi.shape[1], -1)
            return [(features, Y.reshape(-1, Y.shape[2]))]
        return list(zip(phi, Y, strict=True))

    # ------------------------------------------------------------------ states
    def _encode(self, X, u):
        """Return what each group sees of states X (n, d) and inputs, in standard units and with a 1, (n, g, k)."""
        z = ((X - self.mean_) / self.scale_)[:, self._neighbours]
        parts = [z, np.ones((*z.shape[:2], 1))]
        if u is not None:
            u = (u - self._u_mean) / self._u_scale
            parts.insert(1, np.broadcast_to(u[:, np.newaxis], (*z.shape[:2], u.shape[1])))
        return np.concatenate(parts, axis=2)

    def _drive(self, series: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (times (c,), features (g, p, c)) of the stacked series (n_i, g, k), every time once."""
        n_groups, n_times = len(self._neighbours), sum(map(len, series))
        every_group = [z[:, i] for i in range(n_groups) for z in series]
        for rows, r in drive(self.network_, every_group, self.memory_length_):
            order = np.argsort(rows, kind="stable")  # group by group, the same times in each
            times = rows[order[: len(rows) // n_groups]]
            phi = readout_features(r[:, order], self.readout)
            yield times % n_times, phi.reshape(len(phi), n_groups, -1).transpose(1, 0, 2)

    def _read(self, phi: np.ndarray) -> np.ndarray:
        """Return the outputs (c, m) for features phi (g, p, c)."""
        if self.n_outputs_ != self.n_features_in_:
            return (self.coef_[0] @ phi.reshape(-1, phi.shape[2])).T + self.intercept_[0]
        local = np.matmul(self.coef_, phi) + self.intercept_[..., np.newaxis]
        return local.reshape(-1, phi.shape[2]).T

    def _kept_rows(self):
        return self.memory_length_

    def _start(self, n_batch):
        return np.zeros((self.n_units, len(self._neighbours) * n_batch), dtype=self.dtype)

    def _step(self, state, x, u):
        z = self._encode(x, u)
        state = self.network_.step(state, z.transpose(2, 1, 0).reshape(z.shape[2], -1))
        phi = readout_features(state, self.readout)
        return state, self._read(phi.reshape(len(phi), len(self._neighbours), -1).transpose(1, 0, 2))

    def _free_run(self, context, n_steps, u):
        with one_thread():
            return super()._free_run(context, n_steps, u)

    @classmethod
    def get_test_params(cls):
        """See `BaseDynamics.get_test_params`."""
        small = {"n_units": 60, "washout": 2, "random_state": 0}
        return [{**small, "n_groups": 1}, {**small, "share_weights": False}]
