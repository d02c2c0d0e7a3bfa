"""Asking the real runtimes: Keras, onnxruntime, TensorFlow.js and pages under Node, where they are installed.

Keras and TensorFlow.js answer in processes of their own, so that nothing here waits for them or keeps what they load.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.keras_bridge import keras_backend
from digitlab.errors import ExportError

__all__ = ["RUNTIMES", "NotInstalledError"]

_NOT_INSTALLED = 3
_MOST_SECONDS = 300

Answers = tuple[str, NDArray[np.float32]]


class NotInstalledError(Exception):
    """The runtime is not here; the message is a sentence that says how to get it."""


def ask_keras(model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]) -> Answers:
    """Answer images with Keras, on the backend that is chosen or the first that is installed."""
    advice = "Keras is not installed here, so that nobody but digitlab has read the file: pip install keras jax"
    backend = keras_backend()
    if backend is None or find_spec("keras") is None:
        raise NotInstalledError(advice)
    questions, answers = model.parent / "images.npy", model.parent / "answers.npy"
    np.save(questions, _floats(images, shape))
    script = Path(__file__).with_name("asking_keras.py")
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"KERAS_BACKEND": backend}
    # -P: the folder of the script is not searched for modules.
    version = _asked([sys.executable, "-P", script, model, questions, answers], "Keras", advice, environment)
    return version, np.load(answers)


def ask_onnxruntime(model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]) -> Answers:
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


def ask_tfjs(model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]) -> Answers:
    """Answer images with TensorFlow.js under Node, if it is installed in this folder or where NODE_PATH says."""
    advice = (
        "TensorFlow.js is not installed here for Node, so that nobody but digitlab has read the files: "
        "npm install @tensorflow/tfjs"
    )
    return _ask_node("asking_tfjs.cjs", "TensorFlow.js", advice, model, images, shape)


def ask_page(model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]) -> Answers:
    """Answer images with the JavaScript of an exported page, under Node."""
    advice = (
        "Node is not installed here, so that the page's JavaScript was read and not run: install Node and export "
        "again, or open index.html and draw"
    )
    return _ask_node("asking_page.cjs", "The page's JavaScript", advice, model, images, shape)


#: Who can answer which format.
RUNTIMES: dict[str, Callable[[Path, NDArray[np.uint8], tuple[int, ...]], Answers]] = {
    "keras": ask_keras,
    "onnx": ask_onnxruntime,
    "tfjs": ask_tfjs,
    "web": ask_page,
}


def _ask_node(
    script: str, name: str, advice: str, model: Path, images: NDArray[np.uint8], shape: tuple[int, ...]
) -> Answers:
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
