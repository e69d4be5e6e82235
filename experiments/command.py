"""The command line of an experiment with two steps: one trains, one writes tables from the committed values."""

import argparse
from collections.abc import Callable
from pathlib import Path


def command(
    about: str,
    train: Callable[[Path], None],
    report: Callable[[Path], None],
    *,
    here: Path,
    choices: tuple[str, str],
) -> None:
    """Do the step that is named, `choices` being their names: `train(workdir)`, with --workdir, or `report(out)`."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("what", choices=choices)
    parser.add_argument("--workdir", type=Path, help=f"folder of its runs, for `{choices[0]}`")
    parser.add_argument(
        "--out", type=Path, default=here, help="folder of the tables (default: beside this file)"
    )
    options = parser.parse_args()
    if options.what == choices[1]:
        report(options.out)
    elif options.workdir is None:
        parser.error(f"{choices[0]} needs --workdir=DIR")
    else:
        train(options.workdir)
