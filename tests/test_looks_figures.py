"""Figures of what methods looked at: one mechanism for whatever arrays they leave."""

import numpy as np

from oilwater_jax.reporting import looks

N = 60
SETS = {
    "poison": np.arange(N) < 5,
    "lrg_1": (np.arange(N) >= 5) & (np.arange(N) < 15),
    "hrg_1": np.arange(N) >= 15,
}


def test_shares_by_hand():
    x, y = looks.shares_up_to(np.array([3.0, 1.0, 2.0, 2.0]))
    assert x.tolist() == [1, 2, 2, 3]
    assert y.tolist() == [0.25, 0.5, 0.75, 1]


def test_clusters_by_hand():
    cluster = np.where(np.arange(N) < 10, 7, 2)
    ids, shares = looks.in_clusters(cluster, SETS | {"lrg_2": np.zeros(N, bool)})
    assert ids.tolist() == [2, 7]
    np.testing.assert_allclose(shares, [[0, 1], [0.5, 0.5], [1, 0], [np.nan, np.nan]])


def test_the_main_directions_are_those_of_most_variance():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 4)) * [1.0, 30.0, 0.1, 5.0] + 100
    found = looks.main_directions(points)
    centred = points - points.mean(0)
    for at, axis in ((0, 1), (1, 3)):
        assert abs(np.corrcoef(found[:, at], centred[:, axis])[0, 1]) > 0.999
    assert not looks.main_directions(points[:, :1])[:, 1].any()


def test_how_an_array_is_drawn():
    rng = np.random.default_rng(0)
    assert looks.drawing(rng.normal(size=N), N) is looks.cumulative
    assert looks.drawing(np.arange(N) % 4, N) is looks.table
    assert looks.drawing(np.arange(N), N) is looks.cumulative
    assert looks.drawing(rng.normal(size=(N, 3)), N) is looks.scatter
    assert looks.drawing(np.ones(N, bool), N) is None
    assert looks.drawing(np.ones(N - 1), N) is None
    assert looks.drawing(np.full(N, np.nan), N) is None
    assert looks.drawing(np.array(1.0), N) is None


def test_a_panel_for_each_array_and_no_file_without_any(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(looks.plots, "save", lambda figure, path: drawn.append((figure, path)))
    rng = np.random.default_rng(0)
    arrays = {
        "flagged": np.arange(N) < 3,
        "suspicion": rng.exponential(size=N) ** 5,
        "cluster": np.arange(N) % 3,
        "features": rng.normal(size=(N, 4)),
    }
    looks.write(tmp_path / "x.png", "JTT", arrays, SETS)
    ((figure, path),) = drawn
    assert path == tmp_path / "x.png"
    assert [axis.get_title() for axis in figure.axes] == ["suspicion", "cluster", "features"]
    steps = figure.axes[0].get_lines()
    assert [len(line.get_xdata()) for line in steps] == [5, 10, 45]
    np.testing.assert_array_equal(steps[0].get_xdata(), np.sort(arrays["suspicion"][:5]))
    looks.write(tmp_path / "y.png", "JTT", {"flagged": arrays["flagged"]}, SETS)
    assert len(drawn) == 1
