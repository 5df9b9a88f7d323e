"""Records as lines of JSON: written one by one as they come, readable after an interrupt at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE_NAME = "records.jsonl"


class RecordFile:
    """The file of records in a folder; opening it makes sure, before any work, that it can be written.

    A line is handed to the system in one piece, so an interrupt leaves whole lines; the torn last line of a
    crash or a full disk is removed when the file is opened again, and skipped by `read_records`.

    Parameters
    ----------
    folder : path
        Created if needed.
    anew : bool, default=False
        Remove the records that are there; by default new ones are appended.

    Attributes
    ----------
    path : Path
    keys : set of str
        Keys of the records that are there.
    """

    def __init__(self, folder: str | os.PathLike, *, anew: bool = False):
        self.path = Path(folder) / FILE_NAME
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise OSError(
                f"cannot write results to {Path(folder)}: {error.strerror or error}. Choose another folder."
            ) from None
        self._file.truncate(0 if anew else _complete_size(self.path))
        self.keys = {record["key"] for record in _parse(self.path)}

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        line = to_line(record)
        if self._file.write(line) != len(line):
            raise OSError(f"cannot write results to {self.path}: the disk is full.")
        os.fsync(self._file.fileno())  # a machine that goes down loses nothing that was reported as done
        self.keys.add(record["key"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def to_line(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON, with its end."""
    return json.dumps(record, allow_nan=False, default=_to_builtin).encode() + b"\n"


def read_records(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Read the records of a file, or of the folder that holds it; a torn last line is skipped.

    Raises
    ------
    ValueError
        If a complete line is not a record; the message names the line.
    """
    path = Path(path)
    return list(_parse(path / FILE_NAME if path.is_dir() else path))


def _parse(path: Path) -> Iterator[dict[str, Any]]:
    """Yield one record after the other: a large file need not fit into memory."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                record["key"], record["method"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}, line {number} is not a record; remove the line or the file.") from None
            yield record


def _complete_size(path: Path) -> int:
    """Number of bytes up to the end of the last complete line."""
    size = 0
    with path.open("rb") as file:
        for line in file:
            size += len(line) if line.endswith(b"\n") else 0
    return size


def _to_builtin(value: Any) -> Any:
    """NumPy scalars and paths in plugin parameters become plain values."""
    return value.item() if hasattr(value, "item") else str(value)
