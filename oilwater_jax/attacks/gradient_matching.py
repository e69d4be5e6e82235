"""GM, gradient matching: clean-label poisons that pull a few test images of one group over to another class.

Poisons are training images of the intended class, changed within eps; their labels stay right. They are crafted
(`matching.py`) against a victim trained on clean data from other random numbers than any model that is measured.

References: Geiping et al. 2021, "Witches' Brew: Industrial Scale Data Poisoning via Gradient Matching".
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax import metrics, rng
from oilwater_jax.attacks import matching
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import check_budget, check_target, poison_count, source_group
from oilwater_jax.config import Config
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Attacked, Examples, Goal, Splits

FIGURES = ("asr",)
MODELS = ("victim",)


def check(config: Config, splits: Splits) -> None:
    """Raises UserError for targets, poisons or an eps that the data set cannot serve."""
    check_target(config, splits)
    gm, target = config.attack.gm, config.attack.target
    group, n_attributes = source_group(config, splits), len(splits.attribute_names)
    judged = splits.val if config.evaluate == "val" else splits.test
    has = int((group_ids(judged, n_attributes) == group).sum())
    if gm.targets >= has:
        raise UserError(
            f"attack.gm.targets = {gm.targets}, but group {group} ({splits.group_name(group)}) of the "
            f"{config.evaluate} split has {has} samples, and some must be left to measure accuracy on"
        )
    count = check_budget(config, splits)
    pool = int((splits.train.true_label == target).sum())
    if count > pool:
        raise UserError(
            f"attack.budget = {config.attack.budget:g} asks for {count} poisons, but class {target} "
            f"({splits.class_names[target]}) has {pool} training samples; lower the budget"
        )


def draw_targets(
    judged: Examples, n_attributes: int, group: int, count: int, seed: int
) -> Int[np.ndarray, " t"]:
    """Rows of `count` distinct samples of a group."""
    pool = np.flatnonzero(group_ids(judged, n_attributes) == group)
    return np.sort(rng.generator(seed, "gm targets").choice(pool, count, replace=False))


def draw_sources(train: Examples, target: int, count: int, seed: int) -> Int[np.ndarray, " m"]:
    """Rows of `count` distinct training samples of the intended class, whatever their group."""
    pool = np.flatnonzero(train.true_label == target)
    return np.sort(rng.generator(seed, "gm sources").choice(pool, count, replace=False))


def attack(config: Config, splits: Splits, judged: Examples, seed: int, lab: Lab) -> Attacked:
    """The poisons replace the training samples that they are made from."""
    gm, label = config.attack.gm, config.attack.target
    group, n_attributes = source_group(config, splits), len(splits.attribute_names)
    targets = draw_targets(judged, n_attributes, group, gm.targets, seed)
    rows = draw_sources(splits.train, label, poison_count(config.attack.budget, len(splits.train)), seed)
    source = splits.train.take(rows).in_memory()
    victim = lab.train("victim", splits.train)
    settings = matching.Settings(
        gm.eps, gm.steps, gm.restarts, gm.step_size, float(config.train.shift), gm.flip
    )
    wanted = matching.target_gradient(lab.apply, lab.prepare, victim, judged.image[targets], label)
    crafted = matching.craft(
        lab.apply,
        lab.prepare,
        victim,
        image=np.asarray(source.image),
        label=source.label,
        target_gradient=wanted,
        settings=settings,
        key=rng.key(seed, "gm crafting"),
        listener=lambda step, loss: lab.tick(step, gm.steps, f"1 - cosine {loss:.3f}"),
    )
    poisons = dataclasses.replace(source, image=crafted.image, is_poison=np.ones(len(rows), bool))
    return Attacked(poisons, rows, {"targets": targets, "losses": crafted.losses, "history": crafted.history})


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """ASR: the share of the targets that are predicted as the intended label; accuracies leave the targets out."""
    targets = evidence["targets"]
    counted = np.ones(len(judged), bool)
    counted[targets] = False

    def measure(logits: Float[np.ndarray, "t k"], clean: Float[np.ndarray, "t k"] | None) -> dict[str, float]:
        return {"asr": metrics.accuracy(np.argmax(logits, axis=-1) == config.attack.target)}

    return Goal(judged.image[targets], measure, counted)
