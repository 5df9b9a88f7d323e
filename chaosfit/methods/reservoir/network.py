"""A fixed random recurrent network and what its states are when data drive it.

r' = (1 - a) r + a tanh(W r + W_in z), one column of r and z per trajectory: many trajectories, or many
pieces of one, cost little more than one. The last input is the constant 1, and the last column of W_in the bias.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigs
from threadpoolctl import ThreadpoolController

#: Two states count as equal, and the network as having forgotten where it started, below this distance.
STATE_TOLERANCE = 1e-13

_DENSE_UNITS = 300  # up to here all eigenvalues are as fast as the largest one
_CACHED_NUMBERS = 65_536  # of a matrix of states that is still in the processor's cache at the next step
_BLOCK_STATES = 128  # columns of states that are handed out together, few enough for the cache


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread():
    """Return a context in which linear algebra runs in one thread.

    The products of one step are too small to be shared, and threads that wait for the next one take the processor
    from those of the regression: a fit was ten times slower.
    """
    return _libraries().limit(limits=1, user_api="blas")


def columns_side_by_side(n_units: int) -> int:
    """Return how many trajectories run best as one matrix of states: more of them leave the cache."""
    return int(np.clip(_CACHED_NUMBERS // n_units, 16, 64))


class Network(NamedTuple):
    """The fixed part: W (N, N) sparse, W_in (N, k) with the bias as its last column, and the leak rate a."""

    W: csr_array
    W_in: np.ndarray
    leak_rate: float

    def step(self, r: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the next states (N, B) from the states r (N, B) and inputs z (k, B)."""
        new = self.W @ r
        new += self.W_in @ z.astype(self.W_in.dtype, copy=False)
        np.tanh(new, out=new)
        return new if self.leak_rate == 1 else (1 - self.leak_rate) * r + self.leak_rate * new

    def astype(self, dtype) -> Network:
        """Return the network with weights, and so states, of another precision."""
        return self._replace(W=self.W.astype(dtype), W_in=self.W_in.astype(dtype))

    def jacobian(self, r: np.ndarray, z: np.ndarray, dz_dr: np.ndarray) -> np.ndarray:
        """Return d r'/d r (N, N) at one state r (N,) and input z (k,) that itself depends on r by dz_dr (k, N)."""
        slope = 1 - np.tanh(self.W @ r + self.W_in @ z) ** 2
        inner = self.W.toarray() + self.W_in @ dz_dr
        return (1 - self.leak_rate) * np.eye(len(r)) + self.leak_rate * slope[:, np.newaxis] * inner


def draw_network(
    n_units: int,
    n_inputs: int,
    *,
    spectral_radius: float,
    input_scale: float,
    bias_scale: float,
    degree: int,
    leak_rate: float,
    rng: np.random.RandomState,
    one_input_per_unit: bool = False,
) -> Network:
    """Draw a network with `degree` links per unit, uniform weights and the given spectral radius.

    `n_inputs` counts the constant. With `one_input_per_unit`, unit i receives one of the others alone, number
    floor(i (n_inputs - 1) / N).
    """
    if degree > n_units:
        raise ValueError(f"degree must be at most n_units, got degree={degree} and n_units={n_units}.")
    W = _draw_links(n_units, degree, spectral_radius, rng)
    W_in = rng.uniform(-input_scale, input_scale, size=(n_units, n_inputs))
    if one_input_per_unit:
        own = np.arange(n_units) * (n_inputs - 1) // n_units
        W_in[own[:, np.newaxis] != np.arange(n_inputs)] = 0
    W_in[:, -1] = rng.uniform(-bias_scale, bias_scale, size=n_units)
    return Network(W, W_in, leak_rate)


def _draw_links(n_units: int, degree: int, spectral_radius: float, rng) -> csr_array:
    row_starts = np.arange(n_units + 1) * degree
    for _ in range(5):
        columns = np.concatenate([rng.permutation(n_units)[:degree] for _ in range(n_units)])
        W = csr_array((rng.uniform(-1, 1, size=len(columns)), columns, row_starts), shape=(n_units, n_units))
        radius = largest_eigenvalue(W, rng)
        if radius > 1e-8:
            W *= spectral_radius / radius
            return W
    raise ValueError(
        f"5 random networks of n_units={n_units} with degree={degree} had spectral radius 0; raise degree or n_units."
    )


def largest_eigenvalue(W: csr_array, rng: np.random.RandomState) -> float:
    """Return the spectral radius of W."""
    if W.shape[0] > _DENSE_UNITS:
        try:
            start = rng.standard_normal(W.shape[0])
            values = eigs(W, k=1, which="LM", v0=start, ncv=60, tol=1e-6, return_eigenvectors=False)
            return float(np.abs(values).max())
        except (ArpackNoConvergence, ArpackError):
            pass  # the dense solver always answers
    return float(np.abs(np.linalg.eigvals(W.toarray())).max())


class _Pieces(NamedTuple):
    """Pieces of stacked series, longest first: first rows, lengths, and whether a piece is the first of its series."""

    start: np.ndarray
    length: np.ndarray
    is_first: np.ndarray


def drive(
    network: Network, series: Sequence[np.ndarray], overlap: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows (c,), states (N, c)) of the stacked series (n_i, k), every row once, in no particular order.

    The state of a row has seen all rows of its own series up to that one. A network that forgets within
    `overlap` rows lets a series be cut into pieces that run side by side, each after that many rows of warming up;
    None: every series runs from its first row. The states are a buffer that the caller may overwrite.
    """
    n_units = network.W.shape[0]
    pieces = _cut([len(z) for z in series], overlap, columns_side_by_side(n_units))
    stacked = np.concatenate(series)
    r = np.zeros((n_units, len(pieces.start)), dtype=network.W.dtype)
    if not pieces.is_first.all():
        with one_thread():
            for step in range(-(overlap or 0), 0):
                r = network.step(r, stacked[np.maximum(pieces.start + step, 0)].T)
        r[:, pieces.is_first] = 0.0  # there was nothing before; what they absorbed is of no meaning

    n_steps, last_row = int(pieces.length[0]), pieces.start + pieces.length - 1
    memory = np.empty(n_units * max(_BLOCK_STATES, len(pieces.start)), dtype=r.dtype)
    first = 0
    while first < n_steps:
        active = int(np.count_nonzero(pieces.length > first))  # the others, at the end, are through
        r = np.ascontiguousarray(r[:, :active])
        n_rows = min(max(1, _BLOCK_STATES // active), n_steps - first)
        steps = np.arange(first, first + n_rows)[:, np.newaxis]
        rows = np.minimum(pieces.start[:active] + steps, last_row[:active])
        inputs = stacked[rows].transpose(0, 2, 1)
        buffer = memory[: n_units * rows.size].reshape(n_units, *rows.shape)
        with one_thread():  # not around the whole loop: what a generator sets would hold for its caller, too
            for i in range(n_rows):
                r = network.step(r, inputs[i])
                buffer[:, i] = r
        # A piece that ends within the block has repeated its last row, in vain.
        valid = (steps < pieces.length[:active]).ravel()
        states, rows = buffer.reshape(n_units, -1), rows.ravel()
        yield (rows, states) if valid.all() else (rows[valid], states[:, valid])
        first += n_rows


def _cut(lengths: Sequence[int], overlap: int | None, n_columns: int) -> _Pieces:
    """Cut series of the given lengths into about `n_columns` pieces of equal length, several times the overlap."""
    total = sum(lengths)
    size = max(lengths)
    if overlap is not None:
        size = min(size, max(-(-total // n_columns), 4 * overlap, 1))
    first_rows = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    parts = [
        (first + offset, min(size, n - offset), offset == 0)
        for first, n in zip(first_rows, lengths, strict=True)
        for offset in range(0, n, size)
    ]
    parts.sort(key=lambda part: -part[1])
    return _Pieces(*map(np.array, zip(*parts, strict=True)))


def memory_length(network: Network, z: np.ndarray) -> int | None:
    """Return after how many rows of z (n, k) the state no longer depends on where it started; None if longer.

    Two states, zero and one far from it, are driven by the same rows, on four stretches of the series.
    """
    n_units, n_rows = network.W.shape[0], len(z) // 2
    starts = np.linspace(0, len(z) - n_rows, 4).astype(int)
    far = np.where(np.arange(n_units) % 2, 1.0, -1.0)[:, np.newaxis]
    r = np.hstack([np.zeros((n_units, 4)), np.tile(far, 4)])
    with one_thread():
        for t in range(n_rows):
            r = network.step(r, np.tile(z[starts + t].T, 2))
            if np.abs(r[:, :4] - r[:, 4:]).max() < STATE_TOLERANCE:
                return int(1.25 * t) + 2  # stretches that were not tried may take a little longer
    return None


def conditional_exponent(network: Network, z: np.ndarray, distance: float = 1e-8) -> float:
    """Return the mean rate per row at which two close states driven by the same rows z (n, k) part.

    Negative: the network forgets its initial state (echo state property). Positive: it is chaotic by itself.
    """
    n_units = network.W.shape[0]
    offset = np.where(np.arange(n_units) % 2, 1.0, -1.0) * distance / np.sqrt(n_units)
    r, growth = np.zeros((n_units, 1)), []
    for row in z:
        pair = network.step(np.hstack([r, r + offset[:, np.newaxis]]), np.tile(row[:, np.newaxis], 2))
        r, offset = pair[:, :1], pair[:, 1] - pair[:, 0]
        size = max(np.linalg.norm(offset), np.finfo(float).tiny)
        growth.append(np.log(size / distance))
        offset *= distance / size
    return float(np.mean(growth[len(growth) // 4 :]))
