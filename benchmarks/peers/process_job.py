"""Time one command from outside, from its start to its end: ``python process_job.py FOLDER COMMAND [--warm-up]``.

It prints one line of JSON. The folder is that of ``digitlab_jobs.py write-mnist``. With
``--warm-up`` the command runs once before, so that its byte code, the system's file cache and digitlab's cache are
warm. digitlab keeps its cache in the folder, so that the user's is neither used nor changed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("digitlab", "numba", "torch", "numpy")
#: How both programs head their report.
ACCURACY = re.compile(r"^Accuracy ([\d.]+) ?%", re.MULTILINE)


def _digitlab() -> str:
    script = Path(sys.executable).with_name("digitlab")
    if not script.exists():
        raise SystemExit(f"there is no console script {script.name} beside the interpreter; install the package")
    return str(script)


def command_of(name: str, folder: Path) -> list[str]:
    """Return the command line of a command."""
    if name == "torch-train":
        return [sys.executable, str(Path(__file__).with_name("torch_jobs.py")), "process", str(folder)]
    if name == "digitlab-help":
        return [_digitlab(), "--help"]
    return [_digitlab(), "train", "--out", tempfile.mkdtemp(prefix="runs-", dir=folder)]


def cache_of(name: str, folder: Path) -> Path:
    """Return digitlab's cache folder: an empty one for the first run ever, else one that all runs share."""
    return Path(tempfile.mkdtemp(prefix="empty-", dir=folder)) if name == "digitlab-first" else folder / "cache"


def stated_accuracy(report: str) -> float | None:
    """Return the accuracy that a report states, as a fraction; None where it states none."""
    found = ACCURACY.search(report)
    return float(found[1]) / 100 if found else None


def timed(name: str, folder: Path) -> dict[str, float]:
    """Run a command and return ``command_s``, and ``test_accuracy`` where it learns."""
    command, environment = command_of(name, folder), os.environ | {"DIGITLAB_CACHE": str(cache_of(name, folder))}
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    command_s = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{name}: exit status {done.returncode}: {done.stderr[-500:]}")
    accuracy = stated_accuracy(done.stdout)
    if accuracy is None and not name.endswith("help"):
        raise SystemExit(f"{name} does not state its accuracy")
    return {"command_s": command_s} | ({} if accuracy is None else {"test_accuracy": accuracy})


def versions() -> dict[str, str]:
    """Return the versions of what is installed of ``PACKAGES``."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main(folder: Path, name: str, *options: str) -> None:
    """Run, and print the JSON."""
    if "--warm-up" in options:
        timed(name, folder)
    print(json.dumps({**timed(name, folder), "versions": versions()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
