"""The Hankel layer by Fourier transforms against its own explicit matrix and torch.nn.Linear: forward and backward.

Run: python tests/benchmarks/bench_hankel.py. Interleaved, the best of several; ratios count.
"""

import time

import torch
from torch import nn

from chaosfit.nn.hankel import HankelLinear

BATCH = 32


def seconds(layers, n, repeats=5):
    """Best time of one forward and backward pass of each layer."""
    best = [float("inf")] * len(layers)
    x = torch.randn(BATCH, n)
    for _ in range(repeats):
        for i, layer in enumerate(layers):
            start = time.process_time()
            layer(x).square().mean().backward()
            best[i] = min(best[i], time.process_time() - start)
    return best


def main() -> None:
    """Print times and ratios."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for n in (512, 2048, 4096):
        layers = [HankelLinear(n, n, mode="fft"), HankelLinear(n, n, mode="dense"), nn.Linear(n, n)]
        fft, dense, linear = seconds(layers, n)
        print(f"n = {n}: fft {1e3 * fft:.1f} ms; the explicit matrix takes {dense / fft:.1f} times as long, ", end="")
        print(f"torch.nn.Linear {linear / fft:.1f} times")
    n = 16384
    (fft,) = seconds([HankelLinear(n, n, mode="fft")], n)
    print(f"n = {n}: fft {1e3 * fft:.0f} ms, where a matrix would hold {4 * n * n / 2**30:.0f} GiB")


if __name__ == "__main__":
    main()
