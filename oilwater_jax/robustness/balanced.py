"""Group-balanced draws: an oracle that knows the true groups and draws each equally often."""

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Case, Treatment


def treat(config: Config, case: Case) -> Treatment:
    """As ERM, with every true group drawn equally often."""
    weights = selectors.balanced(group_ids(case.train, case.n_attributes))
    return Treatment(selectors.fixed(weights))


METHOD = Method(
    name="balanced",
    label="Group-balanced oracle",
    help="draws of every true group equally often (an oracle)",
    aim="amplify",
    oracle=True,
    recipe="erm",
    treat=treat,
)
