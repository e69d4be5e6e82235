"""Charts of the pages: coordinates for the templates, which draw them as SVG in the page's own colours and letters.

An SVG in the page grows and shrinks with its window, has its text in the page's size, and is right in the dark and on
paper. Figures for a folder or a paper are Matplotlib's (`plots`).
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.ticker import MaxNLocator

from oilwater_jax.reporting.palette import Style

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 36
MOST_MARKERS = 12  # of a line; more run into each other
HEAD = 24  # above a scatter, for the label of its upright axis
EDGE = 12  # beside the tracks of dots: half of "100"
ROW = 36  # height of a row of dots: its name above its track

MARKS = {
    "o": "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0z",
    "s": "m-2.9 -2.9h5.8v5.8h-5.8z",
    "^": "m0 -3.8l3.7 6.6h-7.4z",
    "v": "m0 3.8l3.7 -6.6h-7.4z",
    "D": "m0 -4l4 4l-4 4l-4 -4z",
    "X": "m-3.6 -2.2l1.4 -1.4l2.2 2.2l2.2 -2.2l1.4 1.4l-2.2 2.2l2.2 2.2l-1.4 1.4l-2.2 -2.2l-2.2 2.2l-1.4 -1.4l2.2 -2.2",
}
"""Markers by Matplotlib's names, as what comes after a move to their middle in an SVG path."""

Point = tuple[float, float | None]  # undefined where a set has no samples


class Series(NamedTuple):
    """A line of a chart: its name, style, points, and at each point the ends of its band (none: no band)."""

    name: str
    style: Style
    points: Sequence[Point]
    band: Sequence[tuple[float, float, float]] = ()  # x, low, high


class Line(NamedTuple):
    """A series as SVG paths."""

    name: str
    style: Style
    path: str
    marks: str
    band: str


class Tick(NamedTuple):
    """A label on an axis and where it is."""

    at: float
    text: str


class Chart(NamedTuple):
    """A panel with axes, for the macro `chart`."""

    title: str
    x_label: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    chosen: list[float]  # x of upright lines
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


class Spot(NamedTuple):
    """A point of a scatter: its place (shares, or coordinates once it is placed), and what it says when pointed at."""

    x: float
    y: float
    text: str


class Cloud(NamedTuple):
    """Points of one kind: their name and style; `joined`, a line goes through them in their order."""

    name: str
    style: Style
    spots: Sequence[Spot]
    joined: bool = False


class Layer(NamedTuple):
    """A cloud as SVG coordinates; its line as a path (none: empty)."""

    name: str
    style: Style
    spots: list[Spot]
    path: str


class Scatter(NamedTuple):
    """A panel of points, for the macro `scatter`; up to `zone` it is shaded from the left."""

    title: str
    x_label: str
    y_label: str
    layers: list[Layer]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    zone: float | None
    width: int = WIDTH
    height: int = HEIGHT + HEAD - TOP
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = HEAD
    bottom: int = HEIGHT + HEAD - TOP - BOTTOM


class Value(NamedTuple):
    """A figure to be drawn as a dot: its name, its text, mean and interval, and the values that it is of."""

    name: str
    text: str
    mean: float | None
    low: float | None = None
    high: float | None = None
    each: Sequence[float] = ()


class Dot(NamedTuple):
    """A row of a panel of dots as SVG coordinates."""

    name: str
    text: str
    y: float
    at: float | None
    low: float | None
    high: float | None
    each: list[float]


class Dots(NamedTuple):
    """A panel of dots on tracks, for the macro `dots`."""

    title: str
    style: Style
    mark: str
    rows: list[Dot]
    ticks: list[Tick]
    zero: float
    width: int
    height: int
    edge: int = EDGE


def chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    chosen: Sequence[float] = (),
    share: bool = True,
) -> Chart:
    """A panel of lines over whole numbers (epochs); `share`: y is 0 .. 1 and said in per cent."""
    points = [(x, y) for one in series for x, y in one.points if y is not None]
    points += [(x, y) for one in series for x, *ends in one.band for y in ends]
    xs = [x for x, _ in points] or [1.0]
    left, right = min(xs), max(xs)
    if left == right:
        left, right = left - 1, right + 1
    most = max((y for _, y in points), default=1.0) or 1.0
    steps = list(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, 1.0 if share else most))
    epochs = list(MaxNLocator(8, integer=True).tick_values(left, right))
    top = steps[-1]

    def at_x(x: float) -> float:
        return LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def at_y(y: float) -> float:
        return HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    return Chart(
        title,
        x_label,
        [_line(one, at_x, at_y) for one in series],
        [Tick(at_x(x), f"{x:g}") for x in epochs if min(xs) <= x <= max(xs)],
        [Tick(at_y(y), f"{100 * y:g}" if share else f"{y:g}") for y in steps],
        [at_x(x) for x in sorted(set(chosen))],
    )


def _line(one: Series, at_x: Callable[[float], float], at_y: Callable[[float], float]) -> Line:
    """A series as paths; where it is undefined the line is broken."""
    path, pen = [], "M"
    known = [(x, y) for x, y in one.points if y is not None]
    for x, y in one.points:
        if y is None:
            pen = "M"
            continue
        path.append(f"{pen}{at_x(x):.1f} {at_y(y):.1f}")
        pen = "L"
    shown = known[:: max(1, math.ceil(len(known) / MOST_MARKERS))]
    marks = "".join(f"M{at_x(x):.1f} {at_y(y):.1f}{MARKS[one.style.marker]}" for x, y in shown)
    upper = [f"{at_x(x):.1f} {at_y(high):.1f}" for x, _, high in one.band]
    lower = [f"{at_x(x):.1f} {at_y(low):.1f}" for x, low, _ in reversed(one.band)]
    return Line(one.name, one.style, "".join(path), marks, f"M{'L'.join(upper + lower)}Z" if upper else "")


def scatter(
    title: str,
    clouds: Sequence[Cloud],
    *,
    x_label: str,
    y_label: str,
    least: float = 0.0,
    zone: float | None = None,
) -> Scatter:
    """A panel of points that are two shares each, said in per cent; x goes from `least` (0 or below) to 1, y from 0.

    Later clouds lie over earlier ones. What is beyond the ends is drawn at them.
    """
    panel = Scatter(title, x_label, y_label, [], [], [], None)

    def at_x(share: float) -> float:
        inside = (min(max(share, least), 1.0) - least) / (1 - least)
        return panel.left + inside * (panel.right - panel.left)

    def at_y(share: float) -> float:
        return panel.bottom - min(max(share, 0.0), 1.0) * (panel.bottom - panel.top)

    layers = []
    for one in clouds:
        placed = [Spot(at_x(spot.x), at_y(spot.y), spot.text) for spot in one.spots]
        path = "L".join(f"{spot.x:.1f} {spot.y:.1f}" for spot in placed)
        layers.append(Layer(one.name, one.style, placed, f"M{path}" if one.joined and path else ""))
    return panel._replace(
        layers=layers,
        x_ticks=[Tick(at_x(share), f"{100 * share:.0f}") for share in quarters(least)],
        y_ticks=[Tick(at_y(share), f"{100 * share:.0f}") for share in quarters(0.0)],
        zone=None if zone is None else at_x(zone),
    )


def quarters(least: float) -> list[float]:
    """Where the ticks of shares are: at every quarter, and at `least` where it is below 0."""
    return [*([least] if least < 0 else []), 0.0, 0.25, 0.5, 0.75, 1.0]


def dots(title: str, style: Style, values: Sequence[Value]) -> Dots:
    """A row for each value (a share) on a track from 0 to 100 per cent, or from below 0 where one is negative."""
    numbers = [one for v in values for one in (v.mean, v.low, *v.each) if one is not None]
    least = min([0.0, *(math.floor(one * 10) / 10 for one in numbers)])

    def at(share: float) -> float:
        return EDGE + (min(max(share, least), 1.0) - least) / (1 - least) * (WIDTH - 2 * EDGE)

    def known(share: float | None) -> float | None:
        return None if share is None else at(share)

    rows = [
        Dot(
            one.name,
            one.text,
            ROW * number + 24,
            known(one.mean),
            known(one.low),
            known(one.high),
            [at(share) for share in one.each] if len(one.each) > 1 else [],
        )
        for number, one in enumerate(values)
    ]
    height = ROW * len(values) + 26
    ticks = [Tick(at(share), f"{100 * share:.0f}") for share in quarters(least)]
    return Dots(title, style, MARKS[style.marker], rows, ticks, at(0.0), WIDTH, height)
