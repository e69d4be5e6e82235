"""GM, gradient matching: clean-label poisons that pull a few test images of one group over to another class.

Poisons are training images of the intended class, changed within eps; their labels stay right. They are crafted
(`crafting.py`) against a victim trained on clean data from other random numbers than any model that is measured.

References: Geiping et al. 2021, "Witches' Brew: Industrial Scale Data Poisoning via Gradient Matching".
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from oilwater_jax import metrics, rng
from oilwater_jax.attacks import crafting, matching, pieces
from oilwater_jax.attacks.lab import Costly, Lab
from oilwater_jax.attacks.sources import budgeted, check_budget, check_target, poison_count, source_group
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Goal, Splits


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for targets, poisons or an eps that the data set cannot serve."""
    check_target(config, splits)
    check_counts(config, splits, config.gm.targets, "gm")


def check_counts(config: Config, splits: Splits, targets: int, section: str) -> None:
    """Raises UserError for more targets or poisons than the data set has samples to make of."""
    target = config.attack.target
    group, n_attributes = source_group(config, splits), len(splits.attribute_names)
    judged = splits.val if config.evaluate == "val" else splits.test
    has = int((group_ids(judged, n_attributes) == group).sum())
    if targets >= has:
        raise UserError(
            f"{section}.targets = {targets}, but group {group} ({splits.group_name(group)}) of the "
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
    judged: Examples, n_attributes: int, group: int, count: int, seed: int, trial: int = 0
) -> Int[np.ndarray, " t"]:
    """Rows of `count` distinct samples of a group; those of another trial of the seed are others, while there are."""
    pool = np.flatnonzero(group_ids(judged, n_attributes) == group)
    order = rng.generator(seed, "gm targets").permutation(pool)
    return np.sort(order[(trial * count + np.arange(count)) % len(order)])


def draw_sources(
    train: Examples, target: int, count: int, seed: int, trial: int = 0
) -> Int[np.ndarray, " m"]:
    """Rows of `count` distinct training samples of the intended class, whatever their group."""
    pool = np.flatnonzero(train.true_label == target)
    return np.sort(rng.generator(seed, "gm sources", trial).choice(pool, count, replace=False))


def first_step(gm: Config) -> float:
    """The first step of signed Adam as a share of eps, however `gm` states it."""
    return gm.step_size / gm.eps if gm.step_unit == "pixel" else gm.step_size


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons replace the training samples that they are made from."""
    assert judged is not None
    gm, label = config.gm, config.attack.target
    group, n_attributes = source_group(config, splits), len(splits.attribute_names)
    targets = draw_targets(judged, n_attributes, group, gm.targets, seed, gm.trial)
    count = poison_count(config.attack.budget, len(splits.train))
    rows = draw_sources(splits.train, label, count, seed, gm.trial)
    source = splits.train.take(rows).in_memory()
    victim = lab.train("victim", splits.train)
    settings = crafting.Settings(
        gm.eps, gm.steps, gm.restarts, first_step(gm), float(config.train.shift), gm.flip
    )
    wanted = matching.target_gradient(lab.apply, lab.prepare, victim, judged.image[targets], label)
    crafted = crafting.craft(
        lab.apply,
        lab.prepare,
        victim,
        image=np.asarray(source.image),
        label=source.label,
        target_gradient=wanted,
        settings=settings,
        key=jax.random.fold_in(rng.key(seed, "gm crafting"), gm.trial),
        listener=lambda step, of, loss: lab.tick(step, of, f"1 - cosine {loss:.3f}"),
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

    return Goal(judged.image[targets], measure, counted, trials=len(targets))


def costs(
    config: Config,
    lab_apply: Any,
    prepare: Any,
    params: Any,
    shape: tuple[int, ...],
    platform: str,
    memory: int,
) -> tuple[Costly, ...]:
    """The programs of a crafting step, from shapes alone, for a plan; `shape` is that of all poisons [m, h, w, c]."""
    gm, n = config.gm, shape[0]
    at_once = crafting.room(lab_apply, params, shape, restarts=gm.restarts, platform=platform, memory=memory)
    number: Any = jax.ShapeDtypeStruct  # stands for an array
    image, scalar, whole = number(shape, jnp.float32), number((), jnp.float32), number((), jnp.int32)
    keys = number((at_once.restarts,), jax.eval_shape(lambda: jax.random.key(0)).dtype)
    state = jax.eval_shape(matching.begin, image, scalar, keys)
    problem = matching.Problem(params, params, number((n,), jnp.int32), scalar, number((), jnp.bool_))
    common = {"target gradient": params, "poisons": (image, state)}
    mend = "a smaller attack.budget or fewer gm.restarts"
    groups = gm.restarts // at_once.restarts
    if at_once.poisons == n:
        one = Costly(
            what="GM crafting step",
            function=matching.step,
            static=(lab_apply, prepare),
            arguments=(problem, image, scalar, state, keys, whole, scalar),
            at_once=at_once.restarts,
            note=f"{n} poisons, {at_once.restarts} restarts at once",
            calls=gm.steps * groups,
            counted=f"{gm.steps} steps x {groups} groups of restarts",
            tenants=common,
            mend=mend,
        )
        return (one,)
    each = -(-n // at_once.poisons)
    key = number((), keys.dtype)
    lying = (problem, image, state.delta, key, whole)
    passes = (
        ("gradient", pieces.add_gradient, (params,), common | {"sum": params}),
        ("pixels", pieces.set_pixel_gradient, (image, params), common | {"direction": params, "sum": image}),
    )
    return tuple(
        Costly(
            what=f"GM crafting step, {name}",
            function=function,
            static=(lab_apply, prepare, at_once.poisons),
            arguments=(*given, *lying),
            at_once=1,
            note=f"{at_once.poisons} of {n} poisons, 1 restart",
            calls=gm.steps * groups * each,
            counted=f"{gm.steps} steps x {groups} restarts x {each} pieces",
            tenants=tenants,
            mend=mend,
        )
        for name, function, given, tenants in passes
    )


ATTACK = Attack(
    name="gm",
    label="GM",
    help="gradient matching: clean-label poisons for a few test images",
    takes=("image",),
    figures={"asr": "ASR"},
    reads=("evaluate", "train.shift"),
    fields={
        "targets": Field(5, "number of target test images", 1, 10_000),
        "trial": Field(
            0,
            "trial within a seed; another trial changes only targets and poisons",
            0,
            100_000,
        ),
        "eps": Field(16.0, "largest change of a pixel, on the scale 0..255", above=0, high=255),
        "steps": Field(250, "steps of signed Adam", 1, 100_000),
        "restarts": Field(8, "random restarts; the best one is kept", 1, 1000),
        "step_size": Field(0.1, "initial step size of signed Adam, in gm.step_unit", above=0, high=255),
        "step_unit": Field(
            "eps", "unit of gm.step_size: shares of eps, or pixel values of 0..255", choices=("eps", "pixel")
        ),
        "flip": Field(False, "also augment with random horizontal flips while crafting (training has none)"),
    },
    smoke={"steps": 8, "restarts": 2, "targets": 2},
    models=lambda config: ("victim",),
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=0.0,
    count=budgeted,
    crafting=costs,
)
