"""A run folder: config.json, environment.json, metrics.jsonl, summary.json, stages/, checkpoints/, figures/.

One process at a time holds it. A folder is known by a line in its file `.lock`, or by its config.json, and nothing else
is ever adopted or emptied.
"""

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from oilwater_jax.errors import UserError, plain
from oilwater_jax.files import BESIDE, Damaged, load_json, open_lock, read_json, read_plain, write_json
from oilwater_jax.settings.config import differences
from oilwater_jax.shapes import RUN_CONFIG, SWEEP_CONFIG

LOCK = ".lock"
MARK = b"oilwater_jax keeps results in this folder\n"
LONGEST_PATH = 3500  # bytes; systems take 4095, and stages have names of their own below
LONGEST_NAME = 255  # bytes of one part


def check_path(path: str | Path) -> Path:
    """A folder's path. Raises UserError for a URL and for an invalid path."""
    if "://" in str(path):
        raise UserError(
            f"--workdir={plain(str(path))} is an address, and results are kept in local folders; mount it (e.g. "
            "with gcsfuse) or copy the folder there afterwards"
        )
    if not str(path):
        raise UserError("--workdir= names no folder; give one (. is the current one)")
    shown = plain(str(path)[:200])
    try:
        parts = str(Path(path).absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(f"--workdir={shown} is not UTF-8; give another folder") from None
    if len(parts) > LONGEST_PATH or max(map(len, parts.split(b"/"))) > LONGEST_NAME:
        raise UserError(
            f"--workdir={shown}... is too long (at most {LONGEST_PATH} bytes, {LONGEST_NAME} for each name); "
            "give another folder"
        )
    if b"\0" in parts:
        raise UserError(f"--workdir={shown} holds a null character; give another folder")
    return Path(path)


def is_run_folder(path: Path) -> bool:
    """Whether the folder is one of ours: its `.lock` has our mark, or its config.json is that of a run or sweep."""
    return _marked(path) or read_json(path / "config.json", (RUN_CONFIG, SWEEP_CONFIG)) is not None


def _marked(path: Path) -> bool:
    try:
        return not (path / LOCK).is_symlink() and read_plain(path / LOCK, len(MARK)) == MARK
    except OSError:
        return False


def _barely_begun(path: Path) -> bool:
    """Whether there is nothing but what a process leaves that is killed before it writes its mark."""
    return all(
        child.name == LOCK and child.is_file() and not child.is_symlink() and not child.stat().st_size
        for child in path.iterdir()
    )


class RunFolder:
    """An opened run folder, held by this process until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[bytes] | None = None

    @staticmethod
    def open(path: Path, config: Mapping[str, Any], *, overwrite: bool) -> "RunFolder":
        """Make or re-enter the folder of a run of `config` (as `config.to_json` gives it).

        Raises UserError if it is a file, cannot be written, is held by another process, holds something
        else than a run, or a run of another config (unless `overwrite`, which empties it).
        """
        self = RunFolder(path)
        try:
            if path.exists() and not path.is_dir():
                raise UserError(f"--workdir={path} is a file; give a folder")
            if path.is_dir() and not is_run_folder(path) and not _barely_begun(path):
                raise UserError(f"--workdir={path} is not empty and not a run folder; give another")
            path.mkdir(parents=True, exist_ok=True)
            self._lock = open_lock(path / LOCK)
        except OSError as error:
            raise UserError(
                f"--workdir={path} cannot be written ({error.strerror}); give another folder"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise UserError(
                f"--workdir={path} is held by another oilwater process; wait for it or give another"
            ) from None
        try:
            self._mark(self._lock)
            if overwrite:
                self._empty()
            self._drop_unfinished()
            self._claim(config)
        except BaseException:
            self.close()
            raise
        return self

    def _mark(self, lock: IO[bytes]) -> None:
        """From here on the folder is known as one of ours."""
        if lock.read(1):
            return
        lock.write(MARK)
        lock.flush()
        os.fsync(lock.fileno())

    def _drop_unfinished(self) -> None:
        """Remove what a killed process was writing at the top of the folder."""
        for beside in self.path.glob(BESIDE):
            beside.unlink(missing_ok=True)

    def _claim(self, config: Mapping[str, Any]) -> None:
        """Write config.json, or make sure that it says the same."""
        file = self.path / "config.json"
        try:
            old = load_json(file, {})
        except Damaged as damage:
            raise UserError(
                f"{file} is damaged ({damage}); give another folder, or --overwrite to start again"
            ) from None
        if old is None and not (self.path / "stages").exists():
            write_json(file, config)
            return
        if old is None:
            raise UserError(f"{file} is missing; give another folder, or --overwrite to start again")
        if changed := differences(old, config):
            shown = "; ".join(changed[:5]) + ("; ..." if len(changed) > 5 else "")
            raise UserError(
                f"--workdir={self.path} holds a run of another config ({shown}); "
                "give another folder, or --overwrite to start again"
            )

    def close(self) -> None:
        """Release the folder."""
        if self._lock:
            self._lock.close()

    def _empty(self) -> None:
        # config.json goes last: until then a run of another config finds the remains to be another's.
        for child in sorted(self.path.iterdir(), key=lambda child: child.name == "config.json"):
            if child.name == LOCK:
                continue
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
