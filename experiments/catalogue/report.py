"""The catalogue's tables and figures, from a sweep's folder or, without one, from the committed results.csv.

python experiments/catalogue/report.py runs/catalogue

Writes results.csv (a line per run, row and seed), results.md, attacks.png and defences.png beside this file. Runs that
are not finished are left out.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt

from oilwater_jax.files import write_text
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
GRID = SimpleNamespace(**runpy.run_path(str(HERE / "grid.py")))
SEEDS = SimpleNamespace(**runpy.run_path(str(HERE / "per_seed.py")))
SETS = SEEDS.SETS
TRAININGS = {"erm": "ERM", "jtt": "JTT"}  # that each attack was tried on
HEADING = "stopped in"


def attacks(lines: list) -> str:
    """A line per attack and budget."""
    body = []
    for attack, budgets in GRID.BUDGETS.items():
        for budget in budgets:
            clean, erm, jtt = (
                SEEDS.of(lines, f"attack_{attack}_{budget:g}", row) for row in ("erm@clean", *TRAININGS)
            )
            if erm:
                poisons = next(iter(erm.values()))["n_poison"]
                body.append(
                    [
                        *(attack, f"{100 * budget:g}%", str(poisons)),
                        *(SEEDS.cell(SEEDS.mean(one, "success")) for one in (clean, erm, jtt)),
                        *(SEEDS.cell(SEEDS.mean(one, "wga")) for one in (erm, jtt)),
                    ]
                )
    head = ["attack", "budget", "poisons", "success, clean ERM", "ERM", "JTT", "WGA, ERM", "JTT"]
    return markdown_table(head, body)


def draw_attacks(lines: list, path: Path) -> None:
    """A panel per attack: net success (of label_flip: damage) against budget; a dot per seed."""
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.6), sharey=True)
    for axis, (attack, budgets) in zip(axes.flat, GRID.BUDGETS.items(), strict=True):
        for (row, label), colour in zip(TRAININGS.items(), (plots.WGA, plots.ASR), strict=True):
            found = [(b, SEEDS.of(lines, f"attack_{attack}_{b:g}", row)) for b in budgets]
            found = [(b, own) for b, own in found if own]
            means = [100 * SEEDS.mean(own, "success").mean for _, own in found]
            axis.plot([100 * b for b, _ in found], means, "o-", color=colour, label=label)
            for b, own in found:
                values = [100 * line["success"] for line in own.values()]
                axis.plot([100 * b] * len(values), values, ".", color=colour, alpha=0.5)
        clean = SEEDS.of(lines, f"attack_{attack}_{budgets[0]:g}", "erm@clean")
        if clean:
            axis.axhline(
                100 * SEEDS.mean(clean, "success").mean, color="0.6", linestyle=":", label="ERM on clean data"
            )
        axis.set(title=attack, xscale="log", xlabel="budget, % of the training set", ylim=(-5, 105))
        SEEDS.ticks(axis, [100 * budget for budget in budgets])
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("success net of the untriggered, %")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="upper center", fontsize=9)
    plots.save(figure, path)


def methods(lines: list) -> str:
    """A line per method on clean data: WGA, and its difference to ERM's, seed by seed."""
    body = []
    told = {"clean": ("erm", *GRID.METHODS)} | {f"clean_self_{rate:g}": ("self",) for rate in GRID.SELF_RATES}
    for run, row in ((run, row) for run, rows in told.items() for row in rows):
        own, erm = SEEDS.of(lines, run, row), SEEDS.of(lines, run, "erm")
        if not own:
            continue
        raised = SEEDS.share(own, lambda line, erm=erm: line["wga"] > erm[line["seed"]]["wga"])
        gain = SEEDS.cell(SEEDS.paired(own, erm, "wga"), signed=True)
        label = next(iter(own.values()))["label"] + run.removeprefix("clean").replace("_self_", ", rate ")
        body.append(
            [
                *(label, SEEDS.cell(SEEDS.mean(own, "wga"))),
                *(("-", "-") if row == "erm" else (gain, raised)),
                SEEDS.cell(SEEDS.mean(own, "acc_adjusted")),
            ]
        )
    return markdown_table(["method", "WGA", "WGA - ERM's", "above ERM in", "adj. ACC"], body)


def tried() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The runs of defences: a heading and the defences of each."""
    names = {f"defence_{name}": name for name in GRID.DEFENCES} | {"last_dlbd": "dlbd"}
    found = {}
    for run, name in names.items():
        attack, budget = GRID.DEFENDED[name]
        last = ", last epoch" if run.startswith("last") else ""
        found[run] = f"{attack} {100 * budget:g}%{last}", GRID.DEFENCES[name]
    return found


def defences(lines: list) -> str:
    """A line per defence and attack: success with it, whom it eliminates, and what that costs."""
    body = []
    for run, (heading, rows) in tried().items():
        erm, clean = SEEDS.of(lines, run, "erm"), SEEDS.of(lines, run, "erm@clean")
        for row in ("erm@clean", "erm", *rows):
            if own := SEEDS.of(lines, run, row):
                change = (
                    "-"
                    if row.startswith("erm")
                    else SEEDS.cell(SEEDS.paired(own, erm, "success"), signed=True)
                )
                body.append(
                    [
                        heading,
                        next(iter(own.values()))["label"],
                        SEEDS.cell(SEEDS.mean(own, "success")),
                        change,
                        SEEDS.stopped(own, clean),
                        *(SEEDS.cell(SEEDS.mean(own, f"elmf.{name}")) for name in SETS[:4]),
                        SEEDS.cell(SEEDS.mean(own, "wga")),
                        SEEDS.epochs(own),
                    ]
                )
    sets = [f"ELMF {SEEDS.SET_LABELS[name]}" for name in SETS[:4]]
    return markdown_table(
        ["attack", "training", "success", "less ERM's", HEADING, *sets, "WGA", "epoch"], body
    )


def stops(lines: list) -> str:
    """A line per defence: in how many seeds it stops each attack that it was tried on, and what became of WGA there."""
    body = []
    for row in ("erm", *dict.fromkeys(row for _, rows in tried().values() for row in rows)):
        cells, label = [], row
        for run in tried():
            own, erm, clean = (SEEDS.of(lines, run, one) for one in (row, "erm", "erm@clean"))
            if not own:
                cells.append("-")
                continue
            label = next(iter(own.values()))["label"]
            stopped = sum(SEEDS.is_stopped(line, clean) for line in own.values())
            gain = SEEDS.paired(own, erm, "wga")
            cells.append(f"{stopped} of {len(own)}" + (f" ({100 * gain.mean:+.0f})" if row != "erm" else ""))
        body.append([label, *cells])
    return markdown_table(["stopped in (WGA - ERM's)", *(heading for heading, _ in tried().values())], body)


def draw_defences(lines: list, path: Path) -> None:
    """Under DLBD: what each defence eliminates of the poisons and of the minorities, beside the success it leaves."""
    rows = [row for row in GRID.DEFENCES["dlbd"] if SEEDS.of(lines, "defence_dlbd", row)]
    if not rows:
        return
    figure, axis = plt.subplots(figsize=(1 + 0.75 * len(rows), 3.6))
    names = ("elmf.poison", "elmf.lrg_1", "elmf.lrg_2", "success")
    colours = [*(plots.set_colour(name.partition(".")[2]) for name in names[:3]), "black"]
    labels = ("ELMF poisons", "ELMF LRG-1", "ELMF LRG-2", "success left (net)")
    for at, (name, colour, label) in enumerate(zip(names, colours, labels, strict=True)):
        for x, row in enumerate(rows):
            values = [100 * line[name] for line in SEEDS.of(lines, "defence_dlbd", row).values()]
            axis.bar(
                x + 0.2 * at - 0.3,
                sum(values) / len(values),
                0.2,
                color=colour,
                label=label if x == 0 else None,
            )
            axis.plot([x + 0.2 * at - 0.3] * len(values), values, ".", color="0.5", markersize=3)
    erm = SEEDS.mean(SEEDS.of(lines, "defence_dlbd", "erm"), "success")
    axis.axhline(100 * erm.mean, color="black", linestyle=":", linewidth=1, label="success against ERM")
    axis.set_xticks(range(len(rows)), [row.replace("_", "\n") for row in rows], fontsize=7)
    axis.set(ylabel="per cent", ylim=(-5, 105))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=7, ncols=5, loc="upper left", bbox_to_anchor=(0, 1.15))
    plots.save(figure, path)


def report(out: Path = HERE) -> None:
    """Write tables and figures."""
    lines = SEEDS.read(HERE / "results.csv")
    parts = [
        *(("Attacks", attacks), ("Methods on clean data", methods)),
        *(("What each defence stops", stops), ("Defences", defences)),
    ]
    text = SEEDS.note(lines, "all attacks")
    for title, make in parts:
        text += f"\n## {title}\n\n{make(lines)}"
    write_text(out / "results.md", text)
    draw_attacks(lines, out / "attacks.png")
    draw_defences(lines, out / "defences.png")


if __name__ == "__main__":
    SEEDS.main(__doc__ or "", HERE, GRID.get_grid().runs, report)
