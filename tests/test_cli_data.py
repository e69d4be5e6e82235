"""`oilwater data` as a user meets it."""

import re
import subprocess
import sys

import layouts
import pytest

from oilwater_jax import cli


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, and room for a table."""
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return layouts.waterbirds(tmp_path_factory.mktemp("birds"), archive=True)


def run(capsys, *arguments):
    """Exit code, standard output and standard error of the command."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def cells(out, group):
    """The numbers of a group's row in a printed table."""
    (line,) = (line for line in out.splitlines() if group in line)
    return re.findall(r"[LH]RG-\d|\b\d[\d,]*\b", line)


def test_prepare_then_info(cache, birds, capsys):
    code, out, err = run(capsys, "prepare", "waterbirds", f"--source={birds}")
    assert code == 0
    assert "warning: waterbirds: the groups' sizes are not the published ones" in err
    for split in ("train", "val", "test"):
        assert f"waterbirds: decoding {split}" in err  # a line per stage where there is no terminal for bars
    assert cells(out, "landbird/land") == ["HRG-1", "9", "2", "3"]
    assert cells(out, "waterbird/land") == ["LRG-1", "2", "1", "2"]
    assert cells(out, "all") == ["21", "8", "8"]
    assert "images: 224 x 224 x 3, uint8" in out
    memory = 37 * 224 * 224 * 3 / 1e6
    assert f"{memory:.1f} MB of images if read whole" in out
    for again in (("info", "waterbirds"), ("info", "waterbirds", f"--source={birds}")):
        assert run(capsys, *again) == (0, out, "")
    code, again, err = run(capsys, "prepare", "waterbirds", f"--source={birds}")
    assert (code, again, err) == (0, out, "")  # nothing was left to do


def test_data_dir(cache, tmp_path, capsys):
    faces = layouts.celeba(tmp_path / "faces")
    where = f"--data_dir={tmp_path / 'kept'}"
    assert run(capsys, "prepare", "celeba10", f"--source={faces}", where)[0] == 0
    assert not cache.exists()
    code, out, _ = run(capsys, "info", "celeba10", where)
    assert code == 0
    assert cells(out, "all") == ["3", "9", "8"]
    assert "empty in train" in out
    assert run(capsys, "info", "celeba10", f"--source={tmp_path / 'kept'}")[:2] == (0, out)


def test_info_of_a_built_data_set(cache, capsys):
    code, out, _ = run(capsys, "info", "waterdigits")
    assert code == 0
    assert cells(out, "round/china") == ["LRG-1", "56", "133", "642"]
    assert "images: 32 x 32 x 3" in out
    assert run(capsys, "prepare", "waterdigits")[1] == out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: ACTION (see oilwater data --help)"),
        (["fetch"], "invalid choice: 'fetch'"),
        (["prepare"], "required: NAME"),
        (["prepare", "celebb"], "invalid choice: 'celebb'"),
        (["info", "waterbirds", "--strict"], "unrecognized arguments: --strict"),
        (["info", "waterbirds"], "waterbirds is not prepared in"),
        (["prepare", "celeba", "--source=/nowhere"], "source '/nowhere' is neither a folder nor a file"),
        (["prepare", "waterdigits", "--data_dir=/tmp/x"], "--data_dir=/tmp/x: waterdigits is small"),
        (["prepare", "waterdigits", "--source=/tmp"], "waterdigits is not made from your files"),
    ],
)
def test_bad_arguments(cache, capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("oilwater: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_strict_and_a_place_that_cannot_be_written(cache, birds, tmp_path, capsys):
    code, out, err = run(capsys, "prepare", "waterbirds", f"--source={birds}", "--strict")
    assert (code, out) == (2, "")
    assert "found: train 9/4/2/6" in err
    assert "published: train 3498/184/56/1057" in err
    (tmp_path / "file").write_text("")
    code, _, err = run(
        capsys, "prepare", "waterbirds", f"--source={birds}", f"--data_dir={tmp_path / 'file'}"
    )
    assert code == 2
    assert "cannot be made a folder" in err
    assert err.count("\n") == 1


def test_help_imports_no_jax():
    script = "import sys; from oilwater_jax import cli\ntry: cli.main(['data', 'prepare', '--help'])\n"
    script += "except SystemExit: pass\nsys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--strict" in done.stdout
