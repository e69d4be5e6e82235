"""The rooms (pipeline steps) of one seed of an experiment: attack, look, treat, fit, evaluate.

Each room's product is a stage, computed when it is first asked for. A row is an expression (`rows`); what it needs
follows from it.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax import intervals, metrics, rng, rows, selectors, treatments
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.entries import Attack, Method
from oilwater_jax.errors import UserError
from oilwater_jax.experiment import Experiment
from oilwater_jax.groups import group_counts, group_ids, report_sets
from oilwater_jax.keys import recipe_section
from oilwater_jax.models.variables import HEAD
from oilwater_jax.per_sample import Params
from oilwater_jax.reporting.summary import TEST_ERROR, no_nan
from oilwater_jax.rows import Atom, Row
from oilwater_jax.settings.config import view
from oilwater_jax.shapes import NET
from oilwater_jax.stages import Stage
from oilwater_jax.training.fit import Fitted
from oilwater_jax.types import (
    Attacked,
    Case,
    Evidence,
    Examples,
    Goal,
    Recipe,
    Scores,
    Treatment,
)

NEARLY_ALL = 0.9  # of the training samples; a method that flags more of them has found nobody in particular


class Stock(NamedTuple):
    """What a stage of a row works on: samples, their rows in the whole set, how often each is drawn from the start."""

    train: Examples
    rows: Int[np.ndarray, " m"]
    weights: Float[np.ndarray, " m"]
    rounds: list[dict[str, Any]]  # those of the stages before


class Rooms:
    """One seed of an experiment. `figures` collects those of the stages that were asked for, by name."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self.experiment, self.seed = experiment, seed
        self.config, self.splits, self.keys = experiment.config, experiment.splits, experiment.keys
        self.figures: dict[str, dict] = {}
        self._stocks: dict[Row, Stock] = {}
        self._kept: dict[str, Stage] = {}

    def walk(self) -> dict[str, dict]:
        """All rooms; the figures of every stage by name."""
        self.attacked  # noqa: B018 (it is told of even where nothing else is asked for)
        for row in self.experiment.looks:
            self._look(row)
        for row in self.experiment.rows:
            self._look(row)  # a row that is finished does not ask for what it found
            self.row(row)
        return self.figures

    def _look(self, row: Row) -> None:
        for part in rows.parts(row):
            for atom in part.last:
                if self.experiment.registry.method(atom.name).find:
                    self.found(part, atom)

    def name(self, what: str) -> str:
        """A stage's name."""
        return f"seed{self.seed}/{what}"

    def _stage(self, what: str, key: str, compute: Callable[[], Stage], *, keep: bool = False) -> Stage:
        """A stage's product; those that several rows look at are kept in memory."""
        name = self.name(what)
        if name in self._kept:
            return self._kept[name]
        product = self.experiment.stage(name, key, compute)
        self.figures[name] = product.figures
        if keep:
            self._kept[name] = product
        return product

    # attack

    @property
    def attack_seed(self) -> int:
        """The seed of what the attacker draws and trains."""
        return self.keys.seed_of("attack", self.seed)

    @functools.cached_property
    def attacked(self) -> Attacked:
        """Stage `attack`: what the attack does to the training set."""
        e, splits = self.experiment, self.splits
        seen = view(self.config, e.attack)

        def compute() -> Stage:
            judged = e.judged if "evaluate" in e.attack.reads else None
            attacked = e.attack.attack(seen, splits, judged, self.attack_seed, self.lab)
            figures = {
                "n_poison": int(attacked.poisons.is_poison.sum()),
                "n_train": len(splits.train),
                "groups": [splits.group_name(group) for group in range(splits.n_groups)],
                "measures": e.attack.measures,
                "signed": e.attack.signed_measures,
                "baseline": e.attack.baseline,
            }
            poisons = {f"poison.{name}": array for name, array in attacked.poisons.arrays().items()}
            evidence = {f"evidence.{name}": array for name, array in attacked.evidence.items()}
            return Stage({**poisons, "rows": attacked.rows, **evidence}, figures)

        arrays = self._stage("attack", self.keys.attack(self.seed), compute).arrays
        return Attacked(Examples(**_below("poison.", arrays)), arrays["rows"], _below("evidence.", arrays))

    @property
    def lab(self) -> Lab:
        """The attacker's tools. His models have random streams that no measured model has, and its pretraining."""
        e = self.experiment

        def train(name: str, examples: Examples) -> Params:
            own_seed = (rng.name_id(f"attacker's {name}") + self.attack_seed) % 2**31
            treatment = Treatment(selectors.everyone(len(examples)), rule="last")
            key, recipe = self.keys.attacker(name, self.seed), Recipe(**self.config.erm)
            start = e.start(own_seed, pretrained=self.attack_seed)
            fitted = e.train(own_seed, self.name(name), key, examples, recipe, treatment, start)
            e.progress.done(self.name(name), fitted.history[-1])
            return fitted.params

        def tick(done: int, total: int, note: str) -> None:
            e.progress.count(self.name("attack"), done, total, note)

        return Lab(train, e.network.apply, e.network.score, e.network.prepare, tick)

    @functools.cached_property
    def poisoned(self) -> Examples:
        """The poisoned training set."""
        return self.attacked.applied(self.splits.train)

    @functools.cached_property
    def goal(self) -> Goal:
        """How attack success is measured."""
        e = self.experiment
        return e.attack.goal(view(self.config, e.attack), e.judged, self.attacked.evidence)

    # what a row's last stage works on

    def whole(self, row: Row) -> Examples:
        """The training set that a row begins with."""
        return self.splits.train if row.data == "clean" else self.poisoned

    def stock(self, row: Row) -> Stock:
        """What the stages before the last left to it: of a row of one stage, everything."""
        if row.before not in self._stocks:
            self._stocks[row.before] = self._stock(row)
        return self._stocks[row.before]

    def _stock(self, row: Row) -> Stock:
        whole = self.whole(row)
        if not row.before.stages:
            return Stock(whole, np.arange(len(whole)), np.ones(len(whole)), [])
        stock = self.stock(row.before)
        recipe, treatment = self.treatment(row.before)
        weights = selectors.foreseen(treatment.selector, stock.train, recipe.epochs)
        rounds: list[dict[str, Any]] = []
        if weights is None:
            fitted = self.trained(row.before)
            weights, rounds = fitted.weights, rounds_of(fitted)
        left = weights > 0
        if not left.any():
            raise UserError(f"{row}: {row.before} eliminates every sample, and nothing is left to train on")
        return Stock(
            stock.train.take(left) if not left.all() else stock.train,
            stock.rows[left],
            weights[left],
            stock.rounds + rounds,
        )

    # look

    def reference(self, row: Row, atom: Atom) -> Params:
        """The model that a method looks at, of what a row's last stage works on: by default an ERM model."""
        method = self.experiment.registry.method(atom.name)
        own = f"{atom.name}-reference" if method.reference else "reference"
        return self._looked_at(row, method, method.reference, own, self.keys.reference(row, atom, self.seed))

    def early(self, row: Row, atom: Atom) -> Params:
        """The second model that a method looks at, where it has one."""
        method = self.experiment.registry.method(atom.name)
        key = self.keys.early(row, atom, self.seed)
        return self._looked_at(row, method, method.early, f"{atom.name}-early", key)

    def _looked_at(
        self,
        row: Row,
        method: Method,
        own: Callable[[Any, Examples], Treatment] | None,
        what: str,
        key: str,
    ) -> Params:
        e, stock = self.experiment, self.stock(row)
        if own:
            treatment = own(view(self.config, method), stock.train)
        else:
            treatment = Treatment(selectors.everyone(len(stock.train)))
        rule = self.config.train.select_reference
        treatment = treatment._replace(rule=rule, selector=carried(stock, treatment))
        before = f"{row.before.slug}-then-" if row.before.stages else ""
        on = "-on-clean" if row.data == "clean" else ""
        recipe = Recipe(**self.config.identify)
        name = self.name(f"{before}{what}{on}")
        return e.train(self.seed, name, key, stock.train, recipe, treatment).params

    def looked(self) -> dict[str, tuple[str, dict[str, np.ndarray]]]:
        """By slug: label and arrays (`flagged` among them) of each method that looked at the whole poisoned set."""
        e, seen = self.experiment, {}
        for row in (*e.looks, *e.rows):
            for atom in row.stages[0]:
                first = Row(((Atom(atom.name),),), row.data)
                if e.registry.method(atom.name).find and row.data == "poisoned":
                    label = rows.label(first, e.registry)
                    seen[first.slug] = (label, self.found(first, first.last[0]).arrays)
        return seen

    def found(self, row: Row, atom: Atom) -> Stage:
        """What a method finds among what a row's last stage works on; arrays with `flagged` [m]."""
        e, method = self.experiment, self.experiment.registry.method(atom.name)
        find = method.find
        assert find is not None
        on = row._replace(stages=(*row.before.stages, (Atom(atom.name),)))

        def compute() -> Stage:
            stock, seen = self.stock(row), view(self.config, method)
            found = find(seen, self.evidence(row, atom, method))
            flagged = np.asarray(found.arrays["flagged"])
            if flagged.dtype != bool or flagged.shape != (len(stock.train),):
                raise UserError(
                    f"method {method.name!r} found flags of shape {flagged.shape} and type {flagged.dtype} for "
                    f"{len(stock.train)} training samples; flagged must be a bool for each"
                )
            warnings = found.warnings or nobody_or_all(flagged)
            sets = report_sets(stock.train, e.n_classes, e.n_attributes)
            figures = {
                "row": str(on),
                "label": rows.label(on, e.registry),
                "idnf": metrics.shares_within(flagged, sets),
                "idnf_class": metrics.shares_within(
                    metrics.above_class(flagged.astype(float), stock.train.label), sets
                ),
                "n_flagged": int(flagged.sum()),
                "warnings": list(warnings),
            }
            for warning in warnings:
                e.progress.warn(f"{on}: {warning}")
            return Stage(found.arrays, figures | found.figures)

        return self._stage(f"{on.slug}.found", self.keys.found(row, atom, self.seed), compute, keep=True)

    def evidence(self, row: Row, atom: Atom, method: Method) -> Evidence:
        """What a method may look at."""
        e, stock = self.experiment, self.stock(row)
        names = method.scores_of(view(self.config, method))
        params = self.reference(row, atom)

        def scored(examples: Examples, params: Params = params) -> Scores:
            return e.network.score(params, examples, names) if len(examples) and names else {}

        return Evidence(
            seed=self.seed,
            label=stock.train.label,
            scores=scored(stock.train),
            val_label=self.splits.val.label,
            val_scores=scored(self.splits.val),
            base=self.splits.base,
            base_scores=scored(self.splits.base),
            kernel=np.asarray(params[HEAD]["kernel"]),
            image=stock.train.image,
            score=lambda image, wanted: e.network.score(params, image, wanted),
            n_classes=e.n_classes,
            early_scores=scored(stock.train, self.early(row, atom)) if method.early else None,
        )

    # treat

    def treatment(self, row: Row) -> tuple[Recipe, Treatment]:
        """How a row's last stage is trained: the treatments of its methods together."""
        stock = self.stock(row)
        recipe = Recipe(**self.config[recipe_section(row, self.keys)])
        ways = [self._treat(row, atom, stock, recipe) for atom in row.last]
        whole = treatments.together(ways)
        return whole.recipe or recipe, whole._replace(selector=carried(stock, whole))

    def _treat(self, row: Row, atom: Atom, stock: Stock, recipe: Recipe) -> Treatment:
        e, method = self.experiment, self.experiment.registry.method(atom.name)
        found = dict(self.found(row, atom).arrays) if method.find else {}
        is_poison = stock.train.is_poison
        if found:
            found["flagged"] = treatments.chosen(method.aim, atom.mode, found["flagged"], is_poison)
        case = Case(
            train=stock.train,
            found=found,
            mode=atom.mode,
            epochs=recipe.epochs,
            seed=self.seed,
            val=self.splits.val,
            base=self.splits.base,
            n_classes=e.n_classes,
            n_attributes=e.n_attributes,
        )
        treatment = treatments.check(method, method.treat(view(self.config, method), case), len(stock.train))
        return treatments.in_mode(method, atom.mode, treatment, is_poison)

    # fit

    def trained(self, row: Row) -> Fitted:
        """The training of a row."""
        e, stock = self.experiment, self.stock(row)
        recipe, treatment = self.treatment(row)
        start = None
        if treatment.start == "reference":
            atom = next(atom for atom in row.last if e.registry.method(atom.name).sole)
            start = self.reference(row, atom)
        key = self.keys.trained(row, self.seed)
        return e.train(self.seed, self.name(row.slug), key, stock.train, recipe, treatment, start)

    # evaluate

    def row(self, row: Row) -> Stage:
        """One row of the table: train, select by validation, and only then look at the split `evaluate`."""
        return self._stage(row.slug, self.keys.row(row, self.seed), lambda: self.evaluate(row))

    @functools.cached_property
    def clean_goal_logits(self) -> np.ndarray:
        """What the model trained on clean data says of the goal's inputs."""
        return self._goal_logits(self.trained(rows.plain_clean()).params)

    def _goal_logits(self, params: Params) -> np.ndarray:
        if not len(self.goal.image):
            return np.zeros((0, self.experiment.n_classes), np.float32)
        return self.experiment.network.score(params, self.goal.image, ("logits",))["logits"]

    def evaluate(self, row: Row) -> Stage:
        """Figures of the selected model on the split `evaluate` and on the attack's goal."""
        e, fitted, stock = self.experiment, self.trained(row), self.stock(row)
        scores = e.network.score(fitted.params, e.judged, ("logits", "correct"))
        counted = self.goal.counted
        by_group = e.group_accuracy(scores["correct"][counted], e.judged.take(counted))
        wga, worst = metrics.worst_group(by_group)
        counts = group_counts(self.splits.train, e.n_classes, e.n_attributes)
        goal_logits = self._goal_logits(fitted.params)
        clean = self.clean_goal_logits if e.attack.needs_clean else None
        weights = self._weights(row, stock, fitted)
        treatment = self.treatment(row)[1]
        doubts = treatments.done(rows.methods(row, e.registry), stock.train.label, fitted.weights)
        for warning in (warnings := [*treatment.warnings, *doubts]):
            e.progress.warn(f"{row}: {warning}")
        figures = {
            "row": str(row),
            "label": rows.label(row, e.registry),
            **rows.nature(row, e.registry),
            "acc": metrics.accuracy(scores["correct"][counted]),
            "acc_adjusted": metrics.adjusted_accuracy(by_group, counts),
            "wga": wga,
            "worst_group": worst,
            TEST_ERROR: self._test_error(scores["correct"], counted, worst),
            "group_acc": by_group.tolist(),
            **metrics.by_class(scores["logits"][counted], e.judged.true_label[counted]),
            **net(e.attack, self.goal.measure(goal_logits, clean)),
            "selected_epoch": fitted.epoch,
            "trials": self.goal.trials,
            **self._on_sets(row, weights, stock, fitted),
            "rounds": stock.rounds + rounds_of(fitted),
            "warnings": warnings,
            **treatment.figures,
        }
        arrays = {"logits": scores["logits"], "goal_logits": goal_logits, "weights": weights}
        return Stage(arrays, no_nan(figures))

    def _test_error(self, correct: np.ndarray, counted: np.ndarray, group: int) -> float:
        """Standard error of a group's accuracy from the finite split: images of the same raw image count together."""
        e = self.experiment
        rows = np.flatnonzero(counted & (group_ids(e.judged, e.n_attributes) == group))
        index = e.judged.index[rows]
        origins = self.splits.origins.get(self.config.evaluate)
        return intervals.clustered_error(
            correct[rows].astype(float), index if origins is None else origins[index]
        )

    def _weights(self, row: Row, stock: Stock, fitted: Fitted) -> Float[np.ndarray, " n"]:
        """Draws of every sample of the whole training set in the last epoch."""
        weights = np.zeros(len(self.whole(row)))
        weights[stock.rows] = fitted.weights
        return weights

    def _on_sets(
        self, row: Row, weights: Float[np.ndarray, " n"], stock: Stock, fitted: Fitted
    ) -> dict[str, Any]:
        """For each set of the training set: shares drawn more than once and finally not at all, and mean draws.

        Draws are per epoch, the mean over the epochs that the reported model has seen; eliminated samples count as 0.
        """
        e, whole = self.experiment, self.whole(row)
        sets = report_sets(whole, e.n_classes, e.n_attributes)
        seen = [one["set_draws"] for one in fitted.history[: fitted.epoch]]
        among = report_sets(stock.train, e.n_classes, e.n_attributes)
        draws = {}
        for name, members in sets.items():
            means = [epoch.get(name) for epoch in seen]
            known = [mean for mean in means if mean is not None]
            left = among[name].sum() / members.sum() if name in among and members.any() else 0.0
            draws[name] = float(np.mean(known)) * left if known else (0.0 if members.any() else None)
        return {
            "idnf": metrics.shares_within(weights > 1, sets),
            "idnf_class": metrics.shares_within(metrics.above_class(weights, whole.label), sets),
            "elmf": metrics.shares_within(weights == 0, sets),
            "draws": draws,
        }


def carried(stock: Stock, treatment: Treatment) -> selectors.Selector:
    """The selector of a treatment, times the draws that the stages before left."""
    if np.all(stock.weights == 1):
        return treatment.selector
    return selectors.chain(selectors.fixed(stock.weights), treatment.selector)


def nobody_or_all(flagged: Bool[np.ndarray, " n"]) -> tuple[str, ...]:
    """A warning if a method found no samples or nearly all: the result then hardly reflects the method."""
    n = int(flagged.sum())
    if 0 < n <= NEARLY_ALL * len(flagged):
        return ()
    return (
        f"flags {n} of {len(flagged)} training samples: its training is then plain training or close to it; look at "
        "the recipe of its reference model (identify.epochs, learning rate, decay)",
    )


def net(attack: Attack, measured: dict[str, float]) -> dict[str, float]:
    """The attack's figures, and its success less the rate without its doing, where it has such a rate."""
    if not attack.baseline:
        return measured
    return measured | {NET: measured[next(iter(attack.figures))] - measured[attack.baseline]}


def rounds_of(fitted: Fitted) -> list[dict[str, Any]]:
    """The share of each set that each round of a training had eliminated."""
    return [
        {"stage": one["stage"].partition("/")[2], "epoch": one["epoch"], "elmf": one["elmf"]}
        for one in fitted.history
        if "elmf" in one
    ]


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
