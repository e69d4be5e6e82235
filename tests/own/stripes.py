"""A data set of one's own: stripes, upright or level, on a dark or bright ground that mostly goes with them."""

import numpy as np

import oilwater_jax as ow


def examples(n: int, agree: float, seed: int) -> ow.Examples:
    """n images of 8x8 pixels; the ground agrees with the stripes in a share `agree`."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n).astype(np.int32)
    attribute = np.where(rng.uniform(size=n) < agree, label, 1 - label).astype(np.int32)
    wave = 30 * (np.arange(8) % 2)
    stripes = np.where(label[:, None, None] == 0, wave[None, :, None], wave[None, None, :])
    image = stripes + 120 * attribute[:, None, None] + rng.integers(0, 60, (n, 8, 8))
    rgb = np.repeat(image[..., None], 3, axis=-1).astype(np.uint8)
    return ow.Examples(rgb, label, label, attribute, np.zeros(n, bool), np.arange(n, dtype=np.int32))


def load(config: ow.Config) -> ow.Splits:
    """The three splits."""
    train = examples(config.stripes.n, config.stripes.agree, 0)
    return ow.Splits(
        train, examples(200, 0.5, 1), examples(200, 0.5, 2), ("upright", "level"), ("dark", "bright")
    )


STRIPES = ow.Dataset(
    name="stripes",
    help="stripes on a ground that mostly goes with them",
    fields={
        "n": ow.Field(300, "training samples", 10, 100_000),
        "agree": ow.Field(0.95, "share of the training samples whose ground agrees", 0, 1),
    },
    load=load,
)
