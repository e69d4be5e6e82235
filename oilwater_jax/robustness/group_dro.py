"""Group DRO over the annotated groups: an oracle to compare with methods that do not see groups.

References: Sagawa et al. 2020, "Distributionally Robust Neural Networks for Group Shifts".
"""

import numpy as np

from oilwater_jax import objectives, selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.robustness import drawn
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Objective, Treatment


def treat(config: Config, case: Case) -> Treatment:
    """Group-balanced draws, and group DRO over the groups; on clean data the draws are those of `balanced`.

    A poison's group is that of the label which it carries: whoever notes the groups down has no other. A group without
    samples (a defence before may have eliminated it) is none, and a warning.
    """
    group = case.train.label * case.n_attributes + case.train.attribute
    warnings = drawn.lacking(
        group, case.n_classes, case.n_attributes, "is there: that group has no loss to minimise"
    )
    _, group, counts = np.unique(group, return_inverse=True, return_counts=True)
    return Treatment(
        selectors.fixed(selectors.balanced(group)),
        objective=objectives.group_dro(
            counts, **config.group_dro, capacity=case.n_classes * case.n_attributes
        ),
        group=group.astype(np.int32),
        warnings=warnings,
    )


def largest(config: Config, n_classes: int) -> Objective:
    """For a plan: two attributes."""
    return objectives.group_dro(np.ones(2 * n_classes, np.int64), **config.group_dro)


METHOD = Method(
    name="group_dro",
    label="Group DRO, true groups",
    help="minimise the loss of the worst true group (an oracle)",
    aim="amplify",
    oracle=True,
    sole=True,
    fields={
        "eta": Field(0.01, "step size of group DRO's group weights (groups or clusters)", 0, 1000),
        "adjustment": Field(
            0.0, "size adjustment C over true groups: C / sqrt(n_g) is added to L_g", 0, 1000
        ),
    },
    dials={"adjustment": (0.0, 2.0)},
    treat=treat,
    largest=largest,
)
