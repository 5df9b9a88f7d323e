"""Taylor's method for one trajectory of a traced right-hand side, in generated code without any compiler.

Every operation of a tape has a recurrence for its Taylor coefficients. They are written out as one function of plain
numbers, which Python runs tens of times faster than array operations on three variables. Steps are as long as the
series allows, the series is the interpolant, and where a sign changes the step ends exactly there.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chaosfit.numerics.trace import Operation, Tape, TraceError

__all__ = ["MAX_DEFECT", "integrate_taylor", "taylor_order", "tightened"]

#: Terms kept below the tolerance: a trajectory then errs by less than the tolerance over many steps, at little cost.
SAFETY = 1e-3
#: Where a step ends, its series must still obey the equations, up to this multiple of the tightened tolerance: far from
#: a steep switch the terms know nothing of it, and the step would pass over it.
MAX_DEFECT = 1.0 / SAFETY
_BLOCK = 2000
_FAILURES = (ArithmeticError, ValueError, TypeError)


def taylor_order(tolerance: float) -> int:
    """Order at which the cost of a unit of time is least; Jorba, Zou, doi:10.1080/10586458.2005.10128904."""
    return max(4, math.ceil(1.0 - math.log(tolerance) / 2.0))


def tightened(tolerance: float) -> float:
    """Bound on the last terms of a series for a tolerance on the trajectory."""
    return max(SAFETY * tolerance, 1e-16)


def integrate_taylor(
    tape: Tape,
    x0: np.ndarray,
    t: np.ndarray,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
    bound: float = np.inf,
    max_steps: int = 10_000,
) -> np.ndarray:
    """Integrate one trajectory.

    Parameters
    ----------
    tape : Tape
        From :func:`chaosfit.numerics.trace.trace`. Signs (abs, heaviside, minimum, ...) are followed from one change to
        the next; the right-hand side is smooth in between.
    x0 : array (d,)
        State at ``t[0]``.
    t : array (T,)
        Strictly increasing output times.
    rtol, atol : float
        The last two terms of every series stay below ``atol + rtol |x|``, variable by variable, a thousandfold.
    bound : float
        A state with a larger absolute value ends the trajectory.
    max_steps : int
        Steps between two output times after which the trajectory is given up; stiff ones are.

    Returns
    -------
    array (T, d)
        NaN from the point where the trajectory ended.

    References
    ----------
    Jorba, Zou, Experimental Mathematics 14, 99, 2005, doi:10.1080/10586458.2005.10128904. Step sizes: Barrio, Applied
    Mathematics and Computation 163, 525, 2005, doi:10.1016/j.amc.2004.02.015.

    Examples
    --------
    >>> import numpy as np
    >>> from chaosfit.numerics.taylor import integrate_taylor
    >>> from chaosfit.numerics.trace import trace
    >>> tape = trace(lambda x, time: [x[1], -x[0]], 2)
    >>> x = integrate_taylor(tape, np.array([0.0, 1.0]), np.linspace(0.0, 10.0, 11))
    >>> bool(np.abs(x[:, 0] - np.sin(np.arange(11.0))).max() < 1e-12)
    True
    """
    out = np.full((len(t), len(x0)), np.nan)
    out[0], done = x0, 1
    limits = (tightened(rtol), tightened(atol), bound, max_steps)
    for times, series in _blocks(tape, x0, t, limits):
        end = int(np.searchsorted(t, times[-1], side="right"))
        step = np.searchsorted(times, t[done:end], side="right") - 1
        step = np.minimum(step, len(series) - 1)
        out[done:end] = _polynomial(series[step], t[done:end] - times[step])
        done = max(done, end)
    return out


def _polynomial(series: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Values (n, d) of polynomials with coefficients (n, d, order + 1)."""
    value = series[:, :, -1]
    for k in range(series.shape[2] - 2, -1, -1):
        value = series[:, :, k] + offset[:, None] * value
    return value


def _blocks(tape: Tape, x0, t, limits) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Step boundaries (S + 1,) and coefficients (S, d, order + 1) of at most `_BLOCK` steps at a time."""
    steps = _steps(tape, x0, t, limits)
    while True:
        block = list(itertools.islice(steps, _BLOCK))
        if not block:
            return
        starts, series, ends = zip(*block, strict=True)
        yield np.array([*starts, ends[-1]]), np.array(series)


def _steps(tape: Tape, x0, t, limits) -> Iterator[tuple[float, tuple, float]]:
    """Start, coefficients and end of every step up to ``t[-1]``, fewer if the trajectory ends before."""
    rtol, atol, bound, max_steps = limits
    series_at, state_at, defect_at = generated(tape, taylor_order(rtol))
    x, time, end = [float(v) for v in x0], float(t[0]), float(t[-1])
    signs: list[float] = _initial_signs(tape, x, time)
    shortest = 10.0 * np.spacing(max(abs(time), abs(end)))
    output, n_tries = 1, 0
    just_flipped = -1
    try:
        series, arguments, error, second = series_at(*x, time, *signs, rtol, atol)
        order = len(series[0]) - 1
        while time < end:
            step = min(max(error, 1e-300) ** (-1.0 / order), max(second, 1e-300) ** (-1.0 / (order - 1)), end - time)
            flipped = -1
            if signs:
                step, flipped = _until_a_sign_changes(arguments, signs, step, just_flipped)
                if flipped >= 0:
                    signs[flipped] = -signs[flipped]
                just_flipped = flipped
            while True:
                x = state_at(series, step)
                if not (step > shortest and max(map(abs, x)) <= bound):
                    return
                following = series_at(*x, time + step, *signs, rtol, atol)
                # Where a sign changes, the slope may jump.
                if flipped >= 0 or defect_at(series, following[0], step, rtol, atol) <= MAX_DEFECT:
                    break
                step *= 0.5
            start, time = time, end if step == end - time else time + step
            yield start, series, time
            series, arguments, error, second = following
            n_tries += 1
            if time >= t[output]:
                output, n_tries = int(np.searchsorted(t, time, side="right")), 0
            elif n_tries > max_steps:
                return
    except _FAILURES:
        return


def _initial_signs(tape: Tape, x: list[float], time: float) -> list[float]:
    arguments = [op.a for op in tape.operations if op.name == "sign"]
    if not arguments:
        return []
    values = Tape(tape.n_variables, tape.operations, tuple(arguments)).function(np.array([x]), np.array([time]))[0]
    return [1.0 if value >= 0.0 else -1.0 for value in values]


def _until_a_sign_changes(arguments, signs, step, just_flipped) -> tuple[float, int]:
    """Shorten a step to the first change of sign in it; also which one, or -1.

    The one that has just changed starts at zero, up to rounding, and is looked at behind the first part of the step.
    """
    flipped = -1
    for i, (series, sign) in enumerate(zip(arguments, signs, strict=True)):
        lower = 1e-3 * step if i == just_flipped else 0.0
        for part in (0.25, 0.5, 0.75, 1.0):
            upper = part * step
            if _horner(series, upper) * sign < 0.0:
                if _horner(series, lower) * sign >= 0.0 or i != just_flipped:
                    step, flipped = _root(series, sign, lower, upper), i
                else:
                    raise ArithmeticError("the state slides along the surface where a sign changes")
                break
            lower = upper
    return step, flipped


def _root(series, sign, lower, upper) -> float:
    for _ in range(60):
        middle = 0.5 * (lower + upper)
        if _horner(series, middle) * sign < 0.0:
            upper = middle
        else:
            lower = middle
    return upper


def _horner(series, x: float) -> float:
    value = 0.0
    for coefficient in reversed(series):
        value = value * x + coefficient
    return value


# ---------------------------------------------------------------------- generated code
@functools.lru_cache(maxsize=256)
def generated(tape: Tape, order: int) -> tuple[Callable[..., Any], ...]:
    """Functions for the coefficients of a step, the state that they give after a time, and their defect there."""
    namespace: dict[str, Any] = {name: getattr(math, name) for name in ("exp", "log", "sin", "cos", "tanh")}
    namespace["arctan"] = math.atan
    exec(_Writer(tape, order).source(), namespace)
    return namespace["series_at"], namespace["state_at"], namespace["defect_at"]


class _Writer:
    """Writes the recurrences out; coefficient k of entry i is called v{i}_{k}, one that is zero "0"."""

    def __init__(self, tape: Tape, order: int) -> None:
        self.tape, self.order = tape, order
        self.lines: list[str] = []
        self.c: dict[tuple[int, int], str] = {}
        self.signs = [i for i, op in enumerate(tape.operations) if op.name == "sign"]

    def source(self) -> str:
        d = self.tape.n_variables
        for i in range(d):
            self.c[i, 0] = f"v{i}_0"
        for k in range(self.order):
            for i, op in enumerate(self.tape.operations[d:], d):
                self._assign(i, k, self._coefficient(op, i, k))
            for i, output in enumerate(self.tape.outputs):
                slope = self.c[output, k]
                self._assign(i, k + 1, slope if k == 0 or slope == "0" else f"{slope} * {1.0 / (k + 1)!r}")
        return "\n".join([*self._head(), *(f"    {line}" for line in self.lines), *self._tail()])

    def _head(self) -> list[str]:
        d = self.tape.n_variables
        names = [*(f"v{i}_0" for i in range(d)), "time", *(f"s{i}" for i in self.signs), "rtol", "atol"]
        return [f"def series_at({', '.join(names)}):"]

    def _tail(self) -> list[str]:
        d, p = self.tape.n_variables, self.order
        rows = [f"({', '.join(self._number(i, k) for k in range(p + 1))})" for i in range(d)]
        watched = [self.tape.operations[i].a for i in self.signs]
        arguments = [f"({', '.join(self._number(i, k) for k in range(p))})" for i in watched]
        errors = [f"max({', '.join(self._errors(k))})" if d > 1 else self._errors(k)[0] for k in (p, p - 1)]
        states, defects = [], []
        for i in range(d):
            state, slope = f"a{i}_{p}", f"{p}.0 * a{i}_{p}"
            for k in range(p - 1, -1, -1):
                state = f"a{i}_{k} + h * ({state})"
                slope = f"{k}.0 * a{i}_{k} + h * ({slope})" if k else slope
            states.append(state)
            defects.append(f"abs({slope} - b{i}[1]) / (atol + rtol * abs(b{i}[0]))")
        names = [f"({', '.join(f'a{i}_{k}' for k in range(p + 1))})" for i in range(d)]
        return [
            *(f"    w{i} = 1.0 / (atol + rtol * abs(v{i}_0))" for i in range(d)),
            f"    return ({', '.join(rows)},), ({''.join(f'{a}, ' for a in arguments)}), {errors[0]}, {errors[1]}",
            "def state_at(series, h):",
            f"    {', '.join(names)}, = series",
            f"    return ({', '.join(states)},)",
            "def defect_at(series, following, h, rtol, atol):",
            f"    {', '.join(names)}, = series",
            f"    {', '.join(f'b{i}' for i in range(d))}, = following",
            f"    return h * max({', '.join(defects)}, 0.0)",
        ]

    def _errors(self, k: int) -> list[str]:
        return [f"abs({self._number(i, k)}) * w{i}" for i in range(self.tape.n_variables)]

    def _number(self, i: int, k: int) -> str:
        name = self.c[i, k]
        return "0.0" if name == "0" else name

    def _assign(self, i: int, k: int, expression: str) -> None:
        if expression != "0" and not expression.isidentifier():
            self.lines.append(f"v{i}_{k} = {expression}")
            expression = f"v{i}_{k}"
        self.c[i, k] = expression

    def _sum(self, a: int, b: int, k: int, first: int, last: int, weighted: bool = False) -> str:
        """Sum of a_j b_(k - j) over j = first..last, or of j a_j b_(k - j)."""
        terms = []
        for j in range(first, last + 1):
            left, right = self._weighted(a, j) if weighted else self.c[a, j], self.c[b, k - j]
            if "0" not in (left, right):
                terms.append(f"{left} * {right}")
        return " + ".join(terms) or "0"

    def _weighted(self, i: int, j: int) -> str:
        """Name of j times coefficient j; written when first needed."""
        if j == 1 or self.c[i, j] == "0":
            return self.c[i, j]
        name = f"d{i}_{j}"
        if (
            self.c.setdefault((i, -j), name) == name
            and (line := f"{name} = {j}.0 * {self.c[i, j]}") not in self.lines[-99:]
        ):
            self.lines.append(line)
        return name

    def _square(self, a: int, k: int) -> str:
        pairs = self._sum(a, a, k, 0, (k - 1) // 2) if k else "0"
        doubled = "0" if pairs == "0" else f"2.0 * ({pairs})"
        if k % 2 or self.c[a, k // 2] == "0":
            return doubled
        middle = f"{self.c[a, k // 2]} * {self.c[a, k // 2]}"
        return middle if doubled == "0" else f"{doubled} + {middle}"

    def _coefficient(self, op: Operation, i: int, k: int) -> str:
        if op.name in ("constant", "time", "sign"):
            first = {"constant": repr(op.value), "time": "time", "sign": f"s{i}"}[op.name]
            return first if k == 0 else "1.0" if op.name == "time" and k == 1 else "0"
        a = self.c[op.a, k]
        if op.name == "shift":
            return f"{a} + {op.value!r}" if k == 0 else a
        if op.name == "scale":
            return "0" if a == "0" else f"{op.value!r} * {a}"
        if op.name in ("add", "subtract"):
            return self._linear(op.name, a, self.c[op.b, k])
        if op.name == "multiply":
            return self._square(op.a, k) if op.a == op.b else self._sum(op.a, op.b, k, 0, k)
        if op.name in ("floor", "arccos"):
            raise TraceError(f"there is no Taylor series of {op.name}")
        return self._first(op) if k == 0 else self._recurrence(op, i, k)

    @staticmethod
    def _linear(name: str, a: str, b: str) -> str:
        if b == "0":
            return a
        if name == "add":
            return b if a == "0" else f"{a} + {b}"
        return f"-{b}" if a == "0" else f"{a} - {b}"

    def _first(self, op: Operation) -> str:
        a = self.c[op.a, 0]
        simple = {"inverse": f"1.0 / {a}", "power": f"{a} ** {op.value!r}"}
        if op.name == "divide":
            return f"{a} / {self.c[op.b, 0]}"
        return simple.get(op.name, f"{op.name}({a})")

    def _recurrence(self, op: Operation, i: int, k: int) -> str:
        a, b = op.a, op.b
        if op.name == "inverse":
            return f"-({self._sum(a, i, k, 1, k)}) * {self.c[i, 0]}"
        if op.name == "divide":
            return f"({self.c[a, k]} - ({self._sum(b, i, k, 1, k)})) / {self.c[b, 0]}"
        if op.name == "power":
            terms = [
                f"{op.value * j - (k - j)!r} * {self.c[a, j]} * {self.c[i, k - j]}"
                for j in range(1, k + 1)
                if "0" not in (self.c[a, j], self.c[i, k - j])
            ]
            return f"({' + '.join(terms) or '0.0'}) / ({k}.0 * {self.c[a, 0]})"
        if op.name in ("exp", "sin", "cos"):
            factor = self._sum(a, i if op.name == "exp" else b, k, 1, k, weighted=True)
            return "0" if factor == "0" else f"({factor}) * {(-1.0 if op.name == 'cos' else 1.0) / k!r}"
        if op.name == "tanh":
            return f"{self.c[a, k]} - ({self._sum(a, b, k, 1, k, weighted=True)}) * {1.0 / k!r}"
        # i a_i = sum of j v_j w_(i - j), with w = a for the logarithm and w = 1 + a^2 for the arctangent.
        w = a if op.name == "log" else b
        return f"({self.c[a, k]} - ({self._sum(i, w, k, 1, k - 1, weighted=True)}) * {1.0 / k!r}) / {self.c[w, 0]}"
