"""`oilwater plan`: compiles the programs one after the other, prints what they cost and what the experiment does."""

import time
from typing import NamedTuple

import jax
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from oilwater_jax.environment import use_compilation_cache
from oilwater_jax.errors import UserError
from oilwater_jax.planning import chips, programs, roofline, sizes, work
from oilwater_jax.planning.chips import Target
from oilwater_jax.planning.programs import Planned
from oilwater_jax.planning.roofline import Cost
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.config import Config, shrink


class Outcome(NamedTuple):
    """A program, and what its compilation said of it."""

    planned: Planned
    cost: Cost


def run(config: Config, topology: str, *, seeds: int = 1) -> bool:
    """Plan a checked config and print it; whether everything fits. Raises UserError."""
    target = chips.find(topology)
    use_compilation_cache()
    small = shrink(config)
    found = sizes.find(small)
    planned = programs.plan(small, found, target)
    with Progress() as progress:
        progress.begin(len(planned))
        outcomes = [compile_one(one, progress) for one in planned]
    calls = {one.planned.name: one.planned.per_call for one in outcomes}
    costly = next((one.costly for one in planned if one.costly), None)
    counted = work.count(small, found, calls, seeds, costly)
    print_plan(Console(), small, found, target, outcomes, counted)
    return all(roofline.fits(one.cost, target.chip) for one in outcomes)


def compile_one(planned: Planned, progress: Progress) -> Outcome:
    """Compile a program, or hear from the compiler that it is too large. Raises UserError where it fails otherwise."""
    progress.stage(f"compiling: {planned.name}", 0)
    began = time.monotonic()
    try:
        with chips.quiet():
            compiled = planned.function.lower(*planned.arguments).compile()
        cost = roofline.measure(compiled, planned.known)
    except jax.errors.JaxRuntimeError as error:
        refusal = roofline.refused(str(error), planned.known)
        if refusal is None:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"the {planned.name} cannot be compiled for this topology: {reason}") from error
        cost = refusal
    progress.done(f"{planned.name}: compiled in {time.monotonic() - began:.0f} s")
    return Outcome(planned, cost)


def print_plan(
    console: Console,
    config: Config,
    found: sizes.Sizes,
    target: Target,
    outcomes: list[Outcome],
    counted: list[work.Work],
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
    _print_whole(console, _experiment(counted, outcomes, target))
    if chip.flops is None:
        say("No times for a CPU: it has no one peak or bandwidth to hold the programs against.")
    else:
        say(
            "time = max(FLOP / peak, bytes / bandwidth), an estimate. Left out: the "
            "host's work, compiling, sending data. Counted as if no sample were eliminated, "
            "with the methods' own estimates of their draws (JTT: 10% flagged)."
        )
    for one in outcomes:
        if roofline.fits(one.cost, chip):
            continue
        say(f"DOES NOT FIT: {one.planned.name} needs {_gb(one.cost.total)} a chip of {_gb(chip.memory)}")
        for name, size in roofline.largest(one.cost):
            say(f"  {_gb(size):>10}  {name}")
        say(f"  it becomes smaller by {one.planned.mend}")


def _programs(outcomes: list[Outcome], target: Target) -> Table:
    table = _table("program", "what", "memory", "of chip", "GFLOP", "GB moved", "time", "bound by", "of peak")
    for planned, cost in outcomes:
        time = roofline.least_time(cost, target.chip)
        table.add_row(
            planned.name,
            planned.note,
            _gb(cost.total),
            f"{cost.total / target.chip.memory:.0%}",
            "-" if cost.flops is None else f"{cost.flops / 1e9:,.1f}",
            "-" if cost.moved is None else f"{cost.moved / 1e9:,.2f}",
            *(("-", "-", "-") if time is None else (_seconds(time.seconds), time.bound, f"{time.share:.0%}")),
        )
    table.title = "per chip and call"
    return table


def _experiment(counted: list[work.Work], outcomes: list[Outcome], target: Target) -> Table:
    seconds = {
        one.planned.name: time.seconds
        for one in outcomes
        if (time := roofline.least_time(one.cost, target.chip)) is not None
    }
    table = _table("for", "program", "counted", "calls", "time a call", "chip-hours")
    total = 0.0
    for one in counted:
        each = seconds.get(one.program)
        hours = None if each is None else one.calls * each * target.devices / 3600
        total += hours or 0.0
        table.add_row(
            one.what,
            one.program,
            one.counted,
            f"{one.calls:,}",
            "-" if each is None else _seconds(each),
            "-" if hours is None else f"{hours:.3f}",
        )
    if seconds:
        table.add_section()
        table.add_row(
            "all" if len(seconds) == len(outcomes) else "all that fit", "", "", "", "", f"{total:.3f}"
        )
    table.title = f"the experiment: calls x time x {target.devices} chips"
    return table


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
