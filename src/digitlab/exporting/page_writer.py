"""A page to hand out: a folder with a model, a sheet to draw on, and our own JavaScript that answers.

It is opened from the disk, where a browser lets a page fetch nothing. So the weights come in as a script besides the
TensorFlow.js model, which is there for those who build something of their own.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from digitlab import __version__
from digitlab.errors import ConfigError, ExportError
from digitlab.exporting.writers import write_tfjs
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import MODEL_JSON
from digitlab.reading.answers import calibration_of
from digitlab.values import CLASS_NAMES

#: More bars than this nobody reads.
MOST_ANSWERS = 64
#: The script that brings the model.
WEIGHTS = "weights.js"

_SOURCE = Path(__file__).with_name("page")
_SHAPES = ((28, 28, 1), (784,))
_BEGIN, _END = "globalThis.digitlab = ", ";\n"


def write_page(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a page into a folder that must not exist; equal checkpoints give equal bytes.

    The metadata may hold ``temperature`` and ``refuse_above``. Of eleven classes the last is "not a digit".
    """
    network = checkpoint.architecture
    if network.input_shape not in _SHAPES or not 2 <= network.n_classes <= MOST_ANSWERS:
        raise ConfigError(
            f"{network.name} answers {network.input_shape} with {network.n_classes} classes; a page draws 28 x 28 x 1 "
            f"and shows 2 to {MOST_ANSWERS}. Export another network, or this one as tfjs."
        )
    settings = _settings(checkpoint)
    write_tfjs(checkpoint, folder)
    document, weights = _model(folder)
    content = {"model": document, "settings": settings, "weights": base64.b64encode(weights).decode()}
    (folder / WEIGHTS).write_text(f"{_BEGIN}{json.dumps(content)}{_END}", "utf-8")
    for source in sorted(_SOURCE.iterdir()):
        text = source.read_text("utf-8")
        if source.name == "README.txt":
            text = text.format(about=settings["about"], version=__version__)
        (folder / source.name).write_text(text, "utf-8")
    script = json.loads((folder / WEIGHTS).read_text("utf-8").removeprefix(_BEGIN).removesuffix(_END))
    if (script["model"], base64.b64decode(script["weights"], validate=True)) != _model(folder):
        raise ExportError(f"{WEIGHTS} does not hold the model that {MODEL_JSON} does; nothing was written.")


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    network, names = checkpoint.architecture, checkpoint.class_names
    temperature, refuse_above = calibration_of(checkpoint.metadata)
    knows_not_a_digit = network.n_classes == len(CLASS_NAMES) + 1
    labels = [str(k) for k in range(10)] if names[:10] == CLASS_NAMES else list(names[:10])
    labels += ["no digit"] if knows_not_a_digit else names[10:]
    return {
        "about": f"{network.name}, {network.n_parameters:,} parameters. Made with digitlab {__version__}.",
        "knowsNotADigit": knows_not_a_digit,
        "labels": labels,
        "refuseAbove": refuse_above,
        "temperature": temperature,
    }


def _model(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What the TensorFlow.js model in a folder says, and the bytes of its weights."""
    document: dict[str, Any] = json.loads((folder / MODEL_JSON).read_text("utf-8"))
    (group,) = document["weightsManifest"]
    return document, b"".join((folder / name).read_bytes() for name in group["paths"])
