"""Ten thousand mutated inputs over all parsers: each gives a result or digitlab's own error, in time and memory.

``make soak`` tries more of them, with another seed each time, for as long as one likes.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from inputs import PARSERS

import digitlab as dl
from digitlab.engine.cpu.threads import available_threads

_PROGRAM = Path(__file__).parent / "inputs.py"
#: Of each parser; those whose inputs cost more to try get fewer.
_FEWER = {"pictures": 1000, "documents": 600, "keras": 500, "runs": 500, "json": 500, "forms": 700}
_MANY = 800
_MOST_ENDED = 20


def found(parser: str, seed: int, n: int, folder: Path) -> Iterator[str]:
    """Try inputs in a process of their own, begun again behind one that has ended it; give what went wrong."""
    place = folder / f"{parser}-{seed}"
    first, n_ended = 0, 0
    while first < n and n_ended < _MOST_ENDED:
        place.write_bytes(struct.pack("<q", first - 1))
        words = [parser, str(seed), str(first), str(n), str(place)]
        environment = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
        done = subprocess.run([sys.executable, str(_PROGRAM), *words], capture_output=True, text=True, env=environment)
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


def every(seed: int, times: int, folder: Path) -> list[str]:
    """Try all parsers, as many at a time as there are cores."""

    def one(parser: str) -> list[str]:
        return list(found(parser, seed, times * _FEWER.get(parser, _MANY), folder))

    with ThreadPoolExecutor(available_threads()) as pool:
        return [problem for problems in pool.map(one, PARSERS) for problem in problems]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mutated_inputs_give_a_result_or_an_error_of_digitlab(tmp_path: Path) -> None:
    assert sum(_FEWER.get(parser, _MANY) for parser in PARSERS) >= 10_000
    problems = every(seed=1, times=1, folder=tmp_path)
    shown = "\n".join(problems[:40])
    assert not problems, f"{len(problems)} inputs; python {_PROGRAM} PARSER SEED NUMBER shows one:\n{shown}"
