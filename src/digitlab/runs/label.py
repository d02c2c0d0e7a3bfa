"""The label of a run: a title and a note that people gave it, as text that can do nothing but be read."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from html import escape
from pathlib import Path

from digitlab.data.storage import holding, parse_json, read_ordinary, reason_of, replacing
from digitlab.errors import RunError, StorageError
from digitlab.values import Value

LABEL = "label.json"
LONGEST_TITLE, LONGEST_NOTE = 80, 2_000

# Of the longest note, with every character escaped in JSON.
_MOST_BYTES = 2**15
_MOST_REPORT_BYTES = 64 * 2**20
# What moves the cursor, turns the direction of writing, cannot be seen, or is half a character.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# They shape letters of Persian and Hindi, and families of emoji.
_JOINERS = "\u200c\u200d"
# Letters and signs by their category that nobody sees: fillers of Hangul and Khmer, and the empty pattern of Braille.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Between these, the report tells the label, so that it can be told anew without the report's other parts.
_BEGINS, _ENDS = b"<!--label-->", b"<!--/label-->"


@dataclass(frozen=True, slots=True)
class Label(Value):
    """What people call a run and have noted of it; empty where they have not.

    The title has at most 80 characters on one line, the note at most 2,000. Neither holds control characters or such as
    turn the direction of writing; they may hold anything else, and are to be escaped where they are shown.
    """

    title: str = ""
    note: str = ""

    def of(self, name: str) -> str:
        """Return how a run of that name is called where one is chosen.

        >>> Label("With dropout").of("first"), Label().of("first")
        ('With dropout (first)', 'first')
        """
        return f"{self.title} ({name})" if self.title else name


def plain_title(text: str) -> str:
    r"""Return a text as a title: on one line, without what cannot be seen.

    >>> plain_title(" my\n\u202efirst\x1b  run ")
    'my first run'
    """
    return _told(" ".join(_seen(text).split()))


def plain_note(text: str) -> str:
    r"""Return a text as a note: its lines, without what cannot be seen.

    >>> plain_note("higher rate:\r\n\tdiverged\x07 \n")
    'higher rate:\n diverged'
    """
    return _told("\n".join(_seen(line).rstrip() for line in text.splitlines()).strip())


def _told(text: str) -> str:
    """Return a text that has anything to be seen, else an empty one."""
    return text if any(not c.isspace() and unicodedata.category(c)[0] not in "CM" for c in text) else ""


def _seen(text: str) -> str:
    return unicodedata.normalize("NFC", "".join(c if _is_kept(c) else " " if c.isspace() else "" for c in text))


def _is_kept(c: str) -> bool:
    return c in _JOINERS or (c not in _BLANK and unicodedata.category(c) not in _UNSEEN)


def read_label(run: Path) -> Label:
    """Read the label in a run's directory, which anybody may have written; an empty one where none can be read."""
    try:
        content = parse_json(read_ordinary(run / LABEL, _MOST_BYTES))
    except (OSError, ValueError):
        return Label()
    if not isinstance(content, dict):
        return Label()
    title, note = (text if isinstance(text := content.get(name), str) else "" for name in ("title", "note"))
    return Label(plain_title(title)[:LONGEST_TITLE], plain_note(note)[:LONGEST_NOTE])


def write_label(run: Path, title: str | None = None, note: str | None = None) -> Label:
    """Write the label of a run, whole or not at all; None leaves what was there. Its report tells it, too.

    RunError if a text is too long or the run is gone; StorageError if it cannot be written.
    """
    new_title = None if title is None else _fitting(title, plain_title(title), "title", LONGEST_TITLE)
    new_note = None if note is None else _fitting(note, plain_note(note), "note", LONGEST_NOTE)
    # Not the run's own lock: it is held as long as the run is trained.
    with holding(run.parent):
        before = read_label(run)
        label = Label(before.title if new_title is None else new_title, before.note if new_note is None else new_note)
        if not run.is_dir():
            raise RunError(f"There is no run {run}. See what there is with: digitlab runs")
        try:
            if label == Label():
                (run / LABEL).unlink(missing_ok=True)
            else:
                with replacing(run / LABEL) as file:
                    file.write((json.dumps(label.to_dict(), indent=2) + "\n").encode())
            _tell_in_report(run / "report.html", label, run.name)
        except OSError as error:
            raise StorageError(
                f"The label of {run} cannot be written: {reason_of(error)}. Make room, or check the permissions."
            ) from None
    return label


def _fitting(given: str, plain: str, what: str, most: int) -> str:
    if len(plain) > most:
        raise RunError(f"The {what} of a run has at most {most:,} characters; got {len(given):,}. Shorten it.")
    return plain


def label_html(label: Label, name: str) -> str:
    """Return the heading of a run's report: its title, or its name where it has none, and its note."""
    parts = [f"<h1>{escape(label.title or name)}</h1>"]
    if label.title:
        parts.append(f'<p class="note">{escape(name)}</p>')
    parts += [f'<p class="note">{escape(line)}</p>' for line in label.note.splitlines() if line]
    return f"{_BEGINS.decode()}\n" + "\n".join(parts) + f"\n{_ENDS.decode()}"


def _tell_in_report(report: Path, label: Label, name: str) -> None:
    try:
        content = read_ordinary(report, _MOST_REPORT_BYTES)
    except (OSError, ValueError):
        return  # it has none yet, and will tell the label when it is written
    before, begins, rest = content.partition(_BEGINS)
    _, ends, after = rest.partition(_ENDS)
    if begins and ends:
        with replacing(report) as file:
            file.write(before + label_html(label, name).encode() + after)
