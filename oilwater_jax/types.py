"""The nouns of the house: what the six rooms hand to one another.

Stage: before everything; imports nothing of the package.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, UInt8

State = Any  # an explicit pytree; its structure is the owner's business


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """A data set on the host, one row per sample; the order of the rows never changes.

    `label` is what training sees, `true_label` what the image shows; they differ only for poisons.
    `index` is a sample's stable id: its row in the clean split, or, for a poison, its source's row.
    """

    image: UInt8[np.ndarray, "n h w c"]
    label: Int32[np.ndarray, " n"]
    true_label: Int32[np.ndarray, " n"]
    attribute: Int32[np.ndarray, " n"]
    is_poison: Bool[np.ndarray, " n"]
    index: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.image)

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields by name (as a stage saves them)."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def take(self, rows: Int[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> "Examples":
        """The samples in `rows`, in that order."""
        return Examples(**{name: array[rows] for name, array in self.arrays().items()})

    def append(self, other: "Examples") -> "Examples":
        """These samples followed by the other ones."""
        more = other.arrays()
        return Examples(
            **{name: np.concatenate([array, more[name]]) for name, array in self.arrays().items()}
        )


class Splits(NamedTuple):
    """A data set as `data.load` yields it: three disjoint splits and what its numbers mean."""

    train: Examples
    val: Examples
    test: Examples
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]

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


class Goal(NamedTuple):
    """How an attack's success is measured: inputs, and a pure function from their logits to figures."""

    image: UInt8[np.ndarray, "m h w c"]
    measure: Callable[[Float[np.ndarray, "m k"]], dict[str, float]]
