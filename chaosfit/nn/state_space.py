r"""Selective state-space layers on a CPU: linear recurrences whose coefficients depend on the input.

Both layers map (B, L, d_model) to the same shape at a cost linear in L, are causal, and can be run one row at a time
with `init_state` and `step`. `StateSpaceDual` is the default: one decay for a whole head turns the recurrence into
matrix products. `SelectiveSSM` has a decay for every channel and state and pays for it with a loop over time.

h_t = exp(Delta_t A) h_{t-1} + w_t B_t x_t,   y_t = C_t h_t + D x_t,

with Delta_t, B_t, C_t computed from x_t; w_t = Delta_t (as published) or (exp(Delta_t A) - 1) / A, which is exact
for an input that is constant during Delta_t. Gaps between irregular samples multiply Delta_t.

References
----------
Gu and Dao, Mamba, arXiv:2312.00752.  Dao and Gu, Transformers are SSMs, arXiv:2405.21060.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from chaosfit.nn.layers import CausalConv1d

#: Above the first length the selective scan stores states only between blocks of the second and recomputes the others:
#: measured at B = 32, L = 512, D = 64, N = 16 it takes 1.3 times as long and a third of the memory.
_STORED_ROWS = 128
_RECOMPUTED_ROWS = 64

State = tuple[Tensor, Tensor]


# ---------------------------------------------------------------------- recurrences
def linear_scan(a: Tensor, b: Tensor, initial: Tensor | None = None, *, reverse: bool = False) -> Tensor:
    """All states of h_t = a_t h_{t-1} + b_t along axis 1.

    Parameters
    ----------
    a, b : Tensors of shape (B, L, ...)
    initial : Tensor of shape (B, ...), optional
        h before the first row; zero when left out.
    reverse : bool
        Run from the last row to the first: h_t = a_t h_{t+1} + b_t.

    Returns
    -------
    Tensor of shape (B, L, ...)

    Examples
    --------
    >>> import torch
    >>> linear_scan(torch.full((1, 3), 0.5), torch.ones(1, 3))
    tensor([[1.0000, 1.5000, 1.7500]])
    """
    # unbind, since indexing a[:, t] makes the backward pass quadratic in L.
    rows = list(zip(a.unbind(1), b.unbind(1), strict=True))
    states = []
    for a_t, b_t in reversed(rows) if reverse else rows:
        initial = b_t if initial is None else torch.addcmul(b_t, a_t, initial)
        states.append(initial)
    return torch.stack(states[::-1] if reverse else states, 1)


def selective_scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, initial: Tensor | None = None, *, exact: bool = False
) -> tuple[Tensor, Tensor]:
    """Recurrence with a decay for every channel and state (S6).

    Parameters
    ----------
    x, delta : Tensors of shape (B, L, D)
        Inputs and step sizes >= 0.
    A : Tensor of shape (D, N), negative
    B, C : Tensors of shape (B, L, N)
    initial : Tensor of shape (B, D, N), optional
    exact : bool, default=False
        Input factor (exp(delta A) - 1) / A instead of delta.

    Returns
    -------
    outputs : Tensor of shape (B, L, D)
    state : Tensor of shape (B, D, N)
        After the last row.
    """
    if initial is None:
        initial = x.new_zeros(len(x), *A.shape)
    if x.shape[1] <= _STORED_ROWS:
        return _scan_rows(x, delta, A, B, C, initial, exact)
    outputs = []
    for parts in zip(*(value.split(_RECOMPUTED_ROWS, 1) for value in (x, delta, B, C)), strict=True):
        x_k, delta_k, B_k, C_k = parts
        y, initial = checkpoint(
            _scan_rows, x_k, delta_k, A, B_k, C_k, initial, exact, use_reentrant=False, preserve_rng_state=False
        )
        outputs.append(y)
    return torch.cat(outputs, 1), initial


def _scan_rows(x, delta, A, B, C, state, exact):
    outputs = []
    for x_t, delta_t, B_t, C_t in zip(x.unbind(1), delta.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        state = _advance(state, x_t, delta_t, A, B_t, exact)
        outputs.append(torch.bmm(state, C_t.unsqueeze(2)).squeeze(2))
    return torch.stack(outputs, 1), state


def _advance(state, x, delta, A, B, exact):
    exponent = delta.unsqueeze(2) * A
    if exact:
        inputs = (torch.expm1(exponent) / A) * (x.unsqueeze(2) * B.unsqueeze(1))
    else:
        inputs = (delta * x).unsqueeze(2) * B.unsqueeze(1)
    return torch.addcmul(inputs, exponent.exp(), state)


def dual_scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    initial: Tensor | None = None,
    *,
    exact: bool = False,
    chunk: int = 32,
) -> tuple[Tensor, Tensor]:
    """Recurrence with one decay a head (SSD): matrix products inside chunks, a short loop between them.

    With S the running sum of delta A inside a chunk, rows i >= j interact by exp(S_i - S_j) (C_i . B_j). All exponents
    are <= 0, so nothing overflows however large delta is.

    Parameters
    ----------
    x : Tensor of shape (B, L, H, P)
        H heads of P channels.
    delta : Tensor of shape (B, L, H)
        Step sizes >= 0.
    A : Tensor of shape (H,), negative
    B, C : Tensors of shape (B, L, N)
    initial : Tensor of shape (B, H, P, N), optional
    exact : bool, default=False
        Input factor (exp(delta A) - 1) / A instead of delta.
    chunk : int >= 1, default=32
        Rows treated at once, at most.

    Returns
    -------
    outputs : Tensor of shape (B, L, H, P)
    state : Tensor of shape (B, H, P, N)
        After the last row.
    """
    n_batch, length, n_heads, head_size = x.shape
    exponent = delta * A
    x = x * (torch.expm1(exponent) / A if exact else delta).unsqueeze(3)
    chunk = math.ceil(length / math.ceil(length / chunk))  # equal chunks, so that little is padded
    x, exponent, B, C = (_in_chunks(value, chunk) for value in (x, exponent, B, C))
    x = x.transpose(2, 3)  # (B, K, H, Q, P)
    # In double precision: differences of long sums would otherwise cost the decays their digits.
    total = exponent.double().cumsum(2).transpose(2, 3)  # (B, K, H, Q)
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    decay = (total.unsqueeze(4) - total.unsqueeze(3)).to(x.dtype).masked_fill(future, -math.inf).exp()
    inside = ((C @ B.transpose(2, 3)).unsqueeze(2) * decay) @ x

    to_end = (total[..., -1:] - total).to(x.dtype).exp().unsqueeze(4)
    gained = (x * to_end).transpose(3, 4) @ B.unsqueeze(2)  # (B, K, H, P, N)
    kept = total[..., -1].to(x.dtype).exp()[..., None, None]
    if initial is None:
        initial = x.new_zeros(n_batch, n_heads, head_size, B.shape[3])
    ends = linear_scan(kept, gained, initial)
    starts = torch.cat([initial.unsqueeze(1), ends[:, :-1]], 1)
    carried = (C.unsqueeze(2) @ starts.transpose(3, 4)) * total.to(x.dtype).exp().unsqueeze(4)
    outputs = (inside + carried).transpose(2, 3).flatten(1, 2)[:, :length]
    return outputs, ends[:, -1]


def _in_chunks(values: Tensor, chunk: int) -> Tensor:
    """Fold (B, L, ...) into (B, K, chunk, ...); padded rows have step size 0 and change nothing."""
    missing = -values.shape[1] % chunk
    if missing:
        values = torch.cat([values, values.new_zeros(len(values), missing, *values.shape[2:])], 1)
    return values.unflatten(1, (-1, chunk))


# ---------------------------------------------------------------------- layers
class StateSpaceDual(nn.Module):
    """Mamba-2 layer: gate and mixed channels from one projection, causal convolution, SSD, gated RMS norm, projection.

    Parameters
    ----------
    d_model : int >= 1
        Channels in and out.
    d_state : int >= 1, default=16
        Size N of the state of a channel.
    head_size : int >= 1, default=64
        Channels P that share a decay; must divide expand * d_model.
    expand : int >= 1, default=2
        Inner channels for each outer one.
    width : int >= 1, default=4
        Rows of the convolution.
    exact : bool, default=False
        Exact input factor; see the module.
    """

    def __init__(self, d_model, d_state=16, head_size=64, expand=2, width=4, exact=False):
        super().__init__()
        self.inner, self.d_state, self.head_size, self.exact = expand * d_model, d_state, head_size, exact
        if self.inner % head_size:
            raise ValueError(f"head_size must divide expand * d_model = {self.inner}, got {head_size}")
        self.n_heads = self.inner // head_size
        mixed = self.inner + 2 * d_state
        self.split = [self.inner, mixed, self.n_heads]
        self.project_in = nn.Linear(d_model, sum(self.split), bias=False)
        self.convolution = CausalConv1d(mixed, width)
        self.A_log = _undecayed(torch.empty(self.n_heads).uniform_(1, 16).log())
        self.skip = _undecayed(torch.ones(self.n_heads))
        self.delta_bias = _undecayed(_initial_delta(self.n_heads))
        self.norm = nn.RMSNorm(self.inner, eps=1e-5)
        self.project_out = nn.Linear(self.inner, d_model, bias=False)

    def forward(self, u: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map u (B, L, d_model) to the same shape; gaps (B, L) in units of the typical one."""
        gate, mixed, delta = self.project_in(u).split(self.split, 2)
        x, B, C = self._parts(self.convolution(mixed))
        delta = _times(functional.softplus(delta + self.delta_bias), gaps)
        y, _ = dual_scan(x, delta, -self.A_log.exp(), B, C, exact=self.exact)
        return self._finish(y, x, gate)

    def init_state(self, n_batch: int) -> State:
        """Return the state before the first row."""
        zeros = self.skip.new_zeros(n_batch, self.n_heads, self.head_size, self.d_state)
        return self.convolution.init_state(n_batch), zeros

    def step(self, u: Tensor, state: State, gap: Tensor | None = None) -> tuple[Tensor, State]:
        """Map one row u (B, d_model) with the gap (B,) before it; return the output and the next state."""
        gate, mixed, delta = self.project_in(u).split(self.split, 1)
        mixed, rows = self.convolution.step(mixed, state[0])
        x, B, C = self._parts(mixed)
        delta = _times(functional.softplus(delta + self.delta_bias), gap)
        exponent = delta * -self.A_log.exp()
        factor = torch.expm1(exponent) / -self.A_log.exp() if self.exact else delta
        gained = (factor.unsqueeze(2) * x).unsqueeze(3) * B[:, None, None]
        hidden = torch.addcmul(gained, exponent.exp()[..., None, None], state[1])
        y = (hidden * C[:, None, None]).sum(3)
        return self._finish(y, x, gate), (rows, hidden)

    def _parts(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, B, C = functional.silu(mixed).split([self.inner, self.d_state, self.d_state], -1)
        return x.unflatten(-1, (self.n_heads, self.head_size)), B, C

    def _finish(self, y: Tensor, x: Tensor, gate: Tensor) -> Tensor:
        y = (y + self.skip.unsqueeze(1) * x).flatten(-2)
        return self.project_out(self.norm(y * functional.silu(gate)))


class SelectiveSSM(nn.Module):
    """Mamba layer (S6): two branches, one through causal convolution and selective scan, one as a gate.

    Parameters
    ----------
    d_model : int >= 1
        Channels in and out.
    d_state : int >= 1, default=16
        Size N of the state of a channel.
    expand : int >= 1, default=2
        Inner channels for each outer one.
    width : int >= 1, default=4
        Rows of the convolution.
    rank : int >= 1, optional
        Rank of the map to step sizes; ceil(d_model / 16) when left out.
    exact : bool, default=False
        Exact input factor; see the module.
    io_constraint : {"none", "psd"}, default="none"
        "psd" makes the input-output matrix S_C' S_B positive semidefinite, so that tokens do not collapse with depth
        (arXiv:2410.03292): S_C = P and S_B = diag(lambda) P with P upper triangular, lambda > 0.7.
    token_order : {"given", "importance"}, default="given"
        "importance" sorts tokens softly, by a score that is linear in their step sizes, before the scan and back after
        it (arXiv:2410.03292, where they are not sorted back). Not for tokens that are times: it is not causal.
    """

    def __init__(
        self,
        d_model,
        d_state=16,
        expand=2,
        width=4,
        rank=None,
        exact=False,
        io_constraint="none",
        token_order="given",
    ):
        super().__init__()
        self.inner, self.d_state, self.exact = expand * d_model, d_state, exact
        self.rank, self.io_constraint = rank or math.ceil(d_model / 16), io_constraint
        if io_constraint not in ("none", "psd"):
            raise ValueError(f"io_constraint must be 'none' or 'psd', got {io_constraint!r}")
        if io_constraint == "psd" and d_state > self.inner:
            raise ValueError(f"io_constraint='psd' needs d_state <= expand * d_model = {self.inner}, got {d_state}")
        if token_order not in ("given", "importance"):
            raise ValueError(f"token_order must be 'given' or 'importance', got {token_order!r}")
        self.project_in = nn.Linear(d_model, 2 * self.inner, bias=False)
        self.convolution = CausalConv1d(self.inner, width)
        self.score = nn.Linear(self.inner, 1, bias=False) if token_order == "importance" else None
        self.to_rank = nn.Linear(self.inner, self.rank, bias=False)
        self.to_delta = nn.Linear(self.rank, self.inner)
        with torch.no_grad():
            self.to_delta.bias.copy_(_initial_delta(self.inner))
            bound = self.rank**-0.5
            self.to_delta.weight.uniform_(-bound, bound)
        self.to_delta.bias.no_weight_decay = True
        self.to_B = nn.Linear(self.inner, d_state, bias=False)
        self.to_C = nn.Linear(self.inner, d_state, bias=False)
        self.sign = nn.Parameter(torch.zeros(d_state)) if io_constraint == "psd" else None
        self.A_log = _undecayed(torch.arange(1.0, d_state + 1).log().repeat(self.inner, 1))
        self.skip = _undecayed(torch.ones(self.inner))
        self.project_out = nn.Linear(self.inner, d_model, bias=False)

    def io_weights(self) -> tuple[Tensor, Tensor]:
        """Return the maps S_B and S_C (N, inner) from a token to B and C."""
        if self.sign is None:
            return self.to_B.weight, self.to_C.weight
        triangle = self.to_C.weight.triu(1) + torch.eye(self.d_state, self.inner).to(self.skip)
        return (functional.softplus(self.sign) + 0.7).unsqueeze(1) * triangle, triangle

    def forward(self, u: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map u (B, L, d_model) to the same shape; gaps (B, L) in units of the typical one."""
        x, gate = self.project_in(u).chunk(2, 2)
        x = functional.silu(self.convolution(x))
        order = None if self.score is None else self._order(x)
        x = x if order is None else order @ x
        delta, B, C = self._coefficients(x, gaps)
        y, _ = selective_scan(x, delta, -self.A_log.exp(), B, C, exact=self.exact)
        if order is not None:
            y, x = order.mT @ y, order.mT @ x
        return self._finish(y, x, gate)

    def init_state(self, n_batch: int) -> State:
        """Return the state before the first row."""
        if self.score is not None:
            raise ValueError("token_order='importance' needs all tokens at once; to stream, use 'given'")
        zeros = self.skip.new_zeros(n_batch, self.inner, self.d_state)
        return self.convolution.init_state(n_batch), zeros

    def step(self, u: Tensor, state: State, gap: Tensor | None = None) -> tuple[Tensor, State]:
        """Map one row u (B, d_model) with the gap (B,) before it; return the output and the next state."""
        x, gate = self.project_in(u).chunk(2, 1)
        x, rows = self.convolution.step(x, state[0])
        x = functional.silu(x)
        delta, B, C = self._coefficients(x, gap)
        hidden = _advance(state[1], x, delta, -self.A_log.exp(), B, self.exact)
        y = torch.bmm(hidden, C.unsqueeze(2)).squeeze(2)
        return self._finish(y, x, gate), (rows, hidden)

    def _order(self, x: Tensor) -> Tensor:
        """Soft permutation (B, L, L) of tokens into the order of their scores; gradients reach the scores."""
        scores = self.score(self.to_delta(self.to_rank(x)))  # (B, L, 1)
        distance = (scores.sort(dim=1).values - scores.transpose(1, 2)).abs()
        return torch.softmax(-distance, dim=2)

    def _coefficients(self, x: Tensor, gaps: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        delta = functional.softplus(self.to_delta(self.to_rank(x)))
        from_B, from_C = self.io_weights()
        return _times(delta, gaps), functional.linear(x, from_B), functional.linear(x, from_C)

    def _finish(self, y: Tensor, x: Tensor, gate: Tensor) -> Tensor:
        return self.project_out((y + self.skip * x) * functional.silu(gate))


def _times(delta: Tensor, gaps: Tensor | None) -> Tensor:
    return delta if gaps is None else delta * gaps.unsqueeze(-1)


def _undecayed(values: Tensor) -> nn.Parameter:
    """Parameter that weight decay must leave alone: pulling it to zero has no meaning."""
    parameter = nn.Parameter(values)
    parameter.no_weight_decay = True  # type: ignore[attr-defined]
    return parameter


def _initial_delta(size: int) -> Tensor:
    """Biases whose softplus is log-uniform in [0.001, 0.1]; below 1e-4 channels would be dead."""
    delta = torch.empty(size).uniform_(math.log(0.001), math.log(0.1)).exp().clamp_min(1e-4)
    return delta + torch.log(-torch.expm1(-delta))
