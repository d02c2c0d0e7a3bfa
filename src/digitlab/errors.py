"""What can go wrong, as one tree.

::

    DigitlabError              anything digitlab reports in a sentence
    |-- InputError             what was passed in cannot be used; the terminal exits with 2
    |   |-- DataError          a data set or image file
    |   |-- NetworkError       a network's definition; names the layer
    |   |-- ConfigError        a hyperparameter
    |   |-- RunError           a run directory or checkpoint
    |   `-- MissingNameError   an attribute that Keras' models have; the terminal never meets it
    |-- ExportError            an exported file does not answer as its model does
    |-- StorageError           a folder cannot be written, a disk is full
    `-- TrainingDivergedError  the loss became NaN or infinite

Every message says what was wrong, what was expected and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return the sentence, with a space before it, that offers the nearest of the known names; empty if none is near.

    >>> did_you_mean("adm", ["sgd", "adam"])
    " Did you mean 'adam'?"
    """
    import difflib  # here, since most commands need none

    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


class DigitlabError(Exception):
    """Base of every error that digitlab raises on purpose."""


class InputError(DigitlabError, ValueError):
    """Something that was passed in cannot be used."""


class DataError(InputError):
    """A data set, an IDX file or an image cannot be used."""


class NetworkError(InputError):
    """A network's definition is wrong; the message names the layer.

    ``layer`` is that layer's place, from 1, or 0 where the network as a whole is wrong; ``field`` the setting that it
    is about, or empty; ``sentence`` the message without the layer.
    """

    def __init__(self, sentence: str = "", *, field: str = "", layer: int = 0, name: str = "") -> None:
        super().__init__(f"Layer {layer}, {name}: {sentence}" if layer else sentence)
        self.sentence, self.field, self.layer = sentence, field, layer


class ConfigError(InputError):
    """A hyperparameter or option has a value that cannot be used."""


class RunError(InputError):
    """A run directory or a checkpoint is missing, damaged or in the way."""


class MissingNameError(InputError, AttributeError):
    """An attribute that models have elsewhere is missing here; the message says what to write instead."""


class ExportError(DigitlabError):
    """An exported file does not answer as its model does; nothing was written."""


class StorageError(DigitlabError):
    """Something could not be written; nothing that existed was lost."""


class TrainingDivergedError(DigitlabError):
    """The loss became NaN or infinite; the last good weights were kept."""
