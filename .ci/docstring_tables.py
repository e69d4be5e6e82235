"""Docstrings as the documentation shows them: tables of plain text, columns apart by spaces, keep their columns.

A griffe extension: consecutive lines with two or more spaces inside become a block of code.
"""

import re
from typing import Any

import griffe

COLUMNS = re.compile(r"\S {2,}\S")


def fenced(text: str) -> str:
    """The text with each run of at least two lines in columns as a block of code."""
    lines, out, at = text.split("\n"), [], 0
    while at < len(lines):
        end = at
        while end < len(lines) and COLUMNS.search(lines[end]):
            end += 1
        if end - at >= 2:
            out += ["", "```text", *lines[at:end], "```", ""]
            at = end
        else:
            out.append(lines[at])
            at += 1
    return "\n".join(out)


class Tables(griffe.Extension):
    """Fences the tables of every docstring."""

    def on_object(self, *, obj: griffe.Object, **more: Any) -> None:
        """Called for each object that was read."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
