"""What digitlab's words mean, each in a few sentences and with the numbers of a network at hand."""

from digitlab.explanation.facts import Explanation
from digitlab.explanation.topics import TOPICS, explain

__all__ = ["TOPICS", "Explanation", "explain"]
