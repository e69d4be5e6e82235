"""The contract of registered entries, as checks of a few seconds each, for `oilwater check` and the test suite.

A method is trained alone, in each of its modes, and with others under `/` and `+`; an attack is met by ERM; a data set
and a network go end to end; a score is taken. All on a smoke-sized experiment, whose stages are shared.
"""

import inspect
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from oilwater_jax import data
from oilwater_jax.entries import Attack, Dataset, Entry, Method, Model, Score
from oilwater_jax.environment import use_compilation_cache
from oilwater_jax.errors import UserError
from oilwater_jax.experiment import Experiment
from oilwater_jax.pipeline import prepare
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.rooms import Rooms
from oilwater_jax.rows import parse
from oilwater_jax.selectors import earliest
from oilwater_jax.settings.config import Config, check_value, checked, default, resolve, shrink, view
from oilwater_jax.settings.registry import Registry, blame, known
from oilwater_jax.stages import Store

PARTNERS = ("erm", "jtt", "epic")  # that a method of a user's is combined with
DOCUMENTED = ("find", "treat", "attack", "goal", "load")
TINY = {
    "smoke": True,
    "pretrain.epochs": 0,
    "cnn.widths": (8,),
    "rows": ("erm",),
    "checkpoint.seconds": 1e6,
    "data.auxiliary": 0.3,
    "data.base": 16,
    "data.base_balance": "class",
    "gm.steps": 2,
    "gm.restarts": 1,
}
# What is not for images is tried on a table.
ON_TABLE = {"data__name": "adult", "model__name": "mlp", "attack__name": "tabular_trigger"}


class Bench:
    """A smoke experiment that computes rows on request."""

    def __init__(self, folder: Path, plugins: Sequence[str] = (), **changes: Any) -> None:
        self.folder, self.warnings = folder, []
        settings = TINY | {name.replace("__", "."): value for name, value in changes.items()}
        if "model.name" not in settings:
            data_alone = checked(default(plugins), settings | {"attack.name": "none"})
            if data.of_config(shrink(data_alone)).kind == "table":
                settings |= {"model.name": "mlp"}
        config, splits = prepare(checked(default(plugins), settings))
        self.config: Config = config
        store = Store(folder, self.warnings.append, shared=True)
        self.rooms = Rooms(Experiment(config, splits, store, Progress(self.warnings.append)), config.seed)

    def figures(self, row: str) -> dict[str, Any]:
        """A row's figures, sound ones. Raises AssertionError naming what is wrong."""
        experiment = self.rooms.experiment
        parsed = parse(row, experiment.registry)
        figures = self.rooms.row(parsed).figures
        for name in ("acc", "wga", *experiment.attack.figures):
            assert name in figures, f"{row}: the figure {name} is missing"
            value = figures[name]
            assert value is None or -1 <= value <= 1, f"{row}: {name} = {value} is not a share"
        for name, share in figures["elmf"].items():
            assert share is None or 0 <= share <= 1, f"{row}: {share} of {name} is eliminated"
        for name, mean in figures["draws"].items():
            assert mean is None or (math.isfinite(mean) and mean >= 0), f"{row}: {name} is drawn {mean} times"
        recipe, treatment = self.rooms.treatment(parsed)
        first, reported = earliest(treatment.selector, recipe.epochs), self.rooms.trained(parsed).epoch
        assert reported >= first, f"{row}: reports epoch {reported}, its selector acts until {first}"
        return figures


class Check(NamedTuple):
    """A named check."""

    name: str
    run: Callable[[], Any]


def declared(entry: Entry) -> None:
    """Its settings are sound: help of one line, defaults that pass their own check, smoke of fields that it has."""
    assert entry.help, "the help is empty"
    assert "\n" not in entry.help, "the help has more than one line"
    for name, field in entry.fields.items():
        path = f"{entry.name}.{name}"
        assert field.help, f"{path}: the help is empty"
        assert "\n" not in field.help, f"{path}: the help has more than one line"
        checked_value = check_value(path, field.default, field, "its default")
        assert checked_value == field.default, f"{path}: its default is not of its own type"
    unknown = [name for name in entry.smoke if name not in entry.fields]
    assert not unknown, f"smoke names {', '.join(unknown)}, which it does not have"
    for name, value in vars(entry).items():
        if inspect.isfunction(value) and name in DOCUMENTED and value.__name__ != "<lambda>":
            assert value.__doc__, f"{name} has no docstring"


def rows_of_method(method: Method, partners: Sequence[str], registry: Registry) -> list[str]:
    """The rows in which a method is tried: alone, in its modes, in both orders with each partner."""
    name = method.name
    rows = [f"{name}:{mode}" for mode in method.modes] + [f"{name}@clean"]
    for partner in partners:
        rows += pairs(name, partner, registry)
        if partner != name:
            rows += pairs(partner, name, registry)[:1]
    return list(dict.fromkeys(rows))


def pairs(first: str, second: str, registry: Registry) -> list[str]:
    """`first/second`, and `first+second` where one training can be under both."""
    both_sole = registry.method(first).sole and registry.method(second).sole
    together = [] if first == second or both_sole else [f"{first}+{second}"]
    return [f"{first}/{second}", *together]


def suited(entry: Entry, **changes: Any) -> dict[str, Any]:
    """The changes, on data of a kind that the entry takes."""
    return changes if "image" in entry.takes else ON_TABLE | changes


def attack_checks(attack: Attack, bench: Callable[..., Bench]) -> Iterator[Check]:
    """Poisons, goal and figures; ERM and JTT under it."""

    def met() -> None:
        one = bench(**suited(attack, attack__name=attack.name))
        rooms = one.rooms
        attacked, n = rooms.attacked, len(rooms.splits.train)
        rows = np.asarray(attacked.rows)
        assert len(rows) == len(attacked.poisons), "rows and poisons differ in number"
        assert len(np.unique(rows)) == len(rows), "two poisons go to the same row"
        extra = np.sort(rows[rows >= n])
        assert (extra == n + np.arange(len(extra))).all(), "appended rows must be n, n + 1, ..."
        assert attack.harmless == (not attacked.poisons.is_poison.any()), "it marks no sample as a poison"
        assert not attack.baseline or attack.baseline in attack.figures, (
            "its baseline is not one of its figures"
        )
        for row in ("erm", "jtt"):
            one.figures(row)

    yield Check(f"attack {attack.name}: ERM and JTT under it", met)


def data_checks(dataset: Dataset, bench: Callable[..., Bench]) -> Iterator[Check]:
    """Splits that hold together; ERM and JTT on it."""

    def whole() -> None:
        one = bench(data__name=dataset.name, attack__name="none", data__auxiliary=0.0, data__base=0)
        splits = one.rooms.splits
        for split in ("train", "val", "test"):
            examples = getattr(splits, split)
            assert len(examples), f"{split} has no samples"
            assert examples.true_label.max() < len(splits.class_names), f"{split}: a label without a name"
            assert examples.attribute.max() < len(splits.attribute_names), (
                f"{split}: an attribute without a name"
            )
            assert not examples.is_poison.any(), f"{split} has poisons before any attack"
        again = data.of_config(one.config)
        same = all(
            np.array_equal(np.asarray(a), np.asarray(b))
            for a, b in zip(again.train.arrays().values(), splits.train.arrays().values(), strict=True)
        )
        assert same, "loaded twice, it has other samples"
        for row in ("erm", "jtt"):
            one.figures(row)

    yield Check(f"data set {dataset.name}: ERM and JTT on it", whole)


def model_checks(model: Model, bench: Callable[..., Bench]) -> Iterator[Check]:
    """Logits and features of the right shape, a last layer named head; ERM and EPIc with it."""

    def trained() -> None:
        one = bench(**suited(model, model__name=model.name))
        experiment = one.rooms.experiment
        few = experiment.splits.val.take(np.arange(4))
        scores = experiment.network.score(experiment.start(0), few, ("logits", "features"))
        width = model.features(view(one.config, model))
        assert scores["logits"].shape == (4, experiment.n_classes), (
            f"logits of shape {scores['logits'].shape}"
        )
        assert scores["features"].shape == (4, width), f"features of shape {scores['features'].shape}"
        for row in ("erm", "epic"):
            one.figures(row)

    yield Check(f"network {model.name}: ERM and EPIc with it", trained)


def score_checks(score: Score, bench: Callable[..., Bench]) -> Iterator[Check]:
    """A finite row for every sample, the same in another order."""

    def taken() -> None:
        experiment = bench().rooms.experiment
        few = experiment.splits.val.take(np.arange(20))
        values = experiment.network.score(experiment.start(0), few, (score.name,))[score.name]
        assert len(values) == 20, f"it has {len(values)} rows for 20 samples"
        assert np.isfinite(np.asarray(values, float)).all(), "it is not finite"
        back = np.arange(20)[::-1]
        other = experiment.network.score(experiment.start(0), few.take(back), (score.name,))[score.name]
        assert np.allclose(other, values[back], atol=1e-5), "it depends on the order of the samples"

    yield Check(f"score {score.name}", taken)


def method_checks(
    method: Method, partners: Sequence[str], bench: Callable[..., Bench], registry: Registry
) -> Iterator[Check]:
    """Every row of `rows_of_method`."""
    for row in rows_of_method(method, partners, registry):

        def trained(row: str = row) -> None:
            bench(**suited(method)).figures(row)

        yield Check(f"method {method.name}: {row}", trained)


def checks(
    entries: Sequence[Entry],
    bench: Callable[..., Bench],
    registry: Registry,
    partners: Sequence[str] = PARTNERS,
) -> Iterator[Check]:
    """Every check of some entries; `bench(**changes)` makes the experiment that they are tried in."""
    for entry in entries:
        yield Check(f"{entry.kind} {entry.name}: settings", lambda entry=entry: declared(entry))
        if isinstance(entry, Method):
            yield from method_checks(entry, partners, bench, registry)
        elif isinstance(entry, Attack):
            yield from attack_checks(entry, bench)
        elif isinstance(entry, Dataset):
            yield from data_checks(entry, bench)
        elif isinstance(entry, Model):
            yield from model_checks(entry, bench)
        elif isinstance(entry, Score):
            yield from score_checks(entry, bench)


def run(files: Sequence[str]) -> bool:
    """Check what user files define and print failures; True if none. Raises UserError."""
    plugins = tuple(resolve(one, Path()) for one in files)
    registry = known(plugins)
    mine = [one.entry for one in registry.entries if one.where in plugins]
    use_compilation_cache()
    console, broken, benches = Console(), 0, {}
    with tempfile.TemporaryDirectory(prefix="oilwater-check-") as folder:

        def bench(**changes: Any) -> Bench:
            key = str(sorted(changes.items()))
            if key not in benches:
                benches[key] = Bench(Path(folder), plugins, **changes)
            return benches[key]

        for one in checks(mine, bench, registry):
            problem = trouble(one)
            broken += problem is not None
            console.print(f"{'FAILED' if problem else 'ok':<7}{one.name}", highlight=False, markup=False)
            if problem:
                console.print(f"       {problem}", highlight=False, markup=False, soft_wrap=True)
    names = ", ".join(f"{entry.kind} {entry.name}" for entry in mine)
    console.print(
        f"{names}: {'all checks passed' if not broken else f'{broken} checks failed'}", highlight=False
    )
    return not broken


def trouble(check: Check) -> str | None:
    """The failure in one line, or None."""
    try:
        check.run()
    except UserError as error:
        return str(error)
    except Exception as error:  # whatever a user's module raises
        text = " ".join(str(error).split())
        if not isinstance(error, AssertionError) and (blamed := blame(error)):
            return blamed
        return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
    return None
