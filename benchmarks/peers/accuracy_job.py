"""The job of learning MNIST well, in one place: what is written for the contestants, and what they report.

``python accuracy_job.py FOLDER N_SEEDS TRAINING_IMAGES PRESET...`` writes MNIST, and for every preset that digitlab has
its recipe (see :mod:`recipe`) and initial weights for the seeds 1 to N_SEEDS (this needs digitlab; the rest does not).
TRAINING_IMAGES is the most that a preset learns from, 0 for no such limit.

Contestants import this first, so that its clock begins before their libraries are loaded.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mnist_arrays
import numpy as np
from nchw_layout import read_weights, write_weights

STARTED = time.perf_counter()
#: Steps before the timed ones, on another model: what compiles or traces does it here.
WARM_UP_STEPS = 3


def write(folder: Path, n_seeds: int, most_images: int, presets: list[str]) -> None:
    """Write MNIST, recipes and initial weights; presets that digitlab does not have are left out."""
    from digitlab.training.config import PRESETS, preset

    mnist_arrays.write_digits(folder)
    for name in presets:
        if name not in PRESETS:
            continue
        config = preset(name)
        if most_images:
            config = preset(name, {"train_images": min(most_images, config.train_images)})
        architecture = config.build_architecture()
        n_steps = config.epochs * -(-config.train_images // config.batch_size)
        recipe = {
            "config": config.to_dict(),
            "changed": config.changed(),
            "architecture": architecture.to_dict(),
            "rates": [config.rate(step, n_steps) for step in range(n_steps)],
        }
        (folder / f"{name}.json").write_text(json.dumps(recipe))
        for seed in range(1, n_seeds + 1):
            write_weights(folder / f"{name}-{seed}.npz", architecture.initial_weights(seed))


def read_recipe(folder: Path, preset: str, seed: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return a preset's recipe and digitlab's initial weights for a seed."""
    recipe = json.loads((folder / f"{preset}.json").read_text())
    return recipe, read_weights(folder / f"{preset}-{seed}.npz")


def measure(
    packages: tuple[str, ...], warm_up: Callable[[], object], train: Callable[[], object], test: Callable[[], float]
) -> None:
    """Warm up, time the training, evaluate, and print one line of JSON.

    Parameters
    ----------
    packages : tuple of str
        The distributions whose versions are reported.
    warm_up : callable
        Trains a few steps; what they teach must be forgotten.
    train : callable
        Trains; this alone is ``training_s``. All libraries and images are loaded by now.
    test : callable
        Returns the accuracy on the 10,000 test images.
    """
    load_s = time.perf_counter() - STARTED
    warm_up_s, training_s = _timed(warm_up), _timed(train)
    report = {
        "training_s": training_s,
        "load_s": load_s,
        "warm_up_s": warm_up_s,
        "test_accuracy": test(),
        "versions": {package: version(package) for package in packages},
    }
    print(json.dumps(report), flush=True)


def _timed(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    # The benchmark runs this as it runs a contestant, and those end with a line of JSON.
    print(json.dumps({}))
