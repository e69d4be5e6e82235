"""Figures of a run: a grid of training images, and the rates of every row."""

import re
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # never a window
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Int, Shaped
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from oilwater_jax.files import write_whole
from oilwater_jax.groups import group_ids
from oilwater_jax.reporting import palette
from oilwater_jax.reporting.summary import set_label
from oilwater_jax.types import Examples, Splits

COLUMNS = 12
FLAGGED, WGA, ASR = palette.VERMILLION.light, palette.BLUE.light, palette.VERMILLION.light


_marked = ""


def mark(text: str) -> None:
    """What every figure from here on says of itself, in its corner (that it is of a smoke run); empty: nothing."""
    global _marked
    _marked = text


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all, and close it."""
    if _marked:
        figure.text(0.0, 1.07, _marked, fontsize=8, color=FLAGGED, ha="left", va="bottom")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150, bbox_inches="tight"))
    plt.close(figure)


def shown_rows(members: Int[np.ndarray, " m"], flagged: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
    """Up to COLUMNS of the members, with flagged and unflagged in the proportion they have among all."""
    inside, outside = members[flagged[members]], members[~flagged[members]]
    total = min(COLUMNS, len(members))
    if not len(members):
        return members
    take = round(total * len(inside) / len(members))
    take = min(max(take, 1 if len(inside) else 0), len(inside))
    return np.concatenate([inside[:take], outside[: total - take]])


def write_training_images(
    path: Path, train: Examples, flagged: Bool[np.ndarray, " n"], splits: Splits, by: str
) -> None:
    """A row per group and one of poisons; the images that `by` flagged are framed (empty: nobody did)."""
    groups = group_ids(train, len(splits.attribute_names))
    sets = {
        splits.group_name(g): np.flatnonzero((groups == g) & ~train.is_poison) for g in range(splits.n_groups)
    }
    if train.is_poison.any():
        sets["poisons"] = np.flatnonzero(train.is_poison)
    figure, axes = plt.subplots(
        len(sets), COLUMNS, figsize=(COLUMNS * 0.8 + 2, len(sets) * 0.88), squeeze=False
    )
    for line, (name, members) in zip(axes, sets.items(), strict=True):
        rows = shown_rows(members, flagged)
        for at, axis in enumerate(line):
            axis.set(xticks=[], yticks=[])
            framed = at < len(rows) and flagged[rows[at]]
            for spine in axis.spines.values():
                spine.set(visible=framed, color=FLAGGED, linewidth=3)
            if at < len(rows):
                axis.imshow(train.image[rows[at]])
        share = 100 * float(np.mean(flagged[members])) if len(members) else float("nan")
        line[0].set_ylabel(
            f"{name}\nn = {len(members)}" + (f"\n{share:.0f}% flagged" if by else ""),
            rotation=0,
            ha="right",
            va="center",
            fontsize=8,
        )
    figure.suptitle(f"Training images{f' (framed: flagged by {by})' if by else ''}", fontsize=10)
    save(figure, path)


def original(splits: Splits, index: int) -> Shaped[np.ndarray, "..."]:
    """The image, or row of a table, that a poison was made from, by the index that both have."""
    for part in (splits.train, splits.auxiliary):
        if len(rows := np.flatnonzero(part.index == index)):
            return part.image[rows[0]]
    raise KeyError(index)


def write_poisons(folder: Path, poisons: Examples, splits: Splits) -> None:
    """`poisons.png`: some poisons under what they were made from, and the difference, ten times; none: no file."""
    if not len(poisons):
        return
    shown = poisons.take(np.arange(min(COLUMNS, len(poisons))))
    source = np.stack([original(splits, index) for index in shown.index.tolist()])
    change = 10 * (np.asarray(shown.image, int) - source)
    lines = {"original": source, "poison": shown.image, "difference x 10": np.clip(128 + change, 0, 255)}
    figure, axes = plt.subplots(
        len(lines), COLUMNS, figsize=(COLUMNS * 0.8 + 2, len(lines) * 0.9), squeeze=False
    )
    for line, (name, images) in zip(axes, lines.items(), strict=True):
        for at, axis in enumerate(line):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if at < len(images):
                axis.imshow(images[at])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for at, label in enumerate(shown.label):
        axes[0][at].set_title(f"labelled\n{splits.class_names[label]}", fontsize=7)
    figure.suptitle(f"{len(shown)} of {len(poisons)} poisons", fontsize=10, y=1.05)
    save(figure, folder / "poisons.png")


def write_elimination(folder: Path, summary: dict[str, Any]) -> None:
    """`elimination.png`: what the rounds of defences have eliminated of each set, by epoch; without rounds: no file.

    A panel per row with rounds; each line is the mean over the seeds that have figures of the set.
    """
    rows = {key: row["rounds_seeds"] for key, row in summary["rows"].items() if any(row["rounds_seeds"])}
    if not rows:
        return
    figure, axes = plt.subplots(1, len(rows), figsize=(4.4 * len(rows), 3.2), sharey=True, squeeze=False)
    for axis, (key, seeds) in zip(axes[0], rows.items(), strict=True):
        label = summary["rows"][key]["label"]
        shares: dict[str, dict[int, list[float]]] = {}
        for one in (one for rounds in seeds for one in rounds):
            for name, share in one["elmf"].items():
                if share is not None:
                    shares.setdefault(name, {}).setdefault(one["epoch"], []).append(100 * share)
        for name, by_epoch in shares.items():
            means = [float(np.mean(values)) for values in by_epoch.values()]
            axis.plot(list(by_epoch), means, label=set_label(name), **set_style(name))
        axis.set(title=in_lines(label), xlabel="round at the start of epoch", ylim=(-2, 102))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("eliminated (ELMF), %")
    axes[0][-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, folder / "elimination.png")


def in_lines(label: str) -> str:
    """A row's label with a line for each method."""
    return re.sub(" on |, then | \\+ ", lambda found: "\n" + found.group().strip(", ") + " ", label)


def set_colour(name: str) -> str:
    """A reported set's colour (`palette.of_set`)."""
    return palette.of_set(name).tone.light


def set_style(name: str, *, marker: bool = True) -> dict[str, Any]:
    """How a reported set's line is drawn, as arguments of Matplotlib's `plot`."""
    style = palette.of_set(name)
    found = {"color": style.tone.light, "linestyle": style.line}
    return found | {"marker": style.marker, "markersize": 5} if marker else found


def write_rates(folder: Path, summary: dict[str, Any]) -> None:
    """`rates.png`: worst-group accuracy and, under attack, success rate of every row, with the seeds' spread."""
    keys = list(summary["rows"])
    figure, axis = plt.subplots(figsize=(1.5 * len(keys) + 2, 3.4))
    at = np.arange(len(keys))
    success, heading = next(iter(summary["measures"].items()), ("", ""))
    attacked = any(row.get(success) is not None for row in summary["rows"].values())
    bars = [("wga", "worst-group accuracy", WGA, -0.2 if attacked else 0.0)]
    if attacked:
        bars.append((success, f"attack's success ({heading})", ASR, 0.2))
    for (name, label, colour, shift), hatch in zip(bars, palette.HATCHES, strict=False):
        rows = [summary["rows"][key] for key in keys]
        means = [100 * (row[name] or 0.0) for row in rows]
        spreads = [100 * (row[f"{name}_std"] or 0.0) for row in rows]
        error = spreads if any(spreads) else None
        drawn = axis.bar(
            at + shift,
            means,
            0.38,
            yerr=error,
            color=colour,
            label=label,
            capsize=3,
            hatch=hatch,
            edgecolor="white",
        )
        texts = [
            "undefined" if row[name] is None else f"{mean:.0f}" for row, mean in zip(rows, means, strict=True)
        ]
        axis.bar_label(drawn, texts, fontsize=8, padding=2)
    axis.set(
        xticks=at,
        ylim=(min(0, axis.get_ylim()[0]), 115),
        ylabel=f"per cent of {summary['split']} samples",
        yticks=range(0, 101, 20),
    )
    axis.set_xticklabels([in_lines(summary["rows"][key]["label"]) for key in keys])
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, 1.12), fontsize=8)
    save(figure, folder / "rates.png")
