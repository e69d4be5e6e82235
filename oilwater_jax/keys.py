"""Keys of stages: short digests of everything that a stage depends on, derived automatically.

A key is made of what the stage's modules see of the config (`settings.config.view`), their versions, the content of
the files they are from, and the keys of the stages that they read. Two runs of a sweep that agree in a key share the
stage; a run folder's stage of another key is recomputed.

Stage          Read by
data           everything
pretrain       every training of the seed
base           every training: the network, how it is pretrained, how training is done
attack         whatever looks at the poisoned data
stock          what a row's last stage works on: the data, or what the stages before left of them
reference      the model that methods look at on a stock
found          what a method finds there
left           what a row's training leaves of its data
trained        a row's training
row            its evaluation
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oilwater_jax import __version__, rows
from oilwater_jax.entries import Entry
from oilwater_jax.models import record
from oilwater_jax.rows import Atom, Row
from oilwater_jax.settings.config import Config, looks_of, registry_of, rows_of, to_json, view
from oilwater_jax.stages import key_of


class Keys:
    """The keys of a config's stages; `identity` is of what the data were made from (`Splits.identity`)."""

    def __init__(self, config: Config, identity: str) -> None:
        self.config, self.identity = config, identity
        self.registry = registry_of(config)
        self.settings: dict[str, Any] = to_json(config)
        self.attack_entry = self.registry.attack(config.attack.name)

    def of(self, entry: Entry) -> dict[str, Any]:
        """What an entry contributes: name, version, digest of its file, all that it sees of the config."""
        return {
            "name": entry.name,
            "version": entry.version,
            "digest": self.registry.registered(entry.kind, entry.name).digest,
            "seen": to_json(view(self.config, entry)),
        }

    def _without(self, section: str, *names: str) -> Mapping[str, Any]:
        return {name: value for name, value in self.settings[section].items() if name not in names}

    @functools.cached_property
    def data(self) -> str:
        """The splits, wherever their files lie."""
        entry = self.of(self.registry.data(self.config.data.name))
        entry["seen"].pop("data", None)  # a source that it reads: its content is in the identity
        return key_of(__version__, entry, self._without("data", "source"), self.identity, self.config.smoke)

    @functools.cached_property
    def _network(self) -> tuple[Any, ...]:
        """The network, and how any training is done."""
        model = dict(self.settings["model"])
        if self.config.model.init_from:
            imported = record.read(Path(self.config.model.init_from))
            model["init_from"] = imported.sha256  # the weights, wherever they lie
        entry = self.registry.model(self.config.model.name)
        scores = [self.of(score) for score in self.registry.scores()]
        train = self._without("train", "select", "select_reference", "attributes")
        return self.of(entry), model, scores, train

    def seed_of(self, what: str, seed: int) -> int:
        """The seed of the attack or of the pretraining in a run of `seed`: its own, or the one that `seeds` fixes."""
        own = self.settings["seeds"][what]
        return seed if own < 0 else own

    def pretrain(self, seed: int) -> str:
        """A seed's pretraining: whatever is set aside of the training samples."""
        entry = self.of(self.registry.data(self.config.data.name))
        entry["seen"].pop("data", None)
        smoke = self.config.smoke
        recipe, own = self.settings["pretrain"], self.seed_of("pretrain", seed)
        return key_of(__version__, entry, self.identity, smoke, *self._network, recipe, own)

    @functools.cached_property
    def base(self) -> str:
        """What every training depends on, beside its recipe and its data."""
        fixed = self.settings["seeds"]["pretrain"]
        return key_of(self.data, *self._network, self.settings["pretrain"], fixed)

    def attacker(self, name: str, seed: int) -> str:
        """A model that the attacker trains."""
        return key_of(self.base, self.settings["erm"], name, self.seed_of("attack", seed))

    def attack(self, seed: int) -> str:
        """The poisons; those of an attacker who trains models depend on how trainings are done."""
        entry = self.attack_entry
        models = entry.models(view(self.config, entry))
        trained = (self.base, self.settings["erm"]) if models else ()
        return key_of(self.data, self.of(entry), self.seed_of("attack", seed), trained)

    def stock(self, row: Row, seed: int) -> str:
        """What a row without its last stage leaves to the last stage."""
        if row.before.stages:
            return self.left(row.before, seed)
        return key_of("clean", self.data) if row.data == "clean" else self.attack(seed)

    def reference(self, row: Row, atom: Atom, seed: int) -> str:
        """The model that a method looks at; most methods share theirs."""
        method = self.registry.method(atom.name)
        own = self.of(method) if method.reference else None
        return key_of(self.base, self.stock(row, seed), *self._identify, own, seed)

    @property
    def _identify(self) -> tuple[Any, ...]:
        return self.settings["identify"], self.settings["train"]["select_reference"]

    def early(self, row: Row, atom: Atom, seed: int) -> str:
        """The second model that a method looks at."""
        method = self.registry.method(atom.name)
        return key_of(self.base, self.stock(row, seed), *self._identify, self.of(method), "early", seed)

    def found(self, row: Row, atom: Atom, seed: int) -> str:
        """What a method finds; the mode is not looked at yet."""
        method = self.registry.method(atom.name)
        return key_of(self.reference(row, atom, seed), self.of(method))

    def trained(self, row: Row, seed: int) -> str:
        """A row's training, and which of its epochs is reported."""
        return key_of(self.left(row, seed), self.settings["train"]["select"])

    def left(self, row: Row, seed: int) -> str:
        """What a row's training leaves of its data, whichever epoch is reported."""
        methods = []
        for atom in row.last:
            method = self.registry.method(atom.name)
            looked = self.found(row, atom, seed) if method.find else None
            methods.append([self.of(method), atom.mode, looked])
        section = recipe_section(row, self)
        return key_of(self.base, seed, self.stock(row, seed), self.settings[section], methods)

    def row(self, row: Row, seed: int) -> str:
        """A row's figures: on the split that is evaluated, against the attack's goal."""
        clean = self.trained(rows.plain_clean(), seed) if self.attack_entry.needs_clean else None
        return key_of(self.trained(row, seed), self.config.evaluate, self.attack(seed), clean)

    def run(self, seeds: Sequence[int]) -> str:
        """A run of these seeds: all its stages, and so all that its summary depends on."""
        looks, wanted = rows_of(self.config), looks_of(self.config)
        found = [
            self.found(part, atom, seed)
            for seed in seeds
            for row in (*wanted, *looks)
            for part in rows.parts(row)
            for atom in part.last
            if self.registry.method(atom.name).find
        ]
        evaluated = [self.row(row, seed) for seed in seeds for row in wanted]
        return key_of("run", list(seeds), [self.attack(seed) for seed in seeds], found, evaluated)


def recipe_section(row: Row, keys: Keys) -> str:
    """The section of the recipe of a row's training: `robust` where one of its methods says so."""
    sections = {keys.registry.method(atom.name).recipe_section for atom in row.last}
    return "robust" if "robust" in sections else next(iter(sections))
