"""Dose curves on waterdigits: WGA against the amplified share of the smallest minority, ASR against the poisons'.

    python experiments/theory/doses.py run --workdir=runs/frontiers     # about 25 minutes on 2 cores
    python experiments/theory/doses.py report

`run` leaves doses.csv (every setting and seed); `report` makes doses.md and doses.png of it, beside what the rows of
experiments/frontiers reach (its headline.csv, dlbd.csv and amplifiers.csv).
"""

import csv
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from sklearn.isotonic import IsotonicRegression

from oilwater_jax import load
from oilwater_jax.files import write_text
from oilwater_jax.frontier import points
from oilwater_jax.frontier.run import run as run_frontier
from oilwater_jax.intervals import SHARE, SIGNED, over_seeds
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
COMMAND = runpy.run_path(str(HERE.parent / "command.py"))["command"]
ROOT = HERE.parent.parent
LAMBDAS = (3, 5, 10, 50)
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SEEDS = 3
CURVES = {"poison": ("minority", -1.0), "minority": ("poison", 0.0)}
"""What is dosed, and what the other is fixed at: the minority as JTT finds it; no poisons at all."""
FRONTIERS = ("headline", "dlbd", "amplifiers")
NAMED = ("epic.stop_after", "loss_band.high")  # dials beside lambda_up that a row is told by
FIGURES = ("wga", "net", "idnf.lrg_1", "idnf.poison")
SPARED = (0.0, 0.3, 0.6, 0.9)
BESIDE = (
    *("LRG-1 flagged", "poisons flagged", "WGA", "WGA - W"),
    *("net ASR", "net - V", "forced", "net - forced"),
)
WANTED = (0.6, 0.7, 0.75, 0.8, 0.85)
COLUMNS: tuple[str, ...] = (
    *("dosed", "share", "lambda_up", "split", "seed", "wga", "net", "asr", "asr_untriggered"),
)


def run(workdir: Path) -> None:
    """Train at every dose."""
    config = load(ROOT / "configs/waterdigits/dlbd.py", {"rows": "dose"}, plugins=[str(HERE / "dose.py")])
    lines: list[dict[str, Any]] = []
    for dosed, (other, fixed) in CURVES.items():
        dials = [
            f"dose.{dosed}={','.join(map(str, SHARES))}",
            f"dose.{other}={fixed}",
            f"dose.lambda_up={','.join(map(str, LAMBDAS))}",
        ]
        result = run_frontier(config, workdir, dial=dials, seeds=SEEDS)
        for point in result["points"]:
            if point["row"] != "dose":
                continue
            setting = point["setting"]
            lines += [
                {
                    "dosed": dosed,
                    "share": setting[f"dose.{dosed}"],
                    "lambda_up": setting["dose.lambda_up"],
                    **{"split": split, "seed": seed},
                    **{name: f"{point[split][name][at]:.6g}" for name in COLUMNS[5:]},
                }
                for split in ("val", "test")
                for at, seed in enumerate(result["seeds"])
            ]
    with (HERE / "doses.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def read() -> list[dict[str, Any]]:
    """The lines on test."""
    with (HERE / "doses.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["split"] == "test"]
    words = ("dosed", "split")
    return [
        {name: value if name in words else float(value) for name, value in line.items()} for line in lines
    ]


def curve(lines: list[dict[str, Any]], dosed: str, lambda_up: float, name: str) -> dict[float, list[float]]:
    """A figure by share: one value per seed."""
    own = [line for line in lines if line["dosed"] == dosed and line["lambda_up"] == lambda_up]
    return {share: [line[name] for line in own if line["share"] == share] for share in SHARES}


def monotone(values: Sequence[float]) -> np.ndarray:
    """The nondecreasing curve closest to values at SHARES (least squares)."""
    return IsotonicRegression().fit_transform(np.array(SHARES), np.array(values))


def fall(values: Sequence[float]) -> float:
    """The most that a curve falls below what it has been before: 0 for a nondecreasing one."""
    return float(np.max(np.maximum.accumulate(values) - values))


def forced(wanted: float, w: np.ndarray, v: np.ndarray, spared: float) -> float | None:
    """The least success that a WGA of `wanted` forces: V(T(W^-1(wanted))) with T(r) = max(0, r - spared).

    `w` and `v` are nondecreasing, at SHARES, straight between them. `spared` is how many more of the minority than of
    the poisons a rule flags: at most 0 for upper tails of a loss that the poisons dominate, at most the total
    variation for any rule. None where no dose reaches `wanted`.
    """
    if wanted > w[-1]:
        return None
    at = int(np.argmax(w >= wanted))  # the least dose that reaches it
    recall = SHARES[0]
    if at:
        part = (wanted - w[at - 1]) / (w[at] - w[at - 1])
        recall = SHARES[at - 1] + part * (SHARES[at] - SHARES[at - 1])
    return float(np.interp(max(0.0, recall - spared), SHARES, v))


class Curves(NamedTuple):
    """One seed's W and V at one lambda_up, nondecreasing, at SHARES."""

    w: np.ndarray
    v: np.ndarray


def curves(lines: list[dict[str, Any]], lambda_up: float) -> dict[int, Curves]:
    """W and V by seed."""
    w, v = curve(lines, "minority", lambda_up, "wga"), curve(lines, "poison", lambda_up, "net")
    seeds = sorted({int(line["seed"]) for line in lines})
    return {
        seed: Curves(*(monotone([found[share][at] for share in SHARES]) for found in (w, v)))
        for at, seed in enumerate(seeds)
    }


class Reached(NamedTuple):
    """What a row of experiments/frontiers reaches at a setting on test, by seed."""

    row: str
    setting: str
    lambda_up: int
    seeds: dict[int, dict[str, float]]  # wga, net, and who is amplified: idnf.lrg_1, idnf.poison


def reached() -> list[Reached]:
    """The rows with a `lambda_up` among LAMBDAS (JTT, bands of losses), JTT's `identify.epochs` as configured."""
    found: dict[tuple[str, str], Reached] = {}
    for line in told(*FRONTIERS):
        dials = line.dials
        times = int(dials.get("jtt.lambda_up", dials.get("loss_band.lambda_up", 0)))
        if times not in LAMBDAS or dials.get("identify.epochs", "4") != "4":
            continue
        others = [f"{key}={value}" for key, value in dials.items() if key in NAMED]
        key = (line.row, f"lambda_up={times} {' '.join(others)}".strip())
        one = found.setdefault(key, Reached(*key, times, {}))
        for at, seed in enumerate(line.seeds):
            one.seeds[seed] = {
                name: value for name in FIGURES if (value := line.figures[name][at]) is not None
            }
    return list(found.values())


def told(*names: str) -> list[points.Line]:
    """The settings of some frontiers of experiments/frontiers on test."""
    found = [points.read(ROOT / "experiments" / "frontiers" / f"{name}.csv") for name in names]
    return [line for lines in found for line in lines if line.split == "test"]


def beside(lines: list[dict[str, Any]]) -> list[list[str]]:
    """Each row beside W and V at the shares that it flags, and beside what its WGA forces, on the curves' seeds."""
    body = []
    for one in reached():
        own = curves(lines, one.lambda_up)
        pairs = [(one.seeds[seed], own[seed]) for seed in own if seed in one.seeds]
        if not pairs:
            continue
        columns: dict[str, list[float | None]] = {name: [] for name in BESIDE}
        for row, (w, v) in pairs:
            minority, poison = row["idnf.lrg_1"], row["idnf.poison"]
            bound = forced(row["wga"], w, v, minority - poison)
            values = (
                *(minority, poison, row["wga"], row["wga"] - float(np.interp(minority, SHARES, w))),
                *(row["net"], row["net"] - float(np.interp(poison, SHARES, v))),
                *(bound, None if bound is None else row["net"] - bound),
            )
            for name, value in zip(BESIDE, values, strict=True):
                columns[name].append(value)
        ranges = (SHARE, SHARE, SHARE, SIGNED, SIGNED, SIGNED, SIGNED, SIGNED)
        cells = [cell(values, within) for values, within in zip(columns.values(), ranges, strict=True)]
        body.append([one.row, one.setting, *cells])
    return body


def without_a_dial() -> list[list[str]]:
    """WGA and net success of the amplifying methods that have no lambda_up: no dose of theirs is measured."""
    return [
        [line.row, *(cell(line.figures[name], SIGNED if name == "net" else SHARE) for name in FIGURES)]
        for line in told("amplifiers")
        if not any(path.endswith("lambda_up") for path in line.dials)
    ]


def cell(values: Sequence[float | None], within: tuple[float, float]) -> str:
    """In per cent, of the seeds in which it is defined: `12.3 [1.0, 23.6]`, `12.3 (n = 1)`, `-`."""
    known = [value for value in values if value is not None]
    count = "" if len(known) == len(values) else f" (n = {len(known)})"
    return f"{over_seeds(known, within)}{count}" if known else "-"


def report(out: Path = HERE) -> None:
    """The curves as tables and a figure, and what they force, beside what the rows of experiments/frontiers reach."""
    lines = read()
    body = []
    for dosed, name, within in (("minority", "wga", SHARE), ("poison", "net", SIGNED)):
        for lambda_up in LAMBDAS:
            found = curve(lines, dosed, lambda_up, name)
            cells = [str(over_seeds(found[share], within)) for share in SHARES]
            label = "W: WGA, share of LRG-1" if name == "wga" else "V: net ASR, share of the poisons"
            steps = fall([float(np.mean(found[share])) for share in SHARES])
            body.append([label, str(lambda_up), *cells, f"{100 * steps:.1f}"])
    seeds = len({line["seed"] for line in lines})
    text = (
        f"waterdigits, DLBD at 1%, test, per cent, mean [95% interval], n = {seeds} seeds. Fall: the most that the "
        "mean curve falls below what it has been at a smaller dose; the theorem assumes 0.\n\n"
    )
    head = ["measured, dosed", "lambda_up", *(f"{share:g}" for share in SHARES), "fall"]
    text += markdown_table(head, body)
    body = []
    for lambda_up in LAMBDAS:
        own = curves(lines, lambda_up)
        for spared in SPARED:
            cells = [
                cell([forced(wanted, *one, spared) for one in own.values()], SIGNED) for wanted in WANTED
            ]
            body.append([str(lambda_up), f"{spared:g}", *cells])
    text += (
        "\nNet ASR that a WGA forces on a rule which flags `spared` more of the minority than of the poisons (0: upper "
        "tails of a loss\nthat the poisons dominate); by seed, with that seed's curves made nondecreasing; n: "
        "seeds in which a dose reaches that WGA\n\n"
    )
    text += markdown_table(["lambda_up", "spared", *(f"WGA {100 * w:g}" for w in WANTED)], body)
    text += (
        "\nRows of experiments/frontiers on the same seeds, beside W and V at the shares that they flag (the theorem "
        "assumes WGA - W at most 0\nand net - V at least 0), and beside the net ASR that their WGA forces given these "
        "shares; differences paired by seed\n\n"
    )
    text += markdown_table(["row", "setting", *BESIDE], beside(lines))
    text += (
        "\nAmplifying methods without a lambda_up, same seeds; no dose of theirs is measured (flagged: drawn above "
        "once per epoch)\n\n"
    )
    head = ["row", "WGA", "net ASR", "LRG-1 flagged", "poisons flagged"]
    text += markdown_table(head, without_a_dial())
    write_text(out / "doses.md", text)
    draw(lines, out / "doses.png")


COLOURS = ("#0072b2", "#009e73", "#e69f00", "#d55e00")


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Both curves at every lambda_up, and the WGA and success of equal doses beside JTT's."""
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.9))
    style = list(zip(LAMBDAS, ("o", "s", "^", "D"), COLOURS, strict=True))
    for axis, (dosed, name, label) in zip(
        axes, (("minority", "wga", "WGA"), ("poison", "net", "net ASR")), strict=False
    ):
        for lambda_up, marker, colour in style:
            by_share = np.array(list(curve(lines, dosed, lambda_up, name).values())) * 100
            axis.plot(SHARES, by_share, color=colour, linewidth=0.6, alpha=0.5)
            means = by_share.mean(axis=1)
            axis.plot(SHARES, means, marker=marker, color=colour, linewidth=2, label=f"lambda_up {lambda_up}")
        set_ = "LRG-1" if dosed == "minority" else "the poisons"
        axis.set_title(f"{label} against the share of {set_} amplified", fontsize=9)
        axis.set(xlabel=f"share of {set_}", ylabel=f"{label}, %", ylim=(-5, 102))
        axis.set_xscale("symlog", linthresh=0.02, linscale=0.3)
        axis.set_xticks(SHARES, [f"{share:g}" for share in SHARES], fontsize=8)
        axis.set_xlim(-0.004, 1.25)
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    axis = axes[2]
    for lambda_up, marker, colour in style:
        own = curves(lines, lambda_up)
        w, v = (np.mean([getattr(one, name) for one in own.values()], axis=0) for name in ("w", "v"))
        axis.plot(100 * v, 100 * w, color=colour, marker=".", markersize=4)
        for row, filled in (("jtt", colour), ("jtt:ideal", "white")):
            found = [one for one in reached() if one.row == row and one.lambda_up == lambda_up]
            figures = [figures for one in found for seed, figures in one.seeds.items() if seed in own]
            at = [100 * float(np.mean([one[name] for one in figures])) for name in ("net", "wga")]
            axis.plot(
                *at, marker, color=filled, markersize=9, markeredgecolor="black" if row == "jtt" else colour
            )
    axis.set(xlabel="net ASR, %", ylabel="WGA, %", xlim=(-2, 102), ylim=(40, 102))
    axis.set_title("lines: equal shares of both; filled: JTT; hollow: ideal", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    plots.save(figure, path)


if __name__ == "__main__":
    COMMAND("Dose curves on waterdigits.", run, report, here=HERE, choices=("run", "report"))
