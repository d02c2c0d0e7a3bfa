"""Answers: what a network says of framed glyphs, calibrated, whether or not it knows "not a digit"."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data.frame import frame_all
from digitlab.data.shaping import FASHION, KUZUSHIJI
from digitlab.engine.images import holds_digit
from digitlab.engine.models import Model, opened_model
from digitlab.errors import ConfigError, NetworkError
from digitlab.network.pixels import OWN

#: The reader's network that the package brings.
SHIPPED = Path(__file__).parent / "model" / "reader.safetensors"

_AT_ONCE = 2048  # glyphs framed and answered at a time: bounds the memory of a page full of specks


class Answers:
    """The network that knows single digits, 10 outputs or 11 with "not a digit" last, and how it is calibrated.

    A glyph is refused where "not a digit" is more probable than ``refuse_above``. ``metadata`` say how a ``Sequential``
    is calibrated; a file says so itself. ``pixels`` is the scale that a file's network learned from, if it is known.
    All networks that read with these answers run on ``device``.
    """

    def __init__(
        self,
        model: Model | str | Path | None = None,
        metadata: Mapping[str, str] | None = None,
        pixels: str | None = None,
        device: str = "cpu",
    ) -> None:
        #: What is to be known of the model, where a scale of pixels was found; and how others open the same file.
        self.note, self.pixels = "", pixels
        if model is None:
            model, self.pixels = SHIPPED, OWN.text
        if not isinstance(model, Model):
            opened = opened_model(model, pixels=self.pixels)
            model, metadata, self.note, self.pixels = opened.model, opened.metadata, opened.note, opened.pixels
        n = len(model.class_names)
        if n not in (10, 11) or not holds_digit(model.architecture.input_shape):
            raise NetworkError(
                f"{model.name} answers {tuple(model.architecture.input_shape)} with {n} classes; a reader needs "
                "28 x 28 x 1 and the ten digits, with or without an eleventh class for what is no digit."
            )
        if set(model.class_names) & {*FASHION, *KUZUSHIJI, *string.ascii_letters}:
            raise NetworkError(
                f"{model.name} tells {model.class_names[0]} to {model.class_names[-1]} apart; a reader needs a network "
                "that was trained on the ten digits."
            )
        if device != "cpu":
            model.use_device(device)
        self.model, self.device = model, device
        metadata = {} if metadata is None else metadata
        self.knows_not_a_digit = n == 11
        self.temperature, threshold = calibration_of(metadata)
        # What a photo shows is no digit far more often than what MNIST shows. So the odds of it are raised (Bayes' rule
        # for another share), just as far as makes the threshold one half.
        odds = (1 - threshold) / threshold
        self._raised = None if odds == 1 or n == 10 else np.append(np.ones(10, np.float32), np.float32(odds))
        self.refuse_above = 0.5

    def of_images(self, images: NDArray[np.float32 | np.uint8]) -> NDArray[np.float32]:
        """Answer images, float32 (n, 28, 28, 1), 0-1, or uint8 (n, 28, 28), 0-255.

        Returns float32 (n, 11): each digit, and last that it is none.
        """
        if len(images) == 0:
            return np.zeros((0, 11), np.float32)
        probabilities = self.model.predict(images)
        if self.temperature != 1:
            np.maximum(probabilities, 1e-12, out=probabilities)
            probabilities **= 1 / self.temperature
        if self._raised is not None:
            probabilities *= self._raised
        if self.temperature != 1 or self._raised is not None:
            probabilities /= probabilities.sum(1, keepdims=True)
        return probabilities if self.knows_not_a_digit else np.pad(probabilities, ((0, 0), (0, 1)))

    def of_glyphs(self, glyphs: Sequence[NDArray[np.float32]], *, center: bool = True) -> NDArray[np.float32]:
        """Frame and answer glyphs, each float32 (h, w), 0-1, ink bright on dark; as ``of_images``."""
        chunks = [glyphs[k : k + _AT_ONCE] for k in range(0, len(glyphs), _AT_ONCE)]
        answers = [self.of_images(frame_all(chunk, center=center)) for chunk in chunks]
        return np.concatenate(answers) if answers else np.zeros((0, 11), np.float32)


def calibration_of(metadata: Mapping[str, str]) -> tuple[float, float]:
    """Return the temperature of a checkpoint's answers, and the probability of "not a digit" that refuses.

    >>> calibration_of({"temperature": "1.2"})
    (1.2, 0.5)
    """
    return _number(metadata, "temperature", 1.0), min(_number(metadata, "refuse_above", 0.5), 1 - 1e-6)


def _number(metadata: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(metadata.get(name, default))
    except ValueError:
        value = -1.0
    if not 0 < value < 1000:
        raise ConfigError(f"The checkpoint says {name} = {metadata[name]!r}; a number above 0 is expected.")
    return value
