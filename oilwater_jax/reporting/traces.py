"""What a page shows beyond the summary: learning curves, selected samples, confusion.

Gathered from the stages and metrics of a run that is finished; nothing is trained or scored here.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax.groups import group_ids, report_sets
from oilwater_jax.reporting import palette
from oilwater_jax.reporting.charts import Chart, Series, chart
from oilwater_jax.reporting.gallery import Gallery, Pick, gallery, most_drawn
from oilwater_jax.rooms import Rooms
from oilwater_jax.rows import Row, label
from oilwater_jax.settings.field import Field
from oilwater_jax.stages import read_metrics

Metrics = Sequence[Mapping[str, Any]]
Arrays = Mapping[str, np.ndarray]


class Taken(NamedTuple):
    """What the samples of a group are taken for: how many they are, and the share of them taken for each class."""

    name: str
    n: int
    shares: list[float]


class Confusion(NamedTuple):
    """A training's predictions by group on the split that is evaluated, then those on the attack's inputs, if any."""

    label: str
    lines: list[Taken]


class Traces(NamedTuple):
    """What the page of a run shows besides its summary."""

    curves: list[Chart]
    losses: Chart | None
    gallery: Gallery | None
    classes: tuple[str, ...]
    confusions: list[Confusion]
    warnings: list[str]
    stages: list[str]
    fields: Mapping[str, Field]  # of the settings, by path: their defaults and help


NONE = Traces([], None, None, (), [], [], [], {})


def gather(rooms: Rooms, seeds: Sequence[int], figures: Mapping[str, Mapping[str, Any]]) -> Traces:
    """The traces of a run, from the rooms of its first seed and the figures of its stages by name."""
    e = rooms.experiment
    names = {row: label(row, e.registry) for row in e.rows}
    read = functools.cache(read_metrics)
    metrics = {row: [_metrics(rooms, row, seed, read) for seed in seeds] for row in e.rows}
    arrays = {row: _arrays(rooms, row) for row in e.rows}
    groups = [e.splits.group_name(group) for group in range(e.splits.n_groups)]
    chosen = {row: [figures[f"seed{s}/{row.slug}"]["selected_epoch"] for s in seeds] for row in e.rows}
    losses = [
        Series(names[row], palette.series(at), over_seeds(own, "loss"))
        for at, (row, own) in enumerate(metrics.items())
        if any(own)
    ]
    return Traces(
        [curve(names[row], own, groups, chosen[row]) for row, own in metrics.items() if any(own)],
        chart("", losses, x_label="epoch", share=False) if losses else None,
        _gallery(rooms, names, arrays),
        e.splits.class_names,
        _confusions(rooms, names, arrays),
        remarks(figures),
        sorted(figures),
        e.registry.fields,
    )


def _metrics(rooms: Rooms, row: Row, seed: int, read: Callable[[Path], Metrics]) -> Metrics:
    """A training's row of each epoch; none where they were lost."""
    e, name = rooms.experiment, f"seed{seed}/{row.slug}"
    path = e.store.metrics(e.store.place(name, e.keys.trained(row, seed)))
    own = (one for one in read(path) if one["stage"] == name)
    return sorted(own, key=lambda one: int(one["epoch"]))


def _arrays(rooms: Rooms, row: Row) -> Arrays:
    """The arrays of a training's evaluation; none where they were lost."""
    store, key = rooms.experiment.store, rooms.keys.row(row, rooms.seed)
    stage = store.finished(store.place(rooms.name(row.slug), key), key)
    return {} if stage is None else stage.arrays


def over_seeds(
    seeds: Sequence[Metrics], field: str, at: int | None = None
) -> list[tuple[float, float | None]]:
    """The mean over the seeds of a field (of a list: of its entry `at`) in each epoch; None where it is undefined."""
    return [(x, None if known is None else float(np.mean(known))) for x, known in _by_epoch(seeds, field, at)]


def _by_epoch(seeds: Sequence[Metrics], field: str, at: int | None) -> list[tuple[int, list[float] | None]]:
    """Each epoch's values of the seeds that came so far; None where one of them is undefined or none."""
    found: dict[int, list[Any]] = {}
    for rows in seeds:
        for row in rows:
            value = row.get(field)
            if at is not None:
                value = value[at] if isinstance(value, list) and at < len(value) else None
            found.setdefault(row["epoch"], []).append(value)
    return [
        (epoch, values if all(isinstance(one, int | float) for one in values) else None)
        for epoch, values in sorted(found.items())
    ]


def curve(title: str, seeds: Sequence[Metrics], groups: Sequence[str], chosen: Sequence[int]) -> Chart:
    """A training's accuracy on each group of validation over the epochs, mean and range over the seeds."""
    lines = []
    for at, name in enumerate(groups):
        known = [(x, values) for x, values in _by_epoch(seeds, "val_by_group", at) if values is not None]
        if not known:
            continue
        band = [(float(x), min(values), max(values)) for x, values in known] if len(seeds) > 1 else []
        lines.append(Series(name, palette.series(at), over_seeds(seeds, "val_by_group", at), band))
    return chart(title, lines, x_label="epoch", chosen=chosen)


def _gallery(rooms: Rooms, names: Mapping[Row, str], arrays: Mapping[Row, Arrays]) -> Gallery:
    """Samples of the first seed's poisoned training set."""
    e, train = rooms.experiment, rooms.poisoned
    sets = report_sets(train, e.n_classes, e.n_attributes)
    picks = [Pick("poisons", np.flatnonzero(train.is_poison))]
    flagged: dict[str, Bool[np.ndarray, " n"]] = {}
    for by, found in rooms.looked().values():
        flagged[by] = np.asarray(found["flagged"])
        picks.append(Pick(f"flagged by {by}", np.flatnonzero(flagged[by])))
    weights: dict[str, Float[np.ndarray, " n"]] = {}
    for row, name in names.items():
        own = arrays[row].get("weights")
        if own is None or row.data == "clean" or len(own) != len(train):
            continue
        weights[name] = own
        picks.append(Pick(f"eliminated by {name}", np.flatnonzero(own == 0)))
        picks.append(Pick(f"drawn most by {name}", most_drawn(own)))
    return gallery(train, e.splits, sets, picks, flagged, weights)


def _confusions(rooms: Rooms, names: Mapping[Row, str], arrays: Mapping[Row, Arrays]) -> list[Confusion]:
    """The first seed's predictions of every training."""
    e, found = rooms.experiment, []
    groups = group_ids(e.judged, e.n_attributes)
    group_names = [e.splits.group_name(group) for group in range(e.splits.n_groups)]
    for row, name in names.items():
        if "logits" not in arrays[row]:
            continue
        counted = rooms.goal.counted
        lines = taken(arrays[row]["logits"][counted], groups[counted], group_names)
        attack = arrays[row]["goal_logits"]
        lines += taken(attack, np.zeros(len(attack), np.int32), ["the attack's inputs"])
        found.append(Confusion(name, lines))
    return found


def taken(
    logits: Float[np.ndarray, "n k"], groups: Int[np.ndarray, " n"], names: Sequence[str]
) -> list[Taken]:
    """Of each group (that has samples) the share that is taken for each class."""
    predicted = np.argmax(logits, axis=-1)
    found = []
    for group, name in enumerate(names):
        own: Bool[np.ndarray, " n"] = groups == group
        if n := int(own.sum()):
            shares = np.bincount(predicted[own], minlength=logits.shape[-1]) / n
            found.append(Taken(name, n, shares.tolist()))
    return found


def remarks(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The warnings that the stages keep, each once, with the stages that have it."""
    found: dict[str, list[str]] = {}
    for name, one in sorted(figures.items()):
        for warning in one.get("warnings", ()):
            found.setdefault(warning, []).append(name)
    return [f"{', '.join(names)}: {warning}" for warning, names in found.items()]
