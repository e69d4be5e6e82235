"""Fuzzing: whatever comes in, the answer is right or one line. Short here; `pytest -m fuzz` goes on for long.

Every property is a function of Hypothesis's data, run a few times always and for a long time under the marker, with
new seeds each time. $OILWATER_FUZZ_MINUTES (30) is the time that all of them take together.
"""

import copy
import itertools
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import hostile
import numpy as np
import pytest
from hostile import LOOKS, call, command, light_copy, run_arguments
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from test_frontier import DIALS, Here, config_of

from oilwater_jax import files, pipeline
from oilwater_jax.data import archive, idx
from oilwater_jax.errors import UserError
from oilwater_jax.files import seal
from oilwater_jax.frontier import run as frontier
from oilwater_jax.models import weights
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings.registry import known
from oilwater_jax.shapes import RUN_SUMMARY, STAGE, mismatch

CHECKS = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]
MINUTES = float(os.environ.get("OILWATER_FUZZ_MINUTES", "30"))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of seconds, of two seeds; beside it a finished frontier."""
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    made = command(*run_arguments(folder, "--seeds=2"))
    assert made.code == 0, made.err
    frontier.run(config_of(), folder.parent / "frontier", dial=DIALS, executor=Here())
    return folder


def well(answer):
    """The rule."""
    assert not answer.fault, answer.fault


def mutate(data, value):
    """A JSON value with something in it changed, left out or added."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        node = value
        while isinstance(node, dict | list) and node:
            keys = sorted(node) if isinstance(node, dict) else range(len(node))
            key = data.draw(st.sampled_from(list(keys)))
            if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.integers(0, 3)) == 0:
                how = data.draw(st.sampled_from(["change", "leave out", "add"]))
                if how == "change":
                    node[key] = data.draw(values)
                elif how == "leave out":
                    del node[key]
                elif isinstance(node, dict):
                    node[data.draw(st.text(max_size=5))] = data.draw(values)
                else:
                    node.append(data.draw(values))
                break
            node = node[key]
    return value


def overrides(data, run):
    """Any text for any field."""
    fields = known().fields
    path = data.draw(st.sampled_from(sorted(fields)))
    near = st.sampled_from(["1", "0", "-1", "1e9", "(1,)", "[1, 2]", "true", "erm", "None", "{}", "1e-9"])
    text = data.draw(st.text(max_size=30) | near | st.lists(near, max_size=3).map(",".join))
    well(call(lambda: cfg.checked(cfg.default(), {path: text})))


def config_values(data, run):
    """Any value for any field, out of a config file."""
    config = cfg.default()
    flat = cfg.flatten(config.to_dict())
    path = data.draw(st.sampled_from(sorted(flat)))
    flat[path] = data.draw(
        values | st.just(10**400) | st.lists(st.lists(st.text(max_size=4), max_size=2), max_size=2)
    )
    try:
        given = cfg.ConfigDict(cfg.nest(flat))
    except ValueError:  # a key that ConfigDict itself does not take: no config file can have made it
        return
    well(call(lambda: cfg.checked(given, {})))


def rows(data, run):
    """Any expression of rows."""
    part = st.sampled_from(
        ["erm", "jtt", "epic", "george", "ideal", "clean", "/", "+", ":", "@", " ", "x", ""]
    )
    text = "".join(data.draw(st.lists(part, max_size=9)))
    well(call(lambda: cfg.checked(cfg.default(), {"rows": text})))


def grids(data, run):
    """Any value for what a grid file returns."""
    runs = data.draw(
        st.dictionaries(st.text(max_size=4) | st.integers(), st.just(cfg.default()) | scalars, max_size=2)
        | values
    )
    count = data.draw(scalars)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grid.py"
        file.write_text(
            "import test_fuzz\nfrom oilwater_jax import Grid\ndef get_grid(): return Grid(*test_fuzz.GIVEN)\n"
        )
        GIVEN[:] = [runs, count]
        well(call(lambda: cfg.load_grid(file)))


GIVEN: list = []


def read_back(data, run):
    """Any JSON file of a run, changed at will, its seal made to fit or not."""
    file = data.draw(st.sampled_from(hostile.READ_BACK))
    look = data.draw(st.sampled_from(hostile.READERS[file]))
    with tempfile.TemporaryDirectory() as folder:
        copied = light_copy(run, Path(folder))
        if file.startswith("stages") or data.draw(st.integers(0, 3)) == 0:
            (copied / "summary.json").unlink()
            stages = sorted(str(one.relative_to(run)) for one in run.glob("stages/*/*/stage.json"))
            file = data.draw(st.sampled_from(stages)) if file.startswith("stages") else file
        lines = (run / file).read_text()
        if file.endswith(".jsonl"):
            changed = "\n".join(json.dumps(mutate(data, json.loads(line))) for line in lines.splitlines())
        else:
            value = mutate(data, json.loads(lines))
            forged = isinstance(value, dict) and "sha256" in value and data.draw(st.integers(0, 4)) > 0
            changed = json.dumps(seal(value) if forged else value)
        (copied / file).write_text(changed)
        well(LOOKS[look](copied))


def tables(data, run):
    """A sweep's run with a summary that was changed at will, its seal made to fit."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(light_copy(run, Path(folder)), Path(folder) / "sweep/runs/a")
        value = mutate(data, json.loads((run / "summary.json").read_text()))
        (Path(folder) / "sweep/grid.json").write_text('{"runs": ["a"]}')
        (Path(folder) / "sweep/runs/a/summary.json").write_text(json.dumps(seal(value)))
        form = data.draw(st.sampled_from(["text", "md", "latex", "csv"]))
        well(command("table", Path(folder) / "sweep", f"--format={form}"))


def frontiers(data, run):
    """A frontier's record changed at will, its seal made to fit or not."""
    with tempfile.TemporaryDirectory() as folder:
        copied = light_copy(run.parent / "frontier", Path(folder))
        value = mutate(data, json.loads((copied / "frontier.json").read_text()))
        forged = "sha256" in value and data.draw(st.integers(0, 4)) > 0
        (copied / "frontier.json").write_text(json.dumps(seal(value) if forged else value))
        well(LOOKS[data.draw(st.sampled_from(["show", "doctor"]))](copied))


def shapes(data, run):
    """The check of shapes itself never raises, and takes what it was made of."""
    assert isinstance(
        mismatch(data.draw(values), data.draw(st.sampled_from([RUN_SUMMARY, STAGE, [int], (str, None)]))), str
    )


def damaged(data, content):
    """Bytes with something changed, cut off or added."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        how = data.draw(st.sampled_from(["change", "cut", "add"]))
        if how == "change" and content:
            content[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del content[at : at + data.draw(st.integers(1, 600))]
        else:
            content[at:at] = data.draw(st.binary(max_size=20))
    return bytes(content)


def archives(data, run):
    """Archives of the corpus, damaged."""
    content = damaged(data, data.draw(st.sampled_from(sorted(hostile.ARCHIVES.values()))))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "in" / "a"
        file.parent.mkdir()
        file.write_bytes(content)
        answer = call(lambda: archive.unpack(file, Path(folder) / "out", most_bytes=1 << 24))
        well(answer)
        assert {path.name for path in Path(folder).iterdir()} == {"in"} | (
            {"out"} if answer.code == 0 else set()
        )


def weight_files(data, run):
    """Weight files of the corpus, damaged."""
    name, content = data.draw(st.sampled_from(sorted(hostile.WEIGHTS.items())))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(damaged(data, content))
        well(call(lambda: weights.import_file(file, "vit_s16", Path(folder) / "out")))


def idx_files(data, run):
    """IDX files of the corpus, damaged: an array of what they hold, or one line."""
    content = damaged(data, data.draw(st.sampled_from(sorted(hostile.IDX.values()))))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x"
        file.write_bytes(content)
        read = []
        well(call(lambda: read.append(idx.read(file, 3))))
        assert all(isinstance(one, np.ndarray) and one.dtype == np.uint8 and one.ndim == 3 for one in read)


QUICK = {
    **{overrides: 40, config_values: 40, rows: 40, grids: 15, read_back: 30, tables: 30, frontiers: 40},
    **{shapes: 60, archives: 120, weight_files: 40, idx_files: 80},
}
"""How often each is tried where there is no time."""


def attempt(prop, run, examples, number=None):
    """Try a property with so many examples: the same ones always, or those of a number."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        suppress_health_check=CHECKS,
    )
    @given(st.data())
    def tried(data):
        prop(data, run)

    (tried if number is None else seed(number)(tried))()


@pytest.mark.parametrize("prop", QUICK, ids=lambda prop: prop.__name__)
def test_short(prop, run):
    attempt(prop, run, QUICK[prop])


@pytest.mark.fuzz
@pytest.mark.parametrize("prop", QUICK, ids=lambda prop: prop.__name__)
def test_long(prop, run):
    end = time.monotonic() + 60 * MINUTES * 0.7 / len(QUICK)
    for number in itertools.count(int(time.time())):
        attempt(prop, run, 2 * QUICK[prop], number)
        if time.monotonic() > end:
            return


class Killed(BaseException):
    """A run was killed."""


class Folder(RuleBasedStateMachine):
    """A run folder in the hands of somebody who runs, kills, tampers, looks and asks for more seeds, in any order.

    Rule: a run ends in the bytes that it always ends in, or in one line and exit code 2; and with --overwrite it ends
    in those bytes whatever went before.
    """

    wanted: dict[int, bytes]

    @initialize()
    def begin(self):
        self.root = Path(tempfile.mkdtemp(prefix="oilwater-fuzz-"))
        self.run = self.root / "run"

    def teardown(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def summary(self):
        return (self.run / "summary.json").read_bytes()

    @rule(seeds=st.integers(1, 2), overwrite=st.booleans())
    def runs(self, seeds, overwrite):
        answer = command(
            *run_arguments(self.run, f"--seeds={seeds}", *(["--overwrite"] if overwrite else []))
        )
        well(answer)
        ours = not self.run.exists() or (self.run / ".lock").exists()
        assert answer.code == 0 or not overwrite or not ours, answer.err
        if answer.code == 0:
            assert self.summary() == self.wanted[seeds]

    @rule(after=st.integers(0, 25))
    def is_killed(self, after):
        """Before its so-manieth write: what is there then is what SIGKILL leaves, less a file beside."""
        write, done = files.write_whole, itertools.count()

        def dying(path, content):
            if next(done) == after:
                raise Killed
            write(path, content)

        files.write_whole = dying
        try:
            answer = command(*run_arguments(self.run))
        finally:
            files.write_whole = write
        if "raised Killed" not in answer.err:
            well(answer)

    @rule(data=st.data())
    def is_tampered_with(self, data):
        everything = sorted(path for path in self.run.rglob("*") if path.is_file() and path.name != ".lock")
        if not everything:
            return
        path = data.draw(st.sampled_from(everything))
        how = data.draw(st.sampled_from(["damage", "remove", "folder", "copy", "forge"]))
        if how == "damage":
            path.write_bytes(damaged(data, path.read_bytes()))
        elif how == "forge" and path.suffix == ".json" and path.name != "config.json":
            try:
                value = mutate(data, json.loads(path.read_text()))
            except ValueError:
                return
            path.write_text(
                json.dumps(seal(value) if isinstance(value, dict) and "key" not in value else value)
            )
        elif how == "copy":
            path.write_bytes(data.draw(st.sampled_from(everything)).read_bytes())
        else:
            path.unlink()
            if how == "folder":
                path.mkdir()

    @rule(look=st.sampled_from(sorted(LOOKS)))
    def is_looked_at(self, look):
        well(LOOKS[look](self.run))

    @rule()
    def is_repaired(self):
        well(command("doctor", self.run, "--repair"))


@pytest.fixture(scope="module")
def machine(run, tmp_path_factory):
    one = tmp_path_factory.mktemp("one") / "run"
    assert command(*run_arguments(one)).code == 0
    Folder.wanted = {1: (one / "summary.json").read_bytes(), 2: (run / "summary.json").read_bytes()}
    return Folder


def states(machine, examples, steps, number=None):
    options = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=number is None,
        suppress_health_check=CHECKS,
    )
    if number is not None:
        seed(number)(machine)
    run_state_machine_as_test(machine, settings=options)


def test_a_run_folder_in_any_hands(machine, monkeypatch):
    monkeypatch.setattr(
        pipeline, "draw", lambda *_: None
    )  # three quarters of a run's time; the long one draws
    states(machine, 5, 8)


@pytest.mark.fuzz
def test_a_run_folder_in_any_hands_for_long(machine):
    end = time.monotonic() + 60 * MINUTES * 0.3
    for number in itertools.count(int(time.time())):
        states(machine, 1, 15, number)
        if time.monotonic() > end:
            return


def test_a_user_error_is_what_call_takes_for_one():
    def refuse():
        raise UserError("no")

    def fail():
        raise KeyError("no")

    assert call(refuse).code == 2
    assert not call(refuse).fault
    assert call(fail).fault
