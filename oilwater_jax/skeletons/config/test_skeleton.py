"""`skeleton` loads, and runs to its table in smoke."""

from pathlib import Path

import oilwater_jax as ow

FILE = Path(__file__).with_name("skeleton.py")


def test_it_runs_to_its_table(tmp_path):
    config = ow.load(FILE, {"smoke": True})
    result = ow.run(config, tmp_path / "run")
    assert list(result["rows"]) == list(config.rows)
    assert (tmp_path / "run/report.html").exists()
