"""Registered entries: data sets, attacks, methods, networks, scores. Each is one object in one file.

Your own file defines some and a config names the file (`plugins`); a built-in one has a line in
`settings.registry`. An entry brings its own settings: `config.<name>.<field>`. It is given those of its own section,
of its kind's (an attack: `attack`), and of the sections that it says it reads, and no others: what it can see is what
the keys of its stages are made of.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from oilwater_jax.settings.field import Field
from oilwater_jax.shapes import NET
from oilwater_jax.types import (
    MODES,
    Attacked,
    Case,
    Evidence,
    Examples,
    Found,
    Goal,
    Objective,
    Splits,
    Treatment,
)

Config = Any  # an ml_collections.ConfigDict of the sections that an entry sees


ANY_DATA = ("image", "table")  # kinds of data (`Splits.kind`)


def _nothing(config: Config) -> None:
    """Nothing can be wrong."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """The common fields of every kind of entry.

    `fields` are its settings by name; `check(config)` raises UserError where they do not fit together; `smoke` says
    what `config.smoke` leaves of a number (at most that); `version` is raised when the results for the same settings
    change; `reads` names the other sections (`group_dro`) and single fields (`evaluate`) that it sees. `takes` are the
    kinds of data that an attack, a method or a network is for: images, tables.
    """

    kind: ClassVar[str] = ""
    sections: ClassVar[tuple[str, ...]] = ()  # what every entry of the kind reads

    name: str
    help: str
    label: str = ""  # in tables; empty: the name
    fields: Mapping[str, Field] = dataclasses.field(default_factory=dict)
    check: Callable[[Config], None] = _nothing
    smoke: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: int = 1
    reads: tuple[str, ...] = ()
    takes: tuple[str, ...] = ANY_DATA

    @property
    def seen(self) -> tuple[str, ...]:
        """The sections (`attack`) and single fields (`evaluate`, `train.shift`) of a config that it sees."""
        own = (self.name,) if self.fields else ()
        return (*own, *type(self).sections, *self.reads)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Dataset(Entry):
    """A data set, of one of three kinds: give `load`, or `build`, or `catalogue`.

    `load(config) -> Splits`: the simplest; made anew in every process, kept whole in memory.
    `build(*raw) -> Splits` is made once and kept in the cache; `pretraining(*raw) -> Examples` is its task without the
    shortcut. Where it is made from files, `read_source(source)` reads them: both take its result, which has a `digest`.
    `catalogue(source, root, tick) -> Catalogue` lists published image files, decoded once as `preprocessing` says;
    `sizes` are the published numbers of samples by split.

    Under `config.smoke` common fields become at most `smoke_common`, and budget and auxiliary part at least so large
    that poisons are left.
    """

    kind = "data"

    load: Callable[[Config], Splits] | None = None
    build: Callable[..., Splits] | None = None
    pretraining: Callable[..., Examples] | None = None
    read_source: Callable[[str], Any] | None = None
    catalogue: Callable[..., Any] | None = None
    preprocessing: Any = None
    sizes: Mapping[str, int] | None = None
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    smoke_common: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    smoke_budget: float = 0.0
    smoke_auxiliary: float = 0.0


def _any_data(config: Config, splits: Splits, width: int) -> None:
    """Any data set will do."""


def _none(config: Config) -> tuple[str, ...]:
    """Nothing."""
    return ()


def _no_rounds(config: Config, epochs: int) -> int:
    """Weights follow from what was found."""
    return 0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Attack(Entry):
    """An attack on the training set, and how its success is measured.

    `figures` are what the goal measures, with their headings, the attack's success first; `baseline` names the figure
    that success has without the attack's doing (the untriggered rate), which a verdict subtracts. `models` names the
    models that the attacker trains, `steps` the recipes etc. are theirs. `check_data(config, splits)` raises UserError
    for settings that this data set cannot serve. `attack(config, splits, judged, seed, lab)` says what it does to the
    training set; `judged` is the split that is evaluated for an attack that reads `evaluate`, else None.
    `goal(config, judged, evidence)` is what success on that split is measured by. For `oilwater plan`: `passes` is how
    many times the evaluated split the goal's inputs are, `count(config, n, n_groups)` how many poisons n samples get,
    and `crafting` describes the programs that make them, if that is costly.
    """

    kind = "attack"
    sections = ("attack",)

    figures: Mapping[str, str]
    attack: Callable[..., Attacked]
    goal: Callable[[Config, Examples, dict[str, np.ndarray]], Goal]
    baseline: str = ""
    signed: tuple[str, ...] = ()  # figures that may be negative
    models: Callable[[Config], tuple[str, ...]] = _none
    check_data: Callable[[Config, Splits, int], None] = _any_data
    harmless: bool = False  # there are no poisons
    needs_clean: bool = False  # success is measured against the model trained on clean data
    passes: float = 1.0
    count: Callable[[Config, int, int], int] | None = None
    on_auxiliary: bool = False  # its models train on the auxiliary part
    crafting: Callable[..., Any] | None = None

    @property
    def measures(self) -> dict[str, str]:
        """What is measured of its success, with headings: its figures and, where it has a baseline, the net one."""
        first = next(iter(self.figures.values()))
        return {**self.figures, **({NET: f"net {first}"} if self.baseline else {})}

    @property
    def signed_measures(self) -> list[str]:
        """Those of `measures` that may be negative."""
        return [*self.signed, *([NET] if self.baseline else [])]


def _everyone(config: Config, n: int) -> int:
    """Every sample is drawn once."""
    return n


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Method(Entry):
    """A group-robustness method or a defence: it looks, then treats.

    `aim` is "amplify", "eliminate", or "train" (nobody is chosen). `scores` are the per-sample scores that `find`
    wants of a reference model, on training, validation and base samples; `find(config, evidence)` says what it found,
    `flagged` [n] among it: who would be amplified or eliminated. None: it looks at nothing beforehand.
    `treat(config, case)` is the training that follows. `reference(config, examples)` is how the reference model is
    trained; None: ERM by the recipe `identify`, shared by all methods that say so. `early(config, examples)` is a
    second reference model of the method's own, of which `find` sees the scores as `early_scores`.

    `dials` are what a frontier turns (`oilwater frontier`): a few values of each of its own fields, or of common ones
    ("identify.epochs"), by name.

    A method whose treatment has an objective, a start, a trained part or an aggregation of its own says so by `sole`:
    at most one of several under `+` may. `recipe` is the section of its final training; empty: `robust` for one that
    amplifies, else `erm`. For `oilwater plan`: `in_rounds(config)` are scores its selector asks for, `rounds(config,
    epochs)` how often, `draws(config, n)` estimates the draws of an epoch, `epochs(config)` are those of a recipe of
    its own, `in_find(config, n, n_base)` is how many samples `find` asks its reference model about beyond `scores`,
    `largest(config, n_classes)` is the largest objective that it may come to.
    """

    kind = "method"

    aim: str
    treat: Callable[[Config, Case], Treatment]
    scores: Callable[[Config], tuple[str, ...]] | tuple[str, ...] = ()
    find: Callable[[Config, Evidence], Found] | None = None
    reference: Callable[[Config, Examples], Treatment] | None = None
    early: Callable[[Config, Examples], Treatment] | None = None
    sole: bool = False
    recipe: str = ""
    base: bool = False  # it cannot do without a base set
    oracle: bool = False  # it looks at true groups
    in_rounds: Callable[[Config], tuple[str, ...]] = _none
    rounds: Callable[[Config, int], int] = _no_rounds
    draws: Callable[[Config, int], int] = _everyone
    epochs: Callable[[Config], int] | None = None
    in_find: Callable[[Config, int, int], int] | None = None
    largest: Callable[[Config, int], Objective] | None = None
    dials: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.aim not in ("amplify", "eliminate", "train"):
            raise ValueError(f"method {self.name!r}: aim {self.aim!r}; known: amplify, eliminate, train")

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of the method: all, or only "standard" if it selects no samples or is an oracle.

        A method that amplifies chooses by what it finds; one that eliminates may also choose in rounds.
        """
        chooses = self.aim == "eliminate" or (self.aim == "amplify" and self.find is not None)
        return MODES if chooses and not self.oracle else MODES[:1]

    @property
    def recipe_section(self) -> str:
        """The section of the recipe of its final training."""
        return self.recipe or ("robust" if self.aim == "amplify" else "erm")

    def scores_of(self, config: Config) -> tuple[str, ...]:
        """The scores that `find` needs, for a config."""
        return self.scores(config) if callable(self.scores) else self.scores


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Model(Entry):
    """A network: `build(config, n_classes, dtype)` is a flax module, `features(config)` the width of its last layer.

    The module maps images (and, in training, a mask of rows) to (logits, features); its last layer is named `head`.
    `layout` is the shape of the files that others publish its weights in; None: they cannot be imported.

    `on_a_cpu(params, image)` is what a CPU trains by in float32, where the module's own gradient is slow there: the
    same function of the same parameters, of a network without running statistics.
    """

    kind = "model"

    build: Callable[[Config, int, Any], Any]
    features: Callable[[Config], int]
    layout: Any = None
    on_a_cpu: Callable[[Any, Any], tuple[Any, Any]] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Score(Entry):
    """A figure of ONE sample: `of` is "logits", for `figure(logits [k], label)`, or "gradient", for `figure(tree)`.

    A method may name it among its `scores`; `oilwater study` takes those that are single numbers.
    """

    kind = "score"

    figure: Callable[..., Any]
    of: str = "logits"

    def __post_init__(self) -> None:
        if self.of not in ("logits", "gradient"):
            raise ValueError(f"score {self.name!r}: of {self.of!r}; known: logits, gradient")


KINDS: dict[str, type[Entry]] = {kind.kind: kind for kind in (Dataset, Attack, Method, Model, Score)}
