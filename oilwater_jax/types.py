"""The types that the steps of the pipeline pass to one another.

Stage: before everything; imports nothing of the package but `images`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Key

from oilwater_jax import images
from oilwater_jax.images import Inputs

State = Any  # an explicit pytree; its structure is the owner's business


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """A data set on the host, one row per sample; the order of the rows never changes.

    `image` is what a network sees: uint8 images [n, h, w, c], or rows of a table, float32 [n, d] (`Splits.columns`).
    `label` is what training sees, `true_label` what the sample is; they differ only for poisons.
    `index` is a sample's stable id: its row in the clean split, or, for a poison, its source's row.
    """

    image: Inputs
    label: Int32[np.ndarray, " n"]
    true_label: Int32[np.ndarray, " n"]
    attribute: Int32[np.ndarray, " n"]
    is_poison: Bool[np.ndarray, " n"]
    index: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.image)

    def arrays(self) -> dict[str, Any]:
        """The fields by name (as a stage saves them, those in memory)."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def take(self, rows: Int[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> "Examples":
        """The samples in `rows`, in that order; images on disk stay there."""
        return Examples(**{name: images.pick(array, rows) for name, array in self.arrays().items()})

    def append(self, other: "Examples") -> "Examples":
        """These samples followed by the other ones; images on disk stay there."""
        more = other.arrays()
        return Examples(**{name: images.join(array, more[name]) for name, array in self.arrays().items()})

    def in_memory(self) -> "Examples":
        """These samples with their images read into an array."""
        return dataclasses.replace(self, image=np.asarray(self.image))


def nobody() -> Examples:
    """No samples."""
    none = np.zeros(0, np.int32)
    return Examples(np.zeros((0, 1, 1, 3), np.uint8), none, none, none, none.astype(bool), none)


class Column(NamedTuple):
    """An original column of a table, and its position among a sample's numbers [d].

    A number is one of them, (value - mean) / deviation; a category is `len(categories)` of them, a 1 among zeros (all
    zeros: a value that train does not have). `low` and `high` are the least and the largest number in train.
    """

    name: str
    start: int
    categories: tuple[str, ...] = ()  # of a category, in their order; () for a number
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 0.0

    @property
    def stop(self) -> int:
        """One after its last number."""
        return self.start + max(len(self.categories), 1)


class Splits(NamedTuple):
    """A data set as `data.load` yields it: disjoint splits and what its numbers mean.

    `auxiliary` is what an attacker holds, `base` what a defender is trusted to have (often nothing; `data.load` carves
    both from train): never trained on, never measured on, `base` never poisoned. `columns` says what the numbers of a
    table are; images have none. `remarks` are what a user should know of the data before anything runs. `origins` say,
    by split, from which raw image each sample is made (by `Examples.index`); nothing where no two samples share one.
    """

    train: Examples
    val: Examples
    test: Examples
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    identity: str = (
        ""  # of what it was made from: another where the files' content is another, wherever they lie
    )
    auxiliary: Examples = nobody()
    base: Examples = nobody()
    columns: tuple[Column, ...] = ()
    remarks: tuple[str, ...] = ()
    origins: Mapping[str, Int[np.ndarray, " n"]] = MappingProxyType({})

    @property
    def kind(self) -> str:
        """What an attack, a method or a network must say that it takes: "image" or "table"."""
        return "table" if self.train.image.ndim == 2 else "image"

    @property
    def n_groups(self) -> int:
        """Number of groups: classes x attributes."""
        return len(self.class_names) * len(self.attribute_names)

    def group_name(self, group: int) -> str:
        """`class/attribute` of a group id."""
        label, attribute = divmod(group, len(self.attribute_names))
        return f"{self.class_names[label]}/{self.attribute_names[attribute]}"


Scores = dict[str, np.ndarray]
"""Per-sample figures of one pass over a data set, by name; each array has n rows."""


MODES = ("standard", "ideal", "worst")
"""How a method acts on what it found: on all of it, on the right samples only, on the wrong ones (see `treatments`)."""


class Selector(NamedTuple):
    """Decides between epochs how often each training sample is drawn, as a pair of pure functions.

    A weight is an expected number of draws per epoch: 0 eliminated, 1 as it is, k drawn k times.
    `due(epoch)` names the scores that `update` needs at the start of that epoch (often none).
    `update(state, epoch, scores)` returns the next state and the weights of the epoch.

    No model is reported from before its selector has acted. `first(epochs)` is the earliest epoch, of a training of so
    many, that may be reported; None: that of its last round, which is the last that is `due` or that changes a weight.
    A selector that decides again in every epoch says here from which epoch on.
    """

    init: Callable[[Examples], State]
    due: Callable[[int], tuple[str, ...]]
    update: Callable[[State, int, Scores | None], tuple[State, Float[np.ndarray, " n"]]]
    first: Callable[[int], int] | None = None


class Rows(NamedTuple):
    """The rows of a batch as an objective sees them; where `mask` is False they are padding and must not count.

    `group` is whatever small whole number the method gave each sample (`Treatment.group`): its group, its cluster, a
    flag. `label` is the one given, `sample` the sample's row in the training set.
    """

    label: Int[Array, " b"]
    group: Int[Array, " b"]
    sample: Int[Array, " b"]
    mask: Bool[Array, " b"]


Update = Callable[[State, Float[Array, "k b"], Rows], tuple[Float[Array, ""], State]]


class Mixed(NamedTuple):
    """A batch whose images are mixtures: row i's loss is ratio x that of its label + (1 - ratio) x that of `second`."""

    image: Float[Array, "b ..."]
    second: Int[Array, " b"]
    ratio: Float[Array, ""]


# (the objective's state, key, prepared images, rows) -> the mixed batch.
Mix = Callable[[State, Key[Array, ""], Float[Array, "b ..."], Rows], Mixed]


class Objective(NamedTuple):
    """Turns one batch's losses into the scalar that is differentiated, as a pair of pure functions.

    `update(state, losses [k, b], rows)` returns the loss and the next state. The losses are those of `networks` = k
    networks, trained side by side on the same batches from their own random weights; the first is the one that is
    validated, scored and reported. `mix` mixes a batch's images and labels before the networks see it.
    """

    init: Callable[[], State]
    update: Update
    networks: int = 1
    mix: Mix | None = None


class Attacked(NamedTuple):
    """What an attack does to a training set of n samples.

    `rows[i]` is where poison i goes: below n it replaces that sample; n, n + 1, ... are appended. Covers (changed
    samples with their true label) are among `poisons` with `is_poison` False: all figures count them as clean.
    `evidence` holds, by name, what the attack's goal must remember (e.g. the targets).
    """

    poisons: Examples
    rows: Int[np.ndarray, " m"]
    evidence: dict[str, np.ndarray]

    def applied(self, train: Examples) -> Examples:
        """The poisoned training set; images on disk stay there."""
        n, inside = len(train), self.rows < len(train)
        order = np.arange(n)
        order[self.rows[inside]] = n + np.flatnonzero(inside)
        order = np.concatenate([order, n + np.flatnonzero(~inside)])
        return train.append(self.poisons).take(order)


class Goal(NamedTuple):
    """How an attack's success is measured on a split: inputs, and a pure function from their logits to figures.

    `measure(logits, clean)` also gets the logits of the model trained on clean data for an attack that `needs_clean`,
    else None. `counted` are the split's samples that the accuracies are taken on (not an attack's targets). Where
    success is a share of few independent targets, `trials` is how many: its interval is that of a count.
    """

    image: Inputs
    measure: Callable[[Float[np.ndarray, "m k"], Float[np.ndarray, "m k"] | None], dict[str, float]]
    counted: Bool[np.ndarray, " n"]
    trials: int = 0


class Evidence(NamedTuple):
    """What a method may use: a reference model's scores, by the names of its `scores`, and labels as given.

    Who is a poison and what the true groups are it may not. `base` are the samples that a defender is trusted to have
    (none, unless data.base says so), with their true labels and attributes. `early_scores` are those of a second
    reference model on the training samples, for a method that has one (`Method.early`).
    """

    seed: int
    label: Int[np.ndarray, " n"]
    scores: Scores
    val_label: Int[np.ndarray, " m"]
    val_scores: Scores
    base: Examples
    base_scores: Scores
    kernel: Float[np.ndarray, "d k"]  # the last layer's weights
    image: Inputs  # of the training samples
    score: Callable[
        [Inputs, tuple[str, ...]], Scores
    ]  # the reference model on other inputs: scores without labels
    n_classes: int
    early_scores: Scores | None = None


class Found(NamedTuple):
    """What a method found: named arrays, `flagged` [n] among them, figures (JSON), and what the user should know.

    `warnings` say where the method could not do its work (e.g. nothing flagged); they are kept with the figures.
    """

    arrays: dict[str, np.ndarray]
    figures: dict[str, Any]
    warnings: tuple[str, ...] = ()


class Case(NamedTuple):
    """What a method treats: the training set, what it found there, in which mode, for how many epochs.

    `found["flagged"]` is as the mode has it (`treatments.chosen`). Only an oracle may look at true groups and poisons.
    """

    train: Examples
    found: dict[str, np.ndarray]
    mode: str
    epochs: int
    seed: int
    val: Examples
    base: Examples
    n_classes: int
    n_attributes: int


class Recipe(NamedTuple):
    """The optimisation settings of one training; numbers, so that changing them compiles nothing.

    `pull` times the squared distance of what is trained from where it starts is added to the loss. The rest is in
    `training.recipes`: the optimiser, the learning rate's schedule over the epochs, `clip` (the largest global norm of
    a gradient; 0: any), batches per update, and how images are varied (`crop`: the smallest share of an image).
    """

    learning_rate: float
    weight_decay: float
    epochs: int
    pull: float = 0.0
    optimiser: str = "sgd"
    schedule: str = "constant"
    warmup: int = 0
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    clip: float = 0.0
    accumulate: int = 1
    flip: bool = False
    crop: float = 1.0


class Private(NamedTuple):
    """Gradients aggregated as DP-SGD does: each sample's clipped to the norm `clip`, noise added to their sum.

    The noise is normal with standard deviation `noise` x `clip` in every coordinate; the sum is divided by the batch.
    """

    clip: float
    noise: float


class Treatment(NamedTuple):
    """One training of the result table: who is drawn, what is minimised, over which groups.

    What is None is as everywhere else: `objective` the mean loss, `group` [n] all 0, `rule` (which epoch is reported)
    `train.select`, `recipe` that of the method's section, `private` the mean of the gradients. `val_group` is each
    validation sample's group where the method has groups of its own. `start` is "fresh" or "reference" (where the
    method's reference model ended), `trained` "all" or "head" (the last layer alone). `figures` (JSON) are told of
    with the row's, where the treatment is alone. `warnings` say where it cannot do its work.
    """

    selector: Selector
    objective: Objective | None = None
    group: Int32[np.ndarray, " n"] | None = None
    val_group: Int32[np.ndarray, " m"] | None = None
    rule: str | None = None
    recipe: Recipe | None = None
    start: str = "fresh"
    trained: str = "all"
    private: Private | None = None
    figures: Mapping[str, Any] = MappingProxyType({})
    warnings: tuple[str, ...] = ()

    @property
    def sole(self) -> bool:
        """Whether it has what only one of several under `+` may have."""
        own = (self.objective, self.group, self.val_group, self.rule, self.recipe, self.private)
        return any(one is not None for one in own) or self.start != "fresh" or self.trained != "all"
