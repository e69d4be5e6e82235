"""Printing on a terminal: text is text, whatever brackets, emoji names or control characters it holds."""

from typing import Any

from rich.console import Console
from rich.text import Text

from oilwater_jax.errors import plain


class Screen(Console):
    """A rich console that takes no markup from what it prints, and lets no control character through."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's own, line by line without control characters."""
        return super().render_str("\n".join(map(plain, text.split("\n"))), **options)
