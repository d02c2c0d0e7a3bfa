"""Measure how fast images are answered by digitlab, PyTorch and ONNX Runtime, in turn on the same cores.

The codelab's network and that of the fast preset, with the same weights for everybody. Two groups of quantities: images
a second when all MNIST test images are answered, and the microseconds of a call that answers one image, from a float32
array to an array of probabilities. The rules are in ``peers/jobs.py``; a contestant whose probabilities differ from
digitlab's by more than 1e-4 fails.
"""

from __future__ import annotations

import sys
from typing import Any

from contest import Entry, Quantity, contend, contest_parser, contestant
from tables import circumstances, contest_table, difference, page, times

#: The contestants; the first is the baseline.
PEERS = {env: contestant(env, "inference") for env in ("digitlab", "torch", "onnxruntime")}
#: The networks, by the prefix of their quantities.
NETWORKS = {"codelab": "codelab's network", "fast": "fast preset's network"}
_HEADINGS = {"codelab": "The codelab's network", "fast": "The network of the fast preset"}

_KEYS = ("images_per_s", "median_us", "p95_us", "batch_size", "call_threads", "difference")
QUANTITIES = tuple(
    Quantity(f"{network}_{key}", ratio=key in ("images_per_s", "median_us")) for key in _KEYS for network in NETWORKS
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a run of the baseline, 130 after Ctrl-C."""
    numbers = {"rounds": (5, "runs of each"), "images": (10_000, "test images"), "calls": (2_000, "single images")}
    options = contest_parser("inference", __doc__, PEERS, **numbers).parse_args(argv)
    title = f"Answering: {options.images:,} MNIST test images, and {options.calls:,} single ones"
    entries = [Entry(PEERS[name]) for name in options.peers]
    job = ("inference", options.images, options.calls)
    return contend("inference", argv, options, title, QUANTITIES, entries, job, to_markdown, "inference.md")


def to_markdown(result: dict[str, Any]) -> str:
    """Return how fast images are answered."""
    headings = ["images/s", "times digitlab", "batch", "one image, µs", "95 % of calls, µs", "times digitlab"]
    headings += ["threads for it", "largest difference"]
    parts = [
        "# Answering images",
        f"{result['title']}, in memory as float32, with the same weights for everybody. *Times digitlab* is a ratio of "
        "speeds where it follows images a second, and of times where it follows microseconds. Batches are the best of "
        "a short list, and one image is answered with one thread or with all cores, whichever is faster.",
    ]
    for key, title in _HEADINGS.items():
        cells = [
            (f"{key}_images_per_s", 0),
            times(f"{key}_images_per_s"),
            (f"{key}_batch_size", 0),
            (f"{key}_median_us", 1),
            (f"{key}_p95_us", 1),
            times(f"{key}_median_us"),
            (f"{key}_call_threads", 0),
            difference(f"{key}_difference"),
        ]
        parts += [f"## {title}", contest_table(result, headings, cells)]
    parts.append("The last column: how far a probability lies from digitlab's at most; more than 1e-4 is a failure.")
    return page(*parts, circumstances(result))


if __name__ == "__main__":
    sys.exit(main())
