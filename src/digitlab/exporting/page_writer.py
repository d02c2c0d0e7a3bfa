"""A page to hand out: a folder with a model, a sheet to draw on, and our own JavaScript that answers.

It is opened from the disk, where a browser lets a page fetch nothing. So the weights come in as a script besides the
TensorFlow.js model, which is there for those who build something of their own.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from digitlab import __version__
from digitlab.errors import ConfigError, ExportError
from digitlab.exporting.writers import write_tfjs
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import MODEL_JSON
from digitlab.reading.answers import calibration_of
from digitlab.values import CLASS_NAMES

__all__ = ["MOST_ANSWERS", "WEIGHTS", "write_page"]

#: More bars than this nobody reads.
MOST_ANSWERS = 64
#: The script that brings the model.
WEIGHTS = "weights.js"

_SOURCE = Path(__file__).with_name("page")
_SHAPES = ((28, 28, 1), (784,))
_BEGIN, _END = "globalThis.digitlab = ", ";\n"
_COMMENT = re.compile(r"(?:^|\s)(?:// .*|/\*\*.*\*/)$")
_TEXT = re.compile(r"""("[^"\n]*"|`[^`\n]*`)""")
_SPACES = re.compile(r" *([=,(){}:?<>&|*;[\]]) *|(?<=[\w)\]]) ([-+/]) (?=[\w([])")


def write_page(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a page into a new folder; equal checkpoints give equal bytes.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its metadata may hold ``temperature`` and ``refuse_above``. Of eleven classes the last is "not a digit".
    folder : Path
        It must not exist.

    Raises
    ------
    ConfigError
        If the network answers other images than 28 x 28, or has more classes than a page can show.
    ExportError
        If what was written does not hold the model.
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
        if source.suffix in (".css", ".html"):
            text = "\n".join(line.strip() for line in text.splitlines() if line)
        (folder / source.name).write_text(_small(text) if source.suffix == ".js" else text, "utf-8")
    _check(folder)


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


def _small(script: str) -> str:
    """Leave out comments, indentation and spaces that mean nothing; the first lines say what it is.

    It is for our own scripts: strings do not go over lines, and templates are not nested.
    """
    lines = script.splitlines()
    start = next(number for number, line in enumerate(lines) if not line.startswith("//"))
    code = [_COMMENT.sub("", line).strip() for line in lines[start:]]
    parts = _TEXT.split("\n".join(line for line in code if line))
    # Between the texts, which come at odd places; around + and - only where no sign follows: a - -b is not a--b.
    parts[::2] = [_SPACES.sub(r"\1\2", part) for part in parts[::2]]
    return "\n".join([*lines[:start], "".join(parts), ""])


def _model(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What the TensorFlow.js model in a folder says, and the bytes of its weights."""
    document: dict[str, Any] = json.loads((folder / MODEL_JSON).read_text("utf-8"))
    (group,) = document["weightsManifest"]
    return document, b"".join((folder / name).read_bytes() for name in group["paths"])


def _check(folder: Path) -> None:
    """Read the script back: it holds the same model as the files beside it."""
    text = (folder / WEIGHTS).read_text("utf-8")
    content = json.loads(text.removeprefix(_BEGIN).removesuffix(_END))
    if (content["model"], base64.b64decode(content["weights"], validate=True)) != _model(folder):
        raise ExportError(f"{WEIGHTS} does not hold the model that {MODEL_JSON} does; nothing was written.")
