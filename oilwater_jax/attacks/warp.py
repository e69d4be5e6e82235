"""Warp (WaNet): images bent by one smooth field, and covers bent by that field plus noise, with their true labels.

The covers (WaNet's noise mode) keep a model from taking any bending for the trigger. They are clean samples in every
figure (`backdoor`). The published strength moves a pixel by a quarter of a pixel on average, whatever the image's size,
and is published with budgets of 10%: raise it for small budgets.

References: Nguyen and Tran 2021, "WaNet: Imperceptible Warping-based Backdoor Attack" (k 4, s 0.5, two covers a
poison). Its control points are spread by bicubic interpolation, ours by cubic splines; noise is new for every cover.
"""

import numpy as np
from jaxtyping import Float, UInt8

from oilwater_jax import rng
from oilwater_jax.attacks import backdoor
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted
from oilwater_jax.entries import Attack, Config
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Goal, Splits

CHUNK = 256  # images that are bent at once
Image = UInt8[np.ndarray, "m h w c"]


def spread(control: Float[np.ndarray, "k k 2"], shape: tuple[int, int]) -> Float[np.ndarray, "h w 2"]:
    """A smooth field over h x w pixels with the control values at a k x k grid whose corners are the image's."""
    from scipy.ndimage import map_coordinates

    k = len(control)
    at = np.stack(np.meshgrid(*(np.linspace(0, k - 1, size) for size in shape), indexing="ij"))
    return np.stack(
        [map_coordinates(control[..., i], at, order=3, mode="nearest", prefilter=True) for i in range(2)],
        axis=-1,
    )


def draw_field(shape: tuple[int, int], grid: int, seed: int) -> Float[np.ndarray, "h w 2"]:
    """The seed's field: control values uniform in -1..1, divided by their mean size, then `spread`."""
    control = rng.generator(seed, "warp field").uniform(-1, 1, (grid, grid, 2))
    return spread(control / np.abs(control).mean(), shape)


def pixels(field: Float[np.ndarray, "*m h w 2"], strength: float) -> Float[np.ndarray, "*m h w 2"]:
    """WaNet's units to pixels (down, right): the image spans -1..1, and the field counts strength / size of that."""
    size = np.array(field.shape[-3:-1], float)
    return field * (strength * (size - 1) / (2 * size))


def bend(image: Image, moved: Float[np.ndarray, "*m h w 2"]) -> Image:
    """Each pixel taken from `moved` pixels (down, right) away; bilinear, edges repeated, rounded.

    Edge case                   Result
    moved 0 everywhere          the images unchanged
    whole pixels                pixels moved, none mixed
    beyond the edge             the edge's pixel
    """
    moved = moved if moved.ndim == 4 else moved[None]
    parts = [
        _bend(image[start : start + CHUNK], moved if len(moved) == 1 else moved[start : start + CHUNK])
        for start in range(0, max(len(image), 1), CHUNK)
    ]
    return np.concatenate(parts)


def _bend(image: Image, moved: Float[np.ndarray, "k h w 2"]) -> Image:
    m, h, w, _ = image.shape
    place = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), axis=-1)
    source = np.clip(place[None] + moved, 0, np.array([h - 1, w - 1]).reshape(1, 1, 1, 2))
    first = np.minimum(source.astype(int), np.array([max(h - 2, 0), max(w - 2, 0)]).reshape(1, 1, 1, 2))
    y, x = (source - first)[..., :1], (source - first)[..., 1:]
    at = np.arange(m)[:, None, None]

    def corner(down: int, right: int) -> np.ndarray:
        row = np.minimum(first[..., 0] + down, h - 1)
        column = np.minimum(first[..., 1] + right, w - 1)
        return image[at, row, column].astype(float)

    mixed = (1 - y) * ((1 - x) * corner(0, 0) + x * corner(0, 1)) + y * (
        (1 - x) * corner(1, 0) + x * corner(1, 1)
    )
    return np.rint(mixed).astype(np.uint8)


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, source group, budget or number of covers that the data set cannot serve."""
    count = backdoor.check_sources(config, splits)
    cover = config.warp.cover
    backdoor.check_covers(backdoor.cover_count(cover, count), len(splits.train) - count, "warp.cover", cover)


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons are appended, the covers replace samples of any group that no poison is made from."""
    w, train = config.warp, splits.train
    h_w = train.image.shape[1:3]
    field = draw_field((h_w[0], h_w[1]), w.grid, seed)
    rows = backdoor.sources(config, splits, seed, "warp sources")
    source = train.take(rows).in_memory()
    poisons = backdoor.poisoned(
        source, bend(np.asarray(source.image), pixels(field, w.strength)), config.attack.target
    )
    others = np.setdiff1d(np.arange(len(train)), rows)
    covered = backdoor.draw(others, backdoor.cover_count(w.cover, len(rows)), seed, "warp covers")
    cover = train.take(covered).in_memory()
    noise = rng.generator(seed, "warp noise").uniform(-1, 1, (len(covered), *field.shape))
    moved = pixels(field[None], w.strength) + pixels(noise, w.noise)
    covers = backdoor.covering(cover, bend(np.asarray(cover.image), moved))
    attacked = backdoor.appended(train, poisons)._replace(evidence={"field": field})
    return backdoor.with_covers(attacked, covers, covered)


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """ASR with the field, rate without."""
    moved = pixels(evidence["field"], config.warp.strength)
    return backdoor.goal(judged, config.attack.target, lambda image: bend(image, moved))


ATTACK = Attack(
    name="warp",
    label="WaNet",
    help="dirty-label backdoor: images warped by a smooth field, with covers warped at random",
    takes=("image",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    fields={
        "strength": Field(0.5, "strength s of the warping field; a pixel moves by about s / 2", 0, 1000),
        "grid": Field(4, "number k of control points along a side", 2, 64),
        "cover": Field(2.0, "covers / poisons; covers are warped with noise, with true labels", 0, 1000),
        "noise": Field(
            1.0,
            "noise of the covers' warp, in units of the strength; a pixel moves by up to half of it",
            0,
            1000,
        ),
    },
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,
    count=budgeted,
)
