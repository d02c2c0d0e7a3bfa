"""Who competes: the one place where versions are pinned, their virtual environments, and one run of a contestant.

A contestant is a script of ``peers`` and the environment it runs in; several may share one. The versions are the newest
that install on Python 3.11. Some registries serve a torch with CUDA under the same version; it computes on the CPU
here. Only the standard library is needed.
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

from measuring import ROOT, other_cpu_s

SCRIPTS = ROOT / "benchmarks" / "peers"
#: Seconds after which an installation, or a run that sets no other limit, counts as failed.
TIMEOUT_S = 1_800

_NUMPY = "numpy==2.4.6"
_KERAS = (_NUMPY, "keras==3.15.1")
#: What follows ``pip install``, by the name of the environment.
INSTALL: dict[str, tuple[str, ...]] = {
    "digitlab": ("-e", "."),
    "torch": (_NUMPY, "torch==2.13.0"),
    "tensorflow": (*_KERAS, "tensorflow==2.21.0"),
    "keras-jax": (*_KERAS, "jax==0.10.2"),
    "onnxruntime": (_NUMPY, "onnxruntime==1.32.0", "onnx==1.23.2"),
}
_TITLES = {
    "digitlab": "digitlab",
    "torch": "PyTorch",
    "tensorflow": "TensorFlow",
    "keras-jax": "Keras on JAX",
    "onnxruntime": "ONNX Runtime",
}
_SCRIPTS = {"tensorflow": "keras_jobs.py", "keras-jax": "keras_jobs.py"}


class PeerError(Exception):
    """A contestant could not be installed or did not finish; the message is the reason in the table."""


@dataclass(frozen=True)
class Peer:
    """A contestant: its script prints one JSON object as its last line, numbers and a dict of ``versions``."""

    name: str
    title: str  # in the table
    script: Path
    install: tuple[str, ...]  # what follows ``pip install``
    module: str | None = None  # where the running interpreter can import it, that is used, and no environment is made
    env: str | None = None  # the folder of its environment, which contestants may share; its name by default
    timeout_s: float = TIMEOUT_S  # after which one run counts as failed
    job: tuple[str, ...] = ()  # the script's first arguments


def contestant(
    env: str, job: str, *, name: str | None = None, title: str | None = None, timeout_s: float = TIMEOUT_S
) -> Peer:
    """Return who does a job in an environment of ``INSTALL``, named as the environment by default."""
    script = "process_job.py" if job == "process" else _SCRIPTS.get(env, f"{env}_jobs.py")
    return Peer(
        name or env,
        title or _TITLES[env],
        SCRIPTS / script,
        INSTALL[env],
        # digitlab runs in the interpreter of the benchmark, where that has it.
        module="digitlab" if env == "digitlab" else None,
        env=env,
        timeout_s=timeout_s,
        job=() if job == "process" else (job,),
    )


def write_job(job: str, envs: Path, arguments: Sequence[object]) -> None:
    """Have digitlab, in its own interpreter, write what the contestants of a job read."""
    writer = contestant("digitlab", f"write-{job}")
    run_once(writer, prepare(writer, envs), [str(argument) for argument in arguments])


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
    command = [str(python), str(peer.script), *peer.job, *arguments]
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
