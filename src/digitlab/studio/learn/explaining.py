"""The topics, and what they say on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from digitlab.errors import InputError
from digitlab.studio.learn.data_texts import DATA_TOPICS
from digitlab.studio.learn.explanation import Explanation, Topic
from digitlab.studio.learn.facts import Facts
from digitlab.studio.learn.judging_texts import JUDGING_TOPICS
from digitlab.studio.learn.network_texts import NETWORK_TOPICS
from digitlab.studio.learn.reading_texts import READING_TOPICS
from digitlab.studio.learn.training_texts import TRAINING_TOPICS
from digitlab.studio.learn.window_texts import WINDOW_TOPICS

if TYPE_CHECKING:
    from digitlab.studio.page import Page

__all__ = ["TOPICS", "explain", "explanation", "facts_of"]

#: Every topic by its name.
TOPICS: dict[str, Topic] = {
    **DATA_TOPICS,
    **NETWORK_TOPICS,
    **WINDOW_TOPICS,
    **TRAINING_TOPICS,
    **JUDGING_TOPICS,
    **READING_TOPICS,
}

# Where the training that goes on, or is over, is looked at rather than the settings of the next one.
_TABS_OF_THE_TRAINING = ("Training", "Evaluation", "Read")


def facts_of(page: Page) -> Facts:
    """Return the network, settings and data that the page's tab is about."""
    trainer = page.trainer
    if page.tab in _TABS_OF_THE_TRAINING and trainer.state != "idle":
        return Facts(trainer.architecture, trainer.config, page.data)
    return Facts(page.architecture or page.config.build_architecture(), page.config, page.data)


def explanation(topic: str, facts: Facts) -> Explanation:
    """Return what there is to say about a topic.

    Raises
    ------
    InputError
        If there is no such topic.
    """
    if topic not in TOPICS:
        raise InputError(f"There is no text about {topic!r:.100}. There are {', '.join(TOPICS)}.")
    return TOPICS[topic].explain(facts)


def explain(topic: str, page: Page) -> str:
    """Return a short text about a topic as plain paragraphs, an empty line between them.

    Raises
    ------
    InputError
        If there is no such topic.
    """
    return explanation(topic, facts_of(page)).to_text()
