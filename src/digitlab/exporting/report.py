"""What an export was asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from digitlab.errors import ConfigError
from digitlab.network.formats.quantization import QUANTIZATIONS
from digitlab.values import Value

__all__ = ["FORMATS", "Agreement", "ExportOptions", "ExportReport", "QuantizedAccuracy"]

#: Formats by name, with what their files' names end with; TensorFlow.js models and pages are folders.
FORMATS: dict[str, str] = {"tfjs": "", "keras": ".keras", "onnx": ".onnx", "web": ""}


@dataclass(frozen=True, slots=True)
class ExportOptions(Value):
    """How to export.

    Attributes
    ----------
    format : {"tfjs", "keras", "onnx", "web"}
        TensorFlow.js layers model, ``.keras`` of Keras 3, ONNX, or a page to draw on.
    quantize : {"uint8", "uint16", "float16"} or None
        For TensorFlow.js: weights in fewer bits; None keeps them as they are.

    Raises
    ------
    ConfigError
        If there is no such format, or it has no such quantization.
    """

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
class Agreement(Value):
    """How the exported file answers beside the model it was made from.

    Attributes
    ----------
    by : str
        Who answered, with its version.
    n_images, n_same_answer : int
        Test images asked, and those with the same most probable class.
    largest_difference : float
        Of all probabilities.
    """

    by: str
    n_images: int
    n_same_answer: int
    largest_difference: float

    def sentence(self) -> str:
        """Return it for people.

        Examples
        --------
        >>> Agreement("onnxruntime 1.30.0", 256, 256, 2e-7).sentence()
        'Read by onnxruntime 1.30.0: the same answer to all 256 images, probabilities within 2e-07.'
        """
        all_same = self.n_same_answer == self.n_images
        how_many = "all" if all_same else f"{self.n_same_answer:,} of"
        how_near = f"within {self.largest_difference:.1g}" if self.largest_difference else "to the last digit"
        return f"Read by {self.by}: the same answer to {how_many} {self.n_images:,} images, probabilities {how_near}."


@dataclass(frozen=True, slots=True)
class QuantizedAccuracy(Value):
    """What quantizing cost: the accuracy on ``n_images`` test images, fractions in [0, 1]."""

    n_images: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class ExportReport(Value):
    """What was written, and who has verified it.

    Attributes
    ----------
    options : ExportOptions
        What was asked for.
    path : str
        The file, or for TensorFlow.js and pages the folder.
    files : tuple of str
        Names of the files, and ``n_bytes`` their size together.
    n_bytes : int
        All files together.
    agreements : tuple of Agreement
        digitlab's own reader first, then the runtime where it is installed.
    not_verified : str or None
        A sentence where the runtime is not installed, and how to get it.
    accuracy : QuantizedAccuracy or None
        Where weights were quantized and the images have labels.
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
