"""Measure the codelab's job on digitlab, PyTorch, TensorFlow and JAX, in turn on the same cores.

The job: the codelab's network of 5,994 parameters, 5,500 images, 10 epochs of shuffled batches of 512, validation on
1,000 images at each epoch's end, all cores. Rules, the same for every contestant:

- timed within the process: training with validation, and nothing else; the data lies in memory as float32;
- one epoch as a warm-up before it, in the same process, then fresh weights: compilation is not in the time;
- the warm-up's time is reported as the cold first epoch, and the parent's clock as the whole process
  (imports, reading the arrays, 1 + 10 epochs).
"""

from __future__ import annotations

import sys
from typing import Any

from contest import Entry, Quantity, contend, contest_parser, contestant
from tables import contest_table, middle, on_machine, said_versions, times

#: The contestants; the first is the baseline.
PEERS = {env: contestant(env, "codelab") for env in ("digitlab", "torch", "tensorflow", "keras-jax")}

QUANTITIES = (
    *(Quantity(key, ratio=True) for key in ("training_s", "process_s")),
    *(Quantity(key) for key in ("first_epoch_s", "peak_rss_bytes", "val_accuracy", "val_loss", "threads")),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a time of the baseline, 130 after Ctrl-C."""
    options = contest_parser("codelab", __doc__, PEERS, rounds=(5, "runs of each")).parse_args(argv)
    title = "The codelab's job: 5,500 images, 10 epochs, batches of 512"
    entries = [Entry(PEERS[name]) for name in options.peers]
    return contend("codelab", argv, options, title, QUANTITIES, entries, ("codelab",), readme_table)


def readme_table(result: dict[str, Any]) -> str:
    """Return the comparison as a short table with its circumstances, for the README."""
    cells = (
        middle("training_s", "{:.2f}"),
        times("training_s", 1),
        middle("process_s", "{:.1f}"),
        middle("peak_rss_bytes", "{:.0f}", 2**-20),
        middle("val_accuracy", "{:.1f} %", 100),
    )
    n = min((entry["n"] for entry in result["entries"] if entry["n"]), default=0)
    headings = ["seconds", "times digitlab", "whole process, s", "peak memory, MiB", "validation accuracy"]
    return (
        "The codelab's run (5,500 images, 10 epochs, batch 512) in process, on the same cores in turn:\n\n"
        f"{contest_table(result, headings, cells)}\n\n"
        f"Medians of {n} runs each, ratios within a round; the whole process includes imports and a warm-up epoch. "
        f"{on_machine(result['machine'])}{said_versions(result)}. Made by `{result['command'].strip()}` on "
        f"{result['date'][:10]}."
    )


if __name__ == "__main__":
    sys.exit(main())
