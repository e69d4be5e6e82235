"""Which samples a page shows, and how."""

import base64
import io

import numpy as np
import pytest
import tabular
from attacking import Attacker
from PIL import Image

from oilwater_jax.groups import report_sets
from oilwater_jax.reporting import gallery as galleries
from oilwater_jax.reporting.gallery import Pick, gallery, most_drawn, proportional, uris
from oilwater_jax.types import Splits

N = 100
SETS = {
    "poison": np.arange(N) < 10,
    "lrg_1": (np.arange(N) >= 10) & (np.arange(N) < 12),
    "hrg_1": np.arange(N) >= 12,
}


def picture(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))


def test_of_each_set_in_proportion_and_at_least_one():
    found = proportional(np.arange(N), SETS, 20)
    counts = [int(mask[found].sum()) for mask in SETS.values()]
    assert counts == [2, 1, 17]
    assert len(found) == 20 == len(set(found.tolist()))
    assert found[:2].tolist() == [0, 1]  # the first of them
    assert proportional(np.arange(5), SETS, 20).tolist() == [0, 1, 2, 3, 4]
    assert proportional(np.arange(N), SETS, 2).tolist() == [0, 10]
    assert proportional(np.arange(12), SETS, 12).tolist() == list(range(12))


@pytest.mark.parametrize("most", range(1, 60))
def test_never_more_than_asked_for_and_no_fewer_than_there_are(most):
    for members in (np.arange(N), np.arange(30), np.arange(9, 40)):
        assert len(proportional(members, SETS, most)) == min(most, len(members))


def test_those_drawn_most_come_first():
    weights = np.array([1.0, 5.0, 0.0, 2.0, 5.0, 1.5])
    assert most_drawn(weights).tolist() == [1, 4, 3, 5]
    assert not len(most_drawn(np.ones(3)))


def test_a_gallery_of_images(examples):
    splits = Splits(examples, examples, examples, ("<b>", "b"), ("x", "y"))
    sets = report_sets(examples, 2, 2)
    weights = np.where(np.arange(40) < 5, 4.0, 1.0)
    flagged = np.arange(40) >= 35
    picks = [
        Pick("poisons", np.flatnonzero(examples.is_poison)),
        Pick("flagged by JTT", np.flatnonzero(flagged)),
        Pick("nobody", np.zeros(0, int)),
        Pick("drawn most by JTT", most_drawn(weights)),
    ]
    found = gallery(examples, splits, sets, picks, {"JTT": flagged}, {"JTT": weights})
    assert [(one.title, one.total, one.shown) for one in found.reasons] == [
        ("poisons", 3, 3),
        ("flagged by JTT", 5, 5),
        ("drawn most by JTT", 5, 5),
    ]
    assert found.reasons[1].of_sets.startswith("3 poisons, ")
    assert {one.row for one in found.samples} == {0, 1, 2, 3, 4, 35, 36, 37, 38, 39}
    poison = next(one for one in found.samples if one.row == 37)
    assert (poison.set, poison.reasons, poison.flagged_by, poison.draws) == ("poisons", [0, 1], "JTT", "")
    assert (poison.label, poison.truth) == ("<b>", "b/y")
    assert next(one for one in found.samples if one.row == 0).draws == "JTT 4"
    assert found.samples[0].set == found.sets[0] == "poisons"  # set by set
    shown = np.asarray(picture(poison.picture))
    np.testing.assert_array_equal(shown, examples.image[37])
    assert found.columns == []


def test_large_images_are_made_smaller():
    images = np.random.default_rng(0).integers(0, 256, (100, 224, 200, 3), np.uint8)
    found = uris(images)
    width, height = picture(found[0]).size
    assert height > width
    assert 100 * width * height <= galleries.PIXELS
    assert sum(map(len, found)) < 1_100_000  # of noise, which no PNG makes smaller
    assert np.asarray(picture(uris(images[:1, :8, :8, :1])[0])).shape == (8, 8)
    assert uris(images[:0]) == []


def test_many_reasons_are_cut_and_counted(examples):
    splits = Splits(examples, examples, examples, ("a", "b"), ("x", "y"))
    sets = report_sets(examples, 2, 2)
    picks = [Pick(str(at), np.arange(40)) for at in range(50)]
    found = gallery(examples, splits, sets, picks, {}, {})
    assert len(found.reasons) == galleries.MOST // galleries.LEAST
    assert found.left_out == 50 - len(found.reasons)
    assert all(one.shown == galleries.LEAST for one in found.reasons)


def test_a_gallery_of_rows_of_a_table():
    one = Attacker("tabular_trigger", {"tabular_trigger.set": ("job=nurse",)}, tabular.small())
    splits, attacked = one.splits, one.attack()
    train = attacked.applied(splits.train)
    sets = report_sets(train, len(splits.class_names), len(splits.attribute_names))
    found = gallery(train, splits, sets, [Pick("poisons", np.flatnonzero(train.is_poison))], {}, {})
    assert found.columns[0] == "job"  # what poisons have changed comes first
    assert {one.values[0] for one in found.samples} == {"nurse"}
    assert all(one.picture == "" for one in found.samples)
