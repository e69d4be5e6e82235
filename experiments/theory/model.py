"""The closed form at its default settings, and over lambda_up: the figures of README.md.

python experiments/theory/model.py

Writes model.md beside this file.
"""

import argparse
from pathlib import Path

import numpy as np

from oilwater_jax.files import write_text
from oilwater_jax.reporting.tables import markdown_table
from oilwater_jax.theory import report as told
from oilwater_jax.theory.model import Model, erm
from oilwater_jax.theory.phase import best_rules

HERE = Path(__file__).parent
LAMBDAS = (1.0, 3.0, 5.0, 10.0, 20.0, 50.0)
TAILS = (1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 50.0, 100.0, 200.0)  # lambda_up of the best upper tail
THRESHOLDS = 100


def table(of: told.Lines) -> str:
    """A table of the command, as Markdown."""
    return markdown_table(of.head, of.body)


def dial() -> str:
    """A line per lambda_up."""
    body = []
    for times in LAMBDAS:
        found = told.everything(Model(lambda_up=times))
        one, ideal, ends = found["jtt"]["standard"], found["jtt"]["ideal"], found["window"]["exact"]
        rates = [one["wga"], one["asr"], one["untriggered"], ideal["wga"], ideal["asr"]]
        low, high = ("none" if one is None else f"{100 * one:.2f}" for one in (ends["low"], ends["high"]))
        window = "none" if low in ("none", high) else f"{low} to {high}"
        body.append([f"{times:g}", *(f"{100 * rate:.1f}" for rate in rates), window])
    return markdown_table(
        ["lambda_up", "WGA", "ASR", "untriggered", "WGA ideal", "ASR ideal", "window of budgets"], body
    )


def rules() -> str:
    """The best WGA with an ASR of at most 10%, over all thresholds, of an upper tail and of a band of losses."""
    body = []
    for times in TAILS:
        model = Model(lambda_up=times)
        best = best_rules(model, np.asarray(erm(model))[None], thresholds=THRESHOLDS)
        body.append([f"{times:g}", *(f"{100 * float(one[0]):.1f}" for one in best)])
    return markdown_table(["lambda_up", "upper tail", "band"], body)


def report(out: Path = HERE) -> None:
    """Write model.md."""
    found = told.everything(Model())
    said = "".join(f"- {one}\n" for one in told.sentences(found))
    text = f"The model at its defaults, fractions in per cent\n\n{table(told.group_lines(found))}\n"
    text += f"{table(told.training_lines(found))}\n{table(told.budget_lines(found))}\n{said}\n"
    text += f"Over lambda_up\n\n{dial()}\n"
    text += f"Best WGA with an ASR of at most 10%, over {THRESHOLDS} thresholds on the loss\n\n{rules()}"
    write_text(out / "model.md", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The closed form at its defaults.")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="folder of model.md (default: beside this file)"
    )
    report(parser.parse_args().out)
