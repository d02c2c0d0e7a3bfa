"""The job of answering images, in one place, so that every contestant does the same.

Answer the 10,000 MNIST test images, and single ones, with two networks whose weights digitlab wrote. A contestant
brings one function to :func:`measure`, which makes another that answers images. Rules, the same for every contestant:

- images lie in memory as float32 in [0, 1]; the answers are an array of probabilities, float32 (n, 10);
- many images: all cores; the size of the batches is the best of a short list, chosen before the timed passes;
- one image: one thread or all cores, whichever is faster in the warm-up, as threads may cost more than they bring;
- whose probabilities differ from digitlab's by more than ``TOLERANCE`` anywhere has not done the job.

Run as a script, ``python inference_job.py FOLDER N_IMAGES N_CALLS`` writes images, networks, weights and digitlab's
answers (this needs digitlab; the rest does not).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from codelab_job import n_threads
from nchw_layout import read_weights, write_weights

#: Networks of digitlab's zoo, by the prefix of what is reported of them.
NETWORKS = {"codelab": "codelab_cnn", "fast": "fast_cnn"}
#: Probabilities may differ by this much: float32 sums in another order.
TOLERANCE = 1e-4
#: Sizes of batches to choose from.
BATCH_SIZES = (32, 64, 128, 256, 512, 1024)
#: The timed passes take at least this long together, and there are at least so many.
PASSES_S, N_PASSES = 1.0, 5
#: Images and single calls that choices are made with.
N_TRIAL_IMAGES, N_TRIAL_CALLS = 2_048, 200

Answer = Callable[[np.ndarray], np.ndarray]


class Network(NamedTuple):
    """A network's JSON form, and its weights in digitlab's order and layout."""

    architecture: dict[str, Any]
    weights: list[np.ndarray]


def write(folder: Path, n_images: int, n_calls: int) -> None:
    """Write what the contestants read; the networks have learnt a little, so that their answers tell digits apart."""
    import digitlab

    data = digitlab.MnistData.load()
    images = data.test.images[:n_images].reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)
    np.save(folder / "images.npy", images)
    for name in NETWORKS.values():
        model = getattr(digitlab, name)(seed=0)
        model.fit(data.training.images[:5_500], data.training.labels[:5_500], epochs=2)
        (folder / f"{name}.json").write_text(json.dumps(model.architecture.to_dict()))
        write_weights(folder / f"{name}.npz", model.get_weights())
        np.save(folder / f"{name}.npy", model.predict(images))
    (folder / "job.json").write_text(json.dumps({"n_calls": n_calls}))


def read_network(folder: Path, name: str) -> Network:
    """Return a network of the folder."""
    return Network(json.loads((folder / f"{name}.json").read_text()), read_weights(folder / f"{name}.npz"))


def largest_difference(answers: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two probabilities for the same image and class.

    Raises
    ------
    ValueError
        If they are not answers to the same images, or differ by more than ``TOLERANCE``.
    """
    if answers.shape != expected.shape:
        raise ValueError(f"its answers have the shape {answers.shape}, not {expected.shape}")
    difference = float(np.abs(answers.astype(np.float64) - expected).max())
    # NaN is not within the tolerance either.
    if not difference <= TOLERANCE:
        raise ValueError(f"its probabilities differ from digitlab's by up to {difference:.2g}")
    return difference


def measure(
    packages: tuple[str, ...],
    make: Callable[[Network, int], Answer],
    *,
    channels_first: bool = True,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> None:
    """Measure with all networks, and print one line of JSON.

    Parameters
    ----------
    packages : tuple of str
        The distributions whose versions are reported.
    make : callable
        Given a network and a number of threads, returns what answers images: float32 (n, 1, 28, 28), or
        (n, 28, 28, 1) without ``channels_first``, to probabilities, float32 (n, 10). It may set threads for the whole
        process; only the last one made is called.
    channels_first : bool
        The layout of many images. A single one is always (1, 28, 28, 1), which another view makes (1, 1, 28, 28).
    batch_sizes : sequence of int
        To choose from; 0 stands for all images at once.
    """
    folder = Path(sys.argv[1])
    images = np.load(folder / "images.npy")
    n_calls = json.loads((folder / "job.json").read_text())["n_calls"]
    many = np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if channels_first else images
    report: dict[str, Any] = {"threads": n_threads()}
    for prefix, name in NETWORKS.items():
        network, expected = read_network(folder, name), np.load(folder / f"{name}.npy")
        values = _many(make(network, n_threads()), many, expected, batch_sizes)
        values |= _single(make, network, images, n_calls)
        report |= {f"{prefix}_{key}": value for key, value in values.items()}
    print(json.dumps({**report, "versions": {package: version(package) for package in packages}}), flush=True)


def _passed(answer: Answer, images: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    begin = time.perf_counter()
    answers = np.concatenate([answer(images[i : i + size]) for i in range(0, len(images), size)])
    return answers, time.perf_counter() - begin


def _trial(answer: Answer, images: np.ndarray, size: int) -> float:
    images = images[:N_TRIAL_IMAGES]
    return min(_passed(answer, images, size)[1] for _ in range(3))


def _many(answer: Answer, images: np.ndarray, expected: np.ndarray, sizes: Sequence[int]) -> dict[str, float]:
    size = min(sizes, key=lambda size: _trial(answer, images, size)) if len(sizes) > 1 else sizes[0]
    size = size or len(images)
    answers, _ = _passed(answer, images, size)
    seconds: list[float] = []
    while len(seconds) < N_PASSES or sum(seconds) < PASSES_S:
        seconds.append(_passed(answer, images, size)[1])
    return {
        "images_per_s": len(images) / median(seconds),
        "batch_size": size,
        "difference": largest_difference(answers, expected),
    }


def _single(
    make: Callable[[Network, int], Answer], network: Network, images: np.ndarray, n_calls: int
) -> dict[str, float]:
    threads = min((1, n_threads()), key=lambda threads: _calls(make(network, threads), images, N_TRIAL_CALLS)[0])
    median_us, p95_us = _calls(make(network, threads), images, n_calls)
    return {"median_us": median_us, "p95_us": p95_us, "call_threads": threads}


def _calls(answer: Answer, images: np.ndarray, n_calls: int) -> tuple[float, float]:
    """Return median and 95th percentile of calls with one image, in microseconds; a fifth as many before to warm up."""
    n_warm = n_calls // 5
    seconds = []
    for i in islice(cycle(range(len(images))), n_warm + n_calls):
        image = images[i : i + 1]
        begin = time.perf_counter()
        answer(image)
        seconds.append(time.perf_counter() - begin)
    middle, high = np.percentile(seconds[n_warm:], (50, 95)) * 1e6
    return float(middle), float(high)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    # The benchmark runs this as it runs a contestant, and those end with a line of JSON.
    print(json.dumps({}))
