"""What is set aside of the training samples: how many of each group, disjoint, the same for every seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax import data
from oilwater_jax.data.carving import base_counts, carve, carve_base
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Examples, Splits

WATERBIRDS = [3498, 184, 56, 1057]


def splits_of(sizes, n_attributes=2):
    """A data set of so many samples of each group, of one pixel, whose value is the sample's row, in random order."""
    group = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n = len(group)
    label = (group // n_attributes).astype(np.int32)
    row = np.arange(n, dtype=np.int32)
    image = np.stack([row // 256, row % 256, row * 0], axis=1).astype(np.uint8).reshape(n, 1, 1, 3)
    train = Examples(image, label, label, (group % n_attributes).astype(np.int32), np.zeros(n, bool), row)
    classes = tuple(f"class{k}" for k in range(len(sizes) // n_attributes))
    return Splits(train, train, train, classes, tuple(f"attribute{k}" for k in range(n_attributes)))


def counts(examples, n_groups=4, n_attributes=2):
    return np.bincount(group_ids(examples, n_attributes), minlength=n_groups).tolist()


# Waterbirds' groups are 3498, 184, 56 and 1057 of 4795; a class of 3682 and one of 1113.
HAND = [
    # 100 x 3498 / 4795 = 72.95, 3.84, 1.17, 22.04: 72, 3, 1, 22 and one more each for .95 and .84
    ("natural", 100, [73, 4, 1, 22]),
    # 50 of each class: 50 x 3498 / 3682 = 47.50, 2.499; 50 x 56 / 1113 = 2.52, 47.48: one more for .52, one for .50
    ("class", 100, [48, 2, 3, 47]),
    ("group", 100, [25, 25, 25, 25]),
    # 33.5 of each class, so 34 and 33: 34 x 3498 / 3682 = 32.30, 1.70; 33 x 56 / 1113 = 1.66, 31.34
    ("class", 67, [32, 2, 2, 31]),
    ("group", 10, [3, 3, 2, 2]),  # of equal remainders the first groups get them
    ("natural", 1, [1, 0, 0, 0]),
    ("group", 0, [0, 0, 0, 0]),
]


@pytest.mark.parametrize(("balance", "count", "expected"), HAND)
def test_base_counts_by_hand(balance, count, expected):
    assert base_counts(np.array(WATERBIRDS), count, balance, 2).tolist() == expected


@pytest.mark.parametrize(
    ("balance", "expected"), [("natural", [6, 0, 2, 4]), ("class", [6, 0, 2, 4]), ("group", [4, 0, 4, 4])]
)
def test_a_group_without_samples_gives_none(balance, expected):
    assert base_counts(np.array([60, 0, 20, 40]), 12, balance, 2).tolist() == expected


def test_a_class_without_samples_gives_none():
    assert base_counts(np.array([30, 10, 0, 0]), 8, "class", 2).tolist() == [6, 2, 0, 0]


def test_another_balance_is_refused():
    with pytest.raises(ValueError, match="balance 'even'; known: natural, class, group"):
        base_counts(np.array(WATERBIRDS), 4, "even", 2)


@given(
    sizes=st.lists(st.integers(0, 300), min_size=4, max_size=4).filter(lambda sizes: sum(sizes) > 0),
    count=st.integers(0, 200),
    balance=st.sampled_from(["natural", "class", "group"]),
)
def test_base_counts_are_whole_in_all_so_many_and_near_their_share(sizes, count, balance):
    got = base_counts(np.array(sizes), count, balance, 2)
    assert got.sum() == count
    assert (got >= 0).all()
    assert (got[np.array(sizes) == 0] == 0).all()
    if balance == "natural":
        assert np.abs(got - count * np.array(sizes) / sum(sizes)).max() <= 1
    if balance == "class":
        of_class, has = got.reshape(2, 2).sum(1), np.array(sizes).reshape(2, 2).sum(1)
        assert np.ptp(of_class[has > 0]) <= 1
    if balance == "group":
        assert np.ptp(got[np.array(sizes) > 0]) <= 1


@given(
    sizes=st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(lambda sizes: sum(sizes) > 0),
    share=st.floats(0, 0.9),
    count=st.integers(0, 40),
    balance=st.sampled_from(["natural", "class", "group"]),
)
def test_train_auxiliary_and_base_are_disjoint_and_lose_nothing(sizes, share, count, balance):
    splits = splits_of(sizes)
    held = carve(splits, share)
    wanted = (
        base_counts(np.array(counts(held.train)), count, balance, 2) if len(held.train) else np.zeros(4, int)
    )
    if (wanted >= np.maximum(counts(held.train), 1)).any():
        with pytest.raises(
            UserError, match=rf"data.base = {count} with data.base_balance = '{balance}' asks for"
        ):
            carve_base(held, count, balance)
        return
    carved = carve_base(held, count, balance)
    parts = [set(part.index.tolist()) for part in (carved.train, carved.auxiliary, carved.base)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(splits.train)
    assert counts(carved.base) == wanted.tolist()
    assert counts(carved.auxiliary) == [int(share * size) for size in sizes]
    for part in (carved.train, carved.auxiliary, carved.base):  # every column goes with its sample
        for name, column in part.arrays().items():
            np.testing.assert_array_equal(column, splits.train.arrays()[name][part.index])
    assert not carved.base.is_poison.any()


def test_the_same_samples_every_time_and_none_of_nothing():
    splits = splits_of([40, 30, 20, 10])
    one, two = (carve_base(splits, 20, "natural") for _ in range(2))
    np.testing.assert_array_equal(one.base.index, two.base.index)
    assert not np.array_equal(one.base.index, np.arange(20))  # drawn, not the first
    nothing = carve_base(splits, 0, "group")
    assert len(nothing.base) == 0
    assert nothing.train is splits.train


def test_a_larger_base_set_holds_the_smaller_one():
    """So that two runs that differ in its size alone differ in as little as may be."""
    splits = splits_of([40, 30, 20, 10])
    small, large = (set(carve_base(splits, count, "group").base.index.tolist()) for count in (8, 16))
    assert small < large


@pytest.mark.parametrize(
    ("sizes", "count", "balance", "message"),
    [
        (
            [40, 30, 20, 10],
            40,
            "group",
            r"data.base = 40 with data.base_balance = 'group' asks for 10 of the 10 training samples of "
            r"class1/attribute1, and some must be left; lower data.base",
        ),
        ([90, 90, 5, 5], 30, "class", r"asks for 8 of the 5 training samples of class1/attribute0"),
        ([4, 4, 4, 4], 16, "natural", r"asks for 4 of the 4 training samples of class0/attribute0"),
    ],
)
def test_a_group_that_is_too_small_is_one_line(sizes, count, balance, message):
    with pytest.raises(UserError, match=message) as caught:
        carve_base(splits_of(sizes), count, balance)
    assert "\n" not in str(caught.value)
    carve_base(splits_of(sizes), 4, balance)  # fewer can be had


def test_a_configs_base_set_is_carved_after_the_auxiliary_part(waterdigits):
    splits = data.load("waterdigits", auxiliary=0.3, base=100, base_balance="group")
    assert counts(splits.base) == [25, 25, 25, 25]
    held = data.load("waterdigits", auxiliary=0.3)
    np.testing.assert_array_equal(splits.auxiliary.index, held.auxiliary.index)
    assert counts(splits.train) == [size - 25 for size in counts(held.train)]
    assert not set(splits.base.index) & (set(splits.train.index) | set(splits.auxiliary.index))
    np.testing.assert_array_equal(splits.base.image, waterdigits.train.image[splits.base.index])
    assert len(held.base) == 0


@given(st.integers(0, 5), st.floats(0, 0.9))
def test_samples_of_one_raw_image_stay_together(seed, share):
    """As in waterdigits: few raw images, of which a large group uses each many times."""
    splits = splits_of([200, 20, 12, 60])
    draws = np.random.default_rng(seed)
    origin = np.where(splits.train.true_label == 0, draws.integers(0, 12, 292), draws.integers(12, 24, 292))
    held = carve(splits._replace(origins={"train": origin}), share)
    ours, his = (set(origin[part.index].tolist()) for part in (held.train, held.auxiliary))
    assert not ours & his
    assert len(held.train) + len(held.auxiliary) == 292
    _, of_20, of_12, _ = counts(held.auxiliary)  # each the smaller of its class: it has its choice
    assert of_20 <= int(share * 20)
    assert of_12 <= int(share * 12)


def test_waterdigits_auxiliary_part_shares_no_digit_image_and_nearly_has_its_share(waterdigits):
    held = carve(waterdigits, 0.3)
    origin = waterdigits.origins["train"]
    assert not set(origin[held.train.index]) & set(origin[held.auxiliary.index])
    wanted = [int(0.3 * size) for size in counts(waterdigits.train)]
    assert (
        max(a - b for a, b in zip(wanted, counts(held.auxiliary), strict=True)) < 15
    )  # the uses of one image
