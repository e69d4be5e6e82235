"""Stages: finished parts of a run, read instead of computed. Reading needs no JAX.

A store holds the stages of one run, by name, or those of a whole sweep, by name and key: the key is a digest of
all that the stage depends on, so runs that agree in it share the stage. A stage is finished when its stage.json
is there, sealed over its name, its key, its figures and the digest of its arrays; it is never computed again. It says
also of which data it is and by what versions it was made.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from oilwater_jax.errors import one_line
from oilwater_jax.files import (
    Damaged,
    load_json,
    named,
    open_lock,
    parse_json,
    read_json,
    read_plain,
    seal,
    write_json,
    write_npz,
    write_text,
)
from oilwater_jax.reporting.logs import Logs
from oilwater_jax.shapes import STAGE

MOST_ARRAYS = 1 << 36  # bytes of a stage's npz file
MOST_METRICS = 1 << 30  # bytes of a file of metrics


class Stage(NamedTuple):
    """A finished stage's product: named arrays and named figures."""

    arrays: dict[str, np.ndarray]
    figures: dict[str, Any]


class Origin(NamedTuple):
    """Where the stages of a run come from: a digest of its data, and what computes them (`environment.versions`)."""

    data: str = ""
    made: Mapping[str, Any] = MappingProxyType({})

    def unlike(self, record: Mapping[str, Any]) -> str:
        """Why a stage with another key counts as unfinished, from its record."""
        made, now = record["made"].get("oilwater_jax"), self.made.get("oilwater_jax")
        if made != now:
            return f"was made by oilwater_jax {made}, and this is {now}"
        if record["data"] != self.data:
            return "is of other data"
        return "is of other settings, code or files than this run's"


def key_of(*parts: Any) -> str:
    """A short digest of JSON values: what a stage depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


NOWHERE = Origin()


class Store:
    """Stages, checkpoints and metrics below a folder; `shared` by the runs of a sweep, or one run's own.

    A stage is asked for by its place: `store.place(name, key)`.
    """

    def __init__(
        self,
        root: Path,
        warn: Callable[[str], None],
        *,
        shared: bool = False,
        origin: Origin = NOWHERE,
        log: Sequence[str] = (),
    ) -> None:
        self.root, self.warn, self.shared, self.origin = root, warn, shared, origin
        self.logs = Logs(root, log)

    def place(self, name: str, key: str) -> str:
        """Where a stage lives: its name, and in a shared store also its key."""
        return f"{name}-{key}" if self.shared else name

    @contextlib.contextmanager
    def held(self, place: str) -> Iterator[None]:
        """In a shared store, lock this stage, waiting for other processes that compute it."""
        if not self.shared:
            yield
            return
        path = self.root / "locks" / f"{place}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_lock(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def checkpoints(self, place: str, key: str) -> Path:
        """The folder of a training's checkpoints; those with another key are deleted."""
        folder = self.root / "checkpoints" / place
        file = folder / "key"
        if folder.exists() and not _says(file, key):
            _remove(folder)
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(file, key)
        return folder

    def finished(self, stage: str, key: str) -> Stage | None:
        """A stage's product if it is finished, valid and has this key; otherwise a warning says why not."""
        folder = self.root / "stages" / stage
        try:
            record = load_json(folder / "stage.json", STAGE, sealed=True)
        except Damaged as damage:
            self.warn(f"{folder / 'stage.json'} is damaged ({damage}); the stage is computed again")
            return None
        if record is None:
            return None
        if record["name"] != stage:
            self.warn(f"{folder} holds the stage {record['name']}; the stage is computed again")
            return None
        if record["key"] != key:
            self.warn(f"{folder} {self.origin.unlike(record)}; the stage is computed again")
            return None
        try:
            return Stage(read_arrays(folder / "arrays.npz", record["arrays"]), record["figures"])
        except Damaged as damage:
            self.warn(f"{folder / 'arrays.npz'} is damaged ({damage}); the stage is computed again")
            return None

    def finish(self, stage: str, key: str, product: Stage) -> Stage:
        """Save a stage's product; from here on the stage of this key is finished."""
        folder = self.root / "stages" / stage
        for file in (folder / "arrays.npz", folder / "stage.json"):
            if file.is_dir():
                _remove(file)
        if folder.exists() and not folder.is_dir():
            folder.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        write_npz(folder / "arrays.npz", product.arrays)
        record = {
            "name": stage,
            "key": key,
            "data": self.origin.data,
            "made": dict(self.origin.made),
            "figures": product.figures,
            "arrays": hashlib.sha256((folder / "arrays.npz").read_bytes()).hexdigest(),
        }
        write_json(folder / "stage.json", seal(record))
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
        self.logs.begin(place, rows)

    def add_metrics(self, place: str, row: dict[str, Any]) -> None:
        """Append an epoch's row."""
        path = self.metrics(place)
        with named(path), path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.logs.add(row)

    def fill_logs(self) -> None:
        """Write the logs of trainings from before logs were asked for."""
        if self.logs.names:
            self.logs.fill(self.trainings())

    def trainings(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of every training so far, by its place."""
        if self.shared:
            root = self.root / "metrics"
            files = {
                str(path.relative_to(root).with_suffix("")): path for path in sorted(root.rglob("*.jsonl"))
            }
            return {place: read_metrics(path) for place, path in files.items()}
        found: dict[str, list[dict[str, Any]]] = {}
        for row in read_metrics(self.root / "metrics.jsonl"):
            found.setdefault(row["stage"], []).append(row)
        return found


def read_arrays(path: Path, digest: str) -> dict[str, np.ndarray]:
    """The arrays of a stage's npz file of this SHA-256. Raises Damaged."""
    try:
        data = read_plain(path, MOST_ARRAYS)
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged("checksum differs")
        with np.load(io.BytesIO(data), allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except Damaged:
        raise
    except OSError as error:
        raise Damaged(str(error.strerror)) from None
    except Exception as error:  # whatever zipfile and NumPy make of bytes that somebody signed
        raise Damaged(one_line(error)) from None


def _says(file: Path, key: str) -> bool:
    """Whether a checkpoint folder's file `key` says this key."""
    try:
        return read_plain(file, len(key)) == key.encode()
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file, each with its `stage` and `epoch`; a row that is none is passed over."""
    rows = []
    try:
        lines = read_plain(path, MOST_METRICS).splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            row = parse_json(line)
        except Damaged:
            continue
        if isinstance(row, dict) and isinstance(row.get("stage"), str) and isinstance(row.get("epoch"), int):
            rows.append(row)
    return rows


def read_figures(path: Path) -> dict[str, dict[str, Any]]:
    """The figures of every finished stage below a run folder, by the stage's name; damaged ones are passed over."""
    root = path / "stages"
    found = {}
    for file in sorted(root.rglob("stage.json")):
        name = str(file.parent.relative_to(root))
        record = read_json(file, STAGE, sealed=True)
        if record is not None and record["name"] == name:
            found[name] = record["figures"]
    return found
