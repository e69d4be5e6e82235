"""From suspicion scores to flags: shared parts of the defences that look beforehand.

Stage: within `find` of a defence, and the treatment after it. A defence computes a suspicion of every training sample
and decides on flags; `found` holds it to two rules. No class loses more than half of its samples: every defence here
supposes that most of a class is clean, and one that flags most of it has found the class, not the poison. And what a
user should know (e.g. nothing flagged) is a warning, never silence.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from oilwater_jax import selectors
from oilwater_jax.entries import Config
from oilwater_jax.errors import UserError
from oilwater_jax.settings.field import Field
from oilwater_jax.treatments import NEARLY_EVERYTHING
from oilwater_jax.types import Case, Evidence, Found, Treatment

MOST = 0.5  # of a class that may be flagged
LAYERS = ("features", "logits", "projected_gradient")


def budget_field() -> Field:
    """The field for the share of poisons that a defender expects."""
    return Field(
        0.01, "poisons / training samples that the defender expects (it does not see attack.budget)", 0, 1
    )


def layer_field() -> Field:
    """The field for the representation that a defence looks at."""
    return Field(
        "features",
        "representation to use: the input of the last layer, its output, or the projected gradient",
        choices=LAYERS,
    )


def false_alarms_field() -> Field:
    """The field for the false alarm rate under the base set's null."""
    return Field(
        0.05,
        "false alarm rate on samples like the base set's; a base set smaller than 1 / this flags nothing",
        0,
        1,
    )


def whole(share: float, n: int) -> int:
    """`share` of n in whole samples, rounded down (3 for 0.03 of 100, whatever floats make of it)."""
    return int(share * n + 1e-9)


def most_suspicious(suspicion: Float[np.ndarray, " n"], count: int) -> Bool[np.ndarray, " n"]:
    """The `count` samples with the highest suspicion.

    Edge case                               Result
    equal ones on both sides of the cut     all of them are spared (their order must not decide)
    count = 0                               nobody
    count >= n                              everyone
    """
    if count <= 0:
        return np.zeros(len(suspicion), bool)
    if count >= len(suspicion):
        return np.ones(len(suspicion), bool)
    return suspicion > np.sort(suspicion)[len(suspicion) - count - 1]


def most_in_each_class(
    suspicion: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"], count: int
) -> Bool[np.ndarray, " n"]:
    """The `count` most suspicious samples of each class, at most half of it."""
    flagged = np.zeros(len(label), bool)
    for one in np.unique(label):
        own = label == one
        flagged[own] = most_suspicious(suspicion[own], min(count, whole(MOST, int(own.sum()))))
    return flagged


def capped(
    flagged: Bool[np.ndarray, " n"], suspicion: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> tuple[Bool[np.ndarray, " n"], tuple[str, ...]]:
    """The flags with at most half of any class among them, its most suspicious, and a warning for each class cut.

    Edge case                                      Result
    at most half of a class flagged                the flags as they were
    a class of one sample, flagged                 spared
    a class flagged whole, all equally suspicious  spared whole
    """
    kept, warnings = flagged.copy(), []
    for one in np.unique(label):
        own = label == one
        most = whole(MOST, int(own.sum()))
        count = int(flagged[own].sum())
        if count > most:
            kept[own] = flagged[own] & most_suspicious(np.where(flagged[own], suspicion[own], -np.inf), most)
            warnings.append(
                f"{count} of the {int(own.sum())} samples of class {one} looked like poisons; a defence that flags "
                f"most of a class has found the class: the {int(kept[own].sum())} most suspicious are flagged"
            )
    return kept, tuple(warnings)


def above_base(
    suspicion: Float[np.ndarray, " n"], base: Float[np.ndarray, " m"], false_alarms: float
) -> tuple[Bool[np.ndarray, " n"], tuple[str, ...]]:
    """Who is more suspicious than the base set allows: (1 + base samples at least as suspicious) / (m + 1) is small.

    That is a conformal p-value. A sample exchangeable with the base set is flagged with odds of at most
    `false_alarms`, whatever the distribution. Training samples are not quite: the reference model was fitted to them
    and not to the base set. Where fitted samples look more ordinary (a loss), fewer of them are flagged than promised,
    where they look less so (the sureness of strip), more.

    Edge case                        Result
    1 / (m + 1) > false_alarms       nobody, and a warning: so small a base set can find nothing
    as suspicious as a base sample   that base sample counts against the flag
    false_alarms = 1                 everyone

    References: Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World"; Bates et al. 2023, "Testing
    for Outliers with Conformal p-values".
    """
    m = len(base)
    if false_alarms * (m + 1) * (1 + 1e-9) < 1:
        least = (
            "no base set is enough" if not false_alarms else f"at least {int(np.ceil(1 / false_alarms)) - 1}"
        )
        return np.zeros(len(suspicion), bool), (
            f"{m} base samples cannot tell of false alarms of {false_alarms:g} ({least}); raise data.base or "
            "false_alarms",
        )
    at_least = m - np.searchsorted(np.sort(base), suspicion, side="left")
    return 1 + at_least <= false_alarms * (m + 1) * (1 + 1e-9), ()


def base_warnings(evidence: Evidence, *, groups: bool = False) -> tuple[str, ...]:
    """What the base set lacks: classes of the data, or with `groups` groups of the attributes that it has."""
    label, attribute = evidence.base.label, evidence.base.attribute
    lacking = [one for one in np.unique(evidence.label) if one not in label]
    found = [
        f"the base set has no sample of class {one}; that class is judged without one" for one in lacking
    ]
    if groups:
        found += [
            f"the base set has no sample of class {y} with attribute {a}: such samples will look like poisons"
            for y in np.unique(label)
            for a in np.unique(attribute)
            if not np.any((label == y) & (attribute == a))
        ]
    return tuple(found)


def check_finite(name: str, *arrays: Num[np.ndarray, "..."]) -> None:
    """Raise UserError if a score is not finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(
            f"{name}: the reference model's scores of some samples are not finite; lower identify.learning_rate"
        )


def found(
    evidence: Evidence,
    flagged: Bool[np.ndarray, " n"],
    suspicion: Float[np.ndarray, " n"],
    *,
    arrays: dict[str, np.ndarray] | None = None,
    figures: dict[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
) -> Found:
    """What a defence found, with at most half of each class flagged, and the common warnings.

    Edge case                        Result
    nothing flagged                  a warning: training goes on as if undefended
    at least 40% of all flagged      a warning
    a class without samples          a warning naming it
    more than half of a class        see `capped`
    """
    flagged, cut = capped(flagged, suspicion, evidence.label)
    said = [*warnings, *cut]
    if empty := sorted(set(range(evidence.n_classes)) - set(evidence.label.tolist())):
        said.append(f"class {empty[0]} has no training samples: nothing is looked for there")
    if not flagged.any():
        said.append("nothing is flagged: what follows is as without this defence")
    elif flagged.mean() >= NEARLY_EVERYTHING:
        said.append(
            f"{int(flagged.sum())} of {len(flagged)} samples are flagged: too many for a search for a few poisons"
        )
    kept = {"flagged": flagged, "suspicion": suspicion.astype(np.float64), **(arrays or {})}
    return Found(kept, figures or {}, tuple(said))


def eliminate(config: Config, case: Case) -> Treatment:
    """Training without the flagged samples: weight 0 for them, 1 for the rest."""
    return Treatment(selectors.fixed(np.where(case.found["flagged"], 0.0, 1.0)))
