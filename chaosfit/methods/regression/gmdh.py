"""Group method of data handling: a polynomial of many inputs, grown layer by layer out of pairs."""

from __future__ import annotations

from itertools import combinations
from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from chaosfit.validation import Interval, validate_data

__all__ = ["GMDHRegressor"]

_BLOCK_NUMBERS = 2**22  # of the terms of many pairs, held at a time


class _Neuron(NamedTuple):
    """coef (6,) on the terms of two columns; column number n_inputs + k is the output of neuron k."""

    first: int
    second: int
    coef: NDArray[np.float64]


class GMDHRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Group method of data handling: a self-organised polynomial network.

    .. math:: f(a, b) = w_0 + w_1 a + w_2 b + w_3 a^2 + w_4 b^2 + w_5 a b

    A layer fits one such neuron to every pair of its inputs, by least squares on the first rows, and keeps those with
    the least error on the last rows, which were not fitted. The next layer has these and the original inputs as
    inputs. It ends when another layer gains less than `tol`.

    Parameters
    ----------
    n_survivors : int >= 1, default 12
        Neurons that each layer hands on.
    max_layers : int >= 1, default 6
        The degree of the polynomial is at most 2^max_layers.
    check_fraction : float in (0, 1), default 0.35
        Share of the rows, the last ones, that select neurons and are not fitted.
    tol : float >= 0, default 0.01
        Relative gain that a further layer must bring.
    ridge : float >= 0, default 1e-8
        Penalty on the six coefficients, relative to the mean square of their terms.

    Attributes
    ----------
    networks_ : list of d lists of neurons (first, second, coef)
        What the output of each target needs, the output last, in standardised units.
    errors_ : list of d arrays of shape (n_layers,)
        Least mean squared error on the check rows after each layer, in variances of the target.
    mean_, scale_ : arrays of shape (p,)
        What standardises the inputs.
    target_mean_, target_scale_, lower_, upper_ : arrays of shape (d,)
        What standardises the targets, and the range to which every neuron is cut.

    Notes
    -----
    Two departures from the classical method, without which it is not usable: the original inputs enter every layer,
    so that a variable that is useless alone is not lost for good; and every output is cut to the range of the training
    targets widened by half on either side, since a polynomial of degree 2^layers explodes outside its data. Not
    for rows sorted by a column of X: the last rows must be like the first.

    References
    ----------
    Ivakhnenko, "Polynomial theory of complex systems", IEEE Transactions on Systems, Man, and Cybernetics SMC-1, 364
    (1971), doi:10.1109/TSMC.1971.4308320.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(400, 5))
    >>> model = GMDHRegressor(max_layers=1).fit(X, 1 + 2 * X[:, 0] * X[:, 3])
    >>> model.equations()
    ['y = 1 + 2 x0 x3']
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_survivors": [Interval(Integral, 1, None, closed="left")],
        "max_layers": [Interval(Integral, 1, None, closed="left")],
        "check_fraction": [Interval(Real, 0, 1, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "ridge": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, n_survivors=12, max_layers=6, check_fraction=0.35, tol=0.01, ridge=1e-8):
        self.n_survivors = n_survivors
        self.max_layers = max_layers
        self.check_fraction = check_fraction
        self.tol = tol
        self.ridge = ridge

    def fit(self, X, y):
        """Grow one network per target.

        Parameters
        ----------
        X : array of shape (n, p), n >= 4
        y : array of shape (n,) or (n, d)
        """
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=4)
        Y = np.asarray(y, dtype=np.float64).reshape(len(X), -1)
        self._vector = y.ndim == 1
        (self.mean_, self.scale_), (self.target_mean_, self.target_scale_) = _units(X), _units(Y)
        margin = np.ptp(Y, axis=0) / 2
        self.lower_, self.upper_ = Y.min(axis=0) - margin, Y.max(axis=0) + margin
        columns = ((X - self.mean_) / self.scale_).T
        targets = ((Y - self.target_mean_) / self.target_scale_).T
        grown = [self._grow(columns, target, self._limits(k)) for k, target in enumerate(targets)]
        self.networks_ = [network for network, _ in grown]
        self.errors_ = [errors for _, errors in grown]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the networks.

        Parameters
        ----------
        X : array of shape (n, p)

        Returns
        -------
        array of shape (n,) or (n, d)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        inputs = list(((X - self.mean_) / self.scale_).T)
        outputs = []
        for k, network in enumerate(self.networks_):
            columns = inputs.copy()
            for first, second, coef in network:
                columns.append(np.clip(coef @ _terms(columns[first], columns[second]), *self._limits(k)))
            outputs.append(self.target_mean_[k] + self.target_scale_[k] * columns[-1])
        return outputs[0] if self._vector else np.stack(outputs, axis=1)

    def equations(self, precision: int = 3) -> list[str]:
        """Return the polynomials as text, in the units of the data: inner neurons f1, f2, ... first, then the output.

        Every line is cut to [lower_, upper_] of its target before it is used; terms that cannot be seen at
        this precision are left out.
        """
        check_is_fitted(self)
        names = [*getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])]
        lines: list[str] = []
        for k, network in enumerate(self.networks_):
            offset = [*self.mean_, *[self.target_mean_[k]] * len(network)]
            scale = [*self.scale_, *[self.target_scale_[k]] * len(network)]
            known = names.copy()
            for neuron in network:
                pair = [neuron.first, neuron.second]
                coef = _in_units(neuron.coef, *[(1 / scale[i], -offset[i] / scale[i]) for i in pair])
                coef = self.target_scale_[k] * coef + self.target_mean_[k] * (np.arange(6) == 0)
                spread = np.abs(coef) * _terms(*[max(abs(offset[i]), scale[i]) for i in pair])
                known.append(f"f{len(lines) + 1}")
                if neuron is network[-1]:
                    known[-1] = "y" if self._vector else f"y{k}"
                kept = spread > 0.5 * 10.0**-precision * spread.max()
                lines.append(f"{known[-1]} = {_write(coef, kept, known[pair[0]], known[pair[1]], precision)}")
        return lines

    def _limits(self, target: int) -> NDArray[np.float64]:
        """Return the range of a target, standardised."""
        limits = np.array([self.lower_[target], self.upper_[target]])
        return (limits - self.target_mean_[target]) / self.target_scale_[target]

    def _grow(self, inputs: NDArray, target: NDArray, limits: NDArray) -> tuple[list[_Neuron], NDArray]:
        """Return the neurons that the best output needs, and the error after each layer, for inputs (p, n)."""
        columns = list(inputs)
        neurons: list[_Neuron] = []
        errors: list[float] = []
        candidates = list(range(len(inputs)))
        for _ in range(self.max_layers):
            pairs = np.array(list(combinations(candidates, 2)) or [(0, 0)])  # a single input has no partner
            coefs, error = self._fit_pairs(np.array(columns), pairs, target, limits)
            best = np.argsort(error, kind="stable")[: self.n_survivors]
            if errors and error[best[0]] > (1 - self.tol) * errors[-1]:
                break
            errors.append(error[best[0]])
            output = len(columns)
            for i in best:
                neurons.append(_Neuron(int(pairs[i, 0]), int(pairs[i, 1]), coefs[i]))
                columns.append(np.clip(coefs[i] @ _terms(*(columns[c] for c in pairs[i])), *limits))
            candidates = [*range(output, len(columns)), *range(len(inputs))]
        return _needed(neurons, output, len(inputs)), np.array(errors)

    def _fit_pairs(self, columns, pairs, target, limits) -> tuple[NDArray, NDArray]:
        """Fit every pair of columns (c, n) on the first rows; return coefficients (P, 6) and errors on the others."""
        n_rows = len(target)
        n_fitted = int(np.clip(round((1 - self.check_fraction) * n_rows), 1, n_rows - 1))
        coefs, errors = [], []
        size = max(1, _BLOCK_NUMBERS // (6 * n_rows))
        for start in range(0, len(pairs), size):
            terms = _terms(*columns[pairs[start : start + size].T])  # (6, P, n)
            A = terms[..., :n_fitted].transpose(1, 0, 2)  # (P, 6, n_fitted)
            G = A @ A.transpose(0, 2, 1)
            penalty = self.ridge * np.trace(G, axis1=1, axis2=2) / 6
            # The smallest number that keeps a pair of equal columns solvable.
            G += np.maximum(penalty, 1e-12 * n_fitted)[:, np.newaxis, np.newaxis] * np.eye(6)
            coef = np.linalg.solve(G, (A @ target[:n_fitted])[..., np.newaxis])[..., 0]
            output = np.clip(np.einsum("pk,kpn->pn", coef, terms[..., n_fitted:]), *limits)
            coefs.append(coef)
            errors.append(np.mean((output - target[n_fitted:]) ** 2, axis=1))
        return np.concatenate(coefs), np.concatenate(errors)


def _units(columns: NDArray) -> tuple[NDArray, NDArray]:
    """Return means and standard deviations, 1 for a constant column."""
    scale = columns.std(axis=0)
    return columns.mean(axis=0), np.where(scale > 0, scale, 1.0)


def _terms(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the terms 1, a, b, a^2, b^2, ab as (6, ...)."""
    a, b = np.asarray(a), np.asarray(b)
    return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b])


def _needed(neurons: list[_Neuron], output: int, n_inputs: int) -> list[_Neuron]:
    """Return the neurons on which column `output` depends, renumbered, that one last."""
    wanted = {output}
    for column in range(output, n_inputs - 1, -1):
        if column in wanted:
            wanted |= {neurons[column - n_inputs].first, neurons[column - n_inputs].second}
    kept = sorted(column for column in wanted if column >= n_inputs)
    number = {column: n_inputs + k for k, column in enumerate(kept)}
    return [
        neuron._replace(first=number.get(neuron.first, neuron.first), second=number.get(neuron.second, neuron.second))
        for neuron in (neurons[column - n_inputs] for column in kept)
    ]


def _in_units(w: NDArray, first: tuple[float, float], second: tuple[float, float]) -> NDArray[np.float64]:
    """Rewrite w on the terms of a, b as coefficients on those of A, B, where a = p A + q and b = r B + s."""
    (p, q), (r, s) = first, second
    return np.array(
        [
            w @ _terms(q, s),
            p * (w[1] + 2 * w[3] * q + w[5] * s),
            r * (w[2] + 2 * w[4] * s + w[5] * q),
            w[3] * p * p,
            w[4] * r * r,
            w[5] * p * r,
        ]
    )


def _write(coef: NDArray, kept: NDArray, a: str, b: str, precision: int) -> str:
    """Write the polynomial as text."""
    monomials = ["", f" {a}", f" {b}", f" {a}^2", f" {b}^2", f" {a} {b}"]
    parts = [
        (value, f"{abs(value):.{precision}g}{m}") for value, m, keep in zip(coef, monomials, kept, strict=True) if keep
    ]
    text = " ".join(f"{'-' if value < 0 else '+'} {part}" for value, part in parts) or "+ 0"
    return text.removeprefix("+ ")
