"""Measure seconds of training against the accuracy on the MNIST test images, a seed a round.

``python benchmarks/time_to_accuracy.py [--rounds 10] [--slow-rounds 2] [--example-rounds 1]
[--out benchmarks/results/time_to_accuracy.json] [--peers digitlab-fast,...] [--envs .venvs]``

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
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from contest import Contest, Entry, Quantity, describe_machine
from contest_command import command_line, contend, options_for, positive
from peers.contestants import contestant
from peers.peer import prepare, run_once
from peers.recipe import lacking

#: The presets that are measured, where digitlab has them.
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
        *(
            contestant("digitlab", "digitlab_preset.py", name=f"digitlab-{preset}", title=f"digitlab --preset {preset}")
            for preset in PRESETS
        ),
        *(
            contestant("torch", "torch_recipe.py", name=f"torch-{preset}", title=f"PyTorch, the recipe of {preset}")
            for preset in PRESETS
        ),
        contestant(
            "torch",
            "torch_example.py",
            name="torch-example",
            title="PyTorch's MNIST example",
            timeout_s=EXAMPLE_TIMEOUT_S,
        ),
        contestant(
            "tensorflow",
            "keras_example.py",
            name="keras-example",
            title="Keras' MNIST convnet on TensorFlow",
            timeout_s=EXAMPLE_TIMEOUT_S,
        ),
    )
}

QUANTITIES = (
    Quantity("training_s", "training, s", ratio=True),
    Quantity("test_accuracy", "test accuracy, %", scale=100),
    Quantity("load_s", "loading, s"),
    Quantity("warm_up_s", "warm-up, s"),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a time of the baseline, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    parser = options_for("time_to_accuracy", "Measure seconds against accuracy.", PEERS, rounds=10)
    add = parser.add_argument
    add("--example-rounds", type=positive, default=1, metavar="N", help="runs of the published examples (default 1)")
    add("--slow-rounds", type=positive, default=2, metavar="N", help=f"runs of {SLOW} (default 2)")
    add("--example-epochs", type=positive, metavar="N", help="train the published examples less, to try the script")
    add("--images", type=positive, default=0, metavar="N", help="cut the training images, to try the script")
    options = parser.parse_args(argv)
    entries = [_entry(name, options) for name in options.peers]
    contest = Contest(
        title="Seconds of training, and the accuracy on the 10,000 test images",
        command=command_line("time_to_accuracy", argv),
        rounds=options.rounds,
        quantities=QUANTITIES,
        entries=entries,
        machine=describe_machine(),
    )

    def write(folder: Path) -> None:
        writer = contestant("digitlab", "accuracy_job.py", title="the recipes")
        arguments = [str(folder), str(options.rounds), str(options.images), *PRESETS]
        run_once(writer, prepare(writer, options.envs), arguments)
        leave_out(entries, folder)

    return contend(contest, options.envs, options.out, write)


def leave_out(entries: Sequence[Entry], folder: Path) -> None:
    """Leave those entries out whose preset does not exist, or asks for what the peer lacks."""
    for entry in entries:
        kind, _, preset = entry.peer.name.partition("-")
        if preset not in PRESETS:
            continue
        path = folder / f"{preset}.json"
        if not path.exists():
            entry.leave_out(f"this digitlab has no preset {preset}")
        elif kind != "digitlab" and (lacks := lacking(json.loads(path.read_text()))):
            entry.leave_out(f"the peer lacks {', '.join(lacks)}")


def _entry(name: str, options: argparse.Namespace) -> Entry:
    if name in EXAMPLE_EPOCHS:
        length = [str(options.example_epochs or EXAMPLE_EPOCHS[name]), str(options.images)]
        return Entry(PEERS[name], options=lambda number: [str(number), *length], most_rounds=options.example_rounds)
    most = options.slow_rounds if name == SLOW else None
    return Entry(PEERS[name], options=_seeded(name.partition("-")[2]), most_rounds=most)


def _seeded(preset: str) -> Callable[[int], list[str]]:
    return lambda number: [preset, str(number)]


if __name__ == "__main__":
    sys.exit(main())
