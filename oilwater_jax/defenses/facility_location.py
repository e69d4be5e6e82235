"""Exact greedy facility location: k medoids that stand for all points.

Stage: inside a round of EPIc, once per class. Selection is on the host; the work in between is jitted, in
float64 whatever JAX's default is, because which of two near candidates wins is a matter of the last digits.

Under the similarity s(a, b) = exp(-||a - b|| / scale) greedy adds, k times, the point that raises
sum_i max_{j in medoids} s_ij most. Two ways inside: points on a line (`facility_line`), which takes neither the
n x n matrix nor n^2 time, and points anywhere (`facility_blocks`), which never holds the matrix.

References: Yang et al. 2022, "Not All Poisons are Created Equal" (EPIc), Section 4; Mirzasoleiman et al. 2020
(CRAIG), whose facility location EPIc uses; Mirzasoleiman et al. 2015, "Lazier Than Lazy Greedy".
"""

import heapq
import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from oilwater_jax.defenses import facility_blocks, facility_line

TIE = 1e-9  # gains (and losses) closer than this fraction are equal: rounding must not decide between equals
LINE_ROUNDING = 8  # points are on a line if none is farther off it than so many roundings of their dtype


class Selection(NamedTuple):
    """The medoids' rows in pick order, and for each point the position in `medoids` of its most similar one."""

    medoids: Int[np.ndarray, " k"]
    assignment: Int[np.ndarray, " n"]


class Merged(NamedTuple):
    """The distinct points, in the order in which they first occur."""

    points: Float[np.ndarray, "u d"]
    first: Int[np.ndarray, " u"]  # the lowest row of each
    copies: Int[np.ndarray, " u"]  # how many rows are this point
    of_row: Int[np.ndarray, " n"]


def select(
    points: Float[np.ndarray, "n d"],
    k: int,
    *,
    scale: float,
    rng: np.random.Generator | None = None,
    epsilon: float = 0.1,
    way: str = "auto",
) -> Selection:
    """Pick k of n points greedily under exp(-distance / scale), and say which medoid each point belongs to.

    Of candidates with equal gains the lowest row is picked; of equally similar medoids a point belongs to the one
    picked first. Gains and similarities count as equal if they differ by less than the fraction TIE.

    With `rng` the greedy is stochastic: each pick is the best of ceil(n/k ln(1/epsilon)) rows drawn from those
    left, which keeps 1 - 1/e - epsilon of the optimum in expectation; the draws depend on rng, n, k and epsilon.

    `way` is "line", "blocks", or "auto": line if the points are on one up to the rounding of their dtype (and
    spread over no more than 8 scale), else blocks. The stochastic greedy always goes the way of blocks.

    Edge case                            Result
    n = 1                                medoid 0, which the point is assigned to
    k = n                                every row, in order of gain
    duplicates                           a second copy gains nothing: it is picked only when no other point is
                                         left that does, lowest row first, and no point is assigned to it
    all points equal                     medoids 0..k-1, everything assigned to the first
    d = 0                                as all points equal
    k < 1, k > n                         ValueError naming k and n
    scale not positive                   ValueError naming it
    a point that is not finite           ValueError naming its row
    way "line", points not on a line     ValueError
    """
    n = len(points)
    if not 1 <= k <= n:
        raise ValueError(f"select: k must be from 1 to the number of points, {n}, not {k}")
    if not 0 < scale < math.inf:
        raise ValueError(f"select: scale must be positive, not {scale}")
    if not 0 < epsilon < 1:
        raise ValueError(f"select: epsilon must be between 0 and 1, not {epsilon}")
    if way not in ("auto", "line", "blocks"):
        raise ValueError(f"select: way {way!r}; known: auto, line, blocks")
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise ValueError(f"select: point {int(np.argmin(finite))} is not finite")
    scaled = points.astype(np.float64) / scale if points.shape[1] else np.zeros((n, 1))
    if rng is not None:
        return _stochastic(scaled, k, rng, epsilon)
    line = coordinates(scaled, float(np.finfo(points.dtype).eps)) if way != "blocks" else None
    if line is None and way == "line":
        raise ValueError("select: the points are not on a line, or spread too far over it")
    merged = merge(scaled if line is None else line[:, None])
    picks = min(k, len(merged.first))
    chosen, nearest = (_anywhere if line is None else _on_line)(merged, picks)
    medoids = merged.first[chosen]
    if picks < k:
        copies = np.setdiff1d(np.arange(n), medoids)  # every distinct point is a medoid already
        medoids = np.concatenate([medoids, copies[: k - picks]])
    return Selection(medoids, nearest[merged.of_row])


def coordinates(points: Float[np.ndarray, "n d"], rounding: float) -> Float[np.ndarray, " n"] | None:
    """The points' coordinates along the line that they are on, from the first; None if they are on none.

    `rounding` is the machine epsilon of the points' first dtype. None too if they spread over too many scales.
    """
    from_first = points - points[0]
    direction = from_first[np.argmax(np.einsum("nd,nd->n", from_first, from_first))]
    length = float(np.linalg.norm(direction))
    if length == 0:
        return np.zeros(len(points))
    direction = direction / length
    # Column by column, because a matrix product may round equal rows differently.
    along = sum(
        (column * part for column, part in zip(from_first.T, direction, strict=True)), np.zeros(len(points))
    )
    off = np.linalg.norm(from_first - along[:, None] * direction[None], axis=1).max()
    size = float(np.linalg.norm(points, axis=1).max())
    if off > LINE_ROUNDING * rounding * size or np.ptp(along) > facility_line.SPREAD_LIMIT:
        return None
    return along


def merge(points: Float[np.ndarray, "n d"]) -> Merged:
    """The distinct points with their lowest rows and counts."""
    _, first, of_row, count = np.unique(
        points, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Merged(points[first[order]], first[order], count[order], place[of_row.reshape(-1)])


def padded(size: int) -> int:
    """At least `size`, in steps of an eighth or less: few programs are compiled, little work is wasted."""
    step = max(64, 2 ** max(0, math.ceil(math.log2(size)) - 4))
    return -(-size // step) * step


def _on_line(merged: Merged, k: int) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " u"]]:
    """The picks and each distinct point's pick number, for one-dimensional points."""
    u = len(merged.first)
    m = padded(u + 2)
    ascending = np.argsort(merged.points[:, 0])
    x = np.pad(merged.points[ascending, 0], (1, m - u - 1), mode="edge")
    weight = np.pad(merged.copies[ascending].astype(np.float64), (1, m - u - 1))
    # Distinct points are in order of first occurrence, so their numbers serve as ranks.
    rank = np.concatenate([[u], ascending, np.arange(u + 1, m)])
    with jax.enable_x64(True):
        out = facility_line.split_tree(x, weight, rank, np.asarray(u), np.asarray(k), tie=TIE)
        gain, parent = jax.device_get(out)
    order = greedy_order(gain, parent, rank, k) - 1
    medoids = ascending[order]
    # The nearest medoid is the next one to either side; of two equally near ones the earlier pick.
    number = np.argsort(order)
    at = x[1 + order[number]]
    own = merged.points[:, 0]
    after = np.searchsorted(at, own)
    low, high = np.maximum(after - 1, 0), np.minimum(after, k - 1)
    to_low, to_high = np.abs(own - at[low]), np.abs(at[high] - own)
    equal = np.abs(to_low - to_high) <= TIE * np.maximum(to_low, to_high)
    take_low = np.where(equal, number[low] <= number[high], to_low < to_high)
    return medoids, np.where(take_low, number[low], number[high])


def greedy_order(
    gain: Float[np.ndarray, " m"], parent: Int[np.ndarray, " m"], rank: Int[np.ndarray, " m"], k: int
) -> Int[np.ndarray, " k"]:
    """The k places that greedy picks, in its order: largest gain first, of equal ones the lowest rank.

    A place cannot be picked before its parent. That only matters among equals, since gains fall from parent to
    child.
    """
    places = np.argsort(-gain, kind="stable")[: np.count_nonzero(gain >= 0)]
    own = gain[places]
    level = np.concatenate([[0], np.cumsum(own[1:] < own[:-1] * (1 - TIE))])
    key = dict(zip(places.tolist(), zip(level.tolist(), rank[places].tolist(), strict=True), strict=True))
    children: dict[int, list[int]] = {}
    for place, above in zip(places.tolist(), parent[places].tolist(), strict=True):
        children.setdefault(above, []).append(place)
    free = [(*key[place], place) for place in children[0]]
    order = []
    while len(order) < k:
        place = heapq.heappop(free)[2]
        order.append(place)
        for child in children.get(place, ()):
            heapq.heappush(free, (*key[child], child))
    return np.array(order)


def _pad_rows(points: Float[np.ndarray, "u d"], m: int) -> Float[np.ndarray, "m d"]:
    return np.pad(points, ((0, m - len(points)), (0, 0)), mode="edge")


def _anywhere(merged: Merged, k: int) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " u"]]:
    """The picks and each distinct point's pick number, for points of any dimension."""
    u = len(merged.first)
    m = padded(u)
    weight = np.pad(merged.copies.astype(np.float64), (0, m - u))
    with jax.enable_x64(True):
        out = facility_blocks.greedy(
            _pad_rows(merged.points, m), weight, np.asarray(u), np.asarray(k), tie=TIE
        )
        medoids, nearest = jax.device_get(out)
    return medoids[:k], nearest[:u]


def _stochastic(
    points: Float[np.ndarray, "n d"], k: int, rng: np.random.Generator, epsilon: float
) -> Selection:
    """Greedy in which each pick looks at a random sample of the points left."""
    n = len(points)
    m = padded(n)
    size = min(n, math.ceil(n / k * math.log(1 / epsilon)))
    left = np.arange(n)
    medoids = np.empty(k, np.int64)
    with jax.enable_x64(True):
        device, weight, state = jax.device_put(
            (_pad_rows(points, m), np.pad(np.ones(n), (0, m - n)), (np.ones(m), np.zeros(m, np.int64)))
        )
        for number in range(k):
            drawn = np.sort(rng.choice(left, min(size, len(left)), replace=False))
            # Filled up with the first, so that every step has one shape.
            rows = np.full(padded(size), drawn[0])
            rows[: len(drawn)] = drawn
            medoid, state = facility_blocks.best_of(device, weight, state, rows, np.asarray(number), tie=TIE)
            medoids[number] = medoid
            left = np.delete(left, np.searchsorted(left, medoids[number]))
        return Selection(medoids, np.asarray(state[1])[:n])
