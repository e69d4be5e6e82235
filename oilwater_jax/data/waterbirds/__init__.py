"""Waterbirds (Sagawa et al. 2020): CUB's birds cut out and pasted over photographs of land and water.

The label is the kind of bird, the attribute the place; 95% of the training samples agree. Made from the folder or
archive that was published with group DRO, or downloaded by tensorflow-datasets (`waterbirds_dataset_builder`).

References: https://arxiv.org/abs/1911.08731; https://github.com/kohpangwei/group_DRO
"""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax.data import annotations, download
from oilwater_jax.data.archive import Tick
from oilwater_jax.data.catalogue import (
    Catalogue,
    compare_counts,
    in_folder,
    listed,
    open_source,
    share_out,
    stamp_of,
)
from oilwater_jax.data.decode import RESIZE_256_CROP_224
from oilwater_jax.errors import UserError

VERSION = 1  # of what a catalogue says; raise it when its samples change
URL = "https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz"
FOLDER = "waterbird_complete95_forest2water2"  # in the archive
CLASSES = ("landbird", "waterbird")
ATTRIBUTES = ("land", "water")
COLUMNS = ("img_id", "img_filename", "y", "split", "place", "place_filename")
COUNTS = {
    "train": (3498, 184, 56, 1057),
    "val": (467, 466, 133, 133),
    "test": (2255, 2255, 642, 642),
}
SIZES = {split: sum(sizes) for split, sizes in COUNTS.items()}
PREPROCESSING = RESIZE_256_CROP_224
WAYS = (
    "give --source (in a config: data.source), the "
    "archive waterbird_complete95_forest2water2.tar.gz of the group DRO release or its unpacked "
    f"folder ({URL})"
)


def catalogue(source: str, root: Path, tick: Tick | None = None) -> Catalogue:
    """The data set of a folder or archive; of tensorflow-datasets if `source` is empty. Raises UserError."""
    return _of_folder(open_source(source, root, tick)) if source else _of_tfds(root)


def _of_folder(folder: Path) -> Catalogue:
    """The data set of the published folder, or of one that holds it."""
    inner = folder if (folder / "metadata.csv").exists() else folder / FOLDER
    table = inner / "metadata.csv"
    if not table.exists():
        raise UserError(f"{folder} holds neither metadata.csv nor {FOLDER}/metadata.csv; {WAYS}")
    columns = annotations.read_csv(table, COLUMNS)
    name = annotations.image_names(table, columns["img_filename"])
    label, attribute, split = (
        annotations.numbers(table, column, columns[column], allowed)
        for column, allowed in (("y", (0, 1)), ("place", (0, 1)), ("split", (0, 1, 2)))
    )
    return _catalogue(table, (name, label, attribute, split), *in_folder(inner))


def _of_tfds(root: Path) -> Catalogue:
    """The data set of tensorflow-datasets, downloaded and prepared if it is not yet. Raises UserError."""

    def prepared() -> Any:
        from oilwater_jax.data.waterbirds.waterbirds_dataset_builder import Builder  # a slow import

        builder = Builder(data_dir=root / "tensorflow_datasets", file_format="array_record", root=root)
        if not (Path(builder.data_path) / "dataset_info.json").exists():
            download.check_answer(URL)
            builder.download_and_prepare()
        return builder

    builder = download.attempt("Waterbirds", WAYS, prepared)
    sources = [builder.encoded(split) for split in builder.SPLITS]
    records = [
        # tensorflow-datasets shuffles; `row` says what the published order is
        sorted(
            (one["row"], f"{split}/{at}", one["label"], one["place"], split) for at, one in enumerate(source)
        )
        for split, source in enumerate(sources)
    ]
    _, name, *numbers = (np.array(column) for column in zip(*itertools.chain(*records), strict=True))
    label, attribute, split = (column.astype(np.int32) for column in numbers)
    one_at_a_time = threading.Lock()

    def read(name: str) -> bytes:
        split, row = map(int, name.split("/"))
        with one_at_a_time:
            return sources[split][row]["image"]

    info = stamp_of(Path(builder.data_path) / "dataset_info.json")
    return _catalogue(
        Path(builder.data_path), (name, label, attribute, split), read, lambda name: f"{info}{name}\n"
    )


def _catalogue(
    place: Path,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    read: Callable[[str], bytes],
    stamp: Callable[[str], str],
) -> Catalogue:
    splits = share_out(place, *columns)
    remark = compare_counts("waterbirds", splits, COUNTS, len(ATTRIBUTES))
    return Catalogue("waterbirds", splits, CLASSES, ATTRIBUTES, read, stamp, PREPROCESSING, remark)


DATASET = listed(
    name="waterbirds",
    help="birds over land and water (Sagawa et al. 2020)",
    version=VERSION,
    catalogue=catalogue,
    preprocessing=PREPROCESSING,
    sizes=SIZES,
    classes=CLASSES,
    attributes=ATTRIBUTES,
)
