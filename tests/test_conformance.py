"""Everything that is registered is held to the same contract, pairs of methods under `/` and `+` included."""

from pathlib import Path

import pytest
from counting import compilations

from oilwater_jax import cli, conformance
from oilwater_jax.conformance import Bench
from oilwater_jax.entries import Attack, Dataset, Method, Model
from oilwater_jax.settings.registry import known

OWN = Path(__file__).parent / "own"
REGISTRY = known()
METHODS = REGISTRY.names("method")
# Every pair with one of these is in the quick suite; the others are marked slow.
OFTEN = ("erm", "jtt", "epic")
BENCHES: dict = {}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("conformance")


def bench(folder, **changes):
    key = str(sorted(changes.items()))
    if key not in BENCHES:
        BENCHES[key] = Bench(folder, **changes)
    return BENCHES[key]


def alone():
    """Every method in its modes and on clean data."""
    for name in METHODS:
        yield from conformance.rows_of_method(REGISTRY.method(name), (), REGISTRY)


def pairs():
    """Every ordered pair of methods."""
    for first in METHODS:
        for second in METHODS:
            quick = first in OFTEN and second in OFTEN
            for row in conformance.pairs(first, second, REGISTRY):
                yield pytest.param(row, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize("row", list(alone()))
def test_a_method_alone(row, folder):
    figures = bench(folder).figures(row)
    if row.endswith((":ideal", ":worst")) and REGISTRY.method(row.partition(":")[0]).aim == "eliminate":
        spared = "hrg_1" if row.endswith(":ideal") else "poison"
        assert figures["elmf"][spared] == 0


@pytest.mark.parametrize("row", list(pairs()))
def test_a_pair_of_methods(row, folder):
    bench(folder).figures(row)


ON_TABLES = [name for name in METHODS if "table" in REGISTRY.method(name).takes]


@pytest.mark.parametrize("name", ON_TABLES)
def test_a_method_on_a_table(name, folder):
    bench(folder, **conformance.ON_TABLE).figures(name)


@pytest.mark.parametrize("row", ["epic/jtt", "deep_knn/george", "epic+jtt", "base_loss/group_dro"])
def test_a_pair_on_a_table(row, folder):
    bench(folder, **conformance.ON_TABLE).figures(row)


def test_mlp(folder):
    for check in conformance.model_checks(REGISTRY.model("mlp"), lambda **changes: bench(folder, **changes)):
        check.run()


@pytest.mark.parametrize("name", ["sa", "label_flip"])
def test_attacks_for_any_data_on_a_table(name, folder):
    for row in ("erm", "jtt"):
        bench(folder, **(conformance.ON_TABLE | {"attack__name": name})).figures(row)


@pytest.mark.parametrize("name", [name for name in REGISTRY.names("attack") if name != "none"])
def test_an_attack(name, folder):
    for check in conformance.attack_checks(REGISTRY.attack(name), lambda **changes: bench(folder, **changes)):
        check.run()


@pytest.mark.parametrize("entry", [one.entry for one in REGISTRY.entries], ids=lambda entry: entry.name)
def test_settings(entry):
    conformance.declared(entry)
    assert isinstance(entry, Attack | Dataset | Method | Model)


@pytest.mark.parametrize("name", ["waterdigits", "adult"])
def test_data_that_needs_no_files(name, folder):
    entry = REGISTRY.data(name)
    for check in conformance.data_checks(entry, lambda **changes: bench(folder, **changes)):
        check.run()


def test_rows_of_a_kind_and_seeds_compile_nothing_new(folder):
    """Modes, and methods that share an objective, share the compiled step; so does another seed."""
    one = bench(folder)
    one.figures("jtt")
    one.figures("epic")
    one.figures("george")
    with compilations() as compiled:
        for row in ("jtt:ideal", "jtt:worst", "epic+jtt", "epic:ideal", "george:worst"):
            one.figures(row)
        Bench(folder, seed=1).figures("jtt")
    assert compiled == []


@pytest.mark.parametrize("file", sorted(OWN.glob("*.py")), ids=lambda path: path.stem)
def test_own_modules_pass_the_check(file, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", str(file)])
    out = capsys.readouterr().out
    assert caught.value.code == 0, out
    assert "all checks passed" in out


BROKEN = """
import numpy as np
import oilwater_jax as ow

BROKEN = ow.Method(
    name="broken", help="too few weights", aim="eliminate",
    treat=lambda config, case: ow.Treatment(ow.selectors.fixed(np.ones(3))),
)
"""


def test_a_broken_module_is_told_of_line_by_line(tmp_path, capsys):
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", str(file)])
    out = capsys.readouterr().out
    assert caught.value.code == 1
    assert "ok     method broken: settings" in out
    assert "FAILED method broken: broken:standard" in out
    assert "gave 3 weights for" in out
