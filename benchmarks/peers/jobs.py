"""The jobs, in one place, so that every contestant does the same: their rules, what is read, how it is timed.

A contestant brings functions to ``measure_codelab``, ``measure_inference``, ``measure_page`` or ``measure_accuracy``,
which print one line of JSON. What is read lies in the folder that is the script's argument after the job's name, as
``digitlab_jobs.py`` wrote it. Contestants import this first, so that the clock begins before their libraries are
loaded. Only NumPy is needed here.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

STARTED = time.perf_counter()

Answer = Callable[[np.ndarray], np.ndarray]


def run(jobs: dict[str, Callable[..., None]]) -> None:
    """Do the job that the script's first argument names, with the folder and the arguments after it."""
    name, folder, *rest = sys.argv[1:]
    jobs[name](Path(folder), *rest)
    if name.startswith("write-"):
        # Who writes is run as a contestant is, and those end with a line of JSON.
        print(json.dumps({}))


def n_threads() -> int:
    """Return the number of cores this process may use: every contestant gets them all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the seconds that a call takes, and what it returns."""
    begin = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - begin, result


def report(values: dict[str, Any], packages: Sequence[str]) -> None:
    """Print one line of JSON, with the versions of distributions."""
    print(json.dumps({**values, "versions": {package: version(package) for package in packages}}), flush=True)


def read_weights(path: Any) -> list[np.ndarray]:
    """Return the arrays of an ``.npz`` that ``write_weights`` wrote."""
    with np.load(path) as arrays:
        return [arrays[f"arr_{i}"] for i in range(len(arrays.files))]


def write_weights(path: Any, weights: Sequence[np.ndarray]) -> None:
    """Write weights in digitlab's order and layout."""
    np.savez(path, *weights)


class Digits(NamedTuple):
    """MNIST: images, uint8 (n, 28, 28), 0-255, ink bright on dark, and labels, int64 (n,), 0-9."""

    training_images: np.ndarray
    training_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


#: Of the 60,000 training images the last 5,000 are digitlab's validation images.
N_MNIST_VALIDATION = 5_000


def read_digits(folder: Path) -> Digits:
    """Map the four arrays into memory."""
    return Digits(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Digits._fields))


def as_floats(images: np.ndarray) -> np.ndarray:
    """Return images as float32 (n, 28, 28) in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


# The codelab's training job: its network on 5,500 images for 10 epochs of shuffled batches of 512 with Adam, validation
# on 1,000 images at each epoch's end.
N_TRAINING, N_VALIDATION = 5_500, 1_000
BATCH_SIZE, EPOCHS = 512, 10
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-7
#: Standard deviation of a normal distribution cut at two standard deviations, before the cut, for one of 1 after it.
#: Keras and TensorFlow.js divide by it in varianceScaling with a truncated normal.
TRUNCATED_STD = 0.87962566103423978


class Arrays(NamedTuple):
    """The codelab's data in memory: images float32 (n, 28, 28, 1) in [0, 1], labels int64 (n,), 0-9."""

    images: np.ndarray
    labels: np.ndarray
    val_images: np.ndarray
    val_labels: np.ndarray


def read_arrays(folder: Path) -> Arrays:
    """Read the codelab's arrays."""
    return Arrays(*(np.load(folder / f"{name}.npy") for name in Arrays._fields))


def measure_codelab(
    packages: tuple[str, ...], start: Callable[[], None], train: Callable[[int], tuple[float, float]]
) -> None:
    """Warm up for one epoch, then time the whole job.

    ``start`` puts fresh weights and a fresh optimizer state in place; it is not timed, and what was compiled may be
    kept. ``train`` trains for so many epochs and returns the validation loss and accuracy of the last.
    """
    start()
    first_epoch_s, _ = timed(train, 1)
    start()
    training_s, (val_loss, val_accuracy) = timed(train, EPOCHS)
    values = {
        "training_s": training_s,
        "first_epoch_s": first_epoch_s,
        "val_accuracy": float(val_accuracy),
        "val_loss": float(val_loss),
        "peak_rss_bytes": _peak_rss_bytes(),
        "threads": n_threads(),
    }
    report(values, packages)


def _peak_rss_bytes() -> int:
    # Linux hands the parent's peak on to getrusage of its children; VmHWM begins anew with the program.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# The job of answering images: MNIST's test images, and single ones, with two networks whose weights digitlab wrote.
# - Images lie in memory as float32 in [0, 1]; the answers are an array of probabilities, float32 (n, 10).
# - Many images: all cores; the size of the batches is the best of a short list, chosen before the timed passes.
# - One image: one thread or all cores, whichever is faster in the warm-up, as threads may cost more than they bring.
# - Whose probabilities differ from digitlab's by more than ``TOLERANCE`` anywhere has not done the job.

#: Networks of digitlab's zoo, by the prefix of what is reported of them.
NETWORKS = {"codelab": "codelab_cnn", "fast": "fast_cnn"}
#: Numbers may differ by this much: float32 sums in another order.
TOLERANCE = 1e-4
#: Sizes of batches to choose from.
BATCH_SIZES = (32, 64, 128, 256, 512, 1024)
#: The timed passes take at least this long together, and there are at least so many.
PASSES_S, N_PASSES = 1.0, 5
#: Images and single calls that choices are made with.
N_TRIAL_IMAGES, N_TRIAL_CALLS = 2_048, 200


class Network(NamedTuple):
    """A network's JSON form, and its weights in digitlab's order and layout."""

    architecture: dict[str, Any]
    weights: list[np.ndarray]


def largest_difference(answers: np.ndarray, expected: np.ndarray, unit: float = 1.0) -> float:
    """Return the largest difference of two answers, in units such as the largest number.

    ValueError beyond TOLERANCE, or where they are not answers to the same.
    """
    if answers.shape != expected.shape:
        raise ValueError(f"its answers have the shape {answers.shape}, not {expected.shape}")
    difference = float(np.abs(answers.astype(np.float64) - expected).max() / unit)
    # NaN is not within the tolerance either.
    if not difference <= TOLERANCE:
        raise ValueError(f"its answers differ from digitlab's by up to {difference:.2g}")
    return difference


def measure_inference(
    folder: Path,
    packages: tuple[str, ...],
    make: Callable[[Network, int], Answer],
    *,
    channels_first: bool = True,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> None:
    """Answer images with all networks.

    ``make``, given a network and a number of threads, returns what answers images: float32 (n, 1, 28, 28), or
    (n, 28, 28, 1) without ``channels_first``, to probabilities, float32 (n, 10). A single image is always
    (1, 28, 28, 1), which another view makes (1, 1, 28, 28). ``make`` may set threads for the whole process; only the
    last one made is called. Of ``batch_sizes`` 0 stands for all images at once.
    """
    images, n_calls = np.load(folder / "images.npy"), json.loads((folder / "job.json").read_text())["n_calls"]
    many = np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if channels_first else images
    values: dict[str, Any] = {"threads": n_threads()}
    for prefix, name in NETWORKS.items():
        network = Network(json.loads((folder / f"{name}.json").read_text()), read_weights(folder / f"{name}.npz"))
        own = _many(make(network, n_threads()), many, np.load(folder / f"{name}.npy"), batch_sizes)
        threads = min((1, n_threads()), key=lambda n, network=network: _calls(make(network, n), images, N_TRIAL_CALLS))
        own["median_us"], own["p95_us"] = _calls(make(network, threads), images, n_calls)
        own["call_threads"] = threads
        values |= {f"{prefix}_{key}": value for key, value in own.items()}
    report(values, packages)


def _passed(answer: Answer, images: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([answer(images[i : i + size]) for i in range(0, len(images), size)])


def _many(answer: Answer, images: np.ndarray, expected: np.ndarray, sizes: Sequence[int]) -> dict[str, float]:
    def trial(size: int) -> float:
        return min(timed(_passed, answer, images[:N_TRIAL_IMAGES], size)[0] for _ in range(3))

    size = (min(sizes, key=trial) if len(sizes) > 1 else sizes[0]) or len(images)
    answers = _passed(answer, images, size)
    seconds: list[float] = []
    while len(seconds) < N_PASSES or sum(seconds) < PASSES_S:
        seconds.append(timed(_passed, answer, images, size)[0])
    return {
        "images_per_s": len(images) / median(seconds),
        "batch_size": size,
        "difference": largest_difference(answers, expected),
    }


def _calls(answer: Answer, images: np.ndarray, n_calls: int) -> tuple[float, float]:
    """Return median and 95th percentile of calls with one image, in microseconds; a fifth as many before to warm up."""
    n_warm = n_calls // 5
    seconds = [timed(answer, images[i : i + 1])[0] for i in islice(cycle(range(len(images))), n_warm + n_calls)]
    middle, high = np.percentile(seconds[n_warm:], (50, 95)) * 1e6
    return float(middle), float(high)


# The job of answering a page, float32 (1, height, width, 1), with the finder's network on all cores. Whose maps differ
# from digitlab's by more than ``TOLERANCE`` of the largest number has not done the job.
FINDER = "finder_cnn"
PAGE = (768, 1024)
_N_WARM = 3


def measure_page(folder: Path, packages: tuple[str, ...], answer: Answer) -> None:
    """Answer a page; a few calls come before the timed ones."""
    page, expected = np.load(folder / "page.npy"), np.load(folder / "maps.npy")
    n_calls = json.loads((folder / "job.json").read_text())["n_calls"]
    difference = largest_difference(answer(page), expected, np.abs(expected).max())
    seconds = [timed(answer, page)[0] for _ in range(_N_WARM + n_calls)][_N_WARM:]
    values = {"threads": n_threads(), "page_ms": 1e3 * median(seconds), "fastest_ms": 1e3 * min(seconds)}
    report({**values, "difference": difference}, packages)


# The job of learning MNIST well, as a preset of digitlab does or as an example that others publish.
#: Steps before the timed ones, on another model: what compiles or traces does it here.
WARM_UP_STEPS = 3


def read_recipe(folder: Path, preset: str, seed: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return a preset's recipe (see ``networks.py``) and digitlab's initial weights for a seed."""
    recipe = json.loads((folder / f"{preset}.json").read_text())
    return recipe, read_weights(folder / f"{preset}-{seed}.npz")


def measure_accuracy(
    packages: tuple[str, ...], warm_up: Callable[[], object], train: Callable[[], object], test: Callable[[], float]
) -> None:
    """Warm up, time the training, and evaluate.

    ``warm_up`` trains a few steps, and what they teach must be forgotten; ``train`` alone is ``training_s``, as all
    libraries and images are loaded by now; ``test`` returns the accuracy on the 10,000 test images.
    """
    load_s = time.perf_counter() - STARTED
    warm_up_s, _ = timed(warm_up)
    training_s, _ = timed(train)
    values = {"training_s": training_s, "load_s": load_s, "warm_up_s": warm_up_s, "test_accuracy": test()}
    report(values, packages)
