"""EPIc: eliminate, during training, the samples with isolated gradients.

Stage: a selector between epochs; `keep` is one round, `epic` the rounds of a training.

References: Yang et al. 2022, "Not All Poisons are Created Equal: Robust Training against Data Poisoning".
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from oilwater_jax.defenses.facility_location import select
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.selectors import rounds
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Examples, Scores, Selector, Treatment

SCORE = "last_layer_gradient"
# What is compared: the score that holds it, by the name that a config has for it.
GRADIENTS = {
    "last_layer": SCORE,
    "weights": "last_layer_weight_gradient",
    "all": "projected_gradient",
}
# Similarities above 1 - 2^-24 are 1 in float32, which gradients come in: below that distance there is no telling.
SAME = 2.0**-24
ZERO_SUM = 1e-4  # rows of softmax - onehot sum to 0 up to the rounding of float32


class EpicState(NamedTuple):
    """Who is still in the training set, and the labels that the rounds go by class of."""

    kept: Bool[np.ndarray, " n"]
    label: Int32[np.ndarray, " n"]


class Clustered(NamedTuple):
    """A class that a round cuts into clusters: its samples' rows, and the size of each one's cluster."""

    label: int
    rows: Int[np.ndarray, " m"]
    sizes: Int[np.ndarray, " m"]


def keep(
    gradients: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    *,
    ratio: float,
    cluster_thresh: int = 1,
) -> Bool[np.ndarray, " n"]:
    """Which samples one round of EPIc keeps: those in clusters of more than `cluster_thresh` samples.

    Class by class, facility location under exp(-||g_i - g_j|| / c) picks `budgets` medoids and every sample joins
    its most similar one. Gradients are meant to be softmax - onehot, but may be any c numbers per sample; ties are
    broken as in `facility_location.select`.

    Edge case                              Result
    class of one sample                    kept
    a class's budget is 0 (small ratio)    the class is kept whole
    budget would be all n_c of a class     n_c - 1
    all gradients of a class equal         the class is kept whole (one cluster)
    class fully learned (all within c/2^24 of one another, what float32 similarities can tell)
                                           the class is kept whole
    cluster_thresh = 0                     everything kept
    cluster_thresh huge                    UserError naming the class that would be emptied
    a gradient that is not finite          UserError naming the first such sample's row
    ratio not in [0, 1], cluster_thresh < 0, no samples   ValueError naming the value
    """
    _check(ratio, cluster_thresh)
    kept = np.ones(len(gradients), bool)
    if cluster_thresh == 0:
        _check_finite(gradients)
        return kept
    for cut in clusters(gradients, labels, ratio):
        kept[cut.rows] = cut.sizes > cluster_thresh
        if not kept[cut.rows].any():
            raise UserError(
                f"EPIc: class {cut.label} would lose all its {len(cut.rows)} samples: cluster_thresh is "
                f"{cluster_thresh} and its largest cluster has {cut.sizes.max()}; lower cluster_thresh or ratio"
            )
    return kept


def clusters(
    gradients: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"], ratio: float
) -> Iterator[Clustered]:
    """Every class that a round cuts into clusters; one that it keeps whole is passed over (see `keep`).

    Raises what `keep` raises for its arguments.
    """
    _check(ratio, 0)
    _check_finite(gradients)
    c = gradients.shape[1]
    exact = zero_sum(gradients, labels)
    for label, k in budgets(labels, ratio).items():
        rows = np.flatnonzero(labels == label)
        own = exact[rows]
        # The diagonal of the box around them is no less than any distance.
        if k == 0 or np.linalg.norm(np.ptp(own, axis=0)) <= SAME * c:
            continue
        assignment = select(own, k, scale=float(c)).assignment
        yield Clustered(label, rows, np.bincount(assignment, minlength=k)[assignment])


def cluster_sizes(
    gradients: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"], ratio: float
) -> Int[np.ndarray, " n"]:
    """How many samples the cluster of each has in a round of EPIc; in a class that is kept whole, the class's size.

    Raises what `keep` raises for its arguments.
    """
    _, at, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sizes = counts[at]
    for cut in clusters(gradients, labels, ratio):
        sizes[cut.rows] = cut.sizes
    return sizes


def budgets(labels: Int[np.ndarray, " n"], ratio: float) -> dict[int, int]:
    """How many medoids each class gets: its share of int(ratio n), rounded up, at most its size less 1.

    Rounding up hands out too many; the excess is taken off one class each, first where rounding up added most,
    of equals from the lowest label. Raises ValueError for no samples or a ratio outside [0, 1].
    """
    _check(ratio, 0)
    n = len(labels)
    if n == 0:
        raise ValueError("EPIc: no samples")
    total = int(ratio * n)
    classes, counts = np.unique(labels, return_counts=True)
    shares = [-(-int(count) * total // n) for count in counts]
    # In whole numbers, n times what rounding added: floats would make equals unequal.
    added = [share * n - int(count) * total for share, count in zip(shares, counts, strict=True)]
    for at in sorted(range(len(classes)), key=lambda at: -added[at])[: sum(shares) - total]:
        shares[at] -= 1
    return {
        int(label): min(share, int(count) - 1)
        for label, share, count in zip(classes, shares, counts, strict=True)
    }


def zero_sum(gradients: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n c"]:
    """Gradients of the form softmax - onehot with the label's entry recovered from the others, in float64.

    softmax - 1 in float32 has lost all below 6e-8, which is most of what tells well-learned samples apart; the
    other entries have kept it, and rows sum to 0. For two classes this puts the points on a line exactly.
    Gradients of another form (by their signs and sums) are returned as they are.
    """
    exact = gradients.astype(np.float64)
    n, c = exact.shape
    if c < 2 or labels.min() < 0 or labels.max() >= c:
        return exact
    row = np.arange(n)
    label_entry = exact[row, labels]
    others = exact.copy()
    others[row, labels] = 0.0
    total = others.sum(axis=1)
    if others.min() < 0 or label_entry.max() > 0 or np.abs(total + label_entry).max() > ZERO_SUM:
        return exact
    others[row, labels] = -total
    return others


def epic(
    *,
    ratio: float,
    subset_freq: int,
    drop_after: int,
    stop_after: int,
    cluster_thresh: int = 1,
    counted_from: int = 1,
    score: str = SCORE,
) -> Selector:
    """EPIc as a selector: weight 0 for what a round has dropped, for good; 1 for the rest.

    A round takes place at the start of epoch e iff e % subset_freq == 0 and drop_after <= e < stop_after, where the
    first epoch is `counted_from`: 1, or 0 as in the reference code, whose round at e comes after e trained epochs. It
    looks at all samples, also those dropped before, and kept sets intersect: the kept set only shrinks. `stop_after` is
    the paper's dial: the later, the more is eliminated. `score` names the per-sample gradients that are compared.

    Edge case                             Result
    no epoch has a round                  weights all 1 (plain training)
    a round would empty a class           UserError naming the epoch and the class
    a round without its score             ValueError naming the score
    subset_freq < 1, a bad ratio or cluster_thresh   ValueError naming the value
    """
    _check(ratio, cluster_thresh)
    if subset_freq < 1:
        raise ValueError(f"epic: subset_freq must be at least 1, not {subset_freq}")

    def init(examples: Examples) -> EpicState:
        return EpicState(np.ones(len(examples), bool), np.array(examples.label))

    def due(epoch: int) -> tuple[str, ...]:
        number = epoch - 1 + counted_from
        return (score,) if number % subset_freq == 0 and drop_after <= number < stop_after else ()

    def update(
        state: EpicState, epoch: int, scores: Scores | None
    ) -> tuple[EpicState, Float[np.ndarray, " n"]]:
        kept = state.kept
        if due(epoch):
            if scores is None or score not in scores:
                raise ValueError(f"epic: epoch {epoch} needs the score {score}")
            kept = kept & keep(scores[score], state.label, ratio=ratio, cluster_thresh=cluster_thresh)
            emptied = np.setdiff1d(state.label, state.label[kept])
            if len(emptied):
                raise UserError(
                    f"EPIc: nothing of class {emptied[0]} is left after the round of epoch {epoch}; "
                    "lower ratio or stop_after"
                )
        return EpicState(kept, state.label), kept.astype(np.float64)

    return Selector(init, due, update)


def _check(ratio: float, cluster_thresh: int) -> None:
    if not 0 <= ratio <= 1:
        raise ValueError(f"EPIc: ratio must be between 0 and 1, not {ratio}")
    if cluster_thresh < 0:
        raise ValueError(f"EPIc: cluster_thresh must be at least 0, not {cluster_thresh}")


def _check_finite(gradients: Float[np.ndarray, "n c"]) -> None:
    finite = np.isfinite(gradients).all(axis=1)
    if not finite.all():
        raise UserError(
            f"EPIc: the gradient of sample {int(np.argmin(finite))} is not finite; lower the learning rate"
        )


def of_config(config: Config) -> Selector:
    """EPIc with a config's settings."""
    settings = {name: value for name, value in config.epic.items() if name != "gradients"}
    return epic(**settings, score=GRADIENTS[config.epic.gradients])


def treat(config: Config, case: Case) -> Treatment:
    """EPIc's rounds during the training."""
    return Treatment(of_config(config))


METHOD = Method(
    name="epic",
    label="EPIc",
    help="eliminate, during training, samples with isolated gradients",
    aim="eliminate",
    fields={
        "ratio": Field(0.1, "number of medoids per round / training samples", 0, 1),
        "subset_freq": Field(1, "epochs between rounds; rounds are at multiples of this", 1, 100_000),
        "drop_after": Field(
            2, "first epoch that may start with a round (1: before any training)", 1, 100_000
        ),
        "stop_after": Field(
            6,
            "no rounds from this epoch on (varied in the paper); a later epoch eliminates more samples",
            0,
            100_000,
        ),
        "cluster_thresh": Field(1, "eliminate samples in clusters of at most this size", 0, 100_000),
        "gradients": Field(
            "last_layer",
            "gradients to compare: with respect to the logits (the last layer's bias), the last layer's weights (the "
            "reference code, except against backdoors), or all parameters (projected)",
            choices=tuple(GRADIENTS),
        ),
        "counted_from": Field(
            1, "number of the first epoch; 0 as in the reference code, whose rounds come an epoch later", 0, 1
        ),
    },
    dials={"ratio": (0.1, 0.3), "stop_after": (3, 5, 9)},
    smoke={
        "drop_after": 2,
        "subset_freq": 1,
    },  # a round at the second of two epochs, unless the dial allows none
    treat=treat,
    in_rounds=lambda config: (GRADIENTS[config.epic.gradients],),
    rounds=lambda config, epochs: len(rounds(of_config(config), epochs)),
)
