import json
import subprocess
import sys

import numpy as np
import pytest
import sklearn.mixture
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from oilwater_jax.errors import UserError
from oilwater_jax.robustness import clustering, silhouette
from oilwater_jax.robustness.clustering import Settings


def silhouette_samples(points, labels):
    return np.asarray(metrics.silhouette_samples(points, labels))


def same_partition(a, b):
    """Whether two labellings differ only in the names of the clusters."""
    pairs = {(int(x), int(y)) for x, y in zip(a, b, strict=True)}
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


def blobs(centres, count, spread, seed=0):
    """`count` points around each centre [c p]: points [c * count, p] and whose they are."""
    centres = np.asarray(centres, float).reshape(len(centres), -1)
    who = np.repeat(np.arange(len(centres)), count)
    return centres[who] + spread * np.random.default_rng(seed).normal(size=(len(who), centres.shape[1])), who


def search(points, clusterer="gmm", k_min=2, k_max=10, seed=0):
    return clustering.search(points, clusterer=clusterer, k_min=k_min, k_max=k_max, seed=seed)


@pytest.mark.parametrize(("n", "rounded"), [(1, 16), (15, 16), (16, 16), (17, 32), (32, 32)])
def test_capacity(n, rounded):
    assert clustering.capacity(n) == rounded
    with pytest.raises(ValueError, match="not 0"):
        clustering.capacity(0)


def test_importing_the_module_does_not_import_scikit_learn():
    code = "import sys, oilwater_jax.robustness.clustering; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# search


@pytest.mark.parametrize("clusterer", ["gmm", "kmeans"])
@pytest.mark.parametrize("width", [1, 2])
def test_search_equals_scikit_learn_used_directly(clusterer, width):
    # overlapping clusters, so that the k that wins is no foregone conclusion
    points, _ = blobs([[0] * width, [4] * width, [7] * width], 60, 1.0, seed=1)
    scores, partitions = {}, {}
    for k in range(2, 7):
        if clusterer == "gmm":
            model = GaussianMixture(n_components=k, n_init=3, random_state=11)
        else:
            model = KMeans(n_clusters=k, random_state=11).set_params(n_init=3)
        partitions[k] = model.fit_predict(points)
        each = silhouette_samples(points, partitions[k])
        scores[k] = np.mean([each[partitions[k] == c].mean() for c in np.unique(partitions[k])])
    best = max(range(2, 7), key=scores.__getitem__)
    result = search(points, clusterer, k_max=6, seed=11)
    assert result.k == best
    assert same_partition(result.labels, partitions[best])
    assert list(result.scores) == list(scores)
    np.testing.assert_allclose(list(result.scores.values()), list(scores.values()), atol=1e-9)


@pytest.mark.parametrize("clusterer", ["gmm", "kmeans"])
@pytest.mark.parametrize("centres", [[0, 10, 30], [[0, 0], [0, 9], [9, 0], [9, 9]]])
def test_planted_clusters_are_found_and_predicted(clusterer, centres):
    points, who = blobs(centres, 40, 0.5)
    result = search(points, clusterer)
    assert result.k == len(centres)
    assert same_partition(result.labels, who)
    np.testing.assert_array_equal(result.predict(points), result.labels)
    others, who_other = blobs(centres, 5, 0.5, seed=9)
    assert same_partition(
        np.concatenate([result.labels, result.predict(others)]), np.concatenate([who, who_other])
    )


def test_of_equal_scores_the_larger_k(monkeypatch):
    points, _ = blobs([0, 10], 20, 1.0)
    assert search(points, "kmeans", k_max=5).k == 2
    monkeypatch.setattr(silhouette, "score", lambda points, labels: 0.25)
    assert search(points, "kmeans", k_max=5).k == 5


def test_a_cluster_that_comes_out_empty_is_dropped(monkeypatch):
    class Stray(GaussianMixture):
        """Its first component ends far from every training point."""

        def fit(self, X, y=None):
            super().fit(X, y)
            np.asarray(self.means_)[0] = 1000.0
            return self

    monkeypatch.setattr(sklearn.mixture, "GaussianMixture", Stray)
    points, who = blobs([0, 10, 30], 40, 0.5)
    result = search(points, k_min=4, k_max=4)
    assert result.k == 3
    assert sorted(set(result.labels.tolist())) == [0, 1, 2]
    np.testing.assert_array_equal(result.predict(points), result.labels)
    # the empty component would have taken this point
    assert result.predict(np.array([[1000.0]])).tolist() == [result.labels[who == 2][0]]
    # of two components one is left: no clustering at all
    assert search(points, k_min=2, k_max=2).k == 1


@pytest.mark.parametrize("clusterer", ["gmm", "kmeans"])
@pytest.mark.parametrize(
    ("values", "k", "tried"),
    [
        ([3.0], 1, []),
        ([3.0, 5.0], 1, []),  # n - 1 = 1
        ([3.0, 5.0, 50.0], 2, [2]),
        ([0.3] * 30, 1, []),
        ([0.0] * 5 + [1.0] * 5 + [9.0] * 5, 3, [2, 3]),  # 3 distinct points, all scores of 3 clusters are 1
    ],
)
def test_few_points(clusterer, values, k, tried):
    points = np.array(values)[:, None]
    result = search(points, clusterer)
    assert result.k == k
    assert list(result.scores) == tried
    assert sorted(set(result.labels.tolist())) == list(range(k))
    np.testing.assert_array_equal(result.predict(points), result.labels)


def test_more_clusters_than_points_are_not_tried():
    points = np.arange(6.0)[:, None] ** 2
    assert list(search(points, "kmeans", k_max=50).scores) == [2, 3, 4, 5]
    assert search(points, "kmeans", k_min=6, k_max=50).k == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k_min": 5, "k_max": 4}, "k from 5 to 4"),
        ({"k_min": 1}, "k from 1 to 10"),
        ({"clusterer": "dbscan"}, "'dbscan'; known: gmm, kmeans"),
    ],
)
def test_bad_searches_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        search(np.arange(9.0)[:, None], **settings)
    with pytest.raises(ValueError, match="0 points"):
        search(np.zeros((0, 1)))


def test_scores_from_a_sample_find_the_planted_clusters(monkeypatch):
    points, who = blobs([[0, 0], [0, 9], [9, 0]], 60, 0.5)
    full = search(points, "kmeans", k_max=5)
    monkeypatch.setattr(silhouette, "MOST_POINTS", 50)
    sampled = search(points, "kmeans", k_max=5)
    assert sampled.k == 3
    assert same_partition(sampled.labels, who)
    assert sampled.scores != full.scores
    assert sampled.scores == search(points, "kmeans", k_max=5).scores


# over-clustering


def planted(hard=40, val_hard=30, far=100):
    """One cluster of five tight blobs, the middle one of which is hard, and a distant cluster of equal points."""
    counts = np.array([40, 40, hard, 40, 40, far])
    val_counts = np.array([30, 30, val_hard, 30, 30, 30])
    position = np.array([0.0, 10, 20, 30, 40, 1000])
    blob, val_blob = np.repeat(np.arange(6), counts), np.repeat(np.arange(6), val_counts)
    jitter = 0.01 * np.sin(np.arange(len(blob))) * (blob < 5)
    return {
        "points": (position[blob] + jitter)[:, None],
        "labels": (blob == 5).astype(int),
        "losses": np.where(blob == 2, 5.0, 1.0),
        "val_points": position[val_blob][:, None],
        "val_labels": (val_blob == 5).astype(int),
    }, (blob, val_blob)


def overcluster(data, seed=0):
    return clustering.overcluster(**data, seed=seed)


def test_a_hidden_sub_cluster_is_split_off():
    data, (blob, val_blob) = planted()
    labels, val_labels = overcluster(data)
    # remainder of cluster 0, then its kept part, then cluster 1
    expected = np.array([0, 0, 1, 0, 0, 2])
    np.testing.assert_array_equal(labels, expected[blob])
    np.testing.assert_array_equal(val_labels, expected[val_blob])


def test_rule_1_loose_parts_stay():
    # without gaps a part is no better separated from its neighbours than the whole from the far cluster
    data, (blob, _) = planted()
    near = blob < 5
    data["points"][near, 0] = np.linspace(0, 40, near.sum())
    data["losses"] = np.where(np.abs(data["points"][:, 0] - 20) < 4, 5.0, 1.0)
    labels, _ = overcluster(data)
    np.testing.assert_array_equal(labels, data["labels"])


def test_rule_1_better_than_before_is_not_enough_below_0():
    # the hard part lies on both sides of cluster 1: near its own cluster's other parts it was worse still
    data, (blob, val_blob) = planted()
    hard, far = blob == 2, blob == 5
    data["points"][hard, 0] = 20 + np.resize([-1.0, 1.0], hard.sum())
    data["points"][far] = 20
    data["val_points"][val_blob == 5] = 20
    old = silhouette.of(data["points"], data["labels"])[hard].mean()
    new = silhouette.of(data["points"], blob)[hard].mean()
    assert old < new < 0
    labels, _ = overcluster(data)
    np.testing.assert_array_equal(labels, data["labels"])


def test_rule_2_easy_parts_stay():
    data, (blob, _) = planted()
    data["losses"] = np.where(blob == 2, 0.5, 1.0)  # now the other four are the harder ones
    labels, _ = overcluster(data)
    assert set(labels[blob == 2]) == {0}
    assert same_partition(labels, blob)


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ({"hard": 24}, False),
        ({"hard": 25}, True),
        ({"hard": 25, "far": 5200 - 185}, False),  # 0.5% of 5200 is 26
        ({"hard": 26, "far": 5200 - 186}, True),
        ({"val_hard": 24}, False),
        ({"val_hard": 25}, True),
    ],
)
def test_rules_3_and_4_small_parts_stay(sizes, kept):
    data, (blob, _) = planted(**sizes)
    labels, val_labels = overcluster(data)
    assert (int(labels.max()) == 2) is kept
    assert (len(set(labels[blob < 5])) == 2) is kept
    assert (int(val_labels.max()) == 2) is kept


def test_all_parts_kept_leave_no_remainder():
    data, (blob, val_blob) = planted()
    data["losses"] = np.ones(len(blob))
    labels, val_labels = overcluster(data)
    assert labels.max() == 5
    assert same_partition(np.concatenate([labels, val_labels]), np.concatenate([blob, val_blob]))


def test_without_validation_points_nothing_is_kept():
    data, _ = planted()
    data |= {"val_points": np.zeros((0, 1)), "val_labels": np.zeros(0, int)}
    labels, val_labels = overcluster(data)
    np.testing.assert_array_equal(labels, data["labels"])
    assert val_labels.shape == (0,)


def slow_overcluster(points, labels, losses, val_points, val_labels, seed):
    """The definition, one sub-cluster at a time."""
    parts, val_parts = np.zeros(len(points), int), np.zeros(len(val_points), int)
    for c in np.unique(labels):
        model = KMeans(5, random_state=seed).set_params(n_init=3).fit(points[labels == c])
        parts[labels == c] = 5 * c + model.labels_
        val_parts[val_labels == c] = 5 * c + model.predict(val_points[val_labels == c])
    before, after = silhouette_samples(points, labels), silhouette_samples(points, parts)
    kept = []
    for part in np.unique(parts):
        own, whole = parts == part, labels == part // 5
        tight = after[own].mean() > max(before[own].mean(), 0)
        hard = losses[own].mean() >= losses[whole].mean()
        large = own.sum() >= max(0.005 * len(points), 25) and (val_parts == part).sum() >= 25
        kept += [part] if tight and hard and large else []
    names = {part: (part // 5, part if part in kept else -1) for part in np.unique(parts)}
    order = sorted(set(names.values()))
    ids = {part: order.index(name) for part, name in names.items()}
    return np.array([ids[x] for x in parts]), np.array([ids[x] for x in val_parts])


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_loop(width, seed):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(8, width)) * 8
    points, val_points = (blobs(centres, 50, 1.0, seed=seed + shift)[0] for shift in (0, 9))
    labels, val_labels = (points[:, 0] > 0).astype(int), (val_points[:, 0] > 0).astype(int)
    if seed == 3:  # clusters that say nothing: silhouettes around 0, where max(old, 0) matters
        labels, val_labels = np.arange(len(points)) % 2, np.arange(len(points)) % 2
    losses = rng.exponential(size=len(points))
    data = {"points": points, "labels": labels, "losses": losses}
    data |= {"val_points": val_points, "val_labels": val_labels}
    expected = slow_overcluster(**data, seed=seed)
    for got, want in zip(overcluster(data, seed), expected, strict=True):
        np.testing.assert_array_equal(got, want)


# all classes


def two_classes(seed=0):
    """Two classes whose hardness has 2 and 3 planted clusters; features are 2-d, w1 - w0 is the first axis."""
    first, who_first = blobs([-9, 3], 40, 0.5, seed)
    second, who_second = blobs([-4, 6, 20], 30, 0.5, seed + 1)
    rng = np.random.default_rng(seed)
    hard = np.concatenate([first, second])
    order = rng.permutation(len(hard))
    features = np.concatenate([hard, rng.normal(size=hard.shape)], axis=1).astype(np.float32)
    labels = np.repeat([0, 1], [80, 90]).astype(np.int32)
    who = np.concatenate([who_first, 2 + who_second])
    return features[order], labels[order], who[order]


KERNEL = np.array([[-1.0, 1.0], [0.5, 0.5]], np.float32)


def cluster(train, val, n_classes=2, seed=0, losses=None, kernel=KERNEL, **settings):
    losses = np.ones(len(train[0]), np.float32) if losses is None else losses
    return clustering.cluster(
        train[0],
        train[1],
        losses,
        val[0],
        val[1],
        kernel,
        n_classes=n_classes,
        settings=Settings(**settings),
        seed=seed,
    )


@pytest.mark.parametrize("clusterer", ["gmm", "kmeans"])
def test_clusters_of_all_classes(clusterer):
    *train, who = two_classes()
    *val, who_val = two_classes(seed=5)
    train_ids, val_ids, record = cluster(train, val, clusterer=clusterer)
    assert train_ids.dtype == val_ids.dtype == np.int32
    assert same_partition(np.concatenate([train_ids, val_ids]), np.concatenate([who, who_val]))
    assert set(train_ids[train[1] == 0]) == {0, 1}
    assert set(train_ids[train[1] == 1]) == {2, 3, 4}
    assert [row["class"] for row in record] == [0, 1]
    assert [row["k"] for row in record] == [2, 3]
    assert [row["sizes"] for row in record] == [row["val_sizes"] for row in record] == [[40] * 2, [30] * 3]
    assert max(record[1]["scores"], key=record[1]["scores"].__getitem__) == "3"
    assert json.loads(json.dumps(record)) == record


def test_order_does_not_matter_and_the_seed_decides():
    *train, _ = two_classes()
    *val, _ = two_classes(seed=5)
    ids = cluster(train, val)
    again = cluster(train, val)
    np.testing.assert_array_equal(ids.train, again.train)
    np.testing.assert_array_equal(ids.val, again.val)
    assert ids.record == again.record
    order = np.random.default_rng(3).permutation(len(ids.train))
    permuted = cluster([part[order] for part in train], val)
    assert same_partition(permuted.train, ids.train[order])


def test_a_class_does_not_depend_on_the_others():
    features, labels, _ = two_classes()
    ids = cluster((features, labels), (features, labels))
    moved = np.where(labels[:, None] == 1, 7 * features**2, features)
    other = cluster((moved, labels), (moved, labels))
    np.testing.assert_array_equal(ids.train[labels == 0], other.train[labels == 0])
    assert ids.record[0] == other.record[0]


@pytest.mark.parametrize("reducer", ["hardness", "pca"])
@pytest.mark.parametrize("clusterer", ["gmm", "kmeans"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("over", [False, True])
def test_tiny_classes(reducer, clusterer, n, over):
    features, labels, _ = two_classes()
    rows = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:n]])
    train = features[rows], labels[rows]
    ids = cluster(train, (features, labels), reducer=reducer, clusterer=clusterer, overcluster=over)
    assert sum(ids.record[1]["sizes"]) == n
    assert len(ids.record[1]["sizes"]) == (2 if n == 3 else 1)
    assert sorted(set(ids.train.tolist())) == list(range(ids.train.max() + 1))  # no empty cluster
    assert set(ids.val.tolist()) <= set(ids.train.tolist())


def test_a_class_without_validation_samples():
    features, labels, _ = two_classes()
    only = labels == 1
    for over in (False, True):
        ids = cluster((features, labels), (features[only], labels[only]), overcluster=over)
        assert ids.record[0]["val_sizes"] == [0, 0]
        assert set(ids.val.tolist()) == {2, 3, 4}


def test_overclustering_reaches_all_classes():
    data, (blob, val_blob) = planted()

    def side(points):
        features = np.concatenate([points, -points])
        features = np.concatenate([features, np.zeros_like(features)], axis=1)
        return features, np.repeat([0, 1], len(points)).astype(np.int32)

    losses = np.tile(data["losses"], 2)
    train, val = side(data["points"]), side(data["val_points"])
    plain = cluster(train, val, losses=losses, clusterer="kmeans", k_max=2)
    assert [sorted(row["sizes"]) for row in plain.record] == [[100, 200]] * 2
    over = cluster(train, val, losses=losses, clusterer="kmeans", k_max=2, overcluster=True)
    merged = np.array([0, 0, 1, 0, 0, 2])
    expected = np.concatenate([merged[blob], 3 + merged[blob]])
    expected_val = np.concatenate([merged[val_blob], 3 + merged[val_blob]])
    assert same_partition(np.concatenate([over.train, over.val]), np.concatenate([expected, expected_val]))
    assert [sorted(row["sizes"]) for row in over.record] == [[40, 100, 160]] * 2
    assert [row["k"] for row in over.record] == [2, 2]


def test_what_cannot_be_clustered_is_refused():
    features, labels, _ = two_classes()
    train = features, labels
    with pytest.raises(UserError, match="class 2 has no training samples"):
        cluster(train, train, n_classes=3)
    with pytest.raises(ValueError, match=r"label 1 is not in 0 \.\. 0"):
        cluster(train, train, n_classes=1)
    broken = features.copy()
    broken[3, 0] = np.nan
    for bad_train, bad_val in (((broken, labels), train), (train, (broken, labels))):
        with pytest.raises(UserError, match="not finite"):
            cluster(bad_train, bad_val)
