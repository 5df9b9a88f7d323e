"""Read a right-hand side once and keep it as a list of elementary operations.

A function written for NumPy is called with symbols instead of numbers; what it does to them is the recorded tape. From
a tape come a vectorised function, exact derivatives, and the recurrences of Taylor's method (`numerics.taylor`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Operation", "Tape", "TraceError", "trace"]

Operand = Any  # a Symbol or a number
_ELEMENTARY = ("exp", "log", "sin", "cos", "tanh", "arctan", "arccos", "sign", "floor")


class TraceError(ValueError):
    """A function does something that a tape cannot express, such as a branch on the values of the state."""


class Operation(NamedTuple):
    """One entry of a tape: name, the entries it reads (-1: none) and a constant."""

    name: str
    a: int = -1
    b: int = -1
    value: float = 0.0


@dataclass(frozen=True)
class Tape:
    """A right-hand side as elementary operations in the order of evaluation.

    Attributes
    ----------
    n_variables : int
        The first entries of `operations` are the variables, the next is the time.
    operations : tuple of Operation
        "variable", "time", "constant", "shift" (a + value), "scale" (value a), "add", "subtract", "multiply", "divide",
        "inverse", "power" (a^value), "exp", "log", "sin", "cos", "tanh", "arctan", "arccos", "sign", "floor". `b` of a
        sine is the cosine of the same argument and the reverse, of tanh its square, of arctan 1 + a^2.
    outputs : tuple of int
        Entries that are the time derivatives.
    """

    n_variables: int
    operations: tuple[Operation, ...]
    outputs: tuple[int, ...]

    @property
    def time_dependent(self) -> bool:
        """Whether an output depends on the time explicitly."""
        return any(self.n_variables in (op.a, op.b) for op in self.operations) or self.n_variables in self.outputs

    def __reduce__(self):
        # Without the function that may have been made already: it cannot be pickled.
        return Tape, (self.n_variables, self.operations, self.outputs)

    @functools.cached_property
    def function(self) -> Callable[..., np.ndarray]:
        """Vectorised right-hand side ``(X (n, d), time (n,)) -> (n, number of outputs)``."""
        lines = [f"    {_name(i)} = {_formula(op)}" for i, op in enumerate(self.operations) if i > self.n_variables]
        columns = ", ".join(_name(i) for i in range(self.n_variables))
        code = "\n".join(
            [f"def f({columns}, {_name(self.n_variables)}):", *lines, f"    return {_tuple(self.outputs)}"]
        )
        namespace: dict[str, Any] = {name: getattr(np, name) for name in _ELEMENTARY}
        exec(code, namespace)
        compiled = namespace["f"]

        def function(X: np.ndarray, time: np.ndarray | None = None) -> np.ndarray:
            X = np.asarray(X, float)
            out = np.empty((len(self.outputs), len(X)))
            for row, values in zip(out, compiled(*X.T, 0.0 if time is None else time), strict=True):
                row[:] = values
            return out.T

        return function

    def jacobian(self) -> Tape:
        """Tape with the outputs d f_i / d x_j, row by row."""
        graph = _Graph(self.n_variables)
        seeds = np.eye(self.n_variables)
        _, columns = _forward(self, graph, graph.variables, [list(seed) for seed in seeds])
        return graph.tape([column[i] for i in self.outputs for column in columns])

    def tangent(self, n_vectors: int) -> Tape:
        """Tape of x' = f(x), Q' = J(x) Q for the variables (x, Q row by row), Q (d, n_vectors)."""
        d = self.n_variables
        graph = _Graph(d * (1 + n_vectors))
        x, frame = graph.variables[:d], np.array(graph.variables[d:], object).reshape(d, n_vectors)
        values, columns = _forward(self, graph, x, [list(vector) for vector in frame.T])
        return graph.tape([values[i] for i in self.outputs] + [column[i] for i in self.outputs for column in columns])


def trace(function: Callable[..., Any], n_variables: int) -> Tape:
    """Record what ``function(x, time)`` does to a state.

    Parameters
    ----------
    function : callable
        Takes an array of `n_variables` symbols and one symbol for the time; returns the derivatives, in any array or
        sequence of that many elements. Arithmetic, powers, exp, log, sqrt, trigonometric and hyperbolic functions,
        abs, sign, heaviside, minimum and maximum are understood, on single symbols and on arrays.
    n_variables : int

    Returns
    -------
    Tape
        Floors and arccosines, which maps need, have values and derivatives, but no Taylor series.

    Raises
    ------
    TraceError
        If the function decides on values, or uses something else.

    Examples
    --------
    >>> from chaosfit.numerics.trace import trace
    >>> tape = trace(lambda x, time: [x[1], -x[0] * x[1]], 2)
    >>> tape.function([[2.0, 3.0]]).tolist()
    [[3.0, -6.0]]
    >>> tape.jacobian().function([[2.0, 3.0]]).tolist()
    [[0.0, 1.0, -3.0, -2.0]]
    """
    graph = _Graph(n_variables)
    state = np.array(graph.variables, object).view(_SymbolArray)
    try:
        with np.errstate(all="ignore"):
            outputs = np.asarray(_flat(function(state, graph.time)), object).ravel()
    except Exception as error:
        raise TraceError(f"the right-hand side cannot be traced: {type(error).__name__}: {error}") from error
    if len(outputs) != n_variables:
        raise TraceError(f"expected {n_variables} derivatives, got {len(outputs)}")
    return graph.tape(list(outputs))


def _flat(values: Any) -> list[Any]:
    """Elements of nested sequences and arrays."""
    if isinstance(values, np.ndarray | tuple | list):
        return [each for value in values for each in _flat(value)] if np.ndim(values) else [np.asarray(values).item()]
    return [values]


# ---------------------------------------------------------------------- symbols
class _Graph:
    """Operations recorded so far; equal ones exist once."""

    def __init__(self, n_variables: int) -> None:
        self.operations = [Operation("variable", value=i) for i in range(n_variables)] + [Operation("time")]
        self._known: dict[Operation, int] = {}
        self.variables = [Symbol(self, i) for i in range(n_variables)]
        self.time = Symbol(self, n_variables)

    def node(self, name: str, a: Symbol, b: Symbol | None = None, value: float = 0.0) -> Symbol:
        first, second = a.index, -1 if b is None else b.index
        if name in ("add", "multiply"):
            first, second = max(first, second), min(first, second)
        operation = Operation(name, first, second, float(value))
        if operation not in self._known:
            self._known[operation] = len(self.operations)
            self.operations.append(operation)
        return Symbol(self, self._known[operation])

    def pair(self, a: Symbol) -> tuple[Symbol, Symbol]:
        """Sine and cosine, side by side because each one's series needs the other's."""
        key = Operation("sin", a.index)
        if key not in self._known:
            first = self._known[key] = len(self.operations)
            self.operations += [Operation("sin", a.index, first + 1), Operation("cos", a.index, first)]
        return Symbol(self, self._known[key]), Symbol(self, self._known[key] + 1)

    def tanh(self, a: Symbol) -> Symbol:
        key = Operation("tanh", a.index)
        if key not in self._known:
            first = self._known[key] = len(self.operations)
            square = Operation("multiply", first, first)
            self.operations += [Operation("tanh", a.index, first + 1), square]
            self._known[square] = first + 1
        return Symbol(self, self._known[key])

    def tape(self, outputs: list[Operand]) -> Tape:
        """Operations that the outputs need."""
        d = len(self.variables)
        roots = [self._root(value) for value in outputs]
        needed, stack = set(range(d + 1)), list(roots)
        while stack:
            index = stack.pop()
            if index not in needed:
                needed.add(index)
                stack += [i for i in (self.operations[index].a, self.operations[index].b) if i >= 0]
        new = {old: i for i, old in enumerate(sorted(needed))} | {-1: -1}
        kept = (self.operations[old] for old in sorted(needed))
        operations = tuple(op._replace(a=new[op.a], b=new[op.b]) for op in kept)
        return Tape(d, operations, tuple(new[root] for root in roots))

    def _root(self, value: Operand) -> int:
        if isinstance(value, Symbol):
            return value.index
        self.operations.append(Operation("constant", value=float(value)))
        return len(self.operations) - 1


class Symbol:
    """A number that is not known yet; arithmetic on it is recorded."""

    __slots__ = ("graph", "index")

    def __init__(self, graph: _Graph, index: int) -> None:
        self.graph, self.index = graph, index

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _apply_ufunc(ufunc, method, inputs, options)

    def __bool__(self) -> bool:
        raise TraceError("it branches on a value of the state")

    def __neg__(self):
        return _multiply(self, -1.0)

    def __pos__(self):
        return self

    def __abs__(self):
        return _absolute(self)

    def __floordiv__(self, other):
        return _floor(_divide(self, other))

    def __mod__(self, other):
        return _subtract(self, _multiply(_floor(_divide(self, other)), other))


def _operator(function: Callable[[Operand, Operand], Operand], reflected: bool) -> Callable[..., Any]:
    def method(self: Symbol, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return function(other, self) if reflected else function(self, other)

    return method


class _SymbolArray(np.ndarray):
    """Array of symbols on which every NumPy function acts element by element."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _apply_ufunc(ufunc, method, inputs, options)


def _apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    # As plain arrays of objects, or this function would be called again.
    plain = [np.asarray(x, object) for x in inputs]
    if ufunc is np.matmul and method == "__call__":
        return np.dot(*plain).view(_SymbolArray)
    function = _FUNCTIONS.get(ufunc.__name__)
    if function is None:
        raise TraceError(f"it uses numpy.{ufunc.__name__}")
    if method == "__call__" and set(options) <= {"out"}:
        result = np.frompyfunc(function, ufunc.nin, 1)(*plain)
        if options.get("out"):
            options["out"][0][...] = result
            result = options["out"][0]
    elif method == "reduce":
        result = np.frompyfunc(function, 2, 1).reduce(plain[0], axis=options.get("axis", 0))
    else:
        raise TraceError(f"it uses numpy.{ufunc.__name__}.{method}")
    return result.view(_SymbolArray) if np.ndim(result) else np.asarray(result, object).item()


def _add(x: Operand, y: Operand) -> Operand:
    if not isinstance(x, Symbol):
        x, y = y, x
    if isinstance(y, Symbol):
        return x.graph.node("add", x, y)
    if not isinstance(x, Symbol):
        return x + y
    return x if y == 0 else x.graph.node("shift", x, value=y)


def _subtract(x: Operand, y: Operand) -> Operand:
    if isinstance(x, Symbol) and isinstance(y, Symbol):
        return 0.0 if x.index == y.index else x.graph.node("subtract", x, y)
    return _add(x, _multiply(y, -1.0)) if isinstance(y, Symbol) else _add(x, -y)


def _multiply(x: Operand, y: Operand) -> Operand:
    if not isinstance(x, Symbol):
        x, y = y, x
    if isinstance(y, Symbol):
        return x.graph.node("multiply", x, y)
    if not isinstance(x, Symbol):
        return x * y
    operation = x.graph.operations[x.index]
    if operation.name == "scale":
        return _multiply(Symbol(x.graph, operation.a), operation.value * y)
    return 0.0 if y == 0 else x if y == 1 else x.graph.node("scale", x, value=y)


def _divide(x: Operand, y: Operand) -> Operand:
    if not isinstance(y, Symbol):
        return _multiply(x, 1.0 / y)
    return y.graph.node("divide", x, y) if isinstance(x, Symbol) else _multiply(y.graph.node("inverse", y), x)


def _power(x: Operand, n: Operand) -> Operand:
    if isinstance(n, Symbol):
        return _exp(_multiply(n, _log(x)))
    if not isinstance(x, Symbol):
        return x**n
    if n != int(n) or abs(n) > 64:
        return x.graph.node("power", x, value=n)
    if n < 0:
        return _divide(1.0, _power(x, -n))
    if n == 0:
        return 1.0
    half = _power(x, n // 2) if n > 1 else None
    if half is None:
        return x
    square = _multiply(half, half)
    return _multiply(square, x) if n % 2 else square


def _elementary(name: str, known: Callable[[float], float]) -> Callable[[Operand], Operand]:
    return lambda x: x.graph.node(name, x) if isinstance(x, Symbol) else known(float(x))


_exp, _log = _elementary("exp", math.exp), _elementary("log", math.log)
_sign = _elementary("sign", lambda x: float(np.sign(x)))
_floor, _arccos = _elementary("floor", math.floor), _elementary("arccos", math.acos)


def _sin(x: Operand) -> Operand:
    return x.graph.pair(x)[0] if isinstance(x, Symbol) else math.sin(x)


def _cos(x: Operand) -> Operand:
    return x.graph.pair(x)[1] if isinstance(x, Symbol) else math.cos(x)


def _tanh(x: Operand) -> Operand:
    return x.graph.tanh(x) if isinstance(x, Symbol) else math.tanh(x)


def _arctan(x: Operand) -> Operand:
    return x.graph.node("arctan", x, _add(_multiply(x, x), 1.0)) if isinstance(x, Symbol) else math.atan(x)


def _hyperbolic(x: Operand, sign: float) -> Operand:
    e = _exp(x)
    return _multiply(_add(e, _multiply(_divide(1.0, e), sign)), 0.5)


def _absolute(x: Operand) -> Operand:
    return _multiply(_sign(x), x)


def _extreme(x: Operand, y: Operand, sign: float) -> Operand:
    return _multiply(_add(_add(x, y), _multiply(_absolute(_subtract(x, y)), sign)), 0.5)


_FUNCTIONS: dict[str, Callable[..., Operand]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "square": lambda x: _multiply(x, x),
    "negative": lambda x: _multiply(x, -1.0),
    "positive": lambda x: x,
    "reciprocal": lambda x: _divide(1.0, x),
    "sqrt": lambda x: _power(x, 0.5),
    "exp": _exp,
    "log": _log,
    "sin": _sin,
    "cos": _cos,
    "tan": lambda x: _divide(_sin(x), _cos(x)),
    "sinh": lambda x: _hyperbolic(x, -1.0),
    "cosh": lambda x: _hyperbolic(x, 1.0),
    "tanh": _tanh,
    "arccos": _arccos,
    "arctan": _arctan,
    "floor": _floor,
    "sign": _sign,
    "absolute": _absolute,
    "fabs": _absolute,
    # The value at the jump itself never matters to a solution.
    "heaviside": lambda x, at_zero: _multiply(_add(_sign(x), 1.0), 0.5),
    "minimum": lambda x, y: _extreme(x, y, -1.0),
    "maximum": lambda x, y: _extreme(x, y, 1.0),
}

for _symbol, _function in {"add": _add, "sub": _subtract, "mul": _multiply, "truediv": _divide, "pow": _power}.items():
    setattr(Symbol, f"__{_symbol}__", _operator(_function, reflected=False))
    setattr(Symbol, f"__r{_symbol}__", _operator(_function, reflected=True))
# NumPy calls these methods on the elements of a plain array of objects.
for _symbol in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "arccos"):
    setattr(Symbol, _symbol, _FUNCTIONS[_symbol])


# ---------------------------------------------------------------------- derivatives
_REBUILT: dict[str, Callable[[Operation, Operand, Operand], Operand]] = {
    "constant": lambda op, a, b: op.value,
    "shift": lambda op, a, b: _add(a, op.value),
    "scale": lambda op, a, b: _multiply(a, op.value),
    "add": lambda op, a, b: _add(a, b),
    "subtract": lambda op, a, b: _subtract(a, b),
    "multiply": lambda op, a, b: _multiply(a, b),
    "divide": lambda op, a, b: _divide(a, b),
    "inverse": lambda op, a, b: _divide(1.0, a),
    "power": lambda op, a, b: _power(a, op.value),
    **{name: (lambda function: lambda op, a, b: function(a))(_FUNCTIONS[name]) for name in _ELEMENTARY},
}

# Derivatives of an entry with value v by what it reads: first for one argument, then for two.
_PARTIAL: dict[str, Callable[[Operation, Operand, Operand], Operand]] = {
    "shift": lambda op, a, v: 1.0,
    "scale": lambda op, a, v: op.value,
    "inverse": lambda op, a, v: _multiply(_multiply(v, v), -1.0),
    "power": lambda op, a, v: _multiply(_divide(v, a), op.value),
    "exp": lambda op, a, v: v,
    "log": lambda op, a, v: _divide(1.0, a),
    "sin": lambda op, a, v: _cos(a),
    "cos": lambda op, a, v: _multiply(_sin(a), -1.0),
    "tanh": lambda op, a, v: _subtract(1.0, _multiply(v, v)),
    "arccos": lambda op, a, v: _multiply(_power(_subtract(1.0, _multiply(a, a)), -0.5), -1.0),
    "arctan": lambda op, a, v: _divide(1.0, _add(_multiply(a, a), 1.0)),
}
_PARTIALS: dict[str, Callable[[Operand, Operand, Operand], tuple[Operand, Operand]]] = {
    "add": lambda a, b, v: (1.0, 1.0),
    "subtract": lambda a, b, v: (1.0, -1.0),
    "multiply": lambda a, b, v: (b, a),
    "divide": lambda a, b, v: (_divide(1.0, b), _multiply(_divide(v, b), -1.0)),
}


def _forward(tape: Tape, graph: _Graph, x: Sequence[Operand], vectors: list[list[Operand]]):
    """Rebuild a tape on the symbols x; per entry its value, and its derivative along every vector."""
    values: list[Operand] = [*x, graph.time]
    columns = [[*vector, 0.0] for vector in vectors]
    for op in tape.operations[len(values) :]:
        # The cosine that a sine refers to stands behind it; it is not read here.
        a, b = (values[i] if 0 <= i < len(values) else None for i in (op.a, op.b))
        v = _REBUILT[op.name](op, a, b)
        values.append(v)
        if op.name in _PARTIALS:
            by_a, by_b = _PARTIALS[op.name](a, b, v)
            for column in columns:
                column.append(_add(_multiply(by_a, column[op.a]), _multiply(by_b, column[op.b])))
        else:
            by_a = _PARTIAL[op.name](op, a, v) if op.name in _PARTIAL else 0.0
            for column in columns:
                column.append(_multiply(by_a, column[op.a]) if op.a >= 0 else 0.0)
    return values, columns


# ---------------------------------------------------------------------- source code
def _name(index: int) -> str:
    return f"v{index}"


def _tuple(indices: Sequence[int]) -> str:
    return "(" + "".join(f"{_name(i)}, " for i in indices) + ")"


_FORMULAS = {
    "constant": "{value!r}",
    "shift": "{a} + {value!r}",
    "scale": "{value!r} * {a}",
    "add": "{a} + {b}",
    "subtract": "{a} - {b}",
    "multiply": "{a} * {b}",
    "divide": "{a} / {b}",
    "inverse": "1.0 / {a}",
    "power": "{a} ** {value!r}",
}


def _formula(op: Operation) -> str:
    pattern = _FORMULAS.get(op.name, f"{op.name}({{a}})")
    return pattern.format(a=_name(op.a), b=_name(op.b), value=op.value)
