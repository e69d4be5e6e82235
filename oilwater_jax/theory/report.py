"""Every figure of one setting, as JSON and as the tables and sentences that `oilwater theory` prints."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from oilwater_jax.theory.amplification import (
    MODES,
    amplified,
    flagged_moments,
    removal_needed,
    reweighted,
    window,
    window_exact,
)
from oilwater_jax.theory.budgets import budgets
from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.isolation import density, poison_more_isolated
from oilwater_jax.theory.model import GROUPS, Model, erm, flow, groups, margins, parts, spread
from oilwater_jax.theory.sample import measure

TIMES = (0.1, 0.3, 3.0)  # of training, beside the minimiser
SEEDS, SAMPLES, NOISE = 5, 4842, 50  # of the check at finite size: waterdigits with its poisons
CELLS = "fractions in per cent; AUROC and TV: what the loss tells of poison and minority"
LABELS = {"maj": "majority", "min": "minority", "poi": "poison"}


def by_group(values: np.ndarray) -> dict[str, float]:
    """Three numbers by the groups' names."""
    return dict(zip(GROUPS, map(float, values), strict=True))


def plain(value: Any) -> Any:
    """JSON of named tuples, NumPy's numbers and dictionaries; NaN and infinity become None."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (bool, np.bool)):
        return bool(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def everything(model: Model) -> dict[str, Any]:
    """All figures of one setting, JSON. Raises what `model.check` raises.

    `budgets`, `window`: None where there is no such budget. `sample`: None where a draw would leave a group empty.
    """
    w = erm(model)
    flagged = flagged_moments(model, w).share
    after = reweighted(model, flagged)
    times = {"inf": np.inf} | {f"{t:g}": t for t in TIMES}
    rare = budgets(model)
    return plain(
        {
            "settings": model,
            "parts": parts(model, w),
            "spread": spread(model, w),
            "margins": by_group(margins(model, w)),
            "weights": by_group(groups(model).weight),
            "figures": {name: figures(model, flow(model, t)) for name, t in times.items()},
            "budgets": {
                name: {"easier": found.easier, "half": found.half}
                for name, found in ((name, budgets(model, t)) for name, t in times.items())
            }
            | {
                "rare": {
                    "easier_early": rare.easier_early,
                    "easier_late": rare.easier_late,
                    "half": rare.half_rare,
                }
            },
            "flagged": by_group(flagged),
            "jtt": {mode: figures(model, amplified(model, w, mode=mode)) for mode in MODES},
            "groups": {"p": after.p, "beta": after.beta, "figures": figures(after, erm(after))},
            "window": {"exact": window_exact(model), "rare": window(model)},
            "removal_needed": removal_needed(model),
            "density": by_group(density(model, w)),
            "poison_more_isolated": poison_more_isolated(model, w),
            "sample": at_finite_size(model),
        }
    )


def at_finite_size(model: Model) -> dict[str, Any] | None:
    """Mean and standard deviation over SEEDS draws of SAMPLES samples with NOISE further coordinates."""
    try:
        found = [measure(model, SAMPLES, NOISE, np.random.default_rng(seed)) for seed in range(SEEDS)]
    except ValueError:
        return None
    rows = {
        "auroc": [one.auroc for one in found],
        "wga": [one.plain.wga for one in found],
        "asr": [one.plain.asr for one in found],
        **{f"jtt_{mode}_wga": [one.amplified[mode].wga for one in found] for mode in MODES},
        **{f"jtt_{mode}_asr": [one.amplified[mode].asr for one in found] for mode in MODES},
    }
    spreads = {name: {"mean": np.mean(row), "std": np.std(row, ddof=1)} for name, row in rows.items()}
    return {"n": SAMPLES, "noise": NOISE, "seeds": SEEDS, **spreads}


def cent(value: float | None, digits: int = 1) -> str:
    """`43.4%`, or `none`."""
    return "none" if value is None else f"{100 * value:.{digits}f}%"


def budget_words(value: float | None) -> str:
    """`3.63%`, with enough digits for a small budget."""
    if value is None or not 0 < value < 1:
        return "none" if value is None or value >= 1 else "0%"
    return f"{100 * value:.3g}%"


class Lines(NamedTuple):
    """A table of text: its headings, the first of them that of the lines' names, and its lines."""

    head: tuple[str, ...]
    body: list[list[str]]


def rich_table(of: Lines) -> Table:
    """The table for a terminal: names to the left, figures to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, column in enumerate(of.head):
        table.add_column(column, justify="right" if at else "left", no_wrap=True)
    for line in of.body:
        table.add_row(*line)
    return table


def group_lines(found: Mapping[str, Any]) -> Lines:
    """A line for each group: its size, its margin, and what the two heuristics make of it."""
    body = []
    for name in GROUPS:
        mean = found["margins"][name]
        body.append(
            [
                LABELS[name],
                f"{100 * found['weights'][name]:.2f}%",
                f"{mean:.3f}",
                f"{mean / found['spread']:.2f}",
                cent(1 - found["flagged"][name]),
                cent(found["flagged"][name]),
                f"{found['density'][name]:.4f}",
            ]
        )
    return Lines(("group", "share", "mean margin", "in sd", "fit", "flagged by JTT", "density"), body)


def training_lines(found: Mapping[str, Any]) -> Lines:
    """A line for each training: accuracies, attack, and what the loss tells."""
    trained = {f"plain, t = {name}": one for name, one in found["figures"].items() if name != "inf"}
    trained["plain, minimiser"] = found["figures"]["inf"]
    trained |= {f"JTT {mode}": one for mode, one in found["jtt"].items()}
    trained["JTT, whole groups"] = found["groups"]["figures"]
    body = []
    for name, one in trained.items():
        rates = [f"{100 * one[key]:.1f}" for key in ("wga", "majority", "minority", "asr", "untriggered")]
        body.append([name, *rates, f"{one['auroc']:.3f}", f"{one['tv']:.3f}"])
    return Lines(("training", "WGA", "majority", "minority", "ASR", "untriggered", "AUROC", "TV"), body)


def budget_lines(found: Mapping[str, Any]) -> Lines:
    """A line for each time of training, and those of the formulas: from which budget something turns round."""
    names = {f"{t:g}": f"after t = {t:g}" for t in TIMES} | {"inf": "after full training"}
    body = [
        [words, *(budget_words(found["budgets"][name][key]) for key in ("easier", "half"))]
        for name, words in names.items()
    ]
    rare = found["budgets"]["rare"]
    body.append(["formula, rare poison", budget_words(rare["easier_late"]), budget_words(rare["half"])])
    body.append(["formula, as training begins", budget_words(rare["easier_early"]), "-"])
    return Lines(("budget", "a poison is easier", "attack succeeds in half"), body)


def sentences(found: dict[str, Any]) -> Iterator[str]:
    """What the figures say, one plain sentence each."""
    own, beta = found["figures"]["inf"], found["settings"]["beta"]
    yield from _who_is_harder(own)
    yield from _budget_sentences(found["budgets"], beta)
    yield from _window_sentences(found["window"], beta)
    gain = found["jtt"]["standard"]["wga"] - own["wga"]
    rise = found["jtt"]["standard"]["asr"] - own["asr"]
    yield (
        f"JTT changes worst-group accuracy by {100 * gain:+.1f} points and attack success by {100 * rise:+.1f}; "
        f"without the poisons among the flagged (ideal) the attack succeeds in {cent(found['jtt']['ideal']['asr'])}."
    )
    worst = found["jtt"]["standard"]
    if worst["minority"] > worst["majority"]:
        yield "It overshoots: after JTT the former majority is the worst group; a lower lambda_up would do."
    if found["removal_needed"]:
        yield (
            f"After JTT the attack still wins more than half of the time unless {cent(found['removal_needed'])} of the "
            "poisons are removed first (rare poison, whole groups)."
        )
    if found["poison_more_isolated"]:
        yield "A poison is more isolated among the losses than a minority sample: EPIc takes the poisons first."
    else:
        yield "A minority sample is more isolated than a poison: EPIc takes the minority first."
    if one := found["sample"]:
        yield (
            f"With {one['n']:,} drawn samples and {one['noise']} noise coordinates ({one['seeds']} draws): AUROC "
            f"{one['auroc']['mean']:.3f} ± {one['auroc']['std']:.3f}, WGA {100 * one['wga']['mean']:.1f} ± "
            f"{100 * one['wga']['std']:.1f}, ASR {100 * one['asr']['mean']:.1f} ± {100 * one['asr']['std']:.1f}."
        )


def _who_is_harder(own: dict[str, Any]) -> Iterator[str]:
    harder, easier = (
        ("a poison", "a minority sample") if own["auroc"] >= 0.5 else ("a minority sample", "a poison")
    )
    ranked = max(own["auroc"], 1 - own["auroc"])
    yield (
        f"After full training {harder} has a higher loss than {easier} with probability {ranked:.3f}; no rule on the "
        f"loss can flag more than {100 * own['tv']:.1f} points more of one set than of the other."
    )


def _budget_sentences(found: dict[str, Any], beta: float) -> Iterator[str]:
    for name, when in (("inf", "full training"), *((f"{t:g}", f"training for t = {t:g}") for t in TIMES[:2])):
        at = found[name]["easier"]
        if at is None:
            yield f"After {when} no budget below 50% makes a poison easier than a minority sample."
        else:
            side = "above" if beta > at else "below"
            yield (
                f"After {when} a poison is easier than a minority sample from a budget of {budget_words(at)} on; "
                f"yours is {side} it."
            )
    late, early = (budget_words(found["rare"][f"easier_{one}"]) for one in ("late", "early"))
    yield f"Formulas (4) put that budget at {late} (full training, rare poison) and {early} (as training begins)."
    half = found["inf"]["half"]
    if half is None:
        yield "No budget below 50% lets the attack on plain training succeed more than half of the time."
    else:
        formula = budget_words(found["rare"]["half"])
        yield (
            f"The attack on plain training succeeds more than half of the time from a budget of {budget_words(half)} "
            f"on (formula for rare poison: {formula})."
        )


def _window_sentences(found: dict[str, Any], beta: float) -> Iterator[str]:
    low, high = found["exact"].values()
    if low is None:
        yield "No budget below 50% lets the attack on JTT succeed more than half of the time."
        return
    upper = "50%" if high is None else budget_words(high)
    if high is not None and low >= high:
        yield "There is no window of vulnerability: JTT turns no failing attack into one that succeeds."
        return
    where = "inside" if low < beta < (0.5 if high is None else high) else "outside"
    ends = list(found["rare"].values())
    formula = "has none" if None in ends else "says " + " to ".join(map(budget_words, ends))
    yield (
        f"Window of vulnerability: from {budget_words(low)} to {upper} JTT turns an attack that fails into one that "
        f"succeeds (formula (6) {formula}); your budget is {where}."
    )


def print_report(found: dict[str, Any], console: Console) -> None:
    """Print both tables, then the sentences."""
    settings = "  ".join(f"{name} {value:g}" for name, value in found["settings"].items())
    console.print(settings, highlight=False, soft_wrap=True)
    tables = [rich_table(one) for one in (group_lines(found), training_lines(found))]
    wide = console.options.update(max_width=1000)
    console.width = max(console.width, *(console.measure(table, options=wide).maximum for table in tables))
    for table in tables:
        console.print(table)
    console.print(f"{CELLS}\n", highlight=False)
    for sentence in sentences(found):
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)
