"""Run an experiment from Python, with access to every intermediate object.

    with ow.walk(ow.load("configs/waterdigits/dlbd.py"), "runs/first") as seed:
        print(seed.table())

What is asked for is computed, or read if the folder has it already; nothing else is.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oilwater_jax import pipeline
from oilwater_jax.errors import UserError
from oilwater_jax.reporting import summary
from oilwater_jax.rooms import Rooms
from oilwater_jax.rows import Row, parse
from oilwater_jax.run_folder import check_path
from oilwater_jax.settings.config import Config, checked, to_json
from oilwater_jax.study.run import run as run_study
from oilwater_jax.sweep import sweep as run_sweep
from oilwater_jax.training.fit import Fitted
from oilwater_jax.types import Attacked, Examples, Goal, Scores, Splits

if TYPE_CHECKING:
    import pandas

__all__ = ["Walk", "frame", "run_study", "run_sweep", "walk"]


class Walk:
    """One seed of an experiment. Rows are expressions (`jtt`, `epic/jtt:ideal`, ...), of the config or not."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def _row(self, text: str) -> Row:
        return parse(text, self._rooms.experiment.registry)

    @property
    def splits(self) -> Splits:
        """The data: train (before poisoning), val, test, and the parts set aside."""
        return self._rooms.splits

    @property
    def attacked(self) -> Attacked:
        """The poisons, their positions, and what the goal needs to know about the attack."""
        return self._rooms.attacked

    @property
    def poisoned(self) -> Examples:
        """The poisoned training set."""
        return self._rooms.poisoned

    @property
    def goal(self) -> Goal:
        """How attack success is measured."""
        return self._rooms.goal

    def found(self, row: str) -> dict[str, np.ndarray]:
        """What the method of a row's last stage finds (`flagged`, ...). Raises UserError if it does not look."""
        parsed = self._row(row)
        methods = [self._rooms.experiment.registry.method(atom.name) for atom in parsed.last]
        looking = [atom for atom, method in zip(parsed.last, methods, strict=True) if method.find]
        if len(looking) != 1:
            raise UserError(f"found({row!r}): exactly one method of the last stage must look beforehand")
        return self._rooms.found(parsed, looking[0]).arrays

    def trained(self, row: str) -> Fitted:
        """A row's training: reported parameters, their epoch, a row of figures per epoch, the last weights."""
        return self._rooms.trained(self._row(row))

    def figures(self, row: str) -> dict[str, Any]:
        """A row's figures (WGA, success, draws per set, ...) on the split that the config evaluates."""
        return self._rooms.row(self._row(row)).figures

    def scores(self, row: str, names: Sequence[str], examples: Examples | None = None) -> Scores:
        """Per-sample scores of a row's reported model, each with a row per sample; of the poisoned set if not given."""
        params = self.trained(row).params
        return self._rooms.experiment.network.score(params, examples or self.poisoned, names)

    def summary(self) -> dict[str, Any]:
        """The content of summary.json, for this seed and all rows of the config."""
        figures = self._rooms.walk()
        return summary.summarise(figures, to_json(self._rooms.config), [self._rooms.seed])

    def table(self) -> "pandas.DataFrame":
        """The result table of the config's rows, fractions: a line per row, the attack's figures among the columns."""
        return frame(self.summary())


def frame(result: dict[str, Any]) -> "pandas.DataFrame":
    """The result table of a summary, in fractions; for several seeds means, with `<name>_std` columns."""
    import pandas

    names = [*summary.RATES, *result["measures"]]
    several = len(result["seeds"]) > 1
    lines = {}
    for key, row in result["rows"].items():
        line = {"label": row["label"]}
        for name in names:
            line |= {name: row[name]} | ({f"{name}_std": row[f"{name}_std"]} if several else {})
        lines[key] = line | {"worst_group": result["groups"][row["worst_group"]]}
    return pandas.DataFrame.from_dict(lines, orient="index")


@contextlib.contextmanager
def walk(
    config: Config,
    workdir: str | Path,
    *,
    seed: int | None = None,
    overwrite: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Iterator[Walk]:
    """One seed (the config's, if not given) of an experiment in a folder, which is held until the end.

    The folder is the one that `oilwater run` makes, and can be gone on with by it. Arguments and errors are those of
    `pipeline.run`; the config is checked here.
    """
    config = checked(config, {})
    number = config.seed if seed is None else seed
    folder = check_path(workdir)
    with pipeline.entered(config, folder, to_json(config), seeds=1, overwrite=overwrite, warn=warn) as (
        experiment,
        _,
    ):
        yield Walk(Rooms(experiment, number))
