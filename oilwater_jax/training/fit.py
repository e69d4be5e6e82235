"""One training: epochs of a selector's draws, validation after each, checkpoints, model selection."""

import functools
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from oilwater_jax import devices, metrics, preemption, rng
from oilwater_jax.errors import UserError
from oilwater_jax.per_sample import Params
from oilwater_jax.selectors import draw_epoch, earliest, one_each, watched
from oilwater_jax.training.checkpoint import Checkpoints
from oilwater_jax.training.feed import place
from oilwater_jax.training.program import Program
from oilwater_jax.training.recipes import at_rate, rate
from oilwater_jax.training.selection import score
from oilwater_jax.training.step import TrainState
from oilwater_jax.trees import to_host
from oilwater_jax.types import Examples, Objective, Private, Recipe, Scores, Selector, State

Row = dict[str, Any]


class Task(NamedTuple):
    """What to train: the data with each sample's group, who is drawn, how, and how it is judged.

    `params` are where training starts: those of the network that is reported, then of each other that the objective
    trains beside it.
    """

    name: str
    seed: int
    train: Examples
    group: Int[np.ndarray, " n"]
    selector: Selector
    objective: Objective
    recipe: Recipe
    params: tuple[Params, ...]
    validate: Callable[[Params], dict[str, Any]]
    rule: str
    private: Private | None = None
    sets: Mapping[str, Bool[np.ndarray, " n"]] = MappingProxyType(
        {}
    )  # whose draws and elimination are told of
    stream: bool = False  # send the images batch by batch: they are too many for the device


class Fitted(NamedTuple):
    """The selected model, its epoch (1 is the first), a row of figures per epoch, the last epoch's weights.

    `selector` is the selector's state after the last epoch.
    """

    params: Params
    epoch: int
    history: list[Row]
    weights: Float[np.ndarray, " n"]
    selector: State


class Listener(NamedTuple):
    """Receives progress of a training: the rows it resumes from, each new row, and finished steps."""

    begin: Callable[[list[Row]], None]
    row: Callable[[Row], None]
    step: Callable[[int, int], None] = lambda done, steps: None


@jax.jit
def all_finite(params: Params) -> Bool[Array, ""]:
    """Whether every parameter is a finite number."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))


def check_finite(task: Task, epoch: int, losses: Float[np.ndarray, " steps"], params: Params) -> None:
    """Raise UserError, naming the step, if training cannot continue after an epoch.

    The parameters are looked at too: the last step can spoil them though its own loss was still finite, and a
    checkpoint must not hold that.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        what = f"the loss is {losses[bad[0]]} at step {bad[0] + 1}"
    elif not all_finite(params):
        what = f"the parameters are not finite after step {len(losses)}"
    else:
        return
    raise UserError(
        f"{task.name}, seed {task.seed}: {what} of epoch {epoch}; lower the learning rate "
        f"(it is {task.recipe.learning_rate:g}); the last checkpoint is kept"
    )


def weights_of(
    task: Task, state: State, epoch: int, scores: Scores | None
) -> tuple[State, Float[np.ndarray, " n"]]:
    """The selector's next state and its weights of an epoch. Raises UserError if these are not one a sample."""
    state, weights = task.selector.update(state, epoch, scores)
    return state, one_each(weights, len(task.train), epoch, f"{task.name}: the selector")


def fit(program: Program, task: Task, checkpoints: Checkpoints, listener: Listener) -> Fitted:
    """Train for `task.recipe.epochs` epochs, or resume from the newest checkpoint; the result is the same.

    Checkpoints are saved when they are due, in the middle of an epoch too, and at the end.
    Epoch e draws with streams named by (seed, e) alone: two tasks that differ only in their selector see the
    same random numbers. Raises UserError when the loss stops being finite (the last checkpoint stays) or a
    checkpoint cannot be saved, Preempted a few steps after SIGTERM came.
    """
    selector_state = task.selector.init(task.train)
    # Copied: the first step donates the state, and the caller keeps its parameters.
    start = jax.tree.map(
        jnp.array, program.begin(task.params, task.recipe, task.objective.init(), task.private)
    )
    first = earliest(task.selector, task.recipe.epochs)
    tree = {
        "state": to_host(start),
        "best": to_host(task.params[0]),
        "selector": selector_state,
        "weights": np.ones(len(task.train)),
    }
    meta: dict[str, Any] = {
        **{"epoch": 0, "best_epoch": 0, "best_score": None, "history": []},
        # Of the epoch under way, where it was cut off: losses of its steps and seconds; steps of all epochs.
        **{"losses": [], "seconds": 0.0, "steps": 0},
    }
    if (restored := devices.first(lambda: checkpoints.restore(tree))) is not None:
        tree, meta = restored
    listener.begin(meta["history"])

    def fitted() -> Fitted:
        return Fitted(tree["best"], meta["best_epoch"], meta["history"], tree["weights"], tree["selector"])

    def pause(state: TrainState, *, save: bool) -> None:
        """Save a checkpoint if one is due or requested; stop on SIGTERM."""
        stop = devices.anywhere(preemption.came())
        if stop or save or devices.first(checkpoints.due):
            whole = tree | {"state": to_host(state)}
            devices.first(functools.partial(checkpoints.save, meta["steps"], whole, meta))
        if stop:
            raise preemption.Preempted

    if meta["epoch"] == task.recipe.epochs:
        return fitted()
    state = devices.replicate(jax.tree.map(jnp.array, tree["state"]))
    data = place(task.train.image, task.train.label, task.group, stream=task.stream)
    key = rng.key(task.seed, "augmentation")
    with preemption.held_back():
        for epoch in range(meta["epoch"] + 1, task.recipe.epochs + 1):
            began = time.monotonic() - meta["seconds"]
            names = task.selector.due(epoch)
            if not meta["losses"]:
                scores = program.score(state.params, task.train, names) if names else None
                before = watched(task.selector, tree["selector"], tree["weights"])
                update = functools.partial(weights_of, task, tree["selector"], epoch, scores)
                tree["selector"], tree["weights"] = devices.first(update)
                if not np.array_equal(before, watched(task.selector, tree["selector"], tree["weights"])):
                    meta |= {"best_score": None}  # no model from before the selector acted is reported
            state = state._replace(opt_state=at_rate(state.opt_state, rate(task.recipe, epoch)))
            draws = draw_epoch(tree["weights"], rng.generator(task.seed, "order", epoch))
            begun = len(meta["losses"])
            segments = program.epoch(state, data, draws, jax.random.fold_in(key, epoch), begun)
            for now, losses, steps in segments:
                state = now
                meta["losses"] += losses.tolist()
                meta["steps"] += len(losses)
                meta["seconds"] = time.monotonic() - began
                check_finite(task, epoch, np.array(meta["losses"]), state.params)
                listener.step(len(meta["losses"]), steps)
                if len(meta["losses"]) < steps:
                    pause(state, save=False)
            loss = float(np.mean(np.array(meta["losses"], np.float32)))
            row: Row = {"stage": task.name, "seed": task.seed, "epoch": epoch, "loss": loss}
            row |= {**task.validate(state.params), "draws": len(draws)}
            if task.sets:
                row["set_draws"] = metrics.means_within(tree["weights"], task.sets)
            if names and task.sets:
                row["elmf"] = metrics.shares_within(tree["weights"] == 0, task.sets)
            row["seconds"] = round(time.monotonic() - began, 3)
            meta["history"].append(row)
            meta |= {"epoch": epoch, "losses": [], "seconds": 0.0}
            listener.row(row)
            better = meta["best_score"] is None or score(task.rule, row) > meta["best_score"]
            if better and epoch >= first:
                meta |= {"best_score": score(task.rule, row), "best_epoch": epoch}
                tree["best"] = to_host(state.params)
            pause(state, save=epoch == task.recipe.epochs)
    return fitted()
