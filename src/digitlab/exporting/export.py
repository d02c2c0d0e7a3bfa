"""``export``: a network as a file for TensorFlow.js, Keras or ONNX, or as a page; verified before it is in place."""

from __future__ import annotations

import importlib.util
import io
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.data.storage import bench, reason_of, replace_folder, scratch
from digitlab.engine.images import digits_as, holds_digit
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, StorageError
from digitlab.exporting.verify import Agreement, answers_of, ask_runtime, read_back
from digitlab.exporting.writers import write_keras, write_onnx, write_page, write_tfjs
from digitlab.metrics import accuracy
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.tfjs import QUANTIZATIONS
from digitlab.values import Value

__all__ = ["export"]

#: Formats by name, with what their files' names end with; TensorFlow.js models and pages are folders.
FORMATS: dict[str, str] = {"tfjs": "", "keras": ".keras", "onnx": ".onnx", "web": ""}
# Packages of the extra [export] that a format is written with.
_NEEDS = {"keras": "h5py", "onnx": "onnx"}
# What a TensorFlow.js model's folder consists of, and a page's besides; anything else in it is somebody's own.
_MODEL = re.compile(r"model\.json|group\d+-shard\d+of\d+\.bin")
_PAGE = re.compile(r"index\.html|README\.txt|(?:page|pad|picture|network|frame|weights)\.js|page\.css")
#: The media type of a file that is of no particular kind.
ANY_TYPE = "application/octet-stream"
_ZIP_TYPE = "application/zip"
_MOST_NAME = 60
_RANDOM_IMAGES = 256
# Pixels that are asked, and numbers that are answered: all test images for networks of ordinary size.
_MOST_VALUES = 2**24


@dataclass(frozen=True, slots=True)
class ExportOptions(Value):
    """How to export: the format, and for TensorFlow.js in which fewer bits weights are; None keeps them as they are."""

    format: str
    quantize: str | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(f"There is no format {self.format!r}; choose one of {', '.join(FORMATS)}.")
        if self.quantize is not None and self.format != "tfjs":
            raise ConfigError("Only TensorFlow.js models can be quantized; leave quantize out, or export tfjs.")
        if self.quantize is not None and self.quantize not in QUANTIZATIONS:
            raise ConfigError(f"Weights can be stored as {', '.join(QUANTIZATIONS)}, not as {self.quantize!r}.")


@dataclass(frozen=True, slots=True)
class QuantizedAccuracy(Value):
    """What quantizing cost: the accuracy on ``n_images`` test images, fractions in [0, 1]."""

    n_images: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class ExportReport(Value):
    """What was written, and who has verified it: digitlab's own reader first, then the runtime where it is installed.

    ``path`` is the file, or for TensorFlow.js and pages the folder; ``n_bytes`` all files together. ``not_verified`` is
    a sentence where the runtime is not installed, and how to get it. ``accuracy`` is there where weights were quantized
    and the images have labels.
    """

    options: ExportOptions
    path: str
    files: tuple[str, ...]
    n_bytes: int
    agreements: tuple[Agreement, ...]
    not_verified: str | None
    accuracy: QuantizedAccuracy | None

    def sentences(self) -> tuple[str, ...]:
        """Return for people who agrees, what quantizing cost, and whose runtime is missing."""
        told = [agreement.sentence() for agreement in self.agreements]
        if self.accuracy is not None:
            told.append(
                f"Accuracy on {self.accuracy.n_images:,} test images: {self.accuracy.before:.2%} before quantizing to "
                f"{self.options.quantize}, {self.accuracy.after:.2%} after."
            )
        return tuple(told) if self.not_verified is None else (*told, self.not_verified)


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
    with _placing(target) as made:
        if options.format == "tfjs":
            write_tfjs(checkpoint, made, options.quantize)
        else:
            {"keras": write_keras, "onnx": write_onnx, "web": write_page}[options.format](checkpoint, made)
        ours, exported = read_back(model, made, images, options.quantize)
        not_verified: str | None = "Its runtime was not asked."
        theirs = None
        if ask_runtimes:
            theirs, not_verified = ask_runtime(exported, made, images, options.format)
        files = sorted(made.iterdir()) if made.is_dir() else [made]
        names, n_bytes = tuple(file.name for file in files), sum(file.stat().st_size for file in files)
        cost = None
        if options.quantize is not None and labels is not None:
            before, after = (accuracy(labels, answers_of(one, images).argmax(axis=1)) for one in (model, exported))
            cost = QuantizedAccuracy(len(images), before, after)
    agreements = (ours,) if theirs is None else (ours, theirs)
    return ExportReport(options, str(target), names, n_bytes, agreements, not_verified, cost)


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file to download: its name, what it is and what is in it."""

    name: str
    media_type: str
    content: bytes


def formats_here() -> tuple[str, ...]:
    """Return the formats that can be written with what is installed."""
    return tuple(name for name in FORMATS if name not in _NEEDS or importlib.util.find_spec(_NEEDS[name]) is not None)


def file_stem(name: str) -> str:
    """Return a name that may stand in a header and on any disk.

    >>> file_stem('my "net"/2'), file_stem("...")
    ('my-net-2', 'model')
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:_MOST_NAME] or "model"


def export_packed(
    model: Sequential,
    name: str,
    *,
    format: str,
    quantize: str | None = None,
    data: MnistData | None = None,
    ask_runtimes: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> tuple[ExportReport, ExportedFile]:
    """Export into a folder that is gone afterwards, and return the content under a name made from ``name``.

    A folder is packed into a ZIP file with that folder in it.
    """
    with scratch() as folder:
        path = folder / f"{file_stem(name)}{FORMATS.get(format, '')}"
        report = export(
            model, path, format=format, quantize=quantize, data=data, ask_runtimes=ask_runtimes, metadata=metadata
        )
        report = replace(report, path=path.name)
        if path.is_file():
            return report, ExportedFile(path.name, ANY_TYPE, path.read_bytes())
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path.rglob("*")):
                archive.write(file, f"{path.name}/{file.relative_to(path).as_posix()}")
        return report, ExportedFile(f"{path.name}.zip", _ZIP_TYPE, packed.getvalue())


def _questions(model: Sequential, data: MnistData | None) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    input_shape, n_classes = model.architecture.input_shape, model.architecture.n_classes
    most = max(1, _MOST_VALUES // (math.prod(input_shape) + n_classes))
    if holds_digit(input_shape):
        test = (MnistData.load() if data is None else data).test
        labels = np.asarray(test.labels[:most], np.int64)
        images = digits_as(input_shape, test.images[:most])
        return images, labels if labels.max() < n_classes else None
    rng = np.random.default_rng(0)
    shape = (min(_RANDOM_IMAGES, most), *input_shape)
    return rng.integers(0, 256, shape, dtype=np.uint8), None


@contextmanager
def _placing(target: Path) -> Iterator[Path]:
    """Yield where to make a file or a folder that takes the place of ``target``, whole or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with bench(target.parent) as place:
            made = place / "made" / target.name
            made.parent.mkdir()
            yield made
            _check_free(target, is_folder=made.is_dir())
            if target.is_dir():
                replace_folder(made, target, place)
            else:
                made.replace(target)
    except (OSError, ValueError) as error:
        if isinstance(error, StorageError) or (not isinstance(error, OSError) and "null byte" not in str(error)):
            raise
        raise StorageError(
            f"{target} cannot be written: {reason_of(error)}. Nothing that existed was lost; choose another place "
            "with --out."
        ) from error


def _check_free(target: Path, *, is_folder: bool) -> None:
    if not is_folder:
        if target.is_dir():
            raise StorageError(f"{target} is a folder; choose another name for the file.")
        return
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise StorageError(f"{target} exists and is not a folder with an export; choose another one.")
    if target.is_dir():
        # A README.txt beside a model is somebody's; beside the page's weights it is the page's.
        is_page = (target / "weights.js").is_file()
        for entry in sorted(target.iterdir()):
            is_ours = _MODEL.fullmatch(entry.name) or (is_page and _PAGE.fullmatch(entry.name))
            if not is_ours or not entry.is_file() or entry.is_symlink():
                raise StorageError(
                    f"{target} also holds {entry.name!r}, which is not part of what digitlab exports; "
                    "choose another folder."
                )
