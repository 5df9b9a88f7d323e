"""Back-propagation through a piecewise-linear recursion by hand against torch's automatic differentiation.

Run: python tests/benchmarks/bench_plrnn.py. 200 steps, 16 sequences at once, for the networks published for Lorenz-63.
CPU time, interleaved, the best of several; the ratio is what counts. Asked: 5 times with numpy, 15 times with numba.
"""

import time

import torch

from chaosfit.methods.recurrent.recursion import is_compiled, recur

B, T = 16, 200
#: States, units, clipped.
SIZES = {"AlmostLinearRNN": (20, 2, False), "ShallowPLRNN": (3, 50, True)}


def eager(W, U, first, data, mix, clipped):
    M, one, s, states = len(first), torch.ones(1, B), first, []
    for t in range(T):
        if t > 0:
            s = states[-1] + mix[t] * (data[t] - states[-1])
        arguments = U @ torch.cat([s, one])
        units = arguments.relu()
        if clipped:
            units = units - (arguments - U[:, -1:]).relu()
        states.append(W[:, :M] @ s + W[:, M : M + 1] + W[:, M + 1 :] @ units)
    return torch.stack(states)


def measure(M: int, L: int, clipped: bool, repeats: int = 5) -> tuple[float, float]:
    """CPU seconds of one forward and backward pass, eager and by hand."""
    torch.manual_seed(0)
    W, U, first = 0.2 * torch.randn(M, M + 1 + L), 0.5 * torch.randn(L, M + 1), torch.randn(M, B)
    data, mix = torch.randn(T, M, B), torch.full((T, M, 1), 0.15)
    weights = [w.requires_grad_() for w in (W, U, first)]
    best = [float("inf")] * 2
    for _ in range(repeats + 1):  # the first warms up
        for i, function in enumerate((eager, recur)):
            start = time.process_time()
            for _ in range(5):
                torch.autograd.grad(function(*weights, data, mix, clipped).square().mean(), weights)
            best[i] = min(best[i], (time.process_time() - start) / 5)
    return best[0], best[1]


def main() -> None:
    """Print a line a network."""
    torch.set_num_threads(1)
    way = "numba" if is_compiled else "numpy"
    for name, size in SIZES.items():
        slow, fast = (1e3 * seconds for seconds in measure(*size))
        print(f"{name}: eager torch {slow:.2f} ms, by hand ({way}) {fast:.2f} ms, {slow / fast:.1f} times faster")


if __name__ == "__main__":
    main()
