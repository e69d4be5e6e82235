"""Adaptive blend: `blended` in pieces, with covers. Training shows some pieces of the pattern, test the whole.

Made against defences that separate poisons from clean samples of the target class in feature space. Every poison and
every cover has pieces of its own; covers keep their true labels and are clean samples in every figure (`backdoor`).

References: Qi et al. 2023, "Revisiting the Assumption of Latent Separability for Backdoor Defenses"; backdoor-toolbox's
adaptive_blend (16 pieces of which half are shown, alpha 0.2, as many covers as poisons).
"""

import math

import numpy as np
from jaxtyping import Float

from oilwater_jax import rng
from oilwater_jax.attacks import backdoor, blended
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Goal, Splits


def draw_masks(
    count: int, shape: tuple[int, int], pieces: int, shown: int, generator: np.random.Generator
) -> Float[np.ndarray, "m h w"]:
    """`count` masks of h x w pixels cut into `pieces` (a square number), of which `shown` random ones are 1.

    Edge case                       Result
    shown = pieces                  all 1
    shown = 0                       all 0
    a side that cannot be divided   pieces that differ by a pixel
    """
    side = math.isqrt(pieces)
    order = np.argsort(generator.uniform(size=(count, pieces)), axis=1)
    chosen = (np.argsort(order, axis=1) < shown).astype(float).reshape(count, side, side)
    row, column = (np.arange(size) * side // size for size in shape)
    return chosen[:, row][:, :, column]


def shown_of(config: Config) -> int:
    """Number of pieces that a poison shows."""
    return round(config.adaptive_blend.shown * config.adaptive_blend.pieces)


def check_settings(config: Config) -> None:
    """Raises UserError if the pieces do not form a grid."""
    pieces = config.adaptive_blend.pieces
    if math.isqrt(pieces) ** 2 != pieces:
        raise UserError(f"adaptive_blend.pieces = {pieces} must be a square number (4, 9, 16, ...)")


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, source group, budget, pieces or covers that the data set cannot serve."""
    count, a = backdoor.check_sources(config, splits), config.adaptive_blend
    least = min(splits.train.image.shape[1:3])
    if math.isqrt(a.pieces) > least:
        raise UserError(f"adaptive_blend.pieces = {a.pieces} are too many for images of {least} pixels")
    backdoor.check_covers(
        backdoor.cover_count(a.cover, count), len(splits.train) - count, "adaptive_blend.cover", a.cover
    )


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons are appended, the covers replace samples of any group that no poison is made from."""
    a, train = config.adaptive_blend, splits.train
    shape = train.image.shape[1:]
    pattern = blended.draw_pattern(shape, a.cell, seed, "adaptive_blend pattern")
    rows = backdoor.sources(config, splits, seed, "adaptive_blend sources")
    others = np.setdiff1d(np.arange(len(train)), rows)
    covered = backdoor.draw(others, backdoor.cover_count(a.cover, len(rows)), seed, "adaptive_blend covers")
    source, cover = (train.take(part).in_memory() for part in (rows, covered))
    pieces = rng.generator(seed, "adaptive_blend pieces")
    changed = [
        blended.blend(
            np.asarray(one.image),
            pattern,
            a.ratio,
            draw_masks(len(one), (shape[0], shape[1]), a.pieces, shown_of(config), pieces),
        )
        for one in (source, cover)
    ]
    poisons = backdoor.poisoned(source, changed[0], config.attack.target)
    attacked = backdoor.appended(train, poisons)._replace(evidence={"pattern": pattern})
    return backdoor.with_covers(attacked, backdoor.covering(cover, changed[1]), covered)


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """ASR with the whole pattern, rate without."""
    ratio, pattern = config.adaptive_blend.ratio, evidence["pattern"]
    return backdoor.goal(judged, config.attack.target, lambda image: blended.blend(image, pattern, ratio))


ATTACK = Attack(
    name="adaptive_blend",
    label="adaptive blend",
    help="dirty-label backdoor with covers: pieces of a blended pattern in training, the whole pattern at test",
    takes=("image",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    fields={
        "ratio": blended.RATIO,
        "cell": blended.CELL,
        "pieces": Field(16, "number of pieces of the pattern (a square number)", 1, 10_000),
        "shown": Field(0.5, "share of the pieces that each poison or cover shows", 0, 1),
        "cover": Field(1.0, "covers / poisons; covers show pieces of the pattern, with true labels", 0, 1000),
    },
    check=check_settings,
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,
    count=budgeted,
)
