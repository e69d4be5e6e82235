"""Signals: SIGTERM (preemption) and Ctrl-C end a run so that the same command can resume it. Imports no JAX.

Within a training the run ends a few steps later, after a checkpoint. Elsewhere the process ends at once, and no
exception is raised: within an import, a compilation or a callback of a library it would be swallowed, or worse. What a
process that ends at once leaves behind is what a killed one leaves, less the files it was writing.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# EX_TEMPFAIL of sysexits.h, "try again"; 143 would also be the code of a run that had no time to save.
PREEMPTED, INTERRUPTED = 75, 130
SAID = {
    signal.SIGTERM: "preempted (SIGTERM); run the same command to resume from the last checkpoint",
    signal.SIGINT: "interrupted; run the same command to resume from the last checkpoint",
}
CODES = {signal.SIGTERM: PREEMPTED, signal.SIGINT: INTERRUPTED}
SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it


class Preempted(KeyboardInterrupt):
    """A signal arrived and a checkpoint is saved; handled like Ctrl-C."""

    def __init__(self) -> None:
        super().__init__()
        self.number = signal.Signals(_signal.number or signal.SIGTERM)


class _Signal:
    """Which signal has come (0: none), and whether it waits for a checkpoint."""

    def __init__(self) -> None:
        self.number, self.waits = 0, False

    def hear(self, number: int, frame: FrameType | None) -> None:
        again = self.number == signal.SIGINT == number
        self.number = number
        if not self.waits or again:  # Ctrl-C twice: no checkpoint is waited for
            leave()


_signal = _Signal()


@contextlib.contextmanager
def heard(*, at_once: bool) -> Iterator[None]:
    """Handle SIGTERM and Ctrl-C inside the block. Without `at_once` they end a run within a training only.

    One of several processes must not leave the others waiting: they agree between steps. Where a signal is ignored (a
    command in the background, to which Ctrl-C does not go), it stays so.
    """
    outer = _signal.waits
    _signal.waits = not at_once
    before = {number: signal.getsignal(number) for number in SAID}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, _signal.hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signal.waits = outer
        if before[signal.SIGTERM] != _signal.hear:  # the outermost of such blocks
            _signal.number = 0


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Inside the block a signal is noted: whoever holds it back asks `came`, and at the end it raises Preempted."""
    before, _signal.waits = _signal.waits, True
    try:
        yield
    finally:
        _signal.waits = before
    if _signal.number and not before:
        raise Preempted


def came() -> bool:
    """Whether a signal has come."""
    return _signal.number != 0


def said(error: KeyboardInterrupt) -> tuple[str, int]:
    """The message for the signal that raised this, and the exit code."""
    number = error.number if isinstance(error, Preempted) else signal.SIGINT
    return SAID[number], CODES[number]


def leave() -> NoReturn:
    """End this process at once, in one line."""
    from oilwater_jax import files

    files.drop_unfinished()
    text, code = said(Preempted())
    with contextlib.suppress(OSError):
        if sys.stderr is not None and os.isatty(2):
            os.write(2, SHOW_CURSOR.encode())
        os.write(2, f"oilwater: {text}\n".encode())
    os._exit(code)
