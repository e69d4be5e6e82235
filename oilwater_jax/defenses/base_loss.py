"""Base loss: eliminate samples with a higher loss than base samples under a model fitted on the base set.

The model is a logistic regression on the reference model's features: the last layer, fitted anew on trusted samples.
Ours, to measure the size and composition of a base set that a defence needs to separate poisons from minorities.
"""

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found

FOLDS = 5
LEAST = 1e-12  # probability of a label that a fold's model has never seen


def losses(
    points: Float[np.ndarray, "m d"],
    label: Int[np.ndarray, " m"],
    others: Float[np.ndarray, "n d"],
    given: Int[np.ndarray, " n"],
    strength: float,
) -> Float[np.ndarray, " n"]:
    """Cross-entropy, in nats, of the given labels of `others` under a logistic regression fitted on the points.

    The points' coordinates are scaled to variance 1. Edge case: a label that none of the points has costs -log 1e-12.
    """
    from sklearn.linear_model import LogisticRegression

    centre, spread = points.mean(axis=0, keepdims=True), points.std(axis=0, keepdims=True)
    spread = np.where(spread > 1e-12, spread, 1.0)
    classes = np.unique(label)
    p = np.full((len(others), int(max(classes.max(), given.max(initial=0))) + 1), LEAST)
    if len(classes) == 1:
        p[:, classes[0]] = 1.0
    else:
        model = LogisticRegression(C=strength, max_iter=1000).fit((points - centre) / spread, label)
        p[:, classes] = np.maximum(model.predict_proba((others - centre) / spread), LEAST)
    return -np.log(p[np.arange(len(given)), given])


def held_out(
    points: Float[np.ndarray, "m d"], label: Int[np.ndarray, " m"], strength: float
) -> Float[np.ndarray, " m"]:
    """Each base sample's loss under a model fitted on the other folds; each fold has its part of every class."""
    rank = np.zeros(len(label), int)
    for one in np.unique(label):
        rank[label == one] = np.arange((label == one).sum())
    fold, found = rank % FOLDS, np.zeros(len(label))
    for one in range(FOLDS):
        out = fold == one
        if out.any() and not out.all():
            found[out] = losses(points[~out], label[~out], points[out], label[out], strength)
        elif out.all():
            found[out] = -np.log(LEAST)
    return found


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: a loss that the base set, held out by folds, exceeds no more than `false_alarms` of the time.

    Edge case                                    Result
    a base set of one class                      nobody flagged, and a warning
    a class that the base set lacks              its samples are never flagged, and a warning
    a base set too small for `false_alarms`      nobody flagged, and a warning
    the base set lacks a group                   a warning: that group will look like poison
    features that are not finite                 UserError
    """
    b, label = config.base_loss, evidence.label
    points, base = (one["features"].astype(np.float64) for one in (evidence.scores, evidence.base_scores))
    flagging.check_finite("base_loss", points, base)
    lacks = flagging.base_warnings(evidence, groups=True)
    own = evidence.base.label
    if len(np.unique(own)) < 2:
        one = ("the base set is of one class, and no model can be fitted on it",)
        return flagging.found(
            evidence, np.zeros(len(label), bool), np.zeros(len(label)), warnings=lacks + one
        )
    suspicion = losses(base, own, points, label, b.strength)
    suspicion[~np.isin(label, own)] = 0.0
    flagged, few = flagging.above_base(suspicion, held_out(base, own, b.strength), b.false_alarms)
    return flagging.found(evidence, flagged, suspicion, warnings=lacks + few)


METHOD = Method(
    name="base_loss",
    label="Base loss",
    help="eliminate samples with high loss under a model fitted on the base set",
    aim="eliminate",
    base=True,
    fields={
        "false_alarms": flagging.false_alarms_field(),
        "strength": Field(1.0, "inverse L2 penalty of the logistic regression", high=1e6, above=0),
    },
    dials={"false_alarms": (0.02, 0.1, 0.3)},
    scores=("features",),
    find=find,
    treat=flagging.eliminate,
)
