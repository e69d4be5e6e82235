"""What README promises. Its commands and links are tested with those of the documentation (`test_docs.py`)."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_it_is_read_in_a_few_minutes():
    assert len(README.split()) <= 900


def test_the_example_of_an_own_method_is_the_one_that_is_tested():
    (own,) = re.findall(r"```python title=\"hard.py\"\n(.*?)```", README, re.S)
    assert own in (ROOT / "tests/own/hard.py").read_text()


def test_every_picture_exists():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).exists(), picture


def test_the_result_table_is_the_committed_one():
    """Every cell of its figures stands in the tables of experiments/frontiers."""
    tables = "".join(
        (ROOT / f"experiments/frontiers/{name}.md").read_text() for name in ("headline_table", "dlbd")
    )
    cells = re.findall(r"\d+\.\d \[-?\d+\.\d, \d+\.\d\]", README.split("## What comes out")[1].split("##")[0])
    assert len(cells) == 14
    for cell in cells:
        assert cell in tables, cell
