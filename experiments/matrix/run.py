"""The matrix: every amplifying method with every defence, alone and one after the other, over their dials.

    python experiments/matrix/run.py adult --workdir=runs/matrix_adult
    python experiments/matrix/run.py waterdigits --workdir=runs/frontiers
    python experiments/matrix/run.py adult --workdir=runs/matrix_adult --finished   # of what there is so far

Leaves NAME.csv (every setting, split and seed) beside this file; report.py makes tables and figures of it. Goes on
where it was cut off, seed after seed, so that --finished --seeds=1 has a whole matrix early.
"""

import argparse
import shutil
from pathlib import Path

from oilwater_jax import Config, data, load
from oilwater_jax.frontier.run import run
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
BASE = {"data.base": "100"}  # samples that a defender is trusted to have, in the training set's proportions
CONFIG_OF = {
    "adult": ("adult/tabular_trigger.py", BASE),
    "waterdigits": ("waterdigits/dlbd.py", BASE),
}


def rows_for(config: Config) -> tuple[str, ...]:
    """Every method for such data but oracles, alone; every one that eliminates before every one that amplifies.

    EPIc, which eliminates while it trains, also together with each.
    """
    registry, kind = registry_of(config), data.of_config(config).kind
    known = [registry.method(name) for name in registry.names("method")]
    fit = [method for method in known if kind in method.takes and not method.oracle and method.name != "erm"]
    names = {
        aim: [method.name for method in fit if method.aim == aim] for aim in ("amplify", "eliminate", "train")
    }
    pairs = [f"{defence}/{method}" for method in names["amplify"] for defence in names["eliminate"]]
    pairs += [f"epic+{method}" for method in names["amplify"]]
    return (*names["amplify"], *names["eliminate"], *names["train"], *pairs)


def config_of(name: str) -> Config:
    """The config of a matrix, with its rows."""
    file, changed = CONFIG_OF[name]
    config = load(CONFIGS / file, changed)
    return checked(config, {"rows": rows_for(config)})


def main(name: str, workdir: Path, seeds: int, *, finished: bool) -> None:
    """Work a matrix out, and leave its values beside this file."""
    run(config_of(name), workdir, dial=DIALS, seeds=seeds, finished=finished)
    shutil.copy(workdir / "points.csv", HERE / f"{name}.csv")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Every amplifying method with every defence.")
    parser.add_argument("name", choices=CONFIG_OF)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--finished", action="store_true")
    options = parser.parse_args()
    main(options.name, options.workdir, options.seeds, finished=options.finished)
