"""Measure how fast the finder's network answers a page, by digitlab and ONNX Runtime, in turn on the same cores.

One page of 1024 x 768 pixels, from a float32 array to the maps, with all cores and with the ONNX file that digitlab
writes. The rules are in ``peers/jobs.py``; a contestant whose maps differ from digitlab's by more than 1e-4 of the
largest number fails.
"""

from __future__ import annotations

import sys
from typing import Any

from contest import Entry, Quantity, contend, contest_parser, contestant
from tables import circumstances, contest_table, difference, n_runs, page, times

#: The contestants; the first is the baseline.
PEERS = {env: contestant(env, "page") for env in ("digitlab", "onnxruntime")}

QUANTITIES = (Quantity("page_ms", ratio=True), Quantity("fastest_ms", ratio=True), Quantity("difference"))


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a run of the baseline, 130 after Ctrl-C."""
    numbers = {"rounds": (5, "runs of each"), "calls": (10, "calls in a round")}
    options = contest_parser("finder_page", __doc__, PEERS, **numbers).parse_args(argv)
    title, job = "The finder's network on a page of 1024 x 768 pixels", ("page", options.calls)
    entries = [Entry(PEERS[name]) for name in options.peers]
    return contend("finder_page", argv, options, title, QUANTITIES, entries, job, to_markdown, "finder-page.md")


def to_markdown(result: dict[str, Any]) -> str:
    """Return how fast a page is answered with maps."""
    headings = ["n", "a page, ms", "times digitlab", "fastest call, ms", "times digitlab", "largest difference"]
    cells = [n_runs, ("page_ms", 0), times("page_ms"), ("fastest_ms", 0), times("fastest_ms"), difference("difference")]
    return page(
        "# Answering a page",
        f"{result['title']}, from float32 in memory to the maps, on all cores, with the same weights for all.",
        contest_table(result, headings, cells),
        "The last column: how far a number of the maps lies from digitlab's at most, as a part of the largest; "
        "more than 1e-4 is a failure.",
        circumstances(result),
    )


if __name__ == "__main__":
    sys.exit(main())
