r"""Initial-value problems with polynomial right-hand sides: long steps of Taylor series, many trajectories at once.

The Taylor coefficients of a product are the convolution of those of its factors, so a polynomial field yields the
series of its own solution, one order after the other:

.. math:: x_{k+1} = \frac{h}{k + 1} \sum_i c_i\, (m_i)_k, \qquad (m y)_k = \sum_{j \le k} m_j\, y_{k - j}

for monomials m of the solution, with time in units of h. Every step ends where the last terms reach the tolerance, is
never repeated, and its polynomial is the dense output.

References
----------
Jorba and Zou, "A software package for the numerical integration of ODEs by means of high-order Taylor methods",
Experimental Mathematics 14, 99 (2005), doi:10.1080/10586458.2005.10128904.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chaosfit.numerics.polynomial import product_plan

__all__ = ["integrate_polynomial"]

#: Orders per e-fold of accuracy. Half of it would need the fewest products; numpy's cost is calls, so steps are longer.
_ORDERS_PER_FOLD, _MIN_ORDER, _MAX_ORDER = 0.9, 8, 30
_N_LAST = 3  # terms of the series that set the step: one or two may vanish by symmetry
_SAFETY, _MAX_GROWTH = 0.9, 10.0
#: Trajectories that are integrated together: their series fit into the cache.
_CHUNK = 512


def integrate_polynomial(
    powers: np.ndarray,
    coef: np.ndarray,
    x0: ArrayLike,
    t: ArrayLike,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
    bound: float = np.inf,
    max_steps: int = 10_000,
) -> np.ndarray:
    """Integrate dx/dt = sum of coefficients times monomials of x, from many initial states, each with its own steps.

    Parameters
    ----------
    powers : int array (p, d)
        Exponents of the monomials, see `chaosfit.numerics.polynomial`.
    coef : array (p, d) or (B, p, d)
        Their coefficients, for all trajectories together or for each of them.
    x0 : array (B, d)
        States at ``t[0]``. Rows with NaN come back as NaN.
    t : array (T,)
        Strictly increasing output times.
    rtol, atol : float
        Local error per step: ``atol + rtol * |x|`` in the root mean square over the d variables.
    bound : float
        A state with a larger absolute value, or a non-finite one, ends its trajectory.
    max_steps : int
        Steps between two output times after which a trajectory is given up.

    Returns
    -------
    array (B, T, d)
        States on `t`, ``out[:, 0] = x0``; NaN from the point where a trajectory ended. A trajectory does not depend
        on its companions.

    Notes
    -----
    On few trajectories two to four times as fast as the Runge-Kutta pair of `integrate_batch`, the more so the lower
    the tolerance, and no more suited to stiff equations.

    Examples
    --------
    >>> import numpy as np
    >>> out = integrate_polynomial(np.array([[2]]), np.array([[1.0]]), [[1.0], [-1.0]], [0.0, 0.5])  # x' = x^2
    >>> out[:, 1, 0].round(9).tolist()
    [2.0, -0.666666667]
    """
    x0, t, coef = np.asarray(x0, float), np.asarray(t, float), np.asarray(coef, float)
    if x0.ndim != 2 or coef.shape[-2:] != np.shape(powers) or x0.shape[1] != np.shape(powers)[1]:
        raise ValueError(
            f"expected powers (p, d), coef (p, d) or (B, p, d) and x0 (B, d), "
            f"got {np.shape(powers)}, {coef.shape} and {x0.shape}"
        )
    out = np.full((len(x0), len(t), x0.shape[1]), np.nan)
    for first in range(0, len(x0), _CHUNK):
        rows = slice(first, first + _CHUNK)
        some = coef if coef.ndim == 2 else coef[rows]
        x = x0[rows]
        if len(x) == 1:  # twice: numpy rounds sums of a single column in another order than those of many
            x, some = np.repeat(x, 2, axis=0), some if some.ndim == 2 else np.repeat(some, 2, axis=0)
        path = _paths(_Series(powers, some, len(x), rtol), x, t, (rtol, atol), bound, max_steps)
        out[rows] = path[: len(x0) - first]
    return out


class _Series:
    """Taylor coefficients of B solutions; work space for one right-hand side."""

    def __init__(self, powers: np.ndarray, coef: np.ndarray, n_rows: int, rtol: float):
        self.order = int(np.clip(-_ORDERS_PER_FOLD * np.log(max(rtol, 1e-16)), _MIN_ORDER, _MAX_ORDER))
        n_vars, (steps, wanted) = powers.shape[1], product_plan(powers)
        # Rows of `known`: the constant, all variables, then the products, those of one degree side by side.
        place, degree = [0], [0]
        for lower, variable in steps:
            place.append(0 if degree[lower] else 1 + variable)
            degree.append(degree[lower] + 1)
        n_known, self.levels = 1 + n_vars, []
        for k in range(2, max(degree) + 1):
            index = [i for i, of in enumerate(degree) if of == k]
            lowers = np.array([place[steps[i - 1][0]] for i in index])
            variables = np.array([1 + steps[i - 1][1] for i in index])
            for i in index:
                place[i], n_known = n_known, n_known + 1
            rows = slice(n_known - len(index), n_known)
            self.levels.append(_Products(lowers, variables, rows, self.order, n_rows))
        self.known, self.variables = np.zeros((n_known, n_rows)), slice(1, 1 + n_vars)
        self.coef = np.zeros((*coef.shape[:-2], n_known, n_vars))
        self.coef[..., [place[i] for i in wanted], :] = coef
        self.sum = "pd,pb->db" if coef.ndim == 2 else "bpd,pb->db"

    def coefficients(self, x: np.ndarray, h: np.ndarray, order: int | None = None) -> np.ndarray:
        """Coefficients (order + 1, d, B) of the solutions through x (d, B), times powers of h (B,)."""
        order, known = order or self.order, self.known
        series, scale = np.empty((order + 1, *x.shape)), h / np.arange(1, order + 1)[:, None]
        series[0], known[0] = x, 1.0
        for k in range(order):
            known[self.variables] = series[k]
            for products in self.levels:
                products.convolve(k, known)
            following = series[k + 1]
            np.einsum(self.sum, self.coef, known, out=following)
            following *= scale[k]
            known[0] = 0.0
        return series


class _Products:
    """Convolutions of pairs of series, written to some rows of the known ones; `lower` and `variable` are rows, too."""

    def __init__(self, lower: np.ndarray, variable: np.ndarray, rows: slice, order: int, n_rows: int):
        self.lower, self.variable, self.rows = lower, variable, rows
        # The right factors backwards, so that a convolution is a sum over pairs side by side.
        left, right = np.empty((2, order, len(lower), n_rows))
        self.pairs = [(left[k], right[order - 1 - k], left[: k + 1], right[order - 1 - k :]) for k in range(order)]

    def convolve(self, k: int, known: np.ndarray) -> None:
        """Add order k of the factors and write order k of their products."""
        left, right, lefts, rights = self.pairs[k]
        known.take(self.lower, 0, left, "clip")
        known.take(self.variable, 0, right, "clip")
        np.einsum("kmb,kmb->mb", lefts, rights, out=known[self.rows])


def _paths(series: _Series, x0, t, tolerance, bound, max_steps) -> np.ndarray:
    """Advance all rows until each has reached the end or died, writing the output grid as steps pass over it."""
    n_rows, end = len(x0), t[-1]
    out = np.full((n_rows, len(t), x0.shape[1]), np.nan)
    out[:, 0] = x0
    with np.errstate(all="ignore"):
        alive = _within(x0.T, bound)
        x = np.where(alive, x0.T, 0.0)  # ended rows stay in the batch at a harmless state
        time, written, n_tries = np.full(n_rows, t[0]), np.ones(n_rows, int), np.zeros(n_rows, int)
        shortest = 10.0 * np.spacing(max(abs(t[0]), abs(end)))
        step = _first_step(series, x, end - t[0])
        active = alive & (time < end)
        while active.any():
            terms = series.coefficients(x, step)
            taken = step * np.where(active, _growth(terms, *tolerance), 0.0)
            time_new = np.where(taken >= end - time, end, time + taken)
            reached = np.where(active, np.searchsorted(t, time_new, side="right"), written)
            _write(terms, time, step, t, written, reached, out)
            x_new = np.einsum("kb,kdb->db", _powers((time_new - time) / step, len(terms)), terms)
            n_tries = np.where(reached > written, 0, n_tries + 1)
            going = active & (n_tries <= max_steps) & (taken >= shortest) & _within(x_new, bound)
            x, step = np.where(going, x_new, x), np.where(going, taken, step)
            time, written = np.where(active, time_new, time), reached
            active = going & (time < end)
        escaped = np.logical_or.accumulate(~_within(np.moveaxis(out, 2, 0), bound), axis=1)
    out[escaped] = np.nan
    return out


def _within(x: np.ndarray, bound: float) -> np.ndarray:
    return (np.isfinite(x) & (np.abs(x) <= bound)).all(axis=0)


def _first_step(series: _Series, x: np.ndarray, longest: float) -> np.ndarray:
    """A tenth of the time in which the state moves by its own size: only a unit of time for the first series."""
    slope = series.coefficients(x, np.ones(x.shape[1]), order=1)[1]
    size, speed = (np.sqrt((part * part).mean(axis=0)) for part in (x, slope))
    return np.where((size > 0) & (speed > 0), np.minimum(0.1 * size / speed, longest), 1e-3 * longest)


def _growth(terms: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """Largest multiple (B,) of the unit of time at which the last terms are below the tolerance."""
    order = np.arange(len(terms) - _N_LAST, len(terms))
    error = terms[-_N_LAST:] / (atol + rtol * np.abs(terms[0]))
    size = np.sqrt((error * error).mean(axis=1))
    growth = _SAFETY * (size ** (-1.0 / order[:, None])).min(axis=0)
    return np.where(np.isnan(growth), 0.0, np.minimum(growth, _MAX_GROWTH))


def _powers(x: np.ndarray, n_powers: int) -> np.ndarray:
    """Powers 0, 1, ... of x (n,), shape (n_powers, n)."""
    powers = np.empty((n_powers, len(x)))
    powers[0], powers[1:] = 1.0, x
    return np.multiply.accumulate(powers, axis=0, out=powers)


def _write(terms, time, step, t, written, reached, out) -> None:
    """Evaluate the series of every row i at the output times written[i] <= k < reached[i]."""
    count = reached - written
    row = np.repeat(np.arange(len(count)), count)
    if not len(row):
        return
    column = np.arange(len(row)) + np.repeat(written - np.cumsum(count) + count, count)
    weights = _powers((t[column] - time[row]) / step[row], len(terms))
    out[row, column] = np.einsum("kn,kdn->nd", weights, terms[:, :, row])
