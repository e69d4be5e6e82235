"""The nouns of the house: what the six rooms hand to one another.

Stage: before everything; imports nothing of the package but `images`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from oilwater_jax import images
from oilwater_jax.images import Pixels

State = Any  # an explicit pytree; its structure is the owner's business


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """A data set on the host, one row per sample; the order of the rows never changes.

    `label` is what training sees, `true_label` what the image shows; they differ only for poisons.
    `index` is a sample's stable id: its row in the clean split, or, for a poison, its source's row.
    """

    image: Pixels
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


class Splits(NamedTuple):
    """A data set as `data.load` yields it: disjoint splits and what its numbers mean.

    `auxiliary` is what an attacker holds (often nothing): never trained on, never measured on.
    """

    train: Examples
    val: Examples
    test: Examples
    auxiliary: Examples
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    identity: str = (
        ""  # of what it was made from: another where the files' content is another, wherever they lie
    )

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


class Selector(NamedTuple):
    """Decides between epochs how often each training sample is drawn, as a pair of pure functions.

    A weight is an expected number of draws per epoch: 0 eliminated, 1 as it is, k drawn k times.
    `due(epoch)` names the scores that `update` needs at the start of that epoch (often none).
    `update(state, epoch, scores)` returns the next state and the weights of the epoch.
    """

    init: Callable[[Examples], State]
    due: Callable[[int], tuple[str, ...]]
    update: Callable[[State, int, Scores | None], tuple[State, Float[np.ndarray, " n"]]]


Update = Callable[
    [State, Float[Array, " b"], Int[Array, " b"], Bool[Array, " b"]], tuple[Float[Array, ""], State]
]


class Objective(NamedTuple):
    """Turns one batch's losses into the scalar that is differentiated, as a pair of pure functions.

    `update(state, losses [b], groups [b], mask [b])` returns the loss and the next state; rows where
    `mask` is False are padding and must not count.
    """

    init: Callable[[], State]
    update: Update


class Attacked(NamedTuple):
    """What an attack does to a training set of n samples.

    `rows[i]` is where poison i goes: below n it replaces that sample; n, n + 1, ... are appended.
    `evidence` holds, by name, what the attack's goal must remember (the targets, say).
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

    `measure(logits, clean)` also gets the logits of the model trained on clean data where `needs_clean`, else
    None. `counted` are the split's samples that the accuracies are taken on (not an attack's targets).
    """

    image: Pixels
    measure: Callable[[Float[np.ndarray, "m k"], Float[np.ndarray, "m k"] | None], dict[str, float]]
    counted: Bool[np.ndarray, " n"]
    needs_clean: bool = False


class Treatment(NamedTuple):
    """One training of the result table: who is drawn, what is minimised, over which groups.

    `group` is each training sample's group, `val_group` each validation sample's where the method has groups
    of its own (else None), `rule` how the epoch is selected, `first` the earliest that may be.
    """

    selector: Selector
    objective: Objective
    group: Int32[np.ndarray, " n"]
    val_group: Int32[np.ndarray, " m"] | None
    rule: str
    first: int = 1
