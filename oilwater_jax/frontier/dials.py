"""The dials (hyperparameters) of a row that a frontier varies. Methods declare theirs (`Method.dials`)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from oilwater_jax.errors import UserError
from oilwater_jax.rows import Row
from oilwater_jax.settings.config import Config, check_value, parse_override, registry_of
from oilwater_jax.settings.nearest import nearest
from oilwater_jax.settings.registry import Registry

Setting = dict[str, Any]
"""Values of dials by their paths: {"jtt.lambda_up": 10.0}."""
MOST = 10_000  # settings of a row


def declared(row: Row, registry: Registry) -> dict[str, tuple[Any, ...]]:
    """The dials of all methods of a row, by path; a common field that two of them turn is one dial."""
    found: dict[str, tuple[Any, ...]] = {}
    for atom in row.atoms:
        method = registry.method(atom.name)
        for name, values in method.dials.items():
            path = name if "." in name else f"{method.name}.{name}"
            found[path] = tuple(dict.fromkeys((*found.get(path, ()), *values)))
    return found


def parse(texts: Sequence[str], config: Config) -> dict[str, tuple[Any, ...]]:
    """`jtt.lambda_up=3,10` as values by path; without values the dial is fixed. Raises UserError."""
    fields = registry_of(config).fields
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        path, equals, values = text.partition("=")
        if not equals:
            raise UserError(f"--dial={text} has no values; write --dial=jtt.lambda_up=3,10")
        if path not in fields:
            raise UserError(f"--dial={text}: unknown field {path}{nearest(path, fields)}")
        if path in found:
            raise UserError(f"--dial={text}: {path} is given twice; give all its values at once")
        parts = [part.strip() for part in values.split(",") if part.strip()]
        if isinstance(fields[path].default, tuple):
            raise UserError(f"--dial={text}: {path} is a sequence, and a dial has single values")
        found[path] = tuple(
            check_value(path, parse_override(path, part, fields), fields[path], "--dial") for part in parts
        )
    return found


def of_row(row: Row, config: Config, given: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """The dials of a row and their values: the declared ones, `given` in their place.

    What is given of a method's own field, or of a common one that methods declare, is for rows with such a method;
    any other field for every row.
    """
    registry = registry_of(config)
    found = declared(row, registry)
    for path, values in given.items():
        owners = _owners(path, registry)
        if not owners or any(atom.name in owners for atom in row.atoms):
            found[path] = values
    return {path: values for path, values in found.items() if values}


def _owners(path: str, registry: Registry) -> list[str]:
    """The methods that a field is of, or that turn it."""
    section, _, name = path.partition(".")
    methods = [registry.method(one) for one in registry.names("method")]
    return [m.name for m in methods if path in m.dials or (m.name == section and name in m.fields)]


def settings(row: Row, config: Config, given: Mapping[str, tuple[Any, ...]]) -> list[Setting]:
    """Every combination of a row's dials; one empty setting for a row without any. Raises UserError for too many."""
    dials = of_row(row, config, given)
    count = 1
    for values in dials.values():
        count *= len(values)
    if count > MOST:
        raise UserError(f"row {row}: {count:,} settings of {', '.join(dials)}; give fewer values by --dial")
    return [dict(zip(dials, one, strict=True)) for one in itertools.product(*dials.values())]


def text(setting: Mapping[str, Any]) -> str:
    """`jtt.lambda_up=10 epic.ratio=0.3`, or `-`."""
    parts = (
        f"{path}={value:g}" if isinstance(value, float) else f"{path}={value}"
        for path, value in setting.items()
    )
    return " ".join(parts) or "-"
