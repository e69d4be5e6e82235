"""AFR, automatic feature reweighting: re-train the last layer on a held-out part, weighted by ERM's uncertainty.

ERM is trained on 80% of the training set. Each sample of the other 20% gets the weight exp(-gamma p), p the
probability of its given label, divided by its label's count; weights are draws here, as many in all as the part has
samples, and the last layer alone is trained, from where ERM ended.

The loss has an L2 pull towards ERM's last layer. gamma and the pull are to be chosen on validation (published: 14 and
0.2 on Waterbirds, 1.8 and 0 on CelebA). The default gamma of 4 is ours: 14 leaves the last layer with a few samples on
waterdigits, and accuracy collapses even on clean data. The published second stage is full-batch gradient descent, no
momentum (500 steps at 0.02 on Waterbirds, 100 at 0.01 on CelebA); here it is SGD on draws, with the run's batch and
momentum.

The other 80% are not drawn in the second training: in its figures they count as eliminated, a property of the method
and no verdict on them.

References: Qiu et al. 2023, "Simple and Fast Group Robustness by Automatic Feature Reweighting"; AndPotap/afr.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.robustness import drawn, held_out
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Evidence, Examples, Found, Recipe, Treatment

FEW = 10  # samples' worth of weights, below which a last layer is fitted to noise


def reference(config: Config, examples: Examples) -> Treatment:
    """ERM by its own recipe, on what is not held out."""
    return held_out.first_stage(len(examples), config.afr.held_out, Recipe(**config.erm))


def draws(
    loss: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"], held: Bool[np.ndarray, " n"], gamma: float
) -> Float[np.ndarray, " n"]:
    """Draws per epoch: on the held-out in proportion to exp(-gamma exp(-loss)) / count of the label; elsewhere 0.

    Edge case                         Result
    gamma = 0                         labels of the held-out equally often, samples of a label equal
    equal losses                      the same
    a label that is not held out      not drawn; the others share the draws
    """
    counts = np.bincount(label[held], minlength=int(label.max()) + 1)
    weights = np.exp(-gamma * np.exp(-loss.astype(float))) / np.maximum(counts, 1)[label]
    weights = np.where(held, weights, 0.0)
    return held.sum() * weights / weights.sum()


def find(config: Config, evidence: Evidence) -> Found:
    """Weights on the held-out part; flagged is who is drawn above once per epoch.

    Edge case                                   Result
    a label that is not held out                a warning naming it
    the weights are worth fewer than 10 samples a warning (`drawn.effective`)
    """
    held = held_out.part(len(evidence.label), config.afr.held_out)
    weights = draws(evidence.scores["loss"], evidence.label, held, config.afr.gamma)
    arrays = {"flagged": weights > 1, "weight": weights, "held_out": held, "loss": evidence.scores["loss"]}
    said = list(drawn.absent(evidence.label, weights))
    if (worth := drawn.effective(weights)) < FEW:
        said.append(
            f"the weights leave the last layer with {worth:.1f} samples' worth of {int(held.sum())}; lower afr.gamma"
        )
    return Found(arrays, {"n_held_out": int(held.sum()), "effective": worth}, tuple(said))


def treat(config: Config, case: Case) -> Treatment:
    """The last layer alone, from where ERM ended, on draws in proportion to the weights, as the mode has them."""
    found = case.found
    return Treatment(
        selectors.fixed(drawn.in_mode(found["weight"], found["flagged"], case.train.label)),
        recipe=Recipe(config.afr.learning_rate, 0.0, config.afr.epochs, config.afr.pull),
        start="reference",
        trained="head",
    )


METHOD = Method(
    name="afr",
    label="AFR",
    help="re-train the last layer on held-out samples, weighted by ERM's uncertainty",
    aim="amplify",
    sole=True,
    reads=("erm",),
    fields={
        "gamma": Field(
            4.0, "weights are exp(-gamma p), p the probability of the given label; 0: equal", 0, 1000
        ),
        "pull": Field(
            0.2,
            "L2 penalty on the distance from ERM's last layer: this times its square is added to the loss",
            0,
            1000,
        ),
        "held_out": Field(
            0.2, "share of the training samples held out for the second stage", above=0, high=0.9
        ),
        "learning_rate": Field(0.01, "SGD learning rate of the last layer", 0, 1000),
        "epochs": Field(20, "epochs of the last layer", 1, 100_000),
    },
    dials={"gamma": (1.0, 4.0, 10.0)},
    smoke={"epochs": 2},
    scores=("loss", "correct"),
    reference=reference,
    find=find,
    treat=treat,
    draws=lambda config, n: int(config.afr.held_out * n),
    epochs=lambda config: config.afr.epochs,
)
