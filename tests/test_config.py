from pathlib import Path

import pytest

from oilwater_jax import per_sample
from oilwater_jax.defenses.epic import GRADIENTS
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings.registry import known

FIELDS = known().fields
GOOD = (
    "from oilwater_jax import default\ndef get_config():\n    config = default()\n    {}\n    return config\n"
)


@pytest.fixture
def write(tmp_path):
    def write(body: str) -> str:
        file = tmp_path / "some_config.py"
        file.write_text(body)
        return str(file)

    return write


def test_default_is_locked_and_has_every_field():
    config = cfg.default()
    assert cfg.flatten(config.to_dict()) == {key: field.default for key, field in FIELDS.items()}
    with pytest.raises(AttributeError):
        config.attack.budgt = 0.1


def test_every_default_passes_its_own_check_and_every_field_has_help():
    for key, field in FIELDS.items():
        assert cfg.check_value(key, field.default, field, "here") == field.default
        assert field.help
        assert "\n" not in field.help


def test_file_then_overrides(write):
    path = write(GOOD.format("config.attack.budget = 0.002"))
    config = cfg.load(
        path, {"train.batch": "32", "rows": "erm,jtt:standard", "cnn.widths": "8,16", "smoke": "true"}
    )
    assert (config.attack.budget, config.train.batch, config.smoke) == (0.002, 32, True)
    assert config.rows == ("erm", "jtt")  # in their shortest form
    assert config.cnn.widths == (8, 16)
    assert config.is_locked


def test_an_int_is_taken_for_a_float_and_a_list_for_a_tuple(write):
    config = cfg.load(write(GOOD.format("")), {"jtt.lambda_up": "20", "dlbd.colour": "[0, 1, 2]"})
    assert config.jtt.lambda_up == 20.0
    assert isinstance(config.jtt.lambda_up, float)
    assert config.dlbd.colour == (0, 1, 2)


OVERRIDES = {
    "attack.budgt=0.1": r"--config.attack.budgt: unknown key; did you mean attack.budget\?",
    "budget=0.1": r"unknown key; did you mean attack.budget\?",
    "attack.budget=-0.1": r"attack.budget = -0.1 is out of range \(allowed: float, 0 .. 1\)",
    "attack.budget=1.5": r"attack.budget = 1.5 is out of range",
    "attack.budget=many": r"attack.budget = 'many' has the wrong type \(allowed: float, 0 .. 1\)",
    "attack.budget=True": r"attack.budget = True has the wrong type",
    "attack.budget=1e999": r"attack.budget = inf is not finite",
    "jtt.lambda_up=0.5": r"jtt.lambda_up = 0.5 is out of range \(allowed: float, 1 .. 100000\)",
    "train.batch=0": r"train.batch = 0 is out of range",
    "train.batch=2.5": r"train.batch = 2.5 has the wrong type \(allowed: int",
    "data.name=waterdigit": r"'waterdigit' is not known; did you mean waterdigits\?.*, waterdigits, waterfashion",
    "attack.name=dlbb": r"'dlbb' is not known; did you mean dlbd\?.*\(allowed: str, dlbd, sa, gm",
    "model.name=resnet": r"'resnet' is not known; did you mean resnet\d+\?.*, cnn, resnet18, resnet34,",
    "train.select=best": r"'best' is not known \(allowed: str, val_wga, val_acc, val_worst_class, last\)",
    "rows=erm,ttj": r"row 'ttj': unknown method 'ttj'; did you mean jtt\?",
    "rows=erm,standard": r"row 'standard': unknown method 'standard'.*\(known: erm, jtt, george",
    "rows=jtt,jtt:standard": r"rows names 'jtt' twice; leave one out",
    "rows=jtt:best": r"row 'jtt:best': jtt has no mode 'best'; known: standard, ideal, worst",
    "rows=erm:ideal": r"row 'erm:ideal': erm has no mode 'ideal'; it has no others than what it does",
    "rows=george+group_dro": r"george and group_dro each bring an objective of their own.*join them by /",
    "rows=jtt+jtt": r"jtt occurs twice in one training",
    "rows=jtt@dirty": r"unknown data 'dirty' after @; known: poisoned, clean",
    "rows=jtt:ideal@clean": r"jtt:ideal needs poisons, and @clean has none",
    "rows=epic//jtt": r"a method is missing",
    "rows=@clean": r"names no method",
    "look=erm": r"look: 'erm' does not look before training; put it in rows instead",
    "data.base_balance=half": r"'half' is not known \(allowed: str, natural, class, group\)",
    "plugins=mine.py": r"--config.plugins=mine.py: give --plugins=mine.py",
    "dlbd.colour=(1,2)": r"has 2 entries \(allowed: 3 ints, each 0 .. 255\)",
    "dlbd.colour=(1,2,256)": r"256 is out of range",
    "identify.epochs=11": r"identify.epochs = 11 \(T\) is more than robust.epochs = 10",
    "cnn.widths=12": r"cnn.widths = \(12,\): each must be a multiple of 8",
    "attack.name=none": r"rows: jtt:ideal, jtt:worst need poisons, but attack.name = 'none'",
    "seed=-1": r"seed = -1 is out of range",
    "attack.name=sa": r"attack.name = 'sa' needs samples that nothing trains on, but data.auxiliary = 0; set it",
    "data.auxiliary=1": r"data.auxiliary = 1.0 is out of range \(allowed: float, 0 .. 0.9\)",
    "sa.alpha=0": r"sa.alpha = 0.0 is out of range \(allowed: float, > 0, <= 1000\)",
    "sa.alpha=-1": r"sa.alpha = -1.0 is out of range",
    "sa.match=group": r"'group' is not known \(allowed: str, cluster, feature\)",
    "gm.eps=0": r"gm.eps = 0.0 is out of range \(allowed: float, > 0, <= 255\)",
    "gm.eps=256": r"gm.eps = 256.0 is out of range",
    "gm.targets=0": r"gm.targets = 0 is out of range",
    "george.k_min=1": r"george.k_min = 1 is out of range",
    "george.k_min=11": r"george.k_min = 11 is more than george.k_max = 10; give the smaller first",
    "george.reducer=tsne": r"'tsne' is not known \(allowed: str, hardness, pca, umap\)",
    "george.select=val_best": r"'val_best' is not known",
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_bad_overrides_are_one_line(override, write):
    key, _, value = override.partition("=")
    with pytest.raises(UserError, match=OVERRIDES[override]) as caught:
        cfg.load(write(GOOD.format("")), {key: value})
    assert "\n" not in str(caught.value)


FILES = {
    "get_configs = 1": r"has no function get_config\(\)",
    "get_config = 1": r"has no function get_config\(\)",
    "def get_config(: pass": r"line 1 raised SyntaxError",
    "def get_config():\n    return 1 / 0": r"some_config.py, line 2 raised ZeroDivisionError: division by zero",
    "def get_config():\n    raise SystemExit(7)": r"line 2 raised SystemExit: 7",
    "import no_such_module_at_all": r"line 1 raised ModuleNotFoundError",
    "def get_config():\n    return {}": r"get_config\(\) returned dict, not a ConfigDict",
    "import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict({'seed': 0})": r"lacks plugins",
    GOOD.format("config.attack.budgt = 1"): r"line 4: unknown key attack.budgt; did you mean attack.budget\?",
    GOOD.format("config.attack.budget = 'much'"): r"line 4 raised TypeError",
    GOOD.format("config.attack.budget = 7.0"): r"some_config.py: attack.budget = 7.0 is out of range",
    GOOD.format("config.unlock(); config.extra = 1"): r"some_config.py: unknown key extra",
}


@pytest.mark.parametrize("body", FILES)
def test_bad_files_are_one_line(body, write):
    with pytest.raises(UserError, match=FILES[body]) as caught:
        cfg.load(write(body), {})
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.py does not exist"):
        cfg.load(str(tmp_path / "nowhere.py"), {})
    with pytest.raises(UserError, match="is a folder"):
        cfg.load(str(tmp_path), {})


def test_differences_name_the_keys():
    old = cfg.to_json(cfg.default())
    new = cfg.default()
    new.attack.budget = 0.5
    assert cfg.differences(old, cfg.to_json(new)) == ["attack.budget: 0.01 -> 0.5"]
    assert cfg.differences(old, old) == []


def test_shrink_shortens_and_leaves_the_rest():
    config = cfg.default()
    assert cfg.shrink(config) is config
    config.smoke = True
    small = cfg.shrink(config)
    assert (small.pretrain.epochs, small.erm.epochs, small.identify.epochs, small.robust.epochs) == (
        1,
        2,
        1,
        2,
    )
    assert small.attack.budget == config.attack.budget


def test_every_registered_name_is_the_name_of_its_entry():
    registry = known()
    for one in registry.entries:
        assert registry.registered(one.entry.kind, one.entry.name) is one
    for name in registry.names("data"):
        entry = registry.data(name)
        assert sum(way is not None for way in (entry.load, entry.build, entry.catalogue)) == 1


def test_every_line_of_the_registry_is_one_entry():
    """A line and its module: the names are those that the modules give."""
    registry = known()
    assert len({one.entry.name for one in registry.entries}) == len(registry.entries)


def test_epics_gradients_are_scores():
    assert set(GRADIENTS.values()) <= set(per_sample.NAMES)


OWN = Path(__file__).parent / "own"


def test_a_config_names_files_of_its_own(tmp_path):
    """Beside the config file, or of the working folder; their settings are known like all others."""
    (tmp_path / "mine.py").write_text((OWN / "trim.py").read_text())
    file = tmp_path / "some_config.py"
    file.write_text(
        "from oilwater_jax import default\ndef get_config():\n    config = default(plugins=('mine.py',))\n"
        "    config.trim.share = 0.1\n    config.rows = ('erm', 'trim', 'trim/jtt')\n    return config\n"
    )
    config = cfg.load(file, {"trim.first": "3"})
    assert (config.trim.share, config.trim.first) == (0.1, 3)
    assert config.plugins == (str(tmp_path / "mine.py"),)
    assert "trim" in cfg.registry_of(config).names("method")
    assert "trim" not in known().names("method")
    with pytest.raises(UserError, match=r"trim.share = 2.0 is out of range \(allowed: float, 0 .. 0.9\)"):
        cfg.load(file, {"trim.share": "2"})


def test_plugins_of_the_command_line_reach_any_config(write):
    path = write(GOOD.format("config.rows = ('erm', 'trim')"))
    with pytest.raises(UserError, match="unknown method 'trim'"):
        cfg.load(path)
    config = cfg.load(path, {"trim.share": "0.3"}, plugins=(str(OWN / "trim.py"),))
    assert config.trim.share == 0.3


BAD_PLUGINS = {
    "nowhere.py": r"plugins: .*nowhere.py cannot be read \(No such file or directory\); give a Python file",
    "no_such_module.at_all": r"plugins: no_such_module.at_all cannot be read",
}


@pytest.mark.parametrize("plugin", BAD_PLUGINS)
def test_plugins_that_cannot_be_read(plugin, write):
    with pytest.raises(UserError, match=BAD_PLUGINS[plugin]) as caught:
        cfg.load(write(GOOD.format("")), plugins=(plugin,))
    assert "\n" not in str(caught.value)


def test_a_folder_may_move_with_its_plugins():
    old, new = ({"plugins": [f"{place}/mine.py"], "seed": 0} for place in ("/here", "/there"))
    assert cfg.differences(old, new) == []
    assert cfg.differences(old, {"plugins": ["/here/other.py"], "seed": 0}) != []
