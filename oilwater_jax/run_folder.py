"""A run folder: config.json, environment.json, metrics.jsonl, summary.json, stages/, checkpoints/, figures/.

One process at a time holds it.
"""

import fcntl
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oilwater_jax.errors import UserError
from oilwater_jax.files import read_json, write_json
from oilwater_jax.settings.config import differences


def check_path(path: str | Path) -> Path:
    """A folder's path. Raises UserError for an address on another system (gs://...): folders are local ones."""
    if "://" in str(path):
        raise UserError(
            f"--workdir={path} is an address, and results are kept in local folders; mount it (gcsfuse, say) or copy "
            "the folder there afterwards"
        )
    return Path(path)


class RunFolder:
    """An opened run folder, held by this process until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: io.TextIOWrapper | None = None

    @staticmethod
    def open(path: Path, config: Mapping[str, Any], *, overwrite: bool) -> "RunFolder":
        """Make or re-enter the folder of a run of `config` (as `config.to_json` gives it).

        Raises UserError if it is a file, cannot be written, is held by another process, holds something
        else than a run, or a run of another config (unless `overwrite`, which empties it).
        """
        self = RunFolder(path)
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
