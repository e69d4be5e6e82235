"""What README promises, done."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GRADIENTS, SELECTOR = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_example_of_per_sample_gradients_runs():
    found = {}
    exec(compile(GRADIENTS, "README.md", "exec"), found)
    assert found["norms"].shape == found["train"].label.shape
    assert np.isfinite(found["norms"]).all()
    assert found["norms"].std() > 0


def test_the_example_of_an_own_selector_runs(tmp_path, monkeypatch, capsys):
    for folder in ("configs", "runs"):
        (tmp_path / folder).symlink_to(ROOT / folder) if folder == "configs" else (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    exec(compile(SELECTOR, "README.md", "exec"), {})
    wga, asr = map(float, capsys.readouterr().out.split()[-2:])
    assert 0 <= wga <= 1
    assert 0 <= asr <= 1
    report = (tmp_path / "runs/trim/report.html").read_text()
    assert "trim 2 per cent" in report


def test_every_path_in_the_map_of_the_rooms_exists():
    table = README.split("## The rooms")[1].split("`configs/` holds")[0]
    names = re.findall(r"`([a-z_/]+(?:\.py|/))`", table)
    assert len(names) > 15
    for name in names:
        assert list((ROOT / "oilwater_jax").rglob(name.rstrip("/"))), name


def test_every_picture_exists():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).exists(), picture
