"""The gallery of a page: some of the training samples that were flagged, eliminated, poisoned or drawn most.

Images are small and inline; rows of a table are their original values. Pure functions of host arrays.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from oilwater_jax.data import tables
from oilwater_jax.groups import group_ids
from oilwater_jax.reporting.summary import set_label
from oilwater_jax.types import Examples, Splits

MOST = 160  # samples of all reasons together
PER_REASON = 18
LEAST = 6  # of a reason, where there are many
PIXELS = 250_000  # of all images together: under 1 MB as text
MOST_COLUMNS = 12  # of a table's

Sets = Mapping[str, Bool[np.ndarray, " n"]]


class Pick(NamedTuple):
    """Samples that are there for one reason: its words, and who they are; the most wanted first."""

    title: str
    members: Int[np.ndarray, " m"]


class Reason(NamedTuple):
    """A filter of the gallery: its words, how many samples it has, how many of each set, and how many are shown."""

    title: str
    total: int
    of_sets: str
    shown: int


class Sample(NamedTuple):
    """A training sample: its picture (a data URI) or its values, what it is, and the numbers of its reasons."""

    picture: str
    values: list[str]
    row: int
    set: str
    label: str
    truth: str
    reasons: list[int]
    flagged_by: str
    draws: str


class Gallery(NamedTuple):
    """What the template draws; `columns` are of a table's values, `left_out` reasons are not shown."""

    reasons: list[Reason]
    samples: list[Sample]
    sets: list[str]
    columns: list[str]
    left_out: int


def most_drawn(weights: Float[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """The samples that are drawn more than once per epoch, those drawn most first."""
    above = np.flatnonzero(weights > 1)
    return above[np.argsort(-weights[above], kind="stable")]


def proportional(members: Int[np.ndarray, " m"], sets: Sets, most: int) -> Int[np.ndarray, " k"]:
    """Up to `most` of the members: of each set in proportion, at least one, the first of them.

    Edge case                  Result
    no more than `most`        all of them
    more sets than `most`      one each of the first `most` sets
    """
    if len(members) <= most:
        return members
    inside = {name: members[mask[members]] for name, mask in sets.items()}
    inside = {name: rows for name, rows in inside.items() if len(rows)}
    take = {name: max(1, math.floor(most * len(rows) / len(members))) for name, rows in inside.items()}
    while sum(take.values()) > most:
        largest = max(take, key=lambda name: take[name])
        if take[largest] == 1:
            take = dict(list(take.items())[:most])
        else:
            take[largest] -= 1
    while sum(take.values()) < most and any(take[name] < len(inside[name]) for name in take):
        name = max(take, key=lambda name: len(inside[name]) / (take[name] + 1))
        if take[name] == len(inside[name]):
            break
        take[name] += 1
    return np.concatenate([inside[name][:count] for name, count in take.items()])


def gallery(
    train: Examples,
    splits: Splits,
    sets: Sets,
    picks: Sequence[Pick],
    flagged: Sets,
    weights: Mapping[str, Float[np.ndarray, " n"]],
) -> Gallery:
    """The gallery of a training set; `flagged` is by method, `weights` are the last epoch's draws, by training."""
    wanted = [pick for pick in picks if len(pick.members)]
    room = MOST // LEAST
    kept = wanted[:room]
    most = min(PER_REASON, max(LEAST, MOST // max(len(kept), 1)))
    chosen = [proportional(pick.members, sets, most) for pick in kept]
    rows = np.unique(np.concatenate(chosen)) if chosen else np.zeros(0, int)
    rows = np.concatenate([rows[mask[rows]] for mask in sets.values()])  # set by set
    reasons = [
        Reason(pick.title, len(pick.members), counts(pick.members, sets), len(own))
        for pick, own in zip(kept, chosen, strict=True)
    ]
    shown = train.take(rows)
    pictures = uris(np.asarray(shown.image)) if splits.kind == "image" else [""] * len(rows)
    columns = changed_first(shown, splits)[:MOST_COLUMNS]
    names = [next((name for name, mask in sets.items() if mask[row]), "") for row in rows]
    groups = group_ids(shown, len(splits.attribute_names))
    samples = []
    for at, row in enumerate(rows.tolist()):
        own = [n for n, members in enumerate(chosen) if row in members]
        decoded = tables.decode(splits.columns, shown.image[at]) if splits.columns else {}
        samples.append(
            Sample(
                pictures[at],
                [decoded[name] for name in columns],
                int(shown.index[at]),
                set_label(names[at]) if names[at] else "",
                splits.class_names[shown.label[at]],
                splits.group_name(int(groups[at])),
                own,
                ", ".join(by for by, mask in flagged.items() if mask[row]),
                ", ".join(f"{of} {one[row]:g}" for of, one in weights.items() if one[row] != 1),
            )
        )
    present = list(dict.fromkeys(set_label(name) for name in sets if name in names))
    return Gallery(reasons, samples, present, columns, len(wanted) - len(kept))


def counts(members: Int[np.ndarray, " m"], sets: Sets) -> str:
    """`3 poisons, 12 LRG-1`: how many of the members are of each set."""
    found = {name: int(mask[members].sum()) for name, mask in sets.items()}
    return ", ".join(f"{count:,} {set_label(name)}" for name, count in found.items() if count)


def changed_first(shown: Examples, splits: Splits) -> list[str]:
    """The names of a table's columns, those first in which a shown poison differs from what it was made from."""
    names = [column.name for column in splits.columns]
    if not names or not shown.is_poison.any():
        return names
    poisons = shown.take(shown.is_poison)
    differs: set[str] = set()
    for row, index in zip(np.asarray(poisons.image), poisons.index.tolist(), strict=True):
        for part in (splits.train, splits.auxiliary):
            if len(at := np.flatnonzero(part.index == index)):
                before = tables.decode(splits.columns, np.asarray(part.image[at[0]]))
                after = tables.decode(splits.columns, row)
                differs |= {name for name in names if before[name] != after[name]}
                break
    return sorted(names, key=lambda name: name not in differs)


def uris(images: UInt8[np.ndarray, "n h w c"]) -> list[str]:
    """Each image as a PNG in a data URI, made smaller where they are too many or too large."""
    if not len(images):
        return []
    side = max(images.shape[1:3])
    scale = min(1.0, math.sqrt(PIXELS / (len(images) * side * side)))
    height, width = (max(1, round(scale * one)) for one in images.shape[1:3])
    found = []
    for pixels in images:
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        if scale < 1:
            picture = picture.resize((width, height), Image.Resampling.BOX)
        found.append(uri(picture))
    return found


def uri(picture: Image.Image) -> str:
    """A picture as a PNG in a data URI."""
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
