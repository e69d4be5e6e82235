"""Figures of tables: poisons cell by cell, groups and who was flagged."""

import numpy as np
import tabular
from attacking import Attacker
from PIL import Image

from oilwater_jax.reporting import table_plots


def attacked():
    one = Attacker("tabular_trigger", {"tabular_trigger.set": ("job=nurse",)}, tabular.small())
    return one.splits, one.attack()


def test_cells_say_what_was_changed():
    splits, found = attacked()
    lines, cells, changed = table_plots.poison_cells(found.poisons, splits)
    assert lines[:4] == ["true label", "labelled", "attribute", "job"]  # what is changed comes first
    assert sorted(lines[4:]) == ["age", "hours", "town"]
    assert cells[0] == ["a"] * 6
    assert cells[1] == ["b"] * 6
    for cell, differs in zip(cells[3], changed[3], strict=True):
        assert cell.endswith("nurse")
        assert differs == (" -> " in cell)
    assert not any(any(line) for line in changed[4:])
    assert all(changed[1])


def test_files(tmp_path):
    splits, found = attacked()
    train = found.applied(splits.train)
    table_plots.write_poisons(tmp_path, found.poisons, splits)
    table_plots.write_groups(tmp_path / "groups.png", train, np.arange(len(train)) % 3 == 0, splits, "JTT")
    for name in ("poisons.png", "groups.png"):
        assert min(Image.open(tmp_path / name).size) > 100
    table_plots.write_poisons(tmp_path / "none", found.poisons.take(np.arange(0)), splits)
    assert not (tmp_path / "none").exists()
