"""Monomials of several variables: which there are, their values, their derivatives and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np

__all__ = ["format_sum", "monomial_derivatives", "monomial_names", "monomial_powers", "monomials", "product_plan"]


def monomial_powers(n_variables: int, degrees: Iterable[int]) -> np.ndarray:
    """Return the exponents of all monomials of the given total degrees.

    Parameters
    ----------
    n_variables : int >= 1
    degrees : iterable of int >= 0
        For example (1, 2); 0 is the constant.

    Returns
    -------
    int array of shape (p, n_variables), by degree, then x0 before x1.

    Examples
    --------
    >>> monomial_powers(2, (0, 2)).tolist()
    [[0, 0], [2, 0], [1, 1], [0, 2]]
    """
    rows = []
    for degree in sorted(set(degrees)):
        for chosen in combinations_with_replacement(range(n_variables), degree):
            rows.append(np.bincount(chosen, minlength=n_variables) if chosen else np.zeros(n_variables, int))
    return np.array(rows, dtype=np.intp).reshape(-1, n_variables)


def monomials(X: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Evaluate monomials, each as a product of one variable and a monomial of lower degree.

    Parameters
    ----------
    X : array of shape (n, d)
    powers : int array of shape (p, d)

    Returns
    -------
    array of shape (n, p), in Fortran order: columns are contiguous.

    Examples
    --------
    >>> import numpy as np
    >>> monomials(np.array([[2.0, 3.0]]), monomial_powers(2, (1, 2))).tolist()
    [[2.0, 3.0, 4.0, 6.0, 9.0]]
    """
    steps, wanted = product_plan(powers)
    variables = np.ascontiguousarray(X.T)
    columns = np.empty((len(wanted), len(X)))
    product_rows = {index: row for row, index in enumerate(wanted) if index and steps[index - 1][0]}
    known: list = [1.0]
    for index, (lower, variable) in enumerate(steps, 1):
        if lower:  # products that are wanted are written where they belong
            out = columns[product_rows[index]] if index in product_rows else None
            known.append(np.multiply(known[lower], variables[variable], out=out))
        else:
            known.append(variables[variable])
    for row, index in enumerate(wanted):
        if product_rows.get(index) != row:
            columns[row] = known[index]
    return columns.T


def product_plan(powers: np.ndarray) -> tuple[list[tuple[int, int]], list[int]]:
    """Plan monomials as products: step k multiplies monomial `lower` by a variable; and which are wanted.

    Returns
    -------
    steps : list of (lower, variable)
        Step k - 1 makes monomial k; monomial 0 is the constant.
    wanted : list of p int
        The monomials that the rows of `powers` ask for.

    Examples
    --------
    >>> product_plan(np.array([[1, 2]]))
    ([(0, 0), (1, 1), (2, 1)], [3])
    """
    return _products(powers.tobytes(), powers.dtype.str, powers.shape[1])


@lru_cache(maxsize=256)
def _products(powers: bytes, dtype: str, n_variables: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Right-hand sides are evaluated often and on few rows: the plan would cost more than the products."""
    steps: list[tuple[int, int]] = []
    known = {(0,) * n_variables: 0}

    def index(power: tuple[int, ...]) -> int:
        if power not in known:
            last = max(i for i, exponent in enumerate(power) if exponent)
            lower = index((*power[:last], power[last] - 1, *power[last + 1 :]))
            steps.append((lower, last))
            known[power] = len(steps)
        return known[power]

    rows = np.frombuffer(powers, dtype=dtype).reshape(-1, n_variables).tolist()
    return steps, [index(tuple(row)) for row in rows]


def monomial_derivatives(X: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Differentiate monomials by every variable.

    Returns
    -------
    array of shape (n, p, d)

    Examples
    --------
    >>> import numpy as np
    >>> monomial_derivatives(np.array([[2.0, 3.0]]), np.array([[0, 0], [2, 1]])).tolist()
    [[[0.0, 0.0], [12.0, 4.0]]]
    """
    derivatives = np.zeros((len(X), *powers.shape))
    for variable, exponents in enumerate(powers.T):
        index = np.flatnonzero(exponents)
        lower = powers[index].copy()
        lower[:, variable] -= 1
        derivatives[:, index, variable] = exponents[index] * monomials(X, lower)
    return derivatives


def monomial_names(powers: np.ndarray, variables: Sequence[str]) -> list[str]:
    """Return readable names such as "1", "x0", "x0 x1^2".

    Examples
    --------
    >>> monomial_names(monomial_powers(2, (0, 1, 2)), ["x", "y"])
    ['1', 'x', 'y', 'x^2', 'x y', 'y^2']
    """
    names = []
    for power in powers:
        factors = [
            name if exponent == 1 else f"{name}^{exponent}"
            for name, exponent in zip(variables, power, strict=True)
            if exponent
        ]
        names.append(" ".join(factors) or "1")
    return names


def format_sum(coefficients: np.ndarray, names: Sequence[str], precision: int = 3) -> str:
    """Write a linear combination without its zero terms.

    Examples
    --------
    >>> import numpy as np
    >>> format_sum(np.array([0.0, -10.0, 10.0]), ["1", "x", "y"])
    '-10.000 x + 10.000 y'
    """
    text = ""
    for value, name in zip(coefficients, names, strict=True):
        if value == 0:
            continue
        number = f"{abs(value):.{precision}f}"
        if float(number) == 0:
            number = f"{abs(value):.{precision}e}"
        term = number if name == "1" else f"{number} {name}"
        sign = ("-" if value < 0 else "") if not text else (" - " if value < 0 else " + ")
        text += sign + term
    return text or "0"
