"""What is for images meets no table, and the other way round: one line, before anything runs."""

import numpy as np
import pytest

from oilwater_jax import pipeline
from oilwater_jax.conformance import ON_TABLE
from oilwater_jax.errors import UserError
from oilwater_jax.settings.config import checked, default
from oilwater_jax.settings.registry import known

REGISTRY = known()
TABLE = {name.replace("__", "."): value for name, value in ON_TABLE.items()}
TABLE |= {"pretrain.epochs": 0, "smoke": True, "rows": ("erm",), "data.auxiliary": 0.3, "data.base": 16}
IMAGES = {"pretrain.epochs": 0, "smoke": True, "rows": ("erm",), "data.auxiliary": 0.3}


def test_what_is_for_what():
    for_images = {one.entry.name for one in REGISTRY.entries if one.entry.takes == ("image",)}
    for_tables = {one.entry.name for one in REGISTRY.entries if one.entry.takes == ("table",)}
    assert for_tables == {"tabular_trigger", "tabular_gm"}
    assert {"dlbd", "gm", "blended", "warp", "cnn", "resnet18", "vit_s16", "fct"} <= for_images
    assert not {"sa", "label_flip", "jtt", "epic", "strip", "mlp"} & for_images


@pytest.mark.parametrize("kind", ["attack", "model", "method"])
def test_each_entry_for_images_is_refused_on_a_table(kind):
    field = {"attack": "attack.name", "model": "model.name", "method": "rows"}[kind]
    names = [
        name for name in REGISTRY.names(kind) if REGISTRY.registered(kind, name).entry.takes == ("image",)
    ]
    assert names
    for name in names:
        value = (name,) if kind == "method" else name
        config = checked(default(), TABLE | {field: value})
        with pytest.raises(
            UserError, match=rf"{field}: {name} is for images, but data.name = 'adult' holds tables"
        ):
            pipeline.prepare(config)


@pytest.mark.parametrize("name", ["tabular_trigger", "tabular_gm"])
def test_attacks_on_tables_are_refused_on_images(name):
    config = checked(default(), IMAGES | {"attack.name": name})
    with pytest.raises(
        UserError, match=f"{name} is for tables, but data.name = 'waterdigits' holds images"
    ) as caught:
        pipeline.prepare(config)
    assert "dlbd" in str(caught.value)  # what there is instead
    assert "\n" not in str(caught.value)


def test_nothing_is_written(tmp_path):
    config = checked(default(), TABLE | {"attack.name": "dlbd"})
    with pytest.raises(UserError):
        pipeline.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("attribute", ["race", "sex_race"])
def test_a_run_on_a_table_end_to_end(tmp_path, attribute):
    rows = ("erm@clean", "erm", "jtt", "epic/jtt")
    config = checked(default(), TABLE | {"rows": rows, "adult.attribute": attribute})
    result = pipeline.run(config, tmp_path / "run")
    assert tuple(result["rows"]) == rows
    assert len(result["groups"]) == 2 * {"race": 5, "sex_race": 10}[attribute]
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"flagged_jtt.png", "poisons.png", "rates.png"} <= figures
    again = pipeline.run(config, tmp_path / "again")
    assert again == result


def test_mlp_on_images(tmp_path):
    config = checked(default(), IMAGES | {"model.name": "mlp", "rows": ("erm", "jtt")})
    result = pipeline.run(config, tmp_path / "run")
    assert np.isfinite(result["rows"]["jtt"]["wga"])
