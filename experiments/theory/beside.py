"""The model beside measured runs: JTT on waterdigits over lambda_up, predicted from plain training's figures alone.

    python experiments/theory/beside.py measure --workdir=runs/frontiers
    python experiments/theory/beside.py report

`measure` leaves beside.csv: plain training's figures and the set sizes, by seed, from the folder of
experiments/frontiers. `report` fits the model to their means and makes beside.md of it and of headline.csv,
opacity.csv and dlbd.csv in experiments/frontiers.
"""

import csv
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np

from oilwater_jax import intervals, load, pipeline
from oilwater_jax.files import write_text
from oilwater_jax.frontier import points
from oilwater_jax.frontier.run import Place, trials_of
from oilwater_jax.groups import group_counts, minority_groups
from oilwater_jax.reporting.tables import markdown_table
from oilwater_jax.rows import plain
from oilwater_jax.theory.amplification import flagged_moments
from oilwater_jax.theory.figures import Figures
from oilwater_jax.theory.fit import Target, fit, predicted
from oilwater_jax.theory.isolation import density
from oilwater_jax.theory.model import MIN, POI, Model, erm

HERE = Path(__file__).parent
COMMAND = runpy.run_path(str(HERE.parent / "command.py"))["command"]
ROOT = HERE.parent.parent
SEEDS = 5
LAMBDAS = (3, 5, 10, 20, 50)
T = 4
OPACITY = 0.35  # of the main job's trigger; the model's tau is taken to be proportional to it
COLUMNS = ("seed", "p", "beta", *Target._fields)


def measure(workdir: Path) -> None:
    """Plain training's figures on test by seed; the majority's accuracy is weighted by the training set's groups."""
    config = load(ROOT / "configs/waterdigits/dlbd.py", {"rows": "erm"})
    trial = next(iter(trials_of(config, [plain()], {})[0].values()))
    _, splits = pipeline.prepare(trial.configs["test"])
    place = Place(workdir, splits.identity)
    n_classes, n_attributes = len(splits.class_names), len(splits.attribute_names)
    counts = group_counts(splits.train, n_classes, n_attributes)
    minority = minority_groups(counts, n_classes)
    lines = []
    for seed in range(SEEDS):
        row, attack = place.figures(trial, "test", seed), place.attack(trial, "test", seed)
        if row is None or attack is None:
            raise SystemExit(
                f"{workdir} has no finished row erm of seed {seed}; experiments/frontiers makes it"
            )
        majority = np.average(np.array(row["group_acc"])[~minority], weights=counts[~minority])
        figures = {
            "p": counts[~minority].sum() / counts.sum(),
            "beta": attack["n_poison"] / (attack["n_poison"] + counts.sum()),
            **{"wga": row["wga"], "majority": majority, "asr": row["asr"]},
        }
        lines.append({"seed": seed, **{name: f"{value:.6g}" for name, value in figures.items()}})
    with (HERE / "beside.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def read(path: Path) -> list[dict[str, str]]:
    """A table's lines."""
    with path.open() as file:
        return list(csv.DictReader(file))


def told(name: str) -> list[points.Line]:
    """The settings of a frontier of experiments/frontiers on test."""
    lines = points.read(ROOT / "experiments" / "frontiers" / f"{name}.csv")
    return [line for line in lines if line.split == "test"]


def fitted(lines: list[dict[str, str]]) -> tuple[Model, Figures]:
    """The model whose plain training has the mean figures."""
    means = {name: float(np.mean([float(line[name]) for line in lines])) for name in COLUMNS[1:]}
    target = Target(*(means[name] for name in Target._fields))
    return fit(target, means["p"], means["beta"], 1.0)


def report(out: Path = HERE) -> None:
    """Predicted beside measured, as a table."""
    lines = read(HERE / "beside.csv")
    frontier = {(line.row, line.setting): line for line in told("headline")}
    base, plain_figures = fitted(lines)

    def by_seed(row: str, setting: str, name: str) -> list[float | None]:
        return frontier[row, setting].figures[name]

    def measured(row: str, setting: str, name: str, within: tuple[float, float] = intervals.SHARE) -> str:
        return str(intervals.over_seeds(by_seed(row, setting, name), within))

    figures: dict[str, tuple[Callable[[Figures], float], tuple[float, float]]] = {
        "wga": (lambda one: float(one.wga), intervals.SHARE),
        "asr": (lambda one: float(one.asr), intervals.SHARE),
        "net": (lambda one: float(one.asr - one.untriggered), intervals.SIGNED),
    }
    head = ["row", "lambda_up"]
    head += [text for name in ("WGA", "ASR", "net ASR") for text in (f"{name}, model", "measured")]
    body = []
    settings = [("erm", "-", None), ("erm@clean", "-", None)]
    settings += [
        (row, f"jtt.lambda_up={times} identify.epochs={T}", times)
        for row in ("jtt", "jtt:ideal")
        for times in LAMBDAS
    ]
    for row, setting, times in settings:
        own = predicted(base._replace(lambda_up=float(times or 1)), row, None)
        assert own is not None
        cells = [row, str(times or "-")]
        for name, (of, within) in figures.items():
            star = "*" if row == "erm" and name != "net" else ""
            cells += [f"{100 * of(own):.1f}{star}", measured(row, setting, name, within)]
        body.append(cells)
    flags = flagged_moments(base, erm(base)).share
    found = f"jtt.lambda_up=50 identify.epochs={T}"
    numbers = ", ".join(
        f"{name} {float(getattr(base, name)):.4g}" for name in ("mu_c", "mu_s", "tau", "p", "beta")
    )
    text = (
        f"waterdigits, DLBD at 1%, T = {T}, test, per cent; measured: mean [95% interval], n = {len(lines)} seeds; "
        "*: fitted\n\n"
        f"Fitted to plain training (majority accuracy {100 * float(plain_figures.majority):.1f}): {numbers}.\n\n"
        + markdown_table(head, body)
        + f"\nFlagged by JTT: LRG-1 {100 * flags[MIN]:.1f} by the model, {measured('jtt', found, 'idnf.lrg_1')} "
        f"measured; poisons {100 * flags[POI]:.1f} and {measured('jtt', found, 'idnf.poison')}.\n"
    )
    gains = [
        [str(times), str(intervals.paired(*(by_seed(row, setting, "wga") for row in ("jtt", "jtt:ideal"))))]
        for times in LAMBDAS
        for setting in [f"jtt.lambda_up={times} identify.epochs={T}"]
    ]
    text += (
        "\nWGA of JTT less that of JTT ideal, without the poisons, paired by seed; below 0 in the model\n\n"
    )
    text += markdown_table(["lambda_up", "WGA, difference"], gains)
    write_text(out / "beside.md", text + opacities(base) + isolation(base))


def opacities(base: Model) -> str:
    """ERM's success against the trigger's opacity: tau grows with it, nothing is fitted again."""
    body = []
    for line in told("opacity"):
        opacity = float(line.dials["dlbd.opacity"])
        model = base._replace(tau=base.tau * opacity / OPACITY)
        own = predicted(model._replace(lambda_up=1.0), "erm", None)
        assert own is not None
        body.append([f"{opacity:g}", f"{100 * float(own.asr):.1f}", str(line.of("asr"))])
    head = ["opacity", "ASR of ERM, model", "measured"]
    return (
        f"\nERM against the trigger's opacity (tau proportional to it; fitted at {OPACITY:g})\n\n"
        + markdown_table(head, body)
    )


def isolation(base: Model) -> str:
    """In which order EPIc should eliminate, by the model's densities, and the shares that it does eliminate."""
    dense = density(base, erm(base))
    names = {"majority": "hrg_1", "LRG-1": "lrg_1", "poisons": "poison"}
    body = [
        [line.setting, *(str(line.of(f"elmf.{name}")) for name in names.values())]
        for line in told("dlbd")
        if line.row == "epic"
    ]
    ranks = ", ".join(f"{name} {float(dense[at]):.3g}" for at, name in enumerate(names))
    return (
        f"\nEPIc should eliminate where gradients lie thinly. Density in the model: {ranks}. Eliminated (ELMF, HRG-1 "
        "as the majority):\n\n" + markdown_table(["EPIc", *names], body)
    )


if __name__ == "__main__":
    COMMAND("The model beside measured runs.", measure, report, here=HERE, choices=("measure", "report"))
