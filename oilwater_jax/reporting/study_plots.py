"""Figures of a study: a figure for each question over the epochs, and a map of gradient space."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from oilwater_jax.intervals import SHARE, over_seeds
from oilwater_jax.reporting.plots import ASR, save
from oilwater_jax.reporting.study import NESTED, score_names, title
from oilwater_jax.reporting.study_advantage import labels, shown

COLOURS = plt.colormaps["tab20"].colors[::2] + plt.colormaps["tab20"].colors[1::2]  # pyright: ignore[reportAttributeAccessIssue]
NESTED_LINES = {"single": ":", "pair": "--"}
SETS = {
    "hrg": ("HRG", "#9a9a9a", 5, 0.35),
    "lrg": ("LRG", "#2171b5", 10, 0.8),
    "poison": ("poisons", ASR, 14, 0.9),
}


def write_questions(folder: Path, summary: Mapping[str, Any]) -> None:
    """`poison_vs_lrg.png`, ...: every score's AUROC over the epochs with its interval; undefined ones: no file."""
    for question in summary["auroc"]:
        series = summary["auroc"][question]
        if all(one["auroc"] is None for steps in series.values() for one in steps):
            continue
        figure, axis = plt.subplots(figsize=(7.2, 4.6))
        draw_question(axis, summary, question)
        axis.set_title(title(question), fontsize=10)
        axis.set_xlabel(f"after epoch\n({band_words(summary)})", fontsize=9)
        axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        save(figure, folder / f"{question}.png")


def draw_question(axis: Axes, summary: Mapping[str, Any], question: str) -> None:
    """One panel: a line for each score, a band for its interval, and the nested choices where pairs were tried."""
    epochs = summary["epochs"]
    at = np.arange(len(epochs))
    for number, (name, steps) in enumerate(summary["auroc"][question].items()):
        colour = COLOURS[number % len(COLOURS)]
        means, low, high = np.array([bounds(one) for one in steps]).T
        axis.plot(at, means, marker="o", markersize=3, color=colour, label=score_names(summary)[name])
        axis.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
    if question == "poison_vs_lrg" and summary["pairs"]:
        for name, style in NESTED_LINES.items():
            means = [one["auroc"] for one in summary["pairs"][name]]
            axis.plot(at, means, style, color="black", linewidth=1.4, label=NESTED[name])
    axis.axhline(0.5, color="#bbbbbb", linewidth=0.8, zorder=0)
    axis.set(xticks=at, xticklabels=[str(epoch) for epoch in epochs], ylim=(-0.02, 1.02), ylabel="AUROC")
    axis.spines[["top", "right"]].set_visible(False)


def write_advantages(folder: Path, summary: Mapping[str, Any]) -> None:
    """`advantage.png`: every score's best half-line over the epochs, a panel for each set beside the poisons.

    No file where there are no poisons, or in a study of an earlier version.
    """
    questions = shown(summary)
    if not questions:
        return
    figure, axes = plt.subplots(
        1, len(questions), figsize=(3.6 * len(questions) + 2.2, 4.2), sharey=True, squeeze=False
    )
    for axis, question in zip(axes[0], questions, strict=True):
        draw_advantage(axis, summary, question)
        first, second = labels(question)
        axis.set_title(f"{first} against {second}", fontsize=10)
    axes[0][0].set_ylabel("advantage of the best half-line of scores")
    axes[0][-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    many = len(summary["seeds"]) > 1
    figure.suptitle(
        "How many more of one set than of the other a threshold flags" + ", median over seeds" * many
    )
    save(figure, folder / "advantage.png")


def draw_advantage(axis: Axes, summary: Mapping[str, Any], question: str) -> None:
    """One panel: a line for each score, what equal sets would give in grey, the rule on all scores in black."""
    epochs, found = summary["epochs"], summary["advantage"][question]
    at = np.arange(len(epochs))
    for number, (name, steps) in enumerate(found["scores"].items()):
        line = [one["half_lines"] for one in steps]
        # With two classes the margin's is the same as the loss's: it shows on both sides of it.
        width = 4 if name == "margin" else 1.5
        order = 3 if name == "loss" else 2
        axis.plot(
            at,
            line,
            marker="o",
            markersize=3,
            color=COLOURS[number % len(COLOURS)],
            label=score_names(summary)[name],
            linewidth=width,
            zorder=order,
        )
    null = [one["null_half_lines"] for one in found["scores"]["loss"]]
    axis.fill_between(at, 0, null, color="#bbbbbb", alpha=0.5, linewidth=0, label="equal sets, mean (loss)")
    rule = [one["value"] for one in found["rule"]]
    axis.plot(at, rule, "--", color="black", linewidth=1.4, label="all scores, cross-fitted")
    axis.set(
        xticks=at, xticklabels=[str(epoch) for epoch in epochs], ylim=(-0.02, 1.02), xlabel="after epoch"
    )
    axis.spines[["top", "right"]].set_visible(False)


def band_words(summary: Mapping[str, Any]) -> str:
    """What the bands are."""
    if len(summary["seeds"]) == 1:
        return "band: 95% bootstrap interval over the samples"
    return "line and band: mean over the seeds and its 95% interval, Student's"


def bounds(one: Mapping[str, Any]) -> tuple[float, float, float]:
    """Mean and interval of one AUROC: of one seed the bootstrap's, of several Student's over the seeds, within 0..1."""
    over = over_seeds(one["auroc_seeds"], SHARE)
    if over is None:
        return float("nan"), float("nan"), float("nan")
    if over.low is None or over.high is None:
        return over.mean, one["low_seeds"][0], one["high_seeds"][0]
    return over.mean, over.low, over.high


def write_plane(
    folder: Path, plane: Float[np.ndarray, "t n 2"], sets: np.ndarray, epochs: Sequence[int]
) -> None:
    """`gradient_space.png`: a panel for each epoch with the two principal components of the projected gradients."""
    figure, axes = plt.subplots(1, len(epochs), figsize=(3.1 * len(epochs), 3.3), squeeze=False)
    for axis, points, epoch in zip(axes[0], plane, epochs, strict=True):
        draw_plane(axis, points, sets)
        axis.set(title=f"after epoch {epoch}", xlabel="PC 1")
    axes[0][0].set_ylabel("PC 2")
    figure.suptitle(
        "Gradients in all parameters (projected at random to 64 dimensions, then PCA), first seed", y=1.02
    )
    legend = axes[0][-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    for handle in legend.legend_handles:
        handle.set_alpha(1)
    save(figure, folder / "gradient_space.png")


def draw_plane(axis: Axes, points: Float[np.ndarray, "n 2"], sets: np.ndarray) -> None:
    """One panel: majorities below, minorities above them, poisons on top."""
    for kind, (label, colour, size, alpha) in SETS.items():
        own = points[np.char.startswith(sets, kind)]
        if len(own):
            axis.scatter(own[:, 0], own[:, 1], s=size, color=colour, alpha=alpha, linewidths=0, label=label)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
