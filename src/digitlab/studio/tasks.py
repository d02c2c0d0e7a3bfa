"""The guided path: six short tasks for after the first run, and how far a visitor has come with them.

What they say is in tasks.toml; whether one is done is found out in task_checks.py, and task_card.py shows them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from digitlab.data.storage import parse_json
from digitlab.values import Value

_WORDS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("tasks.toml").read_text("utf-8"))

#: How the tasks stand on the page: not offered yet, as a line below, as a card, or put away.
VIEWS = ("waiting", "folded", "open", "off")
# What a browser keeps has some 100 characters.
_MOST_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class Task:
    """One task; all its words are plain text, and a button that is not there is ""."""

    name: str
    title: str
    why: str
    hint: str
    learned: str
    tab: str
    go: str
    set_up: str = ""


#: The tasks by their names, in their order.
TASKS: dict[str, Task] = {
    name: Task(name, **{key: " ".join(text.split()) for key, text in words.items()}) for name, words in _WORDS.items()
}
#: Their names, which lesson links and what browsers keep rely on.
TASK_IDS = tuple(TASKS)


@dataclass(frozen=True, slots=True)
class Progress(Value):
    """How far somebody is: the names of the tasks that are done, the one that is looked at, and how they are shown.

    >>> progress = Progress().with_done("rate")
    >>> progress.done, progress.next
    (('rate',), 'predict')
    >>> Progress.from_browser(progress.to_json()) == progress
    True
    >>> Progress.from_browser("[" * 10_000) == Progress()
    True
    """

    done: tuple[str, ...] = ()
    at: str = TASK_IDS[0]
    view: str = VIEWS[0]

    @property
    def next(self) -> str:
        """The first task that is not done; "" when all are."""
        return next((name for name in TASK_IDS if name not in self.done), "")

    def with_done(self, name: str) -> Progress:
        """Return it with another task done."""
        return replace(self, done=tuple(known for known in TASK_IDS if known == name or known in self.done))

    def to_json(self) -> str:
        """Return what a browser keeps."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_browser(cls, kept: Any) -> Self:
        """Read what a browser has kept, which may be anything; what cannot be used is as at the beginning."""
        if not isinstance(kept, str) or len(kept) > _MOST_CHARACTERS:
            return cls()
        try:
            values = parse_json(kept)
        except ValueError:
            return cls()
        if not isinstance(values, Mapping):
            return cls()
        done, at, view = values.get("done"), values.get("at"), values.get("view")
        return cls(
            tuple(name for name in TASK_IDS if isinstance(done, list) and name in done),
            at if isinstance(at, str) and at in TASKS else TASK_IDS[0],
            view if isinstance(view, str) and view in VIEWS else VIEWS[0],
        )
