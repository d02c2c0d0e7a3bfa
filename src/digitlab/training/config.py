"""TrainConfig: every hyperparameter with its unit and default, the presets, and the command that repeats a run.

The terminal's options and the page's controls are made from this dataclass; there is no second list of them.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from digitlab.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from digitlab.engine.optimizers import Optimizer
    from digitlab.network.architecture import Architecture

#: Optimizers by name.
OPTIMIZERS = ("adam", "adamw", "sgd")

#: What is made small, by name: the digit's cross-entropy, or the finder's loss on practice crops of pages.
LOSSES = ("cross_entropy", "finder")

#: What images a network of single digits learns from, by name.
SOURCES = ("digits", "candidates")

#: Augmentations by name.
AUGMENTATION_NAMES = ("none", "reader")

#: What a run may go on with that began with something else: the same steps are taken, to rounding.
ELSEWHERE = ("device", "precision")

_MOST = 2**31 - 1
# Share of images that are made; the rest are the set's.
_MOST_MADE = 0.9
# A network that is told nothing but "any class" learns nothing.
_MOST_SMOOTHING = 0.9
# Beyond these, float32 turns numbers into 0 or infinity on the way.
_TINY, _HUGE = 1e-30, 1e9
_RANGES: dict[str, tuple[float, float]] = {
    "train_images": (1, _MOST),
    "validation_images": (0, _MOST),
    "batch_size": (1, _MOST),
    "epochs": (1, _MOST),
    "learning_rate": (_TINY, _HUGE),
    "epsilon": (_TINY, _HUGE),
    "weight_decay": (0, _HUGE),
    "label_smoothing": (0, _MOST_SMOOTHING),
    "seed": (0, _MOST),
    "early_stopping": (0, _MOST),
    "not_a_digit": (0, _MOST_MADE),
    "variants": (0, _MOST_MADE),
    "threads": (1, _MOST),
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. The defaults are the codelab's.

    Parameters
    ----------
    network : str
        A network of the zoo, or a JSON file with layers. The zoo has codelab_cnn, dense_baseline, fast_cnn, reader_cnn,
        second_look_cnn and finder_cnn.
    loss : str
        What is made small: cross_entropy of single digits, or finder. A finder is a network that answers with maps; it
        learns from crops of pages, composed anew for every step.
    learns_from : str
        Whether to learn from digits, those of the set, or from candidates.
        Candidates are what the shipped finder takes for a digit on composed pages, right and wrong; they need 44 x 44
        pixels and 11 outputs, as second_look_cnn has.
    data : str, optional
        A set of images with labels; MNIST from the package by default.
        A folder, zip or file: IDX, npz, CSV, Parquet or pictures, of digits, letters or anything, as Fashion-MNIST has.
    train_images : int
        Training images to learn from; for a finder, crops of an epoch.
    validation_images : int
        Validation images to watch, or crops; 0 for none.
    batch_size : int
        Images in one step.
    epochs : int
        Passes over the training images.
    optimizer : str
        The rule of the step: adam, adamw or sgd.
    learning_rate : float
        Size of the steps; the peak of the schedule.
    schedule : str
        Learning rate over the run: constant, cosine or one-cycle.
    beta_1 : float
        Adam: how slowly the mean of the gradients changes, in [0, 1).
    beta_2 : float
        Adam: how slowly the mean of their squares changes, in [0, 1).
    epsilon : float
        Adam: keeps the division finite.
    momentum : float
        SGD: part of the last step that is taken again, in [0, 1).
    nesterov : bool
        SGD: take the gradient's step from where momentum leads.
    weight_decay : float, optional
        Part of the weights, times the learning rate, taken away at every step; by default 0.004 for adamw, else 0.
    label_smoothing : float
        Part of the truth that is spread over all classes, so that the network becomes less sure; 0 for none. The losses
        that are shown are without it.
    shuffle : bool
        Give every epoch an order of its own.
    seed : int
        Where all randomness comes from; same weights, bit for bit, on processors with the same vector instructions.
    early_stopping : int
        Stop after so many epochs without a lower validation loss; 0 for never.
    best_weights : bool
        Keep the weights of the epoch with the lowest validation loss instead of the last.
    augmentation : str
        How training images are changed anew in every epoch: none, or reader (turned, bent, thicker, noisy ...; less so
        towards the end).
    not_a_digit : float
        Share of images that are no digit (letters, marks, parts of digits ...); needs a network with 11 outputs.
    variants : float
        Share of images that are made from the set's digits (flags, bars, tails drawn on; other pens, lines around ...).
    threads : int, optional
        Threads that share the work; all cores by default. No result depends on it.
    device : str
        What trains: cpu, which is digitlab's own engine; gpu, tpu or cpu-xla, which need digitlab[xla]; or auto.
        The same steps are taken everywhere, to rounding. Of several GPUs all share the work.
    precision : str
        What numbers between the layers are on a GPU or TPU: float32, or bfloat16, which is faster.

    Raises
    ------
    ConfigError
        If a value cannot be used.
    """

    network: str = "codelab_cnn"
    loss: str = "cross_entropy"
    learns_from: str = "digits"
    data: str | None = None
    train_images: int = 5_500
    validation_images: int = 1_000
    batch_size: int = 512
    epochs: int = 10
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "constant"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None
    label_smoothing: float = 0.0
    shuffle: bool = True
    seed: int = 0
    early_stopping: int = 0
    best_weights: bool = False
    augmentation: str = "none"
    not_a_digit: float = 0.0
    variants: float = 0.0
    threads: int | None = None
    device: str = "cpu"
    precision: str = "float32"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _checked(field.name, getattr(self, field.name), str(field.type))
            object.__setattr__(self, field.name, value)
        for what, name, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("loss", self.loss, LOSSES),
            ("source", self.learns_from, SOURCES),
            ("augmentation", self.augmentation, AUGMENTATION_NAMES),
        ):
            if name not in known:
                raise ConfigError(_unknown(what, name, known))
        if (self.device, self.precision) != ("cpu", "float32"):
            from digitlab.engine.xla.devices import check_device

            check_device(self.device, self.precision)
        is_changed = self.augmentation != "none" or self.not_a_digit or self.variants
        if self.loss == "finder" and is_changed:
            raise ConfigError(
                "A finder's crops are composed with all there is; leave out augmentation, not_a_digit and variants."
            )
        if self.learns_from == "candidates" and (self.loss == "finder" or is_changed):
            raise ConfigError(
                "Candidates are composed with all there is; leave out the finder's loss, augmentation, not_a_digit and "
                "variants."
            )
        if self.not_a_digit + self.variants > _MOST_MADE:
            raise ConfigError(f"not_a_digit and variants together must be at most {_MOST_MADE:g} of the images.")
        if (self.early_stopping or self.best_weights) and not self.validation_images:
            raise ConfigError("early_stopping and best_weights need validation images; set validation_images above 0.")
        # Those of the other optimizers too: a setting that cannot be is a mistake, used or not.
        for name in OPTIMIZERS:
            self._optimizer(name)
        self.rate(0, 1)

    def build_architecture(self) -> Architecture:
        """Return the network, from the zoo or from a JSON file; NetworkError if there is none."""
        from digitlab.network.zoo import network_of

        return network_of(self.network)

    def build_optimizer(self) -> Optimizer:
        """Return the optimizer that these settings describe."""
        return self._optimizer(self.optimizer)

    def _optimizer(self, name: str) -> Optimizer:
        from digitlab.engine.optimizers import SGD, Adam, AdamW

        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        if name == "sgd":
            return SGD(self.learning_rate, self.momentum, self.nesterov, **decay)
        kind = AdamW if name == "adamw" else Adam
        return kind(self.learning_rate, self.beta_1, self.beta_2, self.epsilon, **decay)

    def rate(self, step: int, n_steps: int) -> float:
        """Return the learning rate of the step that comes after ``step`` others, of ``n_steps`` in all."""
        from digitlab.engine.optimizers import scheduled_rate

        return scheduled_rate(self.schedule, self.learning_rate, step, n_steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: every hyperparameter by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build a config from its JSON form; what is missing has its default. ConfigError if it cannot be used."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"Settings are names with values, a JSON object; got {values!r:.100}.")
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(_unknown("setting", name, known))
        return cls(**values)

    def changed(self) -> dict[str, Any]:
        """Return only what differs from the defaults."""
        return self._other_than({})

    def _other_than(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """What differs from the defaults with the changes of a preset."""
        before = {field.name: field.default for field in dataclasses.fields(self)} | dict(start)
        return {name: getattr(self, name) for name in before if getattr(self, name) != before[name]}


#: Named starting points, as what they change of the defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "codelab": {},
    "fast": {
        "network": "fast_cnn",
        "train_images": 55_000,
        "batch_size": 256,
        "epochs": 1,
        "learning_rate": 0.01,
        "beta_1": 0.7,
        "beta_2": 0.9,
        "schedule": "one-cycle",
        "label_smoothing": 0.1,
    },
    "accurate": {
        "network": "fast_cnn",
        "train_images": 55_000,
        "batch_size": 256,
        "epochs": 6,
        "learning_rate": 0.005,
        "beta_1": 0.7,
        "beta_2": 0.9,
        "schedule": "one-cycle",
        "label_smoothing": 0.1,
    },
    "reader": {
        "network": "reader_cnn",
        "train_images": 55_000,
        "validation_images": 5_000,
        "batch_size": 256,
        "epochs": 50,
        "learning_rate": 0.003,
        "schedule": "one-cycle",
        "label_smoothing": 0.05,
        "augmentation": "reader",
        "not_a_digit": 0.18,
        "variants": 0.16,
    },
    # An epoch is 30,000 candidates; every second one has pages that are composed anew.
    "second-look": {
        "network": "second_look_cnn",
        "learns_from": "candidates",
        "train_images": 30_000,
        "validation_images": 10_000,
        "batch_size": 128,
        "epochs": 84,
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "schedule": "one-cycle",
        "beta_2": 0.99,
        "weight_decay": 0.0001,
        "label_smoothing": 0.05,
    },
    # An epoch is 10,000 crops, composed anew.
    "finder": {
        "network": "finder_cnn",
        "loss": "finder",
        "train_images": 10_000,
        "validation_images": 512,
        "batch_size": 8,
        "epochs": 48,
        "optimizer": "adamw",
        "learning_rate": 0.0015,
        "schedule": "one-cycle",
        "beta_2": 0.99,
        "weight_decay": 0.0001,
        "label_smoothing": 0.05,
    },
}


def preset(name: str, changes: Mapping[str, Any] | None = None) -> TrainConfig:
    """Return the config of a preset, with some values changed; ConfigError if there is no such preset.

    Examples
    --------
    >>> preset("fast", {"seed": 3}).network
    'fast_cnn'
    """
    if name not in PRESETS:
        raise ConfigError(_unknown("preset", name, tuple(PRESETS)))
    return TrainConfig.from_dict({**PRESETS[name], **(changes or {})})


def takes_test_images(config: TrainConfig) -> bool:
    """Tell whether a set's test images can judge what is trained: finders and second looks see parts of pages."""
    return config.loss == "cross_entropy" and config.learns_from == "digits"


def command_for(config: TrainConfig) -> str:
    """Return the shortest command that repeats a run with these settings.

    Examples
    --------
    >>> command_for(TrainConfig(epochs=2, shuffle=False))
    'digitlab train --epochs 2 --no-shuffle'
    >>> command_for(TrainConfig(**PRESETS["fast"], seed=3))
    'digitlab train --preset fast --seed 3'
    """
    by_preset = {name: config._other_than(start) for name, start in PRESETS.items()}
    # A preset cannot be undone by an option that has no word for "none".
    usable = {name: changes for name, changes in by_preset.items() if None not in changes.values()}
    best = min(usable, key=lambda name: len(usable[name]))
    words = ["digitlab", "train"] + (["--preset", best] if best != "codelab" else [])
    for name, value in usable[best].items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif str(value).startswith("-"):
            words.append(f"--{option}={value}")
        else:
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def parsed_values(name: str, words: Sequence[str]) -> list[Any]:
    """Return the values of a setting that were written as words; ConfigError if there is no such setting.

    >>> parsed_values("learning_rate", ["0.01", "1e-3"]), parsed_values("shuffle", ["yes", "no"])
    ([0.01, 0.001], [True, False])
    """
    declared = {field.name: str(field.type).removesuffix(" | None") for field in dataclasses.fields(TrainConfig)}
    if name not in declared:
        raise ConfigError(_unknown("setting", name, tuple(declared)))
    kind: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": _truth}
    try:
        return [kind[declared[name]](word.strip()) for word in words]
    except (ValueError, KeyError):
        raise ConfigError(f"{name} must be {_WORDS[declared[name]]}; got {', '.join(words)!r:.100}.") from None


def _truth(word: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[word.lower()]


_WORDS = {"int": "a whole number", "float": "a finite number", "bool": "true or false", "str": "a text"}


def _checked(name: str, value: Any, declared: str) -> Any:
    """Return a field's value as the plain Python type that it is declared as, such as ``float | None``, in its range.

    NumPy's numbers become Python's, and paths texts, so that a config has one JSON form.
    """
    kind = declared.removesuffix(" | None")
    if value is None and kind != declared:
        return None
    is_bool = isinstance(value, bool)
    if kind == "bool" and is_bool:
        return value
    if kind == "int" and isinstance(value, Integral) and not is_bool:
        return _within(name, int(value))
    if kind == "float" and isinstance(value, Real) and not is_bool and _is_finite(value):
        return _within(name, float(value))
    if kind == "str" and isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str) and text and "\0" not in text:
            return text
    raise ConfigError(f"{name} must be {_WORDS[kind]}; got {value!r:.100}.")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _within(name: str, value: float) -> float:
    least, most = _RANGES.get(name, (value, value))
    if value < least:
        raise ConfigError(f"{name} must be at least {_plain(least)}; got {_plain(value)}.")
    if value > most:
        raise ConfigError(f"{name} must be at most {_plain(most)}; got {_plain(value)}.")
    return value


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _unknown(what: str, name: object, known: Sequence[str]) -> str:
    """The sentence for a name that does not exist, with the nearest that does."""
    return f"There is no {what} {name!r:.100}.{did_you_mean(name, known)} There are {', '.join(known)}."
