"""The paper's figures as pure functions of host arrays. Every one is a fraction in 0..1, NaN if undefined."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int


def accuracy(correct: Bool[np.ndarray, " n"]) -> float:
    """Share of correct samples (ACC); NaN for no samples."""
    return float(np.mean(correct)) if correct.size else float("nan")


def group_accuracy(
    correct: Bool[np.ndarray, " n"], groups: Int[np.ndarray, " n"], n_groups: int
) -> Float[np.ndarray, " g"]:
    """Accuracy of each group [g]; NaN for a group without samples."""
    total = np.bincount(groups, minlength=n_groups).astype(float)
    hits = np.bincount(groups, weights=correct.astype(float), minlength=n_groups)
    return np.divide(hits, total, out=np.full(n_groups, np.nan), where=total > 0)


def worst_group(group_acc: Float[np.ndarray, " g"]) -> tuple[float, int]:
    """Worst-group accuracy (WGA) and its group; empty groups are passed over, ties go to the lower id.

    Raises ValueError if every group is empty.
    """
    if np.all(np.isnan(group_acc)):
        raise ValueError("worst_group: every group is empty")
    worst = int(np.nanargmin(group_acc))
    return float(group_acc[worst]), worst


def adjusted_accuracy(group_acc: Float[np.ndarray, " g"], train_counts: Int[np.ndarray, " g"]) -> float:
    """Group accuracies averaged by the training set's group proportions (Sagawa et al. 2020, Waterbirds).

    Groups without test samples are left out of the average.
    """
    present = ~np.isnan(group_acc)
    return float(np.average(group_acc[present], weights=train_counts[present]))


def class_accuracy(
    correct: Bool[np.ndarray, " n"], true_label: Int[np.ndarray, " n"], n_classes: int
) -> Float[np.ndarray, " k"]:
    """Accuracy on each class [k] (its recall); NaN for a class without samples."""
    return group_accuracy(correct, true_label, n_classes)


def by_class(logits: Float[np.ndarray, "n k"], true_label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """What SubpopBench reports besides group accuracy; classes without samples are left out.

    Name               Figure
    acc_worst_class    least accuracy on a class
    acc_balanced       mean over the classes of the accuracy on each
    f1_worst           least F1 of a class against the others
    ece                expected calibration error (`calibration_error`)

    References: Yang et al. 2023, "Change is Hard: A Closer Look at Subpopulation Shift".
    """
    predicted = np.argmax(logits, axis=-1)
    n_classes = logits.shape[-1]
    own = class_accuracy(predicted == true_label, true_label, n_classes)
    present = np.flatnonzero(~np.isnan(own))
    f1 = []
    for k in present:
        hits = np.sum((predicted == k) & (true_label == k))
        f1.append(2 * hits / (np.sum(predicted == k) + np.sum(true_label == k)))
    if not len(present):
        return dict.fromkeys(("acc_worst_class", "acc_balanced", "f1_worst", "ece"), float("nan"))
    return {
        "acc_worst_class": float(own[present].min()),
        "acc_balanced": float(own[present].mean()),
        "f1_worst": float(min(f1)),
        "ece": calibration_error(logits, true_label),
    }


def calibration_error(
    logits: Float[np.ndarray, "n k"], true_label: Int[np.ndarray, " n"], bins: int = 10
) -> float:
    """ECE: |accuracy - confidence| of the predictions, the mean over bins of confidence, weighted by their sizes.

    Confidence is the probability of the predicted class; `bins` of equal width over 0..1, each closed above. NaN for no
    samples.

    References: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3. (SubpopBench's is of the
    probability of class 1 where there are two.)
    """
    if not len(logits):
        return float("nan")
    shifted = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    confidence = shifted.max(axis=-1) / shifted.sum(axis=-1)
    correct = np.argmax(logits, axis=-1) == true_label
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(which, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(logits))


def attack_success_rate(
    predicted: Int[np.ndarray, " n"], true_label: Int[np.ndarray, " n"], target: int
) -> float:
    """ASR: share of the samples whose true label is not the target that are predicted as the target."""
    return accuracy(predicted[true_label != target] == target)


def share_within(flags: Bool[np.ndarray, " n"], members: Bool[np.ndarray, " n"]) -> float:
    """|flags & members| / |members|: IDNF where flags are *identified*, ELMF where they are *eliminated*."""
    return accuracy(flags[members])


def shares_within(
    flags: Bool[np.ndarray, " n"], sets: Mapping[str, Bool[np.ndarray, " n"]]
) -> dict[str, float | None]:
    """`share_within` of every set by name; None for a set without members."""
    shares = {name: share_within(flags, members) for name, members in sets.items()}
    return {name: None if math.isnan(share) else share for name, share in shares.items()}


def above_class(weights: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Samples drawn above the mean of their given class: identified beyond belonging to a rare class."""
    total = np.bincount(label, weights=weights)
    mean = total / np.maximum(np.bincount(label), 1)
    return weights > mean[label] * (1 + 1e-9)


def means_within(
    values: Float[np.ndarray, " n"], sets: Mapping[str, Bool[np.ndarray, " n"]]
) -> dict[str, float | None]:
    """Mean of a figure over every set by name; None for a set without members."""
    return {name: float(values[members].mean()) if members.any() else None for name, members in sets.items()}
