"""How often an experiment calls its programs: plain counting over its trainings, passes and crafting steps."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from oilwater_jax import selectors
from oilwater_jax.attacks.lab import Costly
from oilwater_jax.entries import Method
from oilwater_jax.keys import Keys, recipe_section
from oilwater_jax.per_sample.scores import FROM_GRADIENT
from oilwater_jax.planning.programs import GRADIENT, SCORE, TRAIN, objective
from oilwater_jax.planning.sizes import Sizes
from oilwater_jax.rows import Row, parts, plain_clean
from oilwater_jax.settings.config import Config, looks_of, rows_of, view
from oilwater_jax.types import Examples, Treatment


class Work(NamedTuple):
    """Calls of one program for one purpose, in one seed, and how they were counted.

    `row` is the row that it is for; empty for what several share, which is then done once.
    """

    what: str
    program: str
    times: int
    each: int  # calls each time
    counted: str  # what is done `times` times
    row: str = ""

    @property
    def calls(self) -> int:
        """Of the program."""
        return self.times * self.each


class Training(NamedTuple):
    """A training of one seed."""

    name: str
    draws: int  # per epoch
    epochs: int
    program: str = TRAIN
    rounds: int = 0  # each a pass over the training set
    in_rounds: str = SCORE  # the program of that pass
    row: str = ""  # that it is for alone


class Look(NamedTuple):
    """What a method looks at before it treats: samples that its reference models are asked about."""

    name: str
    samples: tuple[int, ...]  # each a pass


def everything(config: Config, sizes: Sizes) -> tuple[list[Training], list[Look]]:
    """All trainings of one seed and all looks, each once, as `Rooms` comes to them."""
    keys = Keys(config, "")
    found = {one.name: one for one in _attackers(config, keys, sizes).values()}
    looks: dict[str, Look] = {}
    rows = _trained(config, keys)
    for row in (*looks_of(config), *rows):
        for part in parts(row):
            references, looked = _looked(config, sizes, keys, part)
            found |= references
            looks |= looked
            own = row in rows and part == row
            if own or (part != row and _rounds(config, keys, part)):
                before = found.get(str(part))
                one = _training(config, sizes, keys, part, str(row) if own else "")
                found[str(part)] = before if before and not before.row else one  # what others read is shared
    return list(found.values()), list(looks.values())


def by_key(config: Config, keys: Keys, sizes: Sizes, seed: int) -> dict[str, Training]:
    """The trainings of a seed's rows by the keys that their checkpoints go by, pretraining among them."""
    found: dict[str, Training] = {}
    if sizes.pretraining:
        found[keys.pretrain(seed)] = Training("pretraining", sizes.pretraining, config.pretrain.epochs)
    for name, one in _attackers(config, keys, sizes).items():
        found[keys.attacker(name, seed)] = one
    for row in _trained(config, keys):
        for part in parts(row):
            n = sizes.train if part.data == "clean" else sizes.poisoned
            for atom in part.last:
                method = keys.registry.method(atom.name)
                seen = view(config, method)
                if method.find:
                    one = _reference(config, "reference", method.reference, seen, n, sizes)
                    found[keys.reference(part, atom, seed)] = one
                if method.early:
                    found[keys.early(part, atom, seed)] = _reference(
                        config, "early", method.early, seen, n, sizes
                    )
            if part == row or _rounds(config, keys, part):
                found[keys.trained(part, seed)] = _training(config, sizes, keys, part, "")
    return found


def _attackers(config: Config, keys: Keys, sizes: Sizes) -> dict[str, Training]:
    """The attacker's models by their names."""
    attack = keys.attack_entry
    on = sizes.auxiliary if attack.on_auxiliary else sizes.train
    names = attack.models(view(config, attack))
    return {name: Training(f"attacker's {name}", on, config.erm.epochs) for name in names}


def _trained(config: Config, keys: Keys) -> list[Row]:
    """The rows that are trained: the config's, and ERM on clean data where success is measured against it."""
    rows = list(rows_of(config))
    if keys.attack_entry.needs_clean and plain_clean() not in rows:
        rows.append(plain_clean())
    return rows


def _looked(
    config: Config, sizes: Sizes, keys: Keys, row: Row
) -> tuple[dict[str, Training], dict[str, Look]]:
    """The models that a row's last stage looks at, and what it asks them."""
    after = (f" after {row.before}" if row.before.stages else "") + (
        " on clean data" if row.data == "clean" else ""
    )
    n = sizes.train if row.data == "clean" else sizes.poisoned
    found, looks = {}, {}
    for atom in row.last:
        method = keys.registry.method(atom.name)
        if not method.find:
            continue
        seen, base = view(config, method), config.data.base
        own = f" of {method.name}" if method.reference else ""
        found[f"reference{own}{after}"] = _reference(
            config, f"reference{own}{after}", method.reference, seen, n, sizes
        )
        samples = [n, sizes.val, base] if method.scores_of(seen) else []
        if method.early:
            name = f"early model of {method.name}{after}"
            found[name] = _reference(config, name, method.early, seen, n, sizes)
            samples.append(n)
        if method.in_find:
            samples.append(method.in_find(seen, n, base))
        looks[f"{method.name}{after}"] = Look(f"{method.name}{after}", tuple(filter(None, samples)))
    return found, looks


def _reference(
    config: Config, name: str, own: Callable[..., Treatment] | None, seen: Any, n: int, sizes: Sizes
) -> Training:
    """A model that a method looks at: one of its own has its treatment's draws and, if there is one, recipe."""
    if own is None:
        return Training(name, n, config.identify.epochs)
    stand_in = _stand_in(n, sizes)
    treatment = own(seen, stand_in)
    epochs = treatment.recipe.epochs if treatment.recipe else config.identify.epochs
    weights = selectors.foreseen(treatment.selector, stand_in, epochs)
    return Training(name, n if weights is None else round(float(weights.sum())), epochs)


def _stand_in(n: int, sizes: Sizes) -> Examples:
    """N samples without pixels, evenly of all classes."""
    label = np.arange(n, dtype=np.int32) % sizes.n_classes
    return Examples(
        image=np.zeros((n, 1, 1, 1), np.uint8),
        label=label,
        true_label=label,
        attribute=np.zeros(n, np.int32),
        is_poison=np.zeros(n, bool),
        index=np.arange(n, dtype=np.int32),
    )


def _methods(keys: Keys, row: Row) -> list[Method]:
    return [keys.registry.method(atom.name) for atom in row.last]


def _epochs(config: Config, keys: Keys, row: Row) -> int:
    """Of a row's training: those of a recipe of a method's own, or of its section."""
    own = [method.epochs(view(config, method)) for method in _methods(keys, row) if method.epochs]
    return own[0] if own else config[recipe_section(row, keys)].epochs


def _rounds(config: Config, keys: Keys, row: Row) -> int:
    epochs = _epochs(config, keys, row)
    return sum(method.rounds(view(config, method), epochs) for method in _methods(keys, row))


def _training(config: Config, sizes: Sizes, keys: Keys, row: Row, alone: str) -> Training:
    n = sizes.train if row.data == "clean" else sizes.poisoned
    draws, in_rounds = n, []
    for method in _methods(keys, row):
        draws += method.draws(view(config, method), n) - n
        in_rounds += method.in_rounds(view(config, method))
    program, _ = objective(config, row, sizes.n_classes)
    passes = GRADIENT if any(name in FROM_GRADIENT for name in in_rounds) else SCORE
    epochs = _epochs(config, keys, row)
    return Training(str(row), draws, epochs, program, _rounds(config, keys, row), passes, alone)


def count(
    config: Config, sizes: Sizes, per_call: dict[str, int], costly: Sequence[Costly] = ()
) -> list[Work]:
    """The calls of a seed. `per_call` says how many samples (of crafting: restarts) a call of a program takes.

    Counted as if no sample were eliminated, with what methods estimate of their draws; a training of the last layer
    alone as one of all. Left out: the work of the host, compiling, sending data, and passes over a few samples.
    """

    def passes(program: str, n: int) -> int:
        return -(-n // per_call[program])

    work = []
    if sizes.pretraining:
        each = passes(TRAIN, sizes.pretraining)
        counted = f"epochs x {sizes.pretraining:,} draws"
        work.append(Work("pretraining", TRAIN, config.pretrain.epochs, each, counted))
    all_trainings, looks = everything(config, sizes)
    for one in all_trainings:
        name, counted = f"train {one.name}", f"epochs x {one.draws:,} draws"
        work.append(Work(name, one.program, one.epochs, passes(one.program, one.draws), counted, one.row))
    for one in all_trainings:
        each, counted = passes(SCORE, sizes.val), f"epochs x {sizes.val:,}"
        work.append(Work("validation after each epoch", SCORE, one.epochs, each, counted, one.row))
    for look in looks:
        each, counted = (
            sum(passes(SCORE, n) for n in look.samples),
            " + ".join(f"{n:,}" for n in look.samples),
        )
        work.append(Work(f"what {look.name} looks at", SCORE, 1, each, counted))
    keys = Keys(config, "")
    times = 1 + keys.attack_entry.passes  # accuracies, and the attack's goal
    for row in rows_of(config):
        each, counted = math.ceil(times * passes(SCORE, sizes.judged)), f"rows x {times:g} x {sizes.judged:,}"
        work.append(Work("evaluation", SCORE, 1, each, counted, str(row)))
    for one in all_trainings:
        if one.rounds:
            each, counted = passes(one.in_rounds, sizes.poisoned), f"rounds x {sizes.poisoned:,}"
            work.append(Work("rounds", one.in_rounds, one.rounds, each, counted, one.row))
    work += [Work("crafting", one.what, 1, one.calls, one.counted) for one in costly]
    return work


def merged(work: Iterable[Work]) -> list[Work]:
    """The same, with what is counted alike for several rows in one line."""
    lines: dict[tuple[str, str, int, str], Work] = {}
    for one in work:
        key = (one.what, one.program, one.each, one.counted)
        lines[key] = one._replace(times=one.times + lines[key].times, row="") if key in lines else one
    return list(lines.values())


def wall(work: Sequence[Work], seconds: dict[str, float], seeds: int, chips: int) -> float:
    """Seconds of a sweep whose runs have a row each, every seed of a run on one of the chips.

    What rows share is done first, on one chip for each seed; then its rows, the longest first, as chips come free.
    """

    def total(rows: Callable[[Work], bool]) -> float:
        return sum(one.calls * seconds[one.program] for one in work if one.program in seconds and rows(one))

    shared = total(lambda one: not one.row)
    names = dict.fromkeys(one.row for one in work if one.row)
    longest = sorted((total(lambda one, name=name: one.row == name) for name in names), reverse=True)
    free, ready = [0.0] * chips, []
    for _ in range(seeds):
        at = free.index(min(free))
        free[at] += shared
        ready.append(free[at])
    for length in longest:
        for seed in ready:
            at = free.index(min(free))
            free[at] = max(free[at], seed) + length
    return max(free)
