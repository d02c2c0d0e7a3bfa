"""``digitlab learn``: terms explained at the terminal."""

from __future__ import annotations

from typing import Any

from digitlab.explanation import TOPICS


def test_without_a_term_all_are_listed_with_their_titles(call: Any) -> None:
    outcome = call("learn")
    assert outcome.code == 0
    assert all(name in outcome.out and topic.title in outcome.out for name, topic in TOPICS.items())
    assert call("learn", "--json").json() == {name: topic.title for name, topic in TOPICS.items()}


def test_a_term_of_two_words_is_explained_with_what_leads_on(call: Any) -> None:
    outcome = call("learn", "max", "pooling")
    assert outcome.code == 0
    assert "Max-pooling keeps the largest number of every window" in outcome.out
    assert "In codelab_cnn" in outcome.out
    assert "See also: stride, convolution" in outcome.out


def test_numbers_are_those_of_the_network_that_is_asked_for(call: Any) -> None:
    document = call("learn", "filter", "--network", "fast_cnn", "--json").json()
    assert (document["term"], document["network"]) == ("filter", "fast_cnn")
    assert "24 filters of 5 × 5" in document["here"][0]
    assert document["see"] == ["convolution", "relu"]


def test_an_unknown_term_is_an_error_that_tells_the_right_one(call: Any) -> None:
    outcome = call("learn", "convolutoin")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Did you mean 'convolution'?" in outcome.err
