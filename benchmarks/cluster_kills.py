"""Kills: a folder is read on a cluster whose scheduler, workers and client are killed at random moments.

Everything is a process of its own, as on many machines, and is started again when it is gone, as Kubernetes or systemd
do. Each is ended by SIGKILL, so that none of them can put anything in order.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from measuring import say

# One file in so many is a page, the others hold no picture, so that there are many parts and little to read.
_A_PAGE_IN = 16

KINDS = ("scheduler", "worker", "client")
# After the first part that is kept since the last kill, or after so long without one: who only kills what begins tests
# nothing of what goes on.
_LONGEST_PAUSE_S, _PATIENCE_S = 3.0, 20.0
_GIVE_UP_S = 900.0


class Cluster:
    """A scheduler, workers and a client that reads ``names`` into ``out``; each is started again when it has ended."""

    def __init__(self, names: Path, out: Path, n_workers: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"tcp://127.0.0.1:{port}"
        dask = [sys.executable, "-m", "distributed.cli"]
        self._log = out.with_suffix(".log").open("ab")
        scheduler = [f"{dask[2]}.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        worker = [f"{dask[2]}.dask_worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard"]
        client = ["digitlab", "read", str(names), "--cluster", address, "--out", str(out)]
        self._commands = {
            "scheduler": scheduler,
            **{f"worker {k}": [*worker, "--local-directory", str(out.parent)] for k in range(n_workers)},
            "client": client,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.codes: list[int] = []
        self._out = out

    def keep_up(self) -> bool:
        """Start what has ended; whether the client has done its work."""
        for name, command in self._commands.items():
            process = self._processes.get(name)
            code = None if process is None else process.poll()
            if name == "client" and code is not None:
                self.codes.append(code)
                # One that is killed when all is done has no code to tell.
                if code == 0 or (self._out.exists() and not _parts_of(self._out).exists()):
                    return True
            if process is None or code is not None:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    start_new_session=True,
                )
        return False

    def kill(self, kind: str, chance: random.Random) -> None:
        """End one of a kind at once; of a worker the whole, or the process that reads and not the one that watches."""
        name = chance.choice([name for name in self._processes if name.startswith(kind)])
        process = self._processes[name]
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            below = psutil.Process(process.pid).children() if kind == "worker" else []
            if below and chance.random() < 0.5:
                chance.choice(below).kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        if kind != "worker":
            process.wait()

    def end(self) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._log.close()


def add_files(folder: Path, pages: Sequence[Path]) -> list[Path]:
    """Put files beside pages that hold no picture; return all of them, mixed."""
    files = []
    for k, page in enumerate(pages):
        others = [folder / f"other-{k:05d}-{n:02d}.png" for n in range(_A_PAGE_IN - 1)]
        for other in others:
            other.write_bytes(b"no picture")
        files += [page, *others]
    return files


def read_while_killing(
    files: Sequence[Path], folder: Path, kills: int, *, workers: int = 2, seed: int = 0
) -> dict[str, Any]:
    """Read files until each kind was killed so often, in as many rounds as that takes; count what is wrong.

    A round whose client ends before all kills are done is followed by another one, with a table of its own.
    """
    chance = random.Random(seed)
    todo = [kind for kind in KINDS for _ in range(kills)]
    chance.shuffle(todo)
    names = folder / "names.txt"
    names.write_text("".join(f"{page}\n" for page in files))
    began, n_rounds, missing, twice, wrong, amid = time.monotonic(), 0, 0, 0, 0, 0
    n_all = -(-len(files) // 32)
    reference: dict[str, list[list[str]]] = {}
    while todo or not n_rounds:
        out = folder / f"round-{n_rounds}.csv"
        cluster = Cluster(names, out, workers)
        try:
            last, n_kept, at = time.monotonic(), 0, None
            while not cluster.keep_up():
                n = _n_parts(out)
                if at is None and (n > n_kept or time.monotonic() - last > _PATIENCE_S):
                    at = time.monotonic() + chance.uniform(0, _LONGEST_PAUSE_S)
                if todo and at is not None and time.monotonic() > at:
                    cluster.kill(todo.pop(), chance)
                    amid += 0 < n < n_all
                    last, n_kept, at = time.monotonic(), n, None
                if time.monotonic() - began > _GIVE_UP_S:
                    raise TimeoutError(f"{out}: {cluster.codes}")
                time.sleep(0.05)
        finally:
            cluster.end()
        n_rounds += 1
        rows = _rows_by_file(out)
        missing += sum(str(page) not in rows for page in files)
        # A page stands there once: its numbers, each with its own line and place.
        twice += sum(max(Counter(tuple(row[1:4]) for row in found).values()) > 1 for found in rows.values())
        wrong += sum(found != reference.setdefault(page, found) for page, found in rows.items())
        say(f"round {n_rounds}: {len(rows)} files, {len(todo)} kills to come, after {time.monotonic() - began:.0f} s")
    return {
        "kills_each": kills,
        "workers": workers,
        "files": len(files),
        "rounds": n_rounds,
        "kills_amid": amid,
        "missing": missing,
        "twice": twice,
        "differing": wrong,
        "seconds": time.monotonic() - began,
    }


def _n_parts(out: Path) -> int:
    return sum(1 for _ in _parts_of(out).glob("*/part-*"))


def _parts_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.parts")


def _rows_by_file(out: Path) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    with out.open(newline="") as file:
        _, *rows = csv.reader(file)
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found
