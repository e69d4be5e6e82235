"""Images on disk: what is picked, joined and changed is what an array would yield, and nothing is read before."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax import images
from oilwater_jax.images import Images, Part
from oilwater_jax.types import Attacked, Examples

rows_of = st.lists(st.integers(0, 8), max_size=12)


def array_of(n=9, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 3, 3), np.uint8)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "image.npy", array_of())
    return np.load(tmp_path / "image.npy", mmap_mode="r")


def invert(image):
    return 255 - image


@given(rows_of, rows_of)
def test_pick_and_join_are_those_of_an_array(first, second):
    array, other = array_of(), array_of(5, seed=1)
    picked = Images([Part(array)]).pick(np.array(first, int))
    expected = array[np.array(first, int)]
    np.testing.assert_array_equal(picked, expected)
    joined = images.join(picked, other)
    assert isinstance(joined, Images)
    whole = np.concatenate([expected, other])
    assert joined.shape == whole.shape
    assert joined.nbytes == whole.nbytes
    assert joined.dtype == whole.dtype
    again = np.array(second, int) % len(joined)
    np.testing.assert_array_equal(joined.pick(again)[:], whole[again])
    np.testing.assert_array_equal(joined[again], whole[again])


def test_what_is_changed_is_changed_when_it_is_read(mapped):
    array, lazy = array_of(), Images([Part(mapped)])
    both = images.join(images.changed(lazy.pick(np.array([8, 2, 2])), invert), lazy)
    np.testing.assert_array_equal(both[:3], 255 - array[[8, 2, 2]])
    np.testing.assert_array_equal(both[3:], array)
    np.testing.assert_array_equal(both[1], 255 - array[2])
    np.testing.assert_array_equal(both[np.arange(12) % 5 == 1], np.asarray(both)[[1, 6, 11]])
    np.testing.assert_array_equal(both.changed(invert).changed(invert), both)
    np.testing.assert_array_equal(both.changed(invert)[:3], array[[8, 2, 2]])


def test_arrays_stay_arrays():
    array = array_of()
    for made in (images.pick(array, np.array([1])), images.join(array, array), images.changed(array, invert)):
        assert isinstance(made, np.ndarray)
    np.testing.assert_array_equal(images.changed(array, invert), 255 - array)


def test_rows_are_read_through_the_file(mapped):
    rows = np.array([8, 0, 0, 5])
    np.testing.assert_array_equal(images.read_rows(mapped, rows), array_of()[rows])
    assert images.read_rows(mapped, rows[:0]).shape == (0, 4, 3, 3)
    with pytest.raises(OSError, match="cut off"):
        images.read_rows(mapped, np.array([9]))


def examples_of(image):
    n = len(image)
    column = np.arange(n, dtype=np.int32)
    return Examples(image, column % 2, column % 2, column % 3, np.zeros(n, bool), column)


def test_poisons_are_put_in_place_without_reading_the_rest(mapped):
    train = examples_of(Images([Part(mapped)]))
    poisons = dataclasses.replace(examples_of(array_of(3, seed=2)), is_poison=np.ones(3, bool))
    rows = np.array([4, 9, 0])  # the second is appended
    lazy = Attacked(poisons, rows, {}).applied(train)
    assert isinstance(lazy.image, Images)
    expected = np.concatenate([array_of(), poisons.image[1:2]])
    expected[[4, 0]] = poisons.image[[0, 2]]
    np.testing.assert_array_equal(lazy.image, expected)
    assert np.flatnonzero(lazy.is_poison).tolist() == [0, 4, 9]
    in_memory = Attacked(poisons, rows, {}).applied(train.in_memory())
    assert isinstance(in_memory.image, np.ndarray)
    for name, array in in_memory.arrays().items():
        np.testing.assert_array_equal(array, lazy.arrays()[name])
