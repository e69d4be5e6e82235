"""Tables and figures of the matrices from the committed values: NAME.csv of every matrix that has been run.

python experiments/matrix/report.py

Writes NAME.md (counts, a table by defence and method, every row) and, of a whole matrix, NAME_matrix.png beside this
file.
"""

import argparse
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax.files import write_text
from oilwater_jax.frontier import dials, pareto, points
from oilwater_jax.frontier import report as frontier
from oilwater_jax.intervals import SHARE, clopper_pearson, over_seeds, paired
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
RUN = runpy.run_path(str(HERE / "run.py"))
REBUILT = runpy.run_path(str(HERE.parent / "frontiers" / "report.py"))["rebuilt"]
KINDS = {
    ("amplify",): "amplifies",
    ("eliminate",): "eliminates",
    ("train",): "hardens training",
    ("eliminate", "amplify"): "eliminates, then amplifies",
}
OUTCOMES = ("both", "only WGA", "only the attack held", "neither")


def outcome(point: Mapping[str, Any], erm: Mapping[str, Any], verdict: str) -> str:
    """What a setting has on test: WGA above ERM's by the paired interval, success within SLACK of ERM's, by means."""
    gain = paired(point["test"]["wga"], erm["test"]["wga"])
    raised = gain is not None and gain.low is not None and gain.low > 0
    success, bound = (float(np.mean(one["test"][verdict])) for one in (point, erm))
    held = success <= bound + pareto.SLACK
    return OUTCOMES[2 * (not raised) + (not held)]


def counts(result: Mapping[str, Any]) -> str:
    """How many settings of each kind of row have what."""
    erm = next(point for point in result["points"] if point["row"] == "erm")
    body = []
    for aims, words in KINDS.items():
        own = [p for p in result["points"] if p["row"] != "erm" and tuple(p["methods"].values()) == aims]
        found = [outcome(point, erm, result["verdict"]) for point in own]
        if not own:
            continue
        low, high = clopper_pearson(found.count("both"), len(own))
        share = f"{100 * low:.0f} to {100 * high:.0f}%"
        body.append([words, str(len(own)), *(str(found.count(one)) for one in OUTCOMES), share])
    return markdown_table(["rows", "settings", *OUTCOMES, "both [exact 95%]"], body)


def cells(result: Mapping[str, Any]) -> str:
    """WGA and success at best, a line per defence and a column per amplifying method."""
    matrix = frontier.matrices(result).get("matrix", {})
    defences, methods = (list(dict.fromkeys(key[at] for key in matrix)) for at in (0, 1))
    body = []
    for defence in defences:
        line = ["none" if defence == "-" else defence]
        for method in methods:
            one = matrix.get((defence, method))
            best = None if one is None else one.at_best
            told = "none" if best is None else f"{100 * best.wga.mean:.0f} / {100 * best.success.mean:.0f}"
            told += "*" * (one is not None and frontier.has_both(one, matrix["-", "-"]))
            line.append("-" if one is None else told)
        body.append(line)
    return markdown_table(["defence", *("none" if one == "-" else one for one in methods)], body)


def settings(result: Mapping[str, Any]) -> str:
    """Every setting on test: WGA, success, adjusted accuracy, who is eliminated."""
    body = []
    for point in result["points"]:
        own = point["test"]
        shares = [over_seeds(own[name], SHARE) for name in ("acc_adjusted", "elmf.poison", "elmf.lrg_1")]
        cells = [over_seeds(own["wga"], SHARE), frontier.success_of(point, "test", result), *shares]
        body.append(
            [point["label"], dials.text(point["setting"]), *("-" if x is None else str(x) for x in cells)]
        )
    head = ["training", "setting", "WGA", "success", "adj. ACC", "ELMF poisons", "ELMF LRG-1"]
    return markdown_table(head, body)


def report(out: Path = HERE) -> None:
    """Write the tables and figures of those that there are."""
    for file in sorted(HERE.glob("*.csv")):
        name = file.stem
        result = REBUILT(
            points.read(file), RUN["config_of"](name.removesuffix("_last").removesuffix("_confirmed"))
        )
        slack = f"{100 * pareto.SLACK:g} points"
        text = (
            f"{frontier.note(result)}\n\nSettings by what they have on test: WGA above ERM's by the paired interval, "
            f"the attack held\nwithin {slack} of ERM's success by the mean\n\n{counts(result)}\n"
            "WGA / success at best (test); none: every setting amplifies the attack on validation; *: has both\n\n"
            f"{cells(result)}\nEvery row\n\n{frontier.markdown(result)}"
        )
        if "confirmed" in name:
            text += f"\nEvery setting\n\n{settings(result)}"
        else:
            frontier.draw_matrix(out / f"{name}_matrix.png", result, frontier.matrices(result)["matrix"])
        write_text(out / f"{name}.md", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The matrices from the committed values.")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="folder of the tables (default: beside this file)"
    )
    report(parser.parse_args().out)
