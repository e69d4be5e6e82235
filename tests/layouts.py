"""Waterbirds and CelebA in little: the published layouts with true JPEG files, true columns and a few samples.

source = layouts.waterbirds(tmp_path / "birds")                # a folder; archive=True: the tar.gz of it
source = layouts.celeba(tmp_path / "faces", variant="kaggle")  # see VARIANTS
"""

import csv
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from oilwater_jax.images import Images
from oilwater_jax.types import Examples

Counts = dict[str, tuple[int, ...]]
SPLITS = ("train", "val", "test")
BIRDS: Counts = {"train": (9, 4, 2, 6), "val": (2, 3, 1, 2), "test": (3, 2, 2, 1)}
FACES: Counts = {"train": (14, 12, 8, 2), "val": (3, 3, 2, 1), "test": (3, 2, 2, 1)}
VARIANTS = ("txt", "zip", "csv", "kaggle", "kaggle.zip", "official")
ARCHIVE = "waterbird_complete95_forest2water2"
METADATA = ("img_id", "img_filename", "y", "split", "place", "place_filename")
ATTRIBUTES: Sequence[str] = (  # noqa: SIM905 (as the file has them)
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young"
).split()


def jpeg(width: int, height: int, seed: int, hue: tuple[int, int, int]) -> bytes:
    """A JPEG file: blocks of random brightness about a colour, so that each seed has an image of its own."""
    rng = np.random.RandomState(seed)
    light = rng.randint(-40, 41, (-(-height // 16), -(-width // 16), 1)).repeat(16, 0).repeat(16, 1)
    pixels = (np.array(hue) + light[:height, :width]).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "jpeg", quality=95)
    return out.getvalue()


def samples(counts: Counts, seed: int) -> list[tuple[int, int, int]]:
    """(split, label, attribute) of every sample, in an order of their own."""
    rows = [
        (split, *divmod(group, 2))
        for split, name in enumerate(SPLITS)
        for group, count in enumerate(counts[name])
        for _ in range(count)
    ]
    return [rows[at] for at in np.random.RandomState(seed).permutation(len(rows))]


def hue(label: int, attribute: int) -> tuple[int, int, int]:
    """Red tells the label, blue the attribute."""
    return (60 + 130 * label, 100, 60 + 130 * attribute)


def waterbirds(folder: Path, counts: Counts = BIRDS, *, archive: bool = False, seed: int = 0) -> Path:
    """The published folder (metadata.csv, images in folders by species), or the published archive of it."""
    inner = folder / ARCHIVE
    rows = []
    for number, (split, y, place) in enumerate(samples(counts, seed), 1):
        species = f"{1 + number % 3:03d}.Black_footed_Albatross"
        name = f"{species}/Black_Footed_Albatross_{number:04d}_{796000 + number}.jpg"
        (inner / species).mkdir(parents=True, exist_ok=True)
        size = (90 + number % 7, 70 + number % 5)
        (inner / name).write_bytes(jpeg(*size, 1000 * seed + number, hue(y, place)))
        rows.append((number, name, y, split, place, f"/o/ocean/{number:08d}.jpg"))
    write_csv(inner / "metadata.csv", METADATA, rows)
    if not archive:
        return inner
    packed = folder / f"{ARCHIVE}.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=1) as tar:
        tar.add(inner, ARCHIVE)
    return packed


def celeba(folder: Path, counts: Counts = FACES, *, variant: str = "txt", seed: int = 0) -> Path:
    """CelebA as one of VARIANTS has it: the folder, or for kaggle.zip the archive.

    txt, zip: the authors' text files beside the images' folder or zip. csv: Kaggle's tables beside the folder.
    kaggle: that with the folder in a folder of its name. official: the authors' folders Anno, Eval and Img.
    """
    rows = samples(counts, seed)
    names = [f"{number:06d}.jpg" for number in range(1, len(rows) + 1)]
    content = {
        name: jpeg(178, 218, 1000 * seed + at, hue(*row[1:]))
        for at, (name, row) in enumerate(zip(names, rows, strict=True))
    }
    flags = np.random.RandomState(seed).choice([-1, 1], (len(rows), len(ATTRIBUTES)))
    for column, place in (("Blond_Hair", 1), ("Male", 2)):
        flags[:, ATTRIBUTES.index(column)] = [2 * row[place] - 1 for row in rows]
    split = [row[0] for row in rows]
    folder.mkdir(parents=True, exist_ok=True)
    if variant in ("csv", "kaggle", "kaggle.zip"):
        header = ("image_id", *ATTRIBUTES)
        table = [(name, *row) for name, row in zip(names, flags.tolist(), strict=True)]
        write_csv(folder / "list_attr_celeba.csv", header, table)
        write_csv(
            folder / "list_eval_partition.csv", ("image_id", "partition"), zip(names, split, strict=True)
        )
        write_images(
            folder / ("img_align_celeba" if variant == "csv" else "img_align_celeba/img_align_celeba"),
            content,
        )
    else:
        anno, evaluation, img = ("Anno", "Eval", "Img") if variant == "official" else ("", "", "")
        for part in (anno, evaluation, img):
            (folder / part).mkdir(exist_ok=True)
        lines = [str(len(rows)), " ".join(ATTRIBUTES) + " "]
        lines += [
            f"{name} {' '.join(f'{flag:2d}' for flag in row)}" for name, row in zip(names, flags, strict=True)
        ]
        (folder / anno / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
        (folder / evaluation / "list_eval_partition.txt").write_text(
            "".join(f"{name} {which}\n" for name, which in zip(names, split, strict=True))
        )
        if variant == "txt":
            write_images(folder / "img_align_celeba", content)
        else:
            write_zip(
                folder / img / "img_align_celeba.zip",
                {f"img_align_celeba/{n}": c for n, c in content.items()},
            )
    if variant != "kaggle.zip":
        return folder
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return write_zip(folder / "archive.zip", files)


def file_of(examples: Examples) -> Path:
    """The file that the images are read from."""
    assert isinstance(examples.image, Images)
    (part,) = examples.image.parts
    assert isinstance(part.array, np.memmap)
    return Path(part.array.filename or "")


def write_csv(path: Path, header: Sequence[str], rows) -> None:
    """A CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_images(folder: Path, content: Mapping[str, bytes]) -> None:
    """Image files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)


def write_zip(path: Path, content: Mapping[str, bytes]) -> Path:
    """A zip of files by name."""
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path
