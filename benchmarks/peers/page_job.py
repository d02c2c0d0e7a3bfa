"""The job of answering a page with the finder's network, in one place, so that every contestant does the same.

The page lies in memory as float32 (1, height, width, 1); the answer is an array of maps, float32. All cores; a few
calls before the timed ones. Whose maps differ from digitlab's by more than ``TOLERANCE`` of the largest number has not
done the job.

Run as a script, ``python page_job.py FOLDER N_CALLS`` writes the page, the network as ONNX, its weights and digitlab's
answer (this needs digitlab; the rest does not).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from codelab_job import n_threads
from nchw_layout import write_weights

NETWORK = "finder_cnn"
PAGE = (768, 1024)
TOLERANCE = 1e-4
_N_WARM = 3

Answer = Callable[[np.ndarray], np.ndarray]


def write(folder: Path, n_calls: int) -> None:
    """Write what the contestants read; no weight is zero, so that every map says something."""
    from digitlab import Sequential
    from digitlab.exporting.writers import write_onnx
    from digitlab.network import Checkpoint, architecture

    network, rng = architecture(NETWORK), np.random.default_rng(0)
    scales = [0.1 if len(shape) == 1 else (2 / np.prod(shape[:-1])) ** 0.5 for shape in network.weight_shapes]
    weights = [
        rng.normal(0, scale, shape).astype(np.float32)
        for scale, shape in zip(scales, network.weight_shapes, strict=True)
    ]
    page = rng.normal(size=(1, *PAGE, 1)).astype(np.float32)
    np.save(folder / "page.npy", page)
    np.save(folder / "maps.npy", Sequential.from_architecture(network, weights).predict(page))
    write_weights(folder / "weights.npz", weights)
    write_onnx(Checkpoint(network, tuple(weights)), folder / "network.onnx")
    (folder / "job.json").write_text(json.dumps({"n_calls": n_calls}))


def largest_difference(maps: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two numbers of the maps, as a part of the largest number.

    Raises
    ------
    ValueError
        If they are not maps of the same page, or differ by more than ``TOLERANCE``.
    """
    if maps.shape != expected.shape:
        raise ValueError(f"its maps have the shape {maps.shape}, not {expected.shape}")
    difference = float(np.abs(maps.astype(np.float64) - expected).max() / np.abs(expected).max())
    # NaN is not within the tolerance either.
    if not difference <= TOLERANCE:
        raise ValueError(f"its maps differ from digitlab's by up to {difference:.2g} of the largest number")
    return difference


def measure(packages: tuple[str, ...], make: Callable[[Path, int], Answer]) -> None:
    """Measure, and print one line of JSON.

    Parameters
    ----------
    packages : tuple of str
        The distributions whose versions are reported.
    make : callable
        Given the folder and a number of threads, returns what answers a page.
    """
    folder = Path(sys.argv[1])
    page, expected = np.load(folder / "page.npy"), np.load(folder / "maps.npy")
    n_calls = json.loads((folder / "job.json").read_text())["n_calls"]
    answer = make(folder, n_threads())
    difference = largest_difference(answer(page), expected)
    seconds = []
    for _ in range(_N_WARM + n_calls):
        begin = time.perf_counter()
        answer(page)
        seconds.append(time.perf_counter() - begin)
    report = {
        "threads": n_threads(),
        "page_ms": 1e3 * median(seconds[_N_WARM:]),
        "fastest_ms": 1e3 * min(seconds[_N_WARM:]),
        "difference": difference,
        "versions": {package: version(package) for package in packages},
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
    # The benchmark runs this as it runs a contestant, and those end with a line of JSON.
    print(json.dumps({}))
