import numpy as np

from oilwater_jax.data import backdrop


def test_no_photograph_region_is_in_two_splits():
    """Number every pixel of a photograph; the splits' blocks share no number."""
    numbered = np.arange(213 * 320).reshape(213, 320, 1)
    photo = np.concatenate([numbered >> shift & 255 for shift in (0, 8, 16)], axis=2).astype(np.uint8)
    seen = []
    for split in backdrop.COUNTS:
        blocks = backdrop.split_blocks(photo, split).astype(np.int64)
        seen.append(set((blocks @ np.array([1, 256, 65536])).ravel()))
    assert len(set.union(*seen)) == sum(map(len, seen)) == 40 * 42 * 40


def test_group_columns_count_as_waterbirds_does():
    label, attribute = backdrop.group_columns("train")
    assert tuple(np.bincount(2 * label + attribute)) == (3498, 184, 56, 1057)
