"""The layout of published weight files."""

from collections.abc import Mapping
from typing import NamedTuple


class Layout(NamedTuple):
    """Names in PyTorch of our names' parts, where they differ; the last layer's matrix; learned positions."""

    parts: Mapping[str, str]
    head: str
    positions: str | None  # which fix the images' size
