"""The images that two runs answer differently, narrowed down by who is right and by a cell of their matrices."""

from __future__ import annotations

from digitlab.evaluation.confusion import MISTAKES, Selection
from digitlab.studio.comparing import Comparison, Disagreement

__all__ = ["EVERYBODY", "NOBODY", "ONLY_A", "ONLY_B", "WHO", "disagreeing", "sentence"]

EVERYBODY, ONLY_A, ONLY_B, NOBODY = "all", "a", "b", "none"

#: Who is right, as people choose it.
WHO = {EVERYBODY: "all", ONLY_A: "only A is right", ONLY_B: "only B is right", NOBODY: "both are wrong"}


def disagreeing(comparison: Comparison, selection: Selection, who: str = EVERYBODY) -> list[Disagreement]:
    """Return the disagreements that belong to a cell, row or column of either matrix, in their order.

    Parameters
    ----------
    comparison : Comparison
        Of two runs.
    selection : Selection
        With ``predicted``, what one of the two answered; `MISTAKES` for all.
    who : str
        A key of `WHO`.
    """
    found = []
    for d in comparison.disagreements:
        right = ONLY_A if d.a.label == d.label else ONLY_B if d.b.label == d.label else NOBODY
        if (
            who in (EVERYBODY, right)
            and selection.label in (None, d.label)
            and selection.predicted in (None, d.a.label, d.b.label)
        ):
            found.append(d)
    return found


def sentence(comparison: Comparison, selection: Selection, who: str, n: int) -> str:
    """Say which images are shown and how many."""
    names = comparison.a.evaluation.class_names
    parts = []
    if selection.label is not None:
        parts.append(f"label {names[selection.label]}")
    if selection.predicted is not None:
        parts.append(f"predicted {names[selection.predicted]} by one of the two")
    if who != EVERYBODY:
        parts.append(WHO[who])
    if selection == MISTAKES and who == EVERYBODY:
        parts.append("they disagree")
    return f"{', '.join(parts)}: {n:,} image{'' if n == 1 else 's'}"
