"""Advantages of a study's scores: the summary over seeds, its table and its findings.

An advantage is a statement about samples of this kind, within one training; over the seeds stands the median, because
trainings share their data and must not be pooled. Needs no JAX.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from oilwater_jax.reporting.summary import spread

KINDS = {"poison": "poisons", "lrg": "LRG", "hrg": "HRG"}
FIELDS = ("upper", "half_lines", "band", "dominance")


def labels(question: str) -> tuple[str, str]:
    """The two sets that a question compares, as tables name them: `poison_vs_lrg_1` is poisons, LRG-1."""
    first, second = (KINDS.get(kind, kind.upper().replace("_", "-")) for kind in question.split("_vs_"))
    return first, second


def middle(name: str, values: Iterable[float]) -> dict[str, Any]:
    """Median over the seeds, and every seed's value."""
    values = list(values)
    return {name: statistics.median(values), f"{name}_seeds": values}


def summarise(done: Sequence[Mapping[str, Any]], questions: Sequence[str]) -> dict[str, Any]:
    """`advantage` of a study's summary.json; None for a question that a seed has no answer to.

    `scores`: for each score and epoch the medians of `upper`, `half_lines`, `band`, `dominance`, of their null means
    (`null_upper`, ...) and p-values (`p_upper`, ...), each with `_seeds`. `rule`: mean and values of the cross-fitted
    rule on all scores, `low` the median of its lower bounds. `law`: the AUROC of the loss by the probit law. `dkw`,
    `kolmogorov`: half widths of one seed's 95% intervals of `upper` and `half_lines`; `band` has twice as much.
    """
    return {
        question: _question([one["advantage"][question] for one in done]) for question in questions if done
    }


def _question(seeds: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    known = [one for one in seeds if one is not None]
    if len(known) < len(seeds):
        return None
    steps = range(len(known[0]["rule"]))
    scores = {
        name: [_step([one["scores"][name][at] for one in known]) for at in steps]
        for name in known[0]["scores"]
    }
    rule = [
        spread("value", (one["rule"][at]["value"] for one in known))
        | middle("low", (one["rule"][at]["low"] for one in known))
        for at in steps
    ]
    lawful = all(one["law"] is not None for one in known)
    law = [middle("auroc", (one["law"][at] for one in known)) for at in steps] if lawful else None
    return {
        "scores": scores,
        "rule": rule,
        "law": law,
        **middle("dkw", (one["radius"]["dkw"] for one in known)),
        **middle("kolmogorov", (one["radius"]["kolmogorov"] for one in known)),
    }


def _step(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for prefix, part in (("", "value"), ("null_", "null"), ("p_", "p")):
        for field in FIELDS:
            found |= middle(f"{prefix}{field}", (one[part][field] for one in seeds))
    return found


def shown(summary: Mapping[str, Any]) -> list[str]:
    """The questions with poisons in them that have an answer; none in a study of an earlier version."""
    return [
        question
        for question, found in summary.get("advantage", {}).items()
        if found is not None and question.startswith("poison")
    ]


def lines(found: Mapping[str, Any], at: int, scores: Mapping[str, str]) -> list[list[str]]:
    """A question's table at one epoch: a line for each score, then the rule on all of them."""
    body = []
    for name, steps in found["scores"].items():
        one = steps[at]
        cells = [f"{one[field]:.2f}" for field in ("upper", "half_lines", "band")]
        cells += [f"{one['null_half_lines']:.2f}", f"{one['p_half_lines']:.3f}"]
        body.append([scores[name], *cells, f"{one['dominance'] + 0.0:.2f}", f"{one['p_dominance']:.3f}"])
    rule = found["rule"][at]
    body.append(["all scores, cross-fitted", f"{rule['value']:.2f}", "", "", "", "", "", ""])
    return body


def print_tables(summary: Mapping[str, Any], scores: Mapping[str, str], console: Console) -> None:
    """Print a table for each question of `shown`, at the epoch after which methods look."""
    if not (questions := shown(summary)):
        return
    epoch = summary["judged_epoch"]
    at = summary["epochs"].index(epoch)
    for question in questions:
        found = summary["advantage"][question]
        first, second = labels(question)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("score", "upper tail", "half-line", "band", "null", "p", "dominance", "p"):
            table.add_column(column, justify="left" if column == "score" else "right", no_wrap=True)
        for line in lines(found, at, scores):
            table.add_row(*line)
        wide = console.options.update(max_width=1000)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
        console.print(f"\nadvantage after epoch {epoch}, {first} against {second}", highlight=False)
        console.print(table)
        e, near = found["dkw"], found["kolmogorov"]
        console.print(
            f"95% interval ± {e:.2f}, bands ± {2 * e:.2f} (asymptotic: {near:.2f}, {2 * near:.2f}); the cross-fitted "
            f"rule's lower bound is {found['rule'][at]['low']:.2f}",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        "advantage: share flagged of the poisons less that of the other set, by the best upper tail, half-line or "
        "band; null, p: half-line, if the sets were equal; dominance: 0 where poisons are nowhere the lower, its p "
        "small where that is refuted" + ("; medians over the seeds" if len(summary["seeds"]) > 1 else ""),
        highlight=False,
        soft_wrap=True,
    )


def findings(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for each minority: the best half-line at that epoch, and the probit law beside the measured AUROC."""
    found = []
    epoch = summary.get("judged_epoch")
    for question in shown(summary):
        if "lrg" not in question:
            continue
        one, at = summary["advantage"][question], summary["epochs"].index(epoch)
        _, second = labels(question)
        # Of equals, up to rounding, the first: loss.
        name = max(one["scores"], key=lambda name: round(one["scores"][name][at]["half_lines"], 9))
        best = one["scores"][name][at]
        sentence = (
            f"poisons against {second} after epoch {epoch}: the best threshold is on {name.replace('_', ' ')}, "
            f"advantage {best['half_lines']:.2f} ({best['null_half_lines']:.2f} if the sets were equal; score and "
            "threshold chosen after the fact)"
        )
        measured = summary["auroc"][question]["loss"][at]["auroc"]
        if one["law"] is not None and measured is not None:
            law = one["law"][at]["auroc"]
            sentence += f"; AUROC of the loss {measured:.2f}, {law:.2f} by the probit law from the shares fit"
        found.append(sentence)
    return found
