"""A row of the result table: an expression over methods.

    row   := stage ("/" stage)* ["@" data]
    stage := atom ("+" atom)*
    atom  := method [":" mode]

`a/b`: b looks and trains among what a left. `a+b`: one training under both; their weights multiply. `:ideal` and
`:worst` are oracles of a method (see `treatments`). `@clean` is the data without the attack, `@poisoned` the default.
A row's label, its stages and their keys follow from its expression.
"""

import functools
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from oilwater_jax.entries import Method
from oilwater_jax.errors import UserError
from oilwater_jax.settings.nearest import nearest
from oilwater_jax.settings.registry import Registry
from oilwater_jax.types import MODES

DATA = ("poisoned", "clean")


class Atom(NamedTuple):
    """A method in a mode."""

    name: str
    mode: str = MODES[0]

    def __str__(self) -> str:
        """As in the expression; the mode standard goes without saying."""
        return self.name if self.mode == MODES[0] else f"{self.name}:{self.mode}"


class Row(NamedTuple):
    """A parsed expression: stages one after the other, each of one or more methods together."""

    stages: tuple[tuple[Atom, ...], ...]
    data: str = DATA[0]

    def __str__(self) -> str:
        """The expression in its shortest form, by which the row is known."""
        text = "/".join("+".join(map(str, stage)) for stage in self.stages)
        return text if self.data == DATA[0] else f"{text}@{self.data}"

    @property
    def last(self) -> tuple[Atom, ...]:
        """The stage whose training is reported."""
        return self.stages[-1]

    @property
    def before(self) -> "Row":
        """What comes before the last stage; without stages, the data as they are."""
        return self._replace(stages=self.stages[:-1])

    @property
    def slug(self) -> str:
        """A name for files: letters, digits, `_`, `-` and `.`; different for different rows."""
        words = {"/": "-then-", "+": "-with-", "@": "-on-", ":": "."}
        return re.sub("[/+@:]", lambda found: words[found.group()], str(self))

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """Every method that takes part, in order."""
        return tuple(atom for stage in self.stages for atom in stage)


def parse(text: str, registry: Registry) -> Row:
    """The row of an expression. Raises UserError, naming the expression and the fix.

    Examples:
        >>> from oilwater_jax.settings.registry import known
        >>> row = parse("epic/jtt:ideal", known())
        >>> [atom.name for atom in row.atoms], row.data, str(row.before)
        (['epic', 'jtt'], 'poisoned', 'epic')

    """

    def refuse(why: str) -> UserError:
        return UserError(f"row {text!r}: {why}")

    body, at, data = text.strip().partition("@")
    if at and data not in DATA:
        raise refuse(f"unknown data {data!r} after @{nearest(data, DATA)}; known: {', '.join(DATA)}")
    if not body:
        raise refuse("names no method; say erm, jtt, epic/jtt ...")
    stages = tuple(
        tuple(_atom(part, text, registry) for part in stage.split("+")) for stage in body.split("/")
    )
    row = Row(stages, data or DATA[0])
    for stage in stages:
        sole = [atom.name for atom in stage if registry.method(atom.name).sole]
        if len(sole) > 1:
            raise refuse(
                f"{sole[0]} and {sole[1]} each bring an objective of their own, and one training has one; join them by "
                f"/ ({sole[0]}/{sole[1]}) or leave one out"
            )
        names = [atom.name for atom in stage]
        if twice := [name for name in names if names.count(name) > 1]:
            raise refuse(f"{twice[0]} occurs twice in one training; once is enough")
    if row.data == "clean" and (modes := [atom for atom in row.atoms if atom.mode != MODES[0]]):
        raise refuse(f"{modes[0]} needs poisons, and @clean has none; leave :{modes[0].mode} out")
    return row


def _atom(part: str, text: str, registry: Registry) -> Atom:
    name, colon, mode = part.partition(":")
    names = registry.names("method")
    if not name:
        raise UserError(f"row {text!r}: a method is missing (a, a/b, a+b, a:mode and a@data are expressions)")
    if name not in names:
        raise UserError(
            f"row {text!r}: unknown method {name!r}{nearest(name, names)} (known: {', '.join(names)})"
        )
    modes = registry.method(name).modes
    if colon and mode not in modes:
        why = f"{name} has no mode {mode!r}{nearest(mode, modes)}"
        others = f"known: {', '.join(modes)}" if len(modes) > 1 else "it has no others than what it does"
        raise UserError(f"row {text!r}: {why}; {others}")
    return Atom(name, mode or MODES[0])


def parse_all(texts: Iterable[str], registry: Registry, field: str) -> tuple[Row, ...]:
    """The rows of a config's field. Raises UserError, also if a row occurs twice."""
    found: list[Row] = []
    for text in texts:
        row = parse(text, registry)
        if row in found:
            raise UserError(f"{field} names {str(row)!r} twice; leave one out")
        found.append(row)
    return tuple(found)


def label(row: Row, registry: Registry) -> str:
    """A row's name in tables: `JTT`, `EPIc + JTT`, `EPIc, then GEORGE (ideal)`, `ERM on clean data`."""

    def one(atom: Atom) -> str:
        method = registry.method(atom.name)
        text = method.label or method.name
        return text if atom.mode == MODES[0] else f"{text} {atom.mode}"

    text = ", then ".join(" + ".join(map(one, stage)) for stage in row.stages)
    return text if row.data == DATA[0] else f"{text} on {row.data} data"


def methods(row: Row, registry: Registry) -> tuple[Method, ...]:
    """The methods of a row's last stage."""
    return tuple(registry.method(atom.name) for atom in row.last)


def parts(row: Row) -> list[Row]:
    """The row stage by stage: for `a/b/c` it is `a`, `a/b`, `a/b/c`."""
    return [row._replace(stages=row.stages[:end]) for end in range(1, len(row.stages) + 1)]


def nature(row: Row, registry: Registry) -> dict[str, Any]:
    """Properties of a row for a verdict: aims of its methods, use of an oracle, the row without its defence."""

    def spared(atom: Atom) -> bool:
        return registry.method(atom.name).aim != "eliminate"

    stages = [tuple(atom for atom in stage if spared(atom)) for stage in row.stages]
    alone = row._replace(stages=tuple(stage for stage in stages if stage))
    methods = [registry.method(atom.name) for atom in row.atoms]
    return {
        "aims": sorted({method.aim for method in methods} - {"train"}),
        "oracle": any(method.oracle for method in methods)
        or any(atom.mode != MODES[0] for atom in row.atoms),
        "alone": str(alone) if alone.stages else "",
    }


@functools.cache
def plain() -> Row:
    """ERM on the poisoned data."""
    return Row(((Atom("erm"),),))


@functools.cache
def plain_clean() -> Row:
    """ERM on clean data: what success is measured against."""
    return Row(((Atom("erm"),),), "clean")
