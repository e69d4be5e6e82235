"""Every file under configs/; those of small data sets run to their table in `smoke`.

Those that test_golden runs as they are run there, those of paper scale in test_published.
"""

from pathlib import Path

import pytest
import test_golden

from oilwater_jax import pipeline
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings.registry import known

ROOT = Path(__file__).parent.parent
LARGE = {"waterbirds", "celeba"}  # folders of configs of paper scale: test_published
GARMENTS = {"waterfashion"}  # folders of configs whose data sets are made from Fashion-MNIST
FILES = sorted((ROOT / "configs").rglob("*.py"))
RUNS = [file for file in FILES if not file.name.startswith("table")]
GOLDEN = {ROOT / file for file, changes in test_golden.RUNS.values() if not changes}
SMALL = [file for file in FILES if file.parent.name not in LARGE and file not in GOLDEN]
EXPERIMENTS = sorted(
    file for file in (ROOT / "experiments").rglob("*.py") if "def get_grid(" in file.read_text()
)
RANDOM = {"model.init_from": ""}


def test_there_are_configs():
    assert SMALL
    assert set(FILES) > GOLDEN
    assert EXPERIMENTS
    assert {file.parent.name for file in FILES} > LARGE


def name(file):
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_the_docstring_gives_the_command(file):
    verb = "sweep" if file.name.startswith("table") else "run"
    assert f"oilwater {verb} --config={name(file)} " in file.read_text()


@pytest.mark.parametrize("file", RUNS, ids=name)
def test_one_file_per_data_set_and_attack(file):
    """A file is called by its attack, `clean` without one, in a folder called by its data set."""
    config = cfg.load(file, RANDOM)
    assert file.parent.name == config.data.name.removesuffix("10")
    assert file.stem == {"none": "clean"}.get(config.attack.name, config.attack.name)
    # That file serves every method, alone and after a defence.
    registry = known()
    methods = [one for one in registry.names("method") if not registry.method(one).base]
    rows = [
        *methods,
        *(f"epic/{one}" for one in methods),
        *(f"epic+{one}" for one in methods if one != "epic"),
    ]
    assert cfg.load(file, RANDOM | {"rows": ",".join(rows)}).rows == tuple(rows)


@pytest.mark.parametrize("file", EXPERIMENTS, ids=name)
def test_grids_of_the_experiments_load(file):
    text = file.read_text()
    assert f"oilwater sweep --config={name(file)} " in text
    assert len(cfg.load_grid(file).runs) > 1


@pytest.mark.parametrize("file", SMALL, ids=name)
def test_smoke(file, tmp_path, fashion_mnist):
    source = {"data.source": str(fashion_mnist)} if file.parent.name in GARMENTS else {}
    config = cfg.load(file, {"smoke": "true"} | source)
    result = pipeline.run(config, tmp_path / "run")
    assert tuple(result["rows"]) == config.rows
