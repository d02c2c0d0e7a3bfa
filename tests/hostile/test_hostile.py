"""Ten thousand mutated inputs over all parsers: each gives a result or digitlab's own error, in time and memory.

``make soak`` tries more of them, with another seed each time, for as long as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.inputs import PARSERS
from tests.hostile.page_events import every_event
from tests.hostile.rounds import N_EVENTS, N_INPUTS, PROGRAM, found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("parser", PARSERS)
def test_mutated_inputs_give_a_result_or_an_error_of_digitlab(tmp_path: Path, parser: str) -> None:
    problems = found(parser, 1, tmp_path)
    shown = "\n".join(problems[:40])
    assert not problems, f"{len(problems)} inputs; python -m {PROGRAM} PARSER SEED NUMBER shows one:\n{shown}"


def test_there_are_ten_thousand_of_them() -> None:
    assert N_INPUTS >= 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_events_that_no_browser_sends_are_answered_or_passed_over(tmp_path: Path) -> None:
    assert every_event(1, N_EVENTS // 2, tmp_path) == []
