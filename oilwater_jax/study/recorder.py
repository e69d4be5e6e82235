"""A selector that changes nothing and records every sample's scores, epoch by epoch.

Stage: between the epochs of the identification model's training. What it has written down is its state, which
training's checkpoints carry, so a study that is cut off goes on as any training does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from oilwater_jax.defenses.epic import cluster_sizes, zero_sum
from oilwater_jax.per_sample import LastLayer
from oilwater_jax.reporting.study import SCORES
from oilwater_jax.types import Examples, Scores, Selector, State

EVERY = ("loss", "correct")  # after every epoch
# Gradients in all parameters, projected: a map of gradient space is made of them.
SPACE = "projected_gradient"
AT = (*EVERY, "margin", "last_layer_gradient", "features", "gradient_norm", SPACE)  # after the chosen epochs
Record = dict[str, Any]


def recorder(
    epochs: Sequence[int], *, k: int, ratio: float, score: str, more: Sequence[str] = ()
) -> Selector:
    """Everyone once per epoch; its state is the record of a training of epochs[-1] epochs.

    The state after `update(..., e + 1, ...)`, which is before epoch e + 1 begins, knows what the model is after
    epoch e; the last `update`, with epochs[-1] + 1, is the caller's, after the training. `loss` [e n] and `correct`
    [e n] have a row for every epoch, each of `scores` [t n] and `plane` [t n 2] (the two principal components of the
    projected gradients) one for each of the t `epochs`.

    Samples are compared with their class: `ratio` is EPIc's, `k` the neighbour whose distance is taken, and `score`
    names the gradients that both look at. `more` names further per-sample scores, single numbers each.

    Score                Of sample i after epoch e
    loss, margin         per_sample.loss, per_sample.margin
    last_layer_norm      norm of the gradient in the last layer's weights and bias
    gradient_norm        norm of the gradient in all parameters
    cluster_size         samples in its cluster in a round of EPIc
    neighbour_distance   see `neighbour_distances`
    first_learned        first epoch after which it is classified as labelled; e + 1 if none yet
    forgetting_count     epochs after which it no longer is, though it was after the epoch before
    loss_variance        variance of its losses after the epochs 1 .. e (0 for e = 1)
    class_cosine         see `class_cosines`

    References: Toneva et al. 2019, "An Empirical Study of Example Forgetting" (who count a sample never learned as
    forgotten infinitely often; here it is 0 times); Yang et al. 2022 (EPIc).
    """
    rows = {epoch: row for row, epoch in enumerate(epochs)}

    def init(examples: Examples) -> Record:
        t, n = len(epochs), len(examples)
        return {
            "label": np.array(examples.label),
            "loss": np.zeros((epochs[-1], n), np.float32),
            "correct": np.zeros((epochs[-1], n), bool),
            "scores": {name: np.zeros((t, n), np.float32) for name in (*SCORES, *more)},
            "plane": np.zeros((t, n, 2), np.float32),
        }

    def due(epoch: int) -> tuple[str, ...]:
        after = epoch - 1
        if not 1 <= after <= epochs[-1]:
            return ()
        return tuple(dict.fromkeys((*AT, score, *more))) if after in rows else EVERY

    def update(state: State, epoch: int, scores: Scores | None) -> tuple[State, Float[np.ndarray, " n"]]:
        weights = np.ones(len(state["label"]))
        if not due(epoch):
            return state, weights
        if scores is None:
            raise ValueError(f"recorder: epoch {epoch} needs the scores {', '.join(due(epoch))}")
        after = epoch - 1
        new = {name: state[name].copy() for name in ("loss", "correct", "plane")}
        new["loss"][after - 1], new["correct"][after - 1] = scores["loss"], scores["correct"]
        found = {name: array.copy() for name, array in state["scores"].items()}
        if after in rows:
            past = new["loss"][:after], new["correct"][:after]
            taken = take_scores(scores, state["label"], *past, k=k, ratio=ratio, gradients=scores[score])
            taken |= {name: scores[name] for name in more}
            for name, values in taken.items():
                found[name][rows[after]] = values
            new["plane"][rows[after]] = plane(scores[SPACE])
        return {"label": state["label"], "scores": found, **new}, weights

    return Selector(init, due, update)


def take_scores(
    scores: Scores,
    label: Int[np.ndarray, " n"],
    loss: Float[np.ndarray, "e n"],
    correct: Bool[np.ndarray, "e n"],
    *,
    k: int,
    ratio: float,
    gradients: Float[np.ndarray, "n p"],
) -> dict[str, np.ndarray]:
    """All of SCORES, each [n], from one pass's `scores` and what was seen after every epoch so far."""
    features = scores["features"].astype(np.float64)
    last = LastLayer(
        zero_sum(scores["last_layer_gradient"], label), np.pad(features, ((0, 0), (0, 1)), constant_values=1)
    )
    return {
        "loss": scores["loss"],
        "margin": scores["margin"],
        "last_layer_norm": last.norms(),
        "gradient_norm": scores["gradient_norm"],
        "cluster_size": cluster_sizes(gradients, label, ratio),
        "neighbour_distance": neighbour_distances(zero_sum(gradients, label), label, k),
        "first_learned": first_learned(correct),
        "forgetting_count": forgetting_count(correct),
        "loss_variance": np.var(loss, axis=0, dtype=np.float64),
        "class_cosine": class_cosines(last, label),
    }


def first_learned(correct: Bool[np.ndarray, "e n"]) -> Int[np.ndarray, " n"]:
    """The first epoch (1 is the first) after which each sample is correct; e + 1 if none of the e is."""
    return np.where(correct.any(axis=0), correct.argmax(axis=0), len(correct)) + 1


def forgetting_count(correct: Bool[np.ndarray, "e n"]) -> Int[np.ndarray, " n"]:
    """How often each sample is correct after one epoch and not after the next."""
    return np.sum(correct[:-1] & ~correct[1:], axis=0)


def _by_class(
    label: Int[np.ndarray, " n"], figure: Callable[[Int[np.ndarray, " m"]], np.ndarray]
) -> Float[np.ndarray, " n"]:
    """A figure of each sample from the rows of its class."""
    values = np.zeros(len(label))
    for one in np.unique(label):
        rows = np.flatnonzero(label == one)
        values[rows] = figure(rows)
    return values


def neighbour_distances(
    points: Float[np.ndarray, "n p"], label: Int[np.ndarray, " n"], k: int
) -> Float[np.ndarray, " n"]:
    """Euclidean distance of each sample to its k-th nearest neighbour among the others of its class.

    Edge case                      Result
    no k others in the class       distance to the farthest of them
    a class of one sample          0 (EPIc keeps it too)
    """

    def distances(rows: Int[np.ndarray, " m"]) -> np.ndarray:
        if len(rows) == 1:
            return np.zeros(1)
        own = NearestNeighbors(n_neighbors=min(k, len(rows) - 1)).fit(points[rows])
        return own.kneighbors()[0][:, -1]

    return _by_class(label, distances)


def class_cosines(gradients: LastLayer, label: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Cosine of each sample's gradient in the last layer's weights and the mean of those of its class.

    0 where either vanishes. The last layer's, because there it is exact and needs no second pass over the data: the
    mean is a product of the factors. (`per_sample.gradient_cosines` has the cosine of gradients in all parameters.)
    """

    def cosines(rows: Int[np.ndarray, " m"]) -> np.ndarray:
        error, features = gradients.error[rows], gradients.features[rows]
        mean = features.T @ error / len(rows)
        inner = np.einsum("nd,dk,nk->n", features, mean, error, optimize=True)
        norms = gradients.norms()[rows] * np.linalg.norm(mean)
        return np.divide(inner, norms, out=np.zeros(len(rows)), where=norms > 0)

    return _by_class(label, cosines)


def plane(points: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n 2"]:
    """The points' coordinates along their two principal components."""
    return PCA(2, svd_solver="full").fit_transform(points.astype(np.float64))
