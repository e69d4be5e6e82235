"""What gradient norms cost against the number of samples, of parameters, of samples at once; a process each."""

import argparse
import functools
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIZES = (500, 1_000, 2_000, 4_000, 8_000, 16_000)
WIDTHS = ((8, 16, 32), (16, 32, 64), (32, 64, 128), (64, 128, 256), (128, 256, 512))
CHUNKS = (1, 4, 16, 64, 256, 1_024)
MODEL = (16, 32, 64)
SAMPLES = 1_000


class Point(NamedTuple):
    """Gradient norms of n samples of 32x32 pixels: median seconds, and the process's peak resident memory."""

    series: str  # what is varied: n, parameters or chunk
    n: int
    widths: tuple[int, ...]
    parameters: int
    chunk: int
    seconds: float
    before_mb: float  # with imports, images and parameters
    peak_mb: float


def measure(repeats: int, *, smoke: bool) -> list[Point]:
    """All points; some small ones with `smoke`."""
    asked = [("n", n, MODEL, 0) for n in SIZES]
    asked += [("parameters", SAMPLES, widths, 0) for widths in WIDTHS]
    asked += [("chunk", max(SAMPLES, chunk), MODEL, chunk) for chunk in CHUNKS]
    if smoke:
        asked = [("n", n, MODEL, 0) for n in (100, 200, 400)]
        asked += [("parameters", 100, widths, 0) for widths in WIDTHS[:2]] + [("chunk", 100, MODEL, 16)]
    points = []
    for series, n, widths, chunk in asked:
        command = [
            sys.executable,
            __file__,
            series,
            str(n),
            ",".join(map(str, widths)),
            str(chunk),
            str(repeats),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
        found = Point(**json.loads(done.stdout.splitlines()[-1]))
        points.append(found._replace(widths=tuple(found.widths)))
        print(f"g: {points[-1]}", flush=True)
    return points


def point(series: str, n: int, widths: tuple[int, ...], chunk: int, repeats: int) -> Point:
    """Measure in this process; chunk 0 is the package's choice."""
    import jax
    import jax.numpy as jnp

    from oilwater_jax import per_sample
    from oilwater_jax.models.cnn import CNN
    from oilwater_jax.per_sample import chunks
    from oilwater_jax.training.step import normalise

    network = CNN(2, widths)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    label = random.integers(0, 2, n).astype(np.int32)
    params = network.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    chunk = chunk or per_sample.gradient_chunk(params)

    def apply(params: per_sample.Params, image: jax.Array) -> tuple[jax.Array, jax.Array]:
        return network.apply({"params": params}, image)  # pyright: ignore[reportReturnType]

    program = chunks.Backward(apply, normalise, per_sample.gradient_norm)
    run = functools.partial(chunks.in_chunks, program, params, image, label, chunk=chunk)
    before, seconds = megabytes(), []
    run()
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return Point(series, n, widths, size, chunk, statistics.median(seconds), before, megabytes())


def megabytes() -> float:
    """The process's peak resident memory so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one
        return float(status.read_text().partition("VmHWM:")[2].split()[0]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if platform.system() == "Darwin" else 1e3)


def plot(points: list[Point], path: Path) -> dict[str, float]:
    """Seconds against n and parameters, memory against chunk, log-log; the slopes of the first two."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6))
    slopes = {}
    for axis, series in zip(axes, ("n", "parameters", "chunk"), strict=True):
        own = [one for one in points if one.series == series]
        x = [getattr(one, series) for one in own]
        y = [one.peak_mb - one.before_mb if series == "chunk" else one.seconds for one in own]
        label = None
        if series != "chunk":
            slopes[series] = float(np.polyfit(np.log(x), np.log(y), 1)[0])
            label = f"slope {slopes[series]:.2f}"
        axis.loglog(x, y, marker="o", label=label)
        axis.grid(alpha=0.3)
        if label:
            axis.legend()
    axes[0].set(xlabel="samples n", ylabel="seconds")
    axes[1].set(xlabel=f"parameters ({SAMPLES:,} samples)", ylabel="seconds")
    axes[2].set(xlabel="samples at once", ylabel="peak memory above the start, MB")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    return slopes


def main() -> None:
    """Measure one point and print it as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("series")
    parser.add_argument("n", type=int)
    parser.add_argument("widths", type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("chunk", type=int)
    parser.add_argument("repeats", type=int)
    print(json.dumps(point(**vars(parser.parse_args()))._asdict()))


if __name__ == "__main__":
    main()
