"""Waterbirds for tensorflow-datasets. Needs no TensorFlow with `file_format="array_record"`."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from oilwater_jax.data import cache, waterbirds
from oilwater_jax.data.catalogue import Catalogue
from oilwater_jax.data.prepared import decode_one
from oilwater_jax.errors import UserError


class Builder(tfds.core.GeneratorBasedBuilder):
    """The images as published (JPEG), with label (y), place, file name, and the row that a sample has in its split.

    `source` is a folder or archive of your own, empty: the published archive is downloaded. An archive is unpacked
    below `root`. Other group sizes than the published ones are a warning, and with `strict` a UserError.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "waterbird_complete95_forest2water2, as published."}  # noqa: RUF012 (TFDS's own way)
    SPLITS = ("train", "validation", "test")

    def __init__(
        self, *, source: str = "", root: Path | None = None, strict: bool = False, **options: Any
    ) -> None:
        self.source, self.strict = source, strict
        self.root = root or cache.folder() / "data"
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=list(waterbirds.CLASSES)),
                    "place": tfds.features.ClassLabel(names=list(waterbirds.ATTRIBUTES)),
                    "img_filename": tfds.features.Text(),
                    "row": np.int64,
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://github.com/kohpangwei/group_DRO",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        source = self.source or str(dl_manager.download(waterbirds.URL))
        catalogue = waterbirds.catalogue(source, self.root)
        if catalogue.remark and self.strict:
            raise UserError(catalogue.remark)
        if catalogue.remark:
            warnings.warn(catalogue.remark, stacklevel=2)
        return {
            name: self._generate_examples(catalogue, split)
            for name, split in zip(self.SPLITS, catalogue.splits, strict=True)
        }

    def _generate_examples(self, catalogue: Catalogue, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, label, place, row in zip(*catalogue.splits[split], strict=True):
            decode_one(catalogue, name)  # raises UserError if the image does not open
            yield (
                str(name),
                {
                    "image": io.BytesIO(catalogue.read(name)),
                    "label": int(label),
                    "place": int(place),
                    "img_filename": str(name),
                    "row": int(row),
                },
            )

    def encoded(self, split: str) -> Any:
        """The split's records at random access, their images as the bytes of the published files."""
        builder: Any = self  # a decorator hides the method's signature
        return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
