"""Measure the codelab's job on digitlab, PyTorch, TensorFlow and JAX, in turn on the same cores.

``python benchmarks/codelab.py [--rounds 5] [--out FILE] [--peers digitlab,torch,tensorflow,keras-jax] [--envs .venvs]``

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

from contest import Entry, Quantity, contend, contest_parser
from contestants import contestant
from tables import markdown_table, on_machine, said_versions

#: The contestants; the first is the baseline.
PEERS = {env: contestant(env, "codelab") for env in ("digitlab", "torch", "tensorflow", "keras-jax")}

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
    options = contest_parser("codelab", "Measure the codelab's job.", PEERS.values(), rounds=5).parse_args(argv)
    title = "The codelab's job: 5,500 images, 10 epochs, batches of 512"
    entries = [Entry(PEERS[name]) for name in options.peers]
    return contend("codelab", argv, options, title, QUANTITIES, entries, ("codelab",))


def readme_table(result: dict[str, Any]) -> str:
    """Return the comparison as a short table with its circumstances, for the README."""
    rows = []
    for entry in result["entries"]:
        if entry["reason"]:
            rows.append([entry["title"], f"not measured: {entry['reason']}", "", "", "", ""])
            continue
        found = {key: spread["median"] for key, spread in entry["summary"].items()}
        rows.append(
            [
                entry["title"],
                f"{found['training_s']:.2f}",
                f"{entry['ratios']['training_s']['median']:.1f} x",
                f"{found['process_s']:.1f}",
                f"{found['peak_rss_bytes'] / 2**20:.0f}",
                f"{100 * found['val_accuracy']:.1f} %",
            ]
        )
    n = min(entry["n"] for entry in result["entries"] if not entry["reason"])
    headings = ["", "seconds", "times digitlab", "whole process, s", "peak memory, MiB", "validation accuracy"]
    return (
        "The codelab's run (5,500 images, 10 epochs, batch 512) in process, on the same cores in turn:\n\n"
        f"{markdown_table(headings, rows)}\n\n"
        f"Medians of {n} runs each, ratios within a round; the whole process includes imports and a warm-up epoch. "
        f"{on_machine(result['machine'])}{said_versions(result)}. Made by `{result['command'].strip()}` on "
        f"{result['date'][:10]}."
    )


if __name__ == "__main__":
    sys.exit(main())
