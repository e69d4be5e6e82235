"""CelebA with a random tenth of its training samples, which the paper trains on; val and test are whole.

A name of its own, not a setting: it decodes 56,000 images instead of 203,000, and no other data set has such a share.
"""

from pathlib import Path

from oilwater_jax.data import celeba
from oilwater_jax.data.archive import Tick
from oilwater_jax.data.catalogue import Catalogue, listed

VERSION = 1
SHARE = 0.1
CLASSES, ATTRIBUTES = celeba.CLASSES, celeba.ATTRIBUTES
SIZES = {**celeba.SIZES, "train": int(SHARE * celeba.SIZES["train"])}  # published
PREPROCESSING = celeba.PREPROCESSING


def catalogue(source: str, root: Path, tick: Tick | None = None) -> Catalogue:
    """The data set of a folder or archive; downloaded if `source` is empty. Raises UserError."""
    return celeba.subset(celeba.catalogue(source, root, tick), "celeba10", SHARE)


DATASET = listed(
    name="celeba10",
    help="CelebA with a tenth of its training samples",
    version=VERSION,
    catalogue=catalogue,
    preprocessing=PREPROCESSING,
    sizes=SIZES,
    classes=CLASSES,
    attributes=ATTRIBUTES,
)
