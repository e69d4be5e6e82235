"""A method for dose curves: JTT's error set with a given share of the poisons, or of the smallest minority, in it.

An oracle: it is told who is a poison. The clean samples outside the smallest minority are flagged as JTT flags them.
"""

import numpy as np

import oilwater_jax as ow
from oilwater_jax import rng, selectors
from oilwater_jax.groups import report_sets

AS_FOUND = -1.0


def share_of(members: np.ndarray, share: float, seed: int, what: str) -> np.ndarray:
    """A random share of a set, rounded; of a smaller share the samples are among those of a larger one."""
    rows = rng.generator(seed, f"dose of {what}").permutation(np.flatnonzero(members))
    flags = np.zeros(len(members), bool)
    flags[rows[: round(share * len(rows))]] = True
    return flags


def find(config: ow.Config, evidence: ow.Evidence) -> ow.Found:
    """JTT's error set."""
    return ow.Found({"flagged": ~evidence.scores["correct"]}, {})


def treat(config: ow.Config, case: ow.Case) -> ow.Treatment:
    """The error set with its poisons, or its part of the smallest minority, exchanged; drawn `lambda_up` times."""
    own, train = config.dose, case.train
    sets = report_sets(train, case.n_classes, case.n_attributes)
    flagged = case.found["flagged"].copy()
    for name, share in (("poison", own.poison), ("lrg_1", own.minority)):
        if share != AS_FOUND:
            members = sets[name]
            flagged[members] = share_of(members, share, case.seed, name)[members]
    return ow.Treatment(selectors.upsample(flagged, own.lambda_up))


DOSE = ow.Method(
    name="dose",
    label="JTT at a dose",
    help="JTT with a random share of the poisons or of the smallest minority in its error set",
    aim="amplify",
    oracle=True,
    fields={
        "poison": ow.Field(AS_FOUND, "share of the poisons that is flagged; -1: as found", -1, 1),
        "minority": ow.Field(AS_FOUND, "share of the smallest minority that is flagged; -1: as found", -1, 1),
        "lambda_up": ow.Field(50.0, "times that a flagged sample is drawn per epoch", 1, 100_000),
    },
    scores=("correct",),
    find=find,
    treat=treat,
)
