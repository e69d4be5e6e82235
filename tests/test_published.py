"""The published settings, and the configs of paper scale that hold them."""

from pathlib import Path

import pytest

from oilwater_jax.attacks.gradient_matching import first_step
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings import published

CONFIGS = Path(__file__).parent.parent / "configs"
PAIRS = [(dataset, attack) for dataset in published.DATASETS for attack in published.ATTACKS]
TABLES = {"table01": 12, "table02": 8, "table03": 30}  # runs of each
ALL_ROWS = (
    "erm@clean,erm,balanced,group_dro,jtt,jtt:ideal,jtt:worst,george,george:worst,epic,epic+jtt,epic/george"
)
RANDOM = {
    "model.init_from": ""
}  # instead of ImageNet's weights, which are nobody's to hand out with this code


@pytest.mark.parametrize(("dataset", "attack"), PAIRS, ids="_".join)
def test_every_attack_has_a_file_of_its_name_for_every_method(dataset, attack):
    file = str(CONFIGS / dataset / f"{attack}.py")
    config = cfg.load(file, RANDOM)
    assert config.data.name == {"waterbirds": "waterbirds", "celeba": "celeba10"}[dataset]
    assert config.attack.name == attack
    assert {"erm@clean", "erm", "jtt", "epic", "epic+jtt"} < set(config.rows)
    every = cfg.load(file, RANDOM | {"rows": ALL_ROWS})
    assert every.rows == tuple(ALL_ROWS.split(","))
    # All of it is as published for JTT, and what is in a method's own section for that method too.
    for method, own in published.METHODS.items():
        found, flat = cfg.flatten(every.to_dict()), {**own[published.BOTH], **own[dataset]}
        sections = (f"{method}.", "group_dro.") if method != "jtt" else ("",)
        settings = {key: value for key, value in flat.items() if key.startswith(sections)}
        assert settings.items() <= found.items()
        assert settings


@pytest.mark.parametrize("dataset", published.DATASETS)
def test_one_file_for_each_attack_and_table(dataset):
    assert {file.stem for file in (CONFIGS / dataset).glob("*.py")} == {*published.ATTACKS, *TABLES}


@pytest.mark.parametrize("dataset", published.DATASETS)
@pytest.mark.parametrize("table", TABLES)
def test_grids(dataset, table):
    grid = cfg.load_grid(str(CONFIGS / dataset / f"{table}.py"), RANDOM)
    assert (len(grid.runs), grid.seeds) == (TABLES[table], 3)
    assert {run.data.name for run in grid.runs.values()} == {published.DATASETS[dataset]["data.name"]}
    for name, run in grid.runs.items():
        attack, method = name.split("_")[:2]
        assert run.attack.name == attack
        # Each method by its own published settings, also where methods share the section.
        own = published.METHODS[method]
        own = {**own[published.BOTH], **own[dataset]}
        varied = {"identify.epochs"} if table == "table01" else set()
        found = cfg.flatten(run.to_dict())
        assert {key for key, value in own.items() if found[key] != value} <= varied
        asked = run.look if table == "table01" else run.rows
        assert {atom.name for row in cfg.rows_of(run) + cfg.looks_of(run) for atom in row.atoms} >= {method}
        assert asked
    # The least that a dial stops at leaves one round, the most leaves all.
    for run in grid.runs.values() if table == "table03" else ():
        rounds = range(run.epic.drop_after, min(run.epic.stop_after, run.robust.epochs + 1))
        assert any(epoch % run.epic.subset_freq == 0 for epoch in rounds)


def test_tables_rows():
    """One training under both for JTT, one after the other for GEORGE; every mode; identification trains nothing."""
    assert {run.rows for run in published.identification("celeba").runs.values()} == {()}
    runs = published.amplification("celeba").runs
    assert runs["sa_jtt"].rows == ("erm@clean", "erm", "jtt", "jtt:ideal", "jtt:worst")
    assert runs["gm_george"].rows == ("erm@clean", "erm", "george", "george:ideal", "george:worst")
    assert runs["none_george"].rows == ("erm@clean", "george")
    runs = published.elimination("waterbirds").runs
    assert runs["dlbd_jtt_stop70"].rows == ("erm@clean", "erm", "epic", "jtt", "epic+jtt")
    assert runs["dlbd_george_stop70"].rows == ("erm@clean", "erm", "epic", "george", "epic/george")


def test_jtt_is_as_published():
    """Liu et al. 2021, the table of ERM's and JTT's settings."""
    found = {}
    for dataset in published.DATASETS:
        c = published.config(dataset, "dlbd", ["jtt"])
        assert c.identify.learning_rate == c.robust.learning_rate
        assert c.identify.weight_decay == c.robust.weight_decay
        found[dataset] = (
            *(c.identify.epochs, c.jtt.lambda_up, c.robust.learning_rate, c.robust.weight_decay),
            *(c.train.batch, c.robust.epochs, c.erm.learning_rate, c.erm.weight_decay),
        )
        assert published.config(dataset, "dlbd") == c  # what the shared file takes
        assert published.config(dataset, "dlbd", ["epic", "jtt"]) == c
    assert found == {
        "waterbirds": (60, 100, 1e-5, 1.0, 64, 300, 1e-3, 1e-4),
        "celeba": (1, 50, 1e-5, 0.1, 64, 50, 1e-4, 1e-4),
    }


@pytest.mark.parametrize("methods", [["george"], ["epic", "george"], ["george", "group_dro"]])
def test_george_is_as_published(methods):
    """Sohoni et al. 2020, waterbirds_george_config.json and celeba_george_config_nobit.json of their code."""
    config = published.config("waterbirds", "dlbd", methods)
    assert config.identify == config.robust
    assert (config.robust.learning_rate, config.robust.weight_decay, config.robust.epochs) == (1e-5, 1.0, 300)
    assert (config.train.batch, config.george.adjustment) == (128, 2.0)
    config = published.config("celeba", "sa", methods)
    assert config.identify == config.robust
    assert (config.robust.learning_rate, config.robust.weight_decay, config.robust.epochs) == (1e-5, 0.1, 50)
    assert (config.train.batch, config.george.adjustment) == (128, 3.0)


def test_group_dro_is_as_published():
    config = published.config("waterbirds", "gm", ["group_dro"])
    assert (config.train.batch, config.group_dro.eta, config.group_dro.adjustment) == (128, 0.01, 0.0)


@pytest.mark.parametrize("methods", [["jtt", "george"], ["george", "jtt"], ["group_dro", "george", "jtt"]])
def test_where_methods_differ_jtt_counts(methods):
    config = published.config("celeba", "sa", methods)
    assert (config.train.batch, config.identify.epochs) == (64, 1)
    assert config.george.adjustment == 3.0


def test_gradient_matching_steps_by_a_tenth_of_a_normalised_pixel():
    """Geiping et al. 2021: 0.1 after normalisation, which by ImageNet's deviations is 5.7 to 5.8 of 255."""
    gm = published.config("celeba", "gm").gm
    assert 5.7 <= first_step(gm) * gm.eps <= 5.8


def test_without_weights_it_says_what_to_do():
    with pytest.raises(
        UserError, match=r"weights/resnet50' holds no imported weights .* `oilwater weights import`"
    ):
        cfg.checked(published.config("waterbirds", "dlbd"), {}, "dlbd.py")


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (("waterbirds", "dlbd", ["jtt_epic"]), "jtt_epic"),
        (("waterbirds", "dlbd_gm"), "dlbd_gm"),
        (("mnist", "dlbd"), "mnist"),
    ],
)
def test_an_unknown_name(asked, missing):
    with pytest.raises(KeyError, match=missing):
        published.config(*asked)


def test_a_vit_has_its_own_recipe_and_the_methods_settings():
    """Dosovitskiy et al. 2021: SGD, batches of 512, no decay, half a cosine after a warm-up, gradients clipped to 1."""
    vit, resnet = (published.config("waterbirds", "dlbd", model=name) for name in ("vit_s16", "resnet50"))
    assert (vit.model.name, vit.model.normalise, vit.train.batch) == ("vit_s16", "inception", 512)
    for recipe in (vit.erm, vit.robust, vit.identify):
        assert (recipe.schedule, recipe.clip, recipe.weight_decay) == ("cosine", 1.0, 0.0)
    assert vit.erm.warmup * 4 == vit.erm.epochs
    assert vit.jtt == resnet.jtt
    assert resnet == published.config("waterbirds", "dlbd")
    cfg.checked(vit, {"model.init_from": ""}, "vit")
    with pytest.raises(KeyError, match="vgg"):
        published.config("waterbirds", "dlbd", model="vgg")
