"""Print what a data set contains: splits, groups, minorities, sizes on disk and in memory."""

from rich.console import Console
from rich.table import Table

from oilwater_jax.data import Loaded
from oilwater_jax.data.catalogue import SPLITS
from oilwater_jax.groups import group_counts, group_ids, report_sets
from oilwater_jax.types import Splits


def set_of_group(splits: Splits) -> dict[int, str]:
    """`LRG-1`, `HRG-2`, ... of each group that the training split has samples of."""
    n_attributes = len(splits.attribute_names)
    groups = group_ids(splits.train, n_attributes)
    sets = report_sets(splits.train, len(splits.class_names), n_attributes)
    return {
        int(groups[mask][0]): name.upper().replace("_", "-")
        for name, mask in sets.items()
        if name != "poison" and mask.any()
    }


def print_info(name: str, found: Loaded, console: Console) -> None:
    """Print the table of groups and the sizes."""
    splits = found.splits
    parts = [getattr(splits, split) for split in SPLITS]
    shape = (len(splits.class_names), len(splits.attribute_names))
    counts = [group_counts(part, *shape) for part in parts]
    sets = set_of_group(splits)
    table = Table("group", "", *SPLITS, title=name)
    for column in table.columns[2:]:
        column.justify = "right"
    for group in range(splits.n_groups):
        sizes = [f"{count[group]:,}" for count in counts]
        table.add_row(splits.group_name(group), sets.get(group, "empty in train"), *sizes)
    table.add_section()
    table.add_row("all", "", *(f"{len(part):,}" for part in parts))
    console.print(table)
    for remark in splits.remarks:
        console.print(remark, highlight=False, soft_wrap=True)
    memory = sum(part.image.nbytes for part in parts)
    disk = sum(path.stat().st_size for path in found.files)
    console.print(
        f"{_inputs(splits)}; LRG: minorities of train, HRG: majorities", highlight=False, soft_wrap=True
    )
    on_disk = f"{_size(disk)} on disk, " if found.files else ""
    console.print(
        f"size: {on_disk}{_size(memory)} of {splits.kind}s if read whole", highlight=False, soft_wrap=True
    )
    if found.files:
        console.print(f"kept in: {found.root}", highlight=False, soft_wrap=True)


def _inputs(splits: Splits) -> str:
    """What a sample is: the images' shape, or the table's columns."""
    if splits.kind == "image":
        return f"images: {' x '.join(map(str, splits.train.image.shape[1:]))}, uint8"
    columns = ", ".join(
        f"{one.name} ({len(one.categories)})" if one.categories else one.name for one in splits.columns
    )
    numbers = splits.train.image.shape[1]
    return f"table: {numbers} numbers, float32, of the columns {columns or '(not described)'} (categories in brackets)"


def _size(n: int) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"
