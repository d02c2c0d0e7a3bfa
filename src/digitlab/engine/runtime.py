"""RuntimeModel: a model that digitlab's layers cannot express, answered by onnxruntime or Keras in a process apart.

It answers 28 x 28 images with probabilities, and nothing else. What it takes and gives is found out once, when it is
opened: which axes and how many pixels, bytes or floats, one image at a time or many; and whether it gives logits,
logarithms or probabilities. Files are anybody's: what may be in one is checked before a runtime sees it, and that works
within limits of time and memory in a process of its own (docs/decisions/0015-other-runtimes.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.engine import runtime_files, runtime_process
from digitlab.engine.cpu.threads import available_threads
from digitlab.engine.images import wrap_images, wrap_labelled
from digitlab.engine.keras_bridge import keras_backend
from digitlab.engine.keras_words import asked_images, check_others, evaluated
from digitlab.engine.runtime_process import Opened, Question
from digitlab.errors import ConfigError, MissingNameError, RunError
from digitlab.network.architecture import Architecture
from digitlab.network.pixels import OWN, PixelScale
from digitlab.processes import Processes, is_apart
from digitlab.values import usual_names

#: What the answers to one batch may take of the processor's time, and the process of memory.
SECONDS, MEMORY_BYTES = 120.0, 2**32

_ONLY = "It can be evaluated, read with, served and compared, and not trained, exported or looked inside"


@dataclass(frozen=True)
class _Runtime:
    """A program that runs models: its name, digitlab's extra for it, and what to have ready in its process."""

    name: str
    extra: str
    is_installed: Callable[[], bool]
    ready: Callable[[], None]


_ONNXRUNTIME = _Runtime(
    "onnxruntime", "onnx", lambda: find_spec("onnxruntime") is not None, runtime_files.be_ready_for_onnx
)
_KERAS = _Runtime(
    "Keras",
    "keras",
    lambda: all(map(find_spec, ("keras", "h5py"))) and keras_backend() is not None,
    runtime_files.be_ready_for_keras,
)


class _Apart(Processes):
    """The one process that a model is in; it ends with the model."""

    def __init__(self, runtime: _Runtime) -> None:
        super().__init__(1, SECONDS, MEMORY_BYTES, runtime.ready)
        self.does = f"runs {runtime.name}"
        self._name = runtime.name

    def too_late(self, source: str, n: int) -> RunError:
        return RunError(
            f"The model {source} was given up: {self._name} takes more than {self.seconds:g} seconds of work for "
            f"{runtime_process.MOST_AT_ONCE} images. Use a smaller model."
        )

    def too_large(self, source: str, n: int) -> RunError:
        return RunError(
            f"The model {source} was given up: {self._name} takes more than {self.memory_bytes / 2**30:g} GB of memory "
            "for it, or is ended by it. Use a smaller model, or save it again."
        )

    def __del__(self) -> None:
        self.close()


class RuntimeNetwork:
    """What is known of such a model's network: no layers, but the shape of what it takes and gives."""

    answers_maps = False

    def __init__(self, name: str, n_classes: int, n_parameters: int, why: str) -> None:
        self.name, self.input_shape = name, (28, 28, 1)
        self.n_classes, self.n_parameters, self._why = n_classes, n_parameters, why

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name) if name.startswith("_") else MissingNameError(self._why)


class RuntimeModel:
    """A model run by onnxruntime or Keras, for who asks a ``Sequential`` for answers.

    ``load_model`` makes it where digitlab's own layers cannot express what a file holds. It can be evaluated, read
    with, served and compared; asked for what it does not have, such as its weights, it says so.

    Parameters
    ----------
    path : str or Path
        An ``.onnx``, ``.keras`` or ``.h5`` file.
    why : str
        What digitlab's layers do not have, for people.
    threads : int, optional
        Threads that share onnxruntime's work; all cores by default.

    Attributes
    ----------
    runtime : str
        Who runs it, with its version.
    class_names : tuple of str
        What the classes are called; the position is the label.
    architecture : RuntimeNetwork
        The shape of what it takes and gives; it has no layers.
    digest : str
        A SHA-256 of all that is answered with: the file, and the weights in files beside it.

    Raises
    ------
    RunError
        If the runtime is not installed or refuses the file, or the model does not answer images of digits with classes,
        or takes too long or too much memory.
    """

    def __init__(self, path: str | Path, why: str = "", threads: int | None = None) -> None:
        self.path, self._why = Path(path).absolute(), why
        # One beside others that read photos has a core like them.
        self._threads = threads or (1 if is_apart() else available_threads())
        runtime = _ONNXRUNTIME if self.path.suffix.lower() == ".onnx" else _KERAS
        if not runtime.is_installed():
            raise RunError(
                f"The model {path} cannot be used: {why} To run it through {runtime.name} all the same: pip install "
                f"'digitlab[{runtime.extra}]'"
            )
        self._apart = _Apart(runtime)
        self._scale = OWN
        opened: Opened = self._apart.call(runtime_process.opened, str(self.path), self._threads, source=str(path))
        self._question: Question = opened.question
        self.runtime, self.inputs, self.outputs = opened.runtime, opened.inputs, opened.outputs
        self.digest = opened.digest
        n = opened.question.n_classes
        self.class_names = opened.class_names if len(opened.class_names) == n else usual_names(n)
        self.architecture = RuntimeNetwork(self.path.stem, n, opened.n_parameters, self.sentence())

    def use_device(self, device: str) -> None:
        """Say where it runs; ConfigError for all but the processor, where its runtime does."""
        if device != "cpu":
            raise ConfigError(f"{self.path.name} is answered by {self.runtime}, on the processor; leave out --device.")

    @property
    def name(self) -> str:
        """What people call this network: the file, without its ending."""
        return self.architecture.name

    def sentence(self) -> str:
        """Return who runs it, what it can be used for, and why not for more."""
        why = f", since digitlab's layers do not express it: {self._why}" if self._why else "."
        return f"{self.path.name} runs through {self.runtime}. {_ONLY}{why}"

    def count_params(self) -> int:
        """Return the number of weights."""
        return self.architecture.n_parameters

    def summary(self, print_fn: Callable[[str], None] = print, **others: Any) -> None:
        """Print what it takes and gives, who runs it, and how many parameters it has."""
        print_fn(f"Input: {self.inputs}")
        print_fn(f"Output: {self.outputs}")
        print_fn(f"Total: {self.count_params():,} parameters in {self.name}")
        print_fn(self.sentence())

    def rescaled(self, scale: PixelScale) -> RuntimeModel:
        """Return the same model, which gets pixels of 0 to 1 in this scale."""
        other = object.__new__(RuntimeModel)
        other.__dict__ |= self.__dict__ | {"_scale": scale}
        return other

    def predict(
        self,
        images: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *,
        x: ArrayLike | None = None,
        **others: Any,
    ) -> NDArray[np.float32]:
        """Answer images of digits, as ``Sequential.predict``: float32 ``(n, n_classes)``, rows sum to 1.

        A DataError if the images have another shape or dtype, a NetworkError if the runtime fails or an answer is no
        number, a RunError if it takes too long or too much memory.
        """
        images = asked_images(images, x, others)
        # Of a network only the name and the shape of its input are asked for.
        return self._all(wrap_images(cast(Architecture, self.architecture), images).pixels)

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *,
        return_dict: bool = False,
        **others: Any,
    ) -> list[float] | dict[str, float]:
        """Return loss and accuracy on labelled images, as ``Sequential.evaluate``; ``digitlab.evaluate`` tells more."""
        check_others("evaluate", others)
        labelled = wrap_labelled(cast(Architecture, self.architecture), x, () if y is None else y)
        names = ("loss", "accuracy") if return_dict else None
        return evaluated(self._all(labelled.images.pixels), labelled.labels, verbose, names)

    def _all(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        answers = list(self._answered(pixels.reshape(-1, 28, 28))) if pixels.size else []
        return np.concatenate(answers) if answers else np.zeros((0, self.architecture.n_classes), np.float32)

    def _answered(self, images: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
        scale = self._scale.factor, self._scale.offset
        given = str(self.path), self._threads, self._question, scale, images
        return self._apart.each(runtime_process.answered, *given, source=self.path.name)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the file again; it may be one that reads a photo with it.
        return _again, (str(self.path), self._why, self._scale)

    if not TYPE_CHECKING:  # type checkers shall miss what is missing

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name) if name.startswith("_") else MissingNameError(self.sentence())


def _again(path: str, why: str, scale: PixelScale) -> RuntimeModel:
    return RuntimeModel(path, why).rescaled(scale)
