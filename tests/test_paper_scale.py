"""Configs of paper scale in `smoke`, on archives of the published layouts: from `data prepare` to the table."""

import json
from pathlib import Path

import layouts
import named_weights
import pytest
from safetensors.numpy import save_file

from oilwater_jax import cli
from oilwater_jax.settings import published

ROOT = Path(__file__).parent.parent
SPLIT = (18, 17, 16, 16)
BIRDS = {"train": (24, 18, 16, 20), "val": SPLIT, "test": SPLIT}
FACES = {"train": (240, 200, 160, 30), "val": SPLIT, "test": SPLIT}  # celeba10 takes a tenth of train
SMALL = [
    "--config.smoke=true",
    "--config.model.init_from=",
    "--config.model.name=cnn",
    "--config.cnn.widths=8",
]


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return layouts.waterbirds(tmp_path_factory.mktemp("birds"), BIRDS, archive=True)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return layouts.celeba(tmp_path_factory.mktemp("faces"), FACES, variant="kaggle")


@pytest.fixture(scope="module")
def sources(birds, faces):
    return {"waterbirds": birds, "celeba": faces}


def oilwater(capsys, *arguments):
    """The standard output of a command that succeeds."""
    with pytest.raises(SystemExit) as done:
        cli.main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    assert done.value.code == 0, err
    return out


def prepare(capsys, sources, dataset, folder):
    """Prepare a config folder's data set in a folder of the test's own; the option that names it."""
    name = published.DATASETS[dataset]["data.name"]
    oilwater(capsys, "data", "prepare", name, f"--source={sources[dataset]}", f"--data_dir={folder}")
    return f"--config.data.source={folder}"


@pytest.mark.parametrize(
    ("dataset", "attack", "rows"),
    [
        ("waterbirds", "dlbd", "jtt"),
        pytest.param("waterbirds", "sa", "erm@clean,epic/george", marks=pytest.mark.slow),
        pytest.param("celeba", "gm", "group_dro", marks=pytest.mark.slow),
    ],
)
def test_from_prepare_to_the_table(dataset, attack, rows, sources, tmp_path, capsys):
    data = prepare(capsys, sources, dataset, tmp_path / "data")
    config = f"--config={ROOT / 'configs' / dataset / attack}.py"
    out = oilwater(
        capsys, "run", config, *SMALL, data, f"--config.rows={rows}", f"--workdir={tmp_path / 'run'}"
    )
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert list(summary["rows"]) == rows.split(",")
    assert all(0 <= row["wga"] <= row["acc"] <= 1 for row in summary["rows"].values())
    assert summary["n_poison"] >= 1
    assert "training samples" in out
    pictures = {path.name for path in (tmp_path / "run/figures").iterdir()}
    assert pictures >= {"poisons.png", "flagged_jtt.png" if rows == "jtt" else "training_images.png"}


PLAIN = ("erm@clean", "erm")
RUNS = {  # methods and rows by the run's name
    "erm": ([], PLAIN),
    "group_dro": (["group_dro"], (*PLAIN, "group_dro@clean", "group_dro")),
    "jtt": (["jtt"], (*PLAIN, "jtt", "jtt:ideal", "jtt:worst")),
    "george": (["george"], (*PLAIN, "george", "george:ideal", "george:worst")),
    "epic": (["epic"], (*PLAIN, "epic", "epic:ideal", "epic:worst")),
    "epic_jtt": (["epic", "jtt"], (*PLAIN, "epic", "jtt", "epic+jtt")),
    "epic_george": (["epic", "george"], (*PLAIN, "epic", "george", "epic/george")),
}
GRID = """
from oilwater_jax import Grid
from oilwater_jax.settings import published

RUNS = {runs!r}

def run(attack, methods, rows):
    config = published.config({dataset!r}, attack, methods)
    config.rows = rows
    return config

def get_grid():
    return Grid({{f"{{name}}_{{a}}": run(a, *one) for name, one in RUNS.items() for a in published.ATTACKS}}, 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dataset", published.DATASETS)
def test_every_method_under_every_attack(dataset, sources, tmp_path, capsys):
    """With a ResNet-18 and imported weights; a sweep, so that what the pairs share is computed once."""
    data = prepare(capsys, sources, dataset, tmp_path / "data")
    save_file(named_weights.tensors("resnet18", 32, n_classes=1000), tmp_path / "resnet18.safetensors")
    weights = tmp_path / "weights"
    oilwater(
        capsys, "weights", "import", tmp_path / "resnet18.safetensors", "--model=resnet18", f"--out={weights}"
    )
    (tmp_path / "grid.py").write_text(GRID.format(dataset=dataset, runs=RUNS))
    small = ("--config.smoke=true", "--config.model.name=resnet18", f"--config.model.init_from={weights}")
    sweep = f"--workdir={tmp_path / 'sweep'}"
    out = oilwater(capsys, "sweep", f"--config={tmp_path / 'grid.py'}", sweep, *small, data)
    assert "21 of 21 runs are finished" in out
    table = oilwater(capsys, "table", tmp_path / "sweep", "--columns=wga,success", "--format=csv")
    assert len({line.split(",")[0] for line in table.splitlines()[1:]}) == 21
