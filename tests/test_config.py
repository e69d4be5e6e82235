import pytest

from oilwater_jax import fields, per_sample, registry
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg

GOOD = "from oilwater_jax.settings.config import default\ndef get_config():\n    config = default()\n    {}\n    return config\n"


@pytest.fixture
def write(tmp_path):
    def write(body: str) -> str:
        file = tmp_path / "some_config.py"
        file.write_text(body)
        return str(file)

    return write


def test_default_is_locked_and_has_every_field():
    config = cfg.default()
    assert cfg.flatten(config.to_dict()) == {key: field.default for key, field in fields.FIELDS.items()}
    with pytest.raises(AttributeError):
        config.attack.budgt = 0.1


def test_every_default_passes_its_own_check_and_every_field_has_help():
    for key, field in fields.FIELDS.items():
        assert cfg.check_value(key, field.default, field, "here") == field.default
        assert field.help
        assert "\n" not in field.help


def test_file_then_overrides(write):
    path = write(GOOD.format("config.attack.budget = 0.002"))
    config = cfg.load(
        path, {"train.batch": "32", "rows": "erm,standard", "model.widths": "8,16", "smoke": "true"}
    )
    assert (config.attack.budget, config.train.batch, config.smoke) == (0.002, 32, True)
    assert config.rows == ("erm", "standard")
    assert config.model.widths == (8, 16)
    assert config.is_locked


def test_an_int_is_taken_for_a_float_and_a_list_for_a_tuple(write):
    config = cfg.load(
        write(GOOD.format("")), {"method.lambda_up": "20", "attack.trigger.colour": "[0, 1, 2]"}
    )
    assert config.method.lambda_up == 20.0
    assert isinstance(config.method.lambda_up, float)
    assert config.attack.trigger.colour == (0, 1, 2)


OVERRIDES = {
    "attack.budgt=0.1": r"--config.attack.budgt: unknown key; did you mean attack.budget\?",
    "budget=0.1": r"unknown key; did you mean attack.budget\?",
    "attack.budget=-0.1": r"attack.budget = -0.1 is out of range \(allowed: float, 0 .. 1\)",
    "attack.budget=1.5": r"attack.budget = 1.5 is out of range",
    "attack.budget=many": r"attack.budget = 'many' has the wrong type \(allowed: float, 0 .. 1\)",
    "attack.budget=True": r"attack.budget = True has the wrong type",
    "attack.budget=1e999": r"attack.budget = inf is not finite",
    "method.lambda_up=0.5": r"method.lambda_up = 0.5 is out of range \(allowed: float, 1 .. 100000\)",
    "train.batch=0": r"train.batch = 0 is out of range",
    "train.batch=2.5": r"train.batch = 2.5 has the wrong type \(allowed: int",
    "data.name=waterdigit": r"'waterdigit' is not known; did you mean waterdigits\?.*, waterdigits, waterfashion",
    "attack.name=blend": r"'blend' is not known \(allowed: str, dlbd, sa, gm, none\)",
    "method.name=ttj": r"'ttj' is not known.*\(allowed: str, jtt, george\)",
    "model.name=resnet": r"'resnet' is not known; did you mean resnet\d+\?.*, cnn, resnet18, resnet34,",
    "train.select=best": r"'best' is not known \(allowed: str, val_wga, val_acc, last\)",
    "rows=erm,jtt": r"rows = 'jtt' is not known \(allowed: str, erm_clean, erm,",
    "rows=erm,erm": r"names one twice",
    "attack.trigger.colour=(1,2)": r"has 2 entries \(allowed: 3 ints, each 0 .. 255\)",
    "attack.trigger.colour=(1,2,256)": r"256 is out of range",
    "identify.epochs=11": r"identify.epochs = 11 \(T\) is more than robust.epochs = 10",
    "model.widths=12": r"model.widths = \(12,\): each must be a multiple of 8",
    "attack.name=none": r"rows: ideal, worst need poisons, but attack.name = 'none'",
    "seed=-1": r"seed = -1 is out of range",
    "attack.name=sa": r"attack.name = 'sa' needs samples that nothing trains on, but data.auxiliary = 0; set it",
    "data.auxiliary=1": r"data.auxiliary = 1.0 is out of range \(allowed: float, 0 .. 0.9\)",
    "attack.sa.alpha=0": r"attack.sa.alpha = 0.0 is out of range \(allowed: float, > 0, <= 1000\)",
    "attack.sa.alpha=-1": r"attack.sa.alpha = -1.0 is out of range",
    "attack.sa.match=group": r"'group' is not known \(allowed: str, cluster, feature\)",
    "attack.gm.eps=0": r"attack.gm.eps = 0.0 is out of range \(allowed: float, > 0, <= 255\)",
    "attack.gm.eps=256": r"attack.gm.eps = 256.0 is out of range",
    "attack.gm.targets=0": r"attack.gm.targets = 0 is out of range",
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
    "import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict({'seed': 0})": r"lacks smoke",
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


@pytest.mark.parametrize("table", [registry.DATASETS, registry.ATTACKS, registry.METHODS, registry.MODELS])
def test_every_registered_name_resolves_and_keeps_its_contract(table):
    wanted = {
        id(registry.DATASETS): ("VERSION",),
        id(registry.ATTACKS): ("FIGURES", "MODELS", "check", "attack", "make_goal"),
        id(registry.METHODS): ("SCORES", "find", "treatment"),
        id(registry.MODELS): ("build",),
    }[id(table)]
    for name in table:
        module = registry.resolve(table, name)
        assert all(hasattr(module, attribute) for attribute in wanted)
        if table is registry.DATASETS:
            built = all(hasattr(module, attribute) for attribute in ("build", "build_pretraining"))
            listed = all(hasattr(module, attribute) for attribute in ("catalogue", "PREPROCESSING"))
            assert built != listed


def test_epics_gradients_are_scores():
    assert set(fields.GRADIENTS.values()) <= set(per_sample.NAMES)
