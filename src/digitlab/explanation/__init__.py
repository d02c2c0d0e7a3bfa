"""What digitlab's words mean, each in a few sentences and with the numbers of a network at hand."""

from digitlab.explanation.topics import TOPICS, Explanation, explain

__all__ = ["TOPICS", "Explanation", "explain"]
