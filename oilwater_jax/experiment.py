"""What the seeds of an experiment share: the data, the programs, the store of stages, one way to train."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax import data, devices, metrics, objectives, rng, selectors
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids, report_sets
from oilwater_jax.keys import Keys
from oilwater_jax.models import record, weights
from oilwater_jax.models.variables import STATISTICS
from oilwater_jax.per_sample import Params
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.config import Config, looks_of, registry_of, rows_of
from oilwater_jax.stages import Stage, Store
from oilwater_jax.training import feed, recipes
from oilwater_jax.training import program as programs
from oilwater_jax.training.checkpoint import Checkpoints
from oilwater_jax.training.fit import Fitted, Listener, Task, fit
from oilwater_jax.training.step import Kind
from oilwater_jax.types import Examples, Recipe, Splits, Treatment

PRETRAIN_SHOWN = 1024  # samples that the accuracy shown while pretraining is taken on
NOTABLE = 1 << 28  # bytes of training images from which on it is told where they are


class Experiment:
    """The machinery of one config on one store.

    A key says what a stage depends on, so that runs of a sweep which agree in it share the stage.
    """

    def __init__(self, config: Config, splits: Splits, store: Store, progress: Progress) -> None:
        self.config, self.splits, self.store, self.progress = config, splits, store, progress
        self.n_classes, self.n_attributes = len(splits.class_names), len(splits.attribute_names)
        self.shape = splits.train.image.shape[1:]
        self.network = programs.network(config, self.shape, self.n_classes)
        self.registry = registry_of(config)
        self.attack = self.registry.attack(config.attack.name)
        self.rows, self.looks = rows_of(config), looks_of(config)
        self.judged = splits.val if config.evaluate == "val" else splits.test
        self.keys = Keys(config, splits.identity)
        self.streamed = self._streams()
        self._pretrained: dict[int, Params | None] = {}

    def _streams(self) -> bool:
        """Whether training sets are streamed to the device; said where they are not small."""
        nbytes, memory = self.splits.train.image.nbytes, devices.memory()
        streamed = devices.first(lambda: feed.streams(self.config.train.placement, nbytes, memory))
        if nbytes >= NOTABLE or streamed:
            how = "streamed to the device batch by batch" if streamed else "kept on the device"
            self.progress.say(
                f"training images: {nbytes / 1e9:.2f} GB, device memory: {memory / 1e9:.1f} GB; {how} "
                f"(train.placement = {self.config.train.placement})"
            )
        return streamed

    def stage(self, name: str, key: str, compute: Callable[[], Stage]) -> Stage:
        """The product of a stage: read if it is finished, else computed and saved."""
        place = self.store.place(name, key)
        self.progress.stage(name, 0)
        with self.store.held(place):
            product = devices.first(lambda: self.store.finished(place, key))
            if product is None:
                computed = compute()
                product = devices.first(lambda: self.store.finish(place, key, computed))
        self.progress.done(name, product.figures)
        return product

    def pretrained(self, seed: int) -> Params | None:
        """Stage `pretrain` of a seed: parameters below the last layer, from a task without the shortcut; None without.

        Every seed has a pretraining of its own, so that the spread over seeds holds all that a repetition would
        change. A finished stage's parameters come from its last checkpoint. With `model.init_from` there is no such
        stage, and they are the imported ones, the last layer among them where it has the data's number of classes.
        """
        seed = self.keys.seed_of("pretrain", seed)
        if seed not in self._pretrained:
            self._pretrained[seed] = self._imported if self.config.model.init_from else self._pretrain(seed)
        return self._pretrained[seed]

    def _pretrain(self, seed: int) -> Params | None:
        recipe = Recipe(**self.config.pretrain)
        if not recipe.epochs:
            return None
        examples = data.load_pretraining(self.config)
        n_labels = int(examples.label.max()) + 1
        network = programs.network(self.config, self.shape, n_labels)
        shown = examples.take(np.arange(min(PRETRAIN_SHOWN, len(examples))))

        def validate(params: Params) -> dict[str, float]:
            correct = network.score(params, shown, ("correct",))["correct"]
            return {"train_acc": metrics.accuracy(correct)}

        task = Task(
            name=f"seed{seed}/pretrain",
            seed=seed,
            train=examples,
            group=np.zeros(len(examples), np.int32),
            selector=selectors.everyone(len(examples)),
            objective=objectives.erm(),
            recipe=recipe,
            params=(network.init_params(seed),),
            validate=validate,
            rule="last",
        )
        kind = programs.PLAIN._replace(form=recipes.form(recipe))
        fitted = self._fit(task, self.keys.pretrain(seed), n_labels, kind)
        self.progress.done(task.name, fitted.history[-1])
        return {name: value for name, value in fitted.params.items() if name != "head"}

    @functools.cached_property
    def _imported(self) -> Params:
        """The weights of `model.init_from`."""
        folder = Path(self.config.model.init_from)
        imported = record.read(folder)
        params = weights.load(folder, imported)
        if imported.n_classes == self.n_classes:
            return params
        self.store.warn(
            f"the last layer in {folder} has {imported.n_classes} classes and the data has {self.n_classes}: "
            "every training starts with a new last layer"
        )
        return {name: value for name, value in params.items() if name != "head"}

    def start(self, seed: int, network: int = 0, pretrained: int | None = None) -> Params:
        """Where every training of a seed starts: its own weights, pretrained or imported below the last layer.

        `pretrained` is the seed whose pretraining it is; None: its own. Further networks that a method trains beside
        the first start from random weights of their own.
        """
        if network:
            return self.network.init_params(rng.name_id(f"network {network}") % 2**31 + seed)
        params = self.network.init_params(seed)
        begun = self.pretrained(seed if pretrained is None else pretrained)
        return params if begun is None else {**params, **begun}

    def train(
        self,
        seed: int,
        name: str,
        key: str,
        train: Examples,
        recipe: Recipe,
        treatment: Treatment,
        start: Params | None = None,
    ) -> Fitted:
        """Train the network on `train`, or read it from its last checkpoint if that has been done.

        It begins with `start`, or as every training of the seed does. Raises UserError.
        """
        objective, group = treatment.objective or objectives.erm(), treatment.group
        recipe = treatment.recipe or recipe
        begin = self.start(seed) if start is None else start
        if treatment.private and STATISTICS in begin:
            raise UserError(
                f"{name}: batch normalisation couples the samples of a batch, and this method clips each sample's "
                f"gradient; choose another network than model.name = {self.config.model.name!r}"
            )
        task = Task(
            name=name,
            seed=seed,
            train=train,
            group=np.zeros(len(train), np.int32) if group is None else group,
            selector=treatment.selector,
            objective=objective,
            recipe=recipe,
            params=(begin, *(self.start(seed, at) for at in range(1, objective.networks))),
            validate=functools.partial(self.validate, treatment.val_group),
            rule=treatment.rule or self.config.train.select,
            private=treatment.private,
            sets=report_sets(train, self.n_classes, self.n_attributes),
            stream=self.streamed,
        )
        kind = Kind(
            objective.update,
            objective.networks,
            treatment.trained,
            private=treatment.private is not None,
            form=recipes.form(recipe),
            mix=objective.mix,
        )
        return self._fit(task, key, self.n_classes, kind)

    def _fit(self, task: Task, key: str, n_classes: int, kind: Kind) -> Fitted:
        """A training with its checkpoints and its rows in the metrics."""
        place = self.store.place(task.name, key)
        program = programs.build(self.config, self.shape, n_classes, kind)

        def begin(rows: list[dict[str, Any]]) -> None:
            if devices.is_first():
                self.store.begin_metrics(place, task.name, rows)
            self.progress.stage(task.name, task.recipe.epochs)
            self.progress.resume(len(rows))

        def add(row: dict[str, Any]) -> None:
            if devices.is_first():
                self.store.add_metrics(place, row)
            self.progress.epoch(row)

        with self.store.held(f"{place}.training"):
            folder = devices.first(lambda: self.store.checkpoints(place, key))
            checkpoints = Checkpoints(
                folder, self.config.checkpoint.seconds, self.store.warn, of=f"{task.name} {key}"
            )
            try:
                return fit(program, task, checkpoints, Listener(begin, add, self.progress.step))
            finally:
                checkpoints.close()

    def validate(self, val_group: np.ndarray | None, params: Params) -> dict[str, Any]:
        """Accuracy and worst-group accuracy on validation; with groups of the method's own, their worst too."""
        val = self.splits.val
        correct = self.network.score(params, val, ("correct",))["correct"]
        by_group = self.group_accuracy(correct, val)
        figures: dict[str, Any] = {
            "val_acc": metrics.accuracy(correct),
            "val_wga": metrics.worst_group(by_group)[0],
            "val_by_group": [None if np.isnan(one) else float(one) for one in by_group],
            "val_worst_class": float(
                np.nanmin(metrics.class_accuracy(correct, val.true_label, self.n_classes))
            ),
        }
        if val_group is not None:
            by_cluster = metrics.group_accuracy(correct, val_group, int(val_group.max()) + 1)
            figures["val_worst_cluster"] = metrics.worst_group(by_cluster)[0]
        return figures

    def group_accuracy(self, correct: np.ndarray, examples: Examples) -> np.ndarray:
        """Accuracy of each true group [g]."""
        groups = group_ids(examples, self.n_attributes)
        return metrics.group_accuracy(correct, groups, self.splits.n_groups)
