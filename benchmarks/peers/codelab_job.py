"""The codelab's training job, in one place, so that every contestant does the same.

Train the codelab's network on 5,500 images for 10 epochs of shuffled batches of 512 with Adam, and validate on 1,000
images at each epoch's end. A contestant brings two functions to :func:`measure`: one puts fresh weights in place, the
other trains and returns the last validation loss and accuracy. Only the second one is timed.

Run as a script, ``python codelab_job.py FOLDER`` writes the images and labels (this needs digitlab; the rest does not).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

N_TRAINING = 5_500
N_VALIDATION = 1_000
BATCH_SIZE = 512
EPOCHS = 10
LEARNING_RATE = 0.001
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-7
#: Standard deviation of a normal distribution cut at two standard deviations, before the cut, for one of 1 after it.
#: Keras and TensorFlow.js divide by it in varianceScaling with a truncated normal.
TRUNCATED_STD = 0.87962566103423978


class Arrays(NamedTuple):
    """The job's data in memory.

    ``images`` and ``val_images`` are float32 (n, 28, 28, 1) in [0, 1], ink bright on dark; ``labels`` and
    ``val_labels`` int64 (n,), 0-9.
    """

    images: np.ndarray
    labels: np.ndarray
    val_images: np.ndarray
    val_labels: np.ndarray


def n_threads() -> int:
    """Return the number of cores this process may use: every contestant gets them all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def write_arrays(folder: Path) -> None:
    """Write the first images and labels of digitlab's training and validation sets as ``.npy`` files."""
    import digitlab

    data = digitlab.MnistData.load()
    for prefix, part, n_images in (("", data.training, N_TRAINING), ("val_", data.validation, N_VALIDATION)):
        images = part.images[:n_images].reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)
        np.save(folder / f"{prefix}images.npy", images)
        np.save(folder / f"{prefix}labels.npy", np.asarray(part.labels[:n_images], np.int64))


def read_arrays() -> Arrays:
    """Read the arrays from the folder that is the script's first argument."""
    if len(sys.argv) != 2:
        raise SystemExit(f"{Path(sys.argv[0]).name} needs one argument, the folder that codelab_job.py wrote.")
    return Arrays(*(np.load(Path(sys.argv[1]) / f"{name}.npy") for name in Arrays._fields))


def measure(
    packages: tuple[str, ...],
    threads: int,
    start: Callable[[], None],
    train: Callable[[int], tuple[float, float]],
) -> None:
    """Warm up for one epoch, time the whole job, and print one line of JSON.

    Parameters
    ----------
    packages : tuple of str
        The distributions whose versions are reported.
    threads : int
        The number of threads the contestant was given.
    start : callable
        Puts fresh weights and a fresh optimizer state in place; not timed. What was compiled may be kept.
    train : callable
        Trains for the given number of epochs and returns the validation loss and accuracy of the last.
    """
    start()
    first_epoch_s, _ = _timed(train, 1)
    start()
    training_s, (val_loss, val_accuracy) = _timed(train, EPOCHS)
    report = {
        "training_s": training_s,
        "first_epoch_s": first_epoch_s,
        "val_accuracy": float(val_accuracy),
        "val_loss": float(val_loss),
        "peak_rss_bytes": _peak_rss_bytes(),
        "threads": threads,
        "versions": {package: version(package) for package in packages},
    }
    print(json.dumps(report), flush=True)


def _timed(train: Callable[[int], tuple[float, float]], epochs: int) -> tuple[float, tuple[float, float]]:
    begin = time.perf_counter()
    result = train(epochs)
    return time.perf_counter() - begin, result


def _peak_rss_bytes() -> int:
    # Linux hands the parent's peak on to getrusage of its children; VmHWM begins anew with the program.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    write_arrays(Path(sys.argv[1]))
    # The benchmark runs this as it runs a contestant, and those end with a line of JSON.
    print(json.dumps({"n_images": N_TRAINING + N_VALIDATION}))
