"""Answer the whole corpus and print, by kind, how much was tried and how much was answered well."""

import collections
import os
import sys
import tempfile
from pathlib import Path

os.environ["OILWATER_CACHE"] = tempfile.mkdtemp(prefix="oilwater-hostile-cache-")

from hostile import Case, command, corpus, run_arguments


def main() -> None:
    """Exit code 1 where something was not answered well."""
    tried: collections.Counter[str] = collections.Counter()
    well: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        made = command(*run_arguments(run))
        assert made.code == 0, made.err
        for number, case in enumerate(corpus(run)):
            below = Path(folder) / str(number)
            below.mkdir()
            tried[case.kind] += 1
            if fault := _fault(case, below):
                print(f"{case.kind}: {case.name!a}: {fault}", file=sys.stderr)
            else:
                well[case.kind] += 1
    print("| kind | tried | answered well |\n|---|---|---|")
    for kind, count in tried.items():
        print(f"| {kind} | {count} | {well[kind]} |")
    print(f"| all | {tried.total()} | {well.total()} |")
    sys.exit(tried != well)


def _fault(case: Case, folder: Path) -> str:
    return case.fault(folder)


main()
