"""The corpus of hostile input: bad values, files and folders, each with the rule that it is answered in one line.

`python -m hostile` (in tests/) answers all of it and prints the counts by kind.
"""

import contextlib
import gzip
import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from oilwater_jax import cli
from oilwater_jax.data import annotations, archive, cache, celeba, decode, idx
from oilwater_jax.doctor import tell
from oilwater_jax.errors import UserError, plain
from oilwater_jax.files import parse_json, seal
from oilwater_jax.models import weights
from oilwater_jax.run_folder import check_path
from oilwater_jax.settings import config as cfg

HERE = Path(__file__).parent
OWN = HERE.parent / "own"
MAIN_JOB = HERE.parent.parent / "configs/waterdigits/dlbd.py"
SETTINGS = {
    **{"data.name": "stripes", "attack.name": "flip", "model.name": "line", "pretrain.epochs": "0"},
    **{
        "erm.epochs": "2",
        "robust.epochs": "2",
        "identify.epochs": "1",
        "rows": "erm,jtt",
        "flip.count": "30",
    },
}
"""A run of seconds, with a data set, a network and an attack from tests/own."""
TEXTS: list[str] = json.loads((HERE / "json.json").read_text())


class Answer(NamedTuple):
    """What a command said: exit code (None: it raised something), standard output, standard error."""

    code: int | None
    out: str
    err: str

    @property
    def fault(self) -> str:
        """What is wrong with the way it was said; empty if nothing is."""
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}: {self.err[-2000:]}"
        lines = [line for line in self.err.splitlines() if line.startswith("oilwater: error: ")]
        if (self.code == 2) != (len(lines) == 1):
            return f"exit code {self.code} and {len(lines)} lines of an error: {self.err[-500:]}"
        text = self.out + self.err
        if "Traceback" in text:
            return f"a traceback: {self.err[-2000:]}"
        odd = {sign for sign in text if not sign.isprintable() and sign != "\n"}
        return f"control characters {odd}" if odd else ""


def command(*arguments: object) -> Answer:
    """The command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: int | None = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else None
        except BaseException as error:
            err.write(f"raised {type(error).__name__}")
    return Answer(code, out.getvalue(), err.getvalue())


def call(function: Callable[[], object]) -> Answer:
    """A function of the package: a UserError is its exit code 2."""
    out, err = io.StringIO(), io.StringIO()
    code: int | None = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            function()
        except UserError as error:
            code = 2
            err.write(f"oilwater: error: {plain(' '.join(str(error).split()))}\n")  # as the command line does
        except BaseException as error:
            import traceback

            code = None
            err.write("".join(traceback.format_exception(error)))
    return Answer(code, out.getvalue(), err.getvalue())


def run_arguments(folder: Path, *more: str) -> list[str]:
    """The command of the run of seconds."""
    plugins = ",".join(str(OWN / f"{name}.py") for name in ("stripes", "line", "flip"))
    settings = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
    return ["run", f"--config={MAIN_JOB}", f"--plugins={plugins}", f"--workdir={folder}", *settings, *more]


class Case(NamedTuple):
    """Something hostile: its kind and name, how it is answered below a folder, and with which exit codes it may be."""

    kind: str
    name: str
    answer: Callable[[Path], Answer]
    codes: tuple[int, ...] = (2,)

    def fault(self, folder: Path) -> str:
        """What is wrong with the answer; empty if nothing is."""
        found = self.answer(folder)
        wrong = (
            ""
            if found.code in self.codes
            else f"exit code {found.code}, not {self.codes}: {found.err[-1500:]}"
        )
        return found.fault or wrong


def _file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return path


def overrides() -> Iterator[Case]:
    """Values on the command line."""
    for text in json.loads((HERE / "overrides.json").read_text()):
        yield Case(
            "overrides",
            text[:40],
            lambda folder, text=text: command(
                "run", f"--config={MAIN_JOB}", f"--workdir={folder / 'x'}", f"--config.{text}"
            ),
        )


def configs() -> Iterator[Case]:
    """Config files and grid files."""
    for name, text in json.loads((HERE / "configs.json").read_text()).items():
        yield Case(
            "config files",
            name,
            lambda folder, text=text: call(lambda: cfg.load(_file(folder, "c.py", text))),
        )
    for name, text in json.loads((HERE / "grids.json").read_text()).items():
        yield Case(
            "grid files",
            name,
            lambda folder, text=text: call(lambda: cfg.load_grid(_file(folder, "g.py", text))),
        )
    for name, make in (("a pipe", os.mkfifo), ("a folder", os.mkdir), ("absent", lambda path: None)):

        def at(folder: Path, make: Callable = make) -> Answer:
            make(folder / "c.py")
            return call(lambda: cfg.load(folder / "c.py"))

        yield Case("config files", name, at)


READ_BACK = (
    "config.json",
    "summary.json",
    "environment.json",
    "metrics.jsonl",
    "stages/seed0/attack/stage.json",
)
LOOKS: dict[str, Callable[[Path], Answer]] = {
    "show": lambda run: command("show", run),
    "doctor": lambda run: call(lambda: tell(run, keys=False)),
    "fit": lambda run: command("theory", f"--fit={run}"),
}


READERS = {
    "config.json": ("show", "doctor", "fit"),
    "summary.json": ("show", "doctor", "fit"),
    "environment.json": ("doctor",),
    "metrics.jsonl": ("show", "doctor"),
    "stages/seed0/attack/stage.json": ("show", "doctor"),
}
"""Who reads which file."""


def light_copy(run: Path, folder: Path) -> Path:
    """A run folder without what is large."""
    return Path(
        shutil.copytree(run, folder / "run", ignore=shutil.ignore_patterns("checkpoints", "*.png", "*.html"))
    )


def read_back(run: Path) -> Iterator[Case]:
    """Every JSON that is read back, replaced by JSON of other shapes and by what is none."""

    def at(folder: Path, file: str, text: str | bytes, look: str) -> Answer:
        copy = light_copy(run, folder)
        if file.startswith(("stages", "metrics")):
            (copy / "summary.json").unlink()
        _file(copy, file, text)
        return LOOKS[look](copy)

    for file in READ_BACK:
        for number, text in enumerate([*TEXTS, b"\xff\xfe{}", b"\x80abc"]):
            for look in READERS[file]:
                yield Case(
                    "JSON read back",
                    f"{look}: {file} {number}",
                    lambda folder, file=file, text=text, look=look: at(folder, file, text, look),
                    (0, 1, 2),
                )
    for number, text in enumerate([*TEXTS, b"\xff\xfe{}"]):
        for file in ("grid.json", "runs/a/summary.json"):

            def table(folder: Path, file: str = file, text: str | bytes = text) -> Answer:
                sweep = folder / "sweep"
                shutil.copytree(light_copy(run, folder), sweep / "runs/a")
                _file(sweep, "grid.json", '{"runs": ["a"]}')
                _file(sweep, file, text)
                return command("table", sweep)

            yield Case("JSON read back", f"table: {file} {number}", table)


def folders(run: Path) -> Iterator[Case]:
    """Folders where files belong, and the reverse; odd names; what is no run folder."""

    def replaced(folder: Path, name: str, look: str, kind: str) -> Answer:
        copy = light_copy(run, folder)
        path = copy / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        {"folder": path.mkdir, "file": path.touch, "pipe": lambda: os.mkfifo(path)}.get(
            kind, lambda: path.symlink_to("/dev/zero")
        )()
        return LOOKS[look](copy)

    for name in (*READ_BACK, "stages", "stages/seed0", "figures", "stages/seed0/attack/arrays.npz"):
        for kind in ("folder", "file", "pipe", "device"):
            for look in LOOKS:
                yield Case(
                    "run folders",
                    f"{look}: {name} is a {kind}",
                    lambda folder, name=name, look=look, kind=kind: replaced(folder, name, look, kind),
                    (0, 1, 2),
                )

    def odd_stage(folder: Path, name: str) -> Answer:
        copy = light_copy(run, folder)
        (copy / "summary.json").unlink()
        shutil.copytree(copy / "stages/seed0", copy / "stages" / name)
        return command("show", copy)

    for name in ("seed0.bak", "seed", "seed-1", "seed9" + "9" * 30, "seed1[/b]", "seed\x1b[2J", "seed٣"):
        yield Case(
            "run folders", f"a stage {name!a}", lambda folder, name=name: odd_stage(folder, name), (0,)
        )

    def not_ours(folder: Path, files: dict[str, str], *more: str) -> Answer:
        for name, text in files.items():
            _file(folder, f"mine/{name}", text)
        found = command(*run_arguments(folder / "mine", *more))
        kept = {path.name: path.read_text() for path in (folder / "mine").iterdir()} == files
        return found if kept else found._replace(code=None)

    for files in ({".lock": "x"}, {".lock": "", "thesis": "mine"}, {"config.json": "{}"}, {"thesis": "mine"}):
        for more in ((), ("--overwrite",)):
            yield Case(
                "run folders",
                f"somebody's {sorted(files)} {more}",
                lambda folder, files=files, more=more: not_ours(folder, files, *more),
            )


PATHS = ["", "a" * 256, "a/" * 2000, "x\udcff", "gs://b/x", "x\0y", "file:///x"]


def paths() -> Iterator[Case]:
    """What is no path of a folder."""
    for path in PATHS:
        yield Case("paths", ascii(path)[:30], lambda _, path=path: call(lambda: check_path(path)))
    for name in ("show", "table", "doctor"):
        for path in PATHS:
            if "\0" not in path:
                yield Case(
                    "paths", f"{name} {ascii(path)[:20]}", lambda _, name=name, path=path: command(name, path)
                )
    for path in ("/dev/null", "/dev/null/x", "/proc/self", "/proc/self/x"):
        yield Case("paths", path, lambda _, path=path: command(*run_arguments(Path(path))))


def _tar(*members: tuple[bytes, bytes]) -> bytes:
    return b"".join(head + body.ljust(-(-len(body) // 512) * 512, b"\0") for head, body in members) + bytes(
        1024
    )


def _head(name: str, size: int, kind: bytes = b"0", link: str = "") -> bytes:
    """A tar header whose size is what is said."""
    raw = bytearray(512)
    raw[0 : len(name.encode()[:100])] = name.encode()[:100]
    raw[100:108], raw[108:116], raw[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    raw[124:136] = (
        b"%011o\0" % size if 0 <= size < 8**11 else ((1 << 95) + size % (1 << 95)).to_bytes(12, "big")
    )
    if size < 0:
        raw[124:136] = size.to_bytes(12, "big", signed=True)
    raw[136:148], raw[156:157], raw[257:265] = b"00000000000\0", kind, b"ustar\x0000"
    raw[157 : 157 + len(link)] = link.encode()
    raw[148:156] = b"%06o\0 " % (256 + sum(raw))
    return bytes(raw)


def _pax(**words: str) -> tuple[bytes, bytes]:
    body = b""
    for name, value in words.items():
        line = f" {name.replace('_', '.')}={value}\n".encode()
        size = len(line) + 1
        while len(str(size)) + len(line) != size:
            size += 1
        body += str(size).encode() + line
    return _head("pax", len(body), b"x"), body


def _zip(*members: tuple[str, bytes], flag: int = 0, mode: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr = name, mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    data = bytearray(out.getvalue())
    if flag:
        for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(magic) + place] |= flag
    return bytes(data)


GOOD_TAR = _tar((_head("a/b.txt", 5), b"hello"), (_head("c", 0), b""))
ARCHIVES: dict[str, bytes] = {
    "empty": b"", "text": b"hello", "zip magic": b"PK", "gzip magic": b"\x1f\x8b", "bz2 magic": b"BZh9", "xz magic": b"\xfd7zXZ\0",
    "noise": np.random.default_rng(0).bytes(4096), "zeros": bytes(4096), "gzip of noise": gzip.compress(np.random.default_rng(1).bytes(5000)),
    "size below 0": _tar((_head("x", -1), b"")), "size far below 0": _tar((_head("x", -(1 << 60)), b"")), "pax size below 0": _tar((_head("x", -5, b"x"), b"")),
    "long name below 0": _tar((_head("x", -512, b"L"), b"")), "pax says below 0": _tar(_pax(size="-1"), (_head("x", 5), b"hello")),
    "pax of 1 GB": gzip.compress(_head("x", 1 << 30, b"x") + bytes(1 << 20)), "global pax of 1 GB": gzip.compress(_head("x", 1 << 30, b"g") + bytes(1 << 20)),
    "long name of 1 TB": _head("x", 1 << 40, b"L") + bytes(1 << 16), "long link of 16 MB": gzip.compress(_head("x", 1 << 24, b"K") + bytes(1 << 24)),
    "declares 1 PB": _tar((_head("x", 1 << 50), b"")), "pax says 1 PB": _tar(_pax(size=str(1 << 50)), (_head("x", 5), b"hello")),
    "sparse": _tar((_head("x", 512, b"S"), bytes(512))), "pax sparse": _tar(_pax(GNU_sparse_major="1", GNU_sparse_minor="0"), (_head("x", 512), b"9" * 512)),
    "pax sparse map": _tar(_pax(GNU_sparse_map="1,x"), (_head("x", 5), b"hello")),
    "leaves": _tar((_head("../x", 0), b"")), "absolute": _tar((_head("/x", 0), b"")), "link": _tar((_head("x", 0, b"2", "/etc/passwd"), b"")),
    "hard link": _tar((_head("x", 0, b"1", "y"), b"")), "device": _tar((_head("x", 0, b"3"), b"")), "pipe": _tar((_head("x", 0, b"6"), b"")),
    "no name": _tar((_head("", 5), b"hello")), "dot": _tar((_head(".", 5), b"hello")), "path of 5000": _tar(_pax(path="a/" * 2500 + "x"), (_head("x", 5), b"hello")),
    "name of 300": _tar(_pax(path="a" * 300), (_head("x", 5), b"hello")), "null in a name": _tar(_pax(path="a\0b"), (_head("x", 5), b"hello")),
    "twice": _tar((_head("x", 1), b"1"), (_head("x", 1), b"2")), "file and folder": _tar((_head("x", 1), b"1"), (_head("x/y", 1), b"2")),
    "cut off": GOOD_TAR[:600], "cut off gzip": gzip.compress(GOOD_TAR)[:60], "wrong CRC": gzip.compress(GOOD_TAR)[:-8] + bytes(8), "header sum": b"\1" + GOOD_TAR[1:],
    "pax length 0": _tar((_head("p", 6, b"x"), b"0 a=b\n"), (_head("x", 0), b"")),
    "zip leaves": _zip(("../x", b"1")), "zip absolute": _zip(("/x", b"1")), "zip no name": _zip(("", b"1")), "zip back slash": _zip(("a\\..\\x", b"1")),
    "zip encrypted": _zip(("x", b"1"), flag=1), "zip link": _zip(("x", b"/etc"), mode=0o120777), "zip twice": _zip(("x", b"1"), ("x", b"2")),
    "zip cut off": _zip(("x", b"1" * 1000))[:-30], "zip no directory": _zip(("x", b"1"))[:40], "zip path of 5000": _zip(("a/" * 2500 + "x", b"1")),
    "zip damaged": _zip(("x", np.random.default_rng(2).bytes(500))).replace(b"\x00\x00\x00x", b"\x00\x00\x01x", 1)[:300],
    "zip unknown method": _zip(("x", b"1")).replace(b"\x08\x00", b"\x63\x00"), "zip control": _zip(("a\x1b[2J", b"1")), "zip file and folder": _zip(("x", b"1"), ("x/y", b"2")),
    "zip that names a place before its begin": b"PK" + _zip(("x", b"1"))[3:],
}  # fmt: skip


def archives() -> Iterator[Case]:
    """Archives."""

    def at(folder: Path, content: bytes) -> Answer:
        file = _file(folder, "a", content)
        found = call(lambda: archive.unpack(file, folder / "out"))
        clean = {path.name for path in folder.iterdir()} == {"a"}
        return found if clean else found._replace(code=None, err="something was left behind")

    for name, content in ARCHIVES.items():
        yield Case("archives", name, lambda folder, content=content: at(folder, content))


def _npy(shape: tuple[int, ...], body: bytes = b"", descr: str = "<f4") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue() + body


def _tensors(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # pyright: ignore[reportArgumentType]
    return out.getvalue()


F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
WEIGHTS: dict[str, bytes] = {
    "empty.npz": b"", "text.npz": b"hello", "npy.npz": _npy((3,), bytes(12)), "huge_npy.npz": _npy((10**12,)), "no_npy.npz": _zip(("a.txt", b"x")),
    "member.npz": _zip(("a.npy", b"x")), "huge.npz": _zip(("a.npy", _npy((10**12,)))), "below0.npz": _zip(("a.npy", _npy((-1,), bytes(4)))), "bool_shape.npz": _zip(("a.npy", _npy((3,)).replace(b"(3,)", b"True"))),
    "zero_sized.npz": _zip(("a.npy", _npy((10**6, 10**6, 0)))), "pickled.npz": _npz(a=np.array([None])), "encrypted.npz": _zip(("a.npy", _npy((1,), bytes(4))), flag=1), "cut.npz": _npz(a=np.zeros(1000))[:500],
    "header.npz": _zip(("a.npy", b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 60000)), "version.npz": _zip(("a.npy", b"\x93NUMPY\x09\x00\x00\x00")), "patches.npz": _npz(pos_embed=np.zeros((1, 1_000_001, 0), np.float32)),
    "positions.npz": _npz(pos_embed=np.zeros((0, 0, 0), np.float32)), "scalar.npz": _npz(pos_embed=np.float32(1)), "no_classes.npz": _npz(**{"head.weight": np.zeros((0, 384), np.float32)}),
    "classes.npz": _npz(**{"head.weight": np.zeros((10**9, 0), np.float32)}), "head.npz": _npz(**{"head.weight": np.float32(0)}), "name.npz": _npz(**{"\x1b[2J": np.zeros(1)}), "complex.npz": _npz(**{"norm.weight": np.zeros(384, complex)}),
    "empty.safetensors": b"", "short.safetensors": b"\1", "length.safetensors": b"\xff" * 8, "list.safetensors": _tensors([]), "number.safetensors": _tensors(3), "deep.safetensors": _tensors(b"[" * 100_000),
    "f8.safetensors": _tensors({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)), "overlap.safetensors": _tensors({"a": F4, "b": F4}, bytes(4)), "beyond.safetensors": _tensors({"a": {**F4, "data_offsets": [0, 400]}}, bytes(4)),
    "negative.safetensors": _tensors({"a": {**F4, "shape": [-1]}}, bytes(4)), "huge.safetensors": _tensors({"a": {**F4, "shape": [10**12]}}, bytes(4)), "other.safetensors": _tensors({"a": F4}, bytes(4)), "type.safetensors": _tensors({"a": {**F4, "dtype": "U128"}}, bytes(4)),
    "before_its_begin.npz": b"PK" + _npz(a=np.zeros(3))[3:],
    "kind.pkl": b"", "no_suffix": b"", "x.bin": b"",
}  # fmt: skip
RECORD = {
    "model": "vit_s16",
    "n_classes": 2,
    "image_side": 224,
    "source": "x",
    "source_sha256": "",
    "sha256": "",
}
RECORDS = [*TEXTS, *(json.dumps(RECORD | one) for one in (
    {"n_classes": -1}, {"n_classes": 0}, {"n_classes": 10**12}, {"n_classes": "2"}, {"n_classes": True}, {"image_side": 0}, {"image_side": -1}, {"image_side": 10**9}, {"model": "none"}, {"model": 3}, {"sha256": None}, {},
))]  # fmt: skip


def weight_files() -> Iterator[Case]:
    """Weights of others', and the record of imported ones."""
    for name, content in WEIGHTS.items():
        yield Case(
            "weight files",
            name,
            lambda folder, name=name, content=content: call(
                lambda: weights.import_file(_file(folder, name, content), "vit_s16", folder / "out")
            ),
        )
    for number, text in enumerate(RECORDS):
        yield Case(
            "weight files",
            f"weights.json {number}",
            lambda folder, text=text: command(
                "run",
                f"--config={MAIN_JOB}",
                f"--workdir={folder / 'x'}",
                f"--config.model.init_from={_file(folder, 'w/weights.json', text).parent}",
                "--config.pretrain.epochs=0",
                "--config.model.name=vit_s16",
            ),
        )


def _idx(kind: int, shape: tuple[int, ...], body: bytes = b"") -> bytes:
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", one) for one in shape) + body


IDX: dict[str, bytes] = {
    "empty": b"", "magic": b"\0\0", "header": b"\0\0\x08\x03\0", "noise": b"\x99" * 64, "int16": _idx(11, (1, 1, 1), b"ab"), "1 dimension": _idx(8, (3,), b"abc"), "255 dimensions": _idx(8, (1,) * 255, b"a"),
    "huge": _idx(8, (2**32 - 1,) * 3), "overflow": _idx(8, (2**16, 2**16, 2**32 - 1)), "huge nothing": _idx(8, (2**32 - 1, 2**32 - 1, 0)), "cut": _idx(8, (2, 3, 3), b"a" * 17), "more": _idx(8, (2, 3, 3), b"a" * 19), "gzip cut": gzip.compress(_idx(8, (2, 3, 3), b"a" * 18))[:20],
    "gzip noise": b"\x1f\x8b" + b"\x55" * 60, "gzip huge": gzip.compress(_idx(8, (2**31, 28, 28), b"a")), "bomb": gzip.compress(_idx(8, (1, 1, 1), bytes(1 << 24))), "gzip CRC": gzip.compress(_idx(8, (2, 3, 3), b"a" * 18))[:-8] + bytes(8),
}  # fmt: skip


def idx_files() -> Iterator[Case]:
    """IDX files."""
    for name, content in IDX.items():
        yield Case(
            "IDX files",
            name,
            lambda folder, content=content: call(lambda: idx.read(_file(folder, "x", content), 3)),
        )
    yield Case("IDX files", "a folder", lambda folder: call(lambda: idx.read(folder, 3)))


def _jpeg(size: tuple[int, int], declared: tuple[int, int] | None = None) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).resize(size).save(out, "JPEG", quality=20)
    data = bytearray(out.getvalue())
    if declared:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", *declared)
    return bytes(data)


IMAGES: dict[str, bytes] = {
    "empty": b"", "text": b"hello", "GIF": b"GIF89a" + bytes(20), "cut": _jpeg((300, 260))[:800], "small": _jpeg((100, 100)), "declares 7000 x 7000": _jpeg((30, 26), (7000, 7000)),
    "declares 65535 x 65535": _jpeg((300, 260), (65535, 65535)), "declares 0 x 0": _jpeg((300, 260), (0, 0)), "PNG header": b"\x89PNG\r\n\x1a\n" + bytes(30), "noise": b"\xff\xd8\xff" + np.random.default_rng(3).bytes(500),
}  # fmt: skip
TABLES = {
    "twice by another name": "a.jpg 0\nb.jpg 1\n./a.jpg 2\n", "twice": "a.jpg 0\na.jpg 1\nb.jpg 0\n", "a split that is none": "a.jpg 3\nb.jpg 0\n", "one missing": "a.jpg 0\n", "too many columns": "a.jpg 0 1\n",
    "leaves": "../a.jpg 0\n", "no name": ". 0\n", "not utf-8": "a.jpg\udcff 0\n", "long": "a" * 2000 + " 0\n",
}  # fmt: skip


def images() -> Iterator[Case]:
    """Image files and the tables beside them."""

    def decoded(content: bytes) -> None:
        try:
            decode.decode(content, decode.CROP_178_RESIZE_224)
        except ValueError as error:  # which names no file: who calls knows it
            raise UserError(str(error)) from error

    for name, content in IMAGES.items():
        yield Case("images and tables", name, lambda _, content=content: call(lambda: decoded(content)))
    names = np.array(["a.jpg", "b.jpg"])
    for name, text in TABLES.items():
        yield Case(
            "images and tables",
            name,
            lambda folder, text=text: call(
                lambda: celeba._read_partition(_file(folder, "list.txt", text), names)
            ),
        )
    for pair in (
        ("b0/0.jpg", "./b0/0.jpg"),
        ("b0/0.jpg", "b0//0.jpg"),
        ("", "x"),
        ("/x", "y"),
        ("a" * 2000, "b"),
    ):
        yield Case(
            "images and tables",
            f"{pair[1][:20]}",
            lambda _, pair=pair: call(lambda: annotations.image_names(Path("t"), pair)),
        )
    for name, make in (
        ("a pipe", os.mkfifo),
        ("a device", lambda path: os.symlink("/dev/zero", path)),
        ("a folder", os.mkdir),
    ):

        def at(folder: Path, make: Callable = make) -> Answer:
            make(folder / "metadata.csv")
            return call(lambda: annotations.read_csv(folder / "metadata.csv", ("a",)))

        yield Case("images and tables", f"metadata.csv is {name}", at)


CACHED = {"a": np.arange(1000), "b": np.array(["x", "y"])}


def _damaged_caches() -> dict[str, Callable[[bytes], bytes]]:
    def flipped(place: int) -> Callable[[bytes], bytes]:
        return lambda data: data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]

    found = {f"byte {place} flipped": flipped(place) for place in range(0, 900, 30)}
    found |= {
        f"cut at {place}": lambda data, place=place: data[:place] for place in (0, 1, 4, 30, 100, 500, 900)
    }
    found["other labels"] = lambda data: _npz(
        a=np.arange(1000)[::-1], b=CACHED["b"], sha256=np.load(io.BytesIO(data))["sha256"]
    )
    found["no digest"] = lambda _: _npz(**CACHED)
    found["an npy"] = lambda _: _npy((3,), bytes(12))
    found["encrypted"] = lambda _: _zip(("a.npy", _npy((1,), bytes(4))), flag=1)
    found["pickled"] = lambda _: _npz(a=np.array([None]))
    found["unknown method"] = lambda data: data.replace(
        b"PK\x03\x04\x14\x00\x00\x00\x08\x00", b"PK\x03\x04\x14\x00\x00\x00\x63\x00"
    )
    found["text"] = lambda _: b"hello"
    return found


def caches() -> Iterator[Case]:
    """Cached data sets: a damaged one is built anew, and that is said."""

    def at(folder: Path, damage: Callable[[bytes], bytes]) -> Answer:
        before = os.environ.get("OILWATER_CACHE")
        os.environ["OILWATER_CACHE"] = str(folder)
        try:
            cache.arrays("x", 1, lambda: dict(CACHED))
            path = cache.place("x", 1)
            path.write_bytes(damage(path.read_bytes()))
            built = []
            found = call(lambda: built.append(cache.arrays("x", 1, lambda: dict(CACHED))))
            again = all(np.array_equal(built[0][name], array) for name, array in CACHED.items())
            return found if again else found._replace(code=None, err="other arrays came out")
        finally:
            os.environ["OILWATER_CACHE"] = before or ""

    for name, damage in _damaged_caches().items():
        yield Case("caches", name, lambda folder, damage=damage: at(folder, damage), (0,))


def corpus(run: Path) -> Iterator[Case]:
    """Everything; `run` is a finished run of `run_arguments`."""
    for kind in (overrides(), configs(), read_back(run), folders(run), paths(), archives()):
        yield from kind
    for kind in (weight_files(), idx_files(), images(), caches()):
        yield from kind


def resealed(text: bytes) -> bytes:
    """JSON with a seal that fits: what a forger would leave."""
    value = parse_json(text)
    return json.dumps(seal(value) if isinstance(value, dict) and "sha256" in value else value).encode()
