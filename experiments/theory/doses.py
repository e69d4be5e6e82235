"""Dose curves on waterdigits: WGA against the amplified share of the smallest minority, ASR against the poisons'.

    python experiments/theory/doses.py run --workdir=runs/frontiers     # about 25 minutes on 2 cores
    python experiments/theory/doses.py report

`run` leaves doses.csv (every setting and seed); `report` makes doses.md and doses.png of it, beside what the rows of
experiments/frontiers reach.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.isotonic import IsotonicRegression

from oilwater_jax import load
from oilwater_jax.files import write_text
from oilwater_jax.frontier.run import run as run_frontier
from oilwater_jax.intervals import SHARE, SIGNED, over_seeds
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LAMBDAS = (3, 5, 10, 50)
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SEEDS = 3
CURVES = {"poison": ("minority", -1.0), "minority": ("poison", 0.0)}
"""What is dosed, and what the other is fixed at: the minority as JTT finds it; no poisons at all."""
COLUMNS: tuple[str, ...] = (
    "dosed",
    "share",
    "lambda_up",
    "split",
    "seed",
    "wga",
    "net",
    "asr",
    "asr_untriggered",
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
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
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


def monotone(found: dict[float, list[float]]) -> np.ndarray:
    """The nondecreasing curve closest to the means, at SHARES."""
    means = [float(np.mean(found[share])) for share in SHARES]
    return IsotonicRegression().fit_transform(np.array(SHARES), np.array(means))


def forced(wanted: float, w: np.ndarray, v: np.ndarray, spared: float) -> float | None:
    """The least success that a WGA of `wanted` forces: V(T(W^-1(wanted))) with T(r) = max(0, r - spared).

    `spared` is how many more of the minority than of the poisons a rule can flag: 0 for upper tails of a loss that
    the poisons dominate, at most the total variation for any rule. None where no dose reaches `wanted`.
    """
    if wanted > w[-1]:
        return None
    recall = float(np.interp(wanted, np.maximum.accumulate(w + 1e-9 * np.arange(len(w))), SHARES))
    return float(np.interp(max(0.0, recall - spared), SHARES, v))


def report() -> None:
    """The curves as a table and a figure, and what they force."""
    lines = read()
    body = []
    for dosed, name, within in (("minority", "wga", SHARE), ("poison", "net", SIGNED)):
        for lambda_up in LAMBDAS:
            found = curve(lines, dosed, lambda_up, name)
            cells = [str(over_seeds(found[share], within)) for share in SHARES]
            label = "WGA, share of LRG-1" if name == "wga" else "net ASR, share of the poisons"
            body.append([label, str(lambda_up), *cells])
    seeds = len({line["seed"] for line in lines})
    text = f"waterdigits, DLBD at 1%, test, per cent, mean [95% interval], n = {seeds} seeds\n\n"
    text += markdown_table(["measured, dosed", "lambda_up", *(f"{share:g}" for share in SHARES)], body)
    body = []
    for lambda_up in LAMBDAS:
        w = monotone(curve(lines, "minority", lambda_up, "wga"))
        v = monotone(curve(lines, "poison", lambda_up, "net"))
        for spared in (0.0, 0.3, 0.6, 0.9):
            ones = [forced(wanted, w, v, spared) for wanted in (0.5, 0.6, 0.7, 0.8, 0.85)]
            body.append(
                [str(lambda_up), f"{spared:g}", *("-" if x is None else f"{100 * x:.0f}" for x in ones)]
            )
    text += (
        "\nNet ASR (per cent) that a WGA forces on a rule which flags at most `spared` more of the minority than of "
        "the\npoisons; 0: upper tails of the loss; -: no dose reaches that WGA\n\n"
    )
    text += markdown_table(["lambda_up", "spared", *(f"WGA {w}" for w in (50, 60, 70, 80, 85))], body)
    write_text(HERE / "doses.md", text)
    draw(lines, HERE / "doses.png")


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Both curves at every lambda_up."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True)
    markers = ("o", "s", "^", "D")
    for axis, (dosed, name, label) in zip(
        axes, (("minority", "wga", "WGA"), ("poison", "net", "net ASR")), strict=True
    ):
        for lambda_up, marker in zip(LAMBDAS, markers, strict=True):
            found = curve(lines, dosed, lambda_up, name)
            means = [100 * float(np.mean(found[share])) for share in SHARES]
            axis.plot(SHARES, means, marker=marker, label=f"lambda_up {lambda_up}")
        set_ = "the smallest minority (LRG-1)" if dosed == "minority" else "the poisons"
        axis.set(
            xlabel=f"share of {set_} that is amplified", ylabel=f"{label}, %", ylim=(-5, 102), xscale="symlog"
        )
        axis.set_xscale("symlog", linthresh=0.02)
        axis.set_xticks(
            [0, 0.02, 0.05, 0.1, 0.2, 0.5, 1], ["0", "0.02", "0.05", "0.1", "0.2", "0.5", "1"], fontsize=7
        )
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    plots.save(figure, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Dose curves on waterdigits.")
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--workdir", type=Path)
    options = parser.parse_args()
    if options.what == "run":
        run(options.workdir)
    else:
        report()
