"""A study's summary: summary.json from the figures of its seeds, and as tables for a terminal and for Markdown.

Needs no JAX.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from oilwater_jax.intervals import SHARE, over_seeds
from oilwater_jax.reporting import study_advantage
from oilwater_jax.reporting.study_advantage import labels
from oilwater_jax.reporting.summary import spread

SCORES = {
    "loss": "loss",
    "margin": "margin",
    "last_layer_norm": "gradient norm, last layer",
    "gradient_norm": "gradient norm, full",
    "cluster_size": "EPIc cluster size",
    "neighbour_distance": "k-th neighbour distance",
    "first_learned": "first-learned epoch",
    "forgetting_count": "forgetting count",
    "loss_variance": "loss variance",
    "class_cosine": "cosine to class mean",
}
"""A score's name in tables and figures, by its name in summary.json."""
QUESTIONS = ("poison_vs_lrg", "poison_vs_hrg", "lrg_vs_hrg")
"""What every study asks; one with several minorities also asks `poison_vs_lrg_1`, ... of each."""
NESTED = {"single": "best score (nested)", "pair": "best pair (nested)"}


class Strongest(NamedTuple):
    """The score (or pair) of highest separability over all epochs: chosen after the fact, hence optimistic."""

    name: str
    epoch: int
    auroc: float

    @property
    def separability(self) -> float:
        """The AUROC in the better of its two directions, 0.5 .. 1."""
        return max(self.auroc, 1 - self.auroc)


def summarise(
    figures: Mapping[int, Mapping[str, Any]],
    config: Mapping[str, Any],
    seeds: list[int],
    labels: Mapping[str, str] = SCORES,
) -> dict[str, Any]:
    """What a study's summary.json holds, from each seed's `separability`; seeds without figures are left out.

    `labels` are the scores' names in tables, kept under `scores`.

    Every AUROC is a list over `epochs` of `{"auroc": mean, "auroc_std", "auroc_seeds", "low_seeds", "high_seeds"}`,
    the last two a seed's 95% bootstrap interval over its samples; null where a seed lacks one of the two sets.
    `advantage` is `study_advantage.summarise`'s.
    """
    done = [figures[seed] for seed in seeds if seed in figures]
    epochs = list(config["study"]["epochs"])
    asked = list(done[0]["auroc"]) if done else list(QUESTIONS)
    steps = range(len(epochs))
    auroc = {
        question: {
            name: [
                spread("auroc", _at(done, question, name, "value", at))
                | {f"{end}_seeds": _at(done, question, name, end, at) for end in ("low", "high")}
                for at in steps
            ]
            for name in labels
        }
        for question in asked
    }
    kinds = done[0]["counts"] if done else ()
    return {
        "command": "study",
        "seeds": seeds,
        "epochs": epochs,
        "data": config["data"]["name"],
        "attack": config["attack"]["name"],
        "k": config["study"]["k"],
        "epic": {name: config["epic"][name] for name in ("ratio", "gradients")},
        "n_train": done[0]["n_train"] if done else None,
        "counts_seeds": {kind: [one["counts"][kind] for one in done] for kind in kinds},
        "scores": dict(labels),
        "auroc": auroc,
        "advantage": study_advantage.summarise(done, asked),
        "judged_epoch": judged_epoch(config, epochs),
        "pairs": _pairs(done, steps),
    }


def judged_epoch(config: Mapping[str, Any], epochs: list[int]) -> int:
    """The epoch after which methods look at the model, T; the last of the study's where it does not look then."""
    looked = config.get("identify", {}).get("epochs")
    return looked if looked in epochs else epochs[-1]


def _at(done: list[Mapping[str, Any]], question: str, name: str, part: str, at: int) -> list[float | None]:
    answers = [one["auroc"][question] for one in done]
    return [None if answer is None else answer[name][part][at] for answer in answers]


def _pairs(done: list[Mapping[str, Any]], steps: range) -> dict[str, Any] | None:
    """`single`, `pair` and each pair of `by_pair`, a spread for each epoch; None where a seed has none."""
    found = [one["pairs"] for one in done]
    if not found or None in found:
        return None
    nested = {name: [spread("auroc", (one[at][name] for one in found)) for at in steps] for name in NESTED}
    by_pair = {
        name: [spread("auroc", (one[at]["by_pair"][name] for one in found)) for at in steps]
        for name in found[0][0]["by_pair"]
    }
    return {**nested, "by_pair": by_pair}


def score_names(summary: Mapping[str, Any]) -> Mapping[str, str]:
    """The scores' names in tables; a study of version 0.4 had the built-in ones alone."""
    return summary.get("scores", SCORES)


def strongest(series: Mapping[str, list[dict[str, Any]]], epochs: list[int]) -> Strongest | None:
    """Of several scores' AUROCs over epochs the one farthest from 0.5 in the mean; None if none is defined."""
    found = [
        Strongest(name, epoch, one["auroc"])
        for name, steps in series.items()
        for epoch, one in zip(epochs, steps, strict=True)
        if one["auroc"] is not None
    ]
    return max(found, key=lambda one: one.separability, default=None)


def headline(summary: Mapping[str, Any]) -> str:
    """One line on what the figures are of."""

    def count(kind: str) -> str:
        values = sorted(set(summary["counts_seeds"].get(kind, ())))
        return " to ".join(f"{value:,}" for value in values[:1] + values[1:][-1:]) or "0"

    seeds = len(summary["seeds"])
    what = "1 seed" if seeds == 1 else f"{seeds} seeds"
    return (
        f"{summary['data']}, attack {summary['attack']}: {summary['n_train']:,} training samples, "
        f"{count('poison')} poisons, {count('lrg')} LRG, {count('hrg')} HRG; {what}"
    )


def interval_words(summary: Mapping[str, Any]) -> str:
    """What the intervals of the tables are."""
    if len(summary["seeds"]) == 1:
        return "in brackets the 95% bootstrap interval over the samples"
    return "mean over the seeds [95% interval, Student's]"


def cell(one: Mapping[str, Any]) -> str:
    """`0.93 [0.88, 0.97]` for one seed, `0.93 [0.91, 0.95]` for several too, `-` if undefined."""
    if one["auroc"] is None:
        return "-"
    over = over_seeds(one["auroc_seeds"], SHARE)
    if over is not None and over.n > 1:
        return over.text()
    if "low_seeds" not in one:  # a mean over folds
        return f"{one['auroc']:.2f}"
    return f"{one['auroc']:.2f} [{one['low_seeds'][0]:.2f}, {one['high_seeds'][0]:.2f}]"


def lines(summary: Mapping[str, Any], question: str) -> list[list[str]]:
    """A question's table: a score and its AUROC at each epoch; below them pairs, for the question they are tried on."""
    body = [
        [score_names(summary)[name], *(cell(one) for one in steps)]
        for name, steps in summary["auroc"][question].items()
    ]
    if question == "poison_vs_lrg" and (pairs := summary["pairs"]):
        body += [[label, *(cell(one) for one in pairs[name])] for name, label in NESTED.items()]
    return body


def title(question: str) -> str:
    """`poisons against LRG (above 0.5: poisons score higher)`."""
    first, second = labels(question)
    return f"AUROC, {first} against {second} (above 0.5: {first} score higher)"


def findings(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for each question: what separates the two sets best, or why there is no answer."""
    found = []
    for question in summary["auroc"]:
        first, second = labels(question)
        best = strongest(summary["auroc"][question], summary["epochs"])
        if best is None:
            found.append(f"{first} against {second}: no answer, one of the sets has fewer than 2 samples")
            continue
        found.append(
            f"{first} against {second}: best is {score_names(summary)[best.name]} after epoch {best.epoch}, AUROC "
            f"{best.auroc:.2f} (separability {best.separability:.2f}, chosen after the fact)"
        )
    if summary["pairs"]:
        pair = strongest(summary["pairs"]["by_pair"], summary["epochs"])
        if pair is not None:
            names = " and ".join(score_names(summary)[name] for name in pair.name.split(" + "))
            found.append(
                f"best pair for poisons against LRG: {names} after epoch {pair.epoch}, held-out AUROC "
                f"{pair.auroc:.2f} (optimistic: chosen on the folds that it is measured on)"
            )
    return found + study_advantage.findings(summary)


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Print a table for each question, then the findings."""
    console.print(headline(summary), highlight=False, soft_wrap=True)
    tables = []
    for question in summary["auroc"]:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("after epoch", no_wrap=True)
        for epoch in summary["epochs"]:
            table.add_column(str(epoch), justify="right", no_wrap=True)
        for line in lines(summary, question):
            table.add_row(*line)
        tables.append(table)
    # Never cut a figure short: in a narrow terminal the lines run on.
    wide = console.options.update(max_width=1000)
    console.width = max(console.width, *(console.measure(table, options=wide).maximum for table in tables))
    for question, table in zip(summary["auroc"], tables, strict=True):
        console.print(f"\n{title(question)}", highlight=False, soft_wrap=True)
        console.print(table)
    console.print(f"AUROC: {interval_words(summary)}", highlight=False, soft_wrap=True)
    study_advantage.print_tables(summary, score_names(summary), console)
    for sentence in findings(summary):
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)
