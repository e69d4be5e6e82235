"""What README promises. Its commands and links are tested with those of the documentation (`test_docs.py`)."""

import csv
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
    cells = re.findall(r"\d+\.\d \[-?\d+\.\d, \d+\.\d\]", README.split("## Results")[1].split("##")[0])
    assert len(cells) == 14
    for cell in cells:
        assert cell in tables, cell


def test_the_figures_in_its_prose_are_in_the_committed_tables():
    """(what README says, table, what stands there)"""
    said = README.split("## Findings")[1].split("## Examples")[0]
    for words, table, there in (
        ("within 3.7 points", "headline_table", "JTT ideal, all 15 settings"),
        ("within 3.7 points", "headline_table", "at most 3.7 points from ERM's net ASR"),
        ("9 to 87", "headline_table", "JTT, all 15 settings, means: WGA 73.2 to 91.3, net ASR 8.9 to 86.6"),
        ("net ASR is 79", "last_epoch", "| JTT | 20 | 84.5 [82.1, 86.9] | 90.3 [88.7, 91.8] | 79.3 ["),
        (
            "without the poisons 6",
            "last_epoch",
            "| JTT ideal | 20 | 85.6 [82.7, 88.5] | 86.1 [82.9, 89.3] | 6.2 [",
        ),
        ("73.2 at a net ASR of 8.9", "headline_table", "lambda_up 3, T 4 | 73.2 [66.5, 80.0] | 8.9 ["),
        (
            "79.5 at a net ASR of 2.8 (ERM",
            "../matrix/waterdigits_confirmed_last",
            "deep_knn.budget=0.05 | 79.5 [73.4, 85.7] | 2.8 [0.8, 4.8]",
        ),
        (
            "(ERM 53.6 and 2.5)",
            "../matrix/waterdigits_confirmed_last",
            "| ERM | 1 | 0.52 | - | 53.6 [48.7, 58.4] | 2.5 [",
        ),
        (
            "75.7 at a net damage of -0.4 (ERM",
            "../matrix/waterdigits_sa_confirmed_last_net",
            "deep_knn.budget=0.05 | 75.7 [72.7, 78.6] | -0.4 [-3.7, 2.8]",
        ),
        (
            "(ERM 62.9 and 11.4)",
            "../matrix/waterdigits_sa_confirmed_last_net",
            "| ERM | - | 62.9 [54.2, 71.5] | 11.4 [-8.8, 31.6] |",
        ),
        ("Few of 150 combinations have both", "../matrix/waterdigits", "7 of 150 rows have both"),
        ("Few of 150 combinations have both", "../matrix/waterdigits_sa", "0 of 150 rows have both"),
        (
            "flipping 80.9 at -0.9 (ERM",
            "../matrix/waterdigits_flip_confirmed_last_net",
            "deep_knn.budget=0.05 | 80.9 [77.5, 84.3] | -0.9 [-3.8, 1.9]",
        ),
        (
            "(ERM 63.5 and 0.5)",
            "../matrix/waterdigits_flip_confirmed_last_net",
            "| ERM | - | 63.5 [57.0, 69.9] | 0.5 [0.0, 1.0] |",
        ),
        ("18 of 100 targets are hit", "gm", "| 16 | Deep k-NN, then LfF | 18 of 100 |"),
        ("(ERM 4; validation's epoch)", "gm", "| 16 | ERM | 4 of 100 |"),
        (
            "75.2 at 4.6 net ASR",
            "fashion_dlbd",
            "| GEORGE | 1 | 0.72 | - | 75.2 [72.8, 77.5] | 4.6 [1.7, 7.4] |",
        ),
        ("`lambda_up` 50 has 55%", "../headline/jtt_dlbd_50", "14.5 ± 9.2 | 55.3 ± 41.4 |"),
    ):
        assert words in " ".join(said.split()), words
        assert there in (ROOT / f"experiments/frontiers/{table}.md").read_text(), there
    with (ROOT / "experiments/frontiers/headline.csv").open() as file:
        chosen = "jtt.lambda_up=20 identify.epochs=8"
        net = [
            100 * float(line["net"])
            for line in csv.DictReader(file)
            if (line["row"], line["setting"], line["split"]) == ("jtt", chosen, "test")
        ]
    assert len(net) == 5
    assert f"{min(net):.1f} to {max(net):.0f}% over five seeds" in " ".join(said.split())
