"""Measure how fast images are answered by digitlab, PyTorch and ONNX Runtime, in turn on the same cores.

``python benchmarks/inference.py [--rounds 5] [--images 10000] [--calls 2000] [--out benchmarks/results/inference.json]
[--peers digitlab,torch,onnxruntime] [--envs .venvs]``

The codelab's network and that of the fast preset, with the same weights for everybody. Two groups of quantities: images
a second when all MNIST test images are answered, and the microseconds of a call that answers one image, from a float32
array to an array of probabilities. The rules are in ``peers/inference_job.py``; a contestant whose probabilities differ
from digitlab's by more than 1e-4 fails.
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
    for peer in (
        contestant("digitlab", "digitlab_inference.py"),
        contestant("torch", "torch_inference.py"),
        contestant("onnxruntime", "onnxruntime_inference.py"),
    )
}
#: The networks, by the prefix of their quantities.
NETWORKS = {"codelab": "codelab's network", "fast": "fast preset's network"}

QUANTITIES = (
    *(Quantity(f"{key}_images_per_s", f"{title}, images/s", digits=0, ratio=True) for key, title in NETWORKS.items()),
    *(Quantity(f"{key}_median_us", f"{title}, one image, us", digits=1, ratio=True) for key, title in NETWORKS.items()),
    *(Quantity(f"{key}_p95_us", f"{title}, one image, 95 %, us", digits=1) for key, title in NETWORKS.items()),
    *(Quantity(f"{key}_batch_size", f"{title}, batch", digits=0) for key, title in NETWORKS.items()),
    *(Quantity(f"{key}_call_threads", f"{title}, threads for one", digits=0) for key, title in NETWORKS.items()),
    *(Quantity(f"{key}_difference", f"{title}, difference, 1e-6", scale=1e6) for key, title in NETWORKS.items()),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a run of the baseline, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    parser = options_for("inference", "Measure how fast images are answered.", PEERS, rounds=5)
    parser.add_argument("--images", type=positive, default=10_000, metavar="N", help="test images (default 10,000)")
    parser.add_argument("--calls", type=positive, default=2_000, metavar="N", help="single images (default 2,000)")
    options = parser.parse_args(argv)
    contest = Contest(
        title=f"Answering: {options.images:,} MNIST test images, and {options.calls:,} single ones",
        command=command_line("inference", argv),
        rounds=options.rounds,
        quantities=QUANTITIES,
        entries=[Entry(PEERS[name]) for name in options.peers],
        machine=describe_machine(),
    )

    def write(folder: Path) -> None:
        writer = contestant("digitlab", "inference_job.py", title="the networks")
        run_once(writer, prepare(writer, options.envs), [str(folder), str(options.images), str(options.calls)])

    return contend(contest, options.envs, options.out, write)


if __name__ == "__main__":
    sys.exit(main())
