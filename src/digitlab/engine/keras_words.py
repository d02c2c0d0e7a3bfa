"""Keras' words: what its users write to ``compile`` and ``fit``, as digitlab's settings, or the sentence for it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.optimizers import SGD, Adam, AdamW, Optimizer
from digitlab.errors import ConfigError, MissingNameError, did_you_mean
from digitlab.metrics import accuracy, cross_entropy

OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
#: What ``fit`` makes small: the digit's cross-entropy, or the finder's loss on crops of pages.
LOSSES = ("cross_entropy", "finder")
_ACCURACIES = ("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy")
# What Keras' optimizers tell of themselves besides what they do.
_IDLE = ("name", "is_legacy_optimizer", "jit_compile", "ema_momentum", "ema_overwrite_frequency")
_SCHEDULES = 'fit(..., schedule="cosine") or "one-cycle" changes the learning rate on the way'

_COMPILE_WORDS = {
    "loss_weights": "there is one loss",
    "weighted_metrics": "digitlab.evaluate(model, x, y) tells accuracy, precision and recall of every class",
    "optimizer_weights": "the optimizer begins anew at every fit",
}
_SAVE_WORDS = {"save_format": "the name's ending says the format: model.keras, model.onnx"}
_FIT_WORDS = {
    "class_weight": "repeat the images of rare classes instead: np.concatenate",
    "initial_epoch": "call fit again: it goes on with the weights that are there",
    "sample_weight": "repeat the images that count for more, or leave out those that count for nothing",
    "steps": "give the images that are wanted: x[:n]",
    "steps_per_epoch": "give fewer images, x[:steps * batch_size], or fewer epochs",
    "validation_freq": "digitlab validates after every epoch",
    "validation_steps": "give fewer validation images: validation_data=(x[:n], y[:n])",
}
# How the work is shared out or compiled; here that is always done, and no result depends on it.
_PASSED_OVER = (
    "auto_scale_loss", "expand_nested", "include_optimizer", "jit_compile", "line_length", "max_queue_size",
    "positions", "run_eagerly", "show_trainable", "steps_per_execution", "use_multiprocessing",
    "validation_batch_size", "workers",
)  # fmt: skip

#: What a Keras model has and digitlab's has not, and what to write here.
MISSING = {
    "add_loss": "fit makes the cross-entropy small, and nothing besides",
    "add_metric": "digitlab.evaluate(model, x, y) tells accuracy, precision and recall of every class",
    "built": "a network is built from its layers and input_shape",
    "build": "a network is built from its layers and input_shape",
    "call": "model.predict(images) answers",
    "compute_loss": "model.evaluate(x, y) returns the loss",
    "evaluate_generator": "gather the images into arrays and call evaluate(x, y)",
    "export": 'digitlab.export(model, "folder", format="tfjs") or model.save("model.onnx") write it for others',
    "fit_generator": "gather the images into arrays and call fit(x, y). digitlab.train(TrainConfig(augmentation="
    '"reader")) turns and bends them anew in every epoch',
    "inputs": "model.input_shape tells what goes in",
    "loss": "the loss is the cross-entropy",
    "outputs": "model.output_shape tells what comes out",
    "get_config": "model.architecture.to_dict() describes the network",
    "input": 'model.input_shape tells what goes in, and "digitlab studio" shows what every layer answers',
    "losses": "fit makes the cross-entropy small, and nothing besides",
    "non_trainable_weights": "every weight is trained: model.get_weights()",
    "output": 'model.output_shape tells what comes out, and "digitlab studio" shows what every layer answers',
    "pop": "make a Sequential of the layers that shall stay: Sequential(model.layers[:-1])",
    "predict_classes": "model.predict(images).argmax(axis=1) gives the classes",
    "predict_generator": "gather the images into arrays and call predict(images)",
    "predict_on_batch": "model.predict(images) takes any number of images",
    "predict_proba": "model.predict(images) gives the probabilities",
    "test_on_batch": "model.evaluate(x, y) takes any number of images",
    "to_json": "model.architecture.to_dict() describes the network",
    "to_yaml": "model.architecture.to_dict() describes the network",
    "train_on_batch": "for record in model.steps(x, y): ... trains batch by batch",
    "train_step": "for record in model.steps(x, y): ... trains batch by batch",
    "trainable_variables": "every weight is trained: model.get_weights()",
    "trainable_weights": "every weight is trained: model.get_weights()",
    "variables": "model.get_weights() gives the weights",
    "weights": "model.get_weights() gives the weights",
}

# Keras' callbacks that reach into Keras' own models.
_KERAS_ONLY = {
    "BackupAndRestore": "digitlab train --resume goes on with a run that was stopped",
    "OrbaxCheckpoint": 'ModelCheckpoint("best.keras") saves the model',
    "SwapEMAWeights": "leave it out",
    "TensorBoard": 'the History shows its charts, CSVLogger writes them down, and "digitlab studio" shows them live',
}


@dataclass(frozen=True)
class Compiled:
    """What ``compile`` was told: how ``fit`` trains unless it is told otherwise.

    ``accuracy_name`` is what the accuracy is called in the history.
    """

    optimizer: Optimizer = field(default_factory=Adam)
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    accuracy_name: str = "accuracy"


def compiled_of(optimizer: Any, loss: Any, metrics: Any) -> Compiled:
    """Return what Keras' users pass to ``compile``, or a ConfigError that says what to write."""
    chosen = optimizer_of("adam" if optimizer is None else optimizer)
    name, smoothing = loss_of("cross_entropy" if loss is None else loss)
    return Compiled(chosen, name, smoothing, _accuracy_name(metrics))


def optimizer_of(given: Any) -> Optimizer:
    """Return digitlab's optimizer for a name, one of digitlab's, or one of Keras' by what its config says."""
    if isinstance(given, Adam | SGD):
        return given
    if isinstance(given, type):
        return optimizer_of(given.__name__)
    if isinstance(given, str):
        if given.lower() not in OPTIMIZERS:
            raise _no_optimizer(given)
        return OPTIMIZERS[given.lower()]()
    name = type(given).__name__
    if not hasattr(given, "get_config"):
        raise ConfigError(
            f'An optimizer is a name such as "adam", or digitlab.Adam(0.001), AdamW or SGD; got {given!r:.80}.'
        )
    if name.lower() not in OPTIMIZERS:
        raise _no_optimizer(name)
    kind = OPTIMIZERS[name.lower()]
    config = {key: value for key, value in dict(given.get_config()).items() if value is not None}
    config["learning_rate"] = _rate_of(config.get("learning_rate", kind().learning_rate), name)
    known = {one.name for one in fields(kind)}
    lacking = [key for key, value in config.items() if key not in known and key not in _IDLE and value]
    if lacking:
        raise ConfigError(
            f"digitlab's {kind.__name__} has no {lacking[0]}; leave it out. It has {', '.join(sorted(known))}."
        )
    return kind(**{key: value for key, value in config.items() if key in known})


def _rate_of(given: Any, name: str) -> float:
    if not isinstance(given, int | float):
        raise ConfigError(f"The learning rate of {name} is a schedule of Keras'. Pass a number: {_SCHEDULES}.")
    return float(f"{given:.7g}")  # Keras' is a float32: 0.0010000000474974513


def _no_optimizer(name: str) -> ConfigError:
    hint = did_you_mean(name.lower(), OPTIMIZERS)
    return ConfigError(f"There is no optimizer {name!r}.{hint} There are {', '.join(OPTIMIZERS)}; adam does for most.")


def loss_of(given: Any) -> tuple[str, float]:
    """Return which of ``LOSSES`` is meant by a name or one of Keras' objects, and the label smoothing in it."""
    if isinstance(given, str) and given in LOSSES:
        return given, 0.0
    name = given if isinstance(given, str) else getattr(given, "name", None) or getattr(given, "__name__", "")
    plain = str(name).replace("CrossEntropy", "_crossentropy").replace("Crossentropy", "_crossentropy").lower()
    if plain.removeprefix("sparse").lstrip("_") not in ("categorical_crossentropy", "crossentropy"):
        raise ConfigError(
            f"There is no loss {str(name) or given!r:.60}. The networks tell classes apart by the cross-entropy: write "
            'loss="sparse_categorical_crossentropy", whether labels are numbers or one-hot; or leave it out. There '
            f"are {', '.join(LOSSES)}."
        )
    # With from_logits or without: digitlab's loss begins at the logits, and the softmax is part of the network.
    config = given.get_config() if hasattr(given, "get_config") and not isinstance(given, type) else {}
    return "cross_entropy", float(config.get("label_smoothing") or 0.0)


def _accuracy_name(given: Any) -> str:
    if given is None:
        return "accuracy"
    names = []
    for one in [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given):
        name = one if isinstance(one, str) else getattr(one, "name", None) or getattr(one, "__name__", repr(one)[:60])
        if str(name).lower() not in _ACCURACIES:
            raise ConfigError(
                f'The metric {str(name)!r} is not told while training; write metrics=["accuracy"]. Precision, recall '
                "and F1 of every class, the confusion matrix and the calibration are told by digitlab.evaluate(model, "
                "x, y)."
            )
        names.append(str(name))
    if len(names) > 1:
        raise ConfigError(f'{" and ".join(names)} are the same accuracy here; write metrics=["accuracy"].')
    return names[0] if names else "accuracy"


def check_others(verb: str, given: Mapping[str, Any]) -> None:
    """Say what to write instead of Keras' settings that would change a result and that ``verb`` does not have."""
    words = {"compile": _COMPILE_WORDS, "save": _SAVE_WORDS}.get(verb, _FIT_WORDS)
    for name, value in given.items():
        if name in _PASSED_OVER or (name in words and value is None):
            continue
        if name in words and (name, value) not in (("initial_epoch", 0), ("validation_freq", 1)):
            raise ConfigError(f"{verb} has no {name} here: {words[name]}.")
        if name not in words:
            raise ConfigError(f"{verb} knows no {name!r}.{did_you_mean(name, _KNOWN[verb])}")


def asked_images(images: Any, x: Any, others: Mapping[str, Any]) -> Any:
    """Return what ``predict`` is given, by its name here or by Keras'."""
    if others:
        check_others("predict", others)
    given = x if images is None else images
    if given is None:
        raise ConfigError("predict needs images: model.predict(images).")
    return given


def evaluated(
    answers: NDArray[np.float32], labels: NDArray[np.integer], verbose: Any, names: Sequence[str] | None
) -> list[float] | dict[str, float]:
    """Return what Keras' ``evaluate`` does of answers, (n, n_classes): loss and accuracy, by name if there are any."""
    loss, right = cross_entropy(answers, labels), accuracy(labels, answers.argmax(axis=1))
    if verbose in (1, 2):
        print(f"accuracy: {right:.4f} - loss: {loss:.4f}")
    return [loss, right] if names is None else dict(zip(names, (loss, right), strict=True))


_KNOWN = {
    "compile": ("optimizer", "loss", "metrics"),
    "fit": (
        "x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data", "shuffle",
        "loss", "seed", "optimizer", "schedule", "label_smoothing",
    ),
    "evaluate": ("x", "y", "batch_size", "verbose", "return_dict"),
    "predict": ("images", "batch_size", "verbose"),
    "save": ("filepath", "overwrite"),
    "summary": ("print_fn",),
}  # fmt: skip


def missing_name(name: str, known: Iterable[str]) -> MissingNameError:
    """Return what is said of an attribute that a Keras model may have and digitlab's has not."""
    if name in MISSING:
        return MissingNameError(f"digitlab's Sequential has no {name!r}: {MISSING[name]}.")
    hint = did_you_mean(name, [one for one in known if not one.startswith("_")])
    return MissingNameError(f"digitlab's Sequential has no attribute {name!r}.{hint}")


def callbacks_of(given: Any) -> list[Any]:
    """Return one callback or many as a list; a ConfigError names what cannot listen."""
    if given is None:
        return []
    is_one = isinstance(given, str | type) or callable(given) or not isinstance(given, Iterable)
    listeners = [given] if is_one else list(given)
    for one in listeners:
        name = one.__name__ if isinstance(one, type) else type(one).__name__
        if isinstance(one, type):
            raise ConfigError(f"{name} is a class; callbacks are its objects: callbacks=[{name}(...)].")
        if isinstance(one, str | int | float | bytes):
            raise ConfigError(f"callbacks are objects such as keras.callbacks.EarlyStopping(); got {one!r:.60}.")
        if callable(one) and not hasattr(one, "on_epoch_end"):
            raise ConfigError(
                "callbacks are objects with methods such as on_epoch_end(epoch, logs), and a function is none; in "
                "Keras, keras.callbacks.LambdaCallback(on_epoch_end=function) makes one of it."
            )
        if type(one).__module__.startswith(("keras.", "tf_keras.", "tensorflow.")) and name in _KERAS_ONLY:
            raise ConfigError(f"{name} reaches into Keras' own models and cannot listen here: {_KERAS_ONLY[name]}.")
        # Keras cannot know which way somebody else's model counts, and would not begin.
        told = str(getattr(one, "monitor", "")).removeprefix("val_")
        if getattr(one, "mode", None) == "auto" and told in _ACCURACIES:
            one.mode = "max"
    return listeners


def whole_number(name: str, value: Any, least: int) -> int:
    """Return a whole number of any kind, NumPy's too, of at least ``least``."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}; got {value!r:.80}.")
    return number
