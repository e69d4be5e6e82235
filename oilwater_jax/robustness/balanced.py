"""Group-balanced draws: an oracle that knows the true groups and draws each equally often."""

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.groups import group_ids
from oilwater_jax.robustness import drawn
from oilwater_jax.types import Case, Treatment


def treat(config: Config, case: Case) -> Treatment:
    """As ERM, with every true group drawn equally often; a group without samples is none, and a warning."""
    group = group_ids(case.train, case.n_attributes)
    warnings = drawn.lacking(
        group, case.n_classes, case.n_attributes, "is there: the other groups are balanced without it"
    )
    return Treatment(selectors.fixed(selectors.balanced(group)), warnings=warnings)


METHOD = Method(
    name="balanced",
    label="Group-balanced oracle",
    help="draw every true group equally often (an oracle)",
    aim="amplify",
    oracle=True,
    recipe="erm",
    treat=treat,
)
