"""Timing several runs in turn, and what comes of it."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One side of one measurement: median and lowest seconds; `ratio` is ours to this one."""

    part: str
    what: str
    who: str
    seconds: float
    lowest: float
    ratio: float | None = None
    target: float | None = None


def timed(run: Callable[[], object]) -> Callable[[], float]:
    """The seconds of a call."""

    def seconds() -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return seconds


def alternate(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run, `repeats` times in turn, after one call of each."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(run())
    return times


def rows(
    part: str, what: str, times: dict[str, list[float]], ours: str, peers: Sequence[str], target: float
) -> list[Row]:
    """Ours, then each peer with the ratio of ours to it."""
    found = [Row(part, what, ours, statistics.median(times[ours]), min(times[ours]))]
    for peer in peers:
        ratio = statistics.median(a / b for a, b in zip(times[ours], times[peer], strict=True))
        found.append(Row(part, what, peer, statistics.median(times[peer]), min(times[peer]), ratio, target))
    for row in found:
        ratio = "" if row.ratio is None else f", ratio {row.ratio:.2f} (target {row.target:g})"
        print(f"{part}: {what}, {row.who}: {row.seconds:.4g} s{ratio}", flush=True)
    return found


def same(what: str, ours: Any, theirs: Any, tolerance: float) -> None:
    """Stop unless |ours - theirs| <= tolerance |theirs|, both as vectors (a ReLU's kink may move single entries)."""
    expected = np.asarray(theirs)
    off = float(np.linalg.norm(np.asarray(ours) - expected) / np.linalg.norm(expected))
    print(f"  same {what}: relative difference {off:.1e}", flush=True)
    if not off <= tolerance:
        raise SystemExit(f"{what}: the two sides' relative difference is {off:.2g}, above {tolerance:g}")


def fastest(tries: dict[Any, Callable[[], float]]) -> Any:
    """The key of the fastest of some runs: the better of two calls of each, after a warm-up."""
    times = alternate(tries, 2)
    best = min(times, key=lambda key: min(times[key]))
    print(f"  fastest of {', '.join(map(str, tries))}: {best}", flush=True)
    return best
