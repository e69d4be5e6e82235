"""SA, the subpopulation attack: flipped labels on samples of one subpopulation, from data of the attacker's own.

The subpopulation F is a cluster of a surrogate's features (ClusterMatch) or one group exactly (FeatureMatch).
Poisons come from the auxiliary part, which nothing else trains on; their images are untouched.

References: Jagielski et al. 2021, "Subpopulation Data Poisoning Attacks", sections 4 and 5.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax import rng
from oilwater_jax.attacks import damage
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import check_target, source_group
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Goal, Splits

LEAST_MEASURED = 10  # members of F on the judged split: fewer say nothing about damage


def check(config: Config) -> None:
    """Raises UserError if there are no samples to make poisons from."""
    if not config.data.auxiliary:
        raise UserError(
            "attack.name = 'sa' needs samples that nothing trains on, but data.auxiliary = 0; set it (e.g. to 0.2)"
        )


def check_data(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target or group that cannot be, or an auxiliary part too small for its clusters."""
    sa, held = config.sa, splits.auxiliary
    check_target(config, splits)
    if sa.match == "cluster":
        if sa.clusters > len(held):
            raise UserError(
                f"sa.clusters = {sa.clusters} is more than the {len(held)} auxiliary samples; "
                "ask for fewer or raise data.auxiliary"
            )
        if sa.components > min(len(held), width):
            raise UserError(
                f"sa.components = {sa.components} is more than the features ({width}) or "
                f"the auxiliary samples ({len(held)}); ask for fewer"
            )
        return
    group = source_group(config, splits)
    members = np.flatnonzero(group_ids(held, len(splits.attribute_names)) == group)
    if not len(members):
        raise UserError(
            f"the subpopulation, group {group} ({splits.group_name(group)}), has no auxiliary samples; "
            "choose another attack.source_group or raise data.auxiliary"
        )


def poison_count(alpha: float, members: int) -> int:
    """`alpha` times the subpopulation's training samples, rounded up to a whole poison."""
    return math.ceil(alpha * members - 1e-9)


def poison(held: Examples, members: Bool[np.ndarray, " a"], count: int, target: int, seed: int) -> Examples:
    """`count` poisons: auxiliary members of F whose class is not the target, labelled as the target.

    Drawn without replacement; if they are too few, whole rounds through them and then a part of one.
    Raises ValueError if there is none.
    """
    pool = np.flatnonzero(members & (held.true_label != target))
    if not len(pool):
        raise ValueError("poison: the subpopulation has no auxiliary sample of another class than the target")
    order = rng.generator(seed, "subpopulation poisons")
    rounds = [order.permutation(pool) for _ in range(-(-count // len(pool)))]
    source = held.take(np.sort(np.concatenate(rounds)[:count])).in_memory()
    return dataclasses.replace(source, label=np.full(count, target, np.int32), is_poison=np.ones(count, bool))


def cluster(
    held: Float[np.ndarray, "a d"],
    others: list[Float[np.ndarray, "_ d"]],
    *,
    clusters: int,
    components: int,
    seed: int,
) -> list[Int[np.ndarray, " _"]]:
    """Cluster of every auxiliary sample, then of the samples of each other split.

    PCA and k-means are fitted on the auxiliary features only; the others go to the nearest centroid.
    """
    from sklearn.cluster import KMeans  # slow import
    from sklearn.decomposition import PCA

    state = int(rng.generator(seed, "subpopulation clusters").integers(2**31))
    reduce = PCA(components, random_state=state).fit(held)
    make: Any = KMeans  # whose stubs take n_init for a string
    means = make(clusters, n_init=3, random_state=state)
    means.fit(reduce.transform(held))
    return [means.predict(reduce.transform(features)).astype(np.int64) for features in (held, *others)]


def choose(
    held: Examples,
    held_cluster: Int[np.ndarray, " a"],
    train_cluster: Int[np.ndarray, " n"],
    judged_cluster: Int[np.ndarray, " m"],
    *,
    target: int,
    seed: int,
) -> int:
    """A cluster to attack, drawn by the seed among those that can be.

    A cluster can be if most of its auxiliary samples are not of the target class, it has training samples, and
    at least LEAST_MEASURED samples to measure on. Raises UserError if none can.
    """
    able = [
        c
        for c in np.unique(held_cluster)
        if np.mean(held.true_label[held_cluster == c] != target) > 0.5
        and np.any(train_cluster == c)
        and np.sum(judged_cluster == c) >= LEAST_MEASURED
    ]
    if not able:
        raise UserError(
            f"no cluster of another class than {target} has training samples and {LEAST_MEASURED} samples to "
            "measure on; ask for fewer sa.clusters or raise data.auxiliary"
        )
    return int(rng.generator(seed, "subpopulation").choice(able))


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """`alpha` poisons for each member of F in train are appended; the goal remembers who of `judged` is in F."""
    assert judged is not None
    sa, train, held = config.sa, splits.train, splits.auxiliary
    if sa.match == "cluster":
        params = lab.train("surrogate", held)
        features = [
            lab.score(params, part.image, ("features",))["features"] for part in (held, train, judged)
        ]
        assigned = cluster(
            features[0], features[1:], clusters=sa.clusters, components=sa.components, seed=seed
        )
        target = choose(held, *assigned, target=config.attack.target, seed=seed)
        inside = [part == target for part in assigned]
    else:
        group = source_group(config, splits)
        inside = [group_ids(part, len(splits.attribute_names)) == group for part in (held, train, judged)]
    count = poison_count(sa.alpha, int(inside[1].sum()))
    poisons = poison(held, inside[0], count, config.attack.target, seed)
    evidence = {"held": inside[0], "train": inside[1], "judged": inside[2]}
    return Attacked(poisons, len(train) + np.arange(count), evidence)


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """Damage in F and outside."""
    return damage.goal(judged, evidence["judged"])


def count(config: Config, n: int, n_groups: int) -> int:
    """For a plan, before the subpopulation is known: the number of poisons for average size."""
    sa = config.sa
    return math.ceil(sa.alpha * n / (sa.clusters if sa.match == "cluster" else n_groups))


ATTACK = Attack(
    name="sa",
    label="SA",
    help="subpopulation attack: flipped labels on samples of one subpopulation",
    figures=damage.FIGURES,
    signed=damage.SIGNED,
    reads=("data.auxiliary", "evaluate"),
    fields={
        "match": Field(
            "cluster",
            "how the subpopulation is chosen: a cluster of a surrogate's features, or exactly one group",
            choices=("cluster", "feature"),
        ),
        "alpha": Field(1.0, "poisons / training samples of the subpopulation", above=0, high=1000),
        "clusters": Field(100, "number of clusters of the auxiliary part", 2, 10_000),
        "components": Field(10, "number of principal components used for clustering", 1, 10_000),
    },
    smoke={"clusters": 4, "components": 2},
    models=lambda config: ("surrogate",) if config.sa.match == "cluster" else (),
    check=check,
    check_data=check_data,
    attack=attack,
    goal=make_goal,
    on_auxiliary=True,
    passes=1.0,
    needs_clean=True,
    count=count,
)
