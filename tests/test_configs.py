"""Every file under configs/; those of small data sets run to their table in `smoke` (the others: test_published)."""

from pathlib import Path

import pytest

from oilwater_jax import pipeline
from oilwater_jax.settings import config as cfg

ROOT = Path(__file__).parent.parent
LARGE = {"waterbirds", "celeba"}  # folders of configs of paper scale: test_published
GARMENTS = {"waterfashion"}  # folders of configs whose data sets are made from Fashion-MNIST
FILES = sorted((ROOT / "configs").rglob("*.py"))
SMALL = [file for file in FILES if file.parent.name not in LARGE]


def test_there_are_configs():
    assert SMALL
    assert {file.parent.name for file in FILES} > LARGE


def name(file):
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_the_docstring_gives_the_command(file):
    verb = "sweep" if file.name.startswith("table") else "run"
    assert f"oilwater {verb} --config={name(file)} " in file.read_text()


@pytest.mark.parametrize("file", SMALL, ids=name)
def test_smoke(file, tmp_path, fashion_mnist):
    source = {"data.source": str(fashion_mnist)} if file.parent.name in GARMENTS else {}
    config = cfg.load(str(file), {"smoke": "true"} | source)
    result = pipeline.run(config, tmp_path / "run")
    assert len(result["rows"]) == len(config.rows)
