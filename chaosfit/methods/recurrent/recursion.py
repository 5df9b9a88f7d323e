"""Piecewise-linear recursions over a batch and their gradients by hand: in numpy, compiled where numba is installed.

Automatic differentiation spends its time on bookkeeping here: a sequence of 200 steps is thousands of tiny operations.
By hand it is two loops with two matrix products a step; what is summed over steps comes afterwards, in one product.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

try:
    from numba import njit
except ImportError:
    is_compiled = False

    def _fast(function):
        return function
else:
    is_compiled = True
    _fast = njit(cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")

__all__ = ["is_compiled", "recur"]


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
    """The bridge between torch's graph and the two loops."""

    @staticmethod
    def forward(ctx, W, U, first, data, mix, clipped):
        arrays = [np.ascontiguousarray(x.detach().cpu().numpy()) for x in (W, U, first, data, mix)]
        W_, U_, first_, data_, mix_ = arrays
        n_steps, n_batch = len(data_), data_.shape[2]
        S = np.empty((n_steps, W_.shape[1], n_batch), W_.dtype)
        Y = np.empty((n_steps, len(U_), n_batch), W_.dtype)
        Z = np.empty((n_steps, len(W_), n_batch), W_.dtype)
        S[:, U_.shape[1] - 1] = 1.0
        _forward(W_, U_, np.ascontiguousarray(U_[:, -1:]), clipped, first_, data_, mix_, S, Y, Z)
        ctx.arrays, ctx.clipped = (W_, U_, mix_, S, Y), clipped
        return torch.from_numpy(Z).to(W.device)

    @staticmethod
    def backward(ctx, *errors):
        W, U, mix, S, Y = ctx.arrays
        n_states = U.shape[1] - 1
        on = (Y > 0).view(np.int8)
        slope = on - (U[:, -1:] < Y).view(np.int8) if ctx.clipped else on
        G = np.array(errors[0].cpu().numpy(), order="C")
        Q = np.empty_like(S)
        D = np.empty_like(Y)
        first = np.zeros((n_states, S.shape[2]), W.dtype)
        transposed = (np.ascontiguousarray(W.T), np.ascontiguousarray(U[:, :-1].T))
        _backward(*transposed, slope.astype(W.dtype), 1 - mix, G, Q, D, first)
        dW = np.matmul(G, S.transpose(0, 2, 1)).sum(axis=0)
        dU = np.matmul(D, S[:, : n_states + 1].transpose(0, 2, 1)).sum(axis=0)
        if ctx.clipped:  # the second rectifier knows no threshold
            dU[:, -1] = (Q[:, n_states + 1 :] * on).sum(axis=(0, 2))
        return *(torch.from_numpy(x).to(errors[0].device) for x in (dW, dU, first)), None, None, None


@_fast
def _forward(W, U, threshold, clipped, first, data, mix, S, Y, Z):
    n_states = len(first)
    zero = threshold.dtype.type(0)
    above = np.empty_like(Y[0])
    for t in range(len(data)):
        s = S[t, :n_states]
        if t == 0:
            s[:] = first
        else:
            np.subtract(data[t], Z[t - 1], s)
            np.multiply(s, mix[t], s)
            np.add(s, Z[t - 1], s)
        np.dot(U, S[t, : n_states + 1], Y[t])
        units = S[t, n_states + 1 :]
        units[:] = np.maximum(Y[t], zero)
        if clipped:
            np.subtract(Y[t], threshold, above)
            np.subtract(units, np.maximum(above, zero), units)
        np.dot(W, S[t], Z[t])


@_fast
def _backward(Wt, Ut, slope, keep, G, Q, D, first):
    """Add to G what later steps say; fill Q = W' G, D by the arguments of the units, `first` by the first state."""
    n_states = len(first)
    for step in range(len(G)):
        t = len(G) - 1 - step
        if step > 0:
            np.multiply(first, keep[t + 1], first)
            np.add(G[t], first, G[t])
        np.dot(Wt, G[t], Q[t])
        np.multiply(Q[t, n_states + 1 :], slope[t], D[t])
        np.dot(Ut, D[t], first)
        np.add(first, Q[t, :n_states], first)
