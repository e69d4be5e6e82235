"""The tutorials of the documentation, executed: each in an empty folder, with this checkout's command and package.

python .ci/tutorials.py docs/tutorials/first_run.ipynb ...     execute and keep their outputs (extra `docs`)
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

ROOT = Path(__file__).parent.parent
LONGEST = 1800  # seconds of a cell


def executed(path: Path, folder: Path) -> Any:
    """The notebook with new outputs, executed in an empty folder. Raises nbclient's CellExecutionError."""
    command = folder / ".bin/oilwater"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m oilwater_jax "$@"\n')
    command.chmod(0o755)
    os.environ |= {
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    book = nbformat.read(path, 4)
    where = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        book, timeout=LONGEST, kernel_name="python3", resources=where, coalesce_streams=True
    ).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # times
    book.metadata.language_info = {"name": "python"}
    return book


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            nbformat.write(executed(Path(name), Path(place)), name)
