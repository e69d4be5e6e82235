"""The command line: parses, calls, prints. Help and version answer without importing JAX."""

import argparse
import contextlib
import errno
import io
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from oilwater_jax import __version__, executors, new, preemption
from oilwater_jax.errors import UserError, one_line, plain
from oilwater_jax.reporting import logs
from oilwater_jax.settings.registry import BUILT_IN, blame
from oilwater_jax.theory import command as theory

FAILED, BAD_INPUT, DEFECT = 1, 2, 70
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

DESCRIPTION = """\
Group-robustness methods against poisoning defences, measured in JAX
("Like Oil and Water", arXiv 2504.02142)."""

EPILOG = """\
examples:
  oilwater run --config=waterdigits/dlbd --workdir=runs/first
  oilwater run --config=waterdigits/dlbd --config.attack.budget=0.005 --workdir=runs/half --seeds=5
  oilwater show runs/first
  oilwater sweep --config=waterbirds/table02 --workdir=runs/waterbirds
  oilwater study --config=waterdigits/dlbd --workdir=runs/signals
  oilwater plan --config=waterdigits/dlbd --topology=v5e:2x4
  oilwater table runs/waterdigits --columns=wga,success --format=md
  oilwater report runs/first runs/half --out=both.html
  oilwater weights import resnet50.safetensors --model=resnet50 --out=weights/resnet50
  oilwater data prepare waterbirds --source=waterbird_complete95_forest2water2.tar.gz
  oilwater data info waterbirds
  oilwater configs
  oilwater new method mine"""

RUN_HELP = """\
Run the experiment of a config file: attack, look, treat, train, evaluate. Prints the result table. DIR gets
summary.json, report.html, figures and checkpoints. The same command again resumes an interrupted run, or prints a
finished one. SIGTERM ends it within a few steps, after a checkpoint, with exit code 75.

Each batch is split over all devices that JAX sees. To train on several processes, give each of them
--coordinator=HOST:PORT (address of process 0), --processes=N and its own --process=0 .. N-1. Where JAX can find these
itself (TPU pods, Slurm, Open MPI, Kubernetes), give --cluster instead. Every process reads the data; only process 0
writes DIR."""

WEIGHTS_HELP = """\
Import a network's weights from a file: .safetensors, .npz, or .pth where PyTorch is installed. Nothing is unpickled.
The layout is torchvision's (ResNets) or timm's (vit_s16). Checks the name and shape of every tensor and writes
the weights to a new folder. To start every training from them:
--config.model.init_from=DIR --config.pretrain.epochs=0."""

SWEEP_HELP = """\
Run every experiment of a grid file on a pool of processes. A stage that several runs need is computed once. The same
command again resumes an interrupted sweep. A run that fails does not stop the others.

The unit of work is one seed of one run. Each unit has a GPU or TPU chip to itself (--devices-per-unit=K: K of them).
Units run in parallel on all accelerators of the machine. Without accelerators, each unit has a core.
CUDA_VISIBLE_DEVICES and TPU_VISIBLE_CHIPS select accelerators; JAX_PLATFORMS=cpu uses the cores. Results do not depend
on the number of workers.

With --executor=ray (extra `ray`) units run on a Ray cluster that is already running, one at a time on each of its GPUs
or TPU chips, or else CPUs. This machine must belong to the cluster. All machines must be of one kind, have the same
packages, and see DIR at the same path with shared file locks (flock). NFS 4 shares locks by default; `nolock` and
`local_lock` do not. A machine that does not see the locks refuses, and its runs count as failed."""

STUDY_HELP = """\
Measure which per-sample scores separate poisons from minority samples. Trains the identification model of a config on
the poisoned data. After each epoch of study.epochs it scores every training sample: loss, margin, gradient norms
(last layer, full), isolation (EPIc's cluster size, distance to the k-th neighbour), first-learned epoch, forgetting
count, loss variance, and cosine to its class's mean gradient. Prints AUROCs with 95% intervals: poisons against
minorities (LRG), poisons against majorities (HRG), LRG against HRG. DIR gets summary.json, scores.npz and figures/. The
same command again resumes an interrupted study. List the fields with oilwater run --help-config study."""

PLAN_HELP = """\
Estimate what an experiment needs on a TPU topology. Compiles its programs (train step, scoring chunk, per-sample
gradients, GM's crafting step) with the TPU compiler, without a TPU (extra `tpu`). Prints memory, operations and bytes
moved per chip, estimated time, what limits it, and the share of peak. Then prints chip-hours and wall-clock hours of
the whole experiment, for one training over all chips and for one training per chip (oilwater sweep). Exit code 1 if
neither fits, with what takes the memory. Needs no data. A large network takes minutes; results are cached, so the same
plan again takes seconds. --topology=cpu plans for this machine: memory and operations only."""

REPORT_HELP = """\
Write one HTML page that compares runs: a sortable table, figures side by side, and the settings that differ. DIR is the
folder of a run, or of a sweep, which stands for all of its runs. The page is a single file: DIR/comparison.html for
one sweep, otherwise report.html in the current folder."""

TABLE_HELP = """\
Print mean and 95% interval over seeds for every finished run of a sweep, or for single runs. Columns: acc,
acc_adjusted, wga, success (the attack's own measure: ASR or target damage), any other figure in the rows of
summary.json, and idnf.poison, idnf.lrg_1, ... (rows RUN/identified). `idnf` selects all of these."""

FRONTIER_HELP = """\
Measure what a method, a defence or a combination reaches over all settings of its dials (hyperparameters). Trains every
setting of every row and evaluates it on validation and on test. Settings share stages, so most of them are cheap.
Prints for every row the setting chosen on validation, and the one chosen there by an oracle that knows the attack. For
each it gives WGA and attack success on test with 95% intervals, then the area under the frontier, and which rows
achieve both. Methods declare their dials (oilwater frontier --list). --dial=jtt.lambda_up=3,10 gives other values,
--dial=jtt.lambda_up= fixes a dial, and --dial=attack.budget=0.002,0.01 adds a common field to every row. The same
command again resumes an interrupted frontier; rows, seeds and dials may be added. DIR gets report.html, frontier.json,
frontier.md, points.csv (every seed) and figures/."""

CHECK_HELP = """\
Test everything that your files define, with the same contract tests that the built-in entries pass. Each is a smoke
experiment of a few seconds. A method runs alone, in its modes, and combined with others under / and +; an attack runs
under ERM and JTT; a data set and a network run end to end; a score runs on its own. Prints a line for each test.
Exit code 1 if an entry breaks its contract."""

CONFIGS_HELP = """\
List the configs that come with the package, or copy one. Wherever a config file is expected, its name works too:
--config=waterdigits/dlbd."""

NEW_HELP = """\
Write NAME.py and test_NAME.py to the current folder: a working method, attack, data set or config to edit.
`oilwater check NAME.py` tests an entry against its contract, `pytest test_NAME.py` runs its test. Existing files are
never overwritten."""

DOCTOR_HELP = """\
Check every file in the folder of a run or sweep. Reports what is damaged (digests), stale (versions and keys; this
loads the data), left over or missing, and how to fix it. Exit code 1 if there is a problem. --repair removes only what
the same command computes again."""

PREPARE_HELP = """\
Download or read a data set, check it, and decode its images once into the cache. The same command again resumes an
interrupted preparation. Afterwards, `--config.data.name=NAME` needs no --config.data.source."""

INFO_HELP = "Print splits, groups, minorities (LRG), majorities (HRG) and sizes of a prepared data set."


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError, which `main` prints, with exit code 2."""
        raise UserError(f"{message} (see {self.prog} --help)")


def folder(text: str) -> Path:
    """The path of a folder of results. Raises UserError."""
    from oilwater_jax.run_folder import check_path

    return check_path(text)


def add_executor(one: argparse.ArgumentParser) -> None:
    """Add the options that say where the units of a sweep run."""
    one.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=0,
        help="units at a time (default: as many as the accelerators, or else the cores, can run)",
    )
    one.add_argument(
        "--devices-per-unit",
        metavar="K",
        type=int,
        default=1,
        help="GPUs or TPU chips per unit (default 1)",
    )
    one.add_argument(
        "--executor",
        choices=executors.EXECUTORS,
        default="processes",
        help="where units run (default: processes)",
    )
    one.add_argument(
        "--address",
        metavar="HOST:PORT",
        default="",
        help="the Ray cluster (default: $RAY_ADDRESS, or the one started on this machine)",
    )


def parser() -> Parser:
    """The parser of the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    top = Parser(
        prog="oilwater", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw, allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=f"oilwater_jax {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def command(name: str, summary: str, description: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=summary, description=description, formatter_class=raw, allow_abbrev=False
        )

    run = command("run", "run an experiment from a config file", RUN_HELP)
    study = command(
        "study", "measure which per-sample scores separate poisons from minority samples", STUDY_HELP
    )
    sweep = command("sweep", "run a grid of experiments that share their common stages", SWEEP_HELP)
    frontier = command(
        "frontier", "measure what methods reach over all settings of their dials", FRONTIER_HELP
    )
    plan = command("plan", "estimate what an experiment needs on a machine, without the machine", PLAN_HELP)
    for one, function, change in (
        (run, "get_config()", "change one field, e.g. --config.attack.budget=0.002"),
        (study, "get_config()", "change one field, e.g. --config.study.epochs=1,4"),
        (sweep, "get_grid()", "change one field of every run of the grid"),
        (frontier, "get_config()", "change one field, e.g. --config.rows=jtt,epic+jtt"),
        (plan, "get_config()", "change one field, e.g. --config.train.batch=256"),
    ):
        one.add_argument(
            "--config",
            metavar="FILE",
            help=f"Python file with {function}, or a name that `oilwater configs` lists",
        )
        one.add_argument("--config.KEY", metavar="VALUE", dest="_", help=change)
        one.add_argument(
            "--plugins",
            metavar="FILE,...",
            default="",
            help="your own files (mine.py) or modules (lab.defences): data sets, attacks, methods, networks, scores",
        )
    for one in (run, study, sweep, frontier):
        one.add_argument("--workdir", metavar="DIR", help="folder of results, created if needed")
        one.add_argument(
            "--overwrite", action="store_true", help="delete what the folder holds and start again"
        )
        one.add_argument(
            "--log",
            metavar="KIND,...",
            default="",
            help="also log each epoch to DIR/log for other tools: tensorboard (extra `log`), jsonl",
        )
    for one in (run, study, frontier):
        one.add_argument("--seeds", metavar="K", type=int, default=1, help="number of seeds (default 1)")
    run.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    run.add_argument("--processes", metavar="N", type=int, help="number of processes that train together")
    run.add_argument("--process", metavar="I", type=int, help="number of this process, from 0")
    run.add_argument("--cluster", action="store_true", help="read these three from the cluster's environment")
    run.add_argument(
        "--help-config",
        metavar="PREFIX",
        nargs="?",
        const="",
        help="list all config fields, or those that start with PREFIX (jtt, train.), and exit",
    )
    frontier.add_argument(
        "--dial", metavar="FIELD=V,...", action="append", default=[], help="values of a dial; repeatable"
    )
    frontier.add_argument("--finished", action="store_true", help="compute nothing; report what is finished")
    frontier.add_argument("--list", action="store_true", help="list the dials of every method, and exit")
    sweep.add_argument("--seeds", metavar="K", type=int, help="number of seeds (default: the grid's)")
    for one in (sweep, frontier):
        add_executor(one)
    plan.add_argument("--topology", metavar="NAME", help="v5e:2x4, v5p:2x2x1, v6e:4x4, ..., or cpu")
    plan.add_argument("--seeds", metavar="K", type=int, default=1, help="number of seeds (default 1)")
    report = command("report", "write an HTML page that compares runs", REPORT_HELP)
    report.add_argument("workdirs", metavar="DIR", type=folder, nargs="+")
    report.add_argument("--out", metavar="FILE", type=Path, help="file to write")
    table = command("table", "print the results of sweeps or runs as one table", TABLE_HELP)
    table.add_argument("workdirs", metavar="DIR", type=folder, nargs="+")
    table.add_argument("--format", choices=("text", "md", "csv", "latex"), default="text")
    table.add_argument("--rows", metavar="PATTERN,...", help="rows to show, as RUN/TRAINING with * and ?")
    table.add_argument("--columns", metavar="NAME,...", help="columns to show, in this order")
    weights = command("weights", "import a network's weights from a file", WEIGHTS_HELP)
    verbs = weights.add_subparsers(dest="verb", metavar="import", required=True, parser_class=Parser)
    importing = verbs.add_parser("import", description=WEIGHTS_HELP, formatter_class=raw, allow_abbrev=False)
    importing.add_argument("file", metavar="FILE", type=Path)
    importing.add_argument("--model", metavar="NAME", required=True, help="resnet50, vit_s16, ...")
    importing.add_argument("--out", metavar="DIR", type=Path, required=True, help="new folder")
    actions = command("data", "prepare or describe a data set", "Data sets.").add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=Parser
    )
    for action, summary, description in (
        ("prepare", "download, check and decode a data set", PREPARE_HELP),
        ("info", "describe a prepared data set", INFO_HELP),
    ):
        one = actions.add_parser(
            action, help=summary, description=description, formatter_class=raw, allow_abbrev=False
        )
        one.add_argument(
            "name", metavar="NAME", choices=tuple(BUILT_IN["data"]), help=", ".join(BUILT_IN["data"])
        )
        one.add_argument(
            "--source", metavar="PATH", default="", help="folder or archive of the data set's files"
        )
        one.add_argument(
            "--data_dir", metavar="DIR", type=Path, help="where to store it (default: the cache folder)"
        )
        if action == "prepare":
            one.add_argument(
                "--strict", action="store_true", help="refuse group sizes other than the published ones"
            )
        else:
            one.add_argument("--verify", action="store_true", help="read all decoded images and check them")
    check = command("check", "test your own methods, defences, attacks, ... against the contract", CHECK_HELP)
    check.add_argument("files", metavar="FILE", nargs="+", help="mine.py, or an importable module")
    shipped_configs = command(
        "configs", "list the configs that come with the package, or copy one", CONFIGS_HELP
    )
    copying = shipped_configs.add_subparsers(dest="verb", metavar="[copy]", parser_class=Parser).add_parser(
        "copy", description="Copy a config to a file.", formatter_class=raw, allow_abbrev=False
    )
    copying.add_argument("name", metavar="NAME", help="as `oilwater configs` lists it")
    copying.add_argument(
        "file", metavar="FILE", nargs="?", help="file to write (default: in the current folder)"
    )
    making = command("new", "write a working skeleton with its test", NEW_HELP)
    making.add_argument("kind", metavar="KIND", choices=new.kinds(), help=", ".join(new.kinds()))
    making.add_argument("name", metavar="NAME", help="name of the entry and of its file")
    theory.add_parser(command)
    doctor = command("doctor", "check a run or sweep for damaged or stale files", DOCTOR_HELP)
    doctor.add_argument("workdir", metavar="DIR", type=folder)
    doctor.add_argument("--repair", action="store_true", help="remove what can be computed again")
    show = command("show", "print a finished or unfinished run", "Print a finished or unfinished run.")
    show.add_argument("workdir", metavar="DIR", type=folder)
    return top


def split_overrides(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Separate `--config.KEY=VALUE` and `--config.KEY VALUE` from the other arguments."""
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
    """Run the command and exit.

    Exit codes: 0 done, 1 a run of a sweep failed or a plan does not fit, 2 bad input (one line), 70 a defect of this
    package (one line and a log file), 75 preempted (SIGTERM), 130 interrupted (Ctrl-C).
    """
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a name that the terminal cannot show is still printed
    try:
        dispatch(given)
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt as interrupt:
        text, code = preemption.said(interrupt)
        print(f"oilwater: {text}", file=sys.stderr)
        sys.exit(code)
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
    except Exception as error:
        if (words := words_for(error)) is not None:
            fail(words)
        report_defect(error, given)
    sys.exit(0)


def words_for(error: Exception) -> str | None:
    """One line for an error that the user can fix (own files, disk, memory); None for other errors."""
    if blamed := blame(error):
        return blamed
    if isinstance(error, MemoryError) or (
        type(error).__name__ == OF_JAX and "RESOURCE_EXHAUSTED" in str(error)
    ):
        return f"there is too little memory ({one_line(error)}); use a smaller network or batch, or fewer workers"
    if not isinstance(error, OSError):
        return None
    # For a renaming, the new name.
    name = error.filename2 or error.filename
    if error.errno in FULL:
        place = f" {name}" if name else ""
        mend = "free some disk space or fix its permissions, then run the same command again to resume"
        return f"cannot write{place}: {error.strerror}; {mend}"
    return f"cannot use {name}: {error.strerror}; check what is there" if name and error.errno else None


def report_defect(error: Exception, arguments: list[str]) -> NoReturn:
    """Print one line, write the traceback to a file, and exit with the code for a defect of this package."""
    from oilwater_jax import defects

    folder = None
    with contextlib.suppress(Exception):
        from oilwater_jax.run_folder import is_run_folder

        known, _ = parser().parse_known_args(split_overrides(arguments)[0])
        place = getattr(known, "workdir", None)
        folder = Path(place) if place and is_run_folder(Path(place)) else None
    print(f"oilwater: defect: {defects.report(error, folder)}", file=sys.stderr)
    sys.exit(DEFECT)


def fail(message: str) -> NoReturn:
    """Print one line and exit with the code for bad input."""
    print(f"oilwater: error: {plain(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def dispatch(arguments: list[str]) -> None:
    """Parse the arguments and call the command."""
    top = parser()
    rest, overrides = split_overrides(arguments)
    options = top.parse_args(rest)
    if options.command == "run":
        if options.help_config is not None:
            help_config(options)
        else:
            run(options, overrides)
    elif options.command == "study":
        study(options, overrides)
    elif options.command == "sweep":
        sweep(options, overrides)
    elif options.command == "frontier":
        frontier(options, overrides)
    elif options.command == "plan":
        plan(options, overrides)
    elif options.command == "report":
        report(options)
    elif options.command == "table":
        table(options)
    elif options.command == "weights":
        import_weights(options)
    elif options.command == "show":
        show(options.workdir)
    elif options.command == "data":
        data(options)
    elif options.command == "check":
        check(options)
    elif options.command == "doctor":
        doctor(options)
    elif options.command == "configs":
        configs(options)
    elif options.command == "new":
        make_new(options)
    elif options.command == "theory":
        theory.run(options)
    else:
        top.print_help()


def run(options: argparse.Namespace, overrides: dict[str, str]) -> None:
    """`oilwater run`."""
    from oilwater_jax.settings.config import load

    check_options(options)
    log = logs.parse(options.log)
    several = check_processes(options)
    config = load(options.config, overrides, plugins=plugins_of(options))
    from oilwater_jax import devices, pipeline  # import JAX: only now is it sure to be needed

    if several:
        devices.join(options.coordinator, options.processes, options.process)
    with preemption.heard(at_once=not several):
        pipeline.run(config, options.workdir, seeds=options.seeds, overwrite=options.overwrite, log=log)
    if devices.is_first():
        show(options.workdir)


def study(options: argparse.Namespace, overrides: dict[str, str]) -> None:
    """`oilwater study`."""
    from oilwater_jax.settings.config import load

    check_options(options)
    log = logs.parse(options.log)
    config = load(options.config, overrides, plugins=plugins_of(options))
    from oilwater_jax.study import run as studies  # imports JAX: only now is it sure to be needed

    with preemption.heard(at_once=True):
        studies.run(config, options.workdir, seeds=options.seeds, overwrite=options.overwrite, log=log)
    show(options.workdir)


def check_processes(options: argparse.Namespace) -> bool:
    """Whether this process is one of several. Raises UserError if the options are incomplete."""
    given = [name for name in ("coordinator", "processes", "process") if getattr(options, name) is not None]
    if not given:
        return options.cluster
    if options.cluster:
        raise UserError(f"--cluster and --{given[0]} exclude each other; give one of them")
    if len(given) < 3:
        raise UserError(f"--{given[0]} needs the others of --coordinator=HOST:PORT --processes=N --process=I")
    host, _, port = options.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"--coordinator={options.coordinator} is not HOST:PORT (for example 10.0.0.1:1234)")
    if not 0 <= options.process < options.processes:
        raise UserError(
            f"--process={options.process} is out of range (0 .. N-1 with --processes={options.processes})"
        )
    return True


def plugins_of(options: argparse.Namespace) -> list[str]:
    """The names in --plugins."""
    return [part.strip() for part in options.plugins.split(",") if part.strip()]


def check_options(options: argparse.Namespace) -> None:
    """Raise UserError for missing options and for numbers out of range."""
    for name in ("config", "workdir", "topology"):
        if getattr(options, name, "") is None:
            raise UserError(f"{options.command} needs --{name}=... (see oilwater {options.command} --help)")
    from oilwater_jax.settings.config import MOST_SEEDS

    if options.seeds is not None and not 1 <= options.seeds <= MOST_SEEDS:
        raise UserError(f"--seeds={options.seeds} is out of range (1 .. 10000)")
    if not 0 <= (workers := getattr(options, "workers", 0)) <= 1000:
        raise UserError(f"--workers={workers} is out of range (0 .. 1000; 0: as many as fit)")
    if getattr(options, "workdir", None) is not None:
        options.workdir = folder(options.workdir)


def leave_accelerators() -> str:
    """Leave accelerators to the workers, before a config file may import JAX. Returns the old JAX_PLATFORMS."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    os.environ["JAX_PLATFORMS"] = "cpu"
    return platforms


def executor_of(options: argparse.Namespace, platforms: str) -> executors.Executor:
    """The executor of the options; its workers have JAX_PLATFORMS = `platforms`."""
    return executors.make(
        options.executor,
        workers=options.workers,
        address=options.address,
        per_unit=options.devices_per_unit,
        platforms=platforms,
    )


def sweep(options: argparse.Namespace, overrides: dict[str, str]) -> None:
    """`oilwater sweep`: exit code 1 if a run failed."""
    from oilwater_jax.settings.config import load_grid

    check_options(options)
    platforms = leave_accelerators()
    log = logs.parse(options.log)
    grid = load_grid(options.config, overrides, plugins=plugins_of(options))
    grid = grid._replace(seeds=options.seeds or grid.seeds)
    executor = executor_of(options, platforms)
    from oilwater_jax.sweep import sweep as run_sweep

    with preemption.heard(at_once=True):
        failed = run_sweep(grid, options.workdir, executor=executor, overwrite=options.overwrite, log=log)
    for run, reason in failed.items():
        print(f"oilwater: run {run} failed: {' '.join(reason.split())}", file=sys.stderr)
    print(
        f"{len(grid.runs) - len(failed)} of {len(grid.runs)} runs are finished; oilwater table {options.workdir}"
    )
    if failed:
        sys.exit(FAILED)


def frontier(options: argparse.Namespace, overrides: dict[str, str]) -> None:
    """`oilwater frontier`: exit code 1 if a setting failed."""
    from oilwater_jax.settings.config import load

    if options.list:
        list_dials(options)
        return
    check_options(options)
    platforms = leave_accelerators()
    log = logs.parse(options.log)
    config = load(options.config, overrides, plugins=plugins_of(options))
    executor = executor_of(options, platforms)
    from oilwater_jax.frontier import report
    from oilwater_jax.frontier.run import run as run_frontier
    from oilwater_jax.reporting.terminal import Screen

    with preemption.heard(at_once=True):
        result = run_frontier(
            config,
            options.workdir,
            dial=options.dial,
            seeds=options.seeds,
            executor=executor,
            overwrite=options.overwrite,
            finished=options.finished,
            log=log,
        )
    report.print_result(result, Screen())
    tell_frontier(options.workdir)
    if result["failed"]:
        sys.exit(FAILED)


def list_dials(options: argparse.Namespace) -> None:
    """`oilwater frontier --list`: the dials that methods declare."""
    from rich import box
    from rich.table import Table

    from oilwater_jax.frontier.dials import declared
    from oilwater_jax.reporting.terminal import Screen
    from oilwater_jax.rows import parse
    from oilwater_jax.settings.config import resolve
    from oilwater_jax.settings.registry import known

    registry = known(tuple(resolve(one, Path()) for one in plugins_of(options)))
    table = Table("method", "dial", "values", box=box.SIMPLE, pad_edge=False)
    for name in registry.names("method"):
        for at, (path, values) in enumerate(declared(parse(name, registry), registry).items()):
            table.add_row("" if at else name, path, ", ".join(f"{value:g}" for value in values))
    Screen().print(table)


def plan(options: argparse.Namespace, overrides: dict[str, str]) -> None:
    """`oilwater plan`: exit code 1 if a program does not fit."""
    from oilwater_jax.settings.config import load

    check_options(options)
    os.environ["JAX_PLATFORMS"] = "cpu"  # an accelerator is left alone
    config = load(options.config, overrides, plugins=plugins_of(options))
    from oilwater_jax.planning import report

    if not report.run(config, options.topology, seeds=options.seeds):
        sys.exit(FAILED)


def report(options: argparse.Namespace) -> None:
    """`oilwater report`. Needs no JAX."""
    from oilwater_jax.reporting import comparison, runs

    found = runs.gather(options.workdirs)
    out = comparison.out_file(options.out, options.workdirs)
    comparison.write_comparison(out, found)
    print(f"report: {out}")


def table(options: argparse.Namespace) -> None:
    """`oilwater table`. Needs no JAX."""
    from oilwater_jax.reporting import grid, runs

    rows, columns = (
        None if text is None else [part.strip() for part in text.split(",") if part.strip()]
        for text in (options.rows, options.columns)
    )
    grid.print_table(runs.lines(options.workdirs), options.format, rows=rows, columns=columns)


def import_weights(options: argparse.Namespace) -> None:
    """`oilwater weights import`."""
    from oilwater_jax.models import weights

    record = weights.import_file(options.file, options.model, options.out)
    print(
        f"{options.out}: {record.model} of {record.n_classes} classes; use it with --config.model.name={record.model} "
        f"--config.model.init_from={options.out} --config.pretrain.epochs=0"
    )


def data(options: argparse.Namespace) -> None:
    """`oilwater data prepare` and `oilwater data info`."""
    from oilwater_jax.data import find, prepare, verify
    from oilwater_jax.data.info import print_info
    from oilwater_jax.reporting.terminal import Screen

    if options.action == "prepare":
        prepare(options.name, source=options.source, data_dir=options.data_dir, strict=options.strict)
    found = find(options.name, source=options.source, data_dir=options.data_dir)
    if options.action == "info" and options.verify:
        verify(found)
    print_info(options.name, found, Screen())


def show(workdir: Path) -> None:
    """`oilwater show`: from summary.json, or from the stages finished so far. Needs no JAX."""
    from oilwater_jax.files import Damaged, load_json
    from oilwater_jax.reporting import study as study_tables
    from oilwater_jax.reporting import tables
    from oilwater_jax.reporting.summary import read, so_far
    from oilwater_jax.reporting.terminal import Screen
    from oilwater_jax.shapes import RUN_CONFIG, mismatch
    from oilwater_jax.stages import read_metrics

    try:
        config = load_json(workdir / "config.json", {})
    except Damaged as damage:
        raise UserError(
            f"{workdir} is not a run folder (config.json: {damage}); give one that run made"
        ) from None
    if config is None:
        raise UserError(f"{workdir} is not a run folder (no config.json); give one that run made")
    if config.get("frontier"):
        show_frontier(workdir)
        return
    if config.get("sweep"):
        raise UserError(
            f"{workdir} holds a sweep; show one of {workdir / 'runs'}, or oilwater table {workdir}"
        )
    console = Screen()
    result = read(workdir)
    if fault := mismatch(config, RUN_CONFIG):
        raise UserError(
            f"{workdir / 'config.json'} does not belong to a run ({fault}); give a folder that run made"
        )
    finished = result is not None
    of_study = config.get("command") == "study"
    if finished and (result.get("command") == "study") != of_study:
        raise UserError(
            f"{workdir}: summary.json comes from another command than config.json; run the same command again"
        )
    if of_study:
        if finished:
            study_tables.print_summary(result, console)
    else:
        if not finished:
            result = so_far(workdir, config)
        if result["rows"] or result["found"]:
            tables.print_summary(result, console)
    if not finished:
        rows = read_metrics(workdir / "metrics.jsonl")
        last = f"; last: {rows[-1]['stage']}, epoch {rows[-1]['epoch']}" if rows else ""
        console.print(f"unfinished{last}; run the same command again to resume", highlight=False)
        return
    main = f"scores: {workdir / 'scores.npz'}   " if of_study else ""
    if not of_study or (workdir / "report.html").is_file():  # studies of earlier versions have none
        main += f"report: {workdir / 'report.html'}   "
    console.print(f"{main}figures: {workdir / 'figures'}", highlight=False, soft_wrap=True)


def show_frontier(workdir: Path) -> None:
    """`oilwater show` for the folder of a frontier."""
    from oilwater_jax.frontier import report
    from oilwater_jax.reporting.terminal import Screen

    if (result := report.read(workdir)) is None:
        print(
            "unfinished; run the same command again to resume, or add --finished to report what is finished"
        )
        return
    report.print_result(result, Screen())
    tell_frontier(workdir)


def tell_frontier(workdir: Path) -> None:
    """Where the page, the points and the figures of a finished frontier are."""
    page = workdir / "report.html"
    beside = f"points: {workdir / 'points.csv'}   figures: {workdir / 'figures'}"
    print(f"report: {page}   {beside}" if page.is_file() else beside)  # those of earlier versions have none


def help_config(options: argparse.Namespace) -> None:
    """`oilwater run --help-config`: the registered entries and the config fields."""
    from rich import box
    from rich.table import Table

    from oilwater_jax.reporting.terminal import Screen
    from oilwater_jax.settings.config import help_lines, resolve
    from oilwater_jax.settings.registry import known

    console = Screen()
    plugins = tuple(resolve(one, Path()) for one in plugins_of(options))
    lines = list(help_lines(options.help_config, plugins))
    if not lines:
        raise UserError(
            f"--help-config={options.help_config}: no field starts with this (--help-config alone lists all)"
        )
    if not options.help_config:
        names = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
        for kind, title in TITLES.items():
            for at, name in enumerate(known(plugins).names(kind)):
                names.add_row("" if at else title, name, known(plugins).registered(kind, name).entry.help)
        console.print(names)
    table = Table("--config.FIELD=VALUE", "default", "what it is", box=box.SIMPLE, pad_edge=False)
    for key, kind, default, allowed, text in lines:
        table.add_row(key, default, f"{text} ({kind}: {allowed})" if allowed != "any" else f"{text} ({kind})")
    console.print(table)


OF_JAX = "JaxRuntimeError"  # whatever its compiler and devices raise
TITLES = {
    "data": "data sets",
    "attack": "attacks",
    "method": "methods",
    "model": "networks",
    "score": "scores",
}


def doctor(options: argparse.Namespace) -> None:
    """`oilwater doctor`: exit code 1 if a problem remains."""
    from oilwater_jax.doctor import tell

    if not tell(options.workdir, mend=options.repair):
        sys.exit(FAILED)


def configs(options: argparse.Namespace) -> None:
    """`oilwater configs` and `oilwater configs copy`."""
    from oilwater_jax.settings import shipped

    if options.verb == "copy":
        print(shipped.copy(options.name, options.file))
        return
    width = max(map(len, shipped.names()))
    for name, path in shipped.names().items():
        print(f"{name:<{width}}  {shipped.summary(path)}")


def make_new(options: argparse.Namespace) -> None:
    """`oilwater new`."""
    file, test = new.write(options.kind, options.name)
    print(f"{file}, {test}: the docstring of {file} has the commands; pytest {test}")


def check(options: argparse.Namespace) -> None:
    """`oilwater check`: exit code 1 if an entry breaks its contract."""
    from oilwater_jax.conformance import run

    if not run(options.files):
        sys.exit(FAILED)
