"""Every term that can be explained, and the door to what is said of it: terms.toml's text, and the numbers at hand."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitlab.data.mnist import MnistData
from digitlab.errors import InputError, did_you_mean
from digitlab.explanation import terms
from digitlab.explanation.facts import Facts
from digitlab.network.architecture import Architecture
from digitlab.training.config import TrainConfig

_TERMS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("terms.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of a term; plain text throughout.

    Attributes
    ----------
    text : tuple of str
        Paragraphs that hold for every network.
    here : tuple of str
        Paragraphs with the numbers of the network and settings at hand.
    formula : str
        One line, or nothing.
    """

    text: tuple[str, ...]
    here: tuple[str, ...] = ()
    formula: str = ""

    def __str__(self) -> str:
        """Return the paragraphs, an empty line between them."""
        formula = (self.formula,) if self.formula else ()
        return "\n\n".join((self.text[0], *formula, *self.text[1:], *self.here))


@dataclass(frozen=True, slots=True)
class Topic:
    """A term with its title, and which other topics lead on."""

    name: str
    title: str
    see: tuple[str, ...]

    def explain(self, facts: Facts) -> Explanation:
        """Return what there is to say of it."""
        name = self.name
        if name == "data_source" and facts.config.data is not None:
            name = "own_data"
        if name == "optimizer" and facts.config.optimizer != "sgd":
            name = "adam"
        told = getattr(terms, self.name)(facts)
        here = (told,) if isinstance(told, str) else tuple(told)
        return Explanation(_paragraphs(_TERMS[name]["text"]), here, _TERMS[name].get("formula", ""))


def beginning(name: str) -> str:
    """Return the first paragraph of what is said of a topic, for places where there is no room for more."""
    return _paragraphs(_TERMS[name]["text"])[0]


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(paragraph.replace("\n", " ") for paragraph in text.strip().split("\n\n"))


#: Every topic by its name.
TOPICS: dict[str, Topic] = {
    name: Topic(name, term["title"], tuple(term["see"])) for name, term in _TERMS.items() if "title" in term
}

#: What there is to learn, under headings.
GROUPS: dict[str, dict[str, Topic]] = {
    group: {name: topic for name, topic in TOPICS.items() if _TERMS[name]["group"] == group}
    for group in dict.fromkeys(_TERMS[name]["group"] for name in TOPICS)
}


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
        If there is no such term, or the network takes images of any size: its numbers depend on them.

    Examples
    --------
    >>> explain("Max-Pooling").here[0]
    'max_pooling2d takes the largest of every 2 × 2 window: 24 × 24 × 8 = 4,608 numbers become 12 × 12 × 8 = 1,152.'
    """
    topic = TOPICS[find_topic(term)]
    config = TrainConfig() if config is None else config
    architecture = config.build_architecture() if architecture is None else architecture
    if architecture.answers_maps:
        raise InputError(
            f"What is told of a network depends on the size of its images, and {architecture.name} takes images of any "
            "size; name another, such as codelab_cnn."
        )
    return topic.explain(Facts(architecture, config, MnistData.load() if data is None else data))


def lesson(term: str, network: str = "codelab_cnn") -> dict[str, Any]:
    """Return what is said of a term with the numbers of a named network, as JSON has it at every door."""
    name = find_topic(term)
    config = TrainConfig(network=network)
    architecture = config.build_architecture()
    told = explain(name, config, architecture=architecture)
    document = {"term": name, "title": TOPICS[name].title, "text": list(told.text), "formula": told.formula}
    return document | {"network": architecture.name, "here": list(told.here), "see": list(TOPICS[name].see)}


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
