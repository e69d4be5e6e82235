"""DFR, deep feature reweighting: re-train the last layer on a held-out part in which every true group counts the same.

An oracle beside AFR and SELF, which guess what it knows. ERM is trained on 80% of the training set; on the other 20%
the last layer alone is trained on, from where ERM ended, each group drawn equally often. A poison's group is that of
the label which it carries: whoever notes the groups down has no other.

The published method re-trains on half of the validation set (or, its weaker variant, on training samples: here), by
logistic regression with an L1 penalty chosen on validation, as the mean of 20 fits to random balanced subsets of it.
Here it is SGD on balanced draws, which sees all of the part at once, with the run's batch and momentum, no penalty but
`pull`, and the epoch chosen on validation.

The other 80% are not drawn in the second training: in its figures they count as eliminated, a property of the method
and no verdict on them.

References: Kirichenko et al. 2023, "Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations",
section 4 (DFR Tr-Tr); PolinaKirichenko/deep_feature_reweighting dfr_evaluate_spurious.py.
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
    return held_out.first_stage(len(examples), config.dfr.held_out, Recipe(**config.erm))


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: the held-out part. Groups are only looked at where it is trained on (`treat`)."""
    held = held_out.part(len(evidence.label), config.dfr.held_out)
    return Found({"flagged": held}, {"n_held_out": int(held.sum())})


def draws(group: Int[np.ndarray, " n"], held: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Draws per epoch: of the held-out every group equally often, as many in all as are held out; elsewhere 0.

    Edge case                         Result
    a group that is not held out      not drawn; the others share the draws
    nobody held out                   all 0
    """
    found = np.zeros(len(group))
    if held.any():
        found[held] = selectors.balanced(group[held])
    return found


def treat(config: Config, case: Case) -> Treatment:
    """The last layer alone, from where ERM ended, on group-balanced draws; warns of a group that is not held out."""
    d = config.dfr
    group = case.train.label * case.n_attributes + case.train.attribute
    held = case.found["flagged"]
    return Treatment(
        selectors.fixed(draws(group, held)),
        recipe=Recipe(d.learning_rate, 0.0, d.epochs, d.pull),
        start="reference",
        trained="head",
        warnings=drawn.lacking(
            group[held],
            case.n_classes,
            case.n_attributes,
            "is held out: the last layer is trained without that group; raise dfr.held_out",
        ),
    )


METHOD = Method(
    name="dfr",
    label="DFR, true groups",
    help="re-train the last layer on held-out samples, balanced over true groups (an oracle)",
    aim="amplify",
    oracle=True,
    sole=True,
    reads=("erm",),
    fields={
        "held_out": Field(
            0.2, "share of the training samples held out for the second stage", above=0, high=0.9
        ),
        "pull": Field(
            0.0,
            "L2 penalty on the distance from ERM's last layer: this times its square is added to the loss",
            0,
            1000,
        ),
        "learning_rate": Field(0.01, "SGD learning rate of the last layer", 0, 1000),
        "epochs": Field(20, "epochs of the last layer", 1, 100_000),
    },
    dials={"pull": (0.0, 0.1, 1.0)},
    smoke={"epochs": 2},
    reference=reference,
    find=find,
    treat=treat,
    draws=lambda config, n: int(config.dfr.held_out * n),
    epochs=lambda config: config.dfr.epochs,
)
