"""A run folder: config.json, environment.json, metrics.jsonl, summary.json, stages/, checkpoints/, figures/.

One process at a time holds it. A stage is finished when its stage.json is there and its checksum fits
the arrays and figures; a finished stage is never computed again. Reading needs no JAX.
"""

import fcntl
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oilwater_jax.config import differences
from oilwater_jax.errors import UserError
from oilwater_jax.files import write_json, write_npz, write_text


class Stage(NamedTuple):
    """A finished stage's product: named arrays and named figures."""

    arrays: dict[str, np.ndarray]
    figures: dict[str, Any]


class RunFolder:
    """An opened run folder, held by this process until `close`."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self.warn = warn
        self._lock: io.TextIOWrapper | None = None

    @staticmethod
    def open(
        path: Path, config: Mapping[str, Any], *, overwrite: bool, warn: Callable[[str], None]
    ) -> "RunFolder":
        """Make or re-enter the folder of a run of `config` (as `config.to_json` gives it).

        Raises UserError if it is a file, cannot be written, is held by another process, holds something
        else than a run, or a run of another config (unless `overwrite`, which empties it).
        """
        self = RunFolder(path, warn)
        if path.exists() and not path.is_dir():
            raise UserError(f"--workdir={path} is a file; give a folder")
        if path.is_dir() and any(path.iterdir()) and not (path / ".lock").exists():
            raise UserError(f"--workdir={path} is not empty and not a run folder; give another")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("w")
        except OSError as error:
            raise UserError(
                f"--workdir={path} cannot be written ({error.strerror}); give another folder"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"--workdir={path} is held by another oilwater process; wait for it or give another"
            ) from None
        try:
            if overwrite:
                self._empty()
            self._claim(config)
        except BaseException:
            self.close()
            raise
        return self

    def _claim(self, config: Mapping[str, Any]) -> None:
        """Write config.json, or make sure that it says the same."""
        file = self.path / "config.json"
        if not file.exists() and not (self.path / "stages").exists():
            write_json(file, config)
            return
        old = read_json(file)
        if not isinstance(old, dict):
            raise UserError(
                f"{file} is damaged or missing; give another folder, or --overwrite to start anew"
            )
        if changed := differences(old, config):
            shown = "; ".join(changed[:5]) + ("; ..." if len(changed) > 5 else "")
            raise UserError(
                f"--workdir={self.path} holds a run of another config ({shown}); "
                "give another folder, or --overwrite to start anew"
            )

    def close(self) -> None:
        """Let the folder go."""
        if self._lock:
            self._lock.close()

    def _empty(self) -> None:
        # config.json goes last: until then a run of another config finds the remains to be another's.
        for child in sorted(self.path.iterdir(), key=lambda child: child.name == "config.json"):
            if child.name == ".lock":
                continue
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()

    def checkpoints(self, stage: str) -> Path:
        """Where a stage's checkpoints go."""
        return self.path / "checkpoints" / stage

    def finished(self, stage: str) -> Stage | None:
        """A stage's product if it is finished and sound; a damaged one is reported and counts as unfinished."""
        folder = self.path / "stages" / stage
        record = read_json(folder / "stage.json")
        if record is None:
            if (folder / "stage.json").exists():
                self.warn(f"{folder / 'stage.json'} is damaged; the stage is computed again")
            return None
        try:
            data = (folder / "arrays.npz").read_bytes()
            if _digest(data, record["figures"]) != record["sha256"]:
                raise ValueError("checksum differs")
            with np.load(io.BytesIO(data), allow_pickle=False) as saved:
                return Stage({key: saved[key] for key in saved.files}, record["figures"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.warn(f"{folder / 'arrays.npz'} is damaged ({error}); the stage is computed again")
            return None

    def finish(self, stage: str, product: Stage) -> Stage:
        """Save a stage's product; from here on the stage is finished."""
        folder = self.path / "stages" / stage
        folder.mkdir(parents=True, exist_ok=True)
        write_npz(folder / "arrays.npz", product.arrays)
        digest = _digest((folder / "arrays.npz").read_bytes(), product.figures)
        write_json(folder / "stage.json", {"figures": product.figures, "sha256": digest})
        return product

    def begin_metrics(self, stage: str, rows: list[dict[str, Any]]) -> None:
        """Make `rows` (a resumed stage's epochs so far) all that metrics.jsonl says of a stage."""
        path = self.path / "metrics.jsonl"
        others = [row for row in read_metrics(self.path) if row.get("stage") != stage]
        write_text(path, "".join(json.dumps(row) + "\n" for row in others + rows))

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Append an epoch's row."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")


def _digest(arrays: bytes, figures: dict[str, Any]) -> str:
    """SHA-256 of a stage's product: its npz file, then its figures as JSON."""
    return hashlib.sha256(arrays + json.dumps(figures, sort_keys=True).encode()).hexdigest()


def read_json(path: Path) -> Any | None:
    """The file's JSON, or None if it is absent or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a run folder's metrics.jsonl; a row cut off by a crash is passed over."""
    rows = []
    try:
        lines = (path / "metrics.jsonl").read_text().splitlines()
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
        if (record := read_json(file)) is not None:
            found[str(file.parent.relative_to(root))] = record.get("figures", {})
    return found
