"""What does it cost that a photo is read in a process of its own? At most 5 ms were asked for.

A photo goes over to the process as it is when it is read, and what comes back is what would: nothing to speak of for
``digitlab read`` and the API, the pixels that are worked on for the Studio. Reading itself, which takes as long here as
there, is left out, and so is what varies with it. Times are the clock's, from the asking to the beginning there and
from the end there to the answer, and the processor's, of both processes. Writes ``benchmarks/results/apart.json``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.reading.apart import Apart
from digitlab.reading.photo import WORK_PX
from measuring import describe_machine, made_by, parser_of, write_json

#: What a photo may cost more.
ALLOWED_MS = 5.0

_PIXELS = (WORK_PX * 3 // 4, WORK_PX, 3)
# The photo's bytes, and the pixels that come back.
_PHOTOS: dict[str, tuple[int, tuple[int, ...]]] = {
    "small photo, 20 kB": (20_000, ()),
    "photo of 5 MB": (5_000_000, ()),
    "photo of 5 MB in the Studio": (5_000_000, _PIXELS),
}


def taken(content: bytes, shape: tuple[int, ...]) -> tuple[float, float, Any, float, float]:
    """Be the process: when it began by the clock and the processor, the pixels, and when it ended."""
    began, work = time.perf_counter(), time.process_time()
    pixels = np.ones(shape, np.uint8) if shape else None
    return began, work, pixels, time.perf_counter(), time.process_time()


def measure(n_times: int) -> dict[str, dict[str, float]]:
    """Hand photos over, and return what it took beside the work itself: the least of so many times, in milliseconds."""
    import apart as over_there  # as the other process imports it

    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)
    processes = Apart(1, reads=False)
    found: dict[str, dict[str, float]] = {}
    try:
        for name, (n_bytes, shape) in _PHOTOS.items():
            content = os.urandom(n_bytes)
            clock, work, last = [], [], 0.0
            for k in range(n_times + 1):
                asked, work_before = time.perf_counter(), time.process_time()
                began, work_began, _, ended, work_ended = processes.call(over_there.taken, content, shape, source=name)
                answered, work_after = time.perf_counter(), time.process_time()
                if k:  # what the process does after the end is counted with the next, which is the same
                    clock.append(1000 * (began - asked + answered - ended))
                    work.append(1000 * (work_after - work_before + work_began - last))
                last = work_ended
            figures = {"clock_ms": min(clock), "work_ms": min(work), "work_median_ms": float(np.median(work))}
            found[name] = {**figures, "n": n_times}
    finally:
        processes.close()
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure and write; return 0, or 1 where a photo costs more than it may."""
    options = parser_of("apart", __doc__, times=(40, "photos of each kind")).parse_args(argv)
    machine = describe_machine()
    photos = measure(options.times)
    result = {"photos": photos, "allowed_ms": ALLOWED_MS, "machine": machine, **made_by("apart", argv)}
    write_json(options.out, result)
    for name, figures in photos.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    return int(max(figures["work_ms"] for figures in photos.values()) > ALLOWED_MS)


if __name__ == "__main__":
    sys.exit(main())
