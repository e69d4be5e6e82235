"""Progress: two bars on a terminal; elsewhere a line per finished stage, and every 30 s."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from oilwater_jax.reporting.terminal import Screen

EVERY = 30.0  # seconds between lines, where there is no terminal
AVERAGED = 3600.0  # seconds back over which a speed is averaged, for the time that is left


def where(task: Task) -> str:
    """How far a task is: `erm: 3 of 10, about 40 s left`; the time only where it can be estimated."""
    left = f", about {duration(task.time_remaining)} left" if task.time_remaining else ""
    total = "" if task.total is None else f": {task.completed:.0f} of {task.total:.0f}"
    return f"{task.description}{total}{left}"


def duration(seconds: float) -> str:
    """Seconds in readable form.

    Examples:
        >>> duration(40), duration(200), duration(9000)
        ('40 s', '3 min', '2.5 h')

    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class Progress:
    """Bars for all stages and for the epochs of the current one, on standard error.

    With a `listener` nothing is shown, and the listener gets the warnings.
    """

    def __init__(self, listener: Callable[[str], None] | None = None) -> None:
        self._listener = listener
        self.console = Screen(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description:<22}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            disable=bool(listener) or not self.console.is_terminal,
            transient=True,
            speed_estimate_period=AVERAGED,
        )
        self._all = self._bars.add_task("stages", total=None, note="")
        self._epochs = self._bars.add_task("", total=None, visible=False, note="")
        self._began = time.monotonic()
        self._over = threading.Event()
        self._teller = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        self._bars.start()
        if not self._listener and not self.console.is_terminal:
            self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._teller.is_alive():
            self._teller.join()
        self._bars.stop()

    def _tell(self) -> None:
        """Say every 30 s where the work is, also while a compiler or a device is at it."""
        while not self._over.wait(EVERY):
            self._line(self.where())

    def where(self) -> str:
        """The stage under way, how far it is, and how many stages are done, each with the time that is left."""
        stages, epochs = self._bars.tasks
        note = f" ({epochs.fields['note']})" if epochs.fields["note"] else ""
        return f"{where(epochs)}{note}; {where(stages)}" if epochs.description else where(stages)

    def _line(self, text: str) -> None:
        seconds = time.monotonic() - self._began
        self.console.print(f"[{seconds:6.1f} s] {text}", highlight=False, markup=False, soft_wrap=True)

    def begin(self, stages: int) -> None:
        """Set the number of stages."""
        self._bars.update(self._all, total=stages)

    def stage(self, name: str, epochs: int) -> None:
        """Start a stage; 0 epochs: it has none to count."""
        self._bars.reset(self._epochs, total=epochs or None, description=name, visible=True, note="")

    def resume(self, epochs: int) -> None:
        """Report epochs of the current stage that were finished before."""
        self._bars.update(self._epochs, completed=epochs)

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch of the current stage is done."""
        rates = {k: v for k, v in row.items() if k.endswith(("_acc", "_wga"))}
        note = "  ".join(f"{k.replace('_', ' ')} {100 * v:.1f}" for k, v in rates.items())
        note = f"loss {row['loss']:.3f}  {note}"
        self._bars.update(
            self._epochs, description=row["stage"], completed=row["epoch"], note=note, visible=True
        )

    def step(self, done: int, steps: int) -> None:
        """Report finished steps of the current epoch."""
        self._bars.update(self._epochs, note=f"step {done} of {steps}")

    def say(self, message: str) -> None:
        """Print a decision."""
        if not self._listener:
            self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def count(self, name: str, done: int, total: int, note: str) -> None:
        """Report finished steps of the current stage, if it has steps and not epochs."""
        self._bars.update(
            self._epochs, description=name, total=total, completed=done, note=note, visible=True
        )

    def done(self, name: str, figures: dict[str, Any] | None = None) -> None:
        """A stage is finished."""
        self._bars.advance(self._all)
        if not self._listener and not self.console.is_terminal:
            shown = {k: v for k, v in (figures or {}).items() if isinstance(v, float)}
            text = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
            self._line(f"{name}  {text}")

    def warn(self, message: str) -> None:
        """Print a warning, without stopping."""
        if self._listener:
            self._listener(message)
            return
        self.console.print(f"warning: {message}", highlight=False, markup=False, soft_wrap=True)
