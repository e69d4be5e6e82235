"""What a compiled program costs on a chip, and the least time that this takes."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from oilwater_jax.planning.chips import Chip

TEMPORARIES = "activations and temporaries"
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Cost(NamedTuple):
    """Of one chip's part of a program: bytes of memory, and of what; operations and bytes moved in one call.

    Both of the last are None where the program was too large to be compiled; the first are then what the compiler
    said that it would need.
    """

    total: int
    tenants: Mapping[str, int]
    flops: float | None
    moved: float | None


class Time(NamedTuple):
    """The minimum time of one call in seconds, what limits it, and the share of peak reached."""

    seconds: float
    bound: str
    share: float


def said(compiled: Any) -> dict[str, float]:
    """What the compiler says of a program, as plain numbers: bytes of memory by purpose, operations, bytes moved."""
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    return {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "program": memory.generated_code_size_in_bytes,
        "flops": cost["flops"],
        "moved": cost["bytes accessed"],
    }


def measure(numbers: Mapping[str, float], known: Mapping[str, int]) -> Cost:
    """The cost of a program that the compiler said this of, with its arguments' bytes told apart as in `known`.

    Arrays lie in tiles, so arguments may take more than their bytes; those that a program does not look at take none.
    The memory of an argument that is given away is used again for an output. What a loop repeats (the steps of a
    segment) is counted once.
    """
    sizes = {name: int(numbers[name]) for name in ("arguments", "outputs", "temporaries", "program")}
    tenants = {
        **known,
        "other arguments, and tiles": max(0, sizes["arguments"] - sum(known.values())),
        "outputs": sizes["outputs"],
        TEMPORARIES: sizes["temporaries"],
        "the program itself": sizes["program"],
    }
    return Cost(sum(sizes.values()), tenants, numbers["flops"], numbers["moved"])


def refused(message: str, known: Mapping[str, int]) -> Cost | None:
    """The cost of a program that the compiler refused as too large, from its message; None for another message."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    need = re.search(r"(?:\(|Used )([\d.]+)([KMGT]?)\)?(?: exceeds| of [\d.]+)", message)
    asked = int(float(need[1]) * UNITS[need[2]]) if need else 0
    arguments = sum(known.values())
    if "HLO temporaries" not in message:  # then it is all that the program needs
        asked = max(0, asked - arguments)
    return Cost(arguments + asked, {**known, TEMPORARIES: asked}, None, None)


def least_time(cost: Cost, chip: Chip) -> Time | None:
    """max(operations / peak, bytes moved / bandwidth): the roofline. None where one of the four is not known."""
    if cost.flops is None or cost.moved is None or chip.flops is None or chip.bandwidth is None:
        return None
    computing, moving = cost.flops / chip.flops, cost.moved / chip.bandwidth
    seconds = max(computing, moving)
    bound = "compute" if computing >= moving else "memory"
    return Time(seconds, bound, computing / seconds if seconds else 0.0)


def fits(cost: Cost, chip: Chip) -> bool:
    """Whether a program has room on the chip."""
    return cost.flops is not None and cost.total <= chip.memory


def largest(cost: Cost) -> list[tuple[str, int]]:
    """What takes memory, the most first, without what takes next to none."""
    tenants = sorted(cost.tenants.items(), key=lambda item: -item[1])
    return [(name, size) for name, size in tenants if size * 100 >= cost.total]
