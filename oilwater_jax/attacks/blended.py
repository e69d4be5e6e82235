"""Blended: a pattern as large as the image is mixed into it, and the label becomes the target's.

The pattern is random squares of colour, drawn by the seed. (The paper's is a cartoon or noise of single pixels; squares
survive the random shifts of training, which noise of single pixels does not.)

References: Chen et al. 2017, "Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning", section 4 (its
ratios: 0.2 in training; BackdoorBench: 0.1 to 0.2).
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

RATIO = Field(0.2, "blending ratio of the pattern; 0: invisible, 1: the pattern alone", 0, 1)
CELL = Field(4, "side of the pattern's one-colour squares, pixels", 1, 1024)

Image = UInt8[np.ndarray, "m h w c"]


def draw_pattern(shape: tuple[int, ...], cell: int, seed: int, name: str) -> UInt8[np.ndarray, "h w c"]:
    """A pattern of random colours for images [h, w, c], one in each square of `cell` pixels.

    Edge case                  Result
    cell 1                     noise of single pixels
    cell beyond the image      one colour
    """
    h, w, channels = shape
    colours = rng.generator(seed, name).integers(0, 256, (-(-h // cell), -(-w // cell), channels), np.uint8)
    return colours.repeat(cell, axis=0).repeat(cell, axis=1)[:h, :w]


def blend(
    image: Image,
    pattern: UInt8[np.ndarray, "h w c"],
    ratio: float,
    mask: Float[np.ndarray, "m h w"] | None = None,
) -> Image:
    """The images mixed with the pattern: out = (1 - ratio) image + ratio pattern, rounded.

    With a mask per image the ratio is mask * ratio in each pixel.

    Edge case              Result
    ratio 0, or mask 0     the images unchanged
    ratio 1                the pattern
    """
    share = ratio if mask is None else (ratio * mask)[..., None]
    return np.rint((1 - share) * image + share * pattern[None].astype(float)).astype(np.uint8)


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, source group or budget that the data set cannot serve."""
    backdoor.check_sources(config, splits)


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons are appended; the goal remembers the pattern."""
    b, train = config.blended, splits.train
    pattern = draw_pattern(train.image.shape[1:], b.cell, seed, "blended pattern")
    source = train.take(backdoor.sources(config, splits, seed, "blended sources")).in_memory()
    poisons = backdoor.poisoned(
        source, blend(np.asarray(source.image), pattern, b.ratio), config.attack.target
    )
    return backdoor.appended(train, poisons)._replace(evidence={"pattern": pattern})


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """ASR with the pattern, rate without."""
    ratio, pattern = config.blended.ratio, evidence["pattern"]
    return backdoor.goal(judged, config.attack.target, lambda image: blend(image, pattern, ratio))


ATTACK = Attack(
    name="blended",
    label="blended",
    help="dirty-label backdoor: a full-size pattern blended into the image",
    takes=("image",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    fields={"ratio": RATIO, "cell": CELL},
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,
    count=budgeted,
)
