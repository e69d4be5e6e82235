"""`oilwater theory`: the Gaussian model at any setting. Importing this module imports neither NumPy nor JAX."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oilwater_jax.errors import UserError

if TYPE_CHECKING:
    from oilwater_jax.theory.model import Model

HELP = """\
Compute the Gaussian model of majority, minority and dirty-label poison, in which every quantity has a closed form. It
explains why loss cannot spare the minority and hit the poison. Prints each group's margin, the worst-group accuracy and
attack success rate of plain training and of JTT, the critical budgets, and a sentence on each. With --workdir: writes
report.html, phase.png (six maps over poison budget and minority share), phase.csv and theory.json. With --fit: fits
mu_c, mu_s and tau to the row `erm` of a finished run and compares the model's other rows with the measured ones. Needs
no accelerator; the maps take a few seconds."""

NUMBERS = {
    "mu_c": (1.5, "strength of the core feature"),
    "mu_s": (2.5, "strength of the spurious feature"),
    "tau": (4.5, "strength of the trigger"),
    "sigma": (1.0, "standard deviation of every coordinate"),
    "p": (0.95, "majority's share of the clean samples"),
    "beta": (0.01, "poison budget: the poisons' share of all samples"),
    "lambda_up": (50.0, "draws of a flagged sample"),
}
"""The model's numbers: default and meaning."""
FIGURES = "theory.json"


def add_parser(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command by `add(name, summary, description)`."""
    own = add("theory", "compute the Gaussian model of why loss cannot separate poison from minority", HELP)
    for name, (default, words) in NUMBERS.items():
        own.add_argument(f"--{name}", metavar="X", type=float, help=f"{words} (default {default:g})")
    own.add_argument(
        "--early", metavar="T", type=float, default=0.3, help="training time of the early map (default 0.3)"
    )
    own.add_argument(
        "--grid", metavar="N", type=int, default=49, help="grid points per axis of a map (default 49)"
    )
    own.add_argument("--workdir", metavar="DIR", type=Path, help="folder for the maps and figures")
    own.add_argument("--fit", metavar="RUN_FOLDER", type=Path, help="fit the model to a finished run")
    own.add_argument("--json", action="store_true", help="print only JSON, with every number")


def run(options: argparse.Namespace) -> None:
    """Print the result; with a folder, also write and draw it. Raises UserError for bad options."""
    check(options)
    from oilwater_jax.files import write_json
    from oilwater_jax.reporting.terminal import Screen
    from oilwater_jax.theory.fit import fit_run, print_fit
    from oilwater_jax.theory.model import Model
    from oilwater_jax.theory.report import everything, print_report

    fit = None
    if options.fit is not None:
        fit = fit_run(options.fit, p=options.p, lambda_up=options.lambda_up)
    model = given(options) if fit is None else Model(**fit["model"])
    found = everything(model)
    if options.workdir is not None or options.json:
        found["plane"] = maps(model, options)
    if fit is not None:
        found["fit"] = fit
    if options.workdir is not None:
        from oilwater_jax.theory.page import write_page

        write_page(options.workdir, found)
        write_json(options.workdir / FIGURES, found)
    if options.json:
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    if fit is None:
        print_report(found, Screen())
    else:
        print_fit(fit, Screen())
    if options.workdir is not None:
        names = (options.workdir / name for name in ("report.html", "phase.png", "phase.csv", FIGURES))
        print(f"written: {'   '.join(map(str, names))}")


def check(options: argparse.Namespace) -> None:
    """Refuse options that are out of their range, and a folder that holds something else."""
    if not 2 <= options.grid <= 400:
        raise UserError(f"--grid={options.grid} is out of range (2 .. 400)")
    if not 0 < options.early < float("inf"):
        raise UserError(f"--early={options.early:g} must be above 0 and finite; it is a time of training")
    if options.fit is not None:
        for name in NUMBERS:
            if name not in ("p", "lambda_up") and getattr(options, name) is not None:
                raise UserError(
                    f"--{name} and --fit exclude each other: the value comes from the run; leave one out"
                )
    if options.workdir is not None and options.workdir.exists() and not options.workdir.is_dir():
        raise UserError(f"{options.workdir} is a file; give --workdir a folder")
    if options.workdir is not None and (options.workdir / "config.json").exists():
        raise UserError(f"{options.workdir} holds a run; give --workdir another folder")


def given(options: argparse.Namespace) -> "Model":
    """The model of the options. Raises UserError for a number out of its range, and where JTT flags nobody."""
    from oilwater_jax.theory.amplification import flagged_moments
    from oilwater_jax.theory.model import Model, erm, groups

    numbers = {name: getattr(options, name) for name in NUMBERS}
    model = Model(**{name: value for name, value in numbers.items() if value is not None})
    try:
        flagged = groups(model).weight @ flagged_moments(model, erm(model)).share
    except ValueError as error:
        raise UserError(f"--{error}") from None
    if flagged < 1e-12:
        raise UserError(
            f"nothing is flagged: with sigma = {model.sigma:g} plain training fits every sample, and JTT has nothing "
            "to amplify; give a larger --sigma, or smaller --mu_c and --mu_s"
        )
    return model


def maps(model: "Model", options: argparse.Namespace) -> dict[str, Any]:
    """The shares of the plane by what rises; with a folder, the maps are drawn too."""
    from oilwater_jax.reporting.progress import Progress
    from oilwater_jax.theory.phase import THRESHOLDS, phase, signs

    with Progress() as progress:
        progress.begin(1)
        found = phase(
            model,
            grid=options.grid,
            early=options.early,
            # Bands are only drawn; without a folder they need not be searched.
            thresholds=1 if options.workdir is None else THRESHOLDS,
            tell=lambda done, total: progress.count("maps", done, total, "minority shares"),
        )
        if options.workdir is not None:
            from oilwater_jax.theory.pictures import write_phase

            write_phase(options.workdir, found, model)
        progress.done("maps")
    return {name: float(mask.mean()) for name, mask in signs(found).items()}
