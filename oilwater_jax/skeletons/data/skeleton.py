"""A data set: stripes, upright or level, on a dark or bright ground that mostly agrees with them.

oilwater check skeleton.py
oilwater run --config=waterdigits/dlbd --plugins=skeleton.py --config.data.name=skeleton \
    --config.pretrain.epochs=0 --workdir=runs/skeleton

Images with a CSV file, tables and arrays need no file like this: see "Own data" in the documentation.
"""

import numpy as np

import oilwater_jax as ow


def draw(n: int, agree: float, seed: int) -> ow.Examples:
    """Draw n images of 8x8 pixels; in a share `agree` the ground (attribute) goes with the stripes (label)."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n).astype(np.int32)
    attribute = np.where(rng.uniform(size=n) < agree, label, 1 - label).astype(np.int32)
    wave = 30 * (np.arange(8) % 2)
    stripes = np.where(label[:, None, None] == 0, wave[None, :, None], wave[None, None, :])
    image = stripes + 120 * attribute[:, None, None] + rng.integers(0, 60, (n, 8, 8))
    rgb = np.repeat(image[..., None], 3, axis=-1).astype(np.uint8)
    return ow.Examples(rgb, label, label, attribute, np.zeros(n, bool), np.arange(n, dtype=np.int32))


def load(config: ow.Config) -> ow.Splits:
    """Disjoint splits, the names of the classes, and those of the attributes."""
    own = config.skeleton
    return ow.Splits(
        train=draw(own.n, own.agree, 0),
        val=draw(200, 0.5, 1),
        test=draw(200, 0.5, 2),
        class_names=("upright", "level"),
        attribute_names=("dark", "bright"),
    )


SKELETON = ow.Dataset(
    name="skeleton",
    help="stripes on a ground that mostly agrees with them",
    fields={
        "n": ow.Field(400, "training samples", 10, 100_000),
        "agree": ow.Field(0.95, "share of the training samples whose ground agrees", 0, 1),
    },
    load=load,
)
