import importlib.util
import itertools

import counting
import jax
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from oilwater_jax.defenses import facility_blocks, facility_line, facility_location
from oilwater_jax.defenses.facility_location import TIE, select


def line(coordinates, direction=(1.0, -1.0)):
    return np.outer(np.asarray(coordinates, float), direction)


def gradients(rng, n, c, sharp=0.5):
    """softmax - onehot of the label 0, as a class of EPIc's has them."""
    probabilities = rng.dirichlet(np.full(c, sharp), n)
    probabilities[:, 0] = -probabilities[:, 1:].sum(axis=1)
    return probabilities


def lonely(assignment, k):
    return np.bincount(assignment, minlength=k)[assignment] <= 1


@st.composite
def problems(draw, dimensions=(1, 2, 5)):
    """Random points, or points of a coarse grid, where ties and duplicates abound."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(1, 60)), draw(st.sampled_from(dimensions))
    points = draw(
        st.sampled_from(
            [
                rng.random((n, d)),
                rng.integers(0, 4, (n, d)) / 4,
                line(rng.random(n), rng.random(d)),
                line(rng.integers(0, 16, n) / 16, np.ones(d)),
                line(np.exp(rng.uniform(-18, 0, n)), np.ones(d)),
            ]
        )
    )
    return points, draw(st.integers(1, n)), draw(st.sampled_from([1.0, 2.0, 10.0]))


@settings(max_examples=150)
@given(problems())
def test_equals_brute_force(problem):
    points, k, scale = problem
    medoids, nearest, gains = reference.facility_location(points, k, scale, TIE)
    got = select(points, k, scale=scale)
    assert got.medoids.tolist() == medoids
    assert got.assignment.tolist() == nearest
    # and so the brute force's gains are those of our picks
    assert all(b <= a * (1 + TIE) for a, b in itertools.pairwise(gains))


@settings(max_examples=60)
@given(problems(dimensions=(1, 2)))
def test_is_a_selection(problem):
    """Medoids are distinct rows; each point's medoid is the most similar one, the first of equals."""
    points, k, scale = problem
    medoids, assignment = select(points, k, scale=scale)
    assert len(set(medoids.tolist())) == k
    apart = np.linalg.norm(points[:, None] - points[medoids][None], axis=-1)
    least = apart.min(axis=1)
    assert (apart[np.arange(len(points)), assignment] <= least * (1 + 1e-6)).all()
    clearly_first = (apart <= least[:, None] * (1 + 1e-6)).argmax(axis=1)
    assert (assignment >= clearly_first).all()


@settings(max_examples=40)
@given(problems(dimensions=(3,)), st.randoms(use_true_random=False))
def test_permuting_the_points_permutes_the_selection(problem, random):
    points, k, scale = problem
    points = points + np.random.default_rng(0).random(points.shape) / 7  # no ties but those of pairs
    order = np.array(random.sample(range(len(points)), len(points)))
    here, there = select(points, k, scale=scale), select(points[order], k, scale=scale)
    # Two points alone with each other tie whichever comes first, so compare what both orders must reach.
    assert value(points, here.medoids, scale) == pytest.approx(
        value(points, order[there.medoids], scale), 1e-2
    )
    assert here.medoids[0] == order[there.medoids[0]] or len(points) <= 2


def value(points, medoids, scale):
    apart = np.linalg.norm(points[:, None] - points[medoids][None], axis=-1)
    return np.exp(-apart / scale).max(axis=1).sum()


@pytest.mark.parametrize("sharp", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("k", [1, 30, 250])
def test_both_ways_agree(sharp, k):
    points = gradients(np.random.default_rng(k), 400, 2, sharp)
    on_line, anywhere = (select(points, k, scale=2.0, way=way) for way in ("line", "blocks"))
    np.testing.assert_array_equal(on_line.medoids, anywhere.medoids)
    np.testing.assert_array_equal(on_line.assignment, anywhere.assignment)


def test_both_ways_agree_on_many_scales_at_once():
    """Two crowds at either end and points in between on every scale down to 1e-7: prefix sums must not drown."""
    rng = np.random.default_rng(0)
    near = np.exp(rng.uniform(np.log(1e-7), np.log(0.3), 600))
    points = line(np.concatenate([near[:300], 1 - near[300:]]))
    on_line, anywhere = (select(points, 300, scale=2.0, way=way) for way in ("line", "blocks"))
    np.testing.assert_array_equal(on_line.medoids, anywhere.medoids)
    np.testing.assert_array_equal(on_line.assignment, anywhere.assignment)


def test_by_hand():
    # s = exp(-distance): row 2 (at 1) serves 0, 1, 2 best: 1 + 2/e + exp(-4); then 5 is farthest from its medoid
    assert select(line([0.0, 2.0, 1.0, 5.0], [1.0]), 2, scale=1.0).medoids.tolist() == [2, 3]
    # equal gains: the lower row, wherever it lies
    assert select(line([1.0, 0.0], [1.0]), 1, scale=1.0).medoids.tolist() == [0]
    # the point in the middle is equally near to both medoids: the one picked first has it
    points = line([0.0, 0.0, 2.0, 2.0, 2.0, 1.0], [1.0])
    medoids, assignment = select(points, 2, scale=0.1)
    assert medoids.tolist() == [2, 0]
    assert assignment.tolist() == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("d", [0, 1, 3])
@pytest.mark.parametrize("way", ["auto", "blocks"])
def test_edge_cases(d, way):
    same = np.ones((5, d))
    assert select(same, 5, scale=2.0, way=way).medoids.tolist() == [0, 1, 2, 3, 4]
    assert select(same, 3, scale=2.0, way=way).assignment.tolist() == [0] * 5
    one = select(same[:1], 1, scale=2.0, way=way)
    assert one.medoids.tolist() == one.assignment.tolist() == [0]


def test_duplicates_come_last():
    # distinct: 0 (rows 0, 2), 1 (rows 1, 3), 3 (row 4); the copies 2 and 3 follow in row order
    medoids, assignment = select(line([0, 1, 0, 1, 3], [1.0]), 5, scale=1.0)
    assert sorted(medoids[:3].tolist()) == [0, 1, 4]
    assert medoids[3:].tolist() == [2, 3]
    np.testing.assert_array_equal(medoids[assignment], [0, 1, 0, 1, 4])


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (np.zeros((3, 1)), {"k": 0}, "number of points, 3, not 0"),
        (np.zeros((3, 1)), {"k": 4}, "not 4"),
        (np.zeros((3, 1)), {"scale": 0.0}, "not 0.0"),
        (np.zeros((3, 1)), {"epsilon": 1.0}, "not 1.0"),
        (np.zeros((3, 1)), {"way": "matrix"}, "matrix"),
        (np.array([[0.0], [np.nan], [np.inf]]), {}, "point 1 is not finite"),
        (np.eye(3), {"way": "line"}, "not on a line"),
        (line([0.0, 100.0]), {"way": "line"}, "spread too far"),
    ],
)
def test_refusals(points, options, message):
    with pytest.raises(ValueError, match=message):
        select(points, **({"k": 1, "scale": 1.0} | options))


def test_a_line_is_recognised_through_rounding():
    coordinates = np.random.default_rng(0).random(50)
    for dtype in (np.float32, np.float64):
        points = (line(coordinates, [0.3, -0.7, 0.2]) + np.array([[1.0, 2.0, 3.0]])).astype(dtype)
        found = facility_location.coordinates(points.astype(float), float(np.finfo(dtype).eps))
        assert found is not None
        apart = np.abs(found - found[0])
        np.testing.assert_allclose(apart, np.abs(coordinates - coordinates[0]) * np.sqrt(0.62), atol=1e-6)
    off = points.astype(float)
    off[7, 0] += 1e-4
    assert facility_location.coordinates(off, 1e-7) is None


def test_many_dimensions():
    """More dimensions than are unrolled into one expression."""
    points = np.random.default_rng(0).random((40, facility_blocks.UNROLL + 5))
    medoids, nearest, _ = reference.facility_location(points, 12, 3.0, TIE)
    got = select(points, 12, scale=3.0)
    assert got.medoids.tolist() == medoids
    assert got.assignment.tolist() == nearest


@pytest.mark.parametrize("c", [2, 10])
def test_stochastic(c):
    points = gradients(np.random.default_rng(0), 300, c)
    exact = select(points, 30, scale=float(c))
    got = select(points, 30, scale=float(c), rng=np.random.default_rng(1))
    again = select(points, 30, scale=float(c), rng=np.random.default_rng(1))
    np.testing.assert_array_equal(got.medoids, again.medoids)
    assert len(set(got.medoids.tolist())) == 30
    assert value(points, got.medoids, c) >= 0.95 * value(points, exact.medoids, c)
    apart = np.linalg.norm(points[:, None] - points[got.medoids][None], axis=-1)
    np.testing.assert_array_equal(got.assignment, apart.argmin(axis=1))
    # samples that are everything there is: the exact greedy
    everything = select(points, 30, scale=float(c), rng=np.random.default_rng(2), epsilon=1e-200)
    np.testing.assert_array_equal(everything.medoids, exact.medoids)


def test_compiles_once_per_size_and_leaves_x64_alone():
    rng = np.random.default_rng(0)
    for c in (2, 4):
        select(gradients(rng, 100, c), 20, scale=2.0)
        with counting.compilations() as compiled:
            select(gradients(rng, 101, c), 40, scale=2.0)
        assert compiled == []
    assert jax.numpy.ones(1).dtype == np.float32


def test_rounds_on_the_line_are_few():
    """What makes it fast: the tree's depth, not k. 2,000 picks in at most 60 rounds."""
    n, m = 8000, facility_location.padded(8002)
    x = np.sort(2**0.5 / 2 * gradients(np.random.default_rng(0), n, 2)[:, 1])
    x = np.pad(x, (1, m - n - 1), mode="edge")
    weight = np.pad(np.ones(n), (1, m - n - 1))
    with jax.enable_x64(True):
        gain, parent = facility_line.split_tree(
            x, weight, np.arange(m), np.asarray(n), np.asarray(2000), tie=TIE
        )
    gain, parent = np.asarray(gain), np.asarray(parent)
    depth = np.zeros(m, int)
    for place in sorted(np.flatnonzero(gain >= 0), key=lambda place: -gain[place]):
        depth[place] = depth[parent[place]] + 1
    assert depth.max() <= 60


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("submodlib") is None, reason="needs the extra `bench`")
def test_drops_what_submodlib_drops():
    """The same dropped set on 50 random problems away from ties; nearly the same on the others met on the way.

    Away from ties: the set stays the same when rows are reordered (two points alone with each other always tie)
    and points are moved by 3e-6. submodlib's similarities are float32; on near ties its picks fall short of the
    best gain, by 2e-7 or 4e-5 of it where we looked, and what follows differs.
    """
    rng = np.random.default_rng(0)
    compared = tied = 0
    while compared < 50:
        c, n = (2, 10)[compared % 2], int(rng.integers(50, 2001))
        points, k = gradients(rng, n, c, rng.choice([0.5, 1.0, 2.0])), int(n * rng.uniform(0.05, 0.6))
        mine = lonely(select(points, k, scale=float(c)).assignment, k)
        theirs = lonely(submodlib_assignment(points, k, c), k)
        if stable(points, k, c, mine, rng):
            np.testing.assert_array_equal(mine, theirs, f"{n=} {k=} {c=}")
            compared += 1
        else:
            assert (mine != theirs).sum() <= max(10, 0.02 * n)
            tied += 1
    print(f"{compared} problems compared, {tied} set aside as tied")
    assert tied <= 150


def stable(points, k, c, expected, rng):
    for _ in range(4):
        order = rng.permutation(len(points))
        moved = points[order]
        moved[:, 1:] += rng.uniform(-3e-6, 3e-6, moved[:, 1:].shape)
        moved[:, 0] = -moved[:, 1:].sum(axis=1)
        if (lonely(select(moved, k, scale=float(c)).assignment, k) != expected[order]).any():
            return False
    return True


def submodlib_assignment(points, k, c):
    from submodlib import FacilityLocationFunction  # pyright: ignore[reportMissingImports]

    apart = np.sqrt(sum((column[:, None] - column[None]) ** 2 for column in points.T))
    similarity = np.exp(-apart / c)
    function = FacilityLocationFunction(n=len(points), mode="dense", separate_rep=False, sijs=similarity)
    picks = function.maximize(
        k, optimizer="LazyGreedy", stopIfZeroGain=False, stopIfNegativeGain=False, show_progress=False
    )
    return similarity[:, [row for row, _ in picks]].argmax(axis=1)
