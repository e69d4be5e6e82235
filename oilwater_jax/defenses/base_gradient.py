"""Base gradient: eliminate samples whose gradient direction differs from those of similar base samples.

The gradient is that of the loss in the last layer's weights: (softmax - onehot) x features, in closed form. Compared
are directions, not lengths, to the mean gradient of the base samples of a class, or of a class's groups.
Ours, to measure the size and composition of a base set that a defence needs to separate poisons from minorities.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found, Scores


class Gradients(NamedTuple):
    """Gradients in the last layer's weights as factors: sample i's is the outer product of the rows i."""

    error: Float[np.ndarray, "n k"]
    features: Float[np.ndarray, "n d"]


def gradients(scores: Scores, label: Int[np.ndarray, " n"]) -> Gradients:
    """From logits and features, scaled to length 1 each; a vanishing factor stays 0.

    softmax - onehot in the label's entry is minus the sum of the others, which keeps what 1 - p would lose.
    """
    logits = scores["logits"].astype(np.float64)
    row = np.arange(len(label))
    error = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = error / error.sum(axis=1, keepdims=True)
    error[row, label] = 0.0
    error[row, label] = -error.sum(axis=1)
    return Gradients(_unit(error), _unit(scores["features"].astype(np.float64)))


def cosines(
    own: Gradients, to: Gradients, without: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " n"]:
    """Cosine of each gradient and the mean of the directions `to`; with `without`, own i is to i and left out of it.

    Edge case                                Result
    a gradient that vanishes                 1: it moves nothing, so it is not unlike anything
    the mean vanishes (nothing left of it)   0
    """
    mean = to.error.T @ to.features  # [k, d]; its length does not matter
    inner = np.einsum("nk,kd,nd->n", own.error, mean, own.features)
    total = np.full(len(inner), np.sum(np.square(mean)))
    size = np.square(own.error).sum(axis=1) * np.square(own.features).sum(axis=1)  # 1, or 0 where it vanishes
    if without is not None:
        total = total - 2 * inner + size
        inner = inner - size
    whole = max(float(np.sum(np.square(mean))), 1e-300)
    alike = np.where(total > 1e-12 * whole, inner / np.sqrt(np.maximum(total, 1e-300)), 0.0)
    return np.where(size > 0, alike, 1.0)


def unlike(
    own: Gradients,
    label: Int[np.ndarray, " n"],
    base: Gradients,
    kind: Int[np.ndarray, " m"],
    of_class: dict[int, list[int]],
    *,
    itself: bool = False,
) -> Float[np.ndarray, " n"]:
    """1 - the best cosine to a kind of base samples of the own class (0 .. 2); 0 for a class without any.

    `kind` is each base sample's class or group, `of_class` the kinds of every class. With `itself`, own are the base.
    """
    found = np.zeros(len(label))
    for one, kinds in of_class.items():
        at = np.flatnonzero(label == one)
        if not len(at):
            continue
        best = np.full(len(at), -1.0)
        for each in kinds:
            members = kind == each
            to = Gradients(base.error[members], base.features[members])
            mine = Gradients(own.error[at], own.features[at])
            alike = cosines(mine, to)
            if itself:
                alike = np.where(members[at], cosines(mine, to, np.ones(len(at))), alike)
            best = np.maximum(best, alike)
        found[at] = 1.0 - best
    return found


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: more unlike the base set's gradients than a base sample is unlike the others', but for `false_alarms`.

    Edge case                                    Result
    by = "group"                                 the most alike of the groups of its class that the base set has
    a class that the base set lacks              its samples are never flagged, and a warning
    a base set too small for `false_alarms`      nobody flagged, and a warning
    the base set lacks a group                   a warning: that group will look like poison
    scores that are not finite                   UserError
    """
    b, label, base = config.base_gradient, evidence.label, evidence.base
    looked = (*evidence.scores.values(), *evidence.base_scores.values())
    flagging.check_finite("base_gradient", *looked)
    classes = base.label.astype(np.int64)
    span = int(base.attribute.max(initial=0)) + 1
    kind = classes * span + base.attribute if b.by == "group" else classes * span
    of_class = {int(one): sorted(set(kind[classes == one].tolist())) for one in np.unique(classes)}
    trusted = gradients(evidence.base_scores, base.label)
    suspicion = unlike(gradients(evidence.scores, label), label, trusted, kind, of_class)
    null = unlike(trusted, base.label, trusted, kind, of_class, itself=True)
    flagged, few = flagging.above_base(suspicion, null, b.false_alarms)
    lacks = flagging.base_warnings(evidence, groups=True)
    return flagging.found(evidence, flagged, suspicion, warnings=lacks + few)


def _unit(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    largest = np.abs(rows).max(axis=1, keepdims=True)  # first: squares of small numbers would vanish
    rows = rows / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


METHOD = Method(
    name="base_gradient",
    label="Base gradient",
    help="eliminate samples whose gradients differ from those of base samples of their class",
    aim="eliminate",
    base=True,
    fields={
        "by": Field(
            "class",
            "compare with the mean gradient of base samples of the class, or of each group",
            choices=("class", "group"),
        ),
        "false_alarms": flagging.false_alarms_field(),
    },
    dials={"false_alarms": (0.02, 0.1, 0.3)},
    scores=("logits", "features"),
    find=find,
    treat=flagging.eliminate,
)
