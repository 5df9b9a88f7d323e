"""The two passes of a piecewise-linear recursion as loops, compiled by numba; see `recursion`.

The innermost loops run over the batch, along contiguous rows; all that is kept between steps fits into the cache. The
first call compiles for some seconds; numba keeps that on disk. Without numba the same functions run as Python, slowly.
"""

from __future__ import annotations

import numpy as np

try:
    from numba import njit
except ImportError:
    is_compiled = False

    def _fast(function):
        return function

    _inlined = _fast
else:
    is_compiled = True
    # Sums may be reordered, nothing more: comparisons with NaN keep their meaning.
    _REORDERED = {"reassoc", "contract"}
    _fast = njit(cache=True, fastmath=_REORDERED, error_model="numpy")
    # Calls would cost as much as what they do.
    _inlined = njit(inline="always", fastmath=_REORDERED, error_model="numpy")

__all__ = ["backward", "forward", "is_compiled"]


@_fast
def forward(W, U, clipped, first, data, mix):
    """Return the predictions (T, m, B); arguments as in `recursion.recur`."""
    n_states = len(first)
    Z = np.empty((len(data), len(W), first.shape[1]), W.dtype)
    s, unit = np.empty_like(first), np.empty_like(first[:1])
    for t in range(len(data)):
        z = Z[t]
        _force(s, t, first, data, mix, Z)
        for i in range(len(W)):
            _affine(z, i, W, i, s)
        for n in range(len(U)):
            _affine(unit, 0, U, n, s)
            _rectify(unit, U[n, n_states], clipped)
            for i in range(len(W)):
                _add(z, i, W[i, n_states + 1 + n], unit, 0)
    return Z


@_fast
def backward(W, U, clipped, first, data, mix, Z, G):
    """Return the gradients by W, U and first, of a loss with gradient G (T, m, B) by the predictions Z."""
    n_states = len(first)
    dW, dU = np.zeros_like(W), np.zeros_like(U)
    s, ds, g, one = np.empty_like(first), np.zeros_like(first), np.empty_like(Z[0]), np.ones_like(first[:1])
    unit, d = np.empty_like(one), np.empty_like(one)
    for t in range(len(data) - 1, -1, -1):
        _force(s, t, first, data, mix, Z)
        g[:] = G[t]
        if t + 1 < len(data):
            for i in range(n_states):
                _add(g, i, one[0, 0] - mix[t + 1, i, 0], ds, i)
        ds[:] = 0
        for i in range(len(W)):
            dW[i, n_states] += _dot(g, i, one, 0)
            for j in range(n_states):
                dW[i, j] += _dot(g, i, s, j)
                _add(ds, j, W[i, j], g, i)
        for n in range(len(U)):
            _affine(unit, 0, U, n, s)
            d[:] = 0
            for i in range(len(W)):
                _add(d, 0, W[i, n_states + 1 + n], g, i)
            dU[n, n_states] += _rectify_back(unit, d, U[n, n_states], clipped)
            for i in range(len(W)):
                dW[i, n_states + 1 + n] += _dot(g, i, unit, 0)
            for j in range(n_states):
                dU[n, j] += _dot(d, 0, s, j)
                _add(ds, j, U[n, j], d, 0)
    return dW, dU, ds


@_inlined
def _force(s, t, first, data, mix, Z):
    """Set s to the states from which step t starts."""
    if t == 0:
        s[:] = first
        return
    for j in range(len(s)):
        for k in range(s.shape[1]):
            z = Z[t - 1, j, k]
            s[j, k] = z + mix[t, j, 0] * (data[t, j, k] - z)


@_inlined
def _affine(out, i, weights, n, s):
    for k in range(out.shape[1]):
        out[i, k] = weights[n, len(s)]
    for j in range(len(s)):
        _add(out, i, weights[n, j], s, j)


@_inlined
def _add(out, i, weight, x, j):
    for k in range(out.shape[1]):
        out[i, k] += weight * x[j, k]


@_inlined
def _dot(x, i, y, j):
    total = x.dtype.type(0)
    for k in range(x.shape[1]):
        total += x[i, k] * y[j, k]
    return total


@_inlined
def _rectify(unit, threshold, clipped):
    """Replace the argument of a unit by its value."""
    zero = unit.dtype.type(0)
    for k in range(unit.shape[1]):
        above = max(unit[0, k] - threshold, zero) if clipped else zero
        unit[0, k] = max(unit[0, k], zero) - above


@_inlined
def _rectify_back(unit, d, threshold, clipped):
    """Replace arguments by values, and gradients by values by gradients by arguments; return that by the threshold."""
    zero, one = unit.dtype.type(0), unit.dtype.type(1)
    total = zero
    for k in range(unit.shape[1]):
        on = one if unit[0, k] > zero else zero
        above = one if clipped and unit[0, k] > threshold else zero
        total += on * d[0, k]  # the second rectifier knows no threshold
        d[0, k] *= on - above
        unit[0, k] = on * unit[0, k] - above * (unit[0, k] - threshold)
    return total
