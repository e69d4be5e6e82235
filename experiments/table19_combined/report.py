"""Table 19 and its figure from Table 3's sweep: EPIc and a group-robustness method together.

python experiments/table19_combined/report.py runs/epic_waterdigits waterdigits

Writes NAME.csv (every figure of every line), NAME.md and NAME.png beside this file.
"""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from oilwater_jax.files import write_text
from oilwater_jax.reporting import grid, plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
TABLE_3 = SimpleNamespace(**runpy.run_path(str(HERE.parent / "table03_epic_tradeoff" / "report.py")))
METHODS = {"jtt": ("JTT", "#d65f5f"), "george": ("GEORGE", "#4878a8")}


def draw(found: dict[tuple[str, str], grid.Line], path: Path) -> None:
    """A panel per attack: both methods alone and with EPIc, and ERM."""
    figure, axes = plt.subplots(1, len(TABLE_3.ATTACKS), figsize=(12, 3.8))
    for axis, attack in zip(axes, TABLE_3.ATTACKS, strict=True):
        for method, (label, colour) in METHODS.items():
            ones = TABLE_3.points(found, attack, method, TABLE_3.GRID["BOTH"][method], method)
            TABLE_3.draw_points(axis, ones, colour, f"EPIc + {label}", label)
        erm = found[f"{attack}_jtt_stop{TABLE_3.GRID['STOPS']['jtt'][0]}", "erm"].figures
        axis.plot(100 * erm["wga"].mean, 100 * erm["success"].mean, "kx", label="ERM")
        jtt = found[f"{attack}_jtt_stop{TABLE_3.GRID['STOPS']['jtt'][0]}", "jtt"].figures["wga"].mean
        wanted = {
            "facecolor": METHODS["jtt"][1],
            "alpha": 0.15,
            "edgecolor": "none",
            "label": "asked for (JTT)",
        }
        corner = (100 * (jtt - TABLE_3.NEAR), -20)
        axis.add_patch(Rectangle(corner, 100 - corner[0], 100 * TABLE_3.LOW - corner[1], **wanted))
        axis.set(xlim=(0, 100), ylim=(-20, 108))
        TABLE_3.finish(axis, attack)
    figure.tight_layout()
    plots.save(figure, path)


def main(workdir: Path, name: str) -> None:
    """Write the table, the figure and all lines."""
    found = TABLE_3.read(workdir)
    wanted, body, said = [], [], []
    for attack, label in TABLE_3.ATTACKS.items():
        for method, (method_label, _) in METHODS.items():
            alone, both = method, TABLE_3.GRID["BOTH"][method]
            runs = [f"{attack}_{method}_stop{stop}" for stop in TABLE_3.GRID["STOPS"][method]]
            wanted += [(run, training) for run in runs for training in ("erm", alone, both)]
            ones = TABLE_3.points(found, attack, method, both, alone)
            body += [[label, method_label, *line] for line in TABLE_3.cells(ones, "without EPIc")]
            good = TABLE_3.answers(ones, ones[0].figures["wga"])
            stops = ", ".join(map(str, good)) if good else "none"
            said.append(
                f"- {label}, {method_label}: stopping epochs with success at most 10% and WGA at most 5 points below "
                f"{method_label}'s without EPIc: {stops}."
            )
    TABLE_3.write_lines(found, wanted, HERE / f"{name}.csv")
    n = found[wanted[0]].figures["wga"].n
    text = f"{name}, test, {n} seeds, per cent, mean ± 95% interval.\n\n"
    text += markdown_table(["attack", "method", "stop_after", *TABLE_3.headings()], body)
    write_text(HERE / f"{name}.md", text + "\n" + "\n".join(said) + "\n")
    draw(found, HERE / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
