"""Measure whole processes, from the start of the command to its end: digitlab's beside an equivalent PyTorch script.

- ``digitlab-train``: ``digitlab train``, the codelab's run with evaluation on the test set and the report;
- ``torch-train``: a script that imports PyTorch, reads the same MNIST, trains and evaluates alike, and prints the
  accuracy of every class and the confusion matrix;
- ``digitlab-help``: ``digitlab --help``;
- ``digitlab-first``: ``digitlab train`` with an empty cache, as the first run after the installation: kernels are
  compiled and the images unpacked.

Every command but the last runs once unmeasured before its first round, so that its byte code, the system's file cache
and digitlab's cache are warm. In the first run ever only digitlab's cache is empty: the files of the libraries have
been read before.
"""

from __future__ import annotations

import sys
from typing import Any

from contest import Entry, Quantity, contend, contest_parser, contestant
from tables import circumstances, contest_table, n_runs, page, spread, times

FIRST = "digitlab-first"

#: The contestants; the first is the baseline.
PEERS = {
    name: contestant(name.partition("-")[0], "process", name=name, title=title)
    for name, title in (
        ("digitlab-train", "digitlab train"),
        ("torch-train", "PyTorch script"),
        ("digitlab-help", "digitlab --help"),
        (FIRST, "digitlab train, first run ever"),
    )
}

QUANTITIES = (Quantity("command_s", ratio=True), Quantity("test_accuracy", optional=True))


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a time of the baseline, 130 after Ctrl-C."""
    numbers = {"rounds": (7, "runs of each"), "cold_rounds": (3, "runs with an empty cache")}
    options = contest_parser("startup", __doc__, PEERS, **numbers).parse_args(argv)
    title = "Whole processes: the codelab's run, from the command to the report"
    entries = [_entry(name, options.cold_rounds) for name in options.peers]
    return contend("startup", argv, options, title, QUANTITIES, entries, ("mnist",), to_markdown, "startup.md")


def _entry(name: str, cold_rounds: int) -> Entry:
    if name == FIRST:
        return Entry(PEERS[name], options=lambda number: [name], most_rounds=cold_rounds)
    return Entry(PEERS[name], options=lambda number: [name, "--warm-up"] if number == 1 else [name])


def to_markdown(result: dict[str, Any]) -> str:
    """Return how long whole processes take."""

    def accuracy(entry: dict[str, Any]) -> str:
        return spread(entry, "test_accuracy", 1, 100) if "test_accuracy" in entry["summary"] else ""

    headings = ["n", "seconds", f"times {result['entries'][0]['title']}", "test accuracy, %"]
    return page(
        "# Whole processes",
        "From the start of the command to its end, by the clock of another process: the codelab's run (5,500 "
        "images, 10 epochs, validation on 1,000), evaluation on the 10,000 test images, accuracy of every class "
        "and confusion matrix. digitlab writes the run and its report besides.",
        contest_table(result, headings, [n_runs, ("command_s", 2), times("command_s"), accuracy]),
        "Every command but the first run ever ran once before, unmeasured, so that caches are warm. In the first "
        "run ever digitlab's cache is empty, so that kernels are compiled and the images unpacked; the files of "
        "its libraries have been read before.",
        circumstances(result),
    )


if __name__ == "__main__":
    sys.exit(main())
