"""Fields on a periodic line: candidate terms u^a d^b u / dx^b, a solver for their sums, and a filter for noise.

References
----------
Kassam and Trefethen, SIAM J. Sci. Comput. 26, 1214 (2005), doi:10.1137/S1064827502410633 (the solver)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from chaosfit.numerics.spectral import etdrk4, etdrk4_step
from chaosfit.validation import check_finite

__all__ = ["FieldModel", "FieldTerms", "WienerFilter"]

#: Waves with less power than this many times the noise are dropped, and all shorter ones with them.
_AUDIBLE = 2.0
#: Fields that change this many times as much over the edge of the period as elsewhere are not periodic.
_LARGEST_JUMP = 6.0


class FieldTerms(TransformerMixin, BaseEstimator):
    """Library of the terms u^a and u^a d^b u / dx^b of a field on a periodic line, by Fourier derivatives.

    Parameters
    ----------
    length : float > 0
        Period of the line; the grid points x_j = j length / d are equally spaced.
    degree : int >= 0, default=4
        Highest power a.
    order : int >= 1, default=4
        Highest derivative b.

    Attributes
    ----------
    powers_ : list of p pairs (a, b)
        b = 0 stands for u^a itself; the constant is left out.

    Examples
    --------
    >>> import numpy as np
    >>> x = 2 * np.pi * np.arange(16) / 16
    >>> terms = FieldTerms(2 * np.pi, degree=1, order=2).fit(np.sin(x)[None])
    >>> terms.get_feature_names_out()
    ['u', 'u_x', 'u u_x', 'u_xx', 'u u_xx']
    >>> bool(np.allclose(terms.transform(np.sin(x)[None])[0, 1], np.cos(x)))
    True
    """

    def __init__(self, length, degree=4, order=4):
        self.length = length
        self.degree = degree
        self.order = order

    def fit(self, X, y=None):
        """List the terms; nothing is learned from X (n, d)."""
        if not (self.length > 0 and self.degree >= 0 and self.order >= 1):
            raise ValueError(
                "FieldTerms needs length > 0, degree >= 0 and order >= 1, "
                f"got {self.length!r}, {self.degree!r} and {self.order!r}."
            )
        self.n_features_in_ = np.shape(X)[1]
        if self.n_features_in_ < 2 * self.order + 1:
            raise ValueError(
                f"a grid of {self.n_features_in_} points is too coarse for derivatives of order {self.order}."
            )
        _refuse_edge(np.asarray(X, dtype=np.float64))
        self.powers_ = [(a, b) for b in range(self.order + 1) for a in range(self.degree + 1) if a or b]
        return self

    def transform(self, X):
        """Evaluate every term at fields X (n, d); shape (n, p, d)."""
        check_is_fitted(self)
        return np.stack([self.tendency(X, row) for row in np.eye(len(self.powers_))], axis=1)

    def tendency(self, X, coef: np.ndarray) -> np.ndarray:
        """Evaluate the sum of the terms with coefficients (p,) at fields X (n, d)."""
        d = X.shape[-1]
        waves = rfft(X, norm="forward")[..., : (d + 1) // 2]
        return _sum_of_terms(waves, _derivative(self.length, waves.shape[-1]), self.as_mapping(coef), d)

    def flow(self, X, coef: np.ndarray, dt: float) -> np.ndarray:
        """Advance fields X (n, d) by dt under the sum of the terms with coefficients (p,)."""
        return FieldModel(self.length, self.as_mapping(coef), dt)(X)

    def as_mapping(self, coef: np.ndarray) -> dict[tuple[int, int], float]:
        """Write coefficients (p,) as {(a, b): coefficient} without zeros."""
        return {power: float(c) for power, c in zip(self.powers_, coef, strict=True) if c}

    def get_feature_names_out(self, input_features=None) -> list[str]:
        """Names such as "u^2 u_xx"."""
        return [_name(a, b) for a, b in self.powers_]


def _refuse_edge(X: np.ndarray) -> None:
    """Refuse fields that jump where the period closes: their Fourier derivatives are those of the jump."""
    inside, edge = np.sqrt(np.mean(np.diff(X) ** 2)), np.sqrt(np.mean((X[:, 0] - X[:, -1]) ** 2))
    if edge > _LARGEST_JUMP * inside:
        raise ValueError(
            f"the fields are not periodic: from the last grid point to the first they change {edge / inside:.3g} times "
            "as much as between neighbours. Leave out a repeated end point, pass whole periods, or use another library."
        )


def _name(a: int, b: int) -> str:
    power = {0: "", 1: "u"}.get(a, f"u^{a}")
    return f"{power} {'u_' + 'x' * b if b else ''}".strip()


@lru_cache(maxsize=16)
def _derivative(length: float, n_waves: int) -> np.ndarray:
    return 2j * np.pi / length * np.arange(n_waves)


def _sum_of_terms(waves, derivative, coef, n_points: int) -> np.ndarray:
    """Evaluate terms on a grid, from Fourier coefficients (n, m); one transform for each order of derivative."""
    total = np.zeros((*waves.shape[:-1], n_points))
    u = irfft(waves, n_points, norm="forward") if any(a for a, _ in coef) else total
    for order in sorted({b for _, b in coef}):
        powers = {a: c for (a, b), c in coef.items() if b == order}
        factor = np.full(1, powers.get(max(powers)))
        for a in range(max(powers) - 1, -1, -1):  # Horner
            factor = factor * u + powers.get(a, 0.0)
        total += factor * irfft(derivative**order * waves, n_points, norm="forward") if order else factor
    return total


@dataclass(frozen=True)
class FieldModel:
    """Solver of u_t = sum c_ab u^a d^b u / dx^b on a periodic line: one interval for every row.

    Terms linear in u are exact (ETDRK4); products are free of aliasing where `cutoff` leaves room on the grid.

    Parameters
    ----------
    length : float > 0
    coef : dict {(a, b): c_ab}
        (0, 2) is u_xx, (1, 1) is u u_x, (2, 0) is u^2.
    dt : float > 0
        Interval that a call advances.
    n_substeps : int >= 1, default=1
        Time steps in it.
    cutoff : float > 0, default=None
        Largest wavenumber that is kept. Without damping of short waves a model needs one: it is ill-posed.

    Examples
    --------
    >>> import numpy as np
    >>> x = 2 * np.pi * np.arange(16) / 16
    >>> heat = FieldModel(2 * np.pi, {(0, 2): 1.0}, dt=1.0)
    >>> bool(np.allclose(heat(np.sin(x)[None]), np.exp(-1.0) * np.sin(x)))
    True
    """

    length: float
    coef: Mapping[tuple[int, int], float]
    dt: float
    n_substeps: int = 1
    cutoff: float | None = field(default=None)

    def __call__(self, states: np.ndarray, tendency=None) -> np.ndarray:
        """Advance states (n, d); a `tendency`, a sum of `FieldTerms`, becomes part of the equation."""
        coef = dict(self.coef)
        if tendency is not None:
            if not isinstance(tendency.library, FieldTerms) or tendency.library.length != self.length:
                raise ValueError(
                    f"this FieldModel can add terms of FieldTerms(length={self.length}) only, got {tendency.library}."
                )
            for power, c in tendency.library.as_mapping(tendency.coef).items():
                coef[power] = coef.get(power, 0.0) + c
        d = states.shape[-1]
        n_waves = (d + 1) // 2
        if self.cutoff is not None:
            n_waves = min(n_waves, 1 + int(self.cutoff * self.length / (2 * np.pi)))
        derivative = _derivative(self.length, n_waves)
        products = {power: c for power, c in coef.items() if power not in dict(_linear(coef))}
        highest = max((a + (b > 0) for a, b in products), default=1)
        n_points = min(d, next_fast_len((highest + 1) * n_waves, real=True))

        def nonlinear(waves):
            if not products:
                return np.zeros_like(waves)
            return rfft(_sum_of_terms(waves, derivative, products, n_points), norm="forward")[..., :n_waves]

        coefficients = _etdrk4(self.length, n_waves, _linear(coef), self.dt / self.n_substeps)
        waves = rfft(states, norm="forward")[..., :n_waves]
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.n_substeps):
                waves = etdrk4_step(waves, nonlinear, coefficients)
            return irfft(waves, d, norm="forward")


def _linear(coef) -> tuple:
    """Items of the terms that are linear in u: u itself and its bare derivatives."""
    return tuple(((a, b), c) for (a, b), c in coef.items() if (a, b) == (1, 0) or (a == 0 and b > 0))


@lru_cache(maxsize=64)
def _etdrk4(length: float, n_waves: int, terms: tuple, step: float):
    derivative = _derivative(length, n_waves)
    return etdrk4(sum((c * derivative**b for (_, b), c in terms), np.zeros(n_waves, complex)), step)


class WienerFilter(TransformerMixin, BaseEstimator):
    """Wiener filter of fields on a periodic line: keeps every wave as far as it rises above the noise.

    v_k -> v_k max(P_k - N, 0) / P_k with the mean power P_k of the fields and the power N of white noise. From the
    first wave on whose power is below 2 N nothing is kept.

    Parameters
    ----------
    noise_std : float >= 0, default=None
        Standard deviation of the noise at a grid point. None: from the quarter of shortest waves, which must be
        free of signal.

    Attributes
    ----------
    noise_std_ : float
    gain_ : ndarray of shape (n_waves,)
        Factors of the kept waves, the mean first.
    """

    def __init__(self, noise_std=None):
        self.noise_std = noise_std

    def fit(self, X, y=None):
        """Measure signal and noise on fields X (n, d)."""
        X = np.asarray(X, dtype=np.float64)
        check_finite(X, "X")
        if self.noise_std is not None and not self.noise_std >= 0:
            raise ValueError(f"noise_std must be a number >= 0 or None, got {self.noise_std!r}.")
        d = X.shape[1]
        power = np.mean(np.abs(rfft(X, norm="forward")[:, : (d + 1) // 2]) ** 2, axis=0)
        noise = power[-max(1, len(power) // 4) :].mean() if self.noise_std is None else self.noise_std**2 / d
        silent = np.flatnonzero(power[1:] <= _AUDIBLE * noise)
        n_waves = 1 + (silent[0] if len(silent) else len(power) - 1)
        self.n_features_in_ = d
        self.noise_std_ = float(np.sqrt(d * noise))
        self.gain_ = np.where(power > 0, np.maximum(power - noise, 0) / np.where(power > 0, power, 1.0), 1.0)[:n_waves]
        self.gain_[0] = 1.0
        return self

    def transform(self, X):
        """Filter fields X (n, d)."""
        check_is_fitted(self)
        waves = rfft(np.asarray(X, dtype=np.float64), norm="forward")[:, : len(self.gain_)]
        return irfft(self.gain_ * waves, self.n_features_in_, norm="forward")

    def modes(self, X) -> np.ndarray:
        """Return the kept waves of fields X (n, d) as real numbers with independent noise, (n, 2 n_waves - 1)."""
        waves = rfft(X, norm="ortho")[:, : len(self.gain_)]
        return np.hstack([waves[:, :1].real, np.sqrt(2) * waves[:, 1:].real, np.sqrt(2) * waves[:, 1:].imag])
