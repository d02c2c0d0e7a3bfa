"""Measure seconds of training against the accuracy on the MNIST test images, a seed a round.

- ``digitlab-PRESET``: a preset as it is;
- ``torch-PRESET``: the same on PyTorch: network, initial weights, batch size, optimizer and the learning rate of every
  step are digitlab's, the rest of the randomness its own; the longer recipe runs in the first rounds only;
- ``torch-example`` and ``keras-example``: the MNIST examples as PyTorch and Keras publish them. They take minutes and
  run in the first rounds only.

Round r is seed r for all. Timed within the process: training, with the validation that belongs to the recipe. Loading
and a few steps as a warm-up come before it and are told apart; the test images are answered after it, once.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from contest import Entry, Quantity, contend, contest_parser, contestant
from measuring import positive
from tables import circumstances, contest_table, markdown_table, mean_text, n_runs, page, times

#: The presets that are measured.
PRESETS = ("fast", "accurate")
#: The published examples, with the epochs that they train.
EXAMPLE_EPOCHS = {"torch-example": 14, "keras-example": 15}
#: What takes minutes and runs in the first rounds only.
SLOW = "torch-accurate"
#: Seconds that a published example may take.
EXAMPLE_TIMEOUT_S = 7_200

#: The contestants; the first is the baseline.
PEERS = {
    peer.name: peer
    for peer in (
        *(contestant("digitlab", "preset", name=f"digitlab-{p}", title=f"digitlab --preset {p}") for p in PRESETS),
        *(contestant("torch", "recipe", name=f"torch-{p}", title=f"PyTorch, the recipe of {p}") for p in PRESETS),
        *(
            contestant(env, "example", name=name, title=title, timeout_s=EXAMPLE_TIMEOUT_S)
            for env, name, title in (
                ("torch", "torch-example", "PyTorch's MNIST example"),
                ("tensorflow", "keras-example", "Keras' MNIST convnet on TensorFlow"),
            )
        ),
    )
}

QUANTITIES = (
    Quantity("training_s", ratio=True),
    *(Quantity(key) for key in ("test_accuracy", "load_s", "warm_up_s")),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a time of the baseline, 130 after Ctrl-C."""
    numbers = {
        "rounds": (10, "seeds of each"),
        "example_rounds": (1, "runs of the published examples"),
        "slow_rounds": (2, f"runs of {SLOW}"),
    }
    parser = contest_parser("time_to_accuracy", __doc__, PEERS, **numbers)
    add = parser.add_argument
    add("--example-epochs", type=positive, metavar="N", help="train the published examples less, to try the script")
    add("--images", type=positive, default=0, metavar="N", help="cut the training images, to try the script")
    options = parser.parse_args(argv)
    title = "Seconds of training, and the accuracy on the 10,000 test images"
    entries = [_entry(name, options) for name in options.peers]
    job = ("recipes", options.rounds, options.images, *PRESETS)
    page = "time-to-accuracy.md"
    return contend("time_to_accuracy", argv, options, title, QUANTITIES, entries, job, to_markdown, page)


def _entry(name: str, options: argparse.Namespace) -> Entry:
    if name in EXAMPLE_EPOCHS:
        length = [options.example_epochs or EXAMPLE_EPOCHS[name], options.images]
        return Entry(PEERS[name], options=lambda number: [number, *length], most_rounds=options.example_rounds)
    preset = name.partition("-")[2]
    most = options.slow_rounds if name == SLOW else None
    return Entry(PEERS[name], options=lambda number: [preset, number], most_rounds=most)


def to_markdown(result: dict[str, Any]) -> str:
    """Return seconds of training beside the accuracy on the test images."""
    headings = ["n", "training, s", f"times {result['entries'][0]['title']}", "test accuracy", "loading, s"]
    cells = [n_runs, ("training_s", 2), times("training_s"), lambda entry: mean_text(entry, "test_accuracy")]
    measured = [entry for entry in result["entries"] if entry["n"]]
    by_seed = [{run["round"]: run["test_accuracy"] for run in entry["runs"]} for entry in measured]
    seed_rows = [
        [str(seed), *(f"{100 * accuracies[seed]:.2f}" if seed in accuracies else "" for accuracies in by_seed)]
        for seed in sorted({seed for accuracies in by_seed for seed in accuracies})
    ]
    return page(
        "# Seconds to an accuracy",
        "Seconds of training within the process, with the validation that belongs to the recipe, and the accuracy "
        "on all 10,000 test images afterwards: the mean over seeds ± its standard error. Loading and the first few "
        "steps, in which code is compiled, traced or read from a cache, come before and are told apart.",
        contest_table(result, [*headings, "warm-up, s"], [*cells, ("load_s", 2), ("warm_up_s", 2)]),
        "The recipes on PyTorch have digitlab's network, initial weights, batch size, optimizer and learning rate "
        "of every step. The published examples keep their own recipes, with the images in memory.",
        "## Test accuracy by seed, %",
        markdown_table(["seed", *(entry["title"] for entry in measured)], seed_rows),
        circumstances(result),
    )


if __name__ == "__main__":
    sys.exit(main())
