"""Keys: a change of any declared field changes the keys of exactly the stages downstream of it."""

import functools

import pytest

from oilwater_jax import rows
from oilwater_jax.keys import Keys
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings.registry import known

REGISTRY = known()
FIELDS = REGISTRY.fields
# Rows that between them have every built-in method.
ROWS = (
    "erm@clean",
    "erm",
    *(name for name in REGISTRY.names("method") if name != "erm"),
    "epic/jtt",
    "epic+jtt",
)
CHANGED = {  # another value where the field's own range gives none
    "data.name": "waterfashion",
    "attack.name": "sa",
    "model.name": "resnet18",
    "rows": ("erm",),
    "look": ("jtt",),
    "study.epochs": (3,),
    "tabular_trigger.set": ("a=b",),
    "seeds.attack": 5,
    "seeds.pretrain": 5,
}
UNSEEN = {
    "plugins",
    "seed",
    "rows",
    "look",
    "evaluate",
    "data.source",
    "model.init_from",
    "train.attributes",  # what a config may ask for
}  # no plain field of a stage


def other(key, field):
    """Another allowed value of a field."""
    value = field.default
    if key in CHANGED:
        return CHANGED[key]
    if field.choices:
        return next(choice for choice in field.choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple) and not value:
        return (field.of(field.low or 0),)
    if isinstance(value, tuple):
        return tuple(one + (8 if one + 8 <= (field.high or 1e9) else -8) for one in value)
    if isinstance(value, str):
        return value + "x"
    step = 1 if isinstance(value, int) else 0.5 * value or 0.25
    return value + step if field.high is None or value + step <= field.high else value - step


@functools.cache
def keys(attack="dlbd", **changes):
    """Every stage's key by name, at the defaults but for some changes."""
    config = cfg.default()
    flat = cfg.flatten(config.to_dict()) | {"attack.name": attack} | changes
    made = Keys(cfg.ConfigDict(cfg.nest(flat)), "identity")
    found = {"data": made.data, "base": made.base, "attack": made.attack(0)}
    for text in ROWS:
        row = rows.parse(text, REGISTRY)
        found |= {f"trained {text}": made.trained(row, 0), f"row {text}": made.row(row, 0)}
        for atom in row.last:
            if REGISTRY.method(atom.name).find:
                found[f"reference {text} {atom.name}"] = made.reference(row, atom, 0)
                found[f"found {text} {atom.name}"] = made.found(row, atom, 0)
    return found


def changed(before, after):
    return {name for name in before if before[name] != after[name]}


def methods_of(stage):
    """The methods that a stage depends on."""
    kind, text, *atom = stage.split(" ")
    row = rows.parse(text, REGISTRY)
    earlier = {one.name for one in row.before.atoms}
    if kind == "reference":
        return earlier | {name for name in atom if REGISTRY.method(name).reference}
    return earlier | set(atom) if kind == "found" else {one.name for one in row.atoms}


def expected(key, section, attack):
    """The stages downstream of a field, from what is said of it alone."""
    everything = set(keys(attack))
    of_rows = {name for name in everything if " " in name}
    goal = {name for name in of_rows if name.startswith("row ")}  # success is measured by the attack's goal
    reads = {name for name in REGISTRY.names("method") if key in seen(REGISTRY.method(name))}
    found = {name for name in of_rows if methods_of(name) & reads}
    if section == "attack" or key in seen(REGISTRY.attack(attack)):
        found |= {"attack"} | goal | {name for name in of_rows if "@clean" not in name}
    if section == "data" or key == "smoke":
        found |= everything
    if key == "train.select":
        found |= {name for name in of_rows if name.startswith(("trained", "row"))}
    elif section in ("model", "pretrain", "train", "cnn"):
        trains = REGISTRY.attack(attack).models(cfg.view(cfg.default(), REGISTRY.attack(attack)))
        found |= everything - {"data"} - (set() if trains or "attack" in found else {"attack"})
    assert found, f"{key}: say what is downstream of it"
    return found


def seen(entry):
    return {key for key in FIELDS for one in entry.seen if key == one or key.startswith(f"{one}.")}


@pytest.mark.parametrize("key", [key for key in FIELDS if key not in UNSEEN])
def test_a_field_changes_exactly_what_is_downstream(key):
    section = key.partition(".")[2] if key.startswith("seeds.") else key.partition(".")[0]
    attack = section if section in REGISTRY.names("attack") else "dlbd"
    value = other(key, FIELDS[key])
    got = changed(keys(attack), keys(attack, **{key: value}))
    if section in ("checkpoint", "study") or (
        section in REGISTRY.names("model") + REGISTRY.names("data") and section != "cnn"
    ):
        assert got == set()
        return
    if key == "train.select_reference":
        section = "identify"
    if section in ("erm", "robust", "identify"):
        for name in got:
            assert " " in name  # a training, or what looks at one
        assert got, key
        mine = {"identify": "reference jtt jtt", "erm": "trained erm", "robust": "trained jtt"}[section]
        assert mine in got
        assert not got & {"data", "base", "attack"}
        untouched = {"identify": "trained erm", "erm": "found jtt jtt", "robust": "found jtt jtt"}[section]
        assert untouched not in got
        return
    assert got == expected(key, section, attack)


def test_the_seed_is_in_every_key_of_a_seed():
    made = Keys(cfg.default(), "identity")
    for text in ROWS:
        row = rows.parse(text, REGISTRY)
        assert made.trained(row, 0) != made.trained(row, 1)
        assert made.row(row, 0) != made.row(row, 1)


def test_a_seed_can_be_fixed_for_the_attack_or_for_the_pretraining_alone():
    def keys_at(seed, **fixed):
        flat = cfg.flatten(cfg.default().to_dict()) | {
            f"seeds.{name}": value for name, value in fixed.items()
        }
        made, erm = Keys(cfg.ConfigDict(cfg.nest(flat)), "identity"), rows.parse("erm", REGISTRY)
        return made.attack(seed), made.pretrain(seed), made.attacker("victim", seed), made.trained(erm, seed)

    def same(first, second):
        return [a == b for a, b in zip(first, second, strict=True)]

    assert same(keys_at(0, attack=3), keys_at(1, attack=3)) == [True, False, True, False]
    assert same(keys_at(0, pretrain=3), keys_at(1, pretrain=3)) == [False, True, False, False]
    assert keys_at(0, attack=3)[0] == keys_at(3)[0]
    assert keys_at(0, pretrain=3)[1] == keys_at(3)[1]


def test_other_files_are_other_data_wherever_they_lie():
    config = cfg.default()
    one, two = Keys(config, "one"), Keys(config, "two")
    assert one.data != two.data
    moved = cfg.ConfigDict(cfg.nest(cfg.flatten(config.to_dict()) | {"data.source": "/elsewhere"}))
    assert Keys(moved, "one").data == one.data


def test_an_entry_sees_what_it_says_and_nothing_else():
    config = cfg.default()
    jtt = cfg.view(config, REGISTRY.method("jtt"))
    assert jtt.to_dict() == {"jtt": {"lambda_up": 50.0}}
    with pytest.raises(AttributeError):
        jtt.epic.ratio  # noqa: B018
    gm = cfg.view(config, REGISTRY.attack("gm")).to_dict()
    assert set(gm) == {"gm", "attack", "evaluate", "train"}
    assert gm["train"] == {"shift": 2}


PLUGIN = """
import oilwater_jax as ow
MINE = ow.Method(
    name="mine", help="mine", aim="amplify",
    treat=lambda config, case: ow.Treatment(ow.selectors.everyone(len(case.train))),
)
"""


def test_an_edited_file_changes_the_keys_of_what_depends_on_it(tmp_path):
    file = tmp_path / "mine.py"

    def made():
        config = cfg.default(plugins=(str(file),))
        own = Keys(config, "identity")
        registry = cfg.registry_of(config)
        return {
            text: own.trained(rows.parse(text, registry), 0) for text in ("erm", "mine", "mine/jtt", "jtt")
        }

    file.write_text(PLUGIN)
    before = made()
    file.write_text(PLUGIN + "# edited\n")
    after = made()
    assert {name for name in before if before[name] != after[name]} == {"mine", "mine/jtt"}
