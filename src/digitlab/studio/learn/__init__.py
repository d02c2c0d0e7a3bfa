"""Short texts about what one sees, with the numbers of the network and settings at hand."""

from digitlab.studio.learn.explaining import TOPICS, explain, explanation, facts_of

__all__ = ["TOPICS", "explain", "explanation", "facts_of"]
