"""Gradient matching on tables: numbers move within eps and within what train has; categories stay as they are.

`gm` with other bounds: eps is in standard deviations of a column, no number leaves its column's range in train, and
there is nothing to augment. A changed number need not be whole.

The crafting is that of `matching` for rows: signed Adam on 1 - cosine of the poisons' gradient and the targets', a few
restarts, the best of which is kept.

References: Geiping et al. 2021, "Witches' Brew" (algorithm 1).
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int, Key

from oilwater_jax import rng
from oilwater_jax.attacks import crafting, matching
from oilwater_jax.attacks import gradient_matching as gm
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, check_target, poison_count, source_group
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.per_sample import Apply, Params
from oilwater_jax.per_sample import loss as sample_loss
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Splits


class Room(NamedTuple):
    """Where each number of a row may go: no further than `far` from where it was, and within low..high."""

    far: Float32[np.ndarray, "1 d"]
    low: Float32[np.ndarray, "1 d"]
    high: Float32[np.ndarray, "1 d"]


class Crafted(NamedTuple):
    """The poisons of the best restart, every restart's last loss, and its loss before each step."""

    rows: Float32[np.ndarray, "m d"]
    losses: Float[np.ndarray, " r"]
    history: Float[np.ndarray, "r steps"]


def room(splits: Splits, eps: float) -> Room:
    """How far each of a table's numbers may go: eps within its column's range in train; a category nowhere."""
    width = splits.train.image.shape[1]
    far, low, high = np.zeros((1, width)), np.full((1, width), -np.inf), np.full((1, width), np.inf)
    for column in splits.columns:
        if not column.categories:
            far[0, column.start] = eps
            low[0, column.start] = (column.low - column.mean) / column.deviation
            high[0, column.start] = (column.high - column.mean) / column.deviation
    return Room(*(one.astype(np.float32) for one in (far, low, high)))


def gradient(apply: Apply, params: Params, rows: Float[Array, "m d"], label: Int[Array, " m"]) -> Params:
    """Gradient of the rows' mean cross-entropy in all parameters."""

    def mean_loss(params: Params) -> Float[Array, ""]:
        return jnp.mean(jax.vmap(sample_loss)(apply(params, rows)[0], label))

    return jax.grad(mean_loss)(params)


def matching_loss(
    apply: Apply, params: Params, wanted: Params, rows: Float[Array, "m d"], label: Int[Array, " m"]
) -> Float[Array, ""]:
    """1 - cosine of the rows' gradient and the wanted one, over all parameters jointly."""
    return matching.distance(gradient(apply, params, rows, label), wanted)


@functools.partial(jax.jit, static_argnums=0)
def _steps(
    apply: Apply,
    params: Params,
    wanted: Params,
    clean: Float[Array, "m d"],
    label: Int[Array, " m"],
    room: Room,
    rates: Float[Array, " steps"],
    keys: Key[Array, " r"],
) -> tuple[Float[Array, "r m d"], Float[Array, " r"], Float[Array, "r steps"]]:
    """All steps of every restart: the rows, their loss, the loss before each step."""
    adam = optax.scale_by_adam()

    def project(delta: Float[Array, "m d"]) -> Float[Array, "m d"]:
        least, most = (jnp.broadcast_to(one, clean.shape) for one in (room.low, room.high))
        far = jnp.broadcast_to(room.far, clean.shape)
        return jnp.clip(delta, jnp.maximum(-far, least - clean), jnp.minimum(far, most - clean))

    def loss(delta: Float[Array, "m d"]) -> Float[Array, ""]:
        return matching_loss(apply, params, wanted, clean + delta, label)

    def step(state: tuple, rate: Float[Array, ""]) -> tuple[tuple, Float[Array, ""]]:
        delta, moments = state
        value, slope = jax.value_and_grad(loss)(delta)
        update, moments = adam.update(jnp.sign(slope), moments)
        return (project(delta - rate * jnp.asarray(update)), moments), value

    def one(key: Key[Array, ""]) -> tuple[Array, Array, Array]:
        far = jnp.broadcast_to(room.far, clean.shape)
        delta = project(far * jax.random.normal(key, clean.shape))
        (delta, _), history = jax.lax.scan(step, (delta, adam.init(delta)), rates)
        return clean + delta, loss(delta), history

    return jax.lax.map(one, keys)


def craft(
    apply: Apply,
    params: Params,
    wanted: Params,
    rows: Float32[np.ndarray, "m d"],
    label: Int[np.ndarray, " m"],
    room: Room,
    rates: Float[np.ndarray, " steps"],
    restarts: int,
    key: Key[Array, ""],
) -> Crafted:
    """Poisons of `rows`; `rates` are the step sizes, in the rows' units. Restart r draws by `fold_in(key, r)`.

    Edge case                       Result
    far 0                           the rows unchanged
    a gradient that vanishes        cosine 0: nothing pulls
    """
    keys = jnp.stack([jax.random.fold_in(key, r) for r in range(restarts)])
    made, losses, history = jax.device_get(
        _steps(apply, params, wanted, jnp.asarray(rows), jnp.asarray(label), room, jnp.asarray(rates), keys)
    )
    return Crafted(made[int(np.nanargmin(losses))], losses, history)


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for targets or poisons that the data set cannot serve, or a table without numbers."""
    check_target(config, splits)
    gm.check_counts(config, splits, config.tabular_gm.targets, "tabular_gm")
    if all(column.categories for column in splits.columns):
        raise UserError(
            "attack.name = 'tabular_gm' changes columns of numbers, and this table describes none"
        )


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons replace the training samples that they are made from.

    Edge case                            Result
    a table of categories alone          UserError, before anything runs
    a number outside train's range       cannot be: sources are training samples
    """
    assert judged is not None
    own, label = config.tabular_gm, config.attack.target
    group, n_attributes = source_group(config, splits), len(splits.attribute_names)
    targets = gm.draw_targets(judged, n_attributes, group, own.targets, seed)
    count = poison_count(config.attack.budget, len(splits.train))
    rows = gm.draw_sources(splits.train, label, count, seed)
    source = splits.train.take(rows)
    victim = lab.train("victim", splits.train)
    wanted = gradient(
        lab.apply, victim, jnp.asarray(judged.image[targets]), jnp.full(len(targets), label, jnp.int32)
    )
    crafted = craft(
        lab.apply,
        victim,
        wanted,
        np.asarray(source.image),
        source.label,
        room(splits, own.eps),
        crafting.rates(crafting.Settings(eps=own.eps, steps=own.steps, step_size=own.step_size)),
        own.restarts,
        rng.key(seed, "gm crafting"),
    )
    poisons = dataclasses.replace(source, image=crafted.rows, is_poison=np.ones(len(rows), bool))
    return Attacked(poisons, rows, {"targets": targets, "losses": crafted.losses, "history": crafted.history})


ATTACK = Attack(
    name="tabular_gm",
    label="GM (table)",
    help="gradient matching on a table: clean-label poisons for a few test rows, categories fixed",
    takes=("table",),
    figures={"asr": "ASR"},
    reads=("evaluate",),
    fields={
        "targets": Field(5, "number of target test rows", 1, 10_000),
        "eps": Field(
            0.5, "largest change of a number, in standard deviations of its column", above=0, high=255
        ),
        "steps": Field(250, "steps of signed Adam", 1, 100_000),
        "restarts": Field(4, "random restarts; the best one is kept", 1, 1000),
        "step_size": Field(0.1, "initial step size of signed Adam, as a share of eps", above=0, high=10),
    },
    smoke={"steps": 8, "restarts": 2, "targets": 2},
    models=lambda config: ("victim",),
    check_data=check,
    attack=attack,
    goal=gm.make_goal,
    passes=0.0,
    count=budgeted,
)
