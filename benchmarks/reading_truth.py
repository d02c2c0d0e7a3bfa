"""Folders of pictures with a ``truth.tsv``: what stands on each of them.

The first column is ``file``; the second names the kind of truth:

=========  =======================================================================================
``digit``  one digit 0-9, or ``blank`` where nothing stands
``digits``  the digits of one number, in order
``lines``  the lines of a page, joined by ``|``
``letter``  what no digit looks like: to be refused
=========  =======================================================================================
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

KINDS = ("digit", "digits", "lines", "letter")
TRUTH = "truth.tsv"
BLANK = "blank"


class TruthError(ValueError):
    """A folder has no truth that can be used; the message says what to do."""


@dataclass(frozen=True)
class Item:
    """One picture: its file, the digits on it (a space between lines, empty for none), and the truth as it is told."""

    path: Path
    digits: str
    told: str


@dataclass(frozen=True)
class Truth:
    """A folder: its name, the kind of its truth, and its pictures."""

    name: str
    kind: str
    items: tuple[Item, ...]


def read_truth(folder: Path) -> Truth:
    """Read a folder's ``truth.tsv``; every file in it must be there.

    Raises
    ------
    TruthError
        In a sentence.
    """
    path = folder / TRUTH
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"{path} cannot be read: {error}. A folder to score holds pictures and {TRUTH}.") from None
    if not rows or rows[0][:1] != ["file"] or len(rows[0]) != 2 or rows[0][1] not in KINDS:
        raise TruthError(f"{path} begins with {rows[:1]}; the headings are 'file' and one of {', '.join(KINDS)}.")
    kind = rows[0][1]
    items = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 2:
            raise TruthError(f"Line {number} of {path} has {len(row)} columns; 2 were expected.")
        if not (folder / row[0]).is_file():
            raise TruthError(f"{path} names {row[0]}, and there is no such file. Take the line out, or add the file.")
        digits = _digits(kind, row[1])
        if not (digits.replace(" ", "") or "0").isdecimal() or (kind == "digit" and len(digits) > 1):
            raise TruthError(f"Line {number} of {path} says {row[1]!r}; that is no {kind}.")
        items.append(Item(folder / row[0], digits, row[1]))
    if not items:
        raise TruthError(f"{path} names no files. Add a line for each picture.")
    return Truth(folder.resolve().name, kind, tuple(items))


def _digits(kind: str, told: str) -> str:
    if kind == "letter" or (kind == "digit" and told == BLANK):
        return ""
    return told.replace("|", " ") if kind == "lines" else told
