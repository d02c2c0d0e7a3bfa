"""Numbers: the strokes of a line become numbers of digits, and what is none is told why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.answers import Answers
from digitlab.reading.cuts import Part, parted
from digitlab.reading.lines import StrokeLine
from digitlab.reading.options import ReadingOptions
from digitlab.reading.paths import STRANGERS, Candidate, Piece, best_paths, candidates
from digitlab.reading.strokes import Stroke, joined

__all__ = ["Other", "ReadDigit", "read_lines", "without_doubtful"]

_CERTAIN = 0.97  # a stroke that is so surely one digit is not cut
_GAP = 1.0  # of the height of writing: a wider gap parts two numbers
_GAP_WITH_DOT = 1.7  # the same where a dot or a comma stands in it, as in 70. 497
_WORD_GAP = 0.5  # the same for words, which stand closer than numbers
_FOREIGN = 0.34  # of a word's letters are no digits: then it is a word
_LONE_WIDTH = 1.6  # of the height: a glyph that stands alone in its line may be a wide letter, M or W
_OWN_INK = 0.4  # of a page's ink: where digits have less, only the sure ones count
_SURE = 0.97
_SURELY = 0.05  # less "not a digit" than this
_COMPANY = 0.5  # a digit among so much refused ink is a letter of a word


#: Ink that is refused, the reason, and what the network said of it where it was asked.
Other = tuple[Stroke, str, NDArray[np.float32] | None]


@dataclass(frozen=True, eq=False)
class ReadDigit:
    """A digit with its ink, before it is placed on the photo."""

    stroke: Stroke
    probabilities: NDArray[np.float32]

    @property
    def value(self) -> int:
        return int(np.argmax(self.probabilities[:10]))


def read_lines(
    lines: Sequence[StrokeLine], stroke_px: float, options: ReadingOptions, answers: Answers
) -> list[tuple[list[list[ReadDigit]], list[Other]]]:
    """Read all lines, the network being asked twice for all of them at once: whole strokes, then candidates."""

    def ask(strokes: Sequence[Stroke]) -> NDArray[np.float32]:
        return answers.of_glyphs([stroke.soft for stroke in strokes], center=options.center)

    wholes = ask([stroke for line in lines for stroke in line.strokes])
    position = 0
    cut: list[tuple[list[Part], list[Candidate]]] = []
    for line in lines:
        parts: list[Part] = []
        own = wholes[position : position + len(line.strokes)]
        position += len(line.strokes)
        foreign = _foreign(line, own)
        for source, (stroke, whole) in enumerate(zip(line.strokes, own, strict=True)):
            is_certain = whole[:10].max() > _CERTAIN and stroke.box.width < 0.95 * line.height
            if is_certain or stroke.box.width < 0.4 * line.height or stroke.box.height < 0.5 * line.height:
                parts.append(Part(stroke, source, is_foreign=foreign[source]))
            else:
                parts += parted(stroke, source, line.height, stroke_px, foreign[source])
        cut.append((parts, candidates(parts, line.height)))
    asked = ask([candidate.stroke for _, found in cut for candidate in found])
    results = []
    position = 0
    for line, (parts, found) in zip(lines, cut, strict=True):
        probabilities = asked[position : position + len(found)]
        position += len(found)
        results.append(_read_line(line, parts, found, probabilities, options, answers))
    return results


def without_doubtful(
    lines: Sequence[tuple[list[list[ReadDigit]], list[Other]]], strokes: Sequence[Stroke]
) -> list[tuple[list[list[ReadDigit]], list[Other]]]:
    """Refuse what is not quite sure where most of the ink is no digit: a landscape has shapes like some, too.

    Parameters
    ----------
    lines : sequence
        What ``read_lines`` returned.
    strokes : sequence of Stroke
        All strokes of the page, also those that stand in no line.
    """
    of_digits = sum(float(read.stroke.soft.sum()) for numbers, _ in lines for number in numbers for read in number)
    if of_digits >= _OWN_INK * sum(float(stroke.soft.sum()) for stroke in strokes):
        return list(lines)
    kept = []
    for numbers, others in lines:
        doubtful = [number for number in numbers if min(read.probabilities[:10].max() for read in number) < _SURE]
        more = [(read.stroke, "unsure", read.probabilities) for number in doubtful for read in number]
        kept.append(([number for number in numbers if number not in doubtful], [*others, *more]))
    return kept


def _foreign(line: StrokeLine, wholes: NDArray[np.float32]) -> list[bool]:
    """Say of each stroke whether it stands in a word of which most, taken as it is, is no digit."""
    foreign = [False] * len(line.strokes)
    word: list[int] = []

    def close() -> None:
        tall = [k for k in word if line.strokes[k].box.height > 0.5 * line.height]
        widest = (_LONE_WIDTH if len(line.strokes) == 1 else 0.85) * line.height
        sized = [k for k in tall if line.strokes[k].box.width < widest]
        strange = sum(float(wholes[k, 10]) > 0.5 for k in sized)
        if sized and strange >= _FOREIGN * len(sized):
            for k in word:
                foreign[k] = True

    right = 0
    for k, stroke in enumerate(line.strokes):
        if word and stroke.box.left - right > _WORD_GAP * line.height:
            close()
            word = []
        word.append(k)
        right = max(right, stroke.box.right)
    close()
    return foreign


def _read_line(
    line: StrokeLine,
    parts: Sequence[Part],
    found: Sequence[Candidate],
    probabilities: NDArray[np.float32],
    options: ReadingOptions,
    answers: Answers,
) -> tuple[list[list[ReadDigit]], list[Other]]:
    accepts = None if options.expect is None else re.compile(options.expect).fullmatch
    accept: Callable[[str], bool] | None = None if accepts is None else lambda text: accepts(text) is not None
    is_restricted = accept is not None or options.digits is not None
    pieces = best_paths(parts, found, probabilities, line.height)
    assert pieces is not None  # without expectations every path will do
    chunks = _chunks(pieces, parts, line.height)
    numbers: list[list[ReadDigit]] = []
    others: list[Other] = []
    if is_restricted:
        chosen = [_restricted(chunk, parts, found, probabilities, line.height, options, accept) for chunk in chunks]
        if any(one is None for one in chosen):
            # Perhaps the gaps are within one number.
            whole = best_paths(parts, found, probabilities, line.height, options.digits, accept)
            if whole is not None and not any(_leaves_out(piece, found, probabilities, line.height) for piece in whole):
                chunks, chosen = [whole], [whole]
        chunks = [one or chunk for one, chunk in zip(chosen, chunks, strict=True)]
        unexpected = [one is None for one in chosen]
    else:
        unexpected = [False] * len(chunks)
    for chunk, is_unexpected in zip(chunks, unexpected, strict=True):
        number, rest = _number(chunk, parts, found, probabilities, line.height, options, answers)
        others += rest
        if is_unexpected or (is_restricted and len(number) < sum(piece.value is not None for piece in chunk)):
            others += [(read.stroke, "unexpected", read.probabilities) for read in number]
        elif number:
            numbers.append(number)
    return numbers, others


def _restricted(
    chunk: Sequence[Piece],
    parts: Sequence[Part],
    found: Sequence[Candidate],
    probabilities: NDArray[np.float32],
    height: float,
    options: ReadingOptions,
    accept: Callable[[str], bool] | None,
) -> list[Piece] | None:
    """The best path through the parts of one number that is as expected."""
    if not any(piece.value is not None for piece in chunk):
        return list(chunk)  # only what is no digit: nothing is expected of it
    start, stop = chunk[0].start, chunk[-1].stop
    kept = [k for k, candidate in enumerate(found) if start <= candidate.start and candidate.stop <= stop]
    local = [Candidate(found[k].start - start, found[k].stop - start, found[k].stroke, found[k].prior) for k in kept]
    path = best_paths(parts[start:stop], local, probabilities[kept], height, options.digits, accept)
    if path is None or any(_leaves_out(piece, local, probabilities[kept], height) for piece in path):
        return None
    return [
        Piece(p.start + start, p.stop + start, p.value, kept[p.candidate] if p.candidate >= 0 else -1) for p in path
    ]


def _leaves_out(piece: Piece, found: Sequence[Candidate], probabilities: NDArray[np.float32], height: float) -> bool:
    """Whether a piece is refused that surely is a digit, only because there would be one too many."""
    if piece.value is not None or piece.candidate < 0:
        return False
    is_tall = found[piece.candidate].stroke.box.height > 0.5 * height
    return is_tall and float(probabilities[piece.candidate, 10]) < _SURELY


def _chunks(pieces: Sequence[Piece], parts: Sequence[Part], height: float) -> list[list[Piece]]:
    """Part a line's pieces where the gap between two digits is wide."""
    chunks: list[list[Piece]] = [[]]
    right: int | None = None
    has_dot = False
    waiting: list[Piece] = []
    for piece in pieces:
        if piece.value is None:
            waiting.append(piece)
            has_dot = True
            continue
        boxes = [part.stroke.box for part in parts[piece.start : piece.stop]]
        left = min(box.left for box in boxes)
        if right is not None and left - right > (_GAP_WITH_DOT if has_dot else _GAP) * height:
            chunks[-1] += waiting
            chunks.append([])
        else:
            chunks[-1] += waiting
        waiting, has_dot = [], False
        chunks[-1].append(piece)
        right = max(right or 0, *(box.right for box in boxes))
    chunks[-1] += waiting
    return chunks


def _number(
    chunk: Sequence[Piece],
    parts: Sequence[Part],
    found: Sequence[Candidate],
    probabilities: NDArray[np.float32],
    height: float,
    options: ReadingOptions,
    answers: Answers,
) -> tuple[list[ReadDigit], list[Other]]:
    """Take a path's pieces for digits or for what is refused, with the reason."""
    number: list[ReadDigit] = []
    others: list[Other] = []
    refused_width = 0
    taken = [probabilities[piece.candidate] for piece in chunk if piece.value is not None]
    is_foreign = sum(parts[piece.start].is_foreign for piece in chunk) > 0.5 * len(chunk)
    in_company = (
        not is_foreign
        and sum(answer[:10].max() > 0.8 for answer in taken) >= max(1, 0.5 * (len(taken) - 1))
        and len(taken) > 1
    )
    for piece in chunk:
        stroke = (
            found[piece.candidate].stroke
            if piece.candidate >= 0
            else joined([part.stroke for part in parts[piece.start : piece.stop]])
        )
        answer = probabilities[piece.candidate] if piece.candidate >= 0 else None
        if piece.value is not None and answer is not None:
            if options.expect is not None or options.digits is not None:
                answer = _chosen(answer, piece.value)
            if in_company:
                answer = _in_company(answer)
            if answer[10] > answers.refuse_above:
                others.append((stroke, "not-a-digit", answer))
                refused_width += stroke.box.width
            elif answer[:10].max() < options.min_confidence:
                others.append((stroke, "unsure", answer))
            else:
                number.append(ReadDigit(stroke, answer))
            continue
        high, wide = stroke.box.height / height, stroke.box.width / height
        if high < 0.4 and wide > 1.5 * high and wide > 0.2:
            reason = "dash"
        elif high < 0.5:
            reason = "too-small"
        else:
            reason = "not-a-digit"
            refused_width += stroke.box.width
        others.append((stroke, reason, answer))
    digits_width = sum(read.stroke.box.width for read in number)
    if refused_width > (_COMPANY if is_foreign else 2.0) * digits_width:
        # A word's letters look like digits here and there: l, o, S, B.
        others += [(read.stroke, "not-a-digit", read.probabilities) for read in number]
        number = []
    return number, others


def _in_company(answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correct an answer by where the glyph stands: between digits, what is no digit is rare (Bayes' rule)."""
    changed = answer.copy()
    changed[10] *= STRANGERS
    return np.asarray(changed / changed.sum(), np.float32)


def _chosen(answer: NDArray[np.float32], value: int) -> NDArray[np.float32]:
    """Put the expected digit first where the network had another one before it: they change places."""
    best = int(np.argmax(answer[:10]))
    if best == value:
        return answer
    changed = answer.copy()
    changed[[best, value]] = changed[[value, best]]
    return changed
