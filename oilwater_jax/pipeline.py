"""The six rooms in order: data, attack, identify, amplify, fit, evaluate; and the report.

`run(config, workdir)` is the library's main function; the command line only parses for it. Every stage's
product is saved in the run folder under `stages/`, so a run that was cut off re-enters where it was.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from oilwater_jax import data, metrics, objectives, registry, selectors
from oilwater_jax.config import MODES, ROWS, Config, shrink, to_json
from oilwater_jax.environment import describe, use_compilation_cache
from oilwater_jax.errors import UserError
from oilwater_jax.files import write_json
from oilwater_jax.groups import group_counts, group_ids, report_sets
from oilwater_jax.per_sample import Params
from oilwater_jax.reporting import plots, summary
from oilwater_jax.reporting.page import write_page
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.robustness.amplify import amplified
from oilwater_jax.run_folder import RunFolder, Stage, read_json
from oilwater_jax.training import program as programs
from oilwater_jax.training.checkpoint import Checkpoints
from oilwater_jax.training.fit import Fitted, Listener, Task, fit
from oilwater_jax.training.step import Recipe
from oilwater_jax.types import Examples, Objective, Selector, Splits

PRETRAIN_SHOWN = 1024  # samples that the accuracy shown while pretraining is taken on
PRETRAIN_SEED = 0  # one pretraining serves all seeds, as one ImageNet model does


def run(
    config: Config,
    workdir: Path,
    *,
    seeds: int = 1,
    overwrite: bool = False,
    own: Mapping[str, Selector] | None = None,
) -> dict[str, Any]:
    """Run, or go on with, the experiment of a checked config; returns what summary.json holds.

    Seeds config.seed, config.seed + 1, ... `seeds` of them; more seeds may be asked of a folder later.
    `own` adds rows: selectors of yours by name (a Python identifier), trained by the recipe `robust` on the
    poisoned data. A folder knows them by name only: a changed selector wants a new name or folder.
    Raises UserError before anything is written where config, data or folder do not fit together.
    """
    small = shrink(config)
    splits = data.load(small.data.name, smoke=small.smoke)
    own = own or {}
    check(small, splits)
    taken = {"attack", "identify", *ROWS, *(summary.row_key(small.method.name, row) for row in ROWS)}
    for name in own:
        if not name.isidentifier() or name in taken:
            others = ", ".join(sorted(taken))
            raise UserError(f"own row {name!r}: the name must be an identifier other than {others}")
    with Progress() as progress:
        folder = RunFolder.open(workdir, to_json(config), overwrite=overwrite, warn=progress.warn)
        try:
            use_compilation_cache()
            write_json(workdir / "environment.json", describe())
            numbers = list(range(config.seed, config.seed + seeds))
            if (read_json(workdir / "summary.json") or {}).get("seeds") != numbers:
                (workdir / "summary.json").unlink(missing_ok=True)  # of other seeds: not this run's
            stages = 1 + (small.pretrain.epochs > 0) + len(numbers) * (2 + len(small.rows) + len(own))
            progress.begin(stages)
            experiment = Experiment(small, splits, folder, progress, own)
            shown, flagged = experiment.run_seed(numbers[0])
            for seed in numbers[1:]:
                experiment.run_seed(seed)
            progress.stage("report", 0)
            result = summary.summarise(folder.path, to_json(small), numbers, own)
            plots.write_training_images(workdir / "figures", shown, flagged, splits)
            plots.write_rates(workdir / "figures", result)
            write_page(workdir, result)
            write_json(workdir / "summary.json", result)  # last: it says that the run is finished
            progress.done("report")
        finally:
            folder.close()
    return result


def check(config: Config, splits: Splits) -> None:
    """Refuse settings that do not fit the data set. Raises UserError."""
    registry.resolve(registry.ATTACKS, config.attack.name).check(config, splits)
    if config.train.batch > len(splits.train):
        raise UserError(
            f"train.batch = {config.train.batch} is more than the {len(splits.train)} training samples"
        )


class Experiment:
    """The stages of one run folder. Each method is one stage and returns its saved product."""

    def __init__(
        self,
        config: Config,
        splits: Splits,
        folder: RunFolder,
        progress: Progress,
        own: Mapping[str, Selector],
    ) -> None:
        self.own = own
        self.config, self.splits, self.folder, self.progress = config, splits, folder, progress
        self.n_classes, self.n_attributes = len(splits.class_names), len(splits.attribute_names)
        shape = splits.train.image.shape[1:]
        self.program = programs.build(config, shape, self.n_classes)
        self.attack = registry.resolve(registry.ATTACKS, config.attack.name)
        self.judged = splits.val if config.evaluate == "val" else splits.test
        self.method = registry.resolve(registry.METHODS, config.method.name)
        self.goal = self.attack.make_goal(config, self.judged)

    def run_seed(self, seed: int) -> tuple[Examples, Bool[np.ndarray, " n"]]:
        """All stages of one seed, finished ones read, not computed; the poisoned training set and its flags."""
        poisoned = self.poisoned(seed)
        flagged = self.identify(seed, poisoned).arrays["flagged"]
        for row in (*self.config.rows, *self.own):
            self.row(seed, row, poisoned, flagged)
        return poisoned, flagged

    def stage(self, name: str, compute: Callable[[], Stage]) -> Stage:
        """The product of a stage: read if it is finished, else computed and saved."""
        self.progress.stage(name, 0)
        product = self.folder.finished(name) or self.folder.finish(name, compute())
        self.progress.done(name, product.figures)
        return product

    def poisoned(self, seed: int) -> Examples:
        """Stage `attack`: the poisoned training set (the stage's product holds the poisons only)."""
        n = len(self.splits.train)
        names = [self.splits.group_name(group) for group in range(self.splits.n_groups)]

        def compute() -> Stage:
            train = self.attack.attack(self.config, self.splits, seed)
            poisons = train.take(np.arange(n, len(train)))
            figures = {"n_poison": len(poisons), "n_train": n, "groups": names}
            return Stage(poisons.arrays(), figures)

        product = self.stage(f"seed{seed}/attack", compute)
        return self.splits.train.append(Examples(**product.arrays))

    @functools.cached_property
    def pretrained(self) -> Params | None:
        """Stage `pretrain`: parameters below the last layer, from a task without the shortcut; None without.

        A finished stage's parameters come from its last checkpoint.
        """
        recipe = Recipe(**self.config.pretrain)
        if not recipe.epochs:
            return None
        examples = data.load_pretraining(self.config.data.name, smoke=self.config.smoke)
        n_labels = int(examples.label.max()) + 1
        program = programs.build(self.config, examples.image.shape[1:], n_labels)

        shown = examples.take(np.arange(min(PRETRAIN_SHOWN, len(examples))))

        def validate(params: Params) -> dict[str, float]:
            correct = program.score(params, shown, ("correct",))["correct"]
            return {"train_acc": metrics.accuracy(correct)}

        task = Task(
            name="pretrain",
            seed=PRETRAIN_SEED,
            train=examples,
            group=np.zeros(len(examples), np.int32),
            selector=selectors.everyone(len(examples)),
            objective=objectives.erm(),
            recipe=recipe,
            params=program.init_params(PRETRAIN_SEED),
            validate=validate,
            rule="last",
        )
        fitted = self.fit(program, task)
        self.progress.done("pretrain", fitted.history[-1])
        return {name: value for name, value in fitted.params.items() if name != "head"}

    def start(self, seed: int) -> Params:
        """Where every training of a seed starts: the seed's own weights, pretrained below the last layer."""
        params = self.program.init_params(seed)
        return params if self.pretrained is None else {**params, **self.pretrained}

    def fit(self, program: programs.Program, task: Task) -> Fitted:
        """A training with its checkpoints and its rows in metrics.jsonl."""
        checkpoints = Checkpoints(
            self.folder.checkpoints(task.name), self.config.checkpoint.seconds, self.folder.warn
        )

        def begin(rows: list[dict[str, Any]]) -> None:
            self.folder.begin_metrics(task.name, rows)
            self.progress.stage(task.name, task.recipe.epochs)
            self.progress.resume(len(rows))

        def add(row: dict[str, Any]) -> None:
            self.folder.add_metrics(row)
            self.progress.epoch(row)

        try:
            return fit(program, task, checkpoints, Listener(begin, add))
        finally:
            checkpoints.close()

    def train(
        self,
        seed: int,
        name: str,
        train: Examples,
        recipe: Recipe,
        rule: str,
        selector: Selector,
        objective: Objective,
    ) -> Fitted:
        """Train the network of one stage of one seed on `train`."""
        task = Task(
            name=name,
            seed=seed,
            train=train,
            group=group_ids(train, self.n_attributes),
            selector=selector,
            objective=objective,
            recipe=recipe,
            params=self.start(seed),
            validate=self.validate,
            rule=rule,
        )
        shape = train.image.shape[1:]
        return self.fit(programs.build(self.config, shape, self.n_classes, objective.update), task)

    def validate(self, params: Params) -> dict[str, float]:
        """Validation accuracy and worst-group accuracy."""
        correct = self.program.score(params, self.splits.val, ("correct",))["correct"]
        by_group = self.group_accuracy(correct, self.splits.val)
        return {"val_acc": metrics.accuracy(correct), "val_wga": metrics.worst_group(by_group)[0]}

    def group_accuracy(self, correct: np.ndarray, examples: Examples) -> np.ndarray:
        """Accuracy of each group [g]."""
        groups = group_ids(examples, self.n_attributes)
        return metrics.group_accuracy(correct, groups, self.splits.n_groups)

    def identify(self, seed: int, train: Examples) -> Stage:
        """Stage `identify`: an ERM model after T epochs, its scores on the training set, and whom they flag."""
        recipe = Recipe(**self.config.identify)

        def compute() -> Stage:
            everyone = selectors.everyone(len(train))
            name = f"seed{seed}/identify"
            fitted = self.train(seed, name, train, recipe, "last", everyone, objectives.erm())
            scores = self.program.score(fitted.params, train, self.method.SCORES)
            flagged = self.method.flag(scores)
            sets = report_sets(train, self.n_classes, self.n_attributes)
            idnf = {name: metrics.share_within(flagged, members) for name, members in sets.items()}
            figures = {"idnf": summary.no_nan(idnf), "n_flagged": int(flagged.sum())}
            return Stage({"flagged": flagged, **scores}, figures)

        return self.stage(f"seed{seed}/identify", compute)

    def row(self, seed: int, row: str, poisoned: Examples, flagged: np.ndarray) -> Stage:
        """One row of the table: train, select by validation, and only then look at the split `evaluate`."""
        name = f"seed{seed}/{summary.row_key(self.config.method.name, row)}"
        clean = self.splits.train
        train = clean if row in ("erm_clean", "oracle", "group_dro") else poisoned
        robust = row in (*MODES, "group_dro", *self.own)
        recipe = Recipe(**(self.config.robust if robust else self.config.erm))

        def selector() -> Selector:
            if row in self.own:
                return self.own[row]
            if row in MODES:
                chosen = amplified(row, flagged, train.is_poison)
                return selectors.upsample(chosen, self.config.method.lambda_up)
            if row in ("oracle", "group_dro"):
                groups = group_ids(train, self.n_attributes)
                return selectors.balanced(groups)
            return selectors.everyone(len(train))

        def objective() -> Objective:
            if row == "group_dro":
                counts = group_counts(train, self.n_classes, self.n_attributes)
                return objectives.group_dro(counts, **self.config.group_dro)
            return objectives.erm()

        def compute() -> Stage:
            rule = self.config.train.select
            return self.evaluate(self.train(seed, name, train, recipe, rule, selector(), objective()))

        return self.stage(name, compute)

    def evaluate(self, fitted: Fitted) -> Stage:
        """Figures of the selected model on the split `evaluate` and on the attack's goal."""
        scores = self.program.score(fitted.params, self.judged, ("logits", "correct"))
        by_group = self.group_accuracy(scores["correct"], self.judged)
        wga, worst = metrics.worst_group(by_group)
        counts = group_counts(self.splits.train, self.n_classes, self.n_attributes)
        arrays = {"logits": scores["logits"]}
        if len(self.goal.image):
            goal_scores = self.program.score(fitted.params, self.goal.image, ("logits",))
            arrays["goal_logits"] = goal_scores["logits"]
        measured = self.goal.measure(arrays.get("goal_logits", np.zeros((0, self.n_classes))))
        figures = {
            "acc": metrics.accuracy(scores["correct"]),
            "acc_adjusted": metrics.adjusted_accuracy(by_group, counts),
            "wga": wga,
            "worst_group": worst,
            "group_acc": by_group.tolist(),
            **measured,
            "selected_epoch": fitted.epoch,
        }
        return Stage(arrays, summary.no_nan(figures))
