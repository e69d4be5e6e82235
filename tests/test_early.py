"""A method's second reference model, in a run: the same training, stopped earlier."""

import json

import pytest

from oilwater_jax import pipeline
from oilwater_jax.rooms import Rooms
from oilwater_jax.settings.config import checked, default, to_json

TABLE = """
from attacking import small
from oilwater_jax.entries import Dataset

DATA = Dataset(name="tiny_table", help="100 random images", load=lambda config: small())
"""


@pytest.fixture
def config(tmp_path):
    plugin = tmp_path / "tiny_table.py"
    plugin.write_text(TABLE)
    given = {
        "data.name": "tiny_table",
        "attack.name": "none",
        "pretrain.epochs": 0,
        "erm.epochs": 3,
        "self.early": 1,
        "self.points": 8,
        "train.batch": 16,
        "train.shift": 0,
        "rows": ("self",),
    }
    return checked(default((str(plugin),)), given)


def test_the_early_model_is_the_final_one_stopped_early(config, tmp_path):
    folder = tmp_path / "run"
    entered = pipeline.entered(config, folder, to_json(config), seeds=1, overwrite=False, warn=print)
    with entered as (experiment, _):
        row = experiment.rows[0]
        found = Rooms(experiment, 0).found(row, row.last[0])
    assert found.figures["n_held_out"] == 20
    assert found.figures["n_chosen"] == 8
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    final, early = (
        [one for one in epochs if one["stage"] == f"seed0/self-{what}"] for what in ("reference", "early")
    )
    assert [one["draws"] for one in final] == [80, 80, 80]
    assert [one["loss"] for one in early] == [final[0]["loss"]]
