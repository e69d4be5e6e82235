"""The matrix: every amplifying method with every defence, alone and one after the other, over their dials.

    python experiments/matrix/run.py adult --workdir=runs/matrix_adult
    python experiments/matrix/run.py waterdigits --workdir=runs/frontiers
    python experiments/matrix/run.py adult --workdir=runs/matrix_adult --finished   # of what there is so far
    python experiments/matrix/run.py waterdigits --workdir=runs/frontiers --confirm=val_wga  # the best, on new seeds
    python experiments/matrix/run.py waterdigits_sa --workdir=runs/frontiers --confirm=last  # and under other attacks
    python experiments/matrix/run.py waterdigits_sa --workdir=runs/frontiers --clean  # what each row costs by itself

Leaves NAME.csv (every setting, split and seed) and NAME_alone.csv (the rows without a pair, on more seeds) beside
this file; report.py makes tables and figures of them. Goes on where it was cut off, seed after seed, so that
--finished --seeds=1 has a whole matrix early. --confirm takes the rows that validation thinks best of the data set's
first matrix and, where there is one, of its own; it leaves NAME_confirmed.csv, with `last` the control,
NAME_confirmed_last.csv. --clean does the same rows on data without the attack, of whatever the other options name, and
leaves NAME..._clean.csv: an attack's damage is net of what a row costs the attacked group by itself.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from oilwater_jax import Config, data, load
from oilwater_jax.frontier import pareto, points
from oilwater_jax.frontier.points import Line
from oilwater_jax.frontier.run import about, run
from oilwater_jax.rows import parse
from oilwater_jax.settings.config import checked, registry_of

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs"
# A screen: two values of the dial that decides most, everything else fixed (`=`: as the config has it). Over all
# declared dials it would take days; CONFIRMED turns them for the rows that the screen lets through.
DIALS = (
    *("jtt.lambda_up=3,10", "identify.epochs=", "george.adjustment=", "cvar.alpha=", "loss_band.high=0.5"),
    *(
        "loss_band.lambda_up=10",
        "eiil.epochs=",
        "lff.q=",
        "afr.gamma=",
        "self.learning_rate=",
        "spare.epochs=",
    ),
    *("epic.ratio=0.3", "epic.stop_after=5", "loss_trim.share=0.02", "deep_knn.budget=0.01"),
    *("spectral.budget=0.01", "spectre.budget=0.01", "activation_clustering.size=", "strip.false_alarms="),
    *("abl.share=0.01", "scan.false_alarms=", "base_loss.false_alarms=", "base_knn.false_alarms="),
    *("base_gradient.false_alarms=", "fct.poison_share=", "dp_sgd.noise=", "mixup.alpha="),
)
# What is turned for the rows that the screen lets through, on seeds that it has not seen.
CONFIRMED = (
    *(
        "jtt.lambda_up=3,10,30",
        "loss_band.lambda_up=10,50",
        "cvar.alpha=0.1,0.3",
        "afr.gamma=4,10",
    ),
    *(
        "epic.stop_after=3,5",
        "deep_knn.budget=0.01,0.05",
        "spectral.budget=0.01,0.05",
        "spectre.budget=0.01,0.05",
    ),
    *("loss_trim.share=0.02,0.05", "base_loss.false_alarms=0.05,0.2", "base_knn.false_alarms=0.05,0.2"),
    *("base_gradient.false_alarms=0.05,0.2", "strip.false_alarms=0.1,0.3", "dp_sgd.noise=0.1,0.3,1"),
)
SEEDS = 5  # of rows without a pair, and of a confirmation
ROWS, FIRST = 6, 10  # rows that are confirmed, and the first of their seeds
BASE = {"data.base": "100"}  # samples that a defender is trusted to have, in the training set's proportions
CONFIG_OF = {
    "waterdigits": ("waterdigits/dlbd.py", BASE),
    # Other attacks on the same data.
    "waterdigits_sa": ("waterdigits/sa.py", BASE),
    "waterdigits_flip": (
        "waterdigits/dlbd.py",
        {**BASE, "attack.name": "label_flip", "attack.budget": "0.05"},
    ),
    "waterdigits_many": ("waterdigits/dlbd.py", {**BASE, "attack.budget": "0.05"}),  # ERM learns that trigger
    "adult": ("adult/tabular_trigger.py", BASE),
}


def name_of(stem: str) -> str:
    """The matrix that a file of values is of."""
    return next(name for name in sorted(CONFIG_OF, key=len, reverse=True) if stem.startswith(name))


def rows_for(config: Config, *, pairs: bool = True) -> tuple[str, ...]:
    """Every method for such data but oracles, alone; every one that eliminates before every one that amplifies.

    EPIc, which eliminates while it trains, also together with each.
    """
    registry, kind = registry_of(config), data.of_config(config).kind
    known = [registry.method(name) for name in registry.names("method")]
    fit = [method for method in known if kind in method.takes and not method.oracle and method.name != "erm"]
    names = {
        aim: [method.name for method in fit if method.aim == aim] for aim in ("amplify", "eliminate", "train")
    }
    alone = (*names["amplify"], *names["eliminate"], *names["train"])
    if not pairs:
        return alone
    after = [f"{defence}/{method}" for method in names["amplify"] for defence in names["eliminate"]]
    return (*alone, *after, *(f"epic+{method}" for method in names["amplify"]))


def config_of(name: str, changed: Mapping[str, str] = MappingProxyType({}), *, pairs: bool = True) -> Config:
    """The config of a matrix, with its rows unless they are given."""
    file, base = CONFIG_OF[name]
    config = load(CONFIGS / file, {**base, **changed})
    return config if "rows" in changed else checked(config, {"rows": rows_for(config, pairs=pairs)})


def passed(lines: Sequence[Line], success: str) -> list[str]:
    """The rows of the best validation WGA at settings whose attack succeeds there at most SLACK above ERM's."""
    val = [line for line in lines if line.split == "val"]
    bound = next(one.mean(success) for one in val if one.row == "erm") + pareto.SLACK
    held = [line for line in val if line.row != "erm" and line.mean(success) <= bound]
    best = sorted(held, key=lambda line: -line.mean("wga"))
    return list(dict.fromkeys(line.row for line in best))[:ROWS]


def best_of(name: str) -> list[str]:
    """The rows that a whole matrix lets through, none where it has not been run."""
    file = HERE / f"{name}.csv"
    return passed(points.read(file), about(config_of(name), ())["verdict"]) if file.exists() else []


def beside(rows: Sequence[str], config: Config) -> list[str]:
    """The rows after JTT and after what each of them amplifies by, alone: the difference is the defence's doing."""
    registry = registry_of(config)
    parts = [atom.name for row in rows for atom in parse(row, registry).atoms]
    alone = [name for name in parts if registry.method(name).aim == "amplify"]
    return list(dict.fromkeys(["jtt", *alone, *rows]))


def main(name: str, workdir: Path, seeds: int, *, finished: bool, confirm: str, clean: bool) -> None:
    """Work a matrix out, or confirm it with an epoch that is selected so, and leave its values beside this file."""

    def work(config: Config, dials: Sequence[str], seeds: int, out: str) -> None:
        if clean:
            config, out = checked(config, {"rows": [f"{row}@clean" for row in config.rows]}), f"{out}_clean"
        run(config, workdir, dial=dials, seeds=seeds, finished=finished)
        shutil.copy(workdir / "points.csv", HERE / f"{name}{out}.csv")

    if not confirm:
        work(config_of(name, pairs=False), DIALS, SEEDS, "_alone")
        work(config_of(name), DIALS, seeds, "")
        return
    best = [*best_of(name.partition("_")[0]), *best_of(name)]  # of the first attack, and of its own
    rows = ",".join(beside(best, config_of(name)))
    turned = {one.partition("=")[0] for one in CONFIRMED}
    dials = (*CONFIRMED, *(one for one in DIALS if one.partition("=")[0] not in turned))
    config = config_of(name, {"rows": rows, "seed": str(FIRST), "train.select": confirm})
    work(config, dials, SEEDS, f"_confirmed{'_last' if confirm == 'last' else ''}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Every amplifying method with every defence.")
    parser.add_argument("name", choices=CONFIG_OF)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="of the pairs")
    parser.add_argument("--finished", action="store_true")
    parser.add_argument(
        "--confirm",
        choices=["val_wga", "last"],
        default="",
        help="the best rows on new seeds, over more dials, at an epoch",
    )
    parser.add_argument("--clean", action="store_true", help="the same rows on data without the attack")
    given = parser.parse_args()
    main(
        given.name,
        given.workdir,
        given.seeds,
        finished=given.finished,
        confirm=given.confirm,
        clean=given.clean,
    )
