"""Every term that can be explained, and the door to what is said of it."""

from __future__ import annotations

import re

from digitlab.data.mnist import MnistData
from digitlab.errors import InputError, did_you_mean
from digitlab.explanation.facts import Explanation, Facts, Topic
from digitlab.explanation.image_texts import DATA_TOPICS, READING_TOPICS
from digitlab.explanation.judging_texts import JUDGING_TOPICS
from digitlab.explanation.network_texts import NETWORK_TOPICS
from digitlab.explanation.training_texts import TRAINING_TOPICS
from digitlab.network.architecture import Architecture
from digitlab.training.config import TrainConfig

#: What there is to learn, under headings.
GROUPS: dict[str, dict[str, Topic]] = {
    "The images": DATA_TOPICS,
    "The network": NETWORK_TOPICS,
    "Training": TRAINING_TOPICS,
    "How good it is": JUDGING_TOPICS,
    "Reading own digits": READING_TOPICS,
}

#: Every topic by its name.
TOPICS: dict[str, Topic] = {name: topic for group in GROUPS.values() for name, topic in group.items()}


def explain(
    term: str,
    config: TrainConfig | None = None,
    *,
    architecture: Architecture | None = None,
    data: MnistData | None = None,
) -> Explanation:
    """Explain a term, in general and with the numbers of a network.

    Parameters
    ----------
    term : str
        A name of `TOPICS` or its title; upper case, spaces and hyphens do not matter.
    config : TrainConfig, optional
        The settings whose numbers are told; the codelab's by default.
    architecture : Architecture, optional
        The network whose numbers are told; by default the one that ``config`` names.
    data : MnistData, optional
        The images; the packaged MNIST by default.

    Returns
    -------
    Explanation
        Printed, it is paragraphs with an empty line between them.

    Raises
    ------
    InputError
        If there is no such term.

    Examples
    --------
    >>> explain("Max-Pooling").here[0]
    'max_pooling2d takes the largest of every 2 × 2 window: 24 × 24 × 8 = 4,608 numbers become 12 × 12 × 8 = 1,152.'
    """
    topic = TOPICS[find_topic(term)]
    config = TrainConfig() if config is None else config
    facts = Facts(
        config.build_architecture() if architecture is None else architecture,
        config,
        MnistData.load() if data is None else data,
    )
    return topic.explain(facts)


def find_topic(term: str) -> str:
    """Return the name of the topic that a term means.

    Raises
    ------
    InputError
        If there is none; it tells which may have been meant.

    Examples
    --------
    >>> find_topic("learning rate"), find_topic("Over-fitting")
    ('learning_rate', 'overfitting')
    """
    words = {_plain(topic.title): name for name, topic in TOPICS.items()} | {_plain(name): name for name in TOPICS}
    asked = _plain(term)
    if asked in words:
        return words[asked]
    # "loss" is no name, but stands in the title of one.
    titled = [name for word, name in words.items() if len(asked) > 2 and asked in word]
    near = f" Did you mean {titled[0]!r}?" if titled else did_you_mean(asked, TOPICS)
    others = near or f" There are {', '.join(TOPICS)}."
    raise InputError(f"There is no text about {term!r:.100}.{others}")


def _plain(term: str) -> str:
    return re.sub(r"[\W_]+", "", term.lower())
