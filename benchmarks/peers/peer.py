"""A contestant of a benchmark: a script, what it needs installed, its virtual environment, and one run of it.

Only the standard library is needed here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The project's folder; pip and every contestant run in it.
ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which an installation, or a run that sets no other limit, counts as failed.
TIMEOUT_S = 1_800


class PeerError(Exception):
    """A contestant could not be installed or did not finish; the message is the reason in the table."""


@dataclass(frozen=True)
class Peer:
    """A contestant.

    Attributes
    ----------
    name : str
        Short name.
    title : str
        Name in the table.
    script : Path
        Program that prints one JSON object as its last line; ``versions`` in it is a dict, the other values numbers.
    install : tuple of str
        What follows ``pip install``, with pinned versions.
    module : str or None
        When the running interpreter can import this module, it is used, and no environment is made.
    env : str or None
        Folder of its virtual environment, which contestants may share; its name by default.
    timeout_s : float
        Seconds after which one run counts as failed.
    """

    name: str
    title: str
    script: Path
    install: tuple[str, ...]
    module: str | None = None
    env: str | None = None
    timeout_s: float = TIMEOUT_S


def prepare(peer: Peer, envs: Path) -> Path:
    """Return the contestant's interpreter; make its virtual environment unless a complete one is there.

    Pip's output goes to ``ENV.log`` beside the environment.
    """
    if peer.module and importlib.util.find_spec(peer.module):
        return Path(sys.executable)
    name = peer.env or peer.name
    folder = envs / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Written last: an environment without it, or made for other versions, is not complete.
    complete = folder / "complete.json"
    made_for = json.dumps([sys.version, *peer.install])
    if complete.exists() and complete.read_text() == made_for:
        return python
    envs.mkdir(parents=True, exist_ok=True)
    with (envs / f"{name}.log").open("w+") as log:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", *peer.install],
        ):
            code = _run(command, TIMEOUT_S, stdout=log, stderr=subprocess.STDOUT).returncode
            if code:
                log.seek(0)
                raise PeerError(f"not installed: {last_lines(log.read())}")
    complete.write_text(made_for)
    return python


def run_once(peer: Peer, python: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Run the contestant once and return what it reports, with what is seen from outside.

    ``process_s`` is the seconds of the whole process; ``other_cores``, on Linux, the cores that the rest of the machine
    kept busy meanwhile, on average.
    """
    begin, others = time.perf_counter(), other_cpu_s()
    command = [str(python), str(peer.script), *arguments]
    done = _run(command, peer.timeout_s, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = {"process_s": time.perf_counter() - begin}
    if others is not None:
        seen["other_cores"] = round(max(0.0, (other_cpu_s() or others) - others) / seen["process_s"], 3)
    if done.returncode:
        raise PeerError(f"exit status {done.returncode}: {last_lines(done.stderr)}")
    try:
        return {**json.loads(done.stdout.strip().rpartition("\n")[2]), **seen}
    except (ValueError, TypeError) as error:
        raise PeerError(f"its last line is not a JSON object: {last_lines(done.stdout, 1)}") from error


def last_lines(text: str, n: int = 3) -> str:
    """Return pip's last error, else the last lines, in one; without addresses and folders, as it may be published."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    joined = " / ".join(errors[-1:] or lines[-n:]).replace("|", "\\|") or "it said nothing"
    return re.sub(r"(?<![\w.])(?:/[\w.+@~-]+)+/", "", re.sub(r"\w+://\S+", "(address)", joined))[-500:]


def _run(command: list[str], timeout_s: float, **options: Any) -> subprocess.CompletedProcess[str]:
    # Another project's modules must not get in, and no user's configuration of threads either.
    dropped = {"PYTHONPATH", "PYTHONHOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"}
    environment = {key: value for key, value in os.environ.items() if key not in dropped} | {"PYTHONNOUSERSITE": "1"}
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=timeout_s, check=False, **options)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"not finished after {timeout_s:g} s") from error
    except OSError as error:
        raise PeerError(f"could not be started: {error.strerror}") from error


def other_cpu_s() -> float | None:
    """Return the processor time, in seconds, that others than this process and its ended children have used."""
    # Spinning threads (OpenMP's, for one) lose far more than their share to a busy neighbor, so that an unquiet machine
    # distorts the ratios too, and has to show.
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    # user, nice, system, idle, I/O wait, interrupts, soft interrupts, stolen by the host: all but the two that idle.
    ticks = [int(number) for number in stat.read_text().partition("\n")[0].split()[1:9]]
    return (sum(ticks[:3]) + sum(ticks[5:])) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])
