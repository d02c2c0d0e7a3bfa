"""Measure the codelab's job on digitlab, PyTorch, TensorFlow and JAX, in turn on the same cores.

``python benchmarks/codelab.py [--rounds 5] [--out benchmarks/results/codelab.json]
[--peers digitlab,torch,tensorflow,keras-jax] [--envs .venvs]``

The job: the codelab's network of 5,994 parameters, 5,500 images, 10 epochs of shuffled batches of 512, validation on
1,000 images at each epoch's end, all cores. Rules, the same for every contestant:

- timed within the process: training with validation, and nothing else; the data lies in memory as float32;
- one epoch as a warm-up before it, in the same process, then fresh weights: compilation is not in the time;
- the warm-up's time is reported as the cold first epoch, and the parent's clock as the whole process
  (imports, reading the arrays, 1 + 10 epochs).
"""

from __future__ import annotations

import sys
from pathlib import Path

from contest import Contest, Entry, Quantity, describe_machine
from contest_command import command_line, contend, options_for
from peers.contestants import contestant
from peers.peer import prepare, run_once

#: The contestants; the first is the baseline.
PEERS = {
    peer.name: peer
    for peer in (
        contestant("digitlab", "digitlab_codelab.py"),
        contestant("torch", "torch_codelab.py"),
        contestant("tensorflow", "tensorflow_codelab.py"),
        contestant("keras-jax", "keras_jax_codelab.py"),
    )
}

QUANTITIES = (
    Quantity("training_s", "10 epochs, s", ratio=True),
    Quantity("first_epoch_s", "first epoch, cold, s"),
    Quantity("process_s", "whole process, s", ratio=True),
    Quantity("peak_rss_bytes", "peak memory, MiB", digits=0, scale=2**-20),
    Quantity("val_accuracy", "val. accuracy, %", digits=1, scale=100),
    Quantity("val_loss", "val. loss", digits=3),
    Quantity("threads", "threads", digits=0),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a time of the baseline, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    options = options_for("codelab", "Measure the codelab's job.", PEERS, rounds=5).parse_args(argv)
    contest = Contest(
        title="The codelab's job: 5,500 images, 10 epochs, batches of 512",
        command=command_line("codelab", argv),
        rounds=options.rounds,
        quantities=QUANTITIES,
        entries=[Entry(PEERS[name]) for name in options.peers],
        machine=describe_machine(),
    )

    def write(folder: Path) -> None:
        # In digitlab's own interpreter: this script itself needs nothing installed.
        writer = contestant("digitlab", "codelab_job.py", title="the images")
        run_once(writer, prepare(writer, options.envs), [str(folder)])

    return contend(contest, options.envs, options.out, write)


if __name__ == "__main__":
    sys.exit(main())
