"""HAVOK, HankelDMD and OptDMD against PyDMD, on one variable of Lorenz: n = 100 000, 100 delays.

Run: python tests/benchmarks/bench_havok.py, with pydmd installed. Interleaved, the best of three; ratios count.
"""

import time
import warnings

import numpy as np

from chaosfit import HAVOK, HankelDMD, Lorenz63, OptDMD


def peers(x, dt):
    """Pairs (label, ours, theirs) of calls that fit the same model."""
    import pydmd

    def their_havok():
        pydmd.HAVOK(svd_rank=15, delays=100).fit(x, t=dt)

    def their_hankel_dmd():
        pydmd.HankelDMD(svd_rank=15, d=100, reconstruction_method="first").fit(x[np.newaxis])

    waves = np.cos(np.outer([1.0, 2**0.5, 2.7], 0.1 * np.arange(400)))
    mixing = np.random.default_rng(0).normal(size=(20, 3))
    channels = mixing @ waves
    channels += 0.02 * channels.std() * np.random.default_rng(1).normal(size=channels.shape)
    t = 0.1 * np.arange(400)

    def their_opt_dmd():
        pydmd.BOPDMD(svd_rank=6, num_trials=0).fit(channels, t)

    column = x[:, np.newaxis]
    return [
        ("HAVOK, rank 15", lambda: HAVOK(n_delays=100, rank=15, dt=dt).fit(column), their_havok),
        ("HankelDMD, rank 15", lambda: HankelDMD(n_delays=100, rank=15, dt=dt).fit(column), their_hankel_dmd),
        ("OptDMD, 20 channels, 400 samples, rank 6", lambda: OptDMD(rank=6, dt=0.1).fit(channels.T), their_opt_dmd),
    ]


def main(n: int = 100_000, repeats: int = 3) -> None:
    """Print CPU seconds and ratios."""
    dt = 0.001
    x = Lorenz63().simulate(n, dt=dt, random_state=0)[:, 0]
    for label, ours, theirs in peers(x, dt):
        best = {"ours": np.inf, "theirs": np.inf}
        for _ in range(repeats):
            for name, call in (("ours", ours), ("theirs", theirs)):
                start = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    call()
                best[name] = min(best[name], time.process_time() - start)
        ratio = best["theirs"] / best["ours"]
        print(f"{label}: chaosfit {best['ours']:.3f} s, PyDMD {best['theirs']:.3f} s; {ratio:.1f} times faster")


if __name__ == "__main__":
    main()
