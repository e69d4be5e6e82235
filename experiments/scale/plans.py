"""The plans of this folder, made anew: what `oilwater plan` prints, and how long it takes with what memory.

python experiments/scale/plans.py [NAME ...]

Writes plan_NAME.txt and adds a run to plans.json: seconds by the clock, the process's largest memory, which programs it
compiled and in how many seconds. What a compiler said is kept in the cache folder ($OILWATER_CACHE), so the first run
compiles and a second one does not; a run that was cut off goes on with the programs that are left.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WATERBIRDS = ("configs/waterbirds/gm.py", "rows=erm@clean,erm,jtt,jtt:ideal,jtt:worst")
PLANS = {
    "waterbirds": WATERBIRDS,
    "waterbirds_bfloat16": (*WATERBIRDS, "model.precision=bfloat16"),
    "celeba": ("configs/celeba/dlbd.py", "rows=erm@clean,erm,epic,jtt,epic+jtt", "data.name=celeba"),
    "celeba_gm": ("configs/celeba/gm.py", "rows=erm@clean,erm,jtt", "data.name=celeba"),
}


def command(name: str) -> list[str]:
    """A plan for 8 TPU v5e of randomly initialised networks: their weights are not asked for."""
    file, *settings = PLANS[name]
    fields = [f"--config.{one}" for one in (*settings, "model.init_from=")]
    return [sys.executable, "-m", "oilwater_jax", "plan", f"--config={file}", *fields, "--topology=v5e:2x4"]


def run(name: str) -> dict:
    """Make a plan; what it took."""
    began = time.monotonic()
    environment = os.environ | {"COLUMNS": "300"}
    process = subprocess.Popen(
        command(name), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    out, err = process.communicate()
    if process.returncode not in (0, 1) or not out:
        raise SystemExit(err)
    (HERE / f"plan_{name}.txt").write_text("".join(f"{line.rstrip()}\n" for line in out.splitlines()))
    compiled = {what: int(seconds) for what, seconds in re.findall(r"\] (.*): compiled in (\d+) s", err)}
    peak = re.search(r"largest memory: ([\d.]+) GB", err)
    return {
        "seconds": round(time.monotonic() - began, 1),
        "peak_gb": float(peak[1]) if peak else None,
        "compiled": compiled,
        "exit": process.returncode,
    }


def main() -> None:
    """The plans that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(PLANS))
    names = parser.parse_args().names or list(PLANS)
    place = HERE / "plans.json"
    for name in names:
        done = run(name)
        known = json.loads(place.read_text()) if place.exists() else {}
        known.setdefault(name, []).append(done)
        place.write_text(json.dumps(known, indent=1) + "\n")
        print(name, done, flush=True)


if __name__ == "__main__":
    main()
