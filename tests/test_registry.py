"""Names in a config: built-in ones, those of files and modules of a user's, those of a notebook."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from registering import registered

from oilwater_jax.entries import KINDS, Attack, Dataset, Method, Model, Score
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings import registry
from oilwater_jax.settings.field import Field
from oilwater_jax.settings.registry import BUILT_IN, Registry, known
from oilwater_jax.types import Treatment

ROOT = Path(__file__).parent.parent
PLUGIN = """
from oilwater_jax import Field, Method, Treatment, selectors

def treat(config, case):
    return Treatment(selectors.fixed(np.full(len(case.train), config.mine.draws)))

MINE = Method(
    name="mine",
    help="everyone several times",
    aim="amplify",
    fields={"draws": Field(2.0, "draws of everyone", 1, 10)},
    treat=treat,
)
"""


@pytest.fixture
def plugin(tmp_path):
    """A function that writes a plugin and returns its path; each test's is a file of its own."""

    def write(text=PLUGIN, name="mine.py"):
        (tmp_path / name).write_text(textwrap.dedent(text))
        return str(tmp_path / name)

    return write


def nothing(*given):
    raise AssertionError("nobody calls it")


def method(name="mine", **more):
    return Method(name=name, help="a test's", aim="train", treat=nothing, **more)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_built_in_line_is_an_entry_of_its_kind(kind):
    found = known()
    for name in BUILT_IN[kind]:
        one = found.registered(kind, name)
        assert isinstance(one.entry, KINDS[kind])
        assert (one.entry.kind, one.entry.name) == (kind, name)
        assert one.digest == ""
        assert one.entry.help
        for path, field in one.entry.fields.items():
            assert isinstance(field, Field)
            cfg.check_value(path, field.default, field, "default")  # in its own range
        for path in one.entry.smoke:
            assert path in one.entry.fields


def test_names_are_one_of_a_kind_among_all_kinds():
    names = [name for table in BUILT_IN.values() for name in table]
    assert len(names) == len(set(names))


def test_what_an_entry_says_it_reads_is_there():
    fields = known().fields
    for one in known().entries:
        for seen in one.entry.seen:
            assert seen in fields or any(path.startswith(f"{seen}.") for path in fields), (
                one.entry.name,
                seen,
            )


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("method", "jt", r"^unknown method 'jt'; did you mean jtt\? \(known: erm, jtt, george, "),
        (
            "data",
            "waterdigit",
            r"^unknown data set 'waterdigit'; did you mean waterdigits\? \(known: waterdigits, ",
        ),
        ("model", "resnet81", r"^unknown network 'resnet81'; did you mean resnet\d+\? \(known: cnn, "),
        ("attack", "quite another", r"^unknown attack 'quite another' \(known: dlbd, sa, gm, .*, none\)$"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(kind, name, message):
    with pytest.raises(UserError, match=message) as caught:
        getattr(known(), kind)(name)
    assert "\n" not in str(caught.value)


def test_a_file_brings_names_and_fields(plugin, examples):
    path = plugin()
    found = known((path,))
    assert found.names("method") == (*BUILT_IN["method"], "mine")
    assert found.registered("method", "mine").where == path
    config = cfg.default(plugins=(path,))
    assert config.mine.draws == 2.0
    config = cfg.checked(config, {"mine.draws": "3", "rows": "erm,mine"})
    assert config.mine.draws == 3.0
    assert config.rows == ("erm", "mine")
    assert cfg.registry_of(config).method("mine") is found.method("mine")
    with pytest.raises(UserError, match=r"mine.draws = 11.0 is out of range"):
        cfg.checked(config, {"mine.draws": "11"})
    # Without the file nobody knows it.
    assert "mine" not in known().names("method")
    with pytest.raises(UserError, match="unknown method 'mine'"):
        cfg.checked(cfg.default(), {"rows": "mine"})


def test_a_plugin_sees_its_own_settings_and_no_others(plugin):
    config = cfg.default(plugins=(plugin(),))
    seen = cfg.view(config, cfg.registry_of(config).method("mine"))
    assert seen.to_dict() == {"mine": {"draws": 2.0}}


def test_a_plugin_beside_its_config_file_is_found_from_anywhere(plugin, tmp_path, monkeypatch):
    plugin()
    file = tmp_path / "config.py"
    file.write_text(
        "from oilwater_jax import default\ndef get_config():\n    return default(plugins=('mine.py',))\n"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = cfg.load(file, {"rows": "mine"})
    assert config.plugins == (str(tmp_path / "mine.py"),)
    assert config.rows == ("mine",)


def test_the_digest_is_of_the_files_content(plugin):
    path = plugin()
    first = known((path,)).registered("method", "mine")
    assert len(first.digest) == 16
    assert known((path,)).registered("method", "mine") is first  # once for each content
    plugin(PLUGIN.replace("Field(2.0", "Field(3.0"))
    second = known((path,)).registered("method", "mine")
    assert second.digest != first.digest
    assert second.entry.fields["draws"].default == 3.0
    plugin()
    assert known((path,)).registered("method", "mine").digest == first.digest
    elsewhere = plugin(name="other_name.py")
    assert known((elsewhere,)).registered("method", "mine").digest == first.digest


def test_a_module_is_a_plugin_too(plugin, tmp_path, monkeypatch):
    plugin(name="a_module_of_tests.py")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        one = known(("a_module_of_tests",)).registered("method", "mine")
        assert one.where == "a_module_of_tests"
        assert (
            one.digest == known((str(tmp_path / "a_module_of_tests.py"),)).registered("method", "mine").digest
        )
    finally:
        sys.modules.pop("a_module_of_tests", None)


RAISING = {
    "x = 1\n\ny = 1 / 0\n": r"mine.py, line 3 raised ZeroDivisionError: division by zero$",
    "x = 1\ndef f(:\n": r"mine.py, line 2 raised SyntaxError: ",
    "import no_such_module_at_all\n": r"mine.py, line 1 raised ModuleNotFoundError: No module named 'no_such",
    "def f():\n    raise RuntimeError('two\\nlines')\n\nf()\n": r"mine.py, line 2 raised RuntimeError: two lines$",
    "import sys\nsys.exit(3)\n": r"mine.py, line 2 raised SystemExit: 3$",
    "from oilwater_jax import Method\nMethod(name='mine')\n": r"mine.py, line 2 raised TypeError: ",
}


@pytest.mark.parametrize("text", RAISING)
def test_a_file_that_raises_is_one_line_with_its_line(text, plugin):
    with pytest.raises(UserError, match=f"^plugins: .*{RAISING[text]}") as caught:
        known((plugin(text),))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "/nowhere/mine.py",
            r"^plugins: /nowhere/mine.py cannot be read \(No such file or directory\); give a Python",
        ),
        (
            "no_such_module_at_all",
            r"^plugins: no_such_module_at_all cannot be read \(there is no such module\); give",
        ),
        ("no_such.module", r"^plugins: no_such.module cannot be read \(No module named 'no_such'\); give"),
    ],
)
def test_a_plugin_that_is_not_there_is_one_line(name, message):
    with pytest.raises(UserError, match=message) as caught:
        known((name,))
    assert "\n" not in str(caught.value)


def test_a_file_that_defines_nothing_is_one_line(plugin):
    with pytest.raises(
        UserError, match=r"mine.py defines nothing that can be registered; give it an object of"
    ):
        known((plugin("x = 3"),))


def test_a_name_that_is_taken_is_refused_with_both_places(plugin):
    path = plugin(PLUGIN.replace('"mine"', '"jtt"').replace("config.mine", "config.jtt"))
    with pytest.raises(UserError) as caught:
        known((path,))
    assert str(caught.value) == (
        f"{path} defines 'jtt', which oilwater_jax.robustness.jtt has already; give one of them another name"
    )
    first, second = plugin(name="first.py"), plugin(PLUGIN + "\n", name="second.py")
    with pytest.raises(UserError, match=rf"^{second} defines 'mine', which {first} has already; give one"):
        known((first, second))
    other_kind = plugin(
        "from oilwater_jax import Score\nMINE = Score(name='dlbd', help='', figure=lambda logits, label: 0.0)"
    )
    with pytest.raises(
        UserError, match=r"defines 'dlbd', which oilwater_jax.attacks.dirty_label_backdoor has"
    ):
        known((other_kind,))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my-method", r"the method 'my-method' needs a name of letters, digits and _"),
        ("", r"the method '' needs a name"),
        ("a/b", r"the method 'a/b' needs a name"),
    ],
)
def test_a_name_that_expressions_could_not_have_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        registry.register(method(name))
    assert name not in known().names("method")


def test_a_section_of_every_config_is_no_name_for_an_entry_with_fields():
    with pytest.raises(
        UserError, match=r"'train' is a section of every config; give the method another name"
    ):
        registry.register(method("train", fields={"x": Field(1, "x")}))


def test_register_makes_it_known_in_this_process():
    mine = method(fields={"x": Field(1, "x")})
    before = known()
    with registered(mine):
        assert known().method("mine") is mine
        assert known() is not before
        assert cfg.default().mine.x == 1
        assert cfg.checked(cfg.default(), {"rows": "mine"}).rows == ("mine",)
        assert known().registered("method", "mine").where == "register('mine')"
    assert "mine" not in known().names("method")


def test_register_again_replaces_and_a_taken_name_leaves_what_was():
    first, second = method(version=1), method(version=2)
    with registered(first):
        digest = known().registered("method", "mine").digest
        registry.register(second)  # a cell of a notebook that is run again
        assert known().method("mine") is second
        assert known().registered("method", "mine").digest != digest
        with pytest.raises(
            UserError, match=r"register\('jtt'\) defines 'jtt', which .*robustness.jtt has already"
        ):
            registry.register(method("jtt"))
        attack = Attack(name="mine", help="", figures={}, attack=nothing, goal=nothing)
        with pytest.raises(
            UserError, match=r"register\('mine'\) defines 'mine', which register\('mine'\) has"
        ):
            registry.register(attack)
        assert known().method("mine") is second


def test_the_digest_of_what_is_registered_is_of_its_functions():
    def one(config, case):
        return Treatment(case.a)

    def other(config, case):
        return Treatment(case.b)

    digests = []
    for treat in (one, other, one):
        with registered(Method(name="mine", help="", aim="train", treat=treat)):
            digests.append(known().registered("method", "mine").digest)
    assert digests[0] == digests[2] != digests[1]


def test_all_kinds_can_be_brought_by_one_file(plugin):
    path = plugin(
        """
        from oilwater_jax import Attack, Dataset, Method, Model, Score

        def nothing(*given):
            raise AssertionError

        ALL = [
            Attack(name="my_attack", help="", figures={"asr": "ASR"}, attack=nothing, goal=nothing),
            Dataset(name="my_data", help="", load=nothing),
            Method(name="my_method", help="", aim="train", treat=nothing),
            Model(name="my_model", help="", build=nothing, features=nothing),
            Score(name="my_score", help="", figure=nothing),
        ]
        AGAIN = ALL[0]
        """
    )
    found = Registry((path,))
    kinds = {"attack": Attack, "data": Dataset, "method": Method, "model": Model, "score": Score}
    for kind, cls in kinds.items():
        (name,) = set(found.names(kind)) - set(BUILT_IN[kind])
        assert isinstance(found.registered(kind, name).entry, cls)
    assert [one.name for one in found.scores()] == ["my_score"]
    choices = found.fields["attack.name"].choices
    assert choices is not None
    assert choices[-1] == "my_attack"


def test_an_entry_that_cannot_be_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match=r"method 'mine': aim 'none'; known: amplify, eliminate, train"):
        Method(name="mine", help="", aim="none", treat=nothing)
    with pytest.raises(ValueError, match=r"score 'mine': of 'none'; known: logits, gradient"):
        Score(name="mine", help="", figure=nothing, of="none")


INSTALLED = """
import oilwater_jax as ow
FROM_A_LAB = ow.Method(
    name="from_a_lab", help="of an installed package", aim="amplify",
    fields={"times": ow.Field(2.0, "draws", 1, 10)},
    treat=lambda config, case: ow.Treatment(ow.selectors.everyone(len(case.train))),
)
"""


def installed(folder, source):
    """A folder on the path that holds an installed package with an entry point."""
    info = folder / "lab-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[oilwater_jax]\nmethods = lab_methods\n")
    (folder / "lab_methods.py").write_text(source)
    return os.environ | {"PYTHONPATH": str(folder)}


def help_config(environment):
    command = [sys.executable, "-m", "oilwater_jax", "run", "--help-config=from_a_lab"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


def test_an_installed_package_registers_by_an_entry_point(tmp_path):
    done = help_config(installed(tmp_path, INSTALLED))
    assert done.returncode == 0, done.stderr
    assert "from_a_lab.times" in done.stdout


def test_an_installed_package_that_is_broken_is_one_line(tmp_path):
    done = help_config(installed(tmp_path, "import no_such_thing"))
    assert done.returncode == 2
    assert "the installed package lab (entry point methods) cannot be imported" in done.stderr
    assert done.stderr.count("\n") == 1
