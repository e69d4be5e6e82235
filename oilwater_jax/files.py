"""Files written whole or not at all: write beside, then rename."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write `path` through `write(file)`; a crash or an error leaves the old file, or none, in place.

    Raises OSError where the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays by name as a compressed npz."""
    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_text(path: Path, text: str) -> None:
    """A UTF-8 text file."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode())

    write_whole(path, write)


def write_json(path: Path, value: Any) -> None:
    """JSON, indented; NaN is not JSON, so it must have been made None before."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any | None:
    """The file's JSON, or None if it is absent or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
