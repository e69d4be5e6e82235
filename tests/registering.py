"""Entries that are registered for as long as a test needs them."""

import contextlib
from collections.abc import Iterator

from oilwater_jax.entries import Entry
from oilwater_jax.settings import registry


@contextlib.contextmanager
def registered(*entries: Entry) -> Iterator[None]:
    """The entries are known by their names inside."""
    for entry in entries:
        registry.register(entry)
    try:
        yield
    finally:
        for entry in entries:
            del registry._registered[entry.kind, entry.name]
        registry._known.cache_clear()
