"""One setting: its default, its range and its help. Importing this needs neither JAX nor NumPy."""

from typing import Any, NamedTuple


class Field(NamedTuple):
    """One setting: default (its type is the field's type), help, and what values are allowed."""

    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None  # an exclusive lower bound
    choices: tuple[str, ...] | None = None
    length: int | None = None  # of a tuple, where it is fixed
    empty: bool = False  # whether a tuple may be empty
    of: type = str  # of a tuple whose default is empty: its entries' type

    @property
    def item(self) -> Any:
        """Of a tuple: a value of its entries' type."""
        return self.default[0] if self.default else self.of()

    @property
    def range(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return ("each one of " if isinstance(self.default, tuple) else "") + ", ".join(self.choices)
        if self.above is not None:
            return f"> {self.above:g}" + ("" if self.high is None else f", <= {self.high:g}")
        if self.low is None and self.high is None:
            return "any"
        each = "each " if isinstance(self.default, tuple) else ""
        if self.high is None:
            return f"{each}>= {self.low:g}"
        return f"{each}{self.low:g} .. {self.high:g}"

    @property
    def type_name(self) -> str:
        """The type in words: `int`, `float`, `3 ints`, ..."""
        if isinstance(self.default, tuple):
            count = f"{self.length} " if self.length else "any number of " if self.empty else "one or more "
            return f"{count}{type(self.item).__name__}s"
        return type(self.default).__name__
