"""Preemption: SIGTERM ends a run where the same command goes on with it. Imports no JAX.

Within a training the run ends a few steps later, after a checkpoint; elsewhere at once, as Ctrl-C does.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Preempted(KeyboardInterrupt):
    """SIGTERM came; what stops for Ctrl-C stops for it."""


class _Signal:
    """Whether SIGTERM has come, and whether it may raise Preempted where it comes."""

    def __init__(self) -> None:
        self.came, self.waits = False, False

    def hear(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        if not self.waits:
            raise Preempted


_signal = _Signal()


@contextlib.contextmanager
def heard(*, at_once: bool) -> Iterator[None]:
    """Hear SIGTERM inside the block. Without `at_once` it ends a run within a training only.

    One of several processes must not leave the others waiting: they agree between steps.
    """
    _signal.waits = not at_once
    before = signal.signal(signal.SIGTERM, _signal.hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _signal.came = _signal.waits = False


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Inside the block SIGTERM is noted: whoever holds it back asks `came`, and at the end it raises Preempted."""
    before, _signal.waits = _signal.waits, True
    try:
        yield
    finally:
        _signal.waits = before
    if _signal.came and not before:
        raise Preempted


def came() -> bool:
    """Whether SIGTERM has come."""
    return _signal.came
