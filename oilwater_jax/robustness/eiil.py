"""EIIL: split the samples into two environments that violate invariance most, then group DRO over class x environment.

A reference model's outputs z are scaled by w: an environment's IRM penalty is the squared slope of its mean loss in w
at w = 1. A soft assignment of the samples to two environments is moved by Adam to maximise both penalties.

References: Creager et al. 2021, "Environment Inference for Invariant Learning"; BigML-CS-UCLA/SpuCo eiil.py (20,000
steps, rate 0.01, reference of one epoch), group_dro.py (groups drawn equally often).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from oilwater_jax import objectives, rng, selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.robustness.clustering import capacity
from oilwater_jax.robustness.george import moved
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Evidence, Examples, Found, Objective, Recipe, Treatment


def reference(config: Config, examples: Examples) -> Treatment:
    """The model after a few epochs, by the recipe `identify`."""
    recipe = Recipe(**config.identify)._replace(epochs=config.eiil.epochs)
    return Treatment(selectors.everyone(len(examples)), recipe=recipe)


def slopes(logits: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Derivative of each sample's loss under logits w z in w at w = 1: sum_k p_k z_k - z_label."""
    z = logits.astype(float)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return np.sum(p * z, axis=1) - z[np.arange(len(z)), label]


def objective(assignment: Float[Array, " n"], slope: Float[Array, " n"]) -> Float[Array, ""]:
    """Less the mean of both environments' penalties; sample i is of the first by the share sigmoid(assignment[i])."""
    share = jax.nn.sigmoid(assignment)
    return -0.5 * (jnp.mean(slope * share) ** 2 + jnp.mean(slope * (1 - share)) ** 2)


@functools.cache
def _searcher() -> Any:
    import optax

    @jax.jit
    def search(slope: Array, start: Array, steps: Array, rate: Array) -> Array:
        optimiser = optax.scale_by_adam()

        def step(_: Any, state: Any) -> Any:
            assignment, adam = state
            move, adam = optimiser.update(jax.grad(objective)(assignment, slope), adam)
            return assignment - rate * jnp.asarray(move), adam

        return jax.lax.fori_loop(0, steps, step, (start, optimiser.init(start)))[0]

    return search


def environments(
    slope: Float[np.ndarray, " n"], start: Float[np.ndarray, " n"], steps: int, rate: float
) -> Bool[np.ndarray, " n"]:
    """Who is of the first environment after so many steps of Adam from `start`.

    Edge case              Result
    steps 0                who starts above 0
    slopes all 0           who starts above 0: nothing to gain
    samples permuted       the same samples
    """
    assignment = _searcher()(
        jnp.asarray(slope, jnp.float32), jnp.asarray(start, jnp.float32), jnp.int32(steps), jnp.float32(rate)
    )
    return np.asarray(assignment) > 0


def find(config: Config, evidence: Evidence) -> Found:
    """Groups: class x environment, those that have samples. Flagged are those that equal draws draw above once.

    Edge case                                Result
    a class in one environment               a warning naming it
    logits that are not finite               UserError
    """
    logits, label = evidence.scores["logits"], evidence.label
    if not np.isfinite(logits).all():
        raise UserError("EIIL: the reference model's logits are not finite; lower identify.learning_rate")
    slope = slopes(logits, label)
    start = rng.generator(evidence.seed, "eiil").normal(size=len(label))
    first = environments(slope, start, config.eiil.steps, config.eiil.rate)
    _, group, sizes = np.unique(2 * label + first, return_inverse=True, return_counts=True)
    arrays = {
        "flagged": selectors.balanced(group) > 1,
        "cluster": group.astype(np.int32),
        "slope": slope.astype(np.float32),
    }
    penalties = [float(np.mean(slope * one) ** 2) for one in (first, ~first)]
    said = tuple(
        f"all samples of class {y} are in one environment: within it nobody is amplified"
        for y in np.unique(label)
        if len(np.unique(first[label == y])) < 2
    )
    return Found(arrays, {"sizes": sizes.tolist(), "penalties": penalties}, said)


def treat(config: Config, case: Case) -> Treatment:
    """Group DRO over the groups, each drawn equally often; modes as GEORGE's on its clusters."""
    train = case.train
    group, weights = moved(case.mode, case.found["cluster"], train.label, train.is_poison)
    present, group = np.unique(group, return_inverse=True)
    dro = objectives.group_dro(
        np.bincount(group),
        eta=config.group_dro.eta,
        adjustment=config.eiil.adjustment,
        capacity=capacity(len(present)),
    )
    return Treatment(selectors.fixed(weights), objective=dro, group=group.astype(np.int32))


def largest(config: Config, n_classes: int) -> Objective:
    """For a plan: two environments of every class."""
    counts = np.ones(2 * n_classes, np.int64)
    adjustment = config.eiil.adjustment
    return objectives.group_dro(
        counts, eta=config.group_dro.eta, adjustment=adjustment, capacity=capacity(len(counts))
    )


METHOD = Method(
    name="eiil",
    label="EIIL",
    help="infer two environments that violate invariance, then group DRO over class x environment",
    aim="amplify",
    sole=True,
    reads=("group_dro", "identify"),
    fields={
        "epochs": Field(1, "epochs of the reference model", 1, 100_000),
        "steps": Field(20_000, "Adam steps on the environment assignment", 0, 10_000_000),
        "rate": Field(0.01, "learning rate of the assignment", 0, 1000),
        "adjustment": Field(0.0, "size adjustment C of group DRO over the groups", 0, 1000),
    },
    dials={"epochs": (1, 2, 4)},
    smoke={"steps": 100},
    scores=("logits", "correct"),
    reference=reference,
    find=find,
    treat=treat,
    largest=largest,
)
