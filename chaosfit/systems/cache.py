"""Keep simulated trajectories on disk, if the user names a folder for them.

Set the environment variable ``CHAOSFIT_CACHE`` to a folder: then whatever ``simulate`` and ``integrate`` compute is
kept there, and the same call, in this or any other process, reads it back. The key is all that decides the numbers:
class and source of the system, all parameters, starts, times, accuracy, method, and the versions of chaosfit and of
what it computes with. Several processes may share the folder. Nothing is ever removed: delete it when it has grown.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

__all__ = ["cached"]


def cached(system: Any, call: tuple[Any, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return ``compute()``, from the folder ``CHAOSFIT_CACHE`` if it is set and holds it.

    Parameters
    ----------
    system : System
    call : tuple
        What is computed with it.
    compute : callable
    """
    folder = os.environ.get("CHAOSFIT_CACHE")
    if not folder:
        return compute()
    try:
        parts = (_versions(), _sources(system.__class__), repr(system), system.parameters, call)
    except OSError:  # a class typed into an interpreter: nothing tells one version of it from the next
        return compute()
    from joblib import Memory

    key = hashlib.sha256(repr(_plain(parts)).encode()).hexdigest()
    return Memory(folder, verbose=0).cache(_evaluate, ignore=["compute"])(key, compute)


def _evaluate(key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    return compute()


def _plain(value: Any) -> Any:
    """Arrays by all their digits and by nothing else, such as the layout in memory."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, dict):
        return [(key, _plain(each)) for key, each in sorted(value.items())]
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = {}
    for dist in ("chaosfit", "numpy", "scipy", "dysts", "numba", "heyoka"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[dist] = metadata.version(dist)
    return tuple(found.items())


@functools.cache
def _sources(cls: type) -> tuple[str, ...]:
    """Name and source of a class and of those that it derives from."""
    mine = [base for base in cls.__mro__ if base.__module__ not in ("builtins", "abc")]
    return tuple(f"{base.__module__}.{base.__qualname__}\n{inspect.getsource(base)}" for base in mine)
