"""Measure whole processes, from the start of the command to its end: digitlab's beside an equivalent PyTorch script.

``python benchmarks/startup.py [--rounds 7] [--cold-rounds 3] [--out benchmarks/results/startup.json]
[--peers digitlab-train,torch-train,digitlab-help,digitlab-first] [--envs .venvs]``

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
from collections.abc import Callable
from pathlib import Path

from contest import Contest, Entry, Quantity, describe_machine
from contest_command import command_line, contend, options_for, positive
from peers.contestants import contestant
from peers.peer import prepare, run_once

FIRST = "digitlab-first"

#: The contestants; the first is the baseline.
PEERS = {
    peer.name: peer
    for peer in (
        contestant("digitlab", "process_job.py", name="digitlab-train", title="digitlab train"),
        contestant("torch", "process_job.py", name="torch-train", title="PyTorch script"),
        contestant("digitlab", "process_job.py", name="digitlab-help", title="digitlab --help"),
        contestant("digitlab", "process_job.py", name=FIRST, title="digitlab train, first run ever"),
    )
}

QUANTITIES = (
    Quantity("command_s", "whole process, s", ratio=True),
    Quantity("test_accuracy", "test accuracy, %", digits=1, scale=100, optional=True),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a time of the baseline, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    parser = options_for("startup", "Measure whole processes.", PEERS, rounds=7)
    parser.add_argument(
        "--cold-rounds", type=positive, default=3, metavar="N", help="runs with an empty cache (default 3)"
    )
    options = parser.parse_args(argv)
    contest = Contest(
        title="Whole processes: the codelab's run, from the command to the report",
        command=command_line("startup", argv),
        rounds=options.rounds,
        quantities=QUANTITIES,
        entries=[_entry(name, options.cold_rounds) for name in options.peers],
        machine=describe_machine(),
    )

    def write(folder: Path) -> None:
        writer = contestant("digitlab", "mnist_arrays.py", title="the images")
        run_once(writer, prepare(writer, options.envs), [str(folder)])

    return contend(contest, options.envs, options.out, write)


def _entry(name: str, cold_rounds: int) -> Entry:
    if name == FIRST:
        return Entry(PEERS[name], options=lambda number: [name], most_rounds=cold_rounds)
    return Entry(PEERS[name], options=_warmed(name))


def _warmed(name: str) -> Callable[[int], list[str]]:
    return lambda number: [name, "--warm-up"] if number == 1 else [name]


if __name__ == "__main__":
    sys.exit(main())
