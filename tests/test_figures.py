"""Figures of the experiments: prose holds to tables, and tables to the values of every seed."""

import csv
import json
import re
from pathlib import Path

import pytest

from oilwater_jax.reporting import tables

ROOT = Path(__file__).parent.parent / "experiments"
READMES = sorted(ROOT.glob("*/README.md"))
# Decimal figures of a README that are in no committed table of its own or of an experiment that it links to, and why.
ELSEWHERE = {
    "adult": {"60.3": "choose.csv, whose means are held to choose_seeds.csv below"},
    "headline": {"39.6": "choose.csv"},
    "scale": dict.fromkeys(("33.1", "0.77", "2.62"), "version 0.4's, in the history"),
    "speed": {
        **dict.fromkeys(("4.9", "4.2", "6.6", "5.3"), "not committed, as README says"),
        "0.001": "side_by_side.csv, a ratio below the table's digits",
    },
}
NUMBER = r"\d+\.\d+"


def figures(text: str) -> list[str]:
    """The decimal figures of a text, without code, addresses, versions, levels of significance."""
    out = (r"```.*?```", r"`[^`]*`", r"\]\([^)]*\)", r"\b\d+\.\d+\.\d+\b", r"Python 3\.\d+", r"p < 0\.001")
    for pattern in (*out, r"[Vv]ersions? 0\.\d"):
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    return re.findall(rf"(?<![\w.]){NUMBER}(?![\w.]*\d)", text)


def beside(readme: Path) -> list[Path]:
    """The committed results beside a README, and those of the experiments that it links to."""
    folders = {readme.parent}
    for link in re.findall(r"\]\((\.\./[^)#]*)\)", readme.read_text()):
        target = (readme.parent / link).resolve()
        folders.add(target if target.is_dir() else target.parent)
    files = [file for folder in sorted(folders) for file in folder.iterdir()]
    return [file for file in files if file.suffix in (".md", ".txt", ".json") and file.name != "README.md"]


def held(readme: Path) -> set[str]:
    """The figures that a README may tell: as tables have them, or those of plans and of JSON rounded."""
    found = set(ELSEWHERE.get(readme.parent.name, ()))
    for file in beside(readme):
        numbers = re.findall(rf"{NUMBER}(?:e-?\d+)?", file.read_text().replace(",", ""))
        found |= set(numbers)
        if file.suffix != ".md":
            found |= {f"{float(one):.{digits}f}" for one in numbers for digits in (1, 2, 3)}
            found |= {f"{100 * float(one):.1f}" for one in numbers}
    return found


@pytest.mark.parametrize("readme", READMES, ids=lambda file: file.parent.name)
def test_every_decimal_figure_of_a_readme_stands_in_a_table(readme):
    known = held(readme)
    missing = [one for one in figures(readme.read_text()) if one not in known]
    assert not missing, missing


def test_a_figure_that_is_nowhere_is_found():
    assert figures("WGA 57.5 [50.5, 64.5], `0.3`, Python 3.11, jax 0.10.2, [a](b1.5.md)") == [
        "57.5",
        "50.5",
        "64.5",
    ]


@pytest.mark.parametrize("file", sorted((ROOT / "headline").glob("*.json")), ids=lambda file: file.stem)
def test_the_headline_tables_are_those_of_the_committed_summaries(file):
    assert tables.markdown(json.loads(file.read_text())) == file.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("means", "seeds"), [("results", "seeds"), ("every", "every_seeds"), ("choose", "choose_seeds")]
)
def test_the_means_of_adult_are_those_of_its_seeds(means, seeds):
    with (ROOT / f"adult/{means}.csv").open() as file:
        told = {(line["run"], line["training"]): line for line in csv.DictReader(file)}
    with (ROOT / f"adult/{seeds}.csv").open() as file:
        own = list(csv.DictReader(file))
    assert own
    for key in {(line["run"], line["training"]) for line in own}:
        for name in ("acc", "wga", "asr", "target_damage"):
            ones = [
                float(line[name]) for line in own if (line["run"], line["training"]) == key and line[name]
            ]
            if ones:
                assert float(told[key][name]) == pytest.approx(sum(ones) / len(ones)), (key, name)
