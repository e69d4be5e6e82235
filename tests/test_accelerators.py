"""Accelerators: found without JAX in a folder that stands for the machine's /dev and /sys, and cut into shares."""

import subprocess
import sys
from pathlib import Path

import pytest

from oilwater_jax import accelerators
from oilwater_jax.accelerators import Accelerators, find, shares
from oilwater_jax.errors import UserError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without accelerators, for which JAX could compile whatever it had; and no nvidia-smi."""
    for compiler in ("_gpu_plugin", "_tpu_plugin"):
        monkeypatch.setattr(accelerators, compiler, lambda: True)
    monkeypatch.setattr(accelerators, "_listed", lambda: ())
    return tmp_path


def add_gpus(machine, *numbers):
    (machine / "dev").mkdir(exist_ok=True)
    for name in ("ctl", "-uvm", *numbers):
        (machine / f"dev/nvidia{name}").touch()


def add_tpus(machine, count, files="accel", device="0x0063"):
    (machine / "dev/vfio").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        place = machine / f"sys/bus/pci/devices/0000:00:{number:02}.0"
        place.mkdir(parents=True)
        (place / "vendor").write_text("0x1ae0\n")
        (place / "device").write_text(f"{device}\n")
        (machine / "dev" / files.format(number) if "{" in files else machine / f"dev/{files}{number}").touch()
    (machine / "dev/vfio/vfio").touch()


def test_a_machine_without_accelerators(machine):
    assert find("", environ={}, root=machine) is None
    assert shares(None, 1) == ()


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, ("0", "1", "2")),  # whatever the files are called: CUDA counts from 0
        ({"CUDA_VISIBLE_DEVICES": "1,3"}, ("1", "3")),
        ({"CUDA_VISIBLE_DEVICES": "GPU-5b3, MIG-77"}, ("GPU-5b3", "MIG-77")),
        ({"CUDA_VISIBLE_DEVICES": "2,-1,3"}, ("2",)),  # CUDA reads no further
    ],
)
def test_gpus(environ, names, machine):
    add_gpus(machine, 0, 2, 5)
    assert find("", environ=environ, root=machine) == Accelerators("GPU", names)


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_the_user_hides_are_not_there(hidden, machine):
    add_gpus(machine, 0, 1)
    assert find("", environ={"CUDA_VISIBLE_DEVICES": hidden}, root=machine) is None


LISTING = """GPU 0: NVIDIA H100 (UUID: GPU-aa-1)
  MIG 1g.10gb     Device  0: (UUID: MIG-m1)
  MIG 1g.10gb     Device  1: (UUID: MIG-m2)
GPU 1: NVIDIA H100 (UUID: GPU-bb-2)
"""


def test_gpus_as_nvidia_smi_lists_them(tmp_path, monkeypatch):
    """By names that do not depend on an order; where a GPU is cut into parts (MIG), its parts."""
    monkeypatch.setattr(accelerators, "_gpu_plugin", lambda: True)
    add_gpus(tmp_path, 0, 1)
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!{sys.executable}\nprint('''{LISTING}''')\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find("cuda", environ={}, root=tmp_path) == Accelerators("GPU", ("MIG-m1", "MIG-m2", "GPU-bb-2"))
    script.write_text(f"#!{sys.executable}\nraise SystemExit('no driver')\n")
    assert find("cuda", environ={}, root=tmp_path) == Accelerators("GPU", ("0", "1"))


@pytest.mark.parametrize("files", ["accel", "vfio/{}"])
def test_tpu_chips(files, machine):
    add_tpus(machine, 4, files)
    assert find("", environ={}, root=machine) == Accelerators("TPU", ("0", "1", "2", "3"))
    assert find("", environ={"TPU_VISIBLE_CHIPS": "2,3"}, root=machine) == Accelerators("TPU", ("2", "3"))


def test_other_devices_of_the_bus_are_no_chips(machine):
    add_tpus(machine, 2, device="0x0042")  # Google's network card, say
    assert find("", environ={}, root=machine) is None


def test_chips_whose_files_are_not_there_cannot_be_used(machine):
    add_tpus(machine, 2, files="nothing")
    assert find("", environ={}, root=machine) is None


@pytest.mark.parametrize(
    ("platforms", "kind"), [("", "TPU"), ("tpu", "TPU"), ("cuda,cpu", "GPU"), ("gpu", "GPU"), ("cpu", None)]
)
def test_jax_platforms_says_which(platforms, kind, machine):
    add_tpus(machine, 1)
    add_gpus(machine, 0)
    found = find(platforms, environ={}, root=machine)
    assert (found and found.kind) == kind


def test_devices_that_jax_has_no_compiler_for_are_left_alone(machine, monkeypatch):
    add_gpus(machine, 0)
    monkeypatch.setattr(accelerators, "_gpu_plugin", lambda: False)
    assert find("", environ={}, root=machine) is None


def test_shares_of_gpus():
    found = Accelerators("GPU", ("1", "3", "GPU-7", "9"))
    one, *_, four = shares(found, 1)
    assert one == (("GPU-1",), {"JAX_PLATFORMS": "cuda,cpu", "CUDA_VISIBLE_DEVICES": "1"})
    assert four.environment["CUDA_VISIBLE_DEVICES"] == "9"
    two = shares(found, 2)
    assert [share.environment["CUDA_VISIBLE_DEVICES"] for share in two] == ["1,3", "GPU-7,9"]
    assert two[1].devices == ("GPU-GPU-7", "GPU-9")


@pytest.mark.parametrize(
    ("per_unit", "chips", "bounds", "ports"),
    [
        (1, ["0", "1", "2", "3"], "1,1,1", ["8476", "8477", "8478", "8479"]),
        (2, ["0,1", "2,3"], "1,2,1", ["8476", "8478"]),
        (4, ["0,1,2,3"], "2,2,1", ["8476"]),
    ],
)
def test_shares_of_tpu_chips(per_unit, chips, bounds, ports):
    """Each process is a TPU of its own, of so many chips, at a port of its own."""
    seen = [one.environment for one in shares(Accelerators("TPU", ("0", "1", "2", "3")), per_unit)]
    assert [one["TPU_VISIBLE_CHIPS"] for one in seen] == chips
    assert {one["TPU_CHIPS_PER_PROCESS_BOUNDS"] for one in seen} == {bounds}
    assert {one["TPU_PROCESS_BOUNDS"] for one in seen} == {"1,1,1"}
    assert [one["TPU_PROCESS_PORT"] for one in seen] == ports
    assert [one["TPU_PROCESS_ADDRESSES"] for one in seen] == [f"localhost:{port}" for port in ports]


@pytest.mark.parametrize(
    ("found", "per_unit", "message"),
    [
        (Accelerators("GPU", ("0", "1", "2")), 2, "does not share out 3 GPUs evenly; give 1 or 3"),
        (Accelerators("GPU", ("0",)), 2, "does not share out 1 GPU evenly; give 1"),
        (Accelerators("TPU", tuple("012345")), 3, "does not share out 6 TPUs evenly; give 1 or 2"),
        (Accelerators("GPU", ("0", "1")), 0, "--devices-per-unit=0 does not"),
        (None, 2, "--devices-per-unit=2, but no accelerator is found"),
        (None, -1, "--devices-per-unit=-1, but no accelerator is found"),
    ],
)
def test_a_number_that_cannot_be(found, per_unit, message):
    with pytest.raises(UserError, match=message):
        shares(found, per_unit)


NO_JAX = """
import sys
from oilwater_jax import executors
executors.make("processes").__exit__(None, None, None)
assert "jax" not in sys.modules
import oilwater_jax as ow
from jax._src import xla_bridge
from oilwater_jax import pipeline
config = ow.default()
config.smoke = True
pipeline.prepare(config)
print("started" if xla_bridge.backends_are_initialized() else "left alone")
"""


def test_who_hands_out_the_work_does_not_start_jax():
    """Neither to find the devices nor to check the configs of a grid: it would take the workers' devices."""
    done = subprocess.run([sys.executable, "-c", NO_JAX], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "left alone", done.stderr
