"""What the page makes of explanations."""

from __future__ import annotations

import re
from pathlib import Path

import digitlab as dl
from digitlab import studio
from digitlab.explanation import TOPICS, Explanation
from digitlab.explanation.facts import Facts
from digitlab.network import Architecture, Dense, Flatten
from digitlab.studio.widgets.card import as_html
from digitlab.training.config import TrainConfig


def test_html_escapes_what_anybody_may_have_named(mnist: dl.MnistData) -> None:
    hostile = Architecture([Flatten(), Dense(10, activation="softmax")], name="<script>alert(1)</script>")
    for topic in TOPICS.values():
        assert "<script" not in as_html(topic.explain(Facts(hostile, TrainConfig(), mnist)))
    assert "&lt;script&gt;" in as_html(TOPICS["network"].explain(Facts(hostile, TrainConfig(), mnist)))


def test_formula_follows_the_first_paragraph_and_numbers_come_last() -> None:
    html = as_html(Explanation(("One.", "Two."), ("Three.",), "a < b"))
    assert re.sub(r"(<[^>]*>)+", "|", html) == "|One.|a &lt; b|Two.|In your network|Three.|"


def test_every_card_that_offers_a_text_has_one() -> None:
    folder = Path(studio.__file__).parent
    asked = {
        (path.name, topic)
        for path in folder.rglob("*.py")
        for topic in re.findall(r'\bhelp="([^"]+)"', path.read_text("utf-8"))
    }
    assert asked
    assert [(name, topic) for name, topic in sorted(asked) if topic not in TOPICS] == []
