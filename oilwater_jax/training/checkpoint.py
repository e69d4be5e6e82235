"""Checkpoints of one training, with orbax; each has a digest of its content.

The two newest are kept. One that is truncated or tampered with is passed over for the one before.
"""

import functools
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from oilwater_jax.errors import UserError, one_line
from oilwater_jax.trees import Tree, digest, to_host

SLACK = 1_000_000  # bytes beyond twice the arrays that a checkpoint may take on disk
for _name in ("absl", "asyncio"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # orbax's errors reach the user as ours


class Checkpoints:
    """The checkpoints in one folder; `of` names the training and its key, and is part of each one's digest."""

    def __init__(
        self, folder: Path, min_seconds: float, warn: Callable[[str], None], *, of: str = ""
    ) -> None:
        self.folder, self._of = folder.absolute(), of
        self.min_seconds = min_seconds
        self.warn = warn
        self._last = time.monotonic()

    @functools.cached_property
    def _manager(self) -> ocp.CheckpointManager:
        """Orbax's manager, made when it is first needed: of several processes, the first alone reads and writes."""
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2,
            create=False,  # orbax itself makes folders for all processes or none
            enable_async_checkpointing=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(active_processes={0}),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        return ocp.CheckpointManager(self.folder, options=options)

    def restore(self, like: Tree) -> tuple[Tree, dict[str, Any]] | None:
        """The newest valid checkpoint as (host tree, metadata), or None; damaged ones are reported and removed.

        `like` is a host tree of the same structure, shapes and dtypes.
        """
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                saved = self._manager.restore(
                    step,
                    args=ocp.args.Composite(tree=ocp.args.StandardRestore(like), meta=ocp.args.JsonRestore()),
                )
                meta = dict(saved["meta"])
                claimed = meta.pop("digest", None)
                tree = to_host(saved["tree"])
                if self._digest(tree, meta) != claimed:
                    raise ValueError("its digest does not match")
                return tree, meta
            except Exception as error:  # whatever orbax makes of damaged files
                self.warn(
                    f"checkpoint {self.folder / str(step)} is damaged ({one_line(error)}); "
                    "falling back to the one before"
                )
                shutil.rmtree(self.folder / str(step), ignore_errors=True)
                self._manager.reload()
        return None

    def _digest(self, tree: Tree, meta: dict[str, Any]) -> str:
        return digest(tree, meta | {"of": self._of})

    def due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() - self._last >= self.min_seconds

    def save(self, step: int, tree: Tree, meta: dict[str, Any]) -> None:
        """Save a host tree and its metadata (JSON values) as `step`; whole or not at all.

        Raises UserError if it cannot be written (e.g. a full disk); older checkpoints stay.
        """
        manager = self._manager  # makes the folder
        # Looked at before, because orbax's writing threads report a full disk in pages of their own.
        needed = SLACK + 2 * sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))
        if (free := shutil.disk_usage(self.folder).free) < needed:
            raise UserError(
                f"cannot save checkpoint {self.folder / str(step)}: the disk has {free / 1e6:.1f} MB free and "
                f"{needed / 1e6:.1f} MB are needed; free some disk space, then run the same command again to resume"
            )
        try:
            manager.save(
                step,
                args=ocp.args.Composite(
                    tree=ocp.args.StandardSave(tree),
                    meta=ocp.args.JsonSave(meta | {"digest": self._digest(tree, meta)}),
                ),
            )
        except Exception as error:  # OSError, or tensorstore's own
            for unfinished in self.folder.glob(f"{step}.*tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            raise UserError(
                f"cannot save checkpoint {self.folder / str(step)} ({one_line(error)}); "
                "free some disk space, then run the same command again to resume from the checkpoint before"
            ) from error
        self._last = time.monotonic()

    def close(self) -> None:
        """Release the manager, if there is one."""
        if "_manager" in vars(self):
            self._manager.close()
