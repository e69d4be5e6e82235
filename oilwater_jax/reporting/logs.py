"""Log each epoch of a training for other tools: `--log=tensorboard,jsonl`.

A log is a copy of the metrics below DIR/log/NAME, with a place for each training. A training that is gone on with has
its log rewritten up to there, so no epoch is repeated. Another kind of log is one class and one line in
WRITERS.
"""

import importlib.util
import json
import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from oilwater_jax.errors import UserError
from oilwater_jax.settings.nearest import nearest

FOLDER = "log"
APART = ("stage", "seed", "epoch")  # of a row: what it is of, and no figure


class Writer(Protocol):
    """The new log of one training; `suffix` ends its path, `needs` is the module that writes it."""

    suffix: ClassVar[str]
    needs: ClassVar[str]

    def __init__(self, path: Path) -> None: ...

    def row(self, row: Mapping[str, Any]) -> None:
        """Add an epoch; it can be read when this returns."""

    def close(self) -> None:
        """Close the files."""


class TensorBoard:
    """Event files, a scalar per figure, the epoch as step: `tensorboard --logdir=DIR/log/tensorboard`."""

    suffix: ClassVar[str] = ""
    needs: ClassVar[str] = "tensorboardX"

    def __init__(self, path: Path) -> None:
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

        if path.is_dir():
            shutil.rmtree(path)
        self._writer = SummaryWriter(str(path))

    def row(self, row: Mapping[str, Any]) -> None:
        """Add an epoch's figures."""
        for name, value in figures(row).items():
            self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class JsonLines:
    """One flat JSON object per epoch, in a file per training."""

    suffix: ClassVar[str] = ".jsonl"
    needs: ClassVar[str] = "json"

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")

    def row(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        whole = {name: row[name] for name in APART} | figures(row)
        self._file.write(json.dumps(whole, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


WRITERS: dict[str, type[Writer]] = {"tensorboard": TensorBoard, "jsonl": JsonLines}


def figures(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The finite numbers of an epoch's row, those of dicts and lists below `name/`.

    Examples:
        >>> figures({"epoch": 1, "loss": 0.5, "set_draws": {"lrg_1": 4.0, "poison": None}})
        {'loss': 0.5, 'set_draws/lrg_1': 4.0}

    """
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= figures(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            found |= figures({str(at): one for at, one in enumerate(value)}, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in APART and math.isfinite(value):
            found[f"{prefix}{name}"] = float(value)
    return found


def parse(text: str) -> tuple[str, ...]:
    """The names that --log gives. Raises UserError for an unknown one, and where its package is not installed."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in WRITERS:
            raise UserError(f"--log={name}: unknown{nearest(name, WRITERS)} (known: {', '.join(WRITERS)})")
        if importlib.util.find_spec(WRITERS[name].needs) is None:
            raise UserError(
                f"--log={name} needs {WRITERS[name].needs}, which is not installed; pip install 'oilwater_jax[log]'"
            )
    return names


class Logs:
    """The logs of a run or a sweep, of the kinds in `names`."""

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self._root, self.names = root / FOLDER, tuple(names)
        self._open: list[Writer] = []

    def begin(self, place: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Make `rows` all that the logs say of the training `place`, to which `add` adds from now on."""
        self.close()
        self._open = [WRITERS[name](self._path(name, place)) for name in self.names]
        for row in rows:
            self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add an epoch of the training that was begun last."""
        for writer in self._open:
            writer.row(row)

    def fill(self, trainings: Mapping[str, list[dict[str, Any]]]) -> None:
        """Write the logs of trainings from before logs were asked for; those that are there stay as they are."""
        for name in self.names:
            below = Logs(self._root.parent, (name,))
            for place, rows in trainings.items():
                if not self._path(name, place).exists():
                    below.begin(place, rows)
            below.close()

    def _path(self, name: str, place: str) -> Path:
        return self._root / name / f"{place}{WRITERS[name].suffix}"

    def close(self) -> None:
        """Close all files."""
        for writer in self._open:
            writer.close()
        self._open = []
