"""Piecewise-linear recursions over a batch and their gradients by hand: in numpy, compiled where numba is installed.

Automatic differentiation spends its time on bookkeeping here: a sequence of 200 steps is thousands of tiny operations.
By hand it is two loops. Only the states are kept between them: to compute the rest again is cheaper than to store it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from chaosfit.methods.recurrent import compiled_recursion
from chaosfit.methods.recurrent.compiled_recursion import is_compiled

#: Steps whose arrays fit into the cache together.
_BLOCK = 32

__all__ = ["backward", "forward", "is_compiled", "recur"]


def recur(W: Tensor, U: Tensor, first: Tensor, data: Tensor, mix: Tensor, clipped: bool) -> Tensor:
    """Predict z_1 .. z_T with z_{t+1} = W [s_t; 1; g(U [s_t; 1])], s_t = z_t + mix_t (data_t - z_t) and s_0 = first.

    g is the rectifier or, clipped, g(y) = max(y, 0) - max(y - c, 0) with c the last column of U. One batch entry is
    one column, so that all arrays are contiguous where the loops run.

    Parameters
    ----------
    W : Tensor of shape (M, M + 1 + L)
        Linear part, constant and weights of the L units.
    U : Tensor of shape (L, M + 1)
        Weights and thresholds of the units.
    first : Tensor of shape (M, B)
    data : Tensor of shape (T, M, B)
        What the states are forced by; row 0 is not used.
    mix : Tensor of shape (T, M, 1)
        Strength of the forcing, 0 to 1; row 0 is not used.
    clipped : bool

    Returns
    -------
    Tensor of shape (T, m, B)
        With gradients for W, U and first. W with m != M rows is possible for T = 1.
    """
    return _Recursion.apply(W, U, first, data, mix, clipped)


class _Recursion(torch.autograd.Function):
    """The bridge between torch's graph and the two passes."""

    @staticmethod
    def forward(ctx, W, U, first, data, mix, clipped):
        W_, U_, *rest = (np.ascontiguousarray(x.detach().cpu().numpy()) for x in (W, U, first, data, mix))
        Z = (compiled_recursion.forward if is_compiled else forward)(W_, U_, clipped, *rest)
        ctx.arguments = (W_, U_, clipped, *rest, Z)
        return torch.from_numpy(Z).to(W.device)

    @staticmethod
    def backward(ctx, *errors):
        G = np.ascontiguousarray(errors[0].cpu().numpy())
        gradients = (compiled_recursion.backward if is_compiled else backward)(*ctx.arguments, G)
        return *(torch.from_numpy(x).to(errors[0].device) for x in gradients), None, None, None


def forward(W, U, clipped, first, data, mix):
    """Return the predictions (T, m, B), by numpy."""
    n_states, threshold = len(first), U[:, -1:]
    Z = np.empty((len(data), len(W), first.shape[1]), W.dtype)
    row = np.ones((W.shape[1], first.shape[1]), W.dtype)  # [s; 1; units]
    s, units, above = row[:n_states], row[n_states + 1 :], np.empty((len(U), first.shape[1]), W.dtype)
    s[:] = first
    for t in range(len(data)):
        if t > 0:
            np.subtract(data[t], Z[t - 1], s)
            np.multiply(s, mix[t], s)
            np.add(s, Z[t - 1], s)
        np.dot(U, row[: n_states + 1], above)
        np.maximum(above, 0, out=units)
        if clipped:
            np.subtract(above, threshold, above)
            np.maximum(above, 0, out=above)
            np.subtract(units, above, units)
        np.dot(W, row, Z[t])
    return Z


def backward(W, U, clipped, first, data, mix, Z, G):
    """Return the gradients by W, U and first, of a loss with gradient G (T, m, B) by the predictions Z, by numpy."""
    S = np.empty_like(data)
    S[0] = first
    if len(data) > 1:
        S[1:] = Z[:-1] + mix[1:] * (data[1:] - Z[:-1])
    keep = 1 - mix
    keep[0] = 1
    dW, dU, ds = np.zeros_like(W), np.zeros_like(U), np.zeros_like(Z[0])
    for start in range(0, len(data), _BLOCK)[::-1]:
        block = slice(start, start + _BLOCK)
        dW_, dU_, ds = _backward_block(W, U, clipped, S[block], keep[block], G[block].copy(), ds)
        dW += dW_
        dU += dU_
    return dW, dU, ds


def _backward_block(W, U, clipped, S, keep, G, ds):
    """Gradients by W, U and the state before the steps of a block (B, n, M), from those after it; G changes."""
    n_states, threshold = S.shape[1], U[:, -1:]
    rows = np.ones((len(S), W.shape[1], S.shape[2]), W.dtype)  # [s; 1; units]
    rows[:, :n_states] = S
    arguments = np.matmul(U, rows[:, : n_states + 1])
    on = (arguments > 0).astype(W.dtype)
    above = (arguments > threshold).astype(W.dtype) if clipped else np.zeros_like(on)
    rows[:, n_states + 1 :] = on * arguments - above * (arguments - threshold)
    slope, Q, D = on - above, np.empty_like(rows), np.empty_like(on)
    Wt, Ut = np.ascontiguousarray(W.T), np.ascontiguousarray(U[:, :-1].T)
    for t in range(len(S) - 1, -1, -1):
        np.add(G[t], ds, G[t])
        np.dot(Wt, G[t], Q[t])
        np.multiply(Q[t, n_states + 1 :], slope[t], D[t])
        ds = np.dot(Ut, D[t])
        np.add(ds, Q[t, :n_states], ds)
        np.multiply(ds, keep[t], ds)
    dW = np.matmul(G, rows.transpose(0, 2, 1)).sum(axis=0)
    dU = np.matmul(D, rows[:, : n_states + 1].transpose(0, 2, 1)).sum(axis=0)
    dU[:, -1] = (Q[:, n_states + 1 :] * on).sum(axis=(0, 2))  # the second rectifier knows no threshold
    return dW, dU, ds
