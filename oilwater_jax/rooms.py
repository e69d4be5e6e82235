"""The rooms that one seed of an experiment walks through: attack, identify, amplify, fit, evaluate.

Each room's product is a stage, computed when it is first asked for.
"""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

from oilwater_jax import metrics, rng, treatments
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.experiment import Experiment
from oilwater_jax.groups import group_counts, report_sets
from oilwater_jax.per_sample import Params
from oilwater_jax.reporting.summary import no_nan, row_key
from oilwater_jax.robustness.evidence import Evidence
from oilwater_jax.stages import Stage, key_of
from oilwater_jax.training.fit import Fitted
from oilwater_jax.training.step import Recipe
from oilwater_jax.types import Attacked, Examples, Goal, Treatment


class Rooms:
    """One seed of an experiment. `figures` collects those of the stages that were asked for, by name."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self.experiment, self.seed = experiment, seed
        self.config, self.splits, self.settings = experiment.config, experiment.splits, experiment.settings
        self.figures: dict[str, dict] = {}

    def walk(self) -> dict[str, dict]:
        """All rooms; the figures of every stage by name."""
        self.found  # noqa: B018 (identification is measured even where no row needs it)
        for row in (*self.config.rows, *self.experiment.own):
            self.row(row)
        return self.figures

    def _stage(self, name: str, key: str, compute: Callable[[], Stage]) -> Stage:
        name = f"seed{self.seed}/{name}"
        product = self.experiment.stage(name, key, compute)
        self.figures[name] = product.figures
        return product

    @functools.cached_property
    def attack_key(self) -> str:
        """What the poisons depend on; those of an attacker who trains models, on these and on the split he aims at."""
        e = self.experiment
        models = (e.base_key, self.settings["erm"], self.config.evaluate) if e.attack.MODELS else ()
        return key_of(e.data_key, self.settings["attack"], self.seed, models)

    @functools.cached_property
    def attacked(self) -> Attacked:
        """Stage `attack`: what the attack does to the training set."""
        e, splits = self.experiment, self.splits

        def compute() -> Stage:
            attacked = e.attack.attack(self.config, splits, e.judged, self.seed, self.lab)
            figures = {
                "n_poison": len(attacked.poisons),
                "n_train": len(splits.train),
                "groups": [splits.group_name(group) for group in range(splits.n_groups)],
                "measures": list(e.attack.FIGURES),
            }
            poisons = {f"poison.{name}": array for name, array in attacked.poisons.arrays().items()}
            evidence = {f"evidence.{name}": array for name, array in attacked.evidence.items()}
            return Stage({**poisons, "rows": attacked.rows, **evidence}, figures)

        arrays = self._stage("attack", self.attack_key, compute).arrays
        return Attacked(Examples(**_below("poison.", arrays)), arrays["rows"], _below("evidence.", arrays))

    @property
    def lab(self) -> Lab:
        """The attacker's tools. His models have random streams that no measured model has."""
        e = self.experiment

        def train(name: str, examples: Examples) -> Params:
            own_seed = (rng.name_id(f"attacker's {name}") + self.seed) % 2**31
            treatment = treatments.erm(self.config, examples)._replace(rule="last")
            key = key_of(e.base_key, self.settings["erm"], name, self.seed)
            recipe = Recipe(**self.config.erm)
            fitted = e.train(own_seed, f"seed{self.seed}/{name}", key, examples, recipe, treatment)
            e.progress.done(f"seed{self.seed}/{name}", fitted.history[-1])
            return fitted.params

        def tick(done: int, total: int, note: str) -> None:
            e.progress.count(f"seed{self.seed}/attack", done, total, note)

        return Lab(train, e.network.apply, e.network.score, e.network.prepare, tick)

    @functools.cached_property
    def poisoned(self) -> Examples:
        """The poisoned training set."""
        return self.attacked.applied(self.splits.train)

    @functools.cached_property
    def goal(self) -> Goal:
        """What the attack's success is measured by."""
        e = self.experiment
        return e.attack.make_goal(self.config, e.judged, self.attacked.evidence)

    @functools.cached_property
    def found(self) -> dict[str, np.ndarray]:
        """Stage `identify`: an ERM model after T epochs, and whom the method finds by looking at it."""
        return self._identified("identify", self.poisoned, self.attack_key)

    @functools.cached_property
    def eliminated(self) -> Bool[np.ndarray, " n"]:
        """Whom of the poisoned training set EPIc has eliminated at the end of the row `epic`."""
        return self.trained("epic").weights == 0

    @functools.cached_property
    def survivors(self) -> Examples:
        """What EPIc leaves of the poisoned training set."""
        return self.poisoned.take(~self.eliminated)

    @functools.cached_property
    def found_after_epic(self) -> dict[str, np.ndarray]:
        """Stage `identify_after_epic`: identification among the survivors."""
        return self._identified("identify_after_epic", self.survivors, self.trained_key("epic"))

    def _found_key(self, on: str) -> str:
        own = [self.settings[name] for name in ("method", "george", "identify")]
        return key_of(self.experiment.base_key, on, own)

    def _identified(self, name: str, train: Examples, on: str) -> dict[str, np.ndarray]:
        """The stage `name`: identification on a training set, which `on` is the key of."""
        e, val = self.experiment, self.splits.val
        recipe = Recipe(**self.config.identify)

        def compute() -> Stage:
            treatment = treatments.erm(self.config, train)._replace(rule="last")
            # The model is the same for every method.
            key = key_of(e.base_key, on, self.settings["identify"])
            fitted = e.train(self.seed, f"seed{self.seed}/{name}", key, train, recipe, treatment)
            scores = e.network.score(fitted.params, train, e.method.SCORES)
            val_scores = e.network.score(fitted.params, val, e.method.SCORES)
            kernel = np.asarray(fitted.params["head"]["kernel"])
            evidence = Evidence(train.label, scores, val.label, val_scores, kernel)
            found = e.method.find(self.config, self.seed, evidence)
            sets = report_sets(train, e.n_classes, e.n_attributes)
            figures = {
                "idnf": metrics.shares_within(found.arrays["flagged"], sets),
                "n_flagged": int(found.arrays["flagged"].sum()),
            }
            return Stage(found.arrays, figures | found.figures)

        return self._stage(name, self._found_key(on), compute).arrays

    def row(self, row: str) -> Stage:
        """One row of the table: train, select by validation, and only then look at the split `evaluate`."""
        key = key_of(self.trained_key(row), self.config.evaluate, self.attack_key)
        return self._stage(row_key(self.config.method.name, row), key, lambda: self.evaluate(row))

    def _data_key(self, kind: treatments.Row) -> str:
        if kind.data == "survivors":
            return self.trained_key("epic")
        return "clean" if kind.data == "clean" else self.attack_key

    def _train_set(self, kind: treatments.Row) -> Examples:
        if kind.data == "survivors":
            return self.survivors
        return self.splits.train if kind.data == "clean" else self.poisoned

    def trained_key(self, row: str) -> str:
        """What a row's training depends on."""
        e, kind = self.experiment, treatments.kind(self.config, row)
        on = self._data_key(kind)
        extra = [self.settings["group_dro"]] if row.startswith("group_dro") or kind.mode else []
        if kind.mode:
            extra += [kind.mode, self._found_key(on)]
        elif row not in ("erm", "erm_clean", "epic"):
            extra += [row]
        if kind.defended:
            extra += [{name: value for name, value in self.settings["epic"].items() if name != "when"}]
        select = self.settings["train"]["select"]
        return key_of(e.base_key, self.seed, on, self.settings[kind.recipe], select, extra)

    def trained(self, row: str) -> Fitted:
        """The training of a row."""
        e, kind = self.experiment, treatments.kind(self.config, row)
        train = self._train_set(kind)
        recipe = Recipe(**self.config[kind.recipe])
        name = f"seed{self.seed}/{row_key(self.config.method.name, row)}"

        treatment: Treatment
        if row in e.own:
            treatment = treatments.erm(self.config, train)._replace(selector=e.own[row])
        elif kind.mode:
            found = self.found_after_epic if kind.data == "survivors" else self.found
            treatment = e.method.treatment(self.config, kind.mode, found, train)
        else:
            treatment = treatments.reference(row, self.config, train, self.splits)
        if kind.defended:
            treatment = treatments.defended(treatment, self.config, recipe.epochs)
        return e.train(self.seed, name, self.trained_key(row), train, recipe, treatment)

    @functools.cached_property
    def clean_goal_logits(self) -> np.ndarray:
        """What the model trained on clean data says of the goal's inputs."""
        return self._goal_logits(self.trained("erm_clean").params)

    def _goal_logits(self, params: Params) -> np.ndarray:
        if not len(self.goal.image):
            return np.zeros((0, self.experiment.n_classes), np.float32)
        return self.experiment.network.score(params, self.goal.image, ("logits",))["logits"]

    def evaluate(self, row: str) -> Stage:
        """Figures of the selected model on the split `evaluate` and on the attack's goal."""
        e = self.experiment
        fitted, kind = self.trained(row), treatments.kind(self.config, row)
        defence = self.trained("epic") if kind.data == "survivors" else fitted  # the training that eliminated
        watched = self.splits.train if kind.data == "clean" else self.poisoned
        sets = report_sets(watched, e.n_classes, e.n_attributes)
        scores = e.network.score(fitted.params, e.judged, ("logits", "correct"))
        counted = self.goal.counted
        by_group = e.group_accuracy(scores["correct"][counted], e.judged.take(counted))
        wga, worst = metrics.worst_group(by_group)
        counts = group_counts(self.splits.train, e.n_classes, e.n_attributes)
        goal_logits = self._goal_logits(fitted.params)
        clean = self.clean_goal_logits if self.goal.needs_clean else None
        figures = {
            "acc": metrics.accuracy(scores["correct"][counted]),
            "acc_adjusted": metrics.adjusted_accuracy(by_group, counts),
            "wga": wga,
            "worst_group": worst,
            "group_acc": by_group.tolist(),
            **self.goal.measure(goal_logits, clean),
            "selected_epoch": fitted.epoch,
            "elmf": metrics.shares_within(defence.weights == 0, sets),
            "rounds": [
                {"epoch": one["epoch"], "elmf": one["elmf"]} for one in defence.history if "elmf" in one
            ],
        }
        return Stage({"logits": scores["logits"], "goal_logits": goal_logits}, no_nan(figures))


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
