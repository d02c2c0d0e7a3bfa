"""What the page calls the settings of a training, and how it tells an error that names one as Python does.

The terminal and Python say ``batch_size``, which is what is typed there. On the page it is "Batch size".
"""

from __future__ import annotations

import dataclasses
import re

from digitlab.training.config import TrainConfig

_NAMES = tuple(field.name for field in dataclasses.fields(TrainConfig))
# Within a sentence only what no sentence holds for another reason; at its beginning whatever a rule is about.
_WITHIN = re.compile(rf"\b({'|'.join(name for name in _NAMES if '_' in name)})\b")
_AT_FIRST = re.compile(rf"^({'|'.join(_NAMES)})(?= (?:must|is|has|cannot)\b)")


def label_of(name: str) -> str:
    """Return what the page calls a setting.

    >>> label_of("batch_size"), label_of("train_images")
    ('Batch size', 'Training images')
    """
    words = name.replace("_", " ").replace("train ", "training ")
    return words[:1].upper() + words[1:]


def in_page_words(sentence: str) -> str:
    """Return a sentence with the settings called as the page calls them.

    >>> in_page_words("epochs must be at least 1; got 0.")
    'Epochs must be at least 1; got 0.'
    >>> in_page_words("early_stopping needs validation images; set validation_images above 0.")
    'Early stopping needs validation images; set Validation images above 0.'
    """
    sentence = _AT_FIRST.sub(lambda found: label_of(found[1]), sentence)
    return _WITHIN.sub(lambda found: label_of(found[1]), sentence)
