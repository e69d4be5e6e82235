"""GM with one target per trial and many trials: exact shares of the targets that are hit, paired by McNemar's test.

    oilwater sweep --config=experiments/frontiers/gm.py --workdir=runs/gm
    python experiments/frontiers/gm.py runs/gm

A trial is another target and other poisons of a seed; pretraining, the attacker's victim and ERM on clean data are
the seed's. 20 trials x 5 seeds are 100 targets a line. Leaves gm.csv (a line per eps, row, seed and trial) and gm.md
beside this file, of the trials that are finished in every row of an eps; an eps that the folder has no run of keeps
the lines that gm.csv has.
"""

import argparse
import csv
from pathlib import Path
from statistics import fmean
from typing import Any

from oilwater_jax import Config, Grid, load
from oilwater_jax.files import write_text
from oilwater_jax.intervals import mcnemar, of_counts, over_seeds, paired
from oilwater_jax.reporting.summary import read
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
CONFIG = HERE.parent.parent / "configs" / "waterdigits" / "gm.py"
TRIALS, SEEDS = 20, 5
# JTT at up to three lambdas, each a run of its own; what does not depend on lambda is shared.
WHOLE = {
    3.0: ("erm", "jtt", "george", "epic", "lff", "deep_knn/lff"),
    10.0: ("jtt", "jtt:ideal"),
    50.0: ("jtt", "jtt:ideal", "epic/jtt"),
}
ENDS = {3.0: ("erm", "jtt", "george"), 50.0: ("jtt", "jtt:ideal")}
# By eps, in this order; 16 is the published one, 32 the one that works here.
ROWS = {16: WHOLE, 8: ENDS, 32: WHOLE}
MEASURED = {"idnf": "IDNF", "elmf": "ELMF", "draws": "draws"}
SHOWN = ("poison", "lrg_1", "lrg_2", "hrg_1")


def one(base: Config, eps: int, trial: int, lambda_up: float) -> Config:
    """One run."""
    config = base.copy_and_resolve_references()
    config.gm.eps, config.gm.trial = float(eps), trial
    # Deep k-NN, then LfF is the pair that has both in experiments/matrix, where poisons have wrong labels; with this.
    config.deep_knn.budget = 0.05
    config.jtt.lambda_up, config.rows = lambda_up, ROWS[eps][lambda_up]
    return config


def runs() -> dict[str, tuple[int, int, float]]:
    """Eps, trial and lambda of every run, trial by trial, so that an interrupted sweep has whole trials."""
    every = [(eps, trial, lambda_up) for eps in ROWS for trial in range(TRIALS) for lambda_up in ROWS[eps]]
    return {
        f"eps{eps}_trial{trial}_lambda{lambda_up:g}": (eps, trial, lambda_up)
        for eps, trial, lambda_up in every
    }


def get_grid() -> Grid:
    """Every run, five seeds each."""
    base = load(CONFIG, {"gm.targets": 1})
    return Grid({name: one(base, *setting) for name, setting in runs().items()}, SEEDS)


def lines_of(workdir: Path) -> list[dict[str, Any]]:
    """A line per eps, row, seed and trial of the finished runs."""
    found = []
    for run, (eps, trial, lambda_up) in runs().items():
        folder = workdir / "runs" / run
        summary = read(folder) if folder.is_dir() else None
        for name, row in (summary or {"rows": {}})["rows"].items():
            label = f"{row['label']}, lambda_up {lambda_up:g}" if "jtt" in name else row["label"]
            for at, seed in enumerate(summary["seeds"] if summary else ()):
                line = {"eps": eps, "row": label, "seed": seed, "trial": trial}
                line |= {"hit": int(row["asr_seeds"][at]), "wga": row["wga_seeds"][at]}
                for kind in MEASURED:
                    line |= {f"{kind}.{name}": row[kind][f"{name}_seeds"][at] for name in SHOWN}
                found.append(line)
    return found


def by_seed(lines: list[dict[str, Any]], name: str) -> list[float]:
    """The mean over the trials, a value per seed."""
    seeds = sorted({line["seed"] for line in lines})
    return [fmean(line[name] for line in lines if line["seed"] == seed) for seed in seeds]


def table(lines: list[dict[str, Any]]) -> str:
    """Hits of each line with the exact interval, and p against ERM on the same targets."""
    body = []
    for eps in sorted(ROWS, reverse=True):
        by_row: dict[str, dict[tuple[int, int], dict[str, Any]]] = {}
        for line in lines:
            if line["eps"] == eps:
                by_row.setdefault(line["row"], {})[line["seed"], line["trial"]] = line
        targets = sorted(set.intersection(*map(set, by_row.values()))) if by_row else []
        for row, found in by_row.items() if targets else ():
            mine, erm = ([of[key] for key in targets] for of in (found, by_row["ERM"]))
            own, plain = ([bool(line["hit"]) for line in of] for of in (mine, erm))
            p = mcnemar(own, plain)
            more = paired(by_seed(mine, "wga"), by_seed(erm, "wga"))
            figures = {
                kind: [over_seeds([line[f"{kind}.{name}"] for line in mine]) for name in SHOWN[:2]]
                for kind in MEASURED
            }
            body.append(
                [
                    *(str(eps), row, f"{sum(own)} of {len(own)}", str(of_counts(sum(own), len(own)))),
                    *("-" if row == "ERM" else "< 0.001" if p < 0.001 else f"{p:.3f}",),
                    *(f"{100 * fmean(by_seed(mine, 'wga')):.1f}", "-" if row == "ERM" else str(more)),
                    *("-" if x is None else f"{100 * x.mean:.1f}" for x in figures["idnf"] + figures["elmf"]),
                    *("-" if x is None else f"{x.mean:.2f}" for x in figures["draws"]),
                ]
            )
    head = ["eps", "training", "targets hit", "share [exact 95%]", "p against ERM", "WGA", "WGA - ERM's"]
    head += [f"{kind}, {name}" for kind in MEASURED.values() for name in ("poisons", "LRG-1")]
    note = (
        "waterdigits, GM at 1%, one target per trial, test; p: exact McNemar on the same targets; WGA - ERM's: paired "
        "seeds, each the mean of its trials, [95% interval]\n\n"
    )
    return note + markdown_table(head, body)


def read_csv() -> list[dict[str, Any]]:
    """The committed lines."""
    with (HERE / "gm.csv").open() as file:
        return [
            {
                name: text or None if name == "row" or not text else float(text) if "." in text else int(text)
                for name, text in row.items()
            }
            for row in csv.DictReader(file)
        ]


def collect(workdir: Path) -> None:
    """Write gm.csv."""
    lines = lines_of(workdir)
    if not lines:
        raise SystemExit(f"{workdir} holds no finished run of this grid: give the folder of the sweep")
    anew = {line["eps"] for line in lines}
    lines = [line for line in read_csv() if line["eps"] not in anew] + lines
    with (HERE / "gm.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in line.items()}
            for line in lines
        )


def report(out: Path = HERE) -> None:
    """Write gm.md, of the committed lines."""
    write_text(out / "gm.md", table(read_csv()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="GM with one target per trial.")
    parser.add_argument(
        "workdir", type=Path, nargs="?", help="of the sweep; without it only the table is made"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table")
    given = parser.parse_args()
    if given.workdir:
        collect(given.workdir)
    report(given.out)
