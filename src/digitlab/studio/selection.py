"""Which images somebody asked to see: a cell, a row or a column of a confusion matrix, or all mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digitlab.evaluation.markup import percent
from digitlab.values import NOT_A_DIGIT

__all__ = ["MISTAKES", "Selection", "plural"]


@dataclass(frozen=True, slots=True)
class Selection:
    """A question to the answers of one evaluation.

    Attributes
    ----------
    label : int or None
        Only images with this label (a row of the matrix).
    predicted : int or None
        Only images that were answered so (a column). With a label too, one cell; with neither, all mistakes.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> Selection(label=1).indices(np.array([0, 1, 1]), probabilities).tolist()
    [2, 1]
    """

    label: int | None = None
    predicted: int | None = None

    @classmethod
    def from_page(cls, args: Any, n_classes: int) -> Self | None:
        """Read what a browser sent, which may be anything; None where it is no selection.

        Examples
        --------
        >>> Selection.from_page({"label": 4, "predicted": 9}, 10)
        Selection(label=4, predicted=9)
        >>> Selection.from_page({"label": 12, "predicted": None}, 10) is None
        True
        """
        if not isinstance(args, Mapping):
            return None
        numbers = [args.get("label"), args.get("predicted")]
        for number in numbers:
            if number is not None and (type(number) is not int or not 0 <= number < n_classes):
                return None
        return cls(*numbers)

    def indices(self, labels: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.intp]:
        """Return which images are meant: mistakes first, the most confident first, then the least sure right answers.

        Parameters
        ----------
        labels : integer (n,)
            True classes.
        probabilities : float (n, n_classes)
            Answers to the same images.

        Returns
        -------
        intp (m,)
            Positions among the ``n`` images, each at most once; ties in the order of the images.
        """
        predicted = probabilities.argmax(axis=1)
        wrong = predicted != labels
        meant = wrong.copy() if self == MISTAKES else np.ones(len(labels), dtype=bool)
        if self.label is not None:
            meant &= labels == self.label
        if self.predicted is not None:
            meant &= predicted == self.predicted
        chosen = np.flatnonzero(meant)
        confidence = probabilities[chosen, predicted[chosen]]
        # One key for both halves: mistakes get -confidence - 2, so they come before every right answer.
        key = np.where(wrong[chosen], -confidence - 2, confidence)
        order: NDArray[np.intp] = chosen[np.argsort(key, kind="stable")]
        return order

    def sentence(self, matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
        """Say what is selected and how many images that are.

        Examples
        --------
        >>> Selection(label=0, predicted=1).sentence([[9, 1], [2, 8]], ("Zero", "Six"))
        'label Zero, predicted Six: 1 image, 10.0 % of the Zeros'
        >>> Selection(predicted=1).sentence([[9, 1], [2, 8]], ("Zero", "Six"))
        'predicted Six: 9 images, 88.9 % of them right'
        """
        n_row = 0 if self.label is None else sum(matrix[self.label])
        if self.label is not None and self.predicted is not None:
            n = matrix[self.label][self.predicted]
            return (
                f"label {names[self.label]}, predicted {names[self.predicted]}: {_images(n)}, "
                f"{_part(n, n_row)} of the {plural(names[self.label])}"
            )
        if self.label is not None:
            right = matrix[self.label][self.label]
            return f"label {names[self.label]}: {_images(n_row)}, {_part(right, n_row)} of them answered rightly"
        if self.predicted is not None:
            n_column = sum(row[self.predicted] for row in matrix)
            right = matrix[self.predicted][self.predicted]
            return f"predicted {names[self.predicted]}: {_images(n_column)}, {_part(right, n_column)} of them right"
        n_all = sum(map(sum, matrix))
        n_wrong = n_all - sum(row[i] for i, row in enumerate(matrix))
        return f"mistakes: {n_wrong:,} of {_images(n_all)}, the most confident first"


#: All wrong answers.
MISTAKES = Selection()


def plural(name: str) -> str:
    """Return the name of a class for several of it.

    Examples
    --------
    >>> plural("Four"), plural("Six")
    ('Fours', 'Sixes')
    """
    if name == NOT_A_DIGIT:
        return "images of no digit"
    return name + ("es" if name.lower().endswith(("s", "x", "sh", "ch")) else "s")


def _images(n: int) -> str:
    return f"{n:,} image" + ("" if n == 1 else "s")


def _part(n: int, whole: int) -> str:
    return percent(n / whole if whole else 0.0, 1)
