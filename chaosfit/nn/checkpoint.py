"""Files of tensors and plain values; reading one never runs code from it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

FORMAT = 1


def write(path: str | os.PathLike, config: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Write `config` as JSON (paths as strings) and nested containers of tensors, replacing `path` in one move."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    torch.save({"format": FORMAT, "config": json.dumps(config, default=os.fspath), "tensors": tensors}, partial)
    os.replace(partial, path)


def read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `write` stored; tensors come back on the CPU.

    Raises
    ------
    ValueError
        If the file was not written by `write`, or by a newer format than this version reads.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{path} must be a chaosfit checkpoint of format {FORMAT}, but its format is {found!r}; "
            "read it with the version of chaosfit that wrote it"
        )
    return json.loads(content["config"]), content["tensors"]
