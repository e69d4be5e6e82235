"""Figures of a run on a table, which has no images: samples that a method flagged, and poisons cell by cell."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool

from oilwater_jax.data import tables
from oilwater_jax.groups import group_ids
from oilwater_jax.reporting.plots import FLAGGED, WGA, original, save
from oilwater_jax.types import Examples, Splits

SHOWN = 6  # poisons side by side
MOST_ROWS = 40  # columns of the data that are shown; those that a poison changes come first


def write_groups(
    path: Path, train: Examples, flagged: Bool[np.ndarray, " n"], splits: Splits, by: str
) -> None:
    """How many samples each group and the poisons have, and how many of them `by` flagged (empty: nobody did)."""
    groups = group_ids(train, len(splits.attribute_names))
    sets = {splits.group_name(g): (groups == g) & ~train.is_poison for g in range(splits.n_groups)}
    if train.is_poison.any():
        sets["poisons"] = train.is_poison
    figure, axis = plt.subplots(figsize=(7, 0.42 * len(sets) + 1.2))
    at = range(len(sets))
    size = [int(mask.sum()) for mask in sets.values()]
    hit = [int(flagged[mask].sum()) for mask in sets.values()]
    axis.barh(at, size, color=WGA)
    axis.barh(at, hit, color=FLAGGED, hatch="////", edgecolor="white")
    for y, n, k in zip(at, size, hit, strict=True):
        share = f", {100 * k / n:.0f}% flagged" if by and n else ""
        axis.text(n, y, f" {n:,}{share}", va="center", fontsize=8)
    axis.set(yticks=at, xlim=(0, 1.3 * max(size)), xlabel="training samples")
    axis.set_yticklabels(list(sets))
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Training samples{f' (hatched: flagged by {by})' if by else ''}", fontsize=10)
    save(figure, path)


def poison_cells(poisons: Examples, splits: Splits) -> tuple[list[str], list[list[str]], list[list[bool]]]:
    """Of some poisons: names of the lines, the original values (`before -> after` where they differ), and whether."""
    after = [tables.decode(splits.columns, row) for row in np.asarray(poisons.image)]
    before = [tables.decode(splits.columns, original(splits, index)) for index in poisons.index.tolist()]
    names = [column.name for column in splits.columns]
    differs = {name: [a[name] != b[name] for a, b in zip(after, before, strict=True)] for name in names}
    names.sort(key=lambda name: not any(differs[name]))
    cells = [
        [
            f"{b[name]} -> {a[name]}" if a[name] != b[name] else a[name]
            for a, b in zip(after, before, strict=True)
        ]
        for name in names[:MOST_ROWS]
    ]
    lines = ["true label", "labelled", "attribute", *names[:MOST_ROWS]]
    given = [splits.class_names[one] for one in poisons.label]
    true = [splits.class_names[one] for one in poisons.true_label]
    attribute = [splits.attribute_names[one] for one in poisons.attribute]
    wrong = (poisons.label != poisons.true_label).tolist()
    nothing = [False] * len(poisons)
    changed = [nothing, wrong, nothing, *(differs[name] for name in names[:MOST_ROWS])]
    return lines, [true, given, attribute, *cells], changed


def write_poisons(folder: Path, poisons: Examples, splits: Splits) -> None:
    """`poisons.png`: some poisons in the original values, what was changed in red; without poisons: no file."""
    if not len(poisons) or not splits.columns:
        return
    shown = poisons.take(np.arange(min(SHOWN, len(poisons))))
    lines, cells, changed = poison_cells(shown, splits)
    figure, axis = plt.subplots(figsize=(2.2 + 2.4 * len(shown), 0.24 * len(lines) + 0.6))
    axis.axis("off")
    table = axis.table(cells, rowLabels=lines, loc="center", cellLoc="left")
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    for y, line in enumerate(changed):
        for x, differs in enumerate(line):
            if differs:
                table[y, x].get_text().set_color(FLAGGED)
    figure.suptitle(f"{len(shown)} of {len(poisons)} poisons", fontsize=10)
    save(figure, folder / "poisons.png")
