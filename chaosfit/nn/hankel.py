r"""Linear layers whose weight is a sum of scaled Hankel matrices, multiplied by fast Fourier transform.

A Hankel matrix, H_ij = c_{i+j}, has n_in + n_out - 1 free numbers instead of n_in n_out, and its product with a
vector is a correlation: O(n log n) operations and no matrix in memory.
"""

from __future__ import annotations

import math
import warnings

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["HankelLinear", "hankel_product"]

#: Time of one floating-point operation in a real FFT, in those of a matrix product (measured: n = 64 ... 2048, CPU).
_FFT_FLOP = 4.5
KINDS, MODES = ("hankel", "vandermonde"), ("auto", "dense", "fft")
_HALF = (torch.float16, torch.bfloat16)


def hankel_product(c: Tensor, x: Tensor, n_out: int) -> Tensor:
    """Return y_i = sum_j c_{i+j} x_j by FFT.

    Parameters
    ----------
    c : Tensor of shape (..., n_in + n_out - 1)
    x : Tensor of shape (..., n_in)
        Leading axes broadcast against those of `c`.
    n_out : int

    Returns
    -------
    Tensor of shape (..., n_out)

    Examples
    --------
    >>> import torch
    >>> hankel_product(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, -1.0]), 2).round()
    tensor([-1., -1.])
    """
    if c.shape[-1] != x.shape[-1] + n_out - 1:
        raise ValueError(
            f"c must have n_in + n_out - 1 = {x.shape[-1] + n_out - 1} entries for n_in={x.shape[-1]} and "
            f"n_out={n_out}, got {c.shape[-1]}"
        )
    if x.dtype in _HALF:  # there is no transform in half precision on a CPU
        return hankel_product(c.float(), x.float(), n_out).to(x.dtype)
    length = _fft_length(c.shape[-1])
    # A circular correlation at least as long as c: the entries asked for do not wrap around.
    spectrum = torch.fft.rfft(c, length) * torch.fft.rfft(x, length).conj()
    return torch.fft.irfft(spectrum, length)[..., :n_out]


class HankelLinear(nn.Module):
    r"""Linear layer with a structured weight.

    .. math:: y = \beta + \sum_{k=1}^{p} \mathrm{diag}(a_k)\, H(c_k)\, \mathrm{diag}(b_k)\, x,
              \qquad H(c)_{ij} = c_{i+j}

    Maps (..., n_in) to (..., n_out). With `kind="vandermonde"` the entries are sums of R damped exponentials,
    :math:`c_j = \mathrm{Re} \sum_l w_l z_l^j` with :math:`|z_l| < 1`, so H = V' diag(w) V with Vandermonde V.

    Parameters
    ----------
    n_in, n_out : int >= 1
    n_terms : int >= 1, default=1
        Number p of Hankel matrices; about n/4 of them make a full matrix.
    kind : {"hankel", "vandermonde"}, default="hankel"
        Free entries, or exponentials.
    rank : int >= 1, optional
        Number R of exponentials. Default: an eighth of the larger side.
    scaled : bool, default=True
        With the diagonals a and b. Without them a sum of terms would be one Hankel matrix: then n_terms must be 1.
    bias : bool, default=True
    mode : {"auto", "dense", "fft"}, default="auto"
        How to multiply: build the matrix, or transform. "auto" takes what should be faster, for one term the
        transform from about 256 units on.

    Attributes
    ----------
    n_parameters : int
        Real numbers that are trained.
    flops : int
        Additions and multiplications for one row x, as it is multiplied; building the matrix, or the transform
        of c, happens once a call and is not counted.
    dense_parameters, dense_flops : int
        Of `torch.nn.Linear` of the same shape.

    Notes
    -----
    The structure saves parameters and memory at a given width. It does not make a better network: at equal numbers
    of parameters a narrow dense network is as good. a, b and c carry `no_weight_decay`, see `Trainer`.

    Examples
    --------
    >>> import torch
    >>> layer = HankelLinear(2048, 2048, scaled=False)
    >>> layer(torch.zeros(3, 2048)).shape, layer.n_parameters, layer.dense_parameters
    (torch.Size([3, 2048]), 6143, 4196352)
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        n_terms: int = 1,
        *,
        kind: str = "hankel",
        rank: int | None = None,
        scaled: bool = True,
        bias: bool = True,
        mode: str = "auto",
    ):
        super().__init__()
        n_exponents = max(1, max(n_in, n_out) // 8) if rank is None else rank
        for name, value in (("n_in", n_in), ("n_out", n_out), ("n_terms", n_terms), ("rank", n_exponents)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for option, chosen, known in (("kind", kind, KINDS), ("mode", mode, MODES)):
            if chosen not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {chosen!r}")
        if n_terms > 1 and not scaled:
            raise ValueError(f"{n_terms} terms without diagonals are one Hankel matrix; set n_terms=1 or scaled=True")
        if kind == "vandermonde" and n_exponents > max(n_in, n_out):
            warnings.warn(
                f"rank={rank} exponentials for a matrix of {n_out} x {n_in}: fewer already give every such matrix; "
                "reduce rank, or take kind='hankel'",
                stacklevel=2,
            )
        self.n_in, self.n_out, self.n_terms, self.kind = n_in, n_out, n_terms, kind
        n_entries, deviation = n_in + n_out - 1, math.sqrt(2 / (n_in * n_terms))
        self.entries: _Free | _Exponentials
        if kind == "hankel":
            self.entries = _Free(n_terms, n_entries, deviation)
        else:
            self.entries = _Exponentials(n_terms, n_entries, n_exponents, deviation)
        self.left = _diagonals(n_terms, n_out) if scaled else None
        self.right = _diagonals(n_terms, n_in) if scaled else None
        for factor in self.parameters():
            factor.no_weight_decay = True  # type: ignore[attr-defined]  # it would act on the product of the factors
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        slow = _FFT_FLOP * self._fft_flops() > self.dense_flops
        self.mode = ("dense" if slow else "fft") if mode == "auto" else mode

    # ------------------------------------------------------------------ the product
    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n_in) to (..., n_out)."""
        if self.mode == "dense":
            return functional.linear(x, self.matrix().to(x.dtype), self.bias)
        c = self.entries()
        if self.left is None or self.right is None:
            y = hankel_product(c[0], x, self.n_out)
        else:
            terms = hankel_product(c, x.unsqueeze(-2) * self.right, self.n_out)
            y = (terms * self.left).sum(-2)
        return y if self.bias is None else y + self.bias

    def hankel_matrices(self) -> Tensor:
        """Return the matrices H(c_k), (p, n_out, n_in), without diagonals; for free entries it is a view."""
        return self.entries().unfold(1, self.n_in, 1)

    def matrix(self) -> Tensor:
        """Return the whole weight (n_out, n_in)."""
        if self.left is None:
            return self.hankel_matrices()[0]
        return torch.einsum("ki,kij,kj->ij", self.left, self.hankel_matrices(), self.right)

    def exponents(self) -> Tensor:
        """Return log z (p, R) of `kind="vandermonde"`: decay and frequency from one position to the next."""
        if not isinstance(self.entries, _Exponentials):
            raise ValueError(f"only kind='vandermonde' has exponents, this layer is of kind={self.kind!r}")
        return self.entries.exponents().detach()

    # ------------------------------------------------------------------ what it costs
    @property
    def n_parameters(self) -> int:
        """Number of trained real numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def dense_parameters(self) -> int:
        """Number of parameters of a dense layer of the same shape."""
        return self.n_out * (self.n_in + (self.bias is not None))

    @property
    def dense_flops(self) -> int:
        """Operations of a dense layer for one row."""
        return 2 * self.n_out * self.n_in

    @property
    def flops(self) -> int:
        """Operations for one row in the mode of this layer."""
        return self.dense_flops if self.mode == "dense" else self._fft_flops()

    def _fft_flops(self) -> int:
        length = _fft_length(self.n_in + self.n_out - 1)
        transforms = 5 * length * math.log2(max(length, 2))  # two real transforms of 2.5 M log2 M
        product = 6 * (length // 2 + 1)
        scaling = 0 if self.left is None else self.n_in + 2 * self.n_out
        return round(self.n_terms * (transforms + product + scaling))

    # ------------------------------------------------------------------ least squares
    @torch.no_grad()
    def solve(self, x: Tensor, y: Tensor) -> HankelLinear:
        """Set c, and the bias if there is one, to the least-squares solution for rows x (B, n_in), y (B, n_out).

        For one term of free entries without diagonals. It needs far fewer rows than an unstructured matrix:
        B n_out numbers for n_in + n_out - 1 unknowns. Returns the layer.
        """
        if not isinstance(self.entries, _Free) or self.left is not None:
            raise ValueError(
                "solve needs kind='hankel' and scaled=False: anything else is not linear in its parameters"
            )
        if x.shape != (len(y), self.n_in) or y.shape != (len(x), self.n_out):
            raise ValueError(
                f"x must have shape (n, {self.n_in}) and y (n, {self.n_out}), got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        centred = 0.0 if self.bias is None else 1.0
        x_mean, y_mean = centred * x.mean(0), centred * y.mean(0)
        n_rows, n_entries = len(x), self.n_in + self.n_out - 1
        design = x.new_zeros(n_rows, self.n_out, n_entries)  # y_i = sum_k design[i, k] c_k
        for i in range(self.n_out):
            design[:, i, i : i + self.n_in] = x - x_mean
        solution = torch.linalg.lstsq(design.flatten(0, 1), (y - y_mean).reshape(-1, 1)).solution
        self.entries.values.copy_(solution.T)
        if self.bias is not None:
            self.bias.copy_(y_mean - hankel_product(solution[:, 0], x_mean, self.n_out))
        return self

    def extra_repr(self) -> str:
        """Say shape and structure when printed."""
        return f"n_in={self.n_in}, n_out={self.n_out}, n_terms={self.n_terms}, kind={self.kind!r}, mode={self.mode!r}"


class _Free(nn.Module):
    """The entries (p, K) themselves."""

    def __init__(self, n_terms: int, n_entries: int, deviation: float):
        super().__init__()
        self.values = nn.Parameter(deviation * torch.randn(n_terms, n_entries))

    def forward(self) -> Tensor:
        return self.values


class _Exponentials(nn.Module):
    """Entries (p, K) that are sums of R damped exponentials, 4 R numbers for each term."""

    def __init__(self, n_terms: int, n_entries: int, n_exponents: int, deviation: float):
        super().__init__()
        self.n_entries = n_entries
        slow = math.log(math.expm1(1 / (2 * n_entries)))  # softplus of it: all entries keep their size
        self.decay = nn.Parameter(torch.full((n_terms, n_exponents), slow))
        self.angle = nn.Parameter(math.pi * torch.rand(n_terms, n_exponents))
        self.weight = nn.Parameter(deviation / math.sqrt(n_exponents) * torch.randn(n_terms, n_exponents, 2))

    def exponents(self) -> Tensor:
        return torch.complex(-functional.softplus(self.decay), self.angle)

    def forward(self) -> Tensor:
        positions = torch.arange(self.n_entries, dtype=self.decay.dtype, device=self.decay.device)
        size = torch.exp(-functional.softplus(self.decay)[..., None] * positions)
        phase = self.angle[..., None] * positions
        real, imag = self.weight[..., :1], self.weight[..., 1:]
        return (size * (real * torch.cos(phase) - imag * torch.sin(phase))).sum(1)


def _diagonals(n_terms: int, n: int) -> nn.Parameter:
    """Diagonals (p, n) near one, but different, so that the terms do not stay equal."""
    return nn.Parameter(1 + 0.1 * torch.randn(n_terms, n))


def _fft_length(n_entries: int) -> int:
    return int(next_fast_len(n_entries, real=True))
