"""Tables and figures of the matrices from the committed values: NAME.csv of every matrix that has been run.

python experiments/matrix/report.py

Writes NAME.md (counts, a table by defence and method, every row), of a whole matrix NAME_matrix.png, and across.md
(the rows that have both anywhere, under every attack) beside this file.
"""

import argparse
import runpy
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oilwater_jax.files import write_text
from oilwater_jax.frontier import dials, pareto, points
from oilwater_jax.frontier import report as frontier
from oilwater_jax.intervals import SHARE, SIGNED, clopper_pearson, over_seeds
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
OWN = "own_cost"  # a damage that a row does without an attack
COUNTED = ("settings", *OUTCOMES, "both [exact 95%]", "both, by the means alone")


def outcome(point: Mapping[str, Any], erm: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What a setting has on test, one of OUTCOMES."""
    own, plain = (frontier.choice(one, erm, result) for one in (point, erm))
    raised, held = frontier.verdict(own, plain)
    return OUTCOMES[2 * (not raised) + (not held)]


def both_by_means(point: Mapping[str, Any], erm: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    """Whether a setting has a mean WGA above ERM's, and holds the attack: what few seeds cannot prove but do show."""
    own, plain = (frontier.choice(one, erm, result) for one in (point, erm))
    return own.wga.mean > plain.wga.mean and frontier.verdict(own, plain)[1]


def kinds(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """How many settings of each kind of row have what, a cell for each of COUNTED."""
    erm = next(point for point in result["points"] if point["row"] == "erm")
    body = {}
    for aims, words in KINDS.items():
        own = [p for p in result["points"] if p["row"] != "erm" and tuple(p["methods"].values()) == aims]
        if not own:
            continue
        found = [outcome(point, erm, result) for point in own]
        low, high = clopper_pearson(found.count("both"), len(own))
        share = f"{100 * low:.0f} to {100 * high:.0f}%"
        mean = sum(both_by_means(point, erm, result) for point in own)
        body[words] = [str(len(own)), *(str(found.count(one)) for one in OUTCOMES), share, str(mean)]
    return body


def counts(result: Mapping[str, Any]) -> str:
    """The same as a table."""
    return markdown_table(["rows", *COUNTED], [[words, *cells] for words, cells in kinds(result).items()])


def about(result: Mapping[str, Any]) -> str:
    """Data and attack."""
    return f"{result['data']}, {result['attack']} at {100 * result['budget']:g}%"


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
    """Every setting on test: WGA, success, adjusted accuracy, who is eliminated, what the row costs by itself."""
    body = []
    costs = any(OWN in point["test"] for point in result["points"])
    for point in result["points"]:
        own = point["test"]
        shares = [over_seeds(own[name], SHARE) for name in ("acc_adjusted", "elmf.poison", "elmf.lrg_1")]
        shares += [over_seeds(own[OWN], SIGNED)] if costs else []
        cells = [over_seeds(own["wga"], SHARE), frontier.success_of(point, "test", result), *shares]
        body.append(
            [point["label"], dials.text(point["setting"]), *("-" if x is None else str(x) for x in cells)]
        )
    head = ["training", "setting", "WGA", "success", "adj. ACC", "ELMF poisons", "ELMF LRG-1"]
    return markdown_table([*head, *(["own cost"] if costs else [])], body)


def net_of(result: Mapping[str, Any], clean: Mapping[str, Any]) -> dict[str, Any]:
    """The damage of every setting net of what the same setting costs the attacked group on clean data, seed by seed.

    Damage is measured against ERM on clean data, and so has in it what a method gives up for its WGA without any
    attack. Settings without a counterpart are left out; ERM's is nought by definition.
    """
    name = result["verdict"]
    own = {(one["row"].removesuffix("@clean"), dials.text(one["setting"])): one for one in clean["points"]}
    found = []
    for point in result["points"]:
        if (other := own.get((point["row"], dials.text(point["setting"])))) is None:
            continue
        new = dict(point)
        for split in points.SPLITS:
            zero = [0.0] * len(point[split][name])
            cost = zero if point["row"] == "erm" else other[split][name]
            net = [one - less for one, less in zip(point[split][name], cost, strict=True)]
            new[split] = {**point[split], name: net, OWN: cost}
        found.append(new)
    said = f"{result['measures'][name]} net of the row's own on clean data"
    return {**result, "points": found, "measures": {**result["measures"], name: said}}


def across(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows that have both in one matrix or more: what they have in every one, and in how many both."""
    found = {name: {one.row: one for one in frontier.answers(result)} for name, result in results.items()}
    both = {
        name: {row for row, one in own.items() if row != "erm" and frontier.has_both(one, own["erm"])}
        for name, own in found.items()
    }
    times = Counter(row for rows in both.values() for row in rows)
    body = []
    order = list(dict.fromkeys(row for own in found.values() for row in own))
    for row in ("erm", *sorted(times, key=lambda row: (-times[row], order.index(row)))):
        cells = []
        for name, own in found.items():
            best = own[row].at_best if row in own else None
            told = "none" if best is None else f"{100 * best.wga.mean:.0f} / {100 * best.success.mean:.0f}"
            cells.append("-" if row not in own else told + "*" * (row in both[name]))
        label = next(own[row].label for own in found.values() if row in own)
        body.append([label, *cells, "-" if row == "erm" else str(times[row])])
    return markdown_table(["training", *map(about, results.values()), "both"], body)


def results() -> dict[str, dict[str, Any]]:
    """Every committed file of values by its stem; with `_net` behind it where its rows on clean data are there too."""
    stems = sorted(file.stem for file in HERE.glob("*.csv"))
    read = {
        stem: REBUILT(points.read(HERE / f"{stem}.csv"), RUN["config_of"](RUN["name_of"](stem)))
        for stem in stems
    }
    found = {stem: result for stem, result in read.items() if not stem.endswith("_clean")}
    nets = {
        stem: net_of(one, read[f"{stem}_clean"]) for stem, one in found.items() if f"{stem}_clean" in read
    }
    return found | {f"{stem}_net": result for stem, result in nets.items()}


def report(out: Path = HERE) -> None:
    """Write the tables and figures of those that there are."""
    whole = {}
    for name, result in results().items():
        slack = f"{100 * pareto.SLACK:g} points"
        text = (
            f"{frontier.note(result)}\n\nSettings by what they have on test: WGA above ERM's by the paired interval, "
            f"the attack held\nwithin {slack} of ERM's success by the mean\n\n{counts(result)}\n"
            "WGA / success at best (test); none: every setting amplifies the attack on validation; *: has both\n\n"
            f"{cells(result)}\nEvery row\n\n{frontier.markdown(result)}"
        )
        if (matrix := name.removesuffix("_net")) == RUN["name_of"](name):
            whole[matrix] = result  # net of the rows' own cost, where that is known
            frontier.draw_matrix(out / f"{name}_matrix.png", result, frontier.matrices(result)["matrix"])
        else:
            text += f"\nEvery setting\n\n{settings(result)}"
        write_text(out / f"{name}.md", text)
    whole = {name: whole[name] for name in RUN["CONFIG_OF"] if name in whole}
    pairs = [[about(result), *kinds(result)[KINDS["eliminate", "amplify"]]] for result in whole.values()]
    write_text(
        out / "across.md",
        "WGA / success at best (test), 3 seeds; none: every setting amplifies the attack on validation; *: has both; "
        f"-: no such row\n\n{across(whole)}\nSettings of pairs, by what they have on test\n\n"
        f"{markdown_table(['data and attack', *COUNTED], pairs)}",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The matrices from the committed values.")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="folder of the tables (default: beside this file)"
    )
    report(parser.parse_args().out)
