"""Cache of compiler results, so that a second plan need not compile again.

Kept in the cache folder, one small JSON file a program, by all that the answer depends on: the program's text as it is
given to the compiler, the topology, and the compiler's version.
"""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from oilwater_jax.data.cache import folder
from oilwater_jax.files import read_json, write_json

COMPILERS = ("jax", "jaxlib", "libtpu")
FIELDS = {"arguments", "outputs", "temporaries", "program", "flops", "moved", "seconds"}


def key(text: str, topology: str) -> str:
    """The name of what is kept of a program's text for a topology."""
    whole = "\0".join([text, topology, *(f"{name} {_version(name)}" for name in COMPILERS)])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _place(name: str) -> Path:
    return folder() / "plans" / f"{name}.json"


def read(name: str) -> dict[str, Any] | None:
    """What was kept: the compiler's numbers (`roofline.said`) or its refusal, and the seconds that it took.

    None where there is nothing, or nothing that could be one of these.
    """
    found = read_json(_place(name))
    if not isinstance(found, dict) or not isinstance(found.get("seconds"), int | float):
        return None
    if isinstance(found.get("refusal"), str):
        return found
    numbers = all(isinstance(found.get(field), int | float) for field in FIELDS)
    return found if numbers else None


def write(name: str, said: dict[str, Any]) -> None:
    """Keep it."""
    _place(name).parent.mkdir(parents=True, exist_ok=True)
    write_json(_place(name), said)
