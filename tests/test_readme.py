"""What README promises, done."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GRADIENTS, OWN, WALK = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_example_of_per_sample_gradients_runs():
    found = {}
    exec(compile(GRADIENTS, "README.md", "exec"), found)
    assert found["norms"].shape == found["train"].label.shape
    assert np.isfinite(found["norms"]).all()
    assert found["norms"].std() > 0


def test_the_example_of_an_own_defence_is_the_one_that_is_tested():
    assert OWN in (ROOT / "tests/own/trim.py").read_text()


def test_the_walk_from_python_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "trim.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(WALK, "README.md", "exec"), found)
    out = capsys.readouterr().out
    assert "513 samples, 5 poisons" in out
    assert "Trim, then JTT" in out
    assert found["config"].trim.share == 0.02
    assert (tmp_path / "runs/trim_in_python/stages/seed0/trim-then-jtt").exists()


def test_every_config_that_is_named_exists():
    for path in re.findall(r"configs/[a-z0-9]+/[a-z0-9_]+\.py", README):
        assert (ROOT / path).exists(), path


def test_every_path_in_the_map_of_the_rooms_exists():
    table = README.split("## The rooms")[1].split("`configs/` holds")[0]
    names = re.findall(r"`([a-z_/]+(?:\.py|/))`", table)
    assert len(names) > 15
    for name in names:
        assert list((ROOT / "oilwater_jax").rglob(name.rstrip("/"))), name


def test_every_picture_exists():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).exists(), picture
