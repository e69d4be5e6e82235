"""What may be looked at where attributes are unknown: in train, in train and validation."""

import numpy as np
import pytest
import tabular

import oilwater_jax as ow
from oilwater_jax.errors import UserError
from oilwater_jax.keys import Keys
from oilwater_jax.settings.config import checked, default
from oilwater_jax.training.selection import score


def config(**changes):
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return checked(default(), {"rows": ("erm", "jtt")} | given)


def test_known_everywhere_is_the_default():
    assert config(rows=("balanced", "group_dro")).train.attributes == "all"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__attributes": "val", "rows": ("erm", "balanced")}, "balanced uses true groups"),
        ({"train__attributes": "val", "rows": ("epic/group_dro",)}, "group_dro uses true groups"),
        ({"train__attributes": "none"}, r"train.select = 'val_wga' uses validation attributes"),
        (
            {
                "train__attributes": "none",
                "train__select": "val_acc",
                "rows": ("george",),
                "george__select": "val_wga",
            },
            r"george.select = 'val_wga' uses",
        ),
        (
            {"train__attributes": "val", "data__base": 10, "data__base_balance": "group"},
            r"data.base_balance = 'group' uses attributes",
        ),
    ],
)
def test_what_looks_is_refused(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        config(**changes)
    assert "\n" not in str(caught.value)


def test_what_does_not_look_is_not():
    config(train__attributes="val")
    config(
        train__attributes="none", train__select="val_worst_class", rows=("erm", "jtt", "george", "epic+jtt")
    )


def test_the_rule():
    row = {"epoch": 3, "val_wga": 0.1, "val_acc": 0.9, "val_worst_class": 0.4}
    assert score("val_worst_class", row) == 0.4


def test_the_setting_is_in_no_key():
    keys = [Keys(config(train__attributes=one, train__select="last"), "x") for one in ("all", "val", "none")]
    assert len({one.base for one in keys}) == 1


def test_a_run_selects_by_the_worst_class(tmp_path, knows):
    splits = tabular.small()
    knows(ow.Dataset(name="attributes_in_a_test", help="a table", load=lambda config: splits))
    given = {
        "data.name": "attributes_in_a_test",
        "model.name": "mlp",
        "attack.name": "none",
        "pretrain.epochs": 0,
        "train.batch": 16,
        "train.attributes": "none",
        "train.select": "val_worst_class",
        "erm.epochs": 5,
        "erm.learning_rate": 0.1,
        "rows": ("erm",),
    }
    with ow.walk(checked(default(), given), tmp_path / "run", warn=lambda message: None) as seed:
        fitted = seed.trained("erm")
        by_epoch = [row["val_worst_class"] for row in fitted.history]
        assert fitted.epoch == 1 + int(np.argmax(by_epoch))
        correct = seed.scores("erm", ("correct",), splits.val)["correct"]
        worst = min(correct[splits.val.label == k].mean() for k in range(2))
        assert max(by_epoch) == pytest.approx(worst)
        found = seed.figures("erm")
        assert found["acc_worst_class"] <= found["acc_balanced"]
        assert 0 <= found["ece"] <= 1
