"""The scores of the Common Task Framework for science: twelve numbers E1..E12 and their mean.

Every score is a percentage, 100 (1 - relative error): 100 is perfect, 0 is what a forecast of zeros reaches,
and -100 is the floor, which a forecast that is not finite gets.

Reference: Wyder et al., arXiv:2510.23166.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from chaosfit.metrics.pair import Floats, check_pair, is_finite

CTF_SCORES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "E1": (1, "short_time"),
        "E2": (1, "long_time"),
        "E3": (2, "reconstruction"),
        "E4": (3, "long_time"),
        "E5": (4, "reconstruction"),
        "E6": (5, "long_time"),
        "E7": (6, "short_time"),
        "E8": (6, "long_time"),
        "E9": (7, "short_time"),
        "E10": (7, "long_time"),
        "E11": (8, "short_time"),
        "E12": (9, "short_time"),
    }
)
"""Name of the score -> (number of the train/test pair, what is judged)."""


def ctf_short_time(
    y_true: ArrayLike, y_pred: ArrayLike, *, n_steps: int = 20, norm: str = "spectral"
) -> float | Floats:
    r"""Return the score of the first steps (E1, E7, E9, E11, E12).

    .. math:: 100 \left(1 - \frac{\|Y_k - P_k\|}{\|Y_k\|}\right)

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    n_steps : int >= 1, default 20
        Number k of steps to judge.
    norm : {"spectral", "frobenius"}, default "spectral"
        The published scores use the largest singular value of the matrix of errors, which forgives errors that
        point in many directions. The Frobenius norm is the usual relative error.

    Returns
    -------
    float in -100..100, or array (B,)

    Examples
    --------
    >>> ctf_short_time([[3.0, 4.0]], [[0.0, 4.0]])
    40.0
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(_relative_error_score(true[:, :n_steps], pred[:, :n_steps], norm))


def ctf_reconstruction(y_true: ArrayLike, y_pred: ArrayLike, *, norm: str = "spectral") -> float | Floats:
    """Return the score of the whole series (E3, E5).

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and its reconstruction from noisy data.
    norm : {"spectral", "frobenius"}, default "spectral"
        See `ctf_short_time`.

    Returns
    -------
    float in -100..100, or array (B,)

    Examples
    --------
    >>> ctf_reconstruction([[3.0], [4.0]], [[3.0], [4.0]])
    100.0
    """
    true, pred, as_given = check_pair(y_true, y_pred)
    return as_given(_relative_error_score(true, pred, norm))


def _relative_error_score(true: Floats, pred: Floats, norm: str) -> Floats:
    if norm not in ("spectral", "frobenius"):
        raise ValueError(f"norm must be 'spectral' or 'frobenius', got {norm!r}.")
    order: Literal["fro"] | float = 2 if norm == "spectral" else "fro"
    usable, pred = _usable(pred)
    errors = np.linalg.norm(true - pred, ord=order, axis=(1, 2))
    return _score(_relative(errors, np.linalg.norm(true, ord=order, axis=(1, 2))), usable)


def ctf_histogram(y_true: ArrayLike, y_pred: ArrayLike, *, n_steps: int = 500, n_bins: int = 41) -> float | Floats:
    r"""Return the score of the long-time distribution of a low-dimensional system (E2, E4, E6, E8, E10).

    .. math:: 100 \left(1 - \frac{1}{d} \sum_i \frac{\|h_i - g_i\|_1}{\|h_i\|_1}\right)

    with the histograms h of the truth and g of the forecast over their joint range.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast.
    n_steps : int >= 1, default 500
        Number of steps to judge, counted from the end.
    n_bins : int >= 1, default 41
        Bins of a histogram.

    Returns
    -------
    float in -100..100, or array (B,)
        A forecast without overlap gets -100; a constant one about -91, not 0.

    Examples
    --------
    >>> ctf_histogram([0.0, 1.0, 2.0], [2.0, 0.0, 1.0])
    100.0
    """
    if n_steps < 1 or n_bins < 1:
        raise ValueError(f"n_steps and n_bins must be at least 1, got {n_steps} and {n_bins}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    usable, pred = _usable(pred[:, -n_steps:])
    errors = [
        np.mean([_histogram_error(t, p, n_bins) for t, p in zip(orbit.T, run.T, strict=True)])
        for orbit, run in zip(true[:, -n_steps:], pred, strict=True)
    ]
    return as_given(_score(np.array(errors), usable))


def _histogram_error(true: Floats, pred: Floats, n_bins: int) -> float:
    edges = np.histogram_bin_edges(np.concatenate([true, pred]), bins=n_bins)
    return np.abs(np.histogram(true, edges)[0] - np.histogram(pred, edges)[0]).sum() / len(true)


def ctf_spectrum(y_true: ArrayLike, y_pred: ArrayLike, *, n_steps: int = 20, n_modes: int = 100) -> float | Floats:
    r"""Return the score of the long-time spatial spectrum of a field (E2, E4, E6, E8, E10).

    .. math:: 100 \left(1 - \frac{\|S - R\|_2}{\|S\|_2}\right)

    S and R are the spatial power spectra of truth and forecast, averaged over the last steps.

    Parameters
    ----------
    y_true, y_pred : arrays (h, d) or (B, h, d)
        Truth and forecast; the d coordinates are equally spaced points of a periodic domain.
    n_steps : int >= 1, default 20
        Number of steps to average, counted from the end.
    n_modes : int >= 1, default 100
        Number of wavenumbers to compare, from the mean (0) upwards; at most d // 2 exist.

    Returns
    -------
    float in -100..100, or array (B,)

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.cos(np.linspace(0, 2 * np.pi, 64, endpoint=False))
    >>> ctf_spectrum([wave], [np.roll(wave, 5)])
    100.0
    """
    if n_steps < 1 or n_modes < 1:
        raise ValueError(f"n_steps and n_modes must be at least 1, got {n_steps} and {n_modes}.")
    true, pred, as_given = check_pair(y_true, y_pred)
    usable, pred = _usable(pred[:, -n_steps:])
    truth, forecast = (_spatial_spectra(runs, n_modes) for runs in (true[:, -n_steps:], pred))
    errors = np.linalg.norm(truth - forecast, axis=1)
    return as_given(_score(_relative(errors, np.linalg.norm(truth, axis=1)), usable))


def _spatial_spectra(runs: Floats, n_modes: int) -> Floats:
    modes = np.fft.rfft(runs, axis=2)[:, :, : min(n_modes, (runs.shape[2] + 1) // 2)]
    return (np.abs(modes) ** 2).mean(axis=1)


def ctf_scores(pair: int, y_true: ArrayLike, y_pred: ArrayLike, *, norm: str = "spectral") -> dict[str, float]:
    """Return the scores of one pair of the Lorenz task.

    Parameters
    ----------
    pair : int in 1..9
        Number of the train/test pair, which says what is judged; see `CTF_SCORES`.
    y_true, y_pred : arrays (h, d)
        Truth and forecast or reconstruction.
    norm : {"spectral", "frobenius"}, default "spectral"
        See `ctf_short_time`.

    Returns
    -------
    dict of float
        Name -> score.

    Examples
    --------
    >>> ctf_scores(8, [[3.0, 4.0]], [[0.0, 4.0]])
    {'E11': 40.0}
    """
    kinds = {name: kind for name, (number, kind) in CTF_SCORES.items() if number == pair}
    if not kinds:
        raise ValueError(f"pair must be an integer from 1 to 9, got {pair!r}.")
    judges: dict[str, Callable[..., Any]] = {
        "short_time": functools.partial(ctf_short_time, norm=norm),
        "reconstruction": functools.partial(ctf_reconstruction, norm=norm),
        "long_time": ctf_histogram,
    }
    return {name: float(judges[kind](y_true, y_pred)) for name, kind in kinds.items()}


def ctf_composite(scores: Mapping[str, float]) -> float:
    """Return the mean of E1..E12.

    Parameters
    ----------
    scores : mapping
        Name ("E1" .. "E12") -> score. A missing or undefined one counts -100, as published.

    Returns
    -------
    float in -100..100

    Examples
    --------
    >>> ctf_composite({f"E{i}": 50.0 for i in range(1, 12)})
    37.5
    """
    unknown = sorted(set(scores) - set(CTF_SCORES))
    if unknown:
        raise ValueError(f"scores are called E1 to E12, got {', '.join(unknown)}.")
    values = np.array([scores.get(name, -100.0) for name in CTF_SCORES], dtype=np.float64)
    return float(np.clip(np.where(np.isnan(values), -100.0, values), -100.0, 100.0).mean())


def _usable(pred: Floats) -> tuple[np.ndarray, Floats]:
    """Tell which runs are finite, and return them cut off where the fourth power would overflow."""
    usable = is_finite(pred)
    return usable, np.clip(np.where(usable[:, None, None], pred, 0.0), -1e70, 1e70)


def _relative(errors: Floats, sizes: Floats) -> Floats:
    if not (sizes > 0).all():
        raise ValueError("y_true is zero throughout the judged steps: its relative error is undefined.")
    return errors / sizes


def _score(relative_errors: Floats, usable: np.ndarray) -> Floats:
    return np.where(usable, np.clip(100.0 * (1.0 - relative_errors), -100.0, 100.0), -100.0)
