"""Tables 1, 2, 3 and 19 of the paper from the values of experiments/frontiers.

python experiments/tables/report.py

Reads ../frontiers/NAME.csv and writes table01.md, table02.md, table03.md, table19.md and tables.png beside this file.
"""

import argparse
import runpy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

from oilwater_jax.files import write_text
from oilwater_jax.frontier import dials, pareto
from oilwater_jax.frontier import report as frontier
from oilwater_jax.frontier.points import Line
from oilwater_jax.intervals import SHARE, SIGNED, Estimate, over_seeds, paired
from oilwater_jax.reporting import palette, plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
FRONTIERS = runpy.run_path(str(HERE.parent / "frontiers" / "report.py"))
one, chosen, LABELS, SETS = (FRONTIERS[name] for name in ("one", "chosen", "LABELS", "SETS"))
NAMES = ("dlbd", "fashion_dlbd", "sa", "fashion_sa")
LAMBDAS = ("3", "10", "50")
STOPS = ("3", "5", "9")
PAIRS = ("epic+jtt", "epic/jtt", "epic/george")
SET_LABELS = ["poisons", *(name.replace("_", "-").upper() for name in SETS[1:])]
POINTS = (0.0, float("inf"))


class Case(NamedTuple):
    """An attack on a data set: its frontier's lines, and the figure that says how far it succeeds."""

    data: str
    attack: str
    success: str
    lines: Sequence[Line]
    result: dict[str, Any]  # what frontier.json held

    @property
    def answers(self) -> dict[str, frontier.Answer]:
        """What each row can reach."""
        return {answer.row: answer for answer in frontier.answers(self.result)}

    def head(self) -> list[str]:
        """The first two cells of each of its table lines."""
        return [self.data, self.attack]

    def of(self, line: Line) -> Estimate | None:
        """The attack's success on a line: net ASR, or damage."""
        return over_seeds(line.figures[self.success], SIGNED)

    def gain(self, line: Line, other: Line, name: str = "wga") -> str:
        """How much more of a figure a line has than another, seed by seed."""
        return str(paired(line.figures[name], other.figures[name]) or "-")

    def need(self, row: str, split: str = "test", **setting: str) -> Line:
        """The line of a row at a setting."""
        found = one(self.lines, row, split, **setting)
        assert found is not None, (self.data, self.attack, row, setting)
        return found


def cases() -> list[Case]:
    """What has been run."""
    found = []
    for name in NAMES:
        if lines := FRONTIERS["read"](name):
            result = FRONTIERS["result"](name)
            found.append(Case(result["data"], result["attack"].upper(), result["verdict"], lines, result))
    return found


def note(found: Iterable[Case]) -> str:
    """What the figures of a table are."""
    n = {len(case.lines[0].seeds) for case in found}
    return (
        f"Test, per cent, mean [95% interval], n = {', '.join(map(str, sorted(n)))} seeds. Success under DLBD: net ASR "
        "(attack success rate less the rate without the trigger). Under SA: damage (accuracy on the attacked "
        "subpopulation of ERM on clean data, less that of the training in question).\n\n"
    )


def share(line: Line, kind: str) -> list[str]:
    """A figure of each set."""
    within = POINTS if kind == "draws" else SHARE
    found = [over_seeds(line.figures[f"{kind}.{name}"], within) for name in SETS]
    return ["-" if each is None else each.text() if kind == "draws" else str(each) for each in found]


def table01(found: Sequence[Case]) -> str:
    """Whom the heuristics identify."""
    body = []
    for case in found:
        jtt, george = case.need("jtt", lambda_up="10"), case.need("george")
        for label, line, kind in (
            ("JTT", jtt, "idnf"),
            ("GEORGE", george, "idnf"),
            ("GEORGE, above its class's mean", george, "idnf_class"),
            ("GEORGE, draws per epoch", george, "draws"),
        ):
            body.append([*case.head(), label, *share(line, kind)])
    return note(found) + markdown_table(
        ["data", "attack", "share drawn above once (IDNF)", *SET_LABELS], body
    )


def table02(found: Sequence[Case]) -> str:
    """Amplification without it, of all that was flagged, and of the same without the poisons."""
    body = []
    for case in found:
        erm, best = case.need("erm"), chosen(case.lines, "jtt")
        value = best.dials["jtt.lambda_up"]
        wanted = [(f"JTT, lambda_up {value} (chosen)", "jtt", {"lambda_up": value})]
        wanted += [(f"JTT, lambda_up {x}", "jtt", {"lambda_up": x}) for x in LAMBDAS if x != value]
        wanted += [("GEORGE", "george", {})]
        body.append([*case.head(), "ERM", *(str(x) for x in (erm.of("wga"), case.of(erm))), *["-"] * 4])
        for label, row, setting in wanted:
            line, ideal = case.need(row, **setting), case.need(f"{row}:ideal", **setting)
            cells = [str(line.of("wga")), str(case.of(line)), case.gain(line, erm, case.success)]
            cells += [str(ideal.of("wga")), str(case.of(ideal)), case.gain(line, ideal, case.success)]
            body.append([*case.head(), label, *cells])
    head = ["data", "attack", "training", "WGA", "success", "success - ERM's"]
    head += ["ideal: WGA", "ideal: success", "success - ideal's"]
    return note(found) + markdown_table(head, body)


def table03(found: Sequence[Case]) -> str:
    """EPIc over its stopping epoch."""
    body = []
    for case in found:
        erm = case.need("erm")
        body.append(
            [*case.head(), "ERM", str(erm.of("wga")), "-", str(case.of(erm)), "-", *["-"] * len(SETS)]
        )
        for stop in STOPS:
            line = case.need("epic", stop_after=stop)
            cells = [str(line.of("wga")), case.gain(line, erm), str(case.of(line))]
            cells.append(case.gain(line, erm, case.success))
            body.append([*case.head(), stop, *cells, *share(line, "elmf")])
    head = ["data", "attack", "stop_after", "WGA", "WGA - ERM's", "success", "success - ERM's"]
    return note(found) + markdown_table([*head, *(f"ELMF {name}" for name in SET_LABELS)], body)


def table19(found: Sequence[Case]) -> str:
    """EPIc with a group-robustness method, beside the method alone."""
    body = []
    for case in found:
        for row in ("jtt", "george", *PAIRS):
            answer = case.answers[row]
            cells = [
                dials.text(answer.chosen.point["setting"]),
                str(answer.chosen.wga),
                str(answer.chosen.success),
            ]
            held = answer.at_best
            cells += (
                ["none", "-", "-", "-"]
                if held is None
                else [dials.text(held.point["setting"]), str(held.wga), str(held.gain), str(held.success)]
            )
            body.append([*case.head(), LABELS[row], *cells])
    head = ["data", "attack", "training", "chosen: setting", "WGA", "success"]
    head += ["at best: setting", "WGA", "WGA - ERM's", "success"]
    said = "".join(
        f"- {case.data}, {case.attack}: {sentence}\n"
        for case in found
        for sentence in frontier.sentences(case.result)
    )
    return f"{note(found)}{markdown_table(head, body)}\n{said}"


def draw(found: Sequence[Case], path: Path) -> None:
    """Every case a panel: WGA against success, JTT's dial, the same without the poisons, GEORGE, EPIc and pairs."""
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.4), sharey=True)
    styles = {
        "jtt": ("o-", palette.VERMILLION),
        "jtt:ideal": ("^--", palette.BLUE),
        "george": ("D", palette.VERMILLION),
        "george:ideal": ("d", palette.BLUE),
        "epic": ("s:", palette.GREY),
        "epic/jtt": ("P", palette.GREEN),
        "epic/george": ("X", palette.GREEN),
    }
    for axis, case in zip(axes.flat, found, strict=True):
        erm = case.need("erm")
        bar = 100 * (erm.mean(case.success) + pareto.SLACK)
        axis.axvspan(-100, bar, color="0.93", zorder=0, label="at most ERM's + 5 points")
        axis.plot(100 * erm.mean(case.success), 100 * erm.mean("wga"), "k*", markersize=9, label="ERM")
        for row, (style, tone) in styles.items():
            own = [line for line in case.lines if (line.row, line.split) == (row, "test")]
            xs, ys = ([100 * line.mean(name) for line in own] for name in (case.success, "wga"))
            axis.plot(xs, ys, style, color=tone.light, markersize=5, label=LABELS[row])
        axis.set_title(f"{case.data}, {case.attack}", fontsize=9)
        axis.set(xlim=(-30, 102), ylim=(0, 102))
        axis.set_xlabel("net ASR, %" if case.success == "net" else "damage, points")
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("worst-group accuracy, %")
    axes[0][1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    plots.save(figure, path)


def report(out: Path = HERE) -> None:
    """Write all tables and the figure."""
    found = cases()
    for name, table in (("01", table01), ("02", table02), ("03", table03), ("19", table19)):
        write_text(out / f"table{name}.md", table(found))
    draw(found, out / "tables.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tables 1, 2, 3 and 19 from the committed values.")
    parser.add_argument("--out", type=Path, default=HERE)
    report(parser.parse_args().out)
