"""How often an experiment calls its programs: plain counting over its trainings, passes and crafting steps."""

from typing import NamedTuple

from oilwater_jax.attacks.lab import Costly
from oilwater_jax.keys import Keys, recipe_section
from oilwater_jax.per_sample.scores import FROM_GRADIENT
from oilwater_jax.planning.programs import GRADIENT, SCORE, TRAIN, objective
from oilwater_jax.planning.sizes import Sizes
from oilwater_jax.rows import Row, parts, plain_clean
from oilwater_jax.settings.config import Config, looks_of, rows_of, view


class Work(NamedTuple):
    """Calls of one program for one purpose, in all seeds, and how they were counted."""

    what: str
    program: str
    calls: int
    counted: str


class _Training(NamedTuple):
    name: str
    draws: int  # per epoch
    epochs: int
    program: str = TRAIN
    rounds: int = 0  # each a pass over the training set
    in_rounds: str = SCORE  # the program of that pass


def trainings(config: Config, sizes: Sizes) -> list[_Training]:
    """All trainings of one seed, each once, as `Rooms` comes to them."""
    keys = Keys(config, "")
    attack = keys.attack_entry
    on = sizes.auxiliary if attack.on_auxiliary else sizes.train
    models = attack.models(view(config, attack))
    found = {f"attacker's {name}": _Training(f"attacker's {name}", on, config.erm.epochs) for name in models}
    rows = list(rows_of(config))
    if attack.needs_clean and plain_clean() not in rows:
        rows.append(plain_clean())
    for row in (*looks_of(config), *rows):
        for part in parts(row):
            found |= _references(config, sizes, keys, part)
            if (row in rows and part == row) or (part != row and _rounds(config, keys, part)):
                found[str(part)] = _training(config, sizes, keys, part)
    return list(found.values())


def _references(config: Config, sizes: Sizes, keys: Keys, row: Row) -> dict[str, _Training]:
    """The models that a row's last stage looks at."""
    before = f" after {row.before}" if row.before.stages else ""
    size, found = sizes.train if row.data == "clean" else sizes.poisoned, {}
    for atom in row.last:
        method = keys.registry.method(atom.name)
        if method.find:
            own = f" of {method.name}" if method.reference else ""
            name = f"reference{own}{before}" + (" on clean data" if row.data == "clean" else "")
            found[name] = _Training(name, size, config.identify.epochs)
    return found


def _rounds(config: Config, keys: Keys, row: Row) -> int:
    epochs = config[recipe_section(row, keys)].epochs
    methods = [keys.registry.method(atom.name) for atom in row.last]
    return sum(method.rounds(view(config, method), epochs) for method in methods)


def _training(config: Config, sizes: Sizes, keys: Keys, row: Row) -> _Training:
    n = sizes.train if row.data == "clean" else sizes.poisoned
    draws, in_rounds = n, []
    for atom in row.last:
        method = keys.registry.method(atom.name)
        draws += method.draws(view(config, method), n) - n
        in_rounds += method.in_rounds(view(config, method))
    program, _ = objective(config, row, sizes.n_classes)
    passes = GRADIENT if any(name in FROM_GRADIENT for name in in_rounds) else SCORE
    epochs = config[recipe_section(row, keys)].epochs
    return _Training(str(row), draws, epochs, program, _rounds(config, keys, row), passes)


def count(
    config: Config, sizes: Sizes, per_call: dict[str, int], seeds: int, costly: Costly | None = None
) -> list[Work]:
    """The calls of `seeds` seeds. `per_call` says how many samples (of crafting: restarts) a call of a program
    takes.

    Counted as if no sample were eliminated, with what methods estimate of their draws. Left out: the work of the host,
    compiling, sending data, and passes over a few samples.
    """

    def passes(program: str, n: int) -> int:
        return -(-n // per_call[program])

    def steps(draws: int, epochs: int, program: str = TRAIN) -> int:
        return epochs * -(-draws // per_call[program])

    batch, chunk = per_call[TRAIN], per_call[SCORE]
    work = []
    if sizes.pretraining:
        epochs = config.pretrain.epochs
        counted = f"once: {epochs} epochs x {sizes.pretraining:,} draws / {batch}"
        work.append(Work("pretraining", TRAIN, steps(sizes.pretraining, epochs), counted))
    all_trainings = trainings(config, sizes)
    for one in all_trainings:
        counted = f"{seeds} x {one.epochs} epochs x {one.draws:,} draws / {batch}"
        calls = seeds * steps(one.draws, one.epochs, one.program)
        work.append(Work(f"train {one.name}", one.program, calls, counted))
    epochs = sum(one.epochs for one in all_trainings)
    work.append(
        Work(
            "validation after each epoch",
            SCORE,
            seeds * epochs * passes(SCORE, sizes.val),
            f"{seeds} x {epochs} x {sizes.val:,} / {chunk}",
        )
    )
    identified = sum(one.name.startswith("reference") for one in all_trainings)
    calls = passes(SCORE, sizes.poisoned) + passes(SCORE, sizes.val)
    counted = f"{seeds} x {identified} x ({sizes.poisoned:,} + {sizes.val:,}) / {chunk}"
    work.append(Work("scores of reference models", SCORE, seeds * identified * calls, counted))
    keys = Keys(config, "")
    times = 1 + keys.attack_entry.passes  # accuracies, and the attack's goal
    calls = int(times * passes(SCORE, sizes.judged))
    counted = f"{seeds} x {len(config.rows)} rows x {times:g} x {sizes.judged:,} / {chunk}"
    work.append(Work("evaluation", SCORE, seeds * len(config.rows) * calls, counted))
    for program in (SCORE, GRADIENT):
        if rounds := sum(one.rounds for one in all_trainings if one.in_rounds == program):
            counted = f"{seeds} x {rounds} rounds x {sizes.poisoned:,} / {per_call[program]}"
            work.append(Work("rounds", program, seeds * rounds * passes(program, sizes.poisoned), counted))
    if costly:
        counted = f"{seeds} x {costly.counted}"
        work.append(Work("crafting", costly.what, seeds * costly.calls, counted))
    return work
