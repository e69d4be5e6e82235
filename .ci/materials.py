"""What an installation is made of: `requirements.lock` (each package's version and SHA-256) and `materials.csv`.

    python .ci/materials.py make     ask the package index for the pins of constraints.txt, and write both files
    python .ci/materials.py check    they name the versions of constraints.txt, all of them, with hashes

The lock is of CPython 3.11 on x86-64 Linux. To install by it, and by nothing that is not in it:

    pip install --require-hashes --no-deps -r requirements.lock && pip install --no-deps -e .

constraints.txt is for other platforms, whose files have other hashes; pip takes hashes for all packages or for none.
"""

import contextlib
import csv
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LOCK, MATERIALS, CONSTRAINTS = ROOT / "requirements.lock", ROOT / "materials.csv", ROOT / "constraints.txt"
HEAD = "# Made by .ci/materials.py for CPython 3.11 on x86-64 Linux; how to install by it stands there.\n"
COLUMNS = ("name", "version", "license", "sha256")


def canonical(name: str) -> str:
    """A package's name as pip compares names."""
    return re.sub("[-_.]+", "-", name).lower()


def resolved() -> list[dict[str, str]]:
    """What pip would install for the pins of constraints.txt, and nothing else: a row of COLUMNS for each."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        options = ["--quiet", "--dry-run", "--no-deps", "--ignore-installed", f"--report={report.name}"]
        command = [sys.executable, "-m", "pip", "install", *options, f"--requirement={CONSTRAINTS}"]
        subprocess.run(command, check=True)
        found = json.loads(Path(report.name).read_text())["install"]
    return sorted(map(row, found), key=lambda one: one["name"])


def row(one: dict[str, Any]) -> dict[str, str]:
    """The row of a package in pip's report."""
    about = one["metadata"]
    classified = [
        text.rpartition(" :: ")[2] for text in about.get("classifier", ()) if text.startswith("License ::")
    ]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # older pips leave this field out
        about["license_expression"] = importlib.metadata.metadata(about["name"])["License-Expression"]
    license_text = about.get("license_expression") or "; ".join(classified) or about.get("license", "")
    return {
        "name": canonical(about["name"]),
        "version": about["version"],
        "license": license_text.strip().splitlines()[0][:60] if license_text.strip() else "unknown",
        "sha256": one["download_info"]["archive_info"]["hashes"]["sha256"],
    }


def make() -> None:
    """Write both files."""
    rows = resolved()
    lines = [f"{one['name']}=={one['version']} --hash=sha256:{one['sha256']}\n" for one in rows]
    LOCK.write_text(HEAD + "".join(lines))
    with MATERIALS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def check() -> list[str]:
    """What does not fit, a line for each."""
    constraints = {
        canonical(name): version
        for line in CONSTRAINTS.read_text().splitlines()
        if line.strip() and not line.startswith("#")
        for name, _, version in [line.split(";")[0].strip().partition("==")]
    }
    lock, faults = {}, []
    for line in LOCK.read_text().splitlines():
        if line.startswith("#"):
            continue
        found = re.fullmatch(r"([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line)
        if not found:
            faults.append(f"requirements.lock: {line[:80]!r} is no package with its hash")
            continue
        lock[found[1]] = (found[2], found[3])
        if constraints.get(found[1]) != found[2]:
            wanted = constraints.get(found[1], "nothing")
            faults.append(f"{found[1]}: requirements.lock has {found[2]}, constraints.txt {wanted}")
    faults += [f"{name}: requirements.lock lacks it" for name in constraints if name not in lock]
    with MATERIALS.open(newline="") as file:
        bill = {one["name"]: (one["version"], one["sha256"]) for one in csv.DictReader(file)}
    if bill != lock:
        faults.append("materials.csv and requirements.lock are not of the same packages")
    return faults


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    elif sys.argv[1:] != ["check"]:
        sys.exit(__doc__)
    if problems := check():
        sys.exit("\n".join(problems))
