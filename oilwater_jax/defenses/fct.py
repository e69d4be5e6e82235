"""Sensitivity to transforms (D-ST's split): eliminate samples whose features change most under transforms.

A model that looks at a trigger changes its mind once the trigger is moved; one that looks at the object less so.

References: Chen et al. 2022, "Effective Backdoor Defense by Exploiting Sensitivity of Poisoned Samples" (the feature
consistency towards transformations); BackdoorBench, d-st, for the shares.
"""

import numpy as np
from jaxtyping import Float

from oilwater_jax import rng
from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found

BLOCK = 4096  # images that are transformed at once


def matrix(degrees: float, scale: float, shift: tuple[float, float]) -> Float[np.ndarray, "2 3"]:
    """The affine map from places in the new image to the old one's: (row, column) about the centre, sides of length 1.

    The image is turned by `degrees`, made `scale` times as large, and moved by `shift` of its sides.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
    return np.concatenate([turn, -turn @ np.array(shift)[:, None]], axis=1)


def transformed(image: np.ndarray, affine: Float[np.ndarray, "2 3"]) -> np.ndarray:
    """All images [n, h, w, c] under one map, bilinear, edges repeated; in the images' own type.

    Edge case                Result
    the identity             the images as they are
    whole numbers            rounded to the nearest
    """
    h, w = image.shape[1:3]
    sides = np.array([h, w], float)[:, None]
    places = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij")).reshape(2, -1)
    centred = (places + 0.5) / sides - 0.5
    old = (affine[:, :2] @ centred + affine[:, 2:] + 0.5) * sides - 0.5
    old = np.clip(np.round(old, 9), 0, sides - 1)
    low = np.minimum(np.floor(old).astype(int), np.maximum(sides.astype(int) - 2, 0))
    high, part = np.minimum(low + 1, sides.astype(int) - 1), (old - low).astype(np.float32)
    flat = image.reshape(len(image), h * w, -1).astype(np.float32)
    total = np.zeros_like(flat)
    for row, down in ((low[0], 1 - part[0]), (high[0], part[0])):
        for column, along in ((low[1], 1 - part[1]), (high[1], part[1])):
            total += flat[:, row * w + column] * (down * along)[None, :, None]
    moved = np.rint(total) if image.dtype.kind in "iu" else total
    return moved.astype(image.dtype).reshape(image.shape)


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: the `poison_share` of the samples whose features change most, as a mean of squares over the transforms.

    Half of the transforms only turn, by up to `degrees`; the others turn, shift and scale by up to 10%. They are drawn
    by the seed and the same for all samples. `clean` marks the `clean_share` that changes least, which D-ST trusts.

    Edge case                           Result
    poison_share x n below 1            nobody flagged, and a warning
    all change equally (degrees = 0, one transform)   nobody
    features that are not finite        UserError
    """
    f, n = config.fct, len(evidence.label)
    draw = rng.generator(evidence.seed, "fct")
    maps = []
    for at in range(f.transforms):
        degrees, scale, down, along = draw.uniform(-1, 1, 4)
        wide = at % 2
        maps.append(
            matrix(degrees * f.degrees, 1 + 0.1 * wide * scale, (0.1 * wide * down, 0.1 * wide * along))
        )
    before = evidence.scores["features"].astype(np.float64)
    suspicion = np.zeros(n)
    for start in range(0, n, BLOCK):
        block = np.asarray(evidence.image[start : start + BLOCK])
        for affine in maps:
            after = evidence.score(transformed(block, affine), ("features",))["features"]
            change = np.square(after.astype(np.float64) - before[start : start + BLOCK]).mean(axis=1)
            suspicion[start : start + BLOCK] += change / len(maps)
    flagging.check_finite("fct", suspicion)
    count = flagging.whole(f.poison_share, n)
    few = (f"{f.poison_share:g} x {n} is 0; raise fct.poison_share",) if count == 0 else ()
    clean = flagging.most_suspicious(-suspicion, flagging.whole(f.clean_share, n))
    return flagging.found(
        evidence, flagging.most_suspicious(suspicion, count), suspicion, arrays={"clean": clean}, warnings=few
    )


def check(config: Config) -> None:
    """Raises UserError if the two shares overlap."""
    f = config.fct
    if f.poison_share + f.clean_share > 1:
        raise UserError(
            f"fct.poison_share = {f.poison_share:g} and fct.clean_share = {f.clean_share:g} are more than 1 together; "
            "lower one"
        )


METHOD = Method(
    name="fct",
    label="Transform sensitivity",
    help="eliminate the samples whose features change most under rotation, shift and scaling",
    aim="eliminate",
    takes=("image",),
    fields={
        "poison_share": Field(0.05, "share of samples to flag: those that change most", 0, 0.5),
        "clean_share": Field(
            0.2, "share of samples to trust: those that change least (stored for reference)", 0, 1
        ),
        "degrees": Field(180.0, "largest rotation, degrees", 0, 180),
        "transforms": Field(4, "number of transforms per image", 1, 1000),
    },
    dials={"poison_share": (0.01, 0.05, 0.1)},
    check=check,
    smoke={"transforms": 2},
    scores=("features",),
    find=find,
    treat=flagging.eliminate,
    in_find=lambda config, n, base: config.fct.transforms * n,
)
