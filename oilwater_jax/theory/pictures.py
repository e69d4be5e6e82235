"""The phase diagram as a picture and as a table of its points."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # never a window
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from oilwater_jax.files import write_text, write_whole
from oilwater_jax.theory.model import GROUPS, Model
from oilwater_jax.theory.phase import MOST_ASR, Phase, signs

SIGNS = {
    "both": ("WGA and ASR rise", "#c65d57"),
    "asr_only": ("only ASR rises", "#7b4f9d"),
    "wga_only": ("only WGA rises", "#4a8f5c"),
    "neither": ("neither", "#d9d9d9"),
}
NO_RULE = "#b5b5b5"
BLACK, WHITE = "#111111", "#ffffff"


def write_phase(folder: Path, found: Phase, model: Model) -> None:
    """`phase.png`, `phase.csv`: six panels over budget and minority share, and every point of the grid."""
    figure, axes = plt.subplots(2, 3, figsize=(15.5, 9), sharex=True, sharey=True, layout="constrained")
    panels: tuple[Callable[[Figure, Axes, Phase], None], ...] = (
        draw_late,
        draw_early,
        draw_wga,
        draw_asr,
        draw_signs,
        draw_band,
    )
    for axis, draw in zip(axes.flat, panels, strict=True):
        draw(figure, axis, found)
        axis.set(xscale="log", yscale="log", xlim=found.beta[[0, -1]], ylim=found.share[[0, -1]])
        axis.plot(model.beta, 1 - np.asarray(model.p), "*", color=WHITE, markeredgecolor=BLACK, markersize=13)
    for axis in axes[-1]:
        axis.set_xlabel("poison budget, share of the training set")
    for axis in axes[:, 0]:
        axis.set_ylabel("minority's share of the clean samples")
    numbers = (f"{name} {value:g}" for name, value in model._asdict().items() if name not in ("p", "beta"))
    figure.suptitle(
        f"Minority and poison in the Gaussian model: {', '.join(numbers)}.  Star: p and beta as given"
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "phase.png", lambda file: figure.savefig(file, format="png", dpi=110))
    plt.close(figure)
    write_text(folder / "phase.csv", table(found))


def _map(
    figure: Figure,
    axis: Axes,
    found: Phase,
    values: Float[np.ndarray, "s b"],
    *,
    ends: tuple[float, float],
    colours: str,
    title: str,
    label: str,
) -> None:
    cmap = plt.colormaps[colours].with_extremes(bad=NO_RULE)
    drawn = axis.pcolormesh(
        found.beta,
        found.share,
        np.ma.masked_invalid(values),
        vmin=ends[0],
        vmax=ends[1],
        cmap=cmap,
        shading="nearest",
        rasterized=True,
    )
    beyond = np.nanmax(values) > ends[1] if np.isfinite(values).any() else False
    figure.colorbar(drawn, ax=axis, label=label, extend="max" if beyond else "neither")
    axis.set_title(title, fontsize=10.5)


def _level(axis: Axes, found: Phase, values: Float[np.ndarray, "s b"]) -> None:
    """The contour at 1/2, where the figure has both sides of it."""
    if values.min() < 0.5 < values.max():
        axis.contour(found.beta, found.share, values, levels=[0.5], colors=BLACK, linewidths=1.6)


def _legend(axis: Axes, solid: str, dashed: str) -> None:
    handles = [
        Line2D([], [], color=BLACK, linestyle="-", linewidth=1.6, label=solid),
        Line2D([], [], color=BLACK, linestyle="--", linewidth=1.6, label=dashed),
    ]
    axis.legend(handles=handles, fontsize=8, loc="lower left", framealpha=0.85)


def draw_late(figure: Figure, axis: Axes, found: Phase) -> None:
    """AUROC at the minimiser, with the budget from which a poison is the easier."""
    title = "AUROC of the loss, poison against minority: full training"
    _map(figure, axis, found, found.auroc, ends=(0, 1), colours="RdBu", title=title, label="AUROC")
    _level(axis, found, found.auroc)
    axis.plot(found.late, found.share, "--", color=BLACK, linewidth=1.6)
    _legend(axis, "AUROC 1/2", "formula (4), rare poison")


def draw_early(figure: Figure, axis: Axes, found: Phase) -> None:
    """The same early in training."""
    title = f"AUROC of the loss, poison against minority: early, t = {found.early:g}"
    _map(figure, axis, found, found.auroc_early, ends=(0, 1), colours="RdBu", title=title, label="AUROC")
    _level(axis, found, found.auroc_early)
    axis.plot(found.begin, found.share, "--", color=BLACK, linewidth=1.6)
    _legend(axis, "AUROC 1/2", "formula (4), t to 0")


def draw_wga(figure: Figure, axis: Axes, found: Phase) -> None:
    """What JTT adds to worst-group accuracy."""
    change = 100 * (found.wga_jtt - found.wga)
    end = max(1.0, float(np.abs(change).max()))
    title = "JTT: change of worst-group accuracy"
    _map(figure, axis, found, change, ends=(-end, end), colours="PRGn", title=title, label="points")


def draw_asr(figure: Figure, axis: Axes, found: Phase) -> None:
    """What JTT adds to attack success, with the window of vulnerability."""
    change = 100 * (found.asr_jtt - found.asr)
    end = max(1.0, float(np.abs(change).max()))
    title = "JTT: change of attack success, window of vulnerability"
    _map(figure, axis, found, change, ends=(-end, end), colours="PuOr_r", title=title, label="points")
    _level(axis, found, found.asr)
    _level(axis, found, found.asr_jtt)
    for end_of in found.window:
        axis.plot(end_of, found.share, "--", color=BLACK, linewidth=1.6)
    _legend(axis, "success 1/2, before and after JTT", "formula (6)")


def draw_signs(figure: Figure, axis: Axes, found: Phase) -> None:
    """Which of the two JTT raises by more than a point."""
    masks = signs(found)
    code = sum(at * masks[name] for at, name in enumerate(SIGNS))
    colours = ListedColormap([colour for _, colour in SIGNS.values()])
    axis.pcolormesh(found.beta, found.share, code, cmap=colours, vmin=-0.5, vmax=3.5, shading="nearest")
    axis.set_title("JTT: which rises by more than a point", fontsize=10.5)
    handles = [
        Patch(color=colour, label=f"{label}: {100 * masks[name].mean():.0f}%")
        for name, (label, colour) in SIGNS.items()
    ]
    axis.legend(handles=handles, fontsize=8, loc="lower left", framealpha=0.85)


def draw_band(figure: Figure, axis: Axes, found: Phase) -> None:
    """What a band of losses adds to the best upper tail that keeps the attack down."""
    gain = 100 * (found.band - found.tail)
    known = gain[np.isfinite(gain)]
    end = max(1.0, float(np.quantile(known, 0.99))) if known.size else 1.0  # some single points are far above
    title = f"Best band over best upper tail, ASR at most {100 * MOST_ASR:.0f}%"
    _map(figure, axis, found, gain, ends=(0, end), colours="viridis", title=title, label="points of WGA")
    handles = [Patch(color=NO_RULE, label=f"no upper tail keeps ASR at {100 * MOST_ASR:.0f}%")]
    rescued = np.isnan(found.tail) & np.isfinite(found.band)
    if rescued.any():
        axis.contourf(
            found.beta, found.share, rescued.astype(float), levels=[0.5, 1.5], colors="none", hatches=["///"]
        )
        handles.append(Patch(facecolor=NO_RULE, hatch="///", label="  but a band does"))
    axis.legend(handles=handles, fontsize=8, loc="upper left", framealpha=0.85)


def table(found: Phase) -> str:
    """Every point of the grid as CSV; an empty cell where a figure is undefined."""
    masks = signs(found)
    columns = {
        "auroc": found.auroc,
        "auroc_early": found.auroc_early,
        "wga": found.wga,
        "asr": found.asr,
        "wga_jtt": found.wga_jtt,
        "asr_jtt": found.asr_jtt,
        **{f"flagged_{name}": found.flagged[..., at] for at, name in enumerate(GROUPS)},
        "wga_best_tail": found.tail,
        "wga_best_band": found.band,
    }
    curves = {
        "easier_late": found.late,
        "easier_early": found.begin,
        "window_low": found.window.low,
        "window_high": found.window.high,
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["beta", "minority_share", *columns, *curves, "rises"])
    for row, share in enumerate(found.share):
        for column, beta in enumerate(found.beta):
            values = [beta, share, *(one[row, column] for one in columns.values())]
            values += [one[row] for one in curves.values()]
            rises = next(name for name, mask in masks.items() if mask[row, column])
            writer.writerow([*("" if np.isnan(value) else f"{value:.8g}" for value in values), rises])
    return text.getvalue()
