"""The part of a reservoir computer that is fitted: features of the states and ridge regression on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import dsyrk

from chaosfit.methods.reservoir.network import Network, drive
from chaosfit.numerics.regress import ridge_solve

READOUTS = ("linear", "even", "full")


class Readout(NamedTuple):
    """Outputs = coef (m, p) @ features (p, c) + intercept (m,)."""

    coef: np.ndarray
    intercept: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs (c, m) for features (p, c)."""
        return (self.coef @ features).T + self.intercept


def readout_features(r: np.ndarray, kind: str) -> np.ndarray:
    """Return what the readout sees of the states r (N, c).

    Without a bias the network is an odd function of its input, and no odd readout could give an even term such as
    the product of two variables.

    * "linear": r itself
    * "even": r with every second unit squared
    * "full": r and the squares of all units, 2 N features
    """
    if kind == "linear":
        return r
    if kind == "full":
        return np.concatenate([r, r * r])
    features = r.copy()
    features[::2] *= r[::2]
    return features


def features_slope(r: np.ndarray, kind: str) -> np.ndarray:
    """Return the derivative (p, N) of the features at one state r (N,)."""
    if kind == "linear":
        return np.eye(len(r))
    if kind == "full":
        return np.concatenate([np.eye(len(r)), 2 * np.diag(r)])
    slope = np.ones(len(r))
    slope[::2] = 2 * r[::2]
    return np.diag(slope)


class RidgeSums:
    """Ridge regression with an intercept on features that come in blocks, (p, c) each.

    Only the lower half of the symmetric product is added up, in place: it is where a fit spends its time. The means
    are taken out at the end, which is harmless where neither features nor targets are far from zero.
    """

    def __init__(self) -> None:
        self._G = self._R = self._total = np.empty(0)  # the first block tells the sizes

    def add(self, features: np.ndarray, Y: np.ndarray) -> None:
        """Add features (p, c) and targets (c, m + 1), the last column of which is 1, or 0 in a row without weight.

        Features and targets of a row without weight must be zero. The sums are float64, whatever the features are:
        in float32 they would often be singular.
        """
        features = features.astype(np.float64, copy=False)
        if not self._G.size:
            n_features, n_columns = len(features), Y.shape[1]
            self._G = np.zeros((n_features, n_features), order="F")
            self._R, self._total = np.zeros((n_features, n_columns)), np.zeros(n_columns)
        self._G = dsyrk(1.0, features.T, beta=1.0, c=self._G, trans=1, lower=1, overwrite_c=1)
        self._R += features @ Y
        self._total += Y.sum(axis=0)

    def solve(self, ridge: float) -> Readout:
        """Minimise sum |Y - C features - c|^2 + ridge |C|^2."""
        n_samples = self._total[-1]
        total, Y_mean = self._R[:, -1], self._total[:-1] / n_samples
        G = self._G + self._G.T  # the upper half was zero
        G.flat[:: len(G) + 1] /= 2
        G -= np.outer(total, total / n_samples)
        coef = ridge_solve(G, self._R[:, :-1] - np.outer(total, Y_mean), ridge).T
        return Readout(coef, Y_mean - coef @ total / n_samples)


def fit_readout(
    network: Network,
    series: Sequence[np.ndarray],
    targets: np.ndarray,
    features: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    washout: int,
    ridge: float,
    overlap: int | None,
) -> Readout:
    """Fit outputs to the stacked targets (n, m) of the rows of the series, without the first `washout` of each.

    `features(rows, states)` maps states (N, c) at those rows to features (p, c). States exist block by block only.
    """
    washed_out = np.concatenate([np.arange(len(z)) for z in series]) < washout
    offset = targets.mean(axis=0)
    Y = np.hstack([targets - offset, np.ones((len(targets), 1))])
    Y[washed_out] = 0.0
    sums = RidgeSums()
    for rows, states in drive(network, series, overlap):
        phi = features(rows, states)
        phi[:, washed_out[rows]] = 0.0
        sums.add(phi, Y[rows])
    readout = sums.solve(ridge)
    return Readout(readout.coef, readout.intercept + offset)
