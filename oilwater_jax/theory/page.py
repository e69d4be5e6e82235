"""report.html of the Gaussian model: what `oilwater theory` prints, with the maps. Needs no JAX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oilwater_jax import __version__
from oilwater_jax.files import write_text
from oilwater_jax.reporting import glossary
from oilwater_jax.reporting.pictures import embedded
from oilwater_jax.reporting.tables import PageTable
from oilwater_jax.reporting.templating import render
from oilwater_jax.theory import fit
from oilwater_jax.theory.command import NUMBERS
from oilwater_jax.theory.pictures import SIGNS
from oilwater_jax.theory.report import (
    CELLS,
    Lines,
    budget_lines,
    cent,
    group_lines,
    sentences,
    training_lines,
)

PICTURE = "phase.png"
TERMS = {
    "training": "plain: gradient flow up to a time t, or to the minimiser; JTT, by whom it amplifies of the flagged",
    "mean margin": "how far the group's mean is on the right side, in the units of the score",
    "in sd": "the same in standard deviations",
    "fit": "share of the group that plain training classifies as it is labelled",
    "flagged by JTT": "share that it does not, which JTT draws more often",
    "density": "mean density of all margins at a member of the group; low is isolated, which EPIc takes first",
    "majority": "accuracy on the majority",
    "minority": "accuracy on the minority",
    "TV": "how many more of one of the two sets than of the other the best rule on the loss can flag, as a fraction",
    "a poison is easier": "from this budget on a poison has a lower loss than a minority sample more often than not",
    "attack succeeds in half": "from this budget on it succeeds more than half of the time",
}


def write_page(folder: Path, found: Mapping[str, Any]) -> None:
    """Write report.html of what theory.json holds and of phase.png."""
    said = list(sentences(dict(found)))
    own = found.get("fit")
    picture = embedded(folder / PICTURE, "maps over poison budget and minority share")
    numbers = [
        [name, words, f"{default:g}", f"{found['settings'][name]:.4g}"]
        for name, (default, words) in NUMBERS.items()
    ]
    text = render(
        "theory.html",
        name=folder.absolute().name,
        sentence=said[0],
        headline="Gaussian model of majority, minority and dirty-label poison: "
        + ", ".join(f"{name} {value:.4g}" for name, value in found["settings"].items()),
        smoke=False,
        findings=said[1:],
        fit=own,
        predictions=own and _table(fit.row_lines(own["rows"])),
        notes=own and [*fit.unreached(own), *fit.flag_words(own), *fit.CAVEATS],
        fit_cells=fit.CELLS,
        tables={
            "Groups": _table(group_lines(found)),
            "Trainings": _table(training_lines(found)),
            "Budgets": _table(budget_lines(found)),
        },
        cells=CELLS,
        plane=[[words, cent(found["plane"][name], 0)] for name, (words, _) in SIGNS.items()],
        looked=[picture] if picture else [],
        not_shown=[] if picture else [PICTURE],
        numbers=numbers,
        version=__version__,
    )
    write_text(folder / "report.html", text)


def _table(of: Lines) -> PageTable:
    own = {name: TERMS[name] for name in of.head if name in TERMS}
    terms = [*glossary.definitions(one for one in of.head if one not in own), *own.items()]
    return PageTable(of.head, of.body, glossary.meanings(of.head) | own, terms)
