"""Report an unexpected error: one line and a log file. Imports no JAX."""

import datetime
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from oilwater_jax import __version__
from oilwater_jax.errors import UserError, one_line


def report(error: BaseException, folder: Path | None) -> str:
    """One line on an unforeseen error, whose traceback is kept in a run folder, or else in a temporary one."""
    text = "".join(_lines(error))
    for place in ([folder] if folder else []) + [Path(tempfile.gettempdir())]:
        try:
            path = _write(place, text)
        except (OSError, UserError):
            continue
        return f"{one_line(error)}; this is a defect of oilwater_jax: please report it with the file {path}"
    sys.stderr.write(text)  # there is nowhere to write to
    return f"{one_line(error)}; this is a defect of oilwater_jax: please report it with what stands above"


def _lines(error: BaseException) -> Sequence[str]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    head = f"oilwater_jax {__version__}, Python {platform.python_version()}, {platform.platform()}, {now}\n"
    try:
        trace = traceback.format_exception(error)
    except Exception:  # an error whose own text cannot be made
        trace = [*traceback.format_tb(error.__traceback__), f"{type(error).__name__}\n"]
    return [head, f"{sys.argv}\n\n", *trace]


def _write(folder: Path, text: str) -> Path:
    """A new log file in a folder; its name is nobody else's, and an existing file or link is never opened."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    descriptor, name = tempfile.mkstemp(".log", f"oilwater-defect-{now}-", folder)
    with os.fdopen(descriptor, "w", errors="backslashreplace") as file:
        file.write(text)
    return Path(name)
