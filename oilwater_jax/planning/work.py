"""How often an experiment calls its programs: plain counting over its trainings, passes and crafting steps."""

from typing import NamedTuple

from oilwater_jax import registry, treatments
from oilwater_jax.config import Config
from oilwater_jax.planning.programs import CRAFT, GRADIENT, SCORE, TRAIN
from oilwater_jax.planning.sizes import Sizes

# Of the training samples, for want of knowing: JTT's own error sets are 4% of Waterbirds and 12% of CelebA (its
# precision and recall of the smallest group, Liu et al. 2021, table 3).
FLAGGED = 0.1


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
    rounds: int = 0  # of EPIc, each a pass over the training set


def trainings(config: Config, sizes: Sizes) -> list[_Training]:
    """All trainings of one seed, each once, as `Rooms` comes to them."""
    erm, robust, n = config.erm.epochs, config.robust.epochs, sizes.poisoned
    found = [
        _Training(f"attacker's {name}", sizes.auxiliary if config.attack.name == "sa" else sizes.train, erm)
        for name in registry.resolve(registry.ATTACKS, config.attack.name).MODELS
        if not (config.attack.name == "sa" and config.attack.sa.match == "feature")
    ]
    found.append(_Training("identify", n, config.identify.epochs))
    rows = list(config.rows)
    if any(treatments.kind(config, row).data == "survivors" for row in rows):
        rows += ["epic"] if "epic" not in rows else []
        found.append(_Training("identify after EPIc", n, config.identify.epochs))
    if config.attack.name == "sa" and "erm_clean" not in rows:
        rows.append("erm_clean")  # damage is measured against it
    for row in rows:
        kind = treatments.kind(config, row)
        epochs = erm if kind.recipe == "erm" else robust
        size = sizes.train if kind.data == "clean" else n
        if kind.mode and config.method.name == "jtt":
            size += int((config.method.lambda_up - 1) * FLAGGED * size)
        due = treatments.defence(config).due
        rounds = sum(bool(due(epoch)) for epoch in range(1, epochs + 1)) if kind.defended else 0
        found.append(_Training(row, size, epochs, rounds))
    return found


def count(config: Config, sizes: Sizes, per_call: dict[str, int], seeds: int) -> list[Work]:
    """The calls of `seeds` seeds. `per_call` says how many samples (of crafting: restarts) a call of a program
    takes.

    Counted as if no sample were eliminated and JTT flagged a share of FLAGGED. Left out: the work of the host,
    compiling, sending data, and passes over a few samples.
    """

    def passes(program: str, n: int) -> int:
        return -(-n // per_call[program])

    def steps(draws: int, epochs: int) -> int:
        return epochs * -(-draws // per_call[TRAIN])

    batch, chunk = per_call[TRAIN], per_call[SCORE]
    work = []
    if sizes.pretraining:
        epochs = config.pretrain.epochs
        counted = f"once: {epochs} epochs x {sizes.pretraining:,} draws / {batch}"
        work.append(Work("pretraining", TRAIN, steps(sizes.pretraining, epochs), counted))
    all_trainings = trainings(config, sizes)
    for one in all_trainings:
        counted = f"{seeds} x {one.epochs} epochs x {one.draws:,} draws / {batch}"
        work.append(Work(f"train {one.name}", TRAIN, seeds * steps(one.draws, one.epochs), counted))
    epochs = sum(one.epochs for one in all_trainings)
    work.append(
        Work(
            "validation after each epoch",
            SCORE,
            seeds * epochs * passes(SCORE, sizes.val),
            f"{seeds} x {epochs} x {sizes.val:,} / {chunk}",
        )
    )
    identified = sum(one.name.startswith("identify") for one in all_trainings)
    calls = passes(SCORE, sizes.poisoned) + passes(SCORE, sizes.val)
    counted = f"{seeds} x {identified} x ({sizes.poisoned:,} + {sizes.val:,}) / {chunk}"
    work.append(Work("scores of the identification", SCORE, seeds * identified * calls, counted))
    # The goal: a backdoor is measured on images with and without it, a subpopulation on all of them.
    times = {"dlbd": 3, "sa": 2}.get(config.attack.name, 1)
    calls = times * passes(SCORE, sizes.judged)
    counted = f"{seeds} x {len(config.rows)} rows x {times} x {sizes.judged:,} / {chunk}"
    work.append(Work("evaluation", SCORE, seeds * len(config.rows) * calls, counted))
    if rounds := sum(one.rounds for one in all_trainings):
        program = GRADIENT if config.epic.gradients == "all" else SCORE
        counted = f"{seeds} x {rounds} rounds x {sizes.poisoned:,} / {per_call[program]}"
        work.append(Work("EPIc", program, seeds * rounds * passes(program, sizes.poisoned), counted))
    if config.attack.name == "gm":
        gm = config.attack.gm
        groups = gm.restarts // per_call[CRAFT]
        counted = f"{seeds} x {gm.steps} steps x {groups} groups of restarts"
        work.append(Work("crafting", CRAFT, seeds * gm.steps * groups, counted))
    return work
