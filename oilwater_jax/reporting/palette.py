"""Colours, markers and dashes of every figure, distinguishable for colour-blind readers, on paper and in dark mode.

No series is identified by its colour alone: each has a marker and a dash of its own too. The hues are Okabe and Ito's.

References: Okabe and Ito 2008, "Color Universal Design"; Machado et al. 2009, whose model tests/test_palette.py uses.
"""

from typing import NamedTuple


class Tone(NamedTuple):
    """A colour on white and the one that stands for it on a dark page."""

    light: str
    dark: str


class Style(NamedTuple):
    """How a series is drawn: colour, Matplotlib's name of its marker, lengths of dash and gap (none: a full line)."""

    tone: Tone
    marker: str
    dash: tuple[float, ...]

    @property
    def line(self) -> str | tuple[float, tuple[float, ...]]:
        """The dash as Matplotlib wants it."""
        return (0, self.dash) if self.dash else "-"


BLUE = Tone("#0072B2", "#4FA9E2")
ORANGE = Tone("#E69F00", "#F7C548")
GREEN = Tone("#009E73", "#22C58F")
PURPLE = Tone("#CC79A7", "#E29CC4")
BLACK = Tone("#222222", "#F0F0F0")
SKY = Tone("#56B4E9", "#A6DBFF")
VERMILLION = Tone("#D55E00", "#F0641C")
GREY = Tone("#6B7680", "#9AA5AF")
LIGHT_GREY = Tone("#A9B1B8", "#D5DBE0")

TONES = (BLUE, ORANGE, GREEN, PURPLE, BLACK, SKY, VERMILLION)
MARKERS = ("o", "s", "^", "D", "v")
DASHES = ((), (6.0, 2.0), (2.0, 2.0), (8.0, 2.0, 2.0, 2.0))
HATCHES = ("", "////")
"""Of bars side by side."""

KINDS = {
    "poison": ((VERMILLION,), "X", ()),
    "lrg": ((BLUE, SKY), "o", (6.0, 2.0)),
    "hrg": ((GREY, LIGHT_GREY), "s", (2.0, 2.0)),
}
"""Of a kind of set: the tones of its first and of its later ones, its marker, its dash."""


def series(at: int) -> Style:
    """The style of the series number `at` from 0; they repeat after 140."""
    return Style(TONES[at % len(TONES)], MARKERS[at % len(MARKERS)], DASHES[at % len(DASHES)])


def of_set(name: str) -> Style:
    """The style of a reported set (`poison`, `lrg_1`, ...), the same in every figure: poisons vermillion, minorities
    blues, majorities greys, the first of a kind darker than the others.
    """
    kind, _, number = name.partition("_")
    tones, marker, dash = KINDS[kind]
    at = int(number) - 1 if number else 0
    # Later ones of a kind have the same tone; a longer gap and another marker tell them apart.
    longer = (*dash[:-1], dash[-1] + 2.0 * at) if dash else dash
    return Style(tones[min(at, len(tones) - 1)], marker if at < len(tones) else MARKERS[2 + at % 3], longer)
