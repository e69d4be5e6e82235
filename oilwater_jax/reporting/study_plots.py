"""Figures of a study: a figure for each question over the epochs, and a map of gradient space."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from oilwater_jax.intervals import SHARE, over_seeds
from oilwater_jax.reporting import palette
from oilwater_jax.reporting.plots import save
from oilwater_jax.reporting.study import NESTED, score_names, title
from oilwater_jax.reporting.study_advantage import labels, shown

COLUMNS = 4  # panels side by side
NESTED_LINES = {"single": ":", "pair": "--"}
SETS = {"hrg": ("HRG", 5, 0.35), "lrg": ("LRG", 10, 0.8), "poison": ("poisons", 20, 0.9)}
"""Of a kind of set: its name, size and opacity of its points."""


def write_questions(folder: Path, summary: Mapping[str, Any]) -> None:
    """`poison_vs_lrg.png`, ...: a panel for each score, its AUROC over the epochs with its interval.

    The other scores are thin lines behind it. No file for a question without an answer.
    """
    for question in summary["auroc"]:
        series = summary["auroc"][question]
        if all(one["auroc"] is None for steps in series.values() for one in steps):
            continue
        nested = nested_of(summary, question)
        rows = math.ceil((len(series) + bool(nested)) / COLUMNS)
        figure, axes = plt.subplots(
            rows,
            COLUMNS,
            figsize=(2.5 * COLUMNS, 1.9 * rows + 0.8),
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for axis, name in zip(axes.flat, series, strict=False):
            for other in series.values():
                axis.plot([bounds(one)[0] for one in other], color="#c4cad0", linewidth=0.7, zorder=1)
            draw_steps(axis, series[name], palette.series(0))
            panel(axis, summary, score_names(summary)[name])
        if nested:
            axis = axes.flat[len(series)]
            for name, means in nested.items():
                axis.plot(means, NESTED_LINES[name], color="black", linewidth=1.4, label=NESTED[name])
            axis.legend(frameon=False, fontsize=7, loc="lower right")
            panel(axis, summary, "chosen on other folds")
        for axis in axes.flat[len(series) + bool(nested) :]:
            axis.set_visible(False)
        for at in range(COLUMNS):  # below each column's last panel
            shown = [axis for axis in axes[:, at] if axis.get_visible()]
            if shown:
                shown[-1].tick_params(labelbottom=True)
        figure.suptitle(title(question), fontsize=10)
        figure.supxlabel(f"after epoch ({band_words(summary)})", fontsize=9)
        figure.supylabel("AUROC", fontsize=9)
        save(figure, folder / f"{question}.png")


def nested_of(summary: Mapping[str, Any], question: str) -> dict[str, Float[np.ndarray, " t"]]:
    """The nested choices' AUROCs over the epochs, where pairs were tried on this question."""
    if question != "poison_vs_lrg" or not summary["pairs"]:
        return {}
    pairs = summary["pairs"]
    return {name: np.array([one["auroc"] for one in pairs[name]], float) for name in NESTED_LINES}


def panel(axis: Axes, summary: Mapping[str, Any], name: str) -> None:
    """The axes of one of several panels of AUROCs over epochs."""
    epochs = summary["epochs"]
    axis.axhline(0.5, color="#999999", linewidth=0.8, zorder=0)
    axis.set(xticks=range(len(epochs)), xticklabels=[str(epoch) for epoch in epochs], ylim=(-0.02, 1.02))
    axis.tick_params(labelsize=8)
    axis.set_title(name, fontsize=9, loc="left")
    axis.spines[["top", "right"]].set_visible(False)


def draw_steps(
    axis: Axes, steps: Sequence[Mapping[str, Any]], style: palette.Style, label: str | None = None
) -> None:
    """A score's AUROCs over the epochs as a line with its band."""
    at = np.arange(len(steps))
    means, low, high = np.array([bounds(one) for one in steps]).T
    axis.plot(
        at,
        means,
        marker=style.marker,
        markersize=3.5,
        linestyle=style.line,
        color=style.tone.light,
        label=label,
    )
    axis.fill_between(at, low, high, color=style.tone.light, alpha=0.15, linewidth=0)


def draw_question(axis: Axes, summary: Mapping[str, Any], question: str) -> None:
    """One panel: a line for each score, a band for its interval, and the nested choices where pairs were tried."""
    epochs = summary["epochs"]
    at = np.arange(len(epochs))
    for number, (name, steps) in enumerate(summary["auroc"][question].items()):
        draw_steps(axis, steps, palette.series(number), score_names(summary)[name])
    for name, means in nested_of(summary, question).items():
        axis.plot(at, means, NESTED_LINES[name], color="black", linewidth=1.4, label=NESTED[name])
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
        style = palette.series(number)
        axis.plot(
            at,
            line,
            marker=style.marker,
            markersize=4,
            linestyle=style.line,
            color=style.tone.light,
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
    for kind, (label, size, alpha) in SETS.items():
        own = points[np.char.startswith(sets, kind)]
        tones, marker, _ = palette.KINDS[kind]
        if len(own):
            axis.scatter(
                own[:, 0],
                own[:, 1],
                s=size,
                color=tones[0].light,
                marker=marker,
                alpha=alpha,
                linewidths=0,
                label=label,
            )
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
