"""Images per second from JPEG files to a batch on the device; the host memory that a data set of CelebA's size takes.

    pip install -e '.[torch]'
    python experiments/scale/loader.py

A pass is over all images in random order, in batches of uint8 [128, 224, 224, 3] put on the device. The loaders take
turns, so that what else the machine does hits all of them; medians of 5 passes. The files are made here, photographs of
noise in the published layout of Waterbirds and of its images' usual size; `--source=DIR` takes the published folder
itself. Memory is the peak of a process of its own that loads files of CelebA's whole size (holes, no data) and reads
100 random batches. Without PyTorch its lines are left out. Writes loader.md and loader.json beside this file
(`--out=DIR` elsewhere); some minutes on 2 cores, seconds with `--smoke`.
"""

import argparse
import csv
import functools
import io
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")  # of /proc's clocks per second
SIZE = (500, 375)  # pixels of a usual image of CUB, which Waterbirds is made from


class Scale(NamedTuple):
    """How large a measurement is."""

    images: int
    batch: int
    passes: int
    share: float  # of CelebA's size


FULL = Scale(images=1024, batch=128, passes=5, share=1.0)
SMOKE = Scale(images=48, batch=16, passes=2, share=0.001)

Pass = Callable[[np.ndarray], Iterator[np.ndarray]]  # an order of rows to host batches


class Loader(NamedTuple):
    """A way to batches, and how it is called in the table."""

    label: str
    batches: Pass


def photograph(seed: int) -> bytes:
    """A JPEG file of noise of every scale, as heavy to decode as a photograph: about 65 kB."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    pixels = np.zeros((SIZE[1], SIZE[0], 3))
    for scale in (1, 4, 16, 64):
        shape = (-(-SIZE[1] // scale), -(-SIZE[0] // scale), 3)
        coarse = rng.normal(0, 6 * scale**0.5, shape)
        pixels += coarse.repeat(scale, 0).repeat(scale, 1)[: SIZE[1], : SIZE[0]]
    out = io.BytesIO()
    Image.fromarray((128 + pixels).clip(0, 255).astype(np.uint8)).save(out, "jpeg", quality=90)
    return out.getvalue()


def make_folder(folder: Path, images: int) -> Path:
    """The published layout of Waterbirds with so many training images, and one image in val and test."""
    from oilwater_jax.data import waterbirds

    folder.mkdir(parents=True)
    with (folder / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(waterbirds.COLUMNS)
        for number in range(images + 2):
            name = f"{number:05d}.jpg"
            (folder / name).write_bytes(photograph(number))
            rows.writerow((number, name, number % 2, max(0, number - images + 1), number // 2 % 2, name))
    return folder


class Files:
    """The training images of a folder as a map from rows to batches of pixels, decoded anew each time."""

    def __init__(self, folder: Path, batch: int) -> None:
        from oilwater_jax.data import waterbirds

        self.catalogue = waterbirds.catalogue(str(folder), folder)
        self.name = self.catalogue.splits["train"].name
        self.batch = batch

    def cut(self, order: np.ndarray) -> list[np.ndarray]:
        """The order in batches; a last one that is not full is left out, so that all loaders do the same work."""
        return [order[at : at + self.batch] for at in range(0, len(order) - self.batch + 1, self.batch)]

    def decoded(self, threads: int, order: np.ndarray) -> Iterator[np.ndarray]:
        """By what `oilwater data prepare` decodes with."""
        from oilwater_jax.data.prepared import decode_one

        with ThreadPoolExecutor(threads) as pool:
            for rows in self.cut(order):
                found = pool.map(functools.partial(decode_one, self.catalogue), self.name[rows].tolist())
                yield np.stack([pixels for pixels, _ in found])


class TorchFiles:
    """The same files as a torch data set, by Pillow and torchvision's transforms."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Any:
        from PIL import Image

        with Image.open(self.paths[row]) as image:
            return torch_transform()(image.convert("RGB"))


@functools.cache
def torch_transform() -> Any:
    """Waterbirds' preprocessing as [3, 224, 224] uint8."""
    import torch  # pyright: ignore[reportMissingImports]

    try:
        from torchvision import transforms  # pyright: ignore[reportMissingImports]
    except RuntimeError:  # of another build of torch, whose operators are not needed here
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor d, Tensor s, float t) -> Tensor")
        from torchvision import transforms  # pyright: ignore[reportMissingImports]
    return transforms.Compose(
        [transforms.Resize((256, 256)), transforms.CenterCrop(224), transforms.PILToTensor()]
    )


def torch_loader(paths: list[str], batch: int, workers: int) -> Pass:
    """The DataLoader of torch with its own random order; its workers live on between the passes."""
    from torch.utils.data import DataLoader  # pyright: ignore[reportMissingImports]

    options = {"multiprocessing_context": "spawn", "persistent_workers": True} if workers else {}
    data: Any = TorchFiles(paths)
    loader = DataLoader(data, batch, shuffle=True, drop_last=True, num_workers=workers, **options)

    def batches(order: np.ndarray) -> Iterator[np.ndarray]:
        for images in loader:
            yield images.permute(0, 2, 3, 1).numpy()

    return batches


def tfds_loader(folder: Path, files: Files, root: Path) -> Pass:
    """Plain tensorflow-datasets: a data source of array_record files, whose images Pillow resizes."""
    import tensorflow_datasets as tfds
    from PIL import Image

    from oilwater_jax.data.decode import RESIZE_256_CROP_224
    from oilwater_jax.data.waterbirds.waterbirds_dataset_builder import Builder

    tfds.disable_progress_bar()
    builder: Any = Builder(source=str(folder), root=root, data_dir=root / "tfds", file_format="array_record")
    builder.download_and_prepare()
    source = builder.as_data_source("train")

    def batches(order: np.ndarray) -> Iterator[np.ndarray]:
        for rows in files.cut(order):
            images = (Image.fromarray(source[int(row)]["image"]) for row in rows)
            yield np.stack([np.asarray(RESIZE_256_CROP_224.apply(image)) for image in images])

    return batches


def cache_loader(files: Files, root: Path) -> Pass:
    """The memory-mapped cache that `oilwater data prepare` makes."""
    from oilwater_jax.data import prepared

    image: Any = prepared.make(root, files.catalogue, "train", lambda done, total: None).examples.image

    def batches(order: np.ndarray) -> Iterator[np.ndarray]:
        for rows in files.cut(order):
            yield image[rows]

    return batches


def loaders(folder: Path, root: Path, scale: Scale) -> tuple[Files, list[Loader]]:
    """Everything that is measured."""
    files = Files(folder, scale.batch)
    found = [
        Loader("cache of `oilwater data prepare`, read in random order", cache_loader(files, root)),
        Loader("decoding of `oilwater data prepare`, 1 thread", functools.partial(files.decoded, 1)),
        Loader("decoding of `oilwater data prepare`, 2 threads", functools.partial(files.decoded, 2)),
        Loader("tensorflow-datasets' data source and Pillow", tfds_loader(folder, files, root)),
    ]
    paths = [str(folder / name) for name in files.name]
    try:
        found += [
            Loader(f"torch DataLoader, {workers} workers", torch_loader(paths, scale.batch, workers))
            for workers in (0, 2)
        ]
    except ImportError:
        print("PyTorch is not installed: its lines are left out")
    return files, found


def cpu_seconds() -> float:
    """Processor time of this process and of its living children."""
    total = time.process_time()
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def one_pass(loader: Loader, order: np.ndarray) -> tuple[float, float]:
    """Images per second, and images per second of processor time, of one pass."""
    import jax

    wall, cpu = time.monotonic(), cpu_seconds()
    images = 0
    for batch in loader.batches(order):
        jax.block_until_ready(jax.device_put(batch))
        images += len(batch)
    return images / (time.monotonic() - wall), images / (cpu_seconds() - cpu)


def throughput(folder: Path, root: Path, scale: Scale) -> list[dict[str, Any]]:
    """The medians of every loader, which take turns."""
    files, found = loaders(folder, root, scale)
    rng = np.random.default_rng(0)
    rates: dict[str, list[tuple[float, float]]] = {loader.label: [] for loader in found}
    for turn in range(scale.passes + 1):
        order = rng.permutation(len(files.name))
        for loader in found:
            rate = one_pass(loader, order)
            if turn:  # the first warms files, workers and compilations up
                rates[loader.label].append(rate)
        print(f"pass {turn} of {scale.passes}")
    return [
        {
            "loader": label,
            "images_per_second": statistics.median(wall for wall, _ in own),
            "images_per_core_second": statistics.median(cpu for _, cpu in own),
            "least": min(wall for wall, _ in own),
            "most": max(wall for wall, _ in own),
        }
        for label, own in rates.items()
    ]


def make_hollow(root: Path, share: float) -> dict[str, int]:
    """A prepared CelebA of its whole size whose images are holes in the files: they read as zeros and take no disk."""
    from oilwater_jax.data import celeba, prepared
    from oilwater_jax.files import write_json, write_npz

    sizes = {split: max(1000, int(share * sum(counts))) for split, counts in celeba.COUNTS.items()}
    for split, n in sizes.items():
        folder = root / "images" / split
        folder.mkdir(parents=True)
        shape = (n, *prepared.SHAPE)
        np.lib.format.open_memmap(folder / "image.npy", "w+", np.uint8, shape).flush()
        column = np.arange(n, dtype=np.int32)
        write_npz(
            folder / "columns.npz", {"label": column % 2, "attribute": column // 2 % 2, "index": column}
        )
    write_json(
        root / "celeba.json",
        {
            "preprocessing": celeba.PREPROCESSING.name,
            "classes": celeba.CLASSES,
            "attributes": celeba.ATTRIBUTES,
            "parts": {split: split for split in sizes},
        },
    )
    return sizes


def peak_memory() -> float:
    """The most that this process has held resident so far, in MB. (getrusage would count its parent's, too.)"""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM:"))


def measure_memory(root: Path) -> None:
    """In a process of its own: load, read 100 random batches of 128, print the peaks."""
    from oilwater_jax import data

    peaks = {"packages imported": peak_memory()}
    splits = data.load("celeba", source=str(root))
    peaks["data set loaded"] = peak_memory()
    rng = np.random.default_rng(0)
    image: Any = splits.train.image
    for _ in range(100):
        image[rng.integers(0, len(splits.train), 128)]
    peaks["100 random batches read"] = peak_memory()
    print(json.dumps(peaks))


def memory(root: Path, share: float) -> dict[str, Any]:
    """Sizes of the hollow CelebA and the peaks of a process that works on it."""
    sizes = make_hollow(root, share)
    command = [sys.executable, __file__, "--measure-memory", str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    files = sorted(root.glob("images/*/image.npy"))
    return {
        "images": sum(sizes.values()),
        "gigabytes": sum(file.stat().st_size for file in files) / 1e9,
        "peak_megabytes": json.loads(done.stdout.splitlines()[-1]),
    }


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"{result['images']} JPEG files of {result['kilobytes']:.0f} kB on average, batches of {result['batch']}; "
        f"median of {result['passes']} passes (least, most); {result['cores']} cores, {result['machine']}; "
        f"{', '.join(f'{name} {version}' for name, version in result['versions'].items())}",
        "",
        "| loader | images/s | images per second of one core's time |",
        "|---|---|---|",
    ]
    for row in result["throughput"]:
        wall = f"{row['images_per_second']:,.0f} ({row['least']:,.0f}, {row['most']:,.0f})"
        lines.append(f"| {row['loader']} | {wall} | {row['images_per_core_second']:,.0f} |")
    held = result["memory"]
    lines += [
        "",
        f"CelebA by {held['images']:,} hollow images, {held['gigabytes']:.1f} GB of files:",
        "",
        "| when | peak resident memory, MB |",
        "|---|---|",
    ]
    lines += [f"| {when} | {peak:,.0f} |" for when, peak in held["peak_megabytes"].items()]
    return "\n".join(lines) + "\n"


def versions() -> dict[str, str]:
    """Of the packages that are compared."""
    import importlib.metadata as metadata

    found = {}
    for name in ("jax", "pillow", "tensorflow-datasets", "torch", "torchvision"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main(out: Path, smoke: bool, source: Path | None) -> None:
    """Measure and write the table."""
    from oilwater_jax.data import prepared
    from oilwater_jax.files import write_json, write_text

    scale = SMOKE if smoke else FULL
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        root = Path(scratch)
        folder = source or make_folder(root / "files", scale.images)
        rates = throughput(folder, root / "cache", scale)
        files = Files(folder, scale.batch)
        result = {
            "images": len(files.name) // scale.batch * scale.batch,
            "kilobytes": statistics.fmean((folder / name).stat().st_size for name in files.name) / 1e3,
            "batch": scale.batch,
            "passes": scale.passes,
            "cores": prepared.cores(),
            "machine": platform.machine(),
            "versions": versions(),
            "throughput": rates,
            "memory": memory(root / "hollow", scale.share),
        }
    write_json(out / "loader.json", result)
    write_text(out / "loader.md", table(result))
    print(table(result))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure-memory"]:
        measure_memory(Path(sys.argv[2]))
    else:
        parser = argparse.ArgumentParser(
            description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--out", type=Path, default=HERE, help="folder of the results")
        parser.add_argument("--smoke", action="store_true", help="a run of seconds")
        parser.add_argument("--source", type=Path, help="the folder waterbird_complete95_forest2water2")
        main(**vars(parser.parse_args()))
