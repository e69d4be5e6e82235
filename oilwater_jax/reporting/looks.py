"""Figure of what a method looked at, set by set: one panel per array that it found.

An array of a number per sample (a suspicion, a loss, a weight) is drawn as cumulative shares of each set, one of few
whole numbers (clusters) as a table of shares, one of several numbers per sample (features) by its two main directions.
A method does nothing for it but leave the array in `Found.arrays`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from matplotlib.axes import Axes

from oilwater_jax.reporting import plots
from oilwater_jax.reporting.summary import set_label

MOST_CLUSTERS = 40  # whole numbers beyond them are no clusters
SHOWN = 400  # points of a set in a scatter plot

Sets = Mapping[str, Bool[np.ndarray, " n"]]
Draw = Callable[[Axes, np.ndarray, Sets], None]


def shares_up_to(values: Float[np.ndarray, " m"]) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The values in order, and the share of them up to each."""
    return np.sort(values), np.arange(1, len(values) + 1) / max(len(values), 1)


def cumulative(axis: Axes, values: Shaped[np.ndarray, " n"], sets: Sets) -> None:
    """For each set the share of it up to a value; the axis is linear up to the median size and logarithmic beyond."""
    for name, members in sets.items():
        x, y = shares_up_to(values[members].astype(float))
        axis.step(x, 100 * y, where="post", label=set_label(name), **plots.set_style(name, marker=False))
    middle = float(np.median(np.abs(values)))
    axis.set_xscale("symlog", linthresh=middle if middle > 0 else 1.0)
    axis.set_ylabel("share of the set up to this value, %")


def in_clusters(
    cluster: Int[np.ndarray, " n"], sets: Sets
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "s k"]]:
    """The clusters there are, and the share of each set (that has samples) in each of them."""
    ids = np.unique(cluster)
    rows = [
        [np.mean(cluster[members] == one) if members.any() else np.nan for one in ids]
        for members in sets.values()
    ]
    return ids, np.array(rows)


def table(axis: Axes, cluster: Shaped[np.ndarray, " n"], sets: Sets) -> None:
    """A line per set, a column per cluster, shares in per cent."""
    ids, shares = in_clusters(cluster, sets)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if len(ids) <= 12:
        for at, share in np.ndenumerate(shares):
            if np.isfinite(share):
                colour = "white" if share > 0.6 else "black"
                axis.text(
                    at[1], at[0], f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour
                )
    axis.set_yticks(range(len(sets)), [set_label(name) for name in sets])
    axis.set_xticks(range(len(ids)), [str(one) for one in ids], fontsize=7)
    axis.set_xlabel("number; shares of each set, %")


def main_directions(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    """The points along the two directions in which they vary most (one direction: the other is 0)."""
    centred = points - points.mean(axis=0, keepdims=True)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    found = centred @ vectors[:, ::-1][:, :2]
    return np.pad(found, [(0, 0), (0, 2 - found.shape[1])])


def scatter(axis: Axes, points: Shaped[np.ndarray, " n *d"], sets: Sets) -> None:
    """Up to SHOWN points of each set, the poisons on top."""
    flat = main_directions(points.reshape(len(points), -1).astype(float))
    for name, members in sorted(sets.items(), key=lambda one: -int(one[1].sum())):
        shown = flat[np.flatnonzero(members)[:SHOWN]]
        style = plots.set_style(name) | {"linestyle": "", "markersize": 3}
        axis.plot(*shown.T, label=set_label(name), **style)
    axis.set(xlabel="first main direction", ylabel="second")


def drawing(values: np.ndarray, n: int) -> Draw | None:
    """How an array is drawn.

    Array                                     Drawn as
    of another length, of bools, not finite   not at all
    a number per sample, few and whole        `table`
    a number per sample                       `cumulative`
    several numbers per sample                `scatter`
    """
    if (
        values.ndim == 0
        or len(values) != n
        or values.dtype.kind not in "iuf"
        or not np.isfinite(values).all()
    ):
        return None
    if values.ndim > 1:
        return scatter
    few = values.dtype.kind in "iu" and len(np.unique(values)) <= MOST_CLUSTERS
    return table if few else cumulative


def write(path: Path, label: str, arrays: Mapping[str, np.ndarray], sets: Sets) -> None:
    """A panel for each array that can be drawn; none: no file."""
    n = len(next(iter(sets.values())))
    found = {name: draw for name, values in arrays.items() if (draw := drawing(np.asarray(values), n))}
    if not found:
        return
    figure, axes = plt.subplots(1, len(found), figsize=(4.4 * len(found), 3.4), squeeze=False)
    for axis, (name, draw) in zip(axes[0], found.items(), strict=True):
        draw(axis, np.asarray(arrays[name]), sets)
        axis.set_title(name, fontsize=9)
    named = next((axis for axis in axes[0] if axis.get_legend_handles_labels()[0]), None)
    if named is not None:
        handles, labels = named.get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"What {label} looked at, and found", fontsize=10)
    figure.tight_layout()
    plots.save(figure, path)
