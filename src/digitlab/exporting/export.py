"""``export``: a network as a file for TensorFlow.js, Keras or ONNX, or as a page; verified before it is in place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError
from digitlab.exporting.keras_writer import write_keras
from digitlab.exporting.onnx_writer import write_onnx
from digitlab.exporting.page_writer import write_page
from digitlab.exporting.placing import placing
from digitlab.exporting.report import FORMATS, ExportOptions, ExportReport, QuantizedAccuracy
from digitlab.exporting.tfjs_writer import write_tfjs
from digitlab.exporting.verifying import answers_of, ask_runtime, read_back
from digitlab.metrics import accuracy
from digitlab.network.checkpoint import Checkpoint

__all__ = ["export"]

_RANDOM_IMAGES = 256
# Pixels that are asked, and numbers that are answered: all test images for networks of ordinary size.
_MOST_VALUES = 2**24


def export(
    model: Sequential,
    path: str | Path,
    *,
    format: str,
    quantize: str | None = None,
    data: MnistData | None = None,
    ask_runtimes: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Write a model as a file for another program or as a page to draw on, and verify it.

    The file is read back by digitlab and, where the runtime is installed (Keras, onnxruntime, @tensorflow/tfjs under
    Node, Node for a page), asked test images there; only then it takes its place.

    Parameters
    ----------
    model : Sequential
        What to export.
    path : str or Path
        A file that ends in ``.keras`` or ``.onnx``, or a folder for TensorFlow.js and pages. What an earlier
        export has left there is replaced.
    format : {"tfjs", "keras", "onnx", "web"}
        What to write.
    quantize : {"uint8", "uint16", "float16"}, optional
        For TensorFlow.js: weights in a quarter or half of the bytes.
    data : MnistData, optional
        Where test images come from; the packaged MNIST by default. Networks for other images are asked random ones.
    ask_runtimes : bool
        Ask the runtime, too, where it is installed, which takes some seconds.
    metadata : mapping, optional
        A checkpoint's; it is in the file, and comes back when the file is loaded. A reader and a page are as sure as
        its ``temperature`` says, and refuse what ``refuse_above`` says.

    Returns
    -------
    ExportReport
        What was written, and who agrees.

    Raises
    ------
    ConfigError
        If there is no such format, a package that it needs is missing, a page cannot draw what the network answers, or
        it answers with maps.
    NetworkError
        If the model answers with what is no number, because its weights are too large.
    ExportError
        If the file does not answer as the model does; nothing was written.
    StorageError
        If it cannot be written; what was there is as it was.

    Examples
    --------
    >>> import tempfile, digitlab as dl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = dl.export(dl.codelab_cnn(), f"{folder}/model", format="tfjs")
    >>> report.files
    ('group1-shard1of1.bin', 'model.json')
    """
    options = ExportOptions(format, quantize)
    if model.architecture.answers_maps:
        raise ConfigError(
            f"{model.name} answers images of any size with maps, and digitlab exports networks that answer one digit. "
            "In Python, Sequential.to_keras() gives the network with its weights to Keras."
        )
    target = Path(path)
    suffix = FORMATS[options.format]
    if suffix and target.suffix != suffix:
        raise ConfigError(f"The file should end in {suffix}; name it {target.stem or 'model'}{suffix}.")
    if not suffix and target.suffix.lower() in (".json", ".bin", ".keras", ".onnx", ".js", ".html"):
        raise ConfigError(f"What is exported is a folder; name one without an ending: {target.stem or 'model'}.")
    checkpoint = Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names, dict(metadata or {}))
    images, labels = _questions(model, data)
    answers_of(model, images[:1])  # says so if the answers are no numbers, before anything is written
    with placing(target) as made:
        if options.format == "tfjs":
            write_tfjs(checkpoint, made, options.quantize)
        elif options.format == "keras":
            write_keras(checkpoint, made)
        elif options.format == "onnx":
            write_onnx(checkpoint, made)
        else:
            write_page(checkpoint, made)
        ours, exported = read_back(model, made, images, options)
        theirs, not_verified = (
            ask_runtime(exported, made, images, options) if ask_runtimes else (None, "Its runtime was not asked.")
        )
        files = sorted(made.iterdir()) if made.is_dir() else [made]
        names, n_bytes = tuple(file.name for file in files), sum(file.stat().st_size for file in files)
        cost = None
        if options.quantize is not None and labels is not None:
            before, after = (accuracy(labels, answers_of(one, images).argmax(axis=1)) for one in (model, exported))
            cost = QuantizedAccuracy(len(images), before, after)
    agreements = (ours,) if theirs is None else (ours, theirs)
    return ExportReport(options, str(target), names, n_bytes, agreements, not_verified, cost)


def _questions(model: Sequential, data: MnistData | None) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    input_shape, n_classes = model.architecture.input_shape, model.architecture.n_classes
    most = max(1, _MOST_VALUES // (math.prod(input_shape) + n_classes))
    if input_shape in ((28, 28, 1), (784,)):
        test = (MnistData.load() if data is None else data).test
        labels = np.asarray(test.labels[:most], np.int64)
        images = test.images[:most].reshape(len(labels), *input_shape)
        return images, labels if labels.max() < n_classes else None
    rng = np.random.default_rng(0)
    shape = (min(_RANDOM_IMAGES, most), *input_shape)
    return rng.integers(0, 256, shape, dtype=np.uint8), None
