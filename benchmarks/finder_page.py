"""Measure how fast the finder's network answers a page, by digitlab and ONNX Runtime, in turn on the same cores.

``python benchmarks/finder_page.py [--rounds 5] [--calls 10] [--out benchmarks/results/finder_page.json]
[--peers digitlab,onnxruntime] [--envs .venvs]``

One page of 1024 x 768 pixels, from a float32 array to the maps, with all cores and with the ONNX file that digitlab
writes. The rules are in ``peers/page_job.py``; a contestant whose maps differ from digitlab's by more than 1e-4 of the
largest number fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

from contest import Contest, Entry, Quantity, describe_machine
from contest_command import command_line, contend, options_for, positive
from peers.contestants import contestant
from peers.peer import prepare, run_once

#: The contestants; the first is the baseline.
PEERS = {
    peer.name: peer
    for peer in (contestant("digitlab", "digitlab_page.py"), contestant("onnxruntime", "onnxruntime_page.py"))
}

QUANTITIES = (
    Quantity("page_ms", "a page, ms", digits=0, ratio=True),
    Quantity("fastest_ms", "fastest call, ms", digits=0, ratio=True),
    Quantity("difference", "difference, 1e-6", scale=1e6),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a run of the baseline, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    parser = options_for("finder_page", "Measure how fast a page is answered.", PEERS, rounds=5)
    parser.add_argument("--calls", type=positive, default=10, metavar="N", help="calls in a round (default 10)")
    options = parser.parse_args(argv)
    contest = Contest(
        title="The finder's network on a page of 1024 x 768 pixels",
        command=command_line("finder_page", argv),
        rounds=options.rounds,
        quantities=QUANTITIES,
        entries=[Entry(PEERS[name]) for name in options.peers],
        machine=describe_machine(),
    )

    def write(folder: Path) -> None:
        writer = contestant("digitlab", "page_job.py", title="the page")
        run_once(writer, prepare(writer, options.envs), [str(folder), str(options.calls)])

    return contend(contest, options.envs, options.out, write)


if __name__ == "__main__":
    sys.exit(main())
