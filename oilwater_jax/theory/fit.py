"""`oilwater theory --fit`: mu_c, mu_s and tau from a finished run's plain training; its other rows are predictions.

Three numbers are fitted to three figures of the row `erm` (worst-group accuracy, majority accuracy, attack success)
with p and beta those of the run; the fitted figures test nothing. What the model is known to get wrong is in CAVEATS.
All that depends on how a run's files are laid out is in `run_files`.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from scipy.optimize import least_squares
from scipy.special import ndtr, ndtri

from oilwater_jax.errors import UserError
from oilwater_jax.theory.amplification import WHOLE, amplified, amplified_moments, flagged_moments
from oilwater_jax.theory.figures import Figures, figures
from oilwater_jax.theory.model import GROUPS, MIN, POI, Model, erm, followed
from oilwater_jax.theory.report import Lines, rich_table
from oilwater_jax.theory.run_files import Run, read

STARTS = (0.7, 2.0, 5.0)  # of the search, for each of the three strengths, after the defaults
SOLVED = 1e-14  # squared error on the probit scale
LEAST = 1e-4  # a measured rate of 0 or 1 is taken to be this far from it
REACHED = 0.005  # a fitted rate may be that far from the measured
CELLS = "per cent; * fitted, everything else predicted; -: the model says nothing, or not measured"
CAVEATS = (
    "ASR here is of majority sources; a run's is of all sources, and minority sources resist more than the model says.",
    "Strong triggers: a network fits poisons even at weight 1, so ideal amplification leaves more ASR than predicted.",
    "Weak triggers: JTT's ASR is overstated.",
    "Samples eliminated late have been learned before; the model has no such memory, so epic+jtt may look too good.",
)


class Target(NamedTuple):
    """What is fitted, fractions."""

    wga: float
    majority: float
    asr: float


def fit(target: Target, p: float, beta: float, lambda_up: float) -> tuple[Model, Figures]:
    """The model whose minimiser has the target's figures, or comes nearest on the probit scale; and its figures.

    The strengths are found by least squares from several starts; sigma is 1, which only sets the scale.
    Raises ValueError for a p, beta or lambda_up out of its range.
    """
    wanted = ndtri(np.clip(target, LEAST, 1 - LEAST))
    base = Model(p=p, beta=beta, lambda_up=lambda_up)

    def model_at(x: np.ndarray) -> Model:
        mu_c, mu_s, tau = np.exp(x)
        return base._replace(mu_c=float(mu_c), mu_s=float(mu_s), tau=float(tau))

    def off(x: np.ndarray) -> np.ndarray:
        model = model_at(x)
        own = figures(model, erm(model))
        rates = np.array([own.minority, own.majority, own.asr])
        return ndtri(np.clip(rates, 1e-12, 1 - 1e-12)) - wanted

    bounds, best, cost = (np.log(0.01), np.log(50.0)), np.log(Model()[:3]), np.inf
    for start in (Model()[:3], *itertools.product(STARTS, STARTS, STARTS)):
        found = least_squares(off, np.log(start), bounds=bounds)
        if found.cost < cost:
            best, cost = found.x, found.cost
        if cost < SOLVED:
            break
    model = model_at(best)
    return model, figures(model, erm(model))


def predicted(model: Model, row: str, gone: tuple[float, float, float] | None) -> Figures | None:
    """The model's figures of a row by its expression; None for one that it says nothing about.

    `gone` are the shares of majority, minority and poisons that EPIc eliminated in the run: they are measured, not
    predicted. In `epic+jtt` the flags are those of undefended training, in `epic/jtt` those of what EPIc left.
    """
    expression, _, data = row.partition("@")
    own = model._replace(beta=0.0) if data == "clean" else model
    kept = WHOLE if gone is None else tuple(1 - share for share in gone)
    plain = erm(own)
    if expression == "erm":
        return figures(own, plain)
    defence, joint, method = expression.rpartition("+" if "+" in expression else "/")
    if defence not in ("", "epic") or (defence and gone is None):
        return None
    left = followed(amplified_moments(own._replace(lambda_up=1.0), flagged_moments(own, plain), kept))
    if method == "epic" and not defence:
        return None if gone is None else figures(own, left)
    name, _, mode = method.partition(":")
    if name != "jtt":
        return None
    first = left if joint == "/" else plain
    return figures(own, amplified(own, first, mode=mode or "standard", kept=kept if defence else WHOLE))


def fit_run(folder: Path, *, p: float | None = None, lambda_up: float | None = None) -> dict[str, Any]:
    """The fit and every row of a run, JSON. Raises UserError for a folder, row or attack that cannot be fitted."""
    run = read(folder, p=p, lambda_up=lambda_up)
    wga, majority, asr = (run.rows["erm"][name] for name in Target._fields)
    if wga is None or majority is None or asr is None:
        raise UserError(
            f"{folder}: row erm lacks a figure; the model is fitted to {', '.join(Target._fields)}"
        )
    target = Target(wga, majority, asr)
    try:
        model, own = fit(target, run.p, run.beta, run.lambda_up)
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from None
    reached = Target(float(own.minority), float(own.majority), float(own.asr))
    flagged = flagged_moments(model, erm(model)).share
    rows = {name: _row(model, run, name) for name in run.rows}
    return {
        "folder": str(folder),
        "model": {name: float(value) for name, value in model._asdict().items()},
        "fitted": {
            "measured": target._asdict(),
            "model": reached._asdict(),
            "reached": max(abs(a - b) for a, b in zip(target, reached, strict=True)) <= REACHED,
        },
        "rows": rows,
        "flagged": {
            name: {"measured": run.flagged.get(name), "model": float(share)}
            for name, share in zip(GROUPS, flagged, strict=True)
        },
        "auroc": {"minority_poison": float(own.auroc), **_probit(run)},
    }


def _row(model: Model, run: Run, name: str) -> dict[str, Any]:
    """A row's predicted and measured figures; the mean over the seeds of predictions from what EPIc took in each."""
    takes = run.gone.get(name) or [None]
    each = [predicted(model, name, gone) for gone in takes]
    known = [one for one in each if one is not None]
    mean = (
        {key: float(np.mean([getattr(one, key) for one in known])) for key in ("wga", "asr")}
        if known
        else None
    )
    return {"measured": {key: run.rows[name].get(key) for key in ("wga", "asr")}, "model": mean}


def _probit(run: Run) -> dict[str, float | None]:
    """Proposition 4 from the measured shares flagged, without the model: AUROC of poisons against LRG-1."""
    poison, minority = (run.flagged.get(GROUPS[g]) for g in (POI, MIN))
    if poison is None or minority is None:
        return {"from_flags": None}
    low = ndtri(np.clip([poison, minority], LEAST, 1 - LEAST))
    return {"from_flags": float(ndtr((low[0] - low[1]) / np.sqrt(2)))}


def print_fit(found: Mapping[str, Any], console: Console) -> None:
    """Print the fit, the rows and the flags, predicted and measured, then caveats."""
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in found["model"].items())
    _say([f"{found['folder']}: {numbers}", *unreached(found)], console)
    console.print(rich_table(row_lines(found["rows"])))
    _say([CELLS, *flag_words(found), *(f"- {sentence}" for sentence in CAVEATS)], console)


def unreached(found: Mapping[str, Any]) -> list[str]:
    """That the model does not reach the measured figures of plain training; nothing where it does."""
    if found["fitted"]["reached"]:
        return []
    pairs = ", ".join(
        f"{name} {100 * found['fitted']['model'][name]:.1f} for {100 * value:.1f}"
        for name, value in found["fitted"]["measured"].items()
    )
    return [f"the model does not reach plain training's figures; nearest: {pairs}"]


def flag_words(found: Mapping[str, Any]) -> list[str]:
    """Whom JTT flags, and the AUROC of the loss, predicted beside measured."""
    flags = ", ".join(
        f"{name} {100 * one['model']:.1f}"
        + ("" if one["measured"] is None else f" / {100 * one['measured']:.1f}")
        for name, one in found["flagged"].items()
    )
    auroc = found["auroc"]
    law = "" if auroc["from_flags"] is None else f"; from the measured flags alone {auroc['from_flags']:.2f}"
    return [
        f"flagged by JTT, model / measured: {flags} (min: LRG-1)",
        f"AUROC of the loss, poison against LRG-1: model {auroc['minority_poison']:.2f}{law}",
    ]


def _say(lines: list[str], console: Console) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def row_lines(rows: Mapping[str, Any]) -> Lines:
    """A line for each row of the run, predicted beside measured."""
    body = []
    for name, row in rows.items():
        cells = []
        for key in ("wga", "asr"):
            star = "*" if name == "erm" else ""
            model = "-" if row["model"] is None else f"{100 * row['model'][key]:.1f}{star}"
            measured = row["measured"][key]
            cells += [model, "-" if measured is None else f"{100 * measured:.1f}"]
        body.append([name, *cells])
    return Lines(("row", "WGA model", "measured", "ASR model", "measured"), body)
