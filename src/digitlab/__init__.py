"""digitlab: teach a machine to read handwritten digits, watch it learn, look inside it, and put it to work."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digitlab.data.idx import read_idx, write_idx
    from digitlab.data.mnist import MnistData
    from digitlab.engine.digit_classifier import DigitClassifier
    from digitlab.engine.history import History
    from digitlab.engine.loading import load_model
    from digitlab.engine.optimizers import SGD, Adam, AdamW
    from digitlab.engine.sequential import Sequential, codelab_cnn, dense_baseline, fast_cnn
    from digitlab.errors import DigitlabError
    from digitlab.evaluation.comparison import compare
    from digitlab.evaluation.evaluate import evaluate
    from digitlab.evaluation.train import train
    from digitlab.exporting.export import export
    from digitlab.network.architecture import Architecture
    from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
    from digitlab.reading.reader import Reader, read
    from digitlab.reading.reading import Reading, ReadingOptions
    from digitlab.runs.run import Run
    from digitlab.training.config import TrainConfig
    from digitlab.values import Evaluation, Prediction

__version__ = "0.1.0"

# Public names and where they live. They are imported when first used, so that `import digitlab` and
# `digitlab --help` do not wait for the compiler.
_HOMES = {
    "SGD": "engine.optimizers",
    "Adam": "engine.optimizers",
    "AdamW": "engine.optimizers",
    "Architecture": "network.architecture",
    "Conv2D": "network.layers",
    "Dense": "network.layers",
    "DigitClassifier": "engine.digit_classifier",
    "DigitlabError": "errors",
    "Dropout": "network.layers",
    "Evaluation": "values",
    "Flatten": "network.layers",
    "History": "engine.history",
    "MaxPooling2D": "network.layers",
    "MnistData": "data.mnist",
    "Prediction": "values",
    "Reader": "reading.reader",
    "Reading": "reading.reading",
    "ReadingOptions": "reading.reading",
    "Run": "runs.run",
    "Sequential": "engine.sequential",
    "TrainConfig": "training.config",
    "codelab_cnn": "engine.sequential",
    "compare": "evaluation.comparison",
    "dense_baseline": "engine.sequential",
    "evaluate": "evaluation.evaluate",
    "export": "exporting.export",
    "fast_cnn": "engine.sequential",
    "load_model": "engine.loading",
    "read": "reading.reader",
    "read_idx": "data.idx",
    "train": "evaluation.train",
    "write_idx": "data.idx",
}

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Architecture",
    "Conv2D",
    "Dense",
    "DigitClassifier",
    "DigitlabError",
    "Dropout",
    "Evaluation",
    "Flatten",
    "History",
    "MaxPooling2D",
    "MnistData",
    "Prediction",
    "Reader",
    "Reading",
    "ReadingOptions",
    "Run",
    "Sequential",
    "TrainConfig",
    "codelab_cnn",
    "compare",
    "dense_baseline",
    "evaluate",
    "export",
    "fast_cnn",
    "load_model",
    "read",
    "read_idx",
    "train",
    "write_idx",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'digitlab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"digitlab.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
