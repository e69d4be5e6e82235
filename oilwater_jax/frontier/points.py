"""points.csv: every setting of a frontier on both splits, a line per seed. Written here, and read back by reports."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from oilwater_jax.files import write_text
from oilwater_jax.frontier import dials
from oilwater_jax.intervals import SHARE, SIGNED, Estimate, over_seeds
from oilwater_jax.shapes import NET

SPLITS = ("val", "test")  # chosen on, told on


class Line(NamedTuple):
    """One setting of a row on one split, as read back: its seeds, and a value for each by figure."""

    row: str
    setting: str
    split: str
    seeds: list[int]
    figures: dict[str, list[float | None]]

    @property
    def dials(self) -> dict[str, str]:
        """The values of its dials, as text, by their paths."""
        return dict(part.split("=", 1) for part in self.setting.split() if "=" in part)

    def of(self, name: str) -> Estimate | None:
        """A share, or net success, over the seeds."""
        return over_seeds(self.figures[name], SIGNED if name == NET else SHARE)

    def mean(self, name: str) -> float:
        """The same without its interval; NaN where it is undefined for any seed."""
        found = self.of(name)
        return math.nan if found is None else found.mean


def write(path: Path, result: Mapping[str, Any]) -> None:
    """What frontier.json holds, as CSV."""
    rows = [
        {
            "row": point["row"],
            "setting": dials.text(point["setting"]),
            "split": split,
            "seed": seed,
            **{name: ones[at] for name, ones in point[split].items()},
        }
        for point in result["points"]
        for split in SPLITS
        for at, seed in enumerate(result["seeds"])
    ]
    file = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    )
    write_text(path, file.getvalue())


def read(path: Path) -> list[Line]:
    """The settings of a frontier, in the file's order, val before test."""
    found: dict[tuple[str, str, str], Line] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            key = row.pop("row"), row.pop("setting"), row.pop("split")
            line = found.setdefault(key, Line(*key, [], {}))
            line.seeds.append(int(row.pop("seed")))
            for name, text in row.items():
                line.figures.setdefault(name, []).append(float(text) if text else None)
    return list(found.values())
