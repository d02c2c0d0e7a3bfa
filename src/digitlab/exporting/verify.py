"""Whether an exported file answers as the model does: read back by digitlab, and asked in its runtime.

Keras and TensorFlow.js answer in processes of their own, so that nothing here waits for them or keeps what they load.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.keras_bridge import keras_backend
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, ExportError
from digitlab.network.formats.files import load_model_file
from digitlab.values import Value

#: Of a probability, between two programs that compute in float32 and sum in different orders.
MOST_DIFFERENCE = 1e-4
_RUNTIME_IMAGES = 256
# Numbers of a layer's output, for all images that a runtime is asked at once: 256 MB.
_MOST_AT_ONCE = 2**26
# The engine answers several images side by side; where one image has more numbers than this, each alone.
_MOST_SIDE_BY_SIDE = 2**20
# Numbers of all layers' outputs for one image, which the engine keeps side by side: 512 MB.
_MOST_OF_AN_IMAGE = 2**27
_NOT_INSTALLED = 3
_MOST_SECONDS = 300

Answers = tuple[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Agreement(Value):
    """How the exported file answers beside the model: who answered, with its version, and how near.

    ``n_same_answer`` of the ``n_images`` have the same most probable class; the difference is the largest of all
    probabilities.
    """

    by: str
    n_images: int
    n_same_answer: int
    largest_difference: float

    def sentence(self) -> str:
        """Return it for people.

        >>> Agreement("onnxruntime 1.30.0", 256, 256, 2e-7).sentence()
        'Read by onnxruntime 1.30.0: the same answer to all 256 images, probabilities within 2e-07.'
        """
        all_same = self.n_same_answer == self.n_images
        how_many = "all" if all_same else f"{self.n_same_answer:,} of"
        how_near = f"within {self.largest_difference:.1g}" if self.largest_difference else "to the last digit"
        return f"Read by {self.by}: the same answer to {how_many} {self.n_images:,} images, probabilities {how_near}."


def answers_of(model: Sequential, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answer images in memory that a large network does not multiply: float32 (n, n_classes)."""
    if (n_values := sum(_sizes(model))) > _MOST_OF_AN_IMAGE:
        raise ConfigError(
            f"{model.name} needs {n_values * 4 / 1e6:,.0f} MB for one image, and what is exported is verified within "
            f"{_MOST_OF_AN_IMAGE * 4 / 1e6:,.0f} MB. Export a network for smaller images, or with fewer layers."
        )
    if max(_sizes(model)) <= _MOST_SIDE_BY_SIDE:
        return model.predict(images)
    return np.concatenate([model.predict(images[k : k + 1]) for k in range(len(images))])


def _sizes(model: Sequential) -> list[int]:
    """Return how many numbers of one image go into the network and come out of every layer."""
    architecture = model.architecture
    return [int(math.prod(shape)) for shape in (architecture.input_shape, *architecture.shapes)]


def read_back(
    model: Sequential, made: Path, images: NDArray[np.uint8], quantize: str | None
) -> tuple[Agreement, Sequential]:
    """Read an exported file with digitlab's own reader, and compare; quantized weights may answer otherwise."""
    exported = Sequential.from_checkpoint(load_model_file(made), threads=model.runner.n_threads)
    agreement = _agreement("digitlab", answers_of(model, images), answers_of(exported, images))
    if quantize is None:
        _check(agreement)
    return agreement, exported


def ask_runtime(
    exported: Sequential, made: Path, images: NDArray[np.uint8], format: str
) -> tuple[Agreement | None, str | None]:
    """Ask the runtime that the format is for, on up to 256 images; a sentence says where it is not installed."""
    some = images[: max(1, min(_RUNTIME_IMAGES, _MOST_AT_ONCE // max(_sizes(exported))))]
    try:
        version, answers = RUNTIMES[format](made, some, exported.architecture.input_shape)
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


class NotInstalledError(Exception):
    """The runtime is not here; the message is a sentence that says how to get it."""


# For a Python of its own, which need not find digitlab. The file was written a moment ago by the process that asks.
_KERAS = """
import sys
try:
    import keras
except ImportError:
    sys.exit(3)
import numpy as np
model_path, images_path, answers_path = sys.argv[1:]
model = keras.saving.load_model(model_path, compile=False)
np.save(answers_path, np.asarray(keras.ops.convert_to_numpy(model(np.load(images_path)))))
print(f"Keras {keras.__version__} on {keras.backend.backend()}")
"""


def _ask_keras(model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]) -> Answers:
    """Answer images with Keras, on the backend that is chosen or the first that is installed."""
    advice = "Keras is not installed here, so that nobody but digitlab has read the file: pip install keras jax"
    backend = keras_backend()
    if backend is None or find_spec("keras") is None:
        raise NotInstalledError(advice)
    questions, answers = model.parent / "images.npy", model.parent / "answers.npy"
    np.save(questions, _floats(images, shape))
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"KERAS_BACKEND": backend}
    # -P: this folder is not searched for modules.
    version = _asked([sys.executable, "-P", "-c", _KERAS, model, questions, answers], "Keras", advice, environment)
    return version, np.load(answers)


def _ask_onnxruntime(model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]) -> Answers:
    """Answer images with onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        raise NotInstalledError(
            "onnxruntime is not installed here, so that nobody but digitlab has read the file: pip install onnxruntime"
        ) from None
    rows = images.reshape(-1, *shape) if len(shape) == 3 else _floats(images, shape)
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        (answers,) = session.run(None, {session.get_inputs()[0].name: rows})
    except Exception as error:  # onnxruntime raises a dozen kinds of its own
        raise ExportError(f"onnxruntime could not use the file: {error}") from error
    return f"onnxruntime {onnxruntime.__version__}", np.asarray(answers, np.float32)


def _ask_node(
    script: str, name: str, advice: str, model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]
) -> Answers:
    """Answer images with a script under Node, if that and what it needs is installed here or where NODE_PATH says."""
    node = shutil.which("node")
    if node is None:
        raise NotInstalledError(advice)
    questions, answers = model.parent / "images.f32", model.parent / "answers.f32"
    questions.write_bytes(_floats(images, shape).astype("<f4").tobytes())
    command = [node, Path(__file__).with_name(script), model, questions, answers, json.dumps(shape)]
    version = _asked(command, name, advice, os.environ)
    return version, np.frombuffer(answers.read_bytes(), "<f4").reshape(len(images), -1)


def _floats(images: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return images.reshape(-1, *shape).astype(np.float32) / np.float32(255.0)


def _asked(command: list[object], name: str, advice: str, environment: os._Environ[str] | dict[str, str]) -> str:
    try:
        child = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=_MOST_SECONDS, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(f"{name} did not answer ({error}); the file was verified by digitlab alone.") from None
    if child.returncode == _NOT_INSTALLED:
        raise NotInstalledError(advice)
    if child.returncode != 0:
        last = child.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        raise ExportError(f"{name} could not use the file: {last[0]}")
    return child.stdout.strip().splitlines()[-1]


#: Who can answer which format.
RUNTIMES: dict[str, Callable[[Path, NDArray[np.uint8], tuple[int, ...]], Answers]] = {
    "keras": _ask_keras,
    "onnx": _ask_onnxruntime,
    "tfjs": partial(
        _ask_node,
        "asking_tfjs.cjs",
        "TensorFlow.js",
        "TensorFlow.js is not installed here for Node, so that nobody but digitlab has read the files: "
        "npm install @tensorflow/tfjs",
    ),
    "web": partial(
        _ask_node,
        "asking_page.cjs",
        "The page's JavaScript",
        "Node is not installed here, so that the page's JavaScript was read and not run: install Node and export "
        "again, or open index.html and draw",
    ),
}
