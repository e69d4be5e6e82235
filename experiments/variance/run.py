"""Whose luck is it? The poisons, the pretraining and the training vary apart, each over the same three seeds.

    python experiments/variance/run.py run --workdir=runs/variance
    python experiments/variance/run.py report

ERM and JTT at the setting of the main job under DLBD, all 3 x 3 x 3 combinations of the three seeds. A run that was
interrupted resumes. `run` leaves points.csv (every combination) beside this file, `report` variance.md.
"""

import itertools
import runpy
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from oilwater_jax import load, rng
from oilwater_jax.files import write_text
from oilwater_jax.frontier import points
from oilwater_jax.frontier.run import run
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
COMMAND = runpy.run_path(str(HERE.parent / "command.py"))["command"]
CONFIG = HERE.parent.parent / "configs" / "waterdigits" / "dlbd.py"
LEVELS = 3
SOURCES = ("poisons", "pretraining", "training")  # the axes of a table
ROWS = ("erm", "jtt")
FIGURES = {"wga": "WGA", "net": "net ASR"}
SHUFFLES = 9_999


def measure(workdir: Path) -> None:
    """Train every combination."""
    seeds = ",".join(map(str, range(LEVELS)))
    fixed = ("jtt.lambda_up=20", "identify.epochs=4")
    run(
        load(CONFIG, {"rows": ",".join(ROWS)}),
        workdir,
        dial=(f"seeds.attack={seeds}", f"seeds.pretrain={seeds}", *fixed),
        seeds=LEVELS,
    )
    shutil.copy(workdir / "points.csv", HERE / "points.csv")


def table(lines: Sequence[points.Line], row: str, figure: str) -> Float[np.ndarray, "a p t"]:
    """A figure by the seeds of poisons, pretraining and training."""
    found = np.full((LEVELS,) * 3, np.nan)
    for line in lines:
        if (line.row, line.split) == (row, "test") and "seeds.attack" in line.dials:
            at = tuple(int(line.dials[f"seeds.{name}"]) for name in ("attack", "pretrain"))
            found[at][line.seeds] = line.figures[figure]
    return found


def by_seed(values: Float[np.ndarray, "a p t"], axis: int) -> Float[np.ndarray, " s"]:
    """The mean of each seed of a source."""
    return values.mean(axis=tuple({0, 1, 2} - {axis}))


def shares(values: Float[np.ndarray, "a p t"]) -> Float[np.ndarray, "3"]:
    """The share of the sum of squares that each source's means explain: of the poisons, pretraining, training.

    Edge case                   Result
    all values equal            0, 0, 0
    one source decides all      1 for it, 0 for the others

    References: eta squared of a three-way crossed design without repetition.
    """
    total = ((values - values.mean()) ** 2).sum()
    if not total:
        return np.zeros(3)
    means = [by_seed(values, axis) for axis in range(3)]
    return np.array([values.size / len(one) * ((one - values.mean()) ** 2).sum() / total for one in means])


def by_chance(values: Float[np.ndarray, "a p t"]) -> Float[np.ndarray, "3"]:
    """How often a shuffled table gives each source at least its share: p, of SHUFFLES shuffles and the table itself."""
    own, draw = shares(values), rng.generator(0, "variance")
    more = np.ones(3)
    for _ in range(SHUFFLES):
        more += shares(draw.permutation(values.ravel()).reshape(values.shape)) >= own - 1e-12
    return more / (SHUFFLES + 1)


def report(out: Path = HERE) -> None:
    """Write variance.md."""
    lines, body, means = points.read(HERE / "points.csv"), [], []
    for row, (figure, heading) in itertools.product(ROWS, FIGURES.items()):
        values = table(lines, row, figure)
        share, p = shares(values), by_chance(values)
        cells = [
            f"{100 * one:.0f}% ({f'p {chance:.3f}' if chance >= 0.001 else 'p < 0.001'})"
            for one, chance in zip(share, p, strict=True)
        ]
        spread = f"{100 * values.mean():.1f} ± {100 * values.std(ddof=1):.1f}"
        extremes = " to ".join(str(round(100 * one)) for one in (values.min(), values.max()))
        each = (by_seed(values, axis) for axis in range(3))
        means.append(
            [row.upper(), heading, *(", ".join(f"{100 * one:.1f}" for one in ones) for ones in each)]
        )
        body.append([row.upper(), heading, spread, extremes, *cells, f"{100 * (1 - share.sum()):.0f}%"])
    chance = (LEVELS - 1) / (LEVELS**3 - 1)
    text = (
        f"waterdigits, DLBD at 1%, lambda_up 20, T 4, test, per cent: mean ± standard deviation of n = {LEVELS**3} "
        f"trainings,\nleast to largest. Share of the variance that {LEVELS} seeds of each source explain; by chance "
        f"{100 * chance:.1f}%.\np: shuffled tables that give it at least as much. The rest is what no single seed "
        "explains.\n\n"
    )
    head = ["training", "figure", "mean ± sd", "range", *SOURCES, "the rest"]
    text += f"{markdown_table(head, body)}\nMean of each seed (0, 1, 2) of a source\n\n"
    write_text(out / "variance.md", text + markdown_table(["training", "figure", *SOURCES], means))


if __name__ == "__main__":
    COMMAND(
        "The shares of variance by poisons, pretraining and training.",
        measure,
        report,
        here=HERE,
        choices=("run", "report"),
    )
