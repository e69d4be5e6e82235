"""`oilwater new`: a working skeleton of a method, an attack, a data set or a config, with its test.

A kind is a folder of `skeletons/`. Its files are working modules of an entry called `skeleton`, which the tests run as
they are; here they get another name.
"""

import importlib.util
import keyword
import os
from pathlib import Path

from oilwater_jax.errors import UserError, plain
from oilwater_jax.files import write_text
from oilwater_jax.settings.registry import BUILT_IN, NAME, known

SKELETONS = Path(__file__).parent / "skeletons"
STAND_IN = "skeleton"  # the name in the files
LONGEST = 40  # characters of a name


def kinds() -> tuple[str, ...]:
    """The kinds of skeletons."""
    return tuple(sorted(folder.name for folder in SKELETONS.iterdir() if folder.is_dir()))


def write(kind: str, name: str, folder: Path = Path()) -> list[Path]:
    """Write NAME.py and test_NAME.py; returns them.

    Raises UserError, and writes nothing, for a name that cannot be, and where a file already exists.
    """
    check_name(name)
    texts = {
        folder / source.name.replace(STAND_IN, name): source.read_text()
        .replace(STAND_IN, name)
        .replace(STAND_IN.upper(), name.upper())
        for source in sorted((SKELETONS / kind).glob("*.py"))
    }
    for path in texts:
        if os.path.lexists(path):
            raise UserError(f"{path} already exists; give another name, or move it away")
    check_free(name)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def check_name(name: str) -> None:
    """Raises UserError for a name that cannot be both a module and a config section."""
    from ml_collections import ConfigDict  # not before it is needed: help answers at once

    shown = plain(name[:LONGEST])
    if not NAME.fullmatch(name) or name.startswith("_") or keyword.iskeyword(name) or not name.isascii():
        raise UserError(f"new: {shown!r} cannot be a name; give a letter, then letters, digits and _")
    if len(name) > LONGEST:
        raise UserError(f"new: the name {shown}... is too long; give at most {LONGEST} characters")
    if hasattr(ConfigDict, name):
        raise UserError(f"new: {name!r} is a method of every config; give another name")


def check_free(name: str) -> None:
    """Raises UserError for a name that a config section or an importable module already has."""
    registry = known()
    sections = {path.partition(".")[0] for path in registry.fields}
    if name in sections.union(*(registry.names(kind) for kind in BUILT_IN)):
        raise UserError(f"new: {name!r} is in every config already; give another name")
    found = importlib.util.find_spec(name)
    if found is not None and found.origin is not None:
        raise UserError(f"new: {name}.py would hide Python's module {name}; give another name")
