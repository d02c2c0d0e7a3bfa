"""Models: any run or model file, opened to answer images, in the scale of pixels that its network learned from."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData, Split
from digitlab.engine.images import digits_as, holds_digit
from digitlab.engine.runtime import RuntimeModel
from digitlab.engine.sequential import Sequential
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import LackingError, is_model_file
from digitlab.network.pixels import (
    MOST_IMAGES,
    OWN,
    PixelScale,
    ScaleFit,
    digest_of,
    fitting_scale,
    keep_scale,
    kept_scale,
    told_scale,
    with_pixels,
)
from digitlab.runs.listing import open_model
from digitlab.values import CLASS_NAMES

__all__ = ["Model", "load_model"]

#: Whatever answers images with classes: digitlab's own engine, or another runtime.
Model = Sequential | RuntimeModel


def load_model(
    path: str | Path,
    *,
    out: str | Path = "runs",
    threads: int | None = None,
    pixels: str | None = None,
    network: str | Path | Architecture | None = None,
) -> Model:
    """Load a trained model.

    A file of a network that digitlab's layers cannot express becomes a ``RuntimeModel``, which onnxruntime or Keras
    answers for: it has ``predict`` and what evaluation, reading and serving need.

    Parameters
    ----------
    path : str or Path
        A run directory, the name of a run in ``out``, ``latest``, or a model file: a checkpoint (``.safetensors``), a
        TensorFlow.js layers model (``model.json`` or its folder), Keras' ``.keras`` or ``.h5``, or an ``.onnx``. Files
        of others are read by whitelist: nothing in them is run, and a layer that digitlab lacks is named.
    out : str or Path
        The folder of runs.
    threads : int, optional
        Threads that share the work; all cores by default.
    pixels : str, optional
        How the pixels were scaled that a file's network learned from: ``0-255``, ``-1-1``, or ``MEAN,STD`` of pixels
        from 0 to 1, such as ``0.1307,0.3081``. That becomes part of the network, which takes bytes then, or pixels from
        0 to 1, as digitlab's own do. By default the network takes what it learned from.
    network : str, Path or Architecture, optional
        The network whose weights a PyTorch state dict (``.safetensors``) holds: a name of the zoo, a JSON file with
        layers, or ``Sequential.architecture``. All other files say it themselves.

    Raises
    ------
    RunError
        If there is none, or it is damaged or not usable; the message says which file and what to do.
    ConfigError
        If there is no such scale, or the network is known to have another.
    NetworkError
        If there is no such network; its layers do not have the weights of the file.
    """
    try:
        checkpoint = open_model(path, out, pixels, network)
    except LackingError as error:
        return RuntimeModel(error.path, error.why, threads).rescaled(OWN if pixels is None else PixelScale.of(pixels))
    return _from_known(checkpoint, threads)


def _from_known(checkpoint: Checkpoint, threads: int | None = None) -> Sequential:
    model = Sequential.from_checkpoint(checkpoint, threads=threads)
    if told_scale(checkpoint) == OWN:
        model._learned_scale = 1.0  # whoever gives it other pixels is warned
    return model


@dataclass(frozen=True, slots=True, eq=False)
class OpenedModel:
    """A model that takes pixels from 0 to 1, whatever it learned from, and its file's metadata.

    ``pixels`` is what to open the same file with elsewhere, None where it tells by itself; ``note`` says in a sentence
    which scale was found to fit, where that is another.
    """

    model: Model
    metadata: dict[str, str]
    pixels: str | None
    note: str


def opened_model(
    path: str | Path,
    out: str | Path = "runs",
    pixels: str | None = None,
    known: Split | None = None,
    network: str | Path | Architecture | None = None,
) -> OpenedModel:
    """Open a run or a model file to answer digits: every door's way, on which the scale of a file's pixels is found.

    What was found before is used, or else found with labelled images: those that are ``known``, which are always
    asked, or MNIST's where the network may be one for digits.
    """
    note = ""
    try:
        checkpoint = open_model(path, out, pixels, network)
    except LackingError as error:
        other = RuntimeModel(error.path, error.why)
        if pixels is None:
            fit = _fitting(other, other.digest, known)
            pixels, note = (OWN if fit is None else fit.scale).text, _note(path, fit)
        return OpenedModel(other.rescaled(PixelScale.of(pixels)), {}, pixels, note)
    model = _from_known(checkpoint)
    if not is_model_file(path):
        pixels = OWN.text
    elif pixels is None and told_scale(checkpoint) is None:
        fit = _fitting(model, digest_of(checkpoint), known)
        pixels, note = (OWN if fit is None else fit.scale).text, _note(path, fit)
        if fit is not None:
            checkpoint = with_pixels(checkpoint, fit.scale)
            if not fit.scale.is_own:
                model = _from_known(checkpoint)
    return OpenedModel(model, checkpoint.metadata, pixels, note)


def _fitting(model: Model, digest: str, known: Split | None) -> ScaleFit | None:
    """Return the scale that fits, which was found before or is found now, and then kept."""
    fit = kept_scale(digest) if known is None else None
    if fit is None and (fit := _scale_by(model, known)) is not None:
        keep_scale(digest, fit)
    return fit


def _note(path: str | Path, fit: ScaleFit | None) -> str:
    if fit is None or fit.scale.is_own:
        return ""
    return (
        f"{Path(path).name} gets pixels {fit.scale.words} here, as with --pixels {fit.scale.text}: {fit.reason}. "
        "To have it otherwise, say so: --pixels 0-1."
    )


def scale_that_fits(model: Model, images: NDArray[Any], labels: NDArray[np.integer]) -> ScaleFit | None:
    """Return the scale of pixels that fits a model, by labelled images: uint8 or float 0-1, ``(n, 28, 28)`` or so."""
    shape = model.architecture.input_shape
    if model.architecture.answers_maps or not holds_digit(shape):
        return None
    some = digits_as(shape, images[:MOST_IMAGES])
    pixels = some.astype(np.float32) / np.float32(255 if some.dtype == np.uint8 else 1)

    asked = copy(model)
    if isinstance(asked, Sequential):
        asked.forget_scale()  # or it would warn of the very scales that are tried here

    def answers(scale: PixelScale, n: int) -> NDArray[np.float32]:
        if isinstance(asked, RuntimeModel):
            return asked.rescaled(scale).predict(some[:n])
        return asked.predict(pixels[:n] * np.float32(scale.factor) + np.float32(scale.offset))

    return fitting_scale(answers, labels)


def _scale_by(model: Model, known: Split | None) -> ScaleFit | None:
    if known is None:
        network = model.architecture
        if network.answers_maps or network.n_classes not in (len(CLASS_NAMES), len(CLASS_NAMES) + 1):
            return None
        known = MnistData.load().validation
    return scale_that_fits(model, known.images, known.labels)
