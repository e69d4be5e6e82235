"""SELF: re-train the last layer on the held-out samples on which an early-stopped and the final model disagree most.

ERM is trained on 80% of the training set; the same training stopped early is the second model (trainings of a seed
share their draws). Of the held-out samples the `points` with the largest divergence KL(early || final) are chosen,
equally many of each label, and the last layer is fine-tuned on them, labels drawn equally often, from where ERM ended.
As many draws per epoch as the part has samples.

The published method holds out half of the validation set, and picks points (20, 100, 500), the rate and the early stop
(1, 2 or 5 epochs) on validation. Its code takes the largest of all labels together (`balance` = draws): where the
early model has learned one label only, all points may be of the other, and the last layer is trained on a single label.
At one published commit it compares the early model with itself, so that every divergence is 0.

The other 80% are not drawn in the second training: in its figures they count as eliminated, a property of the method
and no verdict on them.

References: LaBonte et al. 2023, "Towards Last-layer Retraining for Group Robustness with Fewer Annotations";
tmlabonte/last-layer-retraining disagreement.py.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.robustness import drawn, held_out
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Evidence, Examples, Found, Recipe, Treatment


def reference(config: Config, examples: Examples) -> Treatment:
    """ERM by its own recipe, on what is not held out."""
    return held_out.first_stage(len(examples), config.self.held_out, Recipe(**config.erm))


def early(config: Config, examples: Examples) -> Treatment:
    """The same, stopped early."""
    recipe = Recipe(**config.erm)
    stopped = recipe._replace(epochs=min(config.self.early, recipe.epochs))
    return held_out.first_stage(len(examples), config.self.held_out, stopped)


def divergence(early: Float[np.ndarray, "n k"], final: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """KL(early || final) of the predicted probabilities, from logits.

    Edge case                              Result
    equal logits                           0
    logits moved by a sample's constant    the same
    """
    logs = []
    for logits in (early.astype(float), final.astype(float)):
        moved = logits - logits.max(axis=1, keepdims=True)
        logs.append(moved - np.log(np.exp(moved).sum(axis=1, keepdims=True)))
    return np.sum(np.exp(logs[0]) * (logs[0] - logs[1]), axis=1)


def most(values: Float[np.ndarray, " n"], held: Bool[np.ndarray, " n"], count: int) -> Bool[np.ndarray, " n"]:
    """The `count` held-out samples with the largest values (all, if there are fewer); of equal ones the earlier."""
    rows = np.flatnonzero(held)
    chosen = np.zeros(len(values), bool)
    chosen[rows[np.argsort(-values[rows], kind="stable")[:count]]] = True
    return chosen


def choose(
    values: Float[np.ndarray, " n"],
    held: Bool[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    count: int,
    balance: str,
) -> Bool[np.ndarray, " n"]:
    """The points to fine-tune on: the largest of each label, equally many (balance "points"), or of all together.

    Edge case                          Result
    a count that cannot be divided     rounded down, at least one of each label
    a label with fewer                 all of it, and no more of the others
    """
    if balance == "draws":
        return most(values, held, count)
    labels = np.unique(label[held])
    each = max(count // len(labels), 1)
    return np.any([most(values, held & (label == y), each) for y in labels], axis=0)


def draws(
    chosen: Bool[np.ndarray, " n"], label: Int[np.ndarray, " n"], total: int
) -> Float[np.ndarray, " n"]:
    """Draws per epoch, `total` in all: of the chosen, every label equally often; elsewhere 0."""
    return drawn.classes_in_balance(chosen.astype(float), label, total)


def find(config: Config, evidence: Evidence) -> Found:
    """The points that both models disagree about most; flagged is who is drawn above once per epoch.

    Edge case                                Result
    no point of a label                      a warning naming it
    both models say the same of everything   a warning
    """
    held = held_out.part(len(evidence.label), config.self.held_out)
    assert evidence.early_scores is not None
    values = divergence(evidence.early_scores["logits"], evidence.scores["logits"])
    chosen = choose(values, held, evidence.label, config.self.points, config.self.balance)
    weights = draws(chosen, evidence.label, int(held.sum()))
    arrays = {"flagged": weights > 1, "weight": weights, "held_out": held, "divergence": values}
    said = list(drawn.absent(evidence.label, weights))
    if not values.any():
        said.append(
            "the early and the final model agree everywhere: the points are arbitrary; lower self.early"
        )
    return Found(arrays, {"n_held_out": int(held.sum()), "n_chosen": int(chosen.sum())}, tuple(said))


def treat(config: Config, case: Case) -> Treatment:
    """The last layer alone, from where ERM ended, on the chosen, as the mode has them."""
    found = case.found
    return Treatment(
        selectors.fixed(drawn.in_mode(found["weight"], found["flagged"], case.train.label)),
        recipe=Recipe(config.self.learning_rate, 0.0, config.self.epochs),
        start="reference",
        trained="head",
    )


METHOD = Method(
    name="self",
    label="SELF",
    help="re-train the last layer on held-out samples on which an early and the final model disagree",
    aim="amplify",
    sole=True,
    reads=("erm",),
    fields={
        "points": Field(100, "number of held-out samples to fine-tune the last layer on", 1, 10_000_000),
        "balance": Field(
            "points",
            "points: equally many samples per label; draws: the top samples overall, with labels drawn equally often",
            choices=("points", "draws"),
        ),
        "early": Field(1, "epochs of the early-stopped model", 1, 100_000),
        "held_out": Field(
            0.2, "share of the training samples held out for the second stage", above=0, high=0.9
        ),
        "learning_rate": Field(0.01, "SGD learning rate of the last layer", 0, 1000),
        "epochs": Field(10, "epochs of the last layer", 1, 100_000),
    },
    dials={"learning_rate": (0.01, 0.1)},
    smoke={"points": 20, "epochs": 2},
    scores=("logits", "correct"),
    reference=reference,
    early=early,
    find=find,
    treat=treat,
    draws=lambda config, n: int(config.self.held_out * n),
    epochs=lambda config: config.self.epochs,
)
