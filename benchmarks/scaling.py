"""How does training scale with images, arithmetic, threads and the batch? Measured on the processor, told and drawn.

    python benchmarks/scaling.py [--rounds 5] [--out FOLDER] [--quick]

- seconds an epoch over 1,000 to 55,000 images, with a straight line fitted to them;
- milliseconds a batch over the multiply-adds of the network: the zoo's, and the codelab's with other filters;
- the speed-up of one thread, two, and so on to all cores;
- the memory that training takes, over the batch size, each time in a fresh process (Linux only).

Every point once a round, in an order that turns round from one round to the next. Writes
``benchmarks/results/scaling.json``, ``docs/measurements/scaling.md`` and ``docs/images/scaling-*.svg`` below the
project's folder, or below ``--out``.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import digitlab as dl
from contest import describe_machine
from digitlab.network.zoo import ZOO
from digitlab.training.environment import environment
from scaling_memory import OPTION, weigh, weigh_here
from scaling_page import charts, to_markdown
from scaling_points import Stopwatch, codelab_with, time_images, time_networks, time_threads

ROOT = Path(__file__).resolve().parent.parent

IMAGES = (1_000, 2_500, 5_500, 11_000, 27_500, 55_000)
#: The codelab's own network has 8 and 16.
FILTERS = ((4, 8), (16, 32), (32, 64))
THREADED = ("codelab_cnn", "fast_cnn")
BATCH_SIZES = (32, 128, 512, 2_048, 8_192)
#: How many of each a quick try measures.
QUICK = 2


def measure(n_rounds: int, quick: bool) -> dict[str, Any]:
    """Measure everything; return it as plain JSON types."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    machine = describe_machine()
    training = dl.MnistData.load().training
    watch = Stopwatch(training.images, training.labels)
    most = QUICK if quick else None
    networks = [*(build() for build in ZOO.values()), *(codelab_with(*pair) for pair in FILTERS)]
    return {
        "images": time_images(watch, IMAGES[:most], n_rounds, say),
        "networks": time_networks(watch, networks[:most], n_rounds, say),
        "threads": time_threads(watch, THREADED, machine["cores"], n_rounds, say),
        "memory": weigh(Path(__file__).resolve(), BATCH_SIZES[:most], n_rounds, say),
        "n_rounds": n_rounds,
        "machine": machine,
        "versions": environment(machine["cores"]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/scaling.py --rounds {n_rounds}" + " --quick" * quick,
    }


def write(result: dict[str, Any], folder: Path) -> None:
    """Write the JSON, the page and its charts below a folder."""
    files = {"benchmarks/results/scaling.json": json.dumps(result, indent=1) + "\n"}
    files |= {f"docs/images/scaling-{name}.svg": svg for name, svg in charts(result).items()}
    files["docs/measurements/scaling.md"] = to_markdown(result)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def main(argv: list[str] | None = None) -> int:
    """Measure and write; or, with the hidden option, weigh one batch size and print it."""
    parser = argparse.ArgumentParser(prog="python benchmarks/scaling.py", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measurements of each point (default 5)")
    parser.add_argument("--out", type=Path, default=ROOT, metavar="FOLDER", help="the project's folder by default")
    parser.add_argument("--quick", action="store_true", help="few points, the cheap ones: to see that it works")
    parser.add_argument(OPTION, type=int, dest="memory_of", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.memory_of:
        print(json.dumps(weigh_here(options.memory_of)))
        return 0
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}; give at least 1.")
    result = measure(options.rounds, options.quick)
    write(result, options.out)
    print(to_markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
