"""The published settings, and the configs of paper scale that hold them."""

from pathlib import Path

import pytest

from oilwater_jax import published
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg

CONFIGS = Path(__file__).parent.parent / "configs"
PAIRS = [(d, m, a) for d in published.DATASETS for m in published.METHODS for a in published.ATTACKS]
TABLES = {"table01": 12, "table02": 8, "table03": 30}  # runs of each
RANDOM = {
    "model.init_from": ""
}  # instead of ImageNet's weights, which are nobody's to hand out with this code


@pytest.mark.parametrize(("dataset", "method", "attack"), PAIRS, ids="_".join)
def test_every_pair_has_a_file_of_its_name(dataset, method, attack):
    config = cfg.load(str(CONFIGS / dataset / f"{method}_{attack}.py"), RANDOM)
    assert config.data.name == {"waterbirds": "waterbirds", "celeba": "celeba10"}[dataset]
    assert config.attack.name == attack
    assert config.method.name == ("george" if "george" in method else "jtt")
    assert ("epic" in config.rows) == method.startswith("epic")
    assert ("combined" in config.rows) == method.startswith("epic_")
    assert ("standard" in config.rows) == ("jtt" in method or "george" in method)
    assert ("group_dro_poisoned" in config.rows) == (method == "group_dro")


@pytest.mark.parametrize("dataset", published.DATASETS)
def test_no_file_without_a_pair_or_table(dataset):
    pairs = {f"{method}_{attack}" for name, method, attack in PAIRS if name == dataset}
    assert {file.stem for file in (CONFIGS / dataset).glob("*.py")} == pairs | set(TABLES)


@pytest.mark.parametrize("dataset", published.DATASETS)
@pytest.mark.parametrize("table", TABLES)
def test_grids(dataset, table):
    grid = cfg.load_grid(str(CONFIGS / dataset / f"{table}.py"), RANDOM)
    assert (len(grid.runs), grid.seeds) == (TABLES[table], 3)
    assert {run.data.name for run in grid.runs.values()} == {published.DATASETS[dataset]["data.name"]}
    # The least that a dial stops at leaves one round, the most leaves all.
    for run in grid.runs.values() if table == "table03" else ():
        rounds = range(run.epic.drop_after, min(run.epic.stop_after, run.robust.epochs + 1))
        assert any(epoch % run.epic.subset_freq == 0 for epoch in rounds)


def test_jtt_is_as_published():
    """Liu et al. 2021, the table of ERM's and JTT's settings."""
    found = {}
    for dataset in published.DATASETS:
        c = published.pair(dataset, "jtt", "dlbd")
        assert c.identify.learning_rate == c.robust.learning_rate
        assert c.identify.weight_decay == c.robust.weight_decay
        found[dataset] = (
            *(c.identify.epochs, c.method.lambda_up, c.robust.learning_rate, c.robust.weight_decay),
            *(c.train.batch, c.robust.epochs, c.erm.learning_rate, c.erm.weight_decay),
        )
    assert found == {
        "waterbirds": (60, 100, 1e-5, 1.0, 64, 300, 1e-3, 1e-4),
        "celeba": (1, 50, 1e-5, 0.1, 64, 50, 1e-4, 1e-4),
    }


def test_george_is_as_published():
    """Sohoni et al. 2020, waterbirds_george_config.json and celeba_george_config_nobit.json of their code."""
    config = published.pair("waterbirds", "george", "dlbd")
    assert config.identify == config.robust
    assert (config.robust.learning_rate, config.robust.weight_decay, config.robust.epochs) == (1e-5, 1.0, 300)
    assert (config.train.batch, config.george.adjustment, config.epic.when) == (128, 2.0, "during")
    config = published.pair("celeba", "epic_george", "sa")
    assert config.identify == config.robust
    assert (config.robust.learning_rate, config.robust.weight_decay, config.robust.epochs) == (1e-5, 0.1, 50)
    assert (config.train.batch, config.george.adjustment, config.epic.when) == (128, 3.0, "before")


def test_without_weights_it_says_what_to_do():
    with pytest.raises(
        UserError, match=r"weights/resnet50' holds no imported weights .* `oilwater weights import`"
    ):
        cfg.checked(published.pair("waterbirds", "jtt", "dlbd"), {}, "jtt_dlbd.py")


def test_an_unknown_pair():
    with pytest.raises(KeyError, match="jtt_epic"):
        published.pair("waterbirds", "jtt_epic", "dlbd")
