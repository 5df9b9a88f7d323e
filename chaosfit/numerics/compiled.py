"""Taylor's method for traced right-hand sides, compiled by numba.

The compiled program reads a tape as data. It is compiled once, for all systems, and kept on disk by numba; a new system
costs nothing but its tracing. Without numba the same functions run as Python, slowly.
"""

from __future__ import annotations

import contextlib
import functools
import math

import numpy as np

from chaosfit.numerics.taylor import MAX_DEFECT, taylor_order, tightened
from chaosfit.numerics.trace import Tape

try:
    from numba import njit
except ImportError:
    is_compiled = False

    def _fast(function):
        return function
else:
    is_compiled = True
    # Sums may be reordered, nothing more: comparisons with NaN keep their meaning.
    _fast = njit(cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")

__all__ = ["integrate_compiled", "is_compiled", "require_numba"]

_NAMES = ["variable", "time", "constant", "sign", "shift", "scale", "add", "subtract", "multiply"]
_NAMES += ["divide", "inverse", "power", "exp", "log", "sin", "cos", "tanh", "arctan"]
_VARIABLE, _TIME, _CONSTANT, _SIGN, _SHIFT, _SCALE, _ADD, _SUBTRACT, _MULTIPLY = range(9)
_DIVIDE, _INVERSE, _POWER, _EXP, _LOG, _SIN, _COS, _TANH, _ARCTAN = range(9, 18)


def require_numba() -> None:
    """Refuse to run the program as Python, which nobody asks for."""
    if not is_compiled:
        raise ImportError('backend="numba" needs numba: pip install "chaosfit[numba]"')


def integrate_compiled(
    tape: Tape,
    x0: np.ndarray,
    t: np.ndarray,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
    bound: float = np.inf,
    max_steps: int = 10_000,
) -> np.ndarray:
    """Integrate trajectories from every row of x0 (B, d); else as :func:`chaosfit.numerics.taylor.integrate_taylor`.

    Returns
    -------
    array (B, T, d)
        NaN from the point where a trajectory ended.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.numerics.compiled import integrate_compiled
    >>> from chaosfit.numerics.trace import trace
    >>> tape = trace(lambda x, time: [-x[0]], 1)
    >>> x = integrate_compiled(tape, np.array([[1.0], [2.0]]), np.array([0.0, 1.0]))
    >>> (x[:, 1, 0] * np.e).round(12).tolist()
    [1.0, 2.0]
    """
    x0, t = np.ascontiguousarray(x0, float), np.ascontiguousarray(t, float)
    out = np.full((len(x0), len(t), x0.shape[1]), np.nan)
    out[:, 0] = x0
    rtol, atol = tightened(rtol), tightened(atol)
    program = encoded(tape)
    work = np.zeros((2, len(tape.operations), taylor_order(rtol) + 1))
    for start, row in zip(x0, out, strict=True):
        # Compiled arithmetic gives NaN where that of Python raises.
        with contextlib.suppress(ArithmeticError, ValueError):
            _one_row(program, start, t, rtol, atol, float(bound), max_steps, work, row)
    return out


@functools.lru_cache(maxsize=256)
def encoded(tape: Tape) -> tuple[np.ndarray, ...]:
    """Arrays code, a, b, value, outputs, and the entries that are signs."""
    code = np.array([_NAMES.index(op.name) for op in tape.operations], np.int64)
    a = np.array([op.a for op in tape.operations], np.int64)
    b = np.array([op.b for op in tape.operations], np.int64)
    value = np.array([op.value for op in tape.operations])
    signs = np.flatnonzero(code == _SIGN)
    value[signs] = np.arange(len(signs))  # the place of a sign among the signs
    return code, a, b, value, np.array(tape.outputs, np.int64), signs


@_fast
def _one_row(program, x0, t, rtol, atol, bound, max_steps, work, out):
    """Write the states at all output times that the trajectory reaches."""
    v, following = work[0], work[1]
    d, order = len(x0), v.shape[1] - 1
    x, time, done, n_tries, just_flipped = x0.copy(), t[0], 1, 0, -1
    shortest = 2e-15 * max(abs(t[0]), abs(t[-1]))
    signs = np.zeros(len(program[5]))
    _series(program, x, time, signs, v)
    while done < len(t):
        step = _step_size(v, d, order, rtol, atol, t[-1] - time)
        if len(signs):
            step, just_flipped = _until_a_sign_changes(program, v, signs, step, just_flipped)
        while True:
            if not step > shortest:
                return
            for i in range(d):
                x[i] = _horner(v[i], order, step)
                if not abs(x[i]) <= bound:
                    return
            end = t[-1] if step == t[-1] - time else time + step
            _series(program, x, end, signs, following)
            if just_flipped >= 0 or _defect(v, following, d, order, step, rtol, atol) <= MAX_DEFECT:
                break
            step *= 0.5
        while done < len(t) and t[done] <= end:
            for i in range(d):
                out[done, i] = _horner(v[i], order, t[done] - time)
            done, n_tries = done + 1, 0
        v, following = following, v
        time, n_tries = end, n_tries + 1
        if n_tries > max_steps:
            return


@_fast
def _step_size(v, d, order, rtol, atol, rest):
    """Largest step for which the last two terms stay below the tolerance in every variable."""
    last = second = 0.0
    for i in range(d):
        scale = atol + rtol * abs(v[i, 0])
        last = max(last, abs(v[i, order]) / scale)
        second = max(second, abs(v[i, order - 1]) / scale)
    return min(max(last, 1e-300) ** (-1.0 / order), max(second, 1e-300) ** (-1.0 / (order - 1)), rest)


@_fast
def _defect(v, following, d, order, step, rtol, atol):
    """Difference of the slopes of two successive series where they meet; see `numerics.taylor`."""
    largest = 0.0
    for i in range(d):
        slope = order * v[i, order]
        for k in range(order - 1, 0, -1):
            slope = slope * step + k * v[i, k]
        ratio = step * abs(slope - following[i, 1]) / (atol + rtol * abs(following[i, 0]))
        if not ratio <= largest:
            largest = ratio
    return largest


@_fast
def _until_a_sign_changes(program, v, signs, step, just_flipped):
    """As in `numerics.taylor`; NaN as the step where the state slides along the surface."""
    flipped, order = -1, v.shape[1] - 2
    for i in range(len(signs)):
        series = v[program[1][program[5][i]]]
        lower = 1e-3 * step if i == just_flipped else 0.0
        for part in (0.25, 0.5, 0.75, 1.0):
            upper = part * step
            if _horner(series, order, upper) * signs[i] < 0.0:
                if i == just_flipped and _horner(series, order, lower) * signs[i] < 0.0:
                    return np.nan, -1
                for _ in range(60):
                    middle = 0.5 * (lower + upper)
                    if _horner(series, order, middle) * signs[i] < 0.0:
                        upper = middle
                    else:
                        lower = middle
                step, flipped = upper, i
                break
            lower = upper
    if flipped >= 0:
        signs[flipped] = -signs[flipped]
    return step, flipped


@_fast
def _horner(series, order, x):
    value = series[order]
    for k in range(order - 1, -1, -1):
        value = value * x + series[k]
    return value


@_fast
def _product(left, right, k, first, last):
    total = 0.0
    for j in range(first, last + 1):
        total += left[j] * right[k - j]
    return total


@_fast
def _weighted(left, right, k, first, last):
    total = 0.0
    for j in range(first, last + 1):
        total += j * left[j] * right[k - j]
    return total


@_fast
def _series(program, x, time, signs, v):
    """Fill the Taylor coefficients v (n_operations, order + 1) at a state; signs that are 0 are set."""
    code, a, b, value, outputs, _ = program
    d = len(x)
    for i in range(d):
        v[i, 0] = x[i]
    for k in range(v.shape[1] - 1):
        for i in range(d, len(code)):
            kind = code[i]
            if kind == _MULTIPLY:
                v[i, k] = _product(v[a[i]], v[b[i]], k, 0, k)
            elif kind == _ADD:
                v[i, k] = v[a[i], k] + v[b[i], k]
            elif kind == _SUBTRACT:
                v[i, k] = v[a[i], k] - v[b[i], k]
            elif kind == _SCALE:
                v[i, k] = value[i] * v[a[i], k]
            elif kind == _SHIFT:
                v[i, k] = v[a[i], k] + (value[i] if k == 0 else 0.0)
            elif kind == _SIGN:
                v[i, k] = _sign(v[a[i], 0], signs, int(value[i])) if k == 0 else 0.0
            elif k == 0:
                v[i, 0] = _start(kind, v, a[i], b[i], value[i], time)
            else:
                v[i, k] = _recurrence(kind, v, i, a[i], b[i], value[i], k)
        for i in range(d):
            v[i, k + 1] = v[outputs[i], k] / (k + 1)


@_fast
def _sign(x, signs, place):
    if signs[place] == 0.0:
        signs[place] = 1.0 if x >= 0.0 else -1.0
    return signs[place]


@_fast
def _start(kind, v, a, b, value, time):
    """Coefficient 0 of an operation."""
    if kind == _TIME:
        return time
    if kind == _CONSTANT:
        return value
    x = v[a, 0]
    if kind == _DIVIDE:
        return x / v[b, 0]
    if kind == _INVERSE:
        return 1.0 / x
    if kind == _POWER:
        return x**value
    if kind == _EXP:
        return math.exp(x)
    if kind == _LOG:
        return math.log(x)
    if kind == _SIN:
        return math.sin(x)
    if kind == _COS:
        return math.cos(x)
    return math.tanh(x) if kind == _TANH else math.atan(x)


@_fast
def _recurrence(kind, v, i, a, b, value, k):
    """Coefficient k >= 1 of an operation."""
    if kind == _TIME:
        return 1.0 if k == 1 else 0.0
    if kind == _CONSTANT:
        return 0.0
    if kind == _DIVIDE:
        return (v[a, k] - _product(v[b], v[i], k, 1, k)) / v[b, 0]
    if kind == _INVERSE:
        return -_product(v[a], v[i], k, 1, k) * v[i, 0]
    if kind == _POWER:
        weighted = (value + 1.0) * _weighted(v[a], v[i], k, 1, k) - k * _product(v[a], v[i], k, 1, k)
        return weighted / (k * v[a, 0])
    if kind == _EXP:
        return _weighted(v[a], v[i], k, 1, k) / k
    if kind == _LOG:
        return (v[a, k] - _weighted(v[i], v[a], k, 1, k - 1) / k) / v[a, 0]
    if kind == _SIN:
        return _weighted(v[a], v[b], k, 1, k) / k
    if kind == _COS:
        return -_weighted(v[a], v[b], k, 1, k) / k
    if kind == _TANH:
        return v[a, k] - _weighted(v[a], v[b], k, 1, k) / k
    return (v[a, k] - _weighted(v[i], v[b], k, 1, k - 1) / k) / v[b, 0]
