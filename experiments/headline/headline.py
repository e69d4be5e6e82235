"""The headline on waterdigits: `choose` the trigger's opacity on validation, then `report` on test.

    python experiments/headline/headline.py choose --workdir=runs/choose
    python experiments/headline/headline.py report --workdir=runs/headline

Both write their results beside this file, and resume where they were interrupted.
"""

import argparse
import csv
import math
import shutil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from oilwater_jax import load, pipeline
from oilwater_jax.files import write_text
from oilwater_jax.reporting import plots, tables

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs/waterdigits"
OPACITIES = (0.1, 0.2, 0.3, 0.35, 0.4, 0.6, 1.0)
ROWS = {"erm": "ERM", "jtt": "JTT", "jtt:ideal": "JTT ideal"}
ATTACKED = {"rows": "erm@clean,erm,jtt,jtt:ideal,jtt:worst"}
REPORTED = {  # by the name of its results: config file and what is changed in it
    "jtt_dlbd": ("dlbd", ATTACKED),
    "jtt_dlbd_50": ("dlbd", {**ATTACKED, "jtt.lambda_up": "50"}),  # the setting of earlier versions
    "jtt_clean": ("clean", {"rows": "erm,balanced,jtt"}),
}
CHOOSE_SEEDS, REPORT_SEEDS = 3, 5


def least_margin(erm: dict[str, Any], jtt: dict[str, Any], ideal: dict[str, Any]) -> float:
    """By how many standard deviations over seeds the tightest of the three ASR targets is cleared.

    Targets: ERM at most 10%, JTT at least 80%, JTT ideal at most 10 points above ERM.
    """
    both = math.hypot(ideal["asr_std"], erm["asr_std"])
    pairs = (
        (0.1 - erm["asr"], erm["asr_std"]),
        (jtt["asr"] - 0.8, jtt["asr_std"]),
        (0.1 - (ideal["asr"] - erm["asr"]), both),
    )
    return min(margin / max(spread, 1e-3) for margin, spread in pairs)


def choose(workdir: Path) -> None:
    """ASR and WGA on validation against the trigger's opacity; the test split is not looked at."""
    lines, margins = [], {}
    for opacity in OPACITIES:
        overrides = {
            "evaluate": "val",
            "rows": ",".join(ROWS),
            "dlbd.opacity": str(opacity),
        }
        config = load(CONFIGS / "dlbd.py", overrides)
        result = pipeline.run(config, workdir / f"opacity_{opacity:g}", seeds=CHOOSE_SEEDS)
        margins[opacity] = least_margin(*(result["rows"][row] for row in ROWS))
        idnf = result["found"]["jtt"]["idnf"]
        for row in ROWS:
            figures = result["rows"][row]
            lines.append(
                {
                    "opacity": opacity,
                    "row": row,
                    **{f"{n}{s}": figures[n + s] for n in ("asr", "wga") for s in ("", "_std")},
                    "idnf_poison": idnf["poison"],
                    "idnf_hrg_1": idnf["hrg_1"],
                }
            )
    best = max(margins, key=margins.__getitem__)
    print(f"chosen: opacity {best:g}, which clears every target by {margins[best]:.1f} standard deviations")
    with (HERE / "choose.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in line.items()} for line in lines
        )
    figure, axis = plt.subplots(figsize=(6, 3.6))
    for row, label in ROWS.items():
        own = [line for line in lines if line["row"] == row]
        means, spreads = ([100 * line[name] for line in own] for name in ("asr", "asr_std"))
        axis.errorbar(OPACITIES, means, spreads, marker="o", capsize=3, label=label)
    axis.set(xlabel="opacity of the trigger", ylabel="attack success rate, val, %", ylim=(0, 105))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
    plots.save(figure, HERE / "choose.png")


def report(workdir: Path) -> None:
    """The main job and the clean phenomenon on test."""
    for name, (file, changed) in REPORTED.items():
        own = workdir / name
        result = pipeline.run(load(CONFIGS / f"{file}.py", changed), own, seeds=REPORT_SEEDS)
        write_text(HERE / f"{name}.md", tables.markdown(result))
        shutil.copy(own / "summary.json", HERE / f"{name}.json")
        for picture, call in (("rates", "rates"), ("flagged_jtt", "training_images")):
            shutil.copy(own / "figures" / f"{picture}.png", HERE / f"{name}_{call}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The headline on waterdigits.")
    parser.add_argument("what", choices=("choose", "report"))
    parser.add_argument("--workdir", type=Path, required=True)
    options = parser.parse_args()
    {"choose": choose, "report": report}[options.what](options.workdir)
