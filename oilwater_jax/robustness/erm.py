"""ERM, empirical risk minimisation: plain training, what every method is compared with."""

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.types import Case, Treatment


def treat(config: Config, case: Case) -> Treatment:
    """Every sample once per epoch, the mean loss."""
    return Treatment(selectors.everyone(len(case.train)))


METHOD = Method(name="erm", label="ERM", help="plain training", aim="train", treat=treat)
