"""Whether a run depends on the devices: on 1 and on 8 devices, in 1 and in 2 processes, resident and streamed.

    python experiments/scale/devices.py

The devices are virtual ones of the CPU; 2 processes of 4 each find one another through jax.distributed. Every setup
walks through `oilwater run` (ERM, EPIc, group DRO) and then scores the training set with the first parameters.
Writes devices.json and devices.md beside this file (`--out=DIR` elsewhere); some minutes on 2 cores, about
one with `--smoke`. A relative difference is max |a - b| / max |a|, a from one device; samples are counted.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
CONFIG = HERE.parent.parent / "configs/waterdigits/dlbd.py"
ROWS = ("erm", "epic", "group_dro@clean")
SCORES = ("loss", "last_layer_gradient", "gradient_norm")
SETTINGS = {
    "rows": ",".join(ROWS),
    "pretrain.epochs": "0",
    "checkpoint.seconds": "0",
    "epic.ratio": "0.3",
    "epic.drop_after": "2",
    "epic.subset_freq": "1",
    "train.select": "last",
}
SMOKE = {"smoke": "true", "cnn.widths": "8,16"}
FULL = {"erm.epochs": "4", "robust.epochs": "4"}


class Setup(NamedTuple):
    """How many processes, devices of each, and where the training images are."""

    processes: int
    devices: int
    placement: str = "resident"


SETUPS = {
    "1 device": Setup(1, 1),
    "1 device, streamed": Setup(1, 1, "streamed"),
    "8 devices": Setup(1, 8),
    "2 processes of 4 devices": Setup(2, 4),
    "2 processes of 4 devices, streamed": Setup(2, 4, "streamed"),
}


def start(folder: Path, setup: Setup, settings: dict[str, str]) -> list[subprocess.Popen[str]]:
    """Start the processes of a setup on the run folder `folder`."""
    run = ["run", f"--config={CONFIG}", f"--workdir={folder}"]
    settings = settings | {"train.placement": setup.placement}
    run += [f"--config.{key}={value}" for key, value in settings.items()]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={setup.devices}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    port = free_port()
    started = []
    for process in range(setup.processes):
        several = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(setup.processes)]
        several += ["--process", str(process)]
        command = [sys.executable, __file__, "--measure", *run, *(several if setup.processes > 1 else [])]
        started.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    return started


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def finish(started: list[subprocess.Popen[str]]) -> list[str]:
    """Wait for a setup's processes; what each printed. Raises RuntimeError where one failed."""
    ends = [process.communicate() for process in started]
    for process, (_, err) in zip(started, ends, strict=True):
        if process.returncode:
            raise RuntimeError(f"{process.args} ended with {process.returncode}:\n{err}")
    return [out for out, _ in ends]


def measure(run: list[str]) -> None:
    """In a process of a setup: `oilwater run`, then scores of the training set with the first parameters."""
    from oilwater_jax import cli, devices, load, pipeline
    from oilwater_jax.files import write_npz
    from oilwater_jax.training import program

    rest, overrides = cli.split_overrides(run)
    options = cli.parser().parse_args(rest)
    cli.dispatch(run)
    small, splits = pipeline.prepare(load(options.config, overrides))
    network = program.network(small, splits.train.image.shape[1:], len(splits.class_names))
    scores = network.score(network.init_params(0), splits.train, SCORES)
    if devices.is_first():
        write_npz(Path(options.workdir) / "scores.npz", scores)


def losses(folder: Path) -> np.ndarray:
    """The loss of every epoch of every training of a run."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return np.array([row["loss"] for row in map(json.loads, lines)])


def slug(row: str) -> str:
    """A row's name in a run folder."""
    from oilwater_jax.rows import parse
    from oilwater_jax.settings.registry import known

    return parse(row, known()).slug


def last_checkpoint(folder: Path, row: str) -> dict[str, Any]:
    """What the last checkpoint of a row holds, as plain dicts of arrays."""
    import orbax.checkpoint as ocp

    place = folder / "checkpoints/seed0" / slug(row)
    steps = [path for path in place.iterdir() if path.name.isdecimal()]
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(max(steps, key=lambda path: int(path.name)).absolute() / "tree")


def leaves(tree: Any) -> np.ndarray:
    """All numbers of a tree in one vector."""
    import jax

    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Max |a - b| / max |a|."""
    return float(np.max(np.abs(a - b)) / np.max(np.abs(a)))


def compare(one: Path, other: Path) -> dict[str, Any]:
    """How far two run folders of one config are apart."""
    figures: dict[str, Any] = {"losses": relative(losses(one), losses(other))}
    for row in ROWS:
        a, b = last_checkpoint(one, row), last_checkpoint(other, row)
        figures[f"parameters, {row}"] = relative(leaves(a["state"]["params"]), leaves(b["state"]["params"]))
        if row == "group_dro@clean":
            states = [np.exp(leaves(tree["state"]["objective_state"]["log_q"])) for tree in (a, b)]
            figures["group DRO's group weights"] = relative(*states)
        if row == "epic":
            figures["samples eliminated"] = int(np.sum(a["weights"] == 0))
            figures["samples eliminated by one and not the other"] = int(
                np.sum((a["weights"] == 0) != (b["weights"] == 0))
            )
        logits = [
            np.load(folder / f"stages/seed0/{slug(row)}/arrays.npz")["logits"] for folder in (one, other)
        ]
        figures[f"test logits, {row}"] = relative(*logits)
        figures[f"test predictions that differ, {row}"] = int(
            np.sum(logits[0].argmax(-1) != logits[1].argmax(-1))
        )
    with np.load(one / "scores.npz") as a, np.load(other / "scores.npz") as b:
        for name in SCORES:
            figures[f"score {name}, same parameters"] = relative(a[name], b[name])
    return figures


def table(found: dict[str, dict[str, Any]]) -> str:
    """The comparisons as a Markdown table."""
    lines = [
        f"| 1 device against | {' | '.join(found)} |",
        f"|---|{'---|' * len(found)}",
    ]
    for name in next(iter(found.values())):
        values = [figures[name] for figures in found.values()]
        shown = [f"{value:.1e}" if isinstance(value, float) else str(value) for value in values]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def main(out: Path, smoke: bool, keep: Path | None) -> None:
    """Run every setup and write the comparisons; run folders are kept in `keep`, if given."""
    from oilwater_jax.files import write_json, write_text

    settings = SETTINGS | (SMOKE if smoke else FULL)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: (keep or Path(scratch)) / name.replace(" ", "_") for name in SETUPS}
        for name, setup in SETUPS.items():
            printed = finish(start(folders[name], setup, settings))
            print(name, *printed, sep="\n")
        found = {name: compare(folders["1 device"], folders[name]) for name in list(SETUPS)[1:]}
    write_json(out / "devices.json", found)
    write_text(out / "devices.md", table(found))
    print(table(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(
            description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--out", type=Path, default=HERE, help="folder of the results")
        parser.add_argument("--smoke", action="store_true", help="a run of seconds")
        parser.add_argument("--keep", type=Path, help="folder that keeps the run folders")
        main(**vars(parser.parse_args()))
