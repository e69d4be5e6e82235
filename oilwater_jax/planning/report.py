"""`oilwater plan`: compile the programs one by one; print their costs and those of the experiment."""

import resource
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from oilwater_jax.errors import UserError
from oilwater_jax.planning import chips, kept, programs, roofline, sizes, work
from oilwater_jax.planning.chips import Target
from oilwater_jax.planning.programs import Planned
from oilwater_jax.planning.roofline import Cost
from oilwater_jax.planning.work import Work
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.config import Config, shrink

MAXRSS = 1e9 if sys.platform == "darwin" else 1e9 / 1024  # of the process's memory as it is counted, in a GB
SECONDS_PER_CHARACTER = 6e-5  # of compiling for a TPU on one core; only until a plan has measured its own


class Outcome(NamedTuple):
    """A program, and what its compilation said of it."""

    planned: Planned
    cost: Cost


class Way(NamedTuple):
    """One way to use the chips: how many work on a training together, and what an experiment's seed then calls."""

    chips: int
    counted: list[Work]
    outcomes: list[Outcome]  # of the programs that it calls

    def seconds(self, target: Target) -> dict[str, float]:
        """The least time of a call of each program for which there is one."""
        times = {one.planned.name: roofline.least_time(one.cost, target.chip) for one in self.outcomes}
        return {name: time.seconds for name, time in times.items() if time is not None}

    def fits(self, target: Target) -> bool:
        """Whether every program has room."""
        return all(roofline.fits(one.cost, target.chip) for one in self.outcomes)


def run(config: Config, topology: str, *, seeds: int = 1) -> bool:
    """Plan a checked config and print the plan. True if at least one way fits. Raises UserError."""
    target = chips.find(topology)
    small = shrink(config)
    found = sizes.find(small)
    planned = programs.plan(small, found, target)
    with Progress() as progress:
        outcomes = compile_all(planned, target, progress)
        progress.say(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS:.2f} GB")
    ways = ways_of(small, found, target, outcomes)
    print_plan(Console(), small, found, target, outcomes, ways, seeds)
    return any(way.fits(target) for way in ways)


def ways_of(config: Config, found: sizes.Sizes, target: Target, outcomes: Sequence[Outcome]) -> list[Way]:
    """One training over all chips, and one per chip; a single one where there is one chip."""
    costly = [one.planned.costly for one in outcomes if one.planned.costly]
    ways = []
    for count in dict.fromkeys((target.devices, 1)):
        called = [
            one
            for one in outcomes
            if one.planned.chips == count
            or one.planned.name
            not in {other.planned.name for other in outcomes if other.planned.chips == count}
        ]
        over = {programs.SCORE: count, programs.GRADIENT: count}  # chips that share the rows of a pass
        calls = {one.planned.name: one.planned.per_call * over.get(one.planned.name, 1) for one in called}
        ways.append(Way(count, work.count(config, found, calls, costly), called))
    return ways


def compile_all(planned: Sequence[Planned], target: Target, progress: Progress) -> list[Outcome]:
    """Compile the programs that no earlier plan has, and say how long that may take."""
    progress.begin(len(planned))
    asked = [ask(one, target, progress) for one in planned]
    rate, outcomes = SECONDS_PER_CHARACTER, []
    left = [len(text) for _, text, _, before in asked if before is None]
    for at, (one, text, lowered, said) in enumerate(asked, 1):
        how = "known from an earlier plan, compiled then"
        if said is None:
            how = "compiled"
            name = f"compiling {at} of {len(planned)}: {one.name}, {_chips(one.chips)}"
            progress.stage(name, 0)
            progress.say(
                f"{name}; about {rate * len(text):.0f} s, with those after it {rate * sum(left):.0f} s"
            )
            said = compile_one(one, lowered)
            kept.write(kept.key(text, target.name), said)
            rate = said["seconds"] / len(text)
            left.pop(0)
        refusal = said.get("refusal")
        cost = roofline.refused(refusal, one.known) if refusal else roofline.measure(said, one.known)
        assert cost is not None  # no other refusal is kept
        outcomes.append(Outcome(one, cost))
        progress.done(f"{one.name}, {_chips(one.chips)}: {how} in {said['seconds']:.0f} s")
    return outcomes


def ask(
    planned: Planned, target: Target, progress: Progress
) -> tuple[Planned, str, Any, dict[str, Any] | None]:
    """A program lowered: its text, what can be compiled, and what is known of it from an earlier plan."""
    progress.stage(f"tracing: {planned.name}", 0)
    with chips.quiet():
        lowered = planned.function.lower(*planned.arguments)
    text = lowered.as_text()
    return planned, text, lowered, kept.read(kept.key(text, target.name))


def compile_one(planned: Planned, lowered: Any) -> dict[str, Any]:
    """What the compiler says of a program, or that it is too large. Raises UserError if it fails otherwise."""
    began = time.monotonic()
    try:
        with chips.quiet():
            said: dict[str, Any] = dict(roofline.said(lowered.compile()))
    except jax.errors.JaxRuntimeError as error:
        if roofline.refused(str(error), planned.known) is None:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"the {planned.name} cannot be compiled for this topology: {reason}") from error
        said = {"refusal": str(error)[:1000]}
    return said | {"seconds": round(time.monotonic() - began, 1)}


def print_plan(
    console: Console,
    config: Config,
    found: sizes.Sizes,
    target: Target,
    outcomes: Sequence[Outcome],
    ways: Sequence[Way],
    seeds: int,
) -> None:
    """Print the tables, and what does not fit with the tenants of its memory."""

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    chip = target.chip
    speed = f", {chip.flops / 1e12:.0f} TFLOP/s (bf16)" if chip.flops else ""
    speed += f", {chip.bandwidth / 1e9:.0f} GB/s" if chip.bandwidth else ""
    say(
        f"{target.name}: {target.devices} x {chip.name}, {_gb(chip.memory)} of memory for programs on each{speed}"
    )
    image = " x ".join(map(str, found.shape))
    say(
        f"{config.model.name} on {config.data.name}: {found.train:,} / {found.val:,} / {found.judged:,} samples "
        f"({image}) to train on, validate and evaluate, {found.poisons:,} poisons; from {found.source}"
    )
    _print_whole(console, _programs(outcomes, target))
    _print_whole(console, _experiment(ways, target, seeds))
    if chip.flops is None:
        say("No times for a CPU: it has no one peak or bandwidth to hold the programs against.")
    else:
        say(
            "time = max(FLOP / peak, bytes / bandwidth), an estimate. Left out: the "
            "host's work, compiling, sending data. Counted as if no sample were eliminated, "
            "with the methods' own estimates of their draws (JTT: 10% flagged)."
        )
        for way in ways:
            say(_total(way, target, seeds))
    for one in outcomes:
        if roofline.fits(one.cost, chip):
            continue
        say(f"DOES NOT FIT: {one.planned.name} needs {_gb(one.cost.total)} a chip of {_gb(chip.memory)}")
        for name, size in roofline.largest(one.cost):
            say(f"  {_gb(size):>10}  {name}")
        say(f"  it becomes smaller by {one.planned.mend}")


def _programs(outcomes: Iterable[Outcome], target: Target) -> Table:
    table = _table(
        "program", "chips", "what", "memory", "of chip", "GFLOP", "GB moved", "time", "bound by", "of peak"
    )
    for planned, cost in outcomes:
        time = roofline.least_time(cost, target.chip)
        table.add_row(
            planned.name,
            str(planned.chips),
            planned.note,
            _gb(cost.total),
            f"{cost.total / target.chip.memory:.0%}",
            "-" if cost.flops is None else f"{cost.flops / 1e9:,.1f}",
            "-" if cost.moved is None else f"{cost.moved / 1e9:,.2f}",
            *(("-", "-", "-") if time is None else (_seconds(time.seconds), time.bound, f"{time.share:.0%}")),
        )
    table.title = "per chip and call"
    return table


def _experiment(ways: Sequence[Way], target: Target, seeds: int) -> Table:
    columns = [name for way in ways for name in (f"calls, {_chips(way.chips)}", "time a call", "chip-hours")]
    table = _table("for", "program", "counted", *columns)
    lines = [work.merged(way.counted) for way in ways]
    totals = [0.0] * len(ways)
    for same in zip(*lines, strict=True):
        first = same[0]
        cells = []
        for at, (way, one) in enumerate(zip(ways, same, strict=True)):
            calls = one.calls * seeds
            each = way.seconds(target).get(one.program)
            hours = None if each is None else calls * each * way.chips / 3600
            totals[at] += hours or 0.0
            cells += [
                f"{calls:,}",
                "-" if each is None else _seconds(each),
                "-" if hours is None else f"{hours:.3f}",
            ]
        table.add_row(first.what, first.program, f"{seeds} x {first.times:,} {first.counted}", *cells)
    if any(way.seconds(target) for way in ways):
        table.add_section()
        all_fit = all(way.fits(target) for way in ways)
        cells = [cell for total in totals for cell in ("", "", f"{total:.3f}")]
        table.add_row("all" if all_fit else "all that fit", "", "", *cells)
    table.title = f"the experiment: {seeds} seed{'s' * (seeds > 1)}, calls x time x chips"
    return table


def _total(way: Way, target: Target, seeds: int) -> str:
    """Chip-hours and wall-clock hours of a whole sweep."""
    seconds = way.seconds(target)
    busy = seeds * sum(one.calls * seconds.get(one.program, 0) for one in way.counted) / 3600
    if way.chips == target.devices:
        both = f"{busy * way.chips:.1f} chip-hours, {busy:.1f} wall-clock hours"
        return f"One training over {_chips(way.chips)}: {both}."
    by_clock = work.wall(way.counted, seconds, seeds, target.devices) / 3600
    return (
        f"One training per chip: {busy:.1f} chip-hours, {by_clock:.1f} wall-clock hours on {target.devices} chips "
        "(oilwater sweep, a grid with a run for each row)."
    )


def _chips(count: int) -> str:
    return f"{count} chip{'s' * (count > 1)}"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for column in columns:
        text = column in ("program", "what", "for", "counted", "bound by")
        table.add_column(column, justify="left" if text else "right", no_wrap=True)
    return table


def _print_whole(console: Console, table: Table) -> None:
    """Never cut a figure short: in a narrow terminal the lines run on."""
    whole = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.width = max(console.width, whole)
    console.print(table)


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


def _seconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.2f} ms" if seconds >= 1e-3 else f"{1e6 * seconds:,.0f} us"
