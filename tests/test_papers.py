"""CITATION.cff, CONTRIBUTING.md: that what they name is there."""

import re
from pathlib import Path

import yaml

from oilwater_jax import __version__

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_citation_is_of_this_version_and_of_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["cff-version"], cited["version"], cited["license"]) == ("1.2.0", __version__, "Apache-2.0")
    paper = cited["preferred-citation"]
    assert paper["url"] == "https://arxiv.org/abs/2504.02142"
    assert [one["family-names"] for one in paper["authors"]] == [
        "Panaitescu-Liess",
        "Kaya",
        "Zhu",
        "Huang",
        "Dumitras",
    ]


def test_the_map_is_of_the_house():
    table = CONTRIBUTING.split("## The map of the house")[1].split("Imports point one way")[0]
    named = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(.*?)`", cell)
    }
    for name in named:
        assert (ROOT / "oilwater_jax" / name).exists(), name
    folders = {f"{path.parent.name}/" for path in (ROOT / "oilwater_jax").glob("*/__init__.py")}
    assert folders <= named, folders - named


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!http)(.*?)\)", CONTRIBUTING)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
