"""The command line: parses, calls, prints. Help and version answer without importing JAX."""

import argparse
import errno
import signal
import sys
from pathlib import Path
from typing import NoReturn

from oilwater_jax import __version__
from oilwater_jax.errors import UserError

BAD_INPUT, INTERRUPTED = 2, 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

DESCRIPTION = """\
Group-robustness methods against poisoning defences, measured in JAX
("Like Oil and Water", arXiv 2504.02142)."""

EPILOG = """\
examples:
  oilwater run --config=configs/waterdigits/jtt_dlbd.py --workdir=runs/first
  oilwater run --config=configs/waterdigits/jtt_dlbd.py --config.attack.budget=0.005 --workdir=runs/half --seeds=5
  oilwater show runs/first"""

RUN_HELP = """\
Train, attack, identify, amplify, evaluate and print, as a config file says. The same command again goes on
where a run was cut off, or prints a finished one."""


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and exit with code 2."""
        raise UserError(f"{message} (see {self.prog} --help)")


def parser() -> Parser:
    """The command's arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    top = Parser(
        prog="oilwater", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw, allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=f"oilwater_jax {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    run = commands.add_parser(
        "run",
        help="run an experiment from a config file",
        description=RUN_HELP,
        formatter_class=raw,
        allow_abbrev=False,
    )
    run.add_argument("--config", metavar="FILE.py", help="config file with get_config()")
    run.add_argument(
        "--config.KEY", metavar="VALUE", dest="_", help="change one field, e.g. --config.attack.budget=0.002"
    )
    run.add_argument("--workdir", metavar="DIR", type=Path, help="run folder, made if needed")
    run.add_argument("--seeds", metavar="K", type=int, default=1, help="number of seeds (default 1)")
    run.add_argument("--overwrite", action="store_true", help="throw away what the run folder holds")
    run.add_argument("--help-config", action="store_true", help="list every config field and exit")
    show = commands.add_parser(
        "show",
        help="print a finished or unfinished run",
        description="Print a finished or unfinished run.",
        allow_abbrev=False,
    )
    show.add_argument("workdir", metavar="DIR", type=Path)
    return top


def split_overrides(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take `--config.KEY=VALUE` and `--config.KEY VALUE` out of the arguments."""
    rest: list[str] = []
    overrides: dict[str, str] = {}
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        key, equals, value = argument.removeprefix("--config.").partition("=")
        if not equals:
            value = next(waiting, "")
            if not value or value.startswith("--"):
                raise UserError(f"--config.{key} needs a value: --config.{key}=VALUE")
        overrides[key] = value
    return rest, overrides


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 done, 2 bad input (one line on standard error), 130 interrupted."""
    try:
        dispatch(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("oilwater: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = f" {error.filename}" if error.filename else ""
        fail(
            f"cannot write{place}: {error.strerror}; make room or see to its permissions, then the same command goes on"
        )
    sys.exit(0)


def fail(message: str) -> NoReturn:
    """Print one line and exit with the code for bad input."""
    print(f"oilwater: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def dispatch(arguments: list[str]) -> None:
    """Parse and call."""
    top = parser()
    rest, overrides = split_overrides(arguments)
    options = top.parse_args(rest)
    if options.command == "run":
        if options.help_config:
            help_config()
        else:
            run(options, overrides)
    elif options.command == "show":
        show(options.workdir)
    else:
        top.print_help()


def run(options: argparse.Namespace, overrides: dict[str, str]) -> None:
    """`oilwater run`."""
    from oilwater_jax.config import load

    for name in ("config", "workdir"):
        if getattr(options, name) is None:
            raise UserError(f"run needs --{name}=... (see oilwater run --help)")
    if not 1 <= options.seeds <= 10_000:
        raise UserError(f"--seeds={options.seeds} is out of range (1 .. 10000)")
    config = load(options.config, overrides)
    from oilwater_jax import pipeline  # imports JAX: only now is it sure to be needed

    pipeline.run(config, options.workdir, seeds=options.seeds, overwrite=options.overwrite)
    show(options.workdir)


def show(workdir: Path) -> None:
    """`oilwater show`: from summary.json, or from the stages that are finished so far. Needs no JAX."""
    from rich.console import Console

    from oilwater_jax.files import read_json
    from oilwater_jax.reporting import tables
    from oilwater_jax.reporting.summary import summarise
    from oilwater_jax.stages import read_figures, read_metrics

    config = read_json(workdir / "config.json")
    if config is None:
        raise UserError(f"{workdir} is not a run folder (no sound config.json); give one that run made")
    console = Console()
    result = read_json(workdir / "summary.json")
    finished = result is not None
    if not finished:
        seeds = [int(path.name.removeprefix("seed")) for path in workdir.glob("stages/seed*")]
        result = summarise(read_figures(workdir), config, sorted(seeds))
    if result["rows"]:
        tables.print_summary(result, console)
    if not finished:
        rows = read_metrics(workdir / "metrics.jsonl")
        last = f"; last: {rows[-1]['stage']}, epoch {rows[-1]['epoch']}" if rows else ""
        console.print(f"unfinished{last}; the command that began it goes on with it", highlight=False)
        return
    console.print(
        f"report: {workdir / 'report.html'}   figures: {workdir / 'figures'}", highlight=False, soft_wrap=True
    )


def help_config() -> None:
    """`oilwater run --help-config`."""
    from rich.console import Console
    from rich.table import Table

    from oilwater_jax.config import help_lines

    table = Table("field", "type", "default", "range", "what it is", title="--config.FIELD=VALUE")
    for line in help_lines():
        table.add_row(*line)
    Console().print(table)
