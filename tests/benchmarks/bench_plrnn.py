"""Back-propagation through a piecewise-linear recursion by hand against torch's automatic differentiation.

Run: python tests/benchmarks/bench_plrnn.py. Interleaved, the best of several; the ratio is what counts.
"""

import time

import torch

from chaosfit.methods.recurrent.recursion import is_compiled, recur

M, L, B, T = 20, 2, 16, 200


def eager(W, U, first, data, mix):
    one, s, states = torch.ones(1, B), first, []
    for t in range(T):
        if t > 0:
            s = states[-1] + mix[t] * (data[t] - states[-1])
        units = (U @ torch.cat([s, one])).relu()
        states.append(W[:, :M] @ s + W[:, M : M + 1] + W[:, M + 1 :] @ units)
    return torch.stack(states)


def by_hand(W, U, first, data, mix):
    return recur(W, U, first, data, mix, False)


def main(repeats: int = 5) -> None:
    """Print the times of one forward and backward pass."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    W, U, first = 0.2 * torch.randn(M, M + 1 + L), torch.randn(L, M + 1), torch.randn(M, B)
    data, mix = torch.randn(T, M, B), torch.zeros(T, M, 1)
    mix[::16, :3] = 1.0
    weights = [w.requires_grad_() for w in (W, U, first)]
    best: dict[str, float] = {}
    for _ in range(repeats + 1):  # the first warms up
        for function in (eager, by_hand):
            start = time.perf_counter()
            for _ in range(5):
                torch.autograd.grad(function(*weights, data, mix).square().mean(), weights)
            seconds = (time.perf_counter() - start) / 5
            best[function.__name__] = min(best.get(function.__name__, seconds), seconds)
    way = "numba" if is_compiled else "numpy"
    print(f"eager torch {1e3 * best['eager']:.2f} ms; by hand ({way}) {1e3 * best['by_hand']:.2f} ms; ", end="")
    print(f"{best['eager'] / best['by_hand']:.1f} times faster")


if __name__ == "__main__":
    main()
