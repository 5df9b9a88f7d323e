"""The layer against the explicit matrix, what it saves, and what the structure is worth with few samples."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import linear
from torch.utils._python_dispatch import TorchDispatchMode

from chaosfit.nn.hankel import HankelLinear, hankel_product

SIZES = [1, 2, 3, 7, 64, 257]


def layer(*args, seed=0, **options):
    torch.manual_seed(seed)
    return HankelLinear(*args, **options).double()


def inputs(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def explicit(c, n_in, n_out):
    return torch.stack([torch.stack([c[i + j] for j in range(n_in)]) for i in range(n_out)])


def relative_error(found, expected):
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.mark.parametrize("n", SIZES)
def test_product_and_gradients_are_those_of_the_explicit_matrix(n):
    results = []
    for multiply in (lambda c, x: hankel_product(c, x, n), lambda c, x: x @ explicit(c, n, n).T):
        c, x = inputs(2 * n - 1).requires_grad_(), inputs(4, n, seed=2).requires_grad_()
        y = multiply(c, x)
        results.append((y, *torch.autograd.grad((y * inputs(4, n, seed=3)).sum(), (c, x))))
    for found, expected in zip(*results, strict=True):
        assert relative_error(found, expected) < 1e-12


def test_product_passes_the_numerical_check_of_gradients():
    c, x = inputs(9).requires_grad_(), inputs(2, 6, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda c, x: hankel_product(c, x, 4), (c, x))


@pytest.mark.parametrize("kind", ["hankel", "vandermonde"])
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (1, 5), (24, 7), (7, 24), (33, 33)])
@pytest.mark.parametrize(("n_terms", "scaled"), [(1, False), (1, True), (3, True)])
def test_both_modes_are_the_matrix(kind, n_in, n_out, n_terms, scaled):
    by_fft = layer(n_in, n_out, n_terms, kind=kind, scaled=scaled, mode="fft")
    by_matrix = layer(n_in, n_out, n_terms, kind=kind, scaled=scaled, mode="dense")
    x = inputs(2, 3, n_in)
    expected = linear(x, by_fft.matrix(), by_fft.bias)
    assert relative_error(by_fft(x), expected) < 1e-12
    assert relative_error(by_matrix(x), expected) < 1e-12


def test_matrix_is_the_sum_of_scaled_hankel_matrices():
    model = layer(5, 4, 2)
    by_hand = sum(
        torch.diag(model.left[k]) @ explicit(model.entries()[k], 5, 4) @ torch.diag(model.right[k]) for k in (0, 1)
    )
    torch.testing.assert_close(model.matrix(), by_hand)
    torch.testing.assert_close(model.hankel_matrices()[1], explicit(model.entries()[1], 5, 4))
    assert model.hankel_matrices().untyped_storage().data_ptr() == model.entries.values.untyped_storage().data_ptr()


def test_vandermonde_matrix_factorises():
    model = layer(6, 5, 1, kind="vandermonde", rank=3, scaled=False)
    z = torch.exp(model.exponents()[0])
    w = torch.view_as_complex(model.entries.weight[0].detach())
    V = [z[None] ** torch.arange(n)[:, None] for n in (5, 6)]
    torch.testing.assert_close(model.matrix(), (V[0] * w @ V[1].T).real)
    assert (z.abs() < 1).all()
    assert torch.linalg.matrix_rank(model.matrix()) <= 6  # two for each exponential


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scaled": False}, 2 * 64 - 1 + 64),
        ({}, 4 * 64 - 1 + 64),
        ({"n_terms": 4}, 4 * (4 * 64 - 1) + 64),
        ({"n_terms": 2, "bias": False}, 2 * (4 * 64 - 1)),
        ({"kind": "vandermonde", "rank": 5, "scaled": False, "bias": False}, 4 * 5),
    ],
)
def test_parameters_are_counted(options, expected):
    model = layer(64, 64, **options)
    assert model.n_parameters == expected == sum(p.numel() for p in model.parameters())
    assert model.dense_parameters == 64 * (64 + options.get("bias", True))


def test_operations_are_those_of_the_mode():
    assert layer(64, 64).mode == "dense"
    assert layer(64, 64).flops == layer(64, 64).dense_flops == 2 * 64**2
    large = layer(2048, 2048, scaled=False)
    assert large.mode == "fft"
    assert large.flops == 5 * 4096 * 12 + 6 * 2049  # transforms of length 4096, and the product of the spectra
    assert large.dense_flops / large.flops > 30
    assert layer(2048, 2048, mode="dense").flops == large.dense_flops


class LargestTensor(TorchDispatchMode):
    """Remembers the number of entries of the largest tensor that any operation returned."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else [result]:
            if isinstance(part, torch.Tensor):
                self.largest = max(self.largest, part.untyped_storage().nbytes() // part.element_size())
        return result


def test_no_square_matrix_in_memory():
    n = 16384
    with LargestTensor() as memory:
        model = HankelLinear(n, n, scaled=False)
        x = torch.ones(2, n, requires_grad=True)
        model(x).square().sum().backward()
    assert model.n_parameters == 3 * n - 1
    assert x.grad.shape == (2, n)
    assert memory.largest < 16 * n  # and not n^2
    with LargestTensor() as memory:
        HankelLinear(512, 512, mode="dense")(torch.ones(1, 512))
    assert memory.largest >= 512**2


def test_structure_recovers_what_few_samples_do_not_determine():
    """y = H x + 1 % noise with n = 128: 60 rows determine the 255 entries, not the 16384 of a matrix."""
    n, rng = 128, np.random.default_rng(0)
    c, x = torch.tensor(rng.normal(size=2 * n - 1)), torch.tensor(rng.normal(size=(60, n)))
    H = explicit(c, n, n)
    clean = x @ H.T
    y = clean + 0.01 * clean.std() * torch.tensor(rng.normal(size=clean.shape))
    structured = layer(n, n, scaled=False, bias=False).solve(x, y)
    unstructured = torch.linalg.lstsq(x, y, driver="gelsd").solution.T
    assert relative_error(structured.entries.values[0], c) < 0.01
    assert relative_error(unstructured, H) > 0.3


def test_least_squares_with_bias():
    x = inputs(20, 5)
    truth = layer(5, 3, scaled=False)
    with torch.no_grad():
        truth.bias.copy_(torch.arange(3.0))
    found = layer(5, 3, scaled=False, seed=9).solve(x, truth(x))
    torch.testing.assert_close(found.matrix(), truth.matrix())
    torch.testing.assert_close(found.bias, truth.bias)


def test_half_precision_is_cast():
    model = HankelLinear(8, 8, mode="fft").bfloat16()
    y = model(torch.ones(2, 8, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), model.double()(torch.ones(2, 8).double()), rtol=0.05, atol=0.05)


def test_initial_outputs_have_the_size_of_the_inputs():
    """He's initialisation: mean square two, in both kinds."""
    for kind in ("hankel", "vandermonde"):
        y = [layer(256, 256, 4, kind=kind, seed=seed)(inputs(200, 256)) for seed in range(5)]
        assert 0.7 < math.sqrt(np.mean([float(part.detach().square().mean()) for part in y]) / 2) < 1.4


def test_factors_are_spared_from_weight_decay():
    model = HankelLinear(4, 4, 2)
    assert {name for name, p in model.named_parameters() if hasattr(p, "no_weight_decay")} == {
        "entries.values",
        "left",
        "right",
    }


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((0, 4), {}, "n_in must be at least 1, got 0"),
        ((4, 0), {}, "n_out must be at least 1, got 0"),
        ((4, 4, 0), {}, "n_terms must be at least 1, got 0"),
        ((4, 4), {"kind": "vandermonde", "rank": 0}, "rank must be at least 1, got 0"),
        ((4, 4), {"kind": "toeplitz"}, "kind must be one of hankel, vandermonde, got 'toeplitz'"),
        ((4, 4), {"mode": "slow"}, "mode must be one of auto, dense, fft, got 'slow'"),
        ((4, 4, 2), {"scaled": False}, "2 terms without diagonals are one Hankel matrix"),
    ],
)
def test_refusals(args, options, message):
    with pytest.raises(ValueError, match=message):
        HankelLinear(*args, **options)


def test_refusals_of_use():
    with pytest.raises(ValueError, match="c must have n_in \\+ n_out - 1 = 7 entries for n_in=4 and n_out=4, got 6"):
        hankel_product(torch.zeros(6), torch.zeros(4), 4)
    with pytest.raises(ValueError, match="solve needs kind='hankel' and scaled=False"):
        HankelLinear(4, 4).solve(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 4\) and y \(n, 3\), got \(2, 4\) and \(2, 4\)"):
        HankelLinear(4, 3, scaled=False).solve(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="only kind='vandermonde' has exponents, this layer is of kind='hankel'"):
        HankelLinear(4, 4).exponents()
    with pytest.warns(UserWarning, match="rank=9 exponentials for a matrix of 4 x 8"):
        HankelLinear(8, 4, kind="vandermonde", rank=9)
