"""Importing weights: what comes in is what training starts from, and what does not fit is refused in one line."""

import io
import json
import os
import pickle
import resource
import shutil
import sys
import zipfile
from pathlib import Path

import jax
import named_weights
import numpy as np
import pytest
import tiny_resnet as tiny_entry
from safetensors.numpy import save_file

from oilwater_jax import cli, pipeline
from oilwater_jax.errors import UserError
from oilwater_jax.experiment import Experiment
from oilwater_jax.models import record, weights
from oilwater_jax.models.variables import STATISTICS
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings import config as cfg
from oilwater_jax.stages import Store

MAIN_JOB = str(Path(__file__).parent.parent / "configs/waterdigits/dlbd.py")


@pytest.fixture(autouse=True)
def tiny_resnet():
    """A network named `tiny` in the registry, with the layout of its larger brothers."""
    with tiny_entry.known():
        yield


def tensors(n_classes=3):
    counter = {"bn1.num_batches_tracked": np.array(7)}
    return named_weights.tensors("tiny", 32, n_classes) | counter


def saved(folder, named, suffix=".safetensors"):
    file = folder / f"tiny{suffix}"
    if suffix == ".npz":
        np.savez(file, **named)
    else:
        save_file(named, file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of a tiny network of 3 classes, imported."""
    root = tmp_path_factory.mktemp("weights")
    with tiny_entry.known():
        weights.import_file(saved(root, tensors()), "tiny", root / "tiny")
    return root / "tiny"


def test_a_folder_holds_what_the_file_does(folder):
    found = record.read(folder)
    assert found[:4] == ("tiny", 3, None, "tiny.safetensors")
    params, named = weights.load(folder, found), tensors()
    np.testing.assert_array_equal(params["head"]["kernel"], named["fc.weight"].T)
    np.testing.assert_array_equal(params["head"]["bias"], named["fc.bias"])
    kernel = params["layer2_0"]["downsample_0"]["kernel"]
    np.testing.assert_array_equal(kernel, named["layer2.0.downsample.0.weight"].transpose(2, 3, 1, 0))
    statistics = params[STATISTICS]["layer1_0"]["bn2"]
    np.testing.assert_array_equal(statistics["var"], named["layer1.0.bn2.running_var"])
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny", "tiny.safetensors"]


def test_npz_is_the_same_weights_of_another_source(folder, tmp_path):
    named = {name: array.astype(np.float64) for name, array in tensors().items()}
    other = weights.import_file(saved(tmp_path, named, ".npz"), "tiny", tmp_path / "new" / "tiny")
    assert other.sha256 == record.read(folder).sha256
    assert other.source_sha256 != record.read(folder).source_sha256


def test_every_name_of_a_network_is_pytorchs():
    names = set(named_weights.tensors("resnet50", 32))
    assert {"conv1.weight", "layer1.0.downsample.1.running_var", "layer4.2.conv3.weight", "fc.bias"} <= names
    names = set(named_weights.tensors("vit_s16", 32))
    assert {
        "cls_token",
        "patch_embed.proj.bias",
        "blocks.11.mlp.fc2.weight",
        "norm.weight",
        "head.bias",
    } <= names


BAD_TENSORS = {  # what is wrong: the changed tensors, None for one that is left out
    r"tensor fc.bias is missing; is it a tiny\?": {"fc.bias": None},
    r"tensor bn1.scale is one too many": {"bn1.scale": np.zeros(3)},
    r"tensor bn1.bias has shape \(3,\) and should have \(64,\)": {"bn1.bias": np.zeros(3)},
    r"tensor fc.bias has dtype int64 and should hold": {"fc.bias": np.zeros(3, np.int64)},
    r"tensor bn1.bias has numbers that are not finite": {"bn1.bias": np.full(64, np.nan)},
    r"tensor bn1.running_var has variances below 0": {"bn1.running_var": np.full(64, -1.0)},
    r"tensor fc.weight has 0 classes \(allowed: 1 .. 1000000\)": {"fc.weight": np.zeros((0, 64))},
    r"tensor fc.weight has shape \(70000, 0\)": {"fc.weight": np.zeros((70000, 0))},
    r"tensor fc.weight has 1000001 classes": {"fc.weight": np.zeros((1000001, 0))},
}


@pytest.mark.parametrize("reason", BAD_TENSORS)
def test_a_tensor_that_does_not_fit_is_named(reason, tmp_path):
    changed = tensors() | BAD_TENSORS[reason]
    file = saved(tmp_path, {name: array for name, array in changed.items() if array is not None})
    with pytest.raises(UserError, match=reason):
        weights.import_file(file, "tiny", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.safetensors"]


class Malice:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return open, (self.trace, "w")


def truncated(file):
    whole = saved(file.parent, tensors(), file.suffix)
    file.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def pickled_array(file):
    np.savez(file, a=np.array([Malice(file.parent / "trace")], object), allow_pickle=True)


def pickled(file):
    file.write_bytes(pickle.dumps({"a": Malice(file.parent / "trace")}))


def encrypted(file):
    np.savez(file, a=np.zeros(3))
    data = bytearray(file.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + place] |= 1
    file.write_bytes(data)


def npz_of(name, content):
    def make(file):
        with zipfile.ZipFile(file, "w") as out:
            out.writestr(name, content)

    return make


def npy_header(shape, descr="<f4"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue()


def an_npy(file):
    with file.open("wb") as out:
        np.save(out, np.zeros(3))


def of_f8(file):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))


BAD_FILES = [
    ("a.npz", an_npy, "it is a single array, an npy file"),
    ("a.npz", encrypted, "damaged or not an npz file.*encrypted"),
    ("a.npz", npz_of("a.txt", b"hello"), "damaged or not an npz file"),
    (
        "a.npz",
        npz_of("a.npy", npy_header((10**12,))),
        r"shape \(1000000000000,\) that it does not",
    ),
    ("a.npz", npz_of("a.npy", npy_header((-1,)) + bytes(8)), "damaged or not an npz file"),
    ("a.npz", npz_of("a.npy", npy_header((10**6, 10**6, 0)) + bytes(8)), "that it does not hold"),
    ("a.safetensors", of_f8, "damaged or not a safetensors file|is missing"),
    ("a.safetensors", lambda file: os.mkfifo(file), "is not a file"),
    ("a.safetensors", truncated, r"a.safetensors is damaged or not a safetensors file \(SafetensorError"),
    ("a.safetensors", pickled, "damaged or not a safetensors file"),
    ("a.npz", truncated, r"a.npz is damaged or not an npz file \(BadZipFile"),
    ("a.npz", pickled_array, "holds pickled objects, which could run code and are never read"),
    ("a.npz", pickled, "holds pickled objects, which could run code"),
    ("a.npz", lambda file: file.write_bytes(b""), "damaged or not an npz file"),
    ("a.pkl", pickled, r"a.pkl has an unsupported format \(.safetensors, .npz, .pth, .pt\)"),
    ("a.npz", lambda file: None, "a.npz is not a file"),
]


@pytest.mark.parametrize(("name", "make", "reason"), BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(name, make, reason, tmp_path):
    make(tmp_path / name)
    with pytest.raises(UserError, match=reason) as caught:
        weights.import_file(tmp_path / name, "tiny", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "out").exists()


def test_pth_without_pytorch_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    pickled(tmp_path / "a.pth")
    with pytest.raises(
        UserError, match=r"reading .pth needs PyTorch \(pip install 'oilwater_jax\[torch\]'\); or"
    ):
        weights.read_file(tmp_path / "a.pth")
    assert not (tmp_path / "trace").exists()


def test_pth_with_pytorch(folder, tmp_path):
    torch = pytest.importorskip("torch")
    named = {name: torch.from_numpy(np.array(array)) for name, array in tensors().items()}
    torch.save({"model": named, "epoch": 3}, tmp_path / "a.pth")
    assert (
        weights.import_file(tmp_path / "a.pth", "tiny", tmp_path / "out").sha256 == record.read(folder).sha256
    )
    torch.save({"a": Malice(tmp_path / "trace")}, tmp_path / "b.pth")
    pickled(tmp_path / "c.pth")
    for bad, reason in {"b": "holds more than tensors", "c": "could run code and are never read"}.items():
        with pytest.raises(UserError, match=reason):
            weights.read_file(tmp_path / f"{bad}.pth")
    (tmp_path / "d.pt").write_bytes((tmp_path / "a.pth").read_bytes()[:1000])
    torch.save([1, 2], tmp_path / "e.pt")
    for bad, reason in {
        "d": "damaged or not a PyTorch file|are never read",
        "e": "is not a state_dict of named tensors",
    }.items():
        with pytest.raises(UserError, match=reason):
            weights.read_file(tmp_path / f"{bad}.pt")
    assert not (tmp_path / "trace").exists()


def test_a_folder_that_holds_something_is_left_alone(folder, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UserError, match="already exists; give a new folder"):
        weights.import_file(saved(folder.parent, tensors()), "tiny", tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("damage", ["bytes", "record"])
def test_damaged_weights_are_noticed(damage, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    if damage == "bytes":
        for file in (path for path in (copy / weights.TREE).rglob("*") if path.is_file()):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        values = json.loads((copy / record.FILE).read_text())
        (copy / record.FILE).write_text(json.dumps(values | {"sha256": "0" * 64}))
    with pytest.raises(UserError, match=r"are damaged \(.*import tiny.safetensors again"):
        weights.load(copy, record.read(copy))
    with pytest.raises(UserError, match=r"are damaged \(.*import tiny.safetensors again"):
        pipeline.run(settings(copy), tmp_path / "run")
    assert not (tmp_path / "run").exists()


RECORD = {
    **{"model": "tiny", "n_classes": 3, "image_side": None},
    **{"source": "a.npz", "source_sha256": "", "sha256": ""},
}


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", '{"model": "tiny"}', "[" * 100_000),
        *(
            json.dumps(RECORD | change)
            for change in (
                {"n_classes": -1},
                {"n_classes": 10**12},
                {"n_classes": True},
                {"image_side": 0},
                {"image_side": 10**6},
                {"model": "none"},
                {"more": 1},
            )
        ),
    ],
)
def test_a_folder_without_a_sound_record_is_refused(content, tmp_path):
    (tmp_path / record.FILE).write_text(content)
    with pytest.raises(
        UserError, match=r"holds no imported weights \(no sound weights.json\); give a folder"
    ):
        record.read(tmp_path)


def test_positions_for_images_of_another_size_are_refused():
    vit = record.Record("vit_s16", 10, 224, "vit.npz", "", "")
    record.check_images(vit, (224, 224, 3))
    with pytest.raises(UserError, match="positions for images of 224x224 pixels, and the data's have 32x32"):
        record.check_images(vit, (32, 32, 3))


def test_positions_of_another_size_are_refused_before_a_folder_is_made(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    record.write(copy, record.read(folder)._replace(image_side=224))
    with pytest.raises(UserError, match="positions for images of 224x224 pixels, and the data's have 32x32"):
        pipeline.run(settings(copy), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_that_do_not_go_together(folder):
    start = {"model.init_from": str(folder)}
    with pytest.raises(
        UserError, match=r"pretrain.epochs = 30 both say where training starts; set pretrain.epochs=0"
    ):
        cfg.load(MAIN_JOB, start)
    with pytest.raises(
        UserError, match=r"holds weights of tiny, but model.name = 'cnn'; set model.name=tiny"
    ):
        cfg.load(MAIN_JOB, start | {"pretrain.epochs": "0"})
    with pytest.raises(UserError, match="'nowhere' holds no imported weights"):
        cfg.load(MAIN_JOB, {"model.init_from": "nowhere", "pretrain.epochs": "0"})


def settings(folder):
    config = cfg.default()
    config.model.update({"name": "tiny", "init_from": str(folder)})
    config.pretrain.epochs = 0
    return config


def experiment(folder, tmp_path, splits):
    config = settings(folder)
    warnings = []
    store = Store(tmp_path, warnings.append)
    return Experiment(config, splits, store, Progress(warnings.append)), warnings


def test_every_training_starts_from_them_with_a_head_of_its_seed(folder, tmp_path, waterdigits):
    one, warnings = experiment(folder, tmp_path, waterdigits)
    first, second = one.start(0), one.start(1)
    imported = weights.load(folder, record.read(folder))
    for name in imported:
        if name != "head":
            jax.tree.map(np.testing.assert_array_equal, first[name], imported[name])
    assert first["head"]["kernel"].shape == (128, 2)
    assert np.abs(first["head"]["kernel"] - second["head"]["kernel"]).max() > 0.01
    assert len(warnings) == 1
    assert "has 3 classes and the data has 2: every training starts with a new last layer" in warnings[0]


def test_a_head_of_as_many_classes_is_kept(tmp_path, waterdigits):
    weights.import_file(saved(tmp_path, tensors(2)), "tiny", tmp_path / "two")
    one, warnings = experiment(tmp_path / "two", tmp_path, waterdigits)
    np.testing.assert_array_equal(one.start(0)["head"]["kernel"], tensors(2)["fc.weight"].T)
    assert warnings == []


def test_the_key_of_stages_is_of_the_weights_and_not_of_their_place(folder, tmp_path, waterdigits):
    shutil.copytree(folder, tmp_path / "copy")
    weights.import_file(saved(tmp_path, tensors() | {"fc.bias": np.ones(3)}), "tiny", tmp_path / "changed")
    places = (folder, tmp_path / "copy", tmp_path / "changed")
    here, there, other = (experiment(place, tmp_path, waterdigits)[0].keys.base for place in places)
    assert here == there != other


def test_the_command_imports_and_says_how_to_use_it(tmp_path, capsys):
    file = saved(tmp_path, named_weights.tensors("resnet18", 32))
    with pytest.raises(SystemExit) as done:
        cli.main(["weights", "import", str(file), "--model=resnet18", f"--out={tmp_path / 'w'}"])
    assert done.value.code == 0
    assert "resnet18 of 3 classes; use it with --config.model.name=resnet18" in capsys.readouterr().out
    assert record.read(tmp_path / "w").n_classes == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--model=resnet51", "--out=w"], "unknown network 'resnet51'; did you mean resnet50? (known: cnn, "),
        (["--model=vit_s16", "--out=w"], "is missing; is it a vit_s16?"),
        (["--model=resnet18"], "the following arguments are required: --out"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, tensors())
    with pytest.raises(SystemExit) as done:
        cli.main(["weights", "import", "tiny.safetensors", *arguments])
    error = capsys.readouterr().err
    assert done.value.code == cli.BAD_INPUT
    assert error.count("\n") == 1
    assert reason in error
    assert not (tmp_path / "w").exists()


def test_positions_of_millions_of_patches_take_no_memory(tmp_path):
    """252 bytes of a file: positions of shape (1, 1000001, 0)."""
    file = tmp_path / "vit.npz"
    np.savez(file, pos_embed=np.zeros((1, 1_000_001, 0), np.float32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        UserError, match=r"tensor pos_embed is of images of 16000 pixels \(allowed: up to 2048\)"
    ):
        weights.import_file(file, "vit_s16", tmp_path / "out")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
