"""Stages: what a run has finished and can be read instead of computed. Reading needs no JAX.

A store holds the stages of one run, by name, or those of a whole sweep, by name and key: the key is a digest of
all that the stage depends on, so runs that agree in it share the stage. A stage is finished when its stage.json
is there and its checksum fits the arrays and figures; a finished stage is never computed again.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oilwater_jax.files import read_json, write_json, write_npz, write_text


class Stage(NamedTuple):
    """A finished stage's product: named arrays and named figures."""

    arrays: dict[str, np.ndarray]
    figures: dict[str, Any]


def key_of(*parts: Any) -> str:
    """A short digest of JSON values: what a stage depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class Store:
    """Stages, checkpoints and metrics below a folder; `shared` by the runs of a sweep, or one run's own.

    A stage is asked for by its place: `store.place(name, key)`.
    """

    def __init__(self, root: Path, warn: Callable[[str], None], *, shared: bool = False) -> None:
        self.root, self.warn, self.shared = root, warn, shared

    def place(self, name: str, key: str) -> str:
        """Where a stage lives: its name, and in a shared store also its key."""
        return f"{name}-{key}" if self.shared else name

    @contextlib.contextmanager
    def held(self, place: str) -> Iterator[None]:
        """In a shared store, wait until no other process computes this stage, and hold it."""
        if not self.shared:
            yield
            return
        path = self.root / "locks" / f"{place}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def checkpoints(self, place: str, key: str) -> Path:
        """Where a training's checkpoints go; those of another key are thrown away."""
        folder = self.root / "checkpoints" / place
        file = folder / "key"
        if folder.exists() and (not file.exists() or file.read_text() != key):
            shutil.rmtree(folder)
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(file, key)
        return folder

    def finished(self, stage: str, key: str) -> Stage | None:
        """A stage's product if it is finished, sound and of this key; else it is said why it counts as unfinished."""
        folder = self.root / "stages" / stage
        record = read_json(folder / "stage.json")
        if not isinstance(record, dict):
            if (folder / "stage.json").exists():
                self.warn(f"{folder / 'stage.json'} is damaged; the stage is computed again")
            return None
        if record.get("key") != key:
            self.warn(
                f"{folder} is of other settings, code or files than this run's; the stage is computed again"
            )
            return None
        try:
            data = (folder / "arrays.npz").read_bytes()
            if _digest(data, record["figures"], key) != record["sha256"]:
                raise ValueError("checksum differs")
            with np.load(io.BytesIO(data), allow_pickle=False) as saved:
                return Stage({key: saved[key] for key in saved.files}, record["figures"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.warn(f"{folder / 'arrays.npz'} is damaged ({error}); the stage is computed again")
            return None

    def finish(self, stage: str, key: str, product: Stage) -> Stage:
        """Save a stage's product; from here on the stage of this key is finished."""
        folder = self.root / "stages" / stage
        folder.mkdir(parents=True, exist_ok=True)
        write_npz(folder / "arrays.npz", product.arrays)
        digest = _digest((folder / "arrays.npz").read_bytes(), product.figures, key)
        write_json(folder / "stage.json", {"key": key, "figures": product.figures, "sha256": digest})
        return product

    def metrics(self, place: str) -> Path:
        """The file of a training's rows: metrics.jsonl, in a shared store one per training."""
        return self.root / "metrics" / f"{place}.jsonl" if self.shared else self.root / "metrics.jsonl"

    def begin_metrics(self, place: str, name: str, rows: list[dict[str, Any]]) -> None:
        """Make `rows` (a resumed training's epochs so far) all that the metrics say of the stage `name`."""
        path = self.metrics(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        others = [row for row in read_metrics(path) if row.get("stage") != name]
        write_text(path, "".join(json.dumps(row) + "\n" for row in others + rows))

    def add_metrics(self, place: str, row: dict[str, Any]) -> None:
        """Append an epoch's row."""
        with self.metrics(place).open("a") as file:
            file.write(json.dumps(row) + "\n")


def _digest(arrays: bytes, figures: dict[str, Any], key: str) -> str:
    """SHA-256 of a stage: its npz file, its figures as JSON, its key."""
    return hashlib.sha256(arrays + json.dumps([figures, key], sort_keys=True).encode()).hexdigest()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a row cut off by a crash is passed over."""
    rows = []
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def read_figures(path: Path) -> dict[str, dict[str, Any]]:
    """The figures of every finished stage below a run folder, by the stage's name."""
    root = path / "stages"
    found = {}
    for file in sorted(root.rglob("stage.json")):
        if isinstance(record := read_json(file), dict):
            found[str(file.parent.relative_to(root))] = record.get("figures", {})
    return found
