"""Whether an exported file answers as the model does: read back by digitlab, and asked in its runtime."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, ExportError
from digitlab.exporting.report import Agreement, ExportOptions
from digitlab.exporting.runtimes import RUNTIMES, NotInstalledError
from digitlab.network.formats.opening import load_model_file

__all__ = ["MOST_DIFFERENCE", "answers_of", "ask_runtime", "read_back"]

#: Of a probability, between two programs that compute in float32 and sum in different orders.
MOST_DIFFERENCE = 1e-4
_RUNTIME_IMAGES = 256
# Numbers of a layer's output, for all images that a runtime is asked at once: 256 MB.
_MOST_AT_ONCE = 2**26
# The engine answers several images side by side; where one image has more numbers than this, each alone.
_MOST_SIDE_BY_SIDE = 2**20
# Numbers of all layers' outputs for one image, which the engine keeps side by side: 512 MB.
_MOST_OF_AN_IMAGE = 2**27


def answers_of(model: Sequential, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answer images in memory that a large network does not multiply: float32 (n, n_classes).

    Raises
    ------
    ConfigError
        If one image takes too much memory.
    NetworkError
        If an answer is no number, because the weights are too large.
    """
    if (n_values := sum(_sizes(model))) > _MOST_OF_AN_IMAGE:
        raise ConfigError(
            f"{model.name} needs {n_values * 4 / 1e6:,.0f} MB for one image, and what is exported is verified within "
            f"{_MOST_OF_AN_IMAGE * 4 / 1e6:,.0f} MB. Export a network for smaller images, or with fewer layers."
        )
    if _largest(model) <= _MOST_SIDE_BY_SIDE:
        return model.predict(images)
    return np.concatenate([model.predict(images[k : k + 1]) for k in range(len(images))])


def _largest(model: Sequential) -> int:
    return max(_sizes(model))


def _sizes(model: Sequential) -> list[int]:
    architecture = model.architecture
    return [int(math.prod(shape)) for shape in (architecture.input_shape, *architecture.shapes)]


def read_back(
    model: Sequential, made: Path, images: NDArray[np.uint8], options: ExportOptions
) -> tuple[Agreement, Sequential]:
    """Read an exported file with digitlab's own reader, and compare.

    Returns
    -------
    agreement : Agreement
        On all images.
    exported : Sequential
        The model that the file holds; with quantized weights not quite the same.

    Raises
    ------
    ExportError
        If it answers otherwise and was not quantized.
    """
    exported = Sequential.from_checkpoint(load_model_file(made), threads=model.runner.n_threads)
    agreement = _agreement("digitlab", answers_of(model, images), answers_of(exported, images))
    if options.quantize is None:
        _check(agreement)
    return agreement, exported


def ask_runtime(
    exported: Sequential, made: Path, images: NDArray[np.uint8], options: ExportOptions
) -> tuple[Agreement | None, str | None]:
    """Ask the runtime that the format is for.

    Returns
    -------
    agreement : Agreement or None
        On up to 256 images, beside what the file holds according to digitlab.
    sentence : str or None
        Why there is none, where the runtime is not installed.

    Raises
    ------
    ExportError
        If the runtime cannot use the file, or answers otherwise.
    """
    some = images[: max(1, min(_RUNTIME_IMAGES, _MOST_AT_ONCE // _largest(exported)))]
    try:
        version, answers = RUNTIMES[options.format](made, some, exported.architecture.input_shape)
    except NotInstalledError as error:
        return None, str(error)
    agreement = _agreement(version, answers_of(exported, some), answers)
    _check(agreement)
    return agreement, None


def _agreement(by: str, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Agreement:
    if ours.shape != theirs.shape:
        raise ExportError(f"{by} answers with the shape {theirs.shape} instead of {ours.shape}; nothing was written.")
    same = int(np.count_nonzero(ours.argmax(axis=1) == theirs.argmax(axis=1)))
    return Agreement(by, len(ours), same, float(np.abs(ours - theirs).max(initial=0.0)))


def _check(agreement: Agreement) -> None:
    # Not "the same answers": two classes may be equally probable to within a rounding.
    if not agreement.largest_difference <= MOST_DIFFERENCE:
        raise ExportError(
            f"{agreement.by} answers otherwise than the model, by up to {agreement.largest_difference:.2g}; nothing "
            "was written. Please report this with the network."
        )
