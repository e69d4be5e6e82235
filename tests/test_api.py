"""The package as it is used from Python: every public name, and an experiment object by object."""

import json

import numpy as np
import pytest

import oilwater_jax as ow
from oilwater_jax.api import frame

SMALL = {
    "smoke": True,
    "pretrain.epochs": 0,
    "cnn.widths": (8,),
    "rows": "erm,jtt,epic+jtt",
    "data.base": 8,
}
CONFIG = "configs/waterdigits/dlbd.py"


def test_every_public_name_is_there_and_documented():
    assert dir(ow) == sorted(ow.__all__)
    for name in ow.__all__:
        one = getattr(ow, name)
        assert one is not None
        if callable(one) and name != "Config":
            assert one.__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ow.nothing  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("api") / "run"


def test_every_object_of_an_experiment_is_in_hand(folder):
    with ow.walk(ow.load(CONFIG, SMALL), str(folder)) as seed:
        poisoned = seed.poisoned
        n = len(poisoned)
        assert n == len(seed.splits.train) + len(seed.attacked.poisons)
        assert len(seed.splits.base) == 8
        flagged = seed.found("jtt")["flagged"]
        assert flagged.shape == (n,)
        fitted = seed.trained("jtt")
        assert len(fitted.history) == 2
        scores = seed.scores("jtt", ("loss", "correct"))
        assert scores["loss"].shape == (n,)
        few = seed.scores("jtt", ("logits",), seed.splits.test.take(np.arange(3)))
        assert few["logits"].shape == (3, 2)
        assert seed.figures("epic")["wga"] >= 0  # a row that the config does not name
        assert len(seed.goal.counted) == len(seed.splits.test)
        table = seed.table()
        assert list(table.index) == ["erm", "jtt", "epic+jtt"]
        assert table.loc["jtt", "label"] == "JTT"
        assert table.loc["jtt", "wga"] == seed.figures("jtt")["wga"]
        with pytest.raises(ow.UserError, match="exactly one method of the last stage must look"):
            seed.found("erm")
        with pytest.raises(ow.UserError, match=r"unknown method 'jt'; did you mean jtt\?"):
            seed.trained("jt")


def test_the_folder_is_a_runs(folder):
    """What was computed object by object is what `run` finds there; a table of two seeds has spreads."""
    result = ow.run(ow.load(CONFIG, SMALL), folder, seeds=2)
    assert json.loads((folder / "summary.json").read_text())["rows"] == result["rows"]
    table = frame(result)
    assert {"wga", "wga_std", "asr", "asr_std", "worst_group"} <= set(table.columns)


def test_a_config_is_checked_where_it_is_used(tmp_path):
    config = ow.load(CONFIG, SMALL)
    with config.unlocked():
        config.attack.budget = 7.0
    with (
        pytest.raises(ow.UserError, match=r"attack.budget = 7.0 is out of range"),
        ow.walk(config, tmp_path / "x"),
    ):
        pass
    assert not (tmp_path / "x").exists()
