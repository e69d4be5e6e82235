"""Every file under configs/ loads, and runs to its table in `smoke`."""

from pathlib import Path

import pytest

from oilwater_jax import config as cfg
from oilwater_jax import pipeline

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "configs").rglob("*.py"))
GARMENTS = {"waterfashion"}  # folders of configs whose data sets are made from Fashion-MNIST


def test_there_are_configs():
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_smoke(file, tmp_path, fashion_mnist):
    source = {"data.source": str(fashion_mnist)} if file.parent.name in GARMENTS else {}
    config = cfg.load(str(file), {"smoke": "true"} | source)
    result = pipeline.run(config, tmp_path / "run")
    assert len(result["rows"]) == len(config.rows)
    assert "oilwater run --config=" + str(file.relative_to(ROOT)) in file.read_text()
