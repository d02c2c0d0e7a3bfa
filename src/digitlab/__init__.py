"""digitlab: teach a machine to read handwritten digits, watch it learn, look inside it, and put it to work."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digitlab.data.idx import read_idx, write_idx
    from digitlab.data.mnist import MnistData
    from digitlab.engine.callbacks import History
    from digitlab.engine.models import load_model
    from digitlab.engine.optimizers import SGD, Adam, AdamW
    from digitlab.engine.sequential import Sequential, codelab_cnn, dense_baseline, fast_cnn
    from digitlab.engine.sklearn_bridge import DigitClassifier
    from digitlab.errors import DigitlabError
    from digitlab.evaluation.comparison import compare
    from digitlab.evaluation.coverage import coverage_curve
    from digitlab.evaluation.evaluate import evaluate
    from digitlab.evaluation.sweep import sweep
    from digitlab.evaluation.train import train
    from digitlab.explanation.answer_map import answer_map
    from digitlab.explanation.attribution import attribute, favourite_input, smallest_change
    from digitlab.explanation.inside import look_inside
    from digitlab.explanation.step import take_step_apart
    from digitlab.exporting.export import export
    from digitlab.network.architecture import Architecture
    from digitlab.network.layers import (
        ELU,
        Activation,
        AveragePooling2D,
        Conv2D,
        Dense,
        Dropout,
        Flatten,
        GlobalAveragePooling2D,
        GlobalMaxPooling2D,
        LeakyReLU,
        MaxPooling2D,
        ZeroPadding2D,
    )
    from digitlab.reading.reader import Reader, read
    from digitlab.reading.reading import Reading, ReadingOptions
    from digitlab.runs.run import Run
    from digitlab.training.config import TrainConfig
    from digitlab.values import Evaluation, Prediction

__version__ = "0.1.0"

# Public names and where they live. They are imported when first used, so that `import digitlab` and
# `digitlab --help` do not wait for the compiler.
_HOMES = {
    "ELU": "network.layers",
    "SGD": "engine.optimizers",
    "Activation": "network.layers",
    "Adam": "engine.optimizers",
    "AdamW": "engine.optimizers",
    "Architecture": "network.architecture",
    "AveragePooling2D": "network.layers",
    "Conv2D": "network.layers",
    "Dense": "network.layers",
    "DigitClassifier": "engine.sklearn_bridge",
    "DigitlabError": "errors",
    "Dropout": "network.layers",
    "Evaluation": "values",
    "Flatten": "network.layers",
    "GlobalAveragePooling2D": "network.layers",
    "GlobalMaxPooling2D": "network.layers",
    "History": "engine.callbacks",
    "LeakyReLU": "network.layers",
    "MaxPooling2D": "network.layers",
    "MnistData": "data.mnist",
    "Prediction": "values",
    "Reader": "reading.reader",
    "Reading": "reading.reading",
    "ReadingOptions": "reading.reading",
    "Run": "runs.run",
    "Sequential": "engine.sequential",
    "TrainConfig": "training.config",
    "ZeroPadding2D": "network.layers",
    "codelab_cnn": "engine.sequential",
    "compare": "evaluation.comparison",
    "coverage_curve": "evaluation.coverage",
    "dense_baseline": "engine.sequential",
    "evaluate": "evaluation.evaluate",
    "export": "exporting.export",
    "fast_cnn": "engine.sequential",
    "load_model": "engine.models",
    "read": "reading.reader",
    "read_idx": "data.idx",
    "sweep": "evaluation.sweep",
    "train": "evaluation.train",
    "write_idx": "data.idx",
    "answer_map": "explanation.answer_map",
    "attribute": "explanation.attribution",
    "favourite_input": "explanation.attribution",
    "smallest_change": "explanation.attribution",
    "look_inside": "explanation.inside",
    "take_step_apart": "explanation.step",
}

# What others have, and what to write here.
_ELSEWHERE = {
    "Input": "Sequential(layers, input_shape=(28, 28, 1)) tells the shape of the images",
    "Model": "Sequential(layers, input_shape=(28, 28, 1)) is a network of layers one after the other",
    "callbacks": "Keras' callbacks listen to fit, too",
    "datasets": "digitlab.MnistData.load() gives MNIST, and MnistData.load(path) your own set",
    "layers": "layers are digitlab.Conv2D, digitlab.Dense ...",
    "losses": "the loss is the cross-entropy; leave it out",
    "models": "digitlab.Sequential and digitlab.load_model",
    "optimizers": "optimizers are digitlab.Adam, AdamW and SGD",
    "predict": 'digitlab.load_model("runs/NAME").predict(images) answers images, digitlab.read(photo) reads photos',
    "utils": "labels are numbers or one-hot rows, as you have them",
}

__all__ = [
    "ELU",
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "Architecture",
    "AveragePooling2D",
    "Conv2D",
    "Dense",
    "DigitClassifier",
    "DigitlabError",
    "Dropout",
    "Evaluation",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "History",
    "LeakyReLU",
    "MaxPooling2D",
    "MnistData",
    "Prediction",
    "Reader",
    "Reading",
    "ReadingOptions",
    "Run",
    "Sequential",
    "TrainConfig",
    "ZeroPadding2D",
    "answer_map",
    "attribute",
    "codelab_cnn",
    "compare",
    "coverage_curve",
    "dense_baseline",
    "evaluate",
    "export",
    "fast_cnn",
    "favourite_input",
    "load_model",
    "look_inside",
    "read",
    "read_idx",
    "smallest_change",
    "sweep",
    "take_step_apart",
    "train",
    "write_idx",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from digitlab.errors import MissingNameError

        advice = f": {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
        raise MissingNameError(f"module 'digitlab' has no attribute {name!r}{advice}")
    return getattr(importlib.import_module(f"digitlab.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
