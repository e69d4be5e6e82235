"""Where a training set is: resident and streamed train the same model, and the decision is by size."""

import jax.numpy as jnp
import numpy as np
import pytest

from oilwater_jax.images import Images, Part
from oilwater_jax.training.feed import CAPACITY_STEP, Resident, lines_of, place, streams


@pytest.mark.parametrize(
    ("placement", "nbytes", "expected"),
    [
        ("auto", 299, False),
        ("auto", 301, True),
        ("resident", 10_000, False),
        ("streamed", 1, True),
    ],
)
def test_a_data_set_is_streamed_where_it_does_not_fit(placement, nbytes, expected):
    assert streams(placement, nbytes, 1000) is expected


def test_images_on_disk_are_placed_whole(tmp_path):
    n = CAPACITY_STEP + 3
    array = np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), np.uint8)
    np.save(tmp_path / "image.npy", array)
    lazy = Images([Part(np.load(tmp_path / "image.npy", mmap_mode="r"))])
    label = np.arange(n, dtype=np.int32)
    placed = place(lazy, label, label)
    assert isinstance(placed, Resident)
    assert placed.lines.shape == (2 * CAPACITY_STEP, 1, 128)
    everyone = placed.batch(jnp.arange(n), jnp.ones(n, bool))
    np.testing.assert_array_equal(everyone.image, array)
    np.testing.assert_array_equal(everyone.label, label)
    assert not np.any(placed.lines[n:])


@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 8, 2), (6, 7, 3), (11, 11, 3)])
def test_samples_come_out_of_their_lines_as_they_were(shape):
    """Less than a line, a whole one, one that is nearly full, three of which the last is not."""
    array = np.random.default_rng(1).integers(0, 256, (20, *shape), np.uint8)
    column = np.arange(20, dtype=np.int32)
    placed = place(array, column, column)
    assert isinstance(placed, Resident)
    assert placed.lines.shape[1:] == lines_of(shape)
    at = np.array([3, 19, 3, 0])
    batch = placed.batch(jnp.asarray(at), jnp.ones(4, bool))
    assert batch.image.dtype == np.uint8
    np.testing.assert_array_equal(batch.image, array[at])


def test_a_batch_of_a_resident_set_says_which_samples_its_rows_are():
    array = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    column = np.arange(20, dtype=np.int32)
    placed = place(array, column, column % 3)
    assert isinstance(placed, Resident)
    at, mask = np.array([7, 0, 19, 7]), np.array([True, True, True, False])
    rows = placed.batch(jnp.asarray(at), jnp.asarray(mask)).rows
    np.testing.assert_array_equal(rows.sample, at)
    np.testing.assert_array_equal(rows.label, at)
    np.testing.assert_array_equal(rows.group, at % 3)
    np.testing.assert_array_equal(rows.mask, mask)


def test_batches_come_in_order_from_any_on():
    array = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    column = np.arange(20, dtype=np.int32)
    streamed = place(array, column, column % 3, stream=True)
    assert not isinstance(streamed, Resident)
    rows = np.random.default_rng(0).integers(0, 20, (9, 4))
    mask = np.arange(36).reshape(9, 4) < 34
    got = list(streamed.batches(rows, mask, 2))
    assert len(got) == 7
    for batch, at, keep in zip(got, rows[2:], mask[2:], strict=True):
        np.testing.assert_array_equal(np.asarray(batch.image)[:, 0, 0, 0], at)
        np.testing.assert_array_equal(batch.label, at)
        np.testing.assert_array_equal(batch.group, at % 3)
        np.testing.assert_array_equal(batch.sample, at)
        np.testing.assert_array_equal(batch.mask, keep)
