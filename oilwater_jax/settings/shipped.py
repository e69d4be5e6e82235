"""The configs that come with the package, by name: `waterdigits/dlbd`. Importing this needs neither JAX nor NumPy.

They are the files of `configs/`: in a wheel inside the package, in a checkout next to it.
"""

import ast
import difflib
import os
from pathlib import Path

from oilwater_jax.errors import UserError, plain
from oilwater_jax.files import write_text

PACKAGE = Path(__file__).parent.parent
NEAR = 3  # names that a message offers


def folder() -> Path:
    """Where the files are."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def names() -> dict[str, Path]:
    """Every file by its name, sorted."""
    found = {path.relative_to(folder()).with_suffix("").as_posix(): path for path in folder().rglob("*.py")}
    return dict(sorted(found.items()))


def find(path: str, function: str) -> Path:
    """The file of a config, given by path or by name (`waterdigits/dlbd`, with `.py` or without).

    Case                              Result
    a file with this path exists      that file
    a folder with this path exists    UserError
    the name is of a shipped config   the shipped file; a leading `configs/` makes no difference
    anything else                     UserError, with the nearest names
    """
    if os.path.isfile(path):
        return Path(path)
    if os.path.isdir(path):
        raise UserError(f"config file {plain(path)} is a folder; give a Python file with {function}()")
    name, known = path.removeprefix("configs/").removesuffix(".py"), names()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, NEAR, 0.6)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise UserError(
        f"config file {plain(path)} does not exist; give a Python file with {function}(), or a name that "
        f"`oilwater configs` lists{hint}"
    )


def summary(path: Path) -> str:
    """The first line of a config file's docstring; the file is not run."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.partition("\n")[0]


def copy(name: str, to: str | None) -> Path:
    """Copy a shipped config to a file; by default its own name in the current folder. Returns where it is.

    Raises UserError for an unknown name, or where something already exists.
    """
    source = find(name, "get_config")
    target = Path(to if to is not None else source.name)
    if target.is_dir():
        target /= source.name
    if os.path.lexists(target):
        raise UserError(
            f"{plain(str(target))} already exists; give another file: oilwater configs copy {name} FILE"
        )
    if not target.parent.is_dir():
        raise UserError(f"{plain(str(target.parent))} is not a folder; make it, or give another file")
    write_text(target, source.read_text())
    return target
