"""Frontiers: what JTT, GEORGE, EPIc and their combinations reach over their dials, attack by attack.

    python experiments/frontiers/run.py dlbd --workdir=runs/frontiers
    python experiments/frontiers/run.py all --workdir=runs/frontiers --source=DIR   # DIR: Fashion-MNIST's IDX files

One folder serves all: they share pretraining, ERM and reference models. A run that was interrupted resumes. Each leaves
NAME.csv (every setting, split and seed) and NAME.png beside this file; report.py writes NAME.md and more from them.
"""

import argparse
import shutil
from pathlib import Path
from typing import NamedTuple

from oilwater_jax import Config, load
from oilwater_jax.frontier.run import run

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs" / "waterdigits"
LAMBDA = "jtt.lambda_up=3,10,50"
STOPS = "epic.stop_after=3,5,9"
FIXED = ("identify.epochs=", "epic.ratio=")  # as the config has them
FASHION = {"data.name": "waterfashion"}  # the same settings, nothing tuned
BUDGETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
CURVE = ("jtt", "george", "epic", "epic+jtt")


class Frontier(NamedTuple):
    """One frontier: config file, what is changed in it, rows, dials, seeds."""

    file: str
    changed: dict[str, str]
    rows: tuple[str, ...]
    dials: tuple[str, ...]
    seeds: int


FRONTIERS = {
    # The headline: JTT over both of its dials, and the same acting on the right samples only.
    "headline": Frontier(
        "dlbd.py",
        {},
        ("erm@clean", "jtt", "jtt:ideal"),
        ("jtt.lambda_up=3,5,10,20,50", "identify.epochs=2,4,8"),
        5,
    ),
    # The control: the last epoch is reported, and not the one of highest validation WGA, which may come before the
    # trigger is learned.
    "headline_last": Frontier(
        "dlbd.py",
        {"train.select": "last"},
        ("jtt", "jtt:ideal"),
        ("jtt.lambda_up=3,10,20,50", "identify.epochs=4"),
        5,
    ),
    # The same control for the two rows that have both where the epoch is chosen on validation, and, so that nothing but
    # the epoch differs, that choice on the same machine.
    **{
        name: Frontier(
            "dlbd.py",
            {"train.select": select},
            ("epic/jtt", "loss_band"),
            (
                *("jtt.lambda_up=3", "identify.epochs=4", "epic.ratio=", "epic.stop_after=3"),
                *("loss_band.high=0.5", "loss_band.lambda_up=50"),
            ),
            5,
        )
        for name, select in (("both", "val_wga"), ("both_last", "last"))
    },
    # Plain training against the trigger's strength (experiments/theory has the model's answer).
    "opacity": Frontier("dlbd.py", {}, ("erm",), ("dlbd.opacity=0.2,0.35,0.6,1",), 5),
    # Tables 1, 2, 3 and 19: amplification and elimination, alone and together.
    **{
        name: Frontier(
            file,
            changed,
            (
                *("jtt", "jtt:ideal", "george", "george:ideal", "epic", "epic:ideal"),
                *("epic+jtt", "epic/jtt", "epic/george"),
            ),
            (LAMBDA, STOPS, "george.adjustment=", *FIXED),
            5,
        )
        for name, file, changed in (
            ("dlbd", "dlbd.py", {}),
            ("sa", "sa.py", {}),
            ("fashion_dlbd", "dlbd.py", FASHION),
            ("fashion_sa", "sa.py", FASHION),
        )
    },
    # How much EPIc eliminates at the least and at the largest published ratio, with a round in every epoch; the ratio
    # was chosen by the validation lines.
    **{
        f"ratio_{attack}": Frontier(
            f"{attack}.py", {"erm.epochs": "20"}, ("epic",), ("epic.ratio=0.1,0.3", "epic.stop_after=21"), 5
        )
        for attack in ("dlbd", "sa")
    },
    # The other amplifying methods of the catalogue, at their defaults; the band at two ends.
    "amplifiers": Frontier(
        "dlbd.py",
        {},
        ("loss_band", "spare", "eiil", "cvar", "lff", "afr", "self"),
        (
            *("loss_band.high=0.5,0.75", "loss_band.lambda_up=50", "spare.epochs=", "eiil.epochs="),
            *("cvar.alpha=", "lff.q=", "afr.gamma=", "self.learning_rate="),
        ),
        3,
    ),
    # The same against the budget; 1% is the main job's.
    **{
        f"budget_{budget:g}": Frontier(
            "dlbd.py",
            {"attack.budget": f"{budget:g}"},
            CURVE,
            (LAMBDA, "epic.stop_after=5", "george.adjustment=", *FIXED),
            3,
        )
        for budget in BUDGETS
    },
}


def config_of(name: str, source: str = "") -> Config:
    """The config of a frontier; waterfashion's wants a source before it can run."""
    one = FRONTIERS[name]
    return load(CONFIGS / one.file, {**one.changed, "data.source": source, "rows": ",".join(one.rows)})


def main(name: str, workdir: Path, source: str) -> None:
    """Run a frontier and write its values and figure beside this file."""
    one = FRONTIERS[name]
    run(config_of(name, source), workdir, dial=one.dials, seeds=one.seeds)
    shutil.copy(workdir / "points.csv", HERE / f"{name}.csv")
    shutil.copy(workdir / "figures" / "frontier.png", HERE / f"{name}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Frontiers on waterdigits and waterfashion.")
    parser.add_argument("name", choices=(*FRONTIERS, "all"))
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--source", default="", help="folder of Fashion-MNIST's four IDX files")
    options = parser.parse_args()
    for name in FRONTIERS if options.name == "all" else [options.name]:
        main(name, options.workdir, options.source)
