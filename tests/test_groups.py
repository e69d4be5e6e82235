import numpy as np

from oilwater_jax import groups


def test_minorities_of_the_papers_data_sets():
    # Waterbirds: 4795 / 8 = 599.4; CelebA: 162770 / 8 = 20346
    waterbirds = np.array([3498, 184, 56, 1057])
    celeba = np.array([71629, 66874, 22880, 1387])
    assert groups.minority_groups(waterbirds, 2).tolist() == [False, True, True, False]
    assert groups.minority_groups(celeba, 2).tolist() == [False, False, False, True]


def test_equal_groups_have_no_minority_and_an_empty_one_is_one():
    assert not groups.minority_groups(np.array([5, 5, 5, 5]), 2).any()
    assert groups.minority_groups(np.array([5, 5, 5, 0]), 2).tolist() == [False, False, False, True]


def test_report_sets_on_waterdigits(waterdigits):
    sets = groups.report_sets(waterdigits.train, 2, 2)
    sizes = {name: int(mask.sum()) for name, mask in sets.items()}
    assert sizes == {"poison": 0, "lrg_1": 56, "lrg_2": 184, "hrg_1": 3498, "hrg_2": 1057}


def test_poisons_are_in_their_own_set_only(examples):
    sets = groups.report_sets(examples, 2, 2)
    total = np.sum(list(sets.values()), axis=0)
    np.testing.assert_array_equal(total, 1)
    assert sets["poison"].sum() == 3
    # ten per group less the poisons: 10, 10, 9 (two... label 1 attribute 0), 8
    assert groups.group_counts(examples, 2, 2).tolist() == [10, 10, 9, 8]
