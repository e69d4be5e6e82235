"""Greedy facility location for points on a line, without the n x n matrix and without n^2 time.

Stage: inside `facility_location`, which sorts the points, merges duplicates and scales distances.

Two facts make it fast. A candidate's gain depends only on the two medoids next to it: it wins the points
between the midpoints to either side, and the sums of exp(+x) and exp(-x) over those are differences of prefix
sums. So what happens in the interval between two medoids is settled by the interval alone: its best candidate
splits it into two intervals whose best gains are no larger (submodularity). The splits form binary trees in
which a parent's gain is at least its children's, and the k picks of the greedy are the k largest gains of the
tree, parents first. Every open interval is therefore split at once in one round over arrays; the number of
rounds is the depth of the tree (some 20 to 40), not k.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

NOT_CHOSEN = -1.0
SPREAD_LIMIT = 8.0  # exp(+-x) keeps 13 digits in differences up to here; two-class gradients spread over 0.71


class Tree(NamedTuple):
    """The splits made so far. Places are positions in the padded, sorted points; place 0 and the last are none."""

    left: Int[Array, " m"]  # the nearest chosen place at or before each place
    right: Int[Array, " m"]  # ... at or after
    gain: Float[Array, " m"]  # the gain with which a place was chosen, or NOT_CHOSEN
    parent: Int[Array, " m"]  # whose choice made the interval that this place split, or 0
    maker: Int[Array, " m"]  # for the interval that starts at this place: whose choice made it
    bound: Float[Array, " m"]  # for the interval that starts at this place: no candidate gains more
    is_open: Bool[Array, " m"]  # candidates in intervals that may still hold one of the k picks


def prefix_sums(starts: Bool[Array, " m"], *values: Float[Array, " m"]) -> list[Float[Array, " m"]]:
    """Inclusive running sums of each of the values that begin anew at every True.

    One running sum over everything would round by the size of the total: short intervals, whose gains are
    many digits smaller, would drown in it.
    """

    def combine(before: tuple[Array, ...], after: tuple[Array, ...]) -> tuple[Array, ...]:
        anew = after[0]
        sums = (jnp.where(anew, v, u + v) for u, v in zip(before[1:], after[1:], strict=True))
        return before[0] | anew, *sums

    return list(lax.associative_scan(combine, (starts, *values))[1:])


def gains(
    x: Float[Array, " m"], weight: Float[Array, " m"], left: Int[Array, " m"], right: Int[Array, " m"]
) -> Float[Array, " m"]:
    """What each place would add to sum_i weight_i exp(-distance to the nearest medoid), given its neighbours.

    The points that y wins from medoids a < y < b lie between (a+y)/2 and (y+b)/2. Losses 1 - exp(-distance) take
    the place of similarities and coordinates are taken from the nearer medoid, because then a gain keeps its
    digits however close the points lie:
    sum_{x <= y} 1 - exp(x-y) = (1 - exp(o-y)) count - exp(o-y) sum expm1(x-o), and its mirror image for x > y.
    """
    m = len(x)
    place = jnp.arange(m)
    has_left, has_right = left > 0, right < m - 1
    a = x[left]
    b = jnp.where(has_right, x[right], (x[0] + x[-1]) / 2)  # without a medoid to the right: any origin
    middle = jnp.where(has_left, jnp.where(has_right, (a + b) / 2, jnp.inf), -jnp.inf)
    origin = jnp.where(x < middle, a, b)
    current = jnp.where(has_left | has_right, -jnp.expm1(-jnp.abs(x - origin)), 1.0)
    values = (weight * current, weight * jnp.expm1(x - origin), weight * jnp.expm1(origin - x))
    chosen = (left == place) | (right == place)
    table = jnp.stack([*prefix_sums(chosen, *values), jnp.cumsum(weight)], axis=1)

    low = jnp.where(has_left, jnp.searchsorted(x, (a + x) / 2), 0)
    low = jnp.clip(low, left + 1, place)
    high = jnp.where(has_right, jnp.searchsorted(x, (x + b) / 2), m)
    high = jnp.clip(high, place + 1, right)
    half = jnp.clip(jnp.searchsorted(x, middle), low, high)
    ends = [table[end - 1] for end in (low, jnp.minimum(place, half), half, jnp.maximum(place, half), high)]

    def loss_before(o: Float[Array, " m"], first: int) -> Float[Array, " m"]:
        part = ends[first + 1] - ends[first]
        return -jnp.expm1(o - x) * part[:, 3] - jnp.exp(o - x) * part[:, 1]

    def loss_after(o: Float[Array, " m"], first: int) -> Float[Array, " m"]:
        part = ends[first + 1] - ends[first]
        return -jnp.expm1(x - o) * part[:, 3] - jnp.exp(x - o) * part[:, 2]

    won = ends[4][:, 0] - ends[2][:, 0] + (ends[2][:, 0] - ends[0][:, 0])
    left_to_lose = (loss_before(a, 0) + loss_after(a, 1)) + (loss_before(b, 2) + loss_after(b, 3))
    return jnp.maximum(won - left_to_lose, 0.0)


@functools.partial(jax.jit, static_argnames="tie")
def split_tree(
    x: Float[Array, " m"],
    weight: Float[Array, " m"],
    rank: Int[Array, " m"],
    n: Int[Array, ""],
    k: Int[Array, ""],
    *,
    tie: float,
) -> tuple[Float[Array, " m"], Int[Array, " m"]]:
    """The tree of splits as far as it can hold one of the k picks: each place's gain and parent.

    Places 1..n are the points, ascending and distinct; place 0 and those after n are padding (weight 0, the
    coordinate of their neighbour). `rank` [m] breaks ties: of an interval's candidates whose gains are within the
    fraction `tie` of its best, the one of lowest rank splits it; ranks are distinct and below m.
    """
    m = len(x)
    place = jnp.arange(m)
    place_of_rank = jnp.zeros(m, place.dtype).at[rank].set(place)
    is_point = (place > 0) & (place <= n)

    def round_(tree: Tree) -> Tree:
        gain = jnp.where(tree.is_open, gains(x, weight, tree.left, tree.right), NOT_CHOSEN)
        best = jax.ops.segment_max(gain, tree.left, m, indices_are_sorted=True)
        splits = best >= 0  # also False where an interval has no candidate
        tied = (gain >= 0) & (gain >= best[tree.left] * (1 - tie))
        lowest = jax.ops.segment_min(jnp.where(tied, rank, m), tree.left, m, indices_are_sorted=True)
        # Written to place m, that is nowhere, where nothing splits.
        pick = jnp.where(splits, place_of_rank[jnp.minimum(lowest, m - 1)], m)
        chosen_gain = tree.gain.at[pick].set(best, mode="drop")
        parent = tree.parent.at[pick].set(tree.maker, mode="drop")
        maker = jnp.where(splits, pick, tree.maker).at[pick].set(pick, mode="drop")
        bound = jnp.where(splits, best, tree.bound).at[pick].set(best, mode="drop")
        own = pick[tree.left]
        left = jnp.where((own < m) & (place >= own), own, tree.left)
        right = jnp.where((own < m) & (place <= own), own, tree.right)
        enough = jnp.sum(chosen_gain >= 0) >= k
        least = lax.cond(
            enough, lambda: jnp.sort(chosen_gain)[m - k], lambda: jnp.asarray(NOT_CHOSEN, x.dtype)
        )
        is_open = is_point & (chosen_gain < 0) & (bound[left] >= least * (1 - 2 * tie))
        return Tree(left, right, chosen_gain, parent, maker, bound, is_open)

    nothing = jnp.zeros(m, place.dtype)
    start = Tree(
        left=nothing,
        right=jnp.full(m, m - 1, place.dtype),
        gain=jnp.full(m, NOT_CHOSEN, x.dtype),
        parent=nothing,
        maker=nothing,
        bound=jnp.full(m, jnp.inf, x.dtype),
        is_open=is_point,
    )
    tree = lax.while_loop(lambda tree: jnp.any(tree.is_open), round_, start)
    return tree.gain, tree.parent
