"""A contest: contestants measured in turn, each in its own virtual environment, told as JSON and as a page.

A contestant is a script of ``peers`` and the environment it runs in; several may share one. Here stands who can
compete, with pinned versions: the newest that install on Python 3.11. (Some registries serve a torch with CUDA under
the same version; it computes on the CPU here.) The ratio of two contestants is taken within each round. A contestant
that cannot be installed or crashes keeps its row, with the reason in it. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measuring import ROOT, Spread, describe_machine, in_turn, made_by, other_cpu_s, parser_of, publish

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


@dataclass(frozen=True)
class Quantity:
    """A key of the runs, and whether a ratio follows; a run without it counts as failed, unless it is optional."""

    key: str
    ratio: bool = False
    optional: bool = False


@dataclass
class Entry:
    """What became of one contestant: its runs so far, and the reason why there are no more (None: nothing failed).

    ``options`` are its own arguments in a round, from 1, and ``most_rounds`` is for those that take long.
    """

    peer: Peer
    runs: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None
    options: Callable[[int], Sequence[object]] = lambda number: ()
    most_rounds: int | None = None

    def values(self, key: str) -> dict[int, float]:
        """Return the value of each round that has one."""
        return {run["round"]: run[key] for run in self.runs if key in run}


def ratio(entry: Entry, baseline: Entry, key: str) -> Spread | None:
    """Return how many times the baseline's value the entry's is, over the rounds that both finished."""
    own, base = entry.values(key), baseline.values(key)
    return Spread.of([own[number] / base[number] for number in sorted(own.keys() & base.keys()) if base[number]])


@dataclass
class Contest:
    """The entries, the first of which is the baseline, and the circumstances."""

    title: str
    made_by: dict[str, str]  # command and date
    rounds: int
    quantities: tuple[Quantity, ...]
    entries: list[Entry]
    machine: dict[str, Any] = field(default_factory=describe_machine)
    interrupted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything, every single run included, as plain JSON types."""
        return {
            "title": self.title,
            **self.made_by,
            "machine": self.machine,
            "rounds": self.rounds,
            "interrupted": self.interrupted,
            "baseline": self.entries[0].peer.name,
            "entries": [self._entry_dict(entry) for entry in self.entries],
        }

    def _entry_dict(self, entry: Entry) -> dict[str, Any]:
        spreads = {q.key: Spread.of([*entry.values(q.key).values()]) for q in self.quantities}
        ratios = {q.key: ratio(entry, self.entries[0], q.key) for q in self.quantities if q.ratio}
        return {
            "name": entry.peer.name,
            "title": entry.peer.title,
            "install": list(entry.peer.install),
            "versions": entry.runs[0].get("versions", {}) if entry.runs else {},
            "n": len(entry.runs),
            "reason": entry.reason,
            "summary": {key: vars(spread) for key, spread in spreads.items() if spread},
            "ratios": {key: vars(spread) for key, spread in ratios.items() if spread},
            "runs": entry.runs,
        }


def hold(contest: Contest, envs: Path, arguments: Sequence[str], say: Callable[[str], None]) -> None:
    """Fill the contest's entries in place; Ctrl-C ends it early and keeps the complete runs."""
    pythons: dict[str, Path] = {}
    try:
        for entry in contest.entries:
            say(f"{entry.peer.title}: preparing its environment")
            try:
                pythons[entry.peer.name] = prepare(entry.peer, envs)
            except PeerError as error:
                entry.reason = str(error)
                say(f"{entry.peer.title}: {entry.reason}")
        needed = [quantity.key for quantity in contest.quantities if not quantity.optional]
        for number, entry in in_turn(contest.entries, contest.rounds):
            if entry.reason is not None or (entry.most_rounds is not None and number > entry.most_rounds):
                continue
            try:
                own = map(str, entry.options(number))
                run = run_once(entry.peer, pythons[entry.peer.name], [*arguments, *own])
                if missing := [key for key in needed if key not in run]:
                    raise PeerError(f"it does not report {', '.join(missing)}")
            except PeerError as error:
                entry.reason = f"round {number}: {error}"
                say(f"{entry.peer.title}: {entry.reason}")
            else:
                entry.runs.append({"round": number, **run})
                say(f"round {number}/{contest.rounds}, {entry.peer.title}: {needed[0]} {run[needed[0]]:.3f}")
    except KeyboardInterrupt:
        contest.interrupted = True


def contest_parser(
    name: str, doc: str | None, peers: dict[str, Peer], **numbers: tuple[int, str]
) -> argparse.ArgumentParser:
    """Return a parser with the options of every contest, and whole numbers as ``parser_of`` takes them."""

    def some(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in peers]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(peers)}")
        return names

    parser = parser_of(name, doc, **numbers)
    add = parser.add_argument
    add("--peers", type=some, default=[*peers], metavar="A,B", help=f"of {','.join(peers)}; first the baseline")
    add("--envs", type=Path, default=ROOT / ".venvs", metavar="FOLDER", help="virtual environments, made and reused")
    return parser


def contend(
    name: str,
    argv: Sequence[str] | None,
    options: argparse.Namespace,
    title: str,
    quantities: tuple[Quantity, ...],
    entries: list[Entry],
    job: tuple[object, ...],
    to_markdown: Callable[[dict[str, Any]], str],
    page: str | None = None,
) -> int:
    """Hold a contest, and publish it.

    ``job`` is the name of what the contestants do, and what digitlab is told to write for it into a temporary folder,
    their first argument. Returns the exit code: 0, 1 without a run of the baseline, 130 after Ctrl-C.
    """
    contest = Contest(title, made_by(name, argv), options.rounds, quantities, entries)
    envs = options.envs.resolve()
    with tempfile.TemporaryDirectory(prefix="digitlab-contest-") as folder:
        try:
            writer = contestant("digitlab", f"write-{job[0]}")
            run_once(writer, prepare(writer, envs), [folder, *map(str, job[1:])])
        except PeerError as error:
            print(f"What the contestants read could not be written with digitlab: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        hold(contest, envs, [folder], say=lambda text: print(text, file=sys.stderr, flush=True))
    publish(options.out, contest.to_dict(), to_markdown, page)
    if contest.interrupted:
        return 130
    return 0 if contest.entries[0].runs else 1


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
