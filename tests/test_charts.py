"""Coordinates of the pages' charts, by hand."""

import re

import pytest

from oilwater_jax.reporting import charts, palette
from oilwater_jax.reporting.charts import Series, Value, chart, dots

STYLE = palette.series(0)
X0, X1 = charts.LEFT, charts.WIDTH - charts.RIGHT
Y0, Y1 = charts.HEIGHT - charts.BOTTOM, charts.TOP


def test_a_line_by_hand():
    found = chart("t", [Series("a", STYLE, [(1, 0.0), (2, 0.5), (3, 1.0)])], x_label="epoch", chosen=[3, 3])
    middle = (X0 + X1) / 2, (Y0 + Y1) / 2
    assert found.lines[0].path == f"M{X0:.1f} {Y0:.1f}L{middle[0]:.1f} {middle[1]:.1f}L{X1:.1f} {Y1:.1f}"
    assert found.chosen == [X1]
    assert [tick.text for tick in found.y_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert [tick.text for tick in found.x_ticks] == ["1", "2", "3"]
    assert found.lines[0].marks.count("M") == 3
    assert found.lines[0].band == ""


def test_a_line_is_broken_where_it_is_undefined():
    points = [(1, 0.1), (2, None), (3, 0.3), (4, 0.4)]
    (line,) = chart("t", [Series("a", STYLE, points)], x_label="epoch").lines
    assert re.sub(r"[\d. ]", "", line.path) == "MML"
    assert line.marks.count("M") == 3


def test_a_band_goes_along_its_top_and_back():
    band = [(1.0, 0.2, 0.4), (2.0, 0.0, 1.0)]
    (line,) = chart("t", [Series("a", STYLE, [(1, 0.3), (2, 0.5)], band)], x_label="epoch").lines
    ys = [float(y) for y in re.findall(r" (\d+\.\d)", line.band)]
    assert ys == [pytest.approx(Y0 + share * (Y1 - Y0), abs=0.06) for share in (0.4, 1.0, 0.0, 0.2)]


def test_one_epoch_no_point_and_losses():
    single = chart("t", [Series("a", STYLE, [(5, 0.5)])], x_label="epoch")
    assert [tick.text for tick in single.x_ticks] == ["5"]
    empty = chart("t", [Series("a", STYLE, [(1, None)])], x_label="epoch")
    assert empty.lines[0].path == empty.lines[0].marks == ""
    loss = chart("t", [Series("a", STYLE, [(1, 2.3), (2, 0.0)])], x_label="epoch", share=False)
    assert float(loss.y_ticks[-1].text) >= 2.3
    assert all(0 <= tick.at <= charts.HEIGHT for tick in loss.y_ticks)


def test_many_points_have_few_markers():
    points = [(float(at), 0.5) for at in range(100)]
    (line,) = chart("t", [Series("a", STYLE, points)], x_label="epoch").lines
    assert line.marks.count("M") <= charts.MOST_MARKERS
    assert line.path.count("L") == 99


def test_dots_by_hand():
    found = dots("t", STYLE, [Value("a", "50.0", 0.5, 0.25, 0.75, [0.4, 0.6]), Value("b", "undefined", None)])
    first, second = found.rows
    width = charts.WIDTH - 2 * charts.EDGE
    at = {share: charts.EDGE + share * width for share in (0.25, 0.4, 0.5, 0.6, 0.75)}
    assert (first.low, first.at, first.high) == (at[0.25], at[0.5], at[0.75])
    assert first.each == pytest.approx([at[0.4], at[0.6]])
    assert second.at is None
    assert second.y - first.y == charts.ROW
    assert [tick.text for tick in found.ticks] == ["0", "25", "50", "75", "100"]


def test_a_negative_figure_has_room_left_of_nothing():
    found = dots("t", STYLE, [Value("a", "-12.0", -0.12)])
    assert found.ticks[0].text == "-20"
    assert found.rows[0].at is not None
    assert charts.EDGE < found.rows[0].at < found.zero < charts.WIDTH / 2
