"""Series can be told apart with any kind of colour vision, and on paper.

The simulation is Machado et al.'s (2009) at full severity; distances are those of CIE 1976 (L*, a*, b*), in which about
2.3 can just be noticed.
"""

import itertools

import numpy as np
import pytest

from oilwater_jax.reporting import charts, palette

VISION = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
APART = 12.0
SETS = ("poison", "lrg_1", "lrg_2", "hrg_1", "hrg_2")


def linear(colour: str) -> np.ndarray:
    """`#rrggbb` in linear light."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    xyz = XYZ @ np.clip(light, 0, 1) / (XYZ @ np.ones(3))
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(a: str, b: str, vision: str) -> float:
    return float(np.linalg.norm(lab(VISION[vision] @ linear(a)) - lab(VISION[vision] @ linear(b))))


def test_the_simulation_knows_what_is_hard_and_what_is_not():
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.01)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    # A red and a green that a deuteranope takes for each other, and blue and yellow, which he does not.
    assert apart("#d62728", "#7a7a1f", "normal") > 50
    assert apart("#d62728", "#7a7a1f", "deutan") < APART
    assert apart("#0000ff", "#ffff00", "deutan") > 100
    for matrix in VISION.values():  # greys stay as they are
        assert matrix @ np.ones(3) == pytest.approx(np.ones(3), abs=1e-5)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_apart(scheme, vision):
    for tones in (palette.TONES, [palette.of_set(name).tone for name in SETS]):
        for a, b in itertools.combinations([getattr(tone, scheme) for tone in tones], 2):
            assert apart(a, b, vision) > APART, (a, b)


def test_no_two_series_differ_by_their_colour_alone():
    for styles in (map(palette.series, range(12)), map(palette.of_set, SETS)):
        for a, b in itertools.combinations(styles, 2):
            assert (a.marker, a.dash) != (b.marker, b.dash)


def test_no_style_comes_twice():
    many = [*SETS, *(f"{kind}_{number}" for kind in ("lrg", "hrg") for number in range(3, 9))]
    for styles in (list(map(palette.series, range(140))), list(map(palette.of_set, many))):
        assert len({*styles}) == len(styles)
    assert palette.series(140) == palette.series(0)


def test_every_marker_can_be_drawn_in_a_page():
    used = {style.marker for style in (*map(palette.series, range(140)), *map(palette.of_set, SETS))}
    assert used <= set(charts.MARKS)
