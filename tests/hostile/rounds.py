"""Try mutated inputs for all parsers in processes of their own: a round for the test, rounds without end by themselves.

``python -m tests.hostile.rounds [SEED]`` goes on until Ctrl-C, each round with another seed, and prints what went
wrong.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import digitlab as dl
from digitlab.engine.cpu.threads import available_threads
from tests.hostile.inputs import PARSERS
from tests.hostile.page_events import every_event

__all__ = ["N_EVENTS", "N_INPUTS", "PROGRAM", "found"]

#: What tries the inputs.
PROGRAM = "tests.hostile.inputs"

# Those whose inputs cost more to try get fewer.
_FEWER = {
    "pictures": 1000,
    "documents": 500,
    "keras": 500,
    "runs": 500,
    "run seen": 150,
    "run repeated": 150,
    "json": 500,
    "inside": 100,
    "forms": 700,
    "keras copied": 500,
    "onnxruntime": 500,
}
_MANY = 800
_MOST_ENDED = 20
_PATHS = os.pathsep.join(str(Path(file).parents[n]) for file, n in ((dl.__file__, 1), (__file__, 2)))
#: Events for the pages of a running Studio.
N_EVENTS = 2_000
#: How many a round has besides.
N_INPUTS = sum(_FEWER.get(parser, _MANY) for parser in PARSERS)


def found(parser: str, seed: int, folder: Path) -> list[str]:
    """Try the inputs of one parser; return what went wrong, a line each."""
    return list(_found(parser, seed, _FEWER.get(parser, _MANY), folder / parser))


def _every(seed: int, folder: Path) -> list[str]:
    """Try all parsers, as many at a time as there are cores."""
    with ThreadPoolExecutor(available_threads()) as pool:
        return [
            problem
            for problems in pool.map(lambda parser: found(parser, seed, folder), PARSERS)
            for problem in problems
        ]


def _found(parser: str, seed: int, n: int, place: Path) -> Iterator[str]:
    """Try inputs in a process that is begun again behind one that has ended it."""
    first = n_ended = 0
    while first < n and n_ended < _MOST_ENDED:
        place.write_bytes(struct.pack("<q", first - 1))
        words = [parser, str(seed), str(first), str(n), str(place)]
        environment = os.environ | {"PYTHONPATH": _PATHS}
        done = subprocess.run([sys.executable, "-m", PROGRAM, *words], capture_output=True, text=True, env=environment)
        for line in done.stdout.splitlines():
            problem = json.loads(line)
            yield f"{parser} {seed} {problem['number']}: {problem['error']} at {problem['at']}"
        (at,) = struct.unpack("<q", place.read_bytes())
        if at < first:
            raise AssertionError(f"{parser} could not begin: {done.stderr[-2000:]}")
        if at < n:
            yield f"{parser} {seed} {at}: ended its process ({done.returncode}) {done.stderr[-200:]}"
            n_ended += 1
        first = at + 1


def _without_end(first: int) -> int:
    n_problems = 0
    try:
        for seed in itertools.count(first):
            with tempfile.TemporaryDirectory() as folder:
                problems = _every(seed, Path(folder)) + every_event(seed, N_EVENTS, Path(folder))
            n_problems += len(problems)
            told = f"Seed {seed}: {len(problems)} of {N_INPUTS + N_EVENTS:,}; {n_problems} in all."
            print(*problems, told, sep="\n", flush=True)
    except KeyboardInterrupt:
        return 1 if n_problems else 0
    raise AssertionError


if __name__ == "__main__":
    sys.exit(_without_end(int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())))
