"""How good is ``--preset fast``, and how long does it take? Ten seeds, the whole test set.

Writes ``benchmarks/results/fast.json`` and ``docs/measurements/fast.md``.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from digitlab.data.mnist import MnistData
from digitlab.evaluation.evaluate import evaluate
from digitlab.training.config import preset
from digitlab.training.keeping import environment
from digitlab.training.session import TrainingSession
from measuring import made_by, parser_of, publish, say
from tables import page


def measure(data: MnistData, seed: int) -> tuple[float, float]:
    """Train with one seed; return the test accuracy and the seconds of training."""
    session = TrainingSession(preset("fast", {"seed": seed}), data)
    began = time.perf_counter()
    for _ in session.records():
        pass
    seconds = time.perf_counter() - began
    return evaluate(session.model, data.test.images, data.test.labels).accuracy, seconds


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    machine, accuracies = result["environment"], result["accuracies"]
    return page(
        "# `--preset fast`",
        f"One pass over 55,000 training images. Test accuracy on all 10,000 test images over {result['n']} seeds: mean "
        f"**{100 * result['mean']:.2f} %**, standard deviation {100 * result['stdev']:.2f} points, lowest "
        f"{100 * min(accuracies):.2f} %, highest {100 * max(accuracies):.2f} %. Training takes "
        f"{result['seconds']:.1f} s (median, kernels compiled) on {machine['threads']} threads of "
        f"{machine['processor']}.",
        f"digitlab {machine['digitlab']}, Python {machine['python']}. Made by `{result['command']}`.",
    )


def main(argv: list[str] | None = None) -> None:
    """Measure, write JSON and the page."""
    options = parser_of("fast", __doc__, seeds=(10, "runs")).parse_args(argv)
    data = MnistData.load()
    accuracies, seconds = [], []
    for seed in range(options.seeds):
        accuracy, took = measure(data, seed)
        accuracies.append(accuracy)
        seconds.append(took)
        say(f"seed {seed}: {100 * accuracy:.2f} % after {took:.2f} s")
    result = {
        "n": options.seeds,
        "mean": statistics.fmean(accuracies),
        "stdev": statistics.stdev(accuracies),
        "accuracies": accuracies,
        "seconds": statistics.median(seconds),
        "all_seconds": seconds,
        "environment": environment(os.cpu_count() or 1),
        **made_by("fast", ["--seeds", str(options.seeds)]),
    }
    publish(options.out, result, to_markdown, "fast.md")


if __name__ == "__main__":
    main()
