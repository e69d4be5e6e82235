"""CelebA (Liu et al. 2015): aligned faces; the label is Blond_Hair, the attribute Male.

Made from a folder or archive with the images and the two tables, as the authors publish them (text files, the
images in a folder or a zip) or as Kaggle does (CSV files, the images' folder twice). Without one, tensorflow-datasets'
`celeb_a` says where the authors' files lie and by what checksum they are known, and fetches them; the files themselves
are then read as any other copy is, so that samples and their order are the same from every source.

References: https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax import rng
from oilwater_jax.data import annotations, download
from oilwater_jax.data.archive import Tick
from oilwater_jax.data.catalogue import (
    Catalogue,
    compare_counts,
    in_folder,
    listed,
    open_source,
    share_out,
)
from oilwater_jax.data.decode import CROP_178_RESIZE_224
from oilwater_jax.errors import UserError

VERSION = 1  # of what a catalogue says; raise it when its samples change
CLASSES = ("not-blond", "blond")
ATTRIBUTES = ("female", "male")
LABEL, ATTRIBUTE = "Blond_Hair", "Male"
COUNTS = {
    "train": (71629, 66874, 22880, 1387),
    "val": (8535, 8276, 2874, 182),
    "test": (9767, 7535, 2480, 180),
}
SIZES = {split: sum(sizes) for split, sizes in COUNTS.items()}
PREPROCESSING = CROP_178_RESIZE_224
TABLES = ("list_attr_celeba", "list_eval_partition")
IMAGES = "img_align_celeba"
WAYS = (
    "give --source (in a config: data.source), a folder with "
    f"{TABLES[0]}.txt, {TABLES[1]}.txt (or both as .csv) and {IMAGES}/ or {IMAGES}.zip: "
    "the authors' files by browser from mmlab.ie.cuhk.edu.hk/projects/CelebA.html, or Kaggle's celeba-dataset"
)


def catalogue(source: str, root: Path, tick: Tick | None = None) -> Catalogue:
    """The data set of a folder or archive; downloaded if `source` is empty. Raises UserError."""
    if source:
        folder = open_source(source, root, tick)
        attributes, partition = (_table(folder, name) for name in TABLES)
        images = _images(folder, root, tick)
    else:
        files = download.attempt(
            "CelebA", WAYS, lambda: _download(root / "tensorflow_datasets" / "downloads")
        )
        images = _nested(open_source(str(files.pop()), root, tick))
        attributes, partition = files
    name, label, attribute = _read_attributes(attributes)
    splits = share_out(partition, name, label, attribute, _read_partition(partition, name))
    remark = compare_counts("celeba", splits, COUNTS, len(ATTRIBUTES))
    return Catalogue("celeba", splits, CLASSES, ATTRIBUTES, *in_folder(images), PREPROCESSING, remark)


def subset(whole: Catalogue, name: str, share: float) -> Catalogue:
    """The catalogue with a random share of its training samples, always the same ones, numbered anew."""
    train = whole.splits["train"]
    n = len(train.name)
    kept = train.take(np.sort(rng.generator(0, name).permutation(n)[: int(share * n)]))
    kept = kept._replace(row=np.arange(len(kept.name), dtype=np.int32))
    if not len(kept.name):
        raise UserError(f"{name}: {share:g} of {n} training samples is 0 samples; give the whole data set")
    return whole._replace(name=name, splits={**whole.splits, "train": kept})


def _table(folder: Path, stem: str) -> Path:
    """A table, in the folder or where the authors' own folders have it."""
    for inner in ("", "Anno", "Eval"):
        for suffix in (".txt", ".csv"):
            if (path := folder / inner / f"{stem}{suffix}").is_file():
                return path
    raise UserError(f"{folder} holds neither {stem}.txt nor {stem}.csv; {WAYS}")


def _images(folder: Path, root: Path, tick: Tick | None) -> Path:
    """The folder of the images, unpacked from its zip if need be."""
    for inner in ("", "Img"):
        if (path := folder / inner / IMAGES).is_dir():
            return _nested(path)
        if (path := folder / inner / f"{IMAGES}.zip").is_file():
            return _nested(open_source(str(path), root, tick))
    raise UserError(f"{folder} holds neither the folder {IMAGES} nor {IMAGES}.zip; {WAYS}")


def _nested(folder: Path) -> Path:
    """The innermost img_align_celeba below the folder (a zip has one in it, Kaggle's folder another)."""
    while (folder / IMAGES).is_dir():
        folder = folder / IMAGES
    return folder


def _read_attributes(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image names, labels and attributes. Raises UserError."""
    if path.suffix == ".csv":
        columns = annotations.read_csv(path, ("image_id", LABEL, ATTRIBUTE))
    else:
        columns = _read_listing(path)
    label, attribute = (
        (annotations.numbers(path, name, columns[name], (-1, 1)) > 0).astype(np.int32)
        for name in (LABEL, ATTRIBUTE)
    )
    return annotations.image_names(path, columns["image_id"]), label, attribute


def _read_listing(path: Path) -> dict[str, list[str]]:
    """The authors' text file: the number of images, the attributes' names, then a line per image."""
    lines = annotations.read_text(path).splitlines()
    header = lines[1].split() if len(lines) > 1 else []
    if missing := [name for name in (LABEL, ATTRIBUTE) if name not in header]:
        raise UserError(
            f"{path} lacks the column(s) {', '.join(missing)} in its second line; give CelebA's own file"
        )
    rows = [line.split() for line in lines[2:] if line.strip()]
    if lines[0].strip() != str(len(rows)):
        raise UserError(
            f"{path} declares {lines[0].strip()[:20]!r} images and lists {len(rows)}; download it again"
        )
    _check_widths(path, rows, 1 + len(header), 3)
    places = {"image_id": 0, LABEL: 1 + header.index(LABEL), ATTRIBUTE: 1 + header.index(ATTRIBUTE)}
    return {name: [row[place] for row in rows] for name, place in places.items()}


def _read_partition(path: Path, name: np.ndarray) -> np.ndarray:
    """The split (0, 1, 2) of each image of `name`. Raises UserError."""
    if path.suffix == ".csv":
        columns = annotations.read_csv(path, ("image_id", "partition"))
    else:
        rows = [line.split() for line in annotations.read_text(path).splitlines() if line.strip()]
        _check_widths(path, rows, 2, 1)
        columns = {"image_id": [row[0] for row in rows], "partition": [row[1] for row in rows]}
    split = annotations.numbers(path, "partition", columns["partition"], (0, 1, 2))
    annotations.image_names(path, columns["image_id"])  # each once
    of_name = dict(zip(columns["image_id"], split.tolist(), strict=True))
    if unknown := [image for image in name.tolist() if image not in of_name]:
        raise UserError(
            f"{path} has no split for {len(unknown)} images, the first is {unknown[0]!a}; "
            "take both tables from one place"
        )
    return np.array([of_name[image] for image in name.tolist()], np.int32)


def _check_widths(path: Path, rows: Sequence[Sequence[str]], width: int, first_line: int) -> None:
    for line, row in enumerate(rows, first_line):
        if len(row) != width:
            raise UserError(f"{path}, line {line}, has {len(row)} fields, not {width}; download it again")


def _download(folder: Path) -> list[Path]:
    """Attributes, partition and the images' zip, through tensorflow-datasets' `celeb_a`."""
    import tensorflow_datasets as tfds  # slow import, and needed for this source only
    from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder as celeb_a

    urls = [celeb_a.ATTR_DATA, celeb_a.EVAL_LIST, celeb_a.IMG_ALIGNED_DATA]
    download.check_answer(urls[0])
    manager = tfds.download.DownloadManager(
        download_dir=folder, url_infos=celeb_a.Builder.url_infos, dataset_name="celeb_a"
    )
    paths: Any = manager.download(urls)  # a list, as urls is one
    return [Path(path) for path in paths]


DATASET = listed(
    name="celeba",
    help="faces; label blond, attribute male (Liu et al. 2015)",
    version=VERSION,
    catalogue=catalogue,
    preprocessing=PREPROCESSING,
    sizes=SIZES,
    classes=CLASSES,
    attributes=ATTRIBUTES,
)
