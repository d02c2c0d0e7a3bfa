"""Ship the reader's network: copy it from the run of ``digitlab train --preset reader`` and write its card.

    digitlab train --preset reader --out runs --name reader
    python benchmarks/reader_card.py runs/reader

Every figure of the card is measured here or was written down by the run. The test set is looked at here, once, and
nothing is chosen by it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from card import Shipped, filled, share
from digitlab.data.mnist import MnistData, Split
from digitlab.metrics import calibration_bins, expected_calibration_error
from digitlab.training.calibration import LOST_DIGITS, REFUSED_DIGITS, with_temperature
from digitlab.training.config import TrainConfig, command_for
from digitlab.training.nondigits import KINDS, Nondigits, make_nondigits

N_NONDIGITS = 5_000
# So that these are not the validation images by which temperature and threshold were chosen.
SEED = 1_000


@dataclass(frozen=True)
class DigitFigures:
    """How a network fares on digits, all eleven answers allowed."""

    n: int
    n_correct: int
    n_none: int
    n_refused: int
    n_correct_of_ten: int
    calibration_error: float
    uncalibrated_error: float


@dataclass(frozen=True)
class KindFigures:
    """How a network fares on one kind of what is no digit."""

    name: str
    n: int
    n_refused: int
    auroc: float


def digit_figures(raw: NDArray[np.float32], split: Split, temperature: float, refuse_above: float) -> DigitFigures:
    """Compare answers with labels."""
    labels = split.labels.astype(np.int64)
    answers = with_temperature(raw, temperature)
    return DigitFigures(
        n=len(labels),
        n_correct=int((answers.argmax(1) == labels).sum()),
        n_none=int((answers.argmax(1) == 10).sum()),
        n_refused=int((answers[:, 10] > refuse_above).sum()),
        n_correct_of_ten=int((answers[:, :10].argmax(1) == labels).sum()),
        calibration_error=expected_calibration_error(calibration_bins(answers, labels)),
        uncalibrated_error=expected_calibration_error(calibration_bins(raw, labels)),
    )


def auroc(of_others: NDArray[np.float64], of_digits: NDArray[np.float64]) -> float:
    """Return how often one of the others gets a higher number than a digit; ties count half (Mann and Whitney 1947).

    Examples
    --------
    >>> auroc(np.array([0.9, 0.8]), np.array([0.1, 0.85]))
    0.75
    """
    digits = np.sort(of_digits)
    below, upto = (np.searchsorted(digits, of_others, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(digits))


def kind_figures(
    others: Nondigits, of_others: NDArray[np.float64], of_digits: NDArray[np.float64], refuse_above: float
) -> list[KindFigures]:
    """Return the figures of every kind, and of all together."""
    masks = {name: others.kinds == k for k, name in enumerate(KINDS)} | {"all": np.ones(len(others), bool)}
    return [
        KindFigures(name, int(m.sum()), int((of_others[m] > refuse_above).sum()), auroc(of_others[m], of_digits))
        for name, m in masks.items()
    ]


def card(
    words: dict[str, Any], figures: dict[str, DigitFigures], kinds: Sequence[KindFigures], calibration: dict[str, str]
) -> str:
    """Return the card as Markdown, with the figures of the validation and the test digits and of what is no digit.

    ``calibration`` holds the texts of the checkpoint's metadata.
    """
    validation, test = figures["validation"], figures["test"]
    rows = [
        ("images", lambda f: f"{f.n:,}"),
        ("right", lambda f: share(f.n_correct, f.n)),
        ('answered "not a digit"', lambda f: f"{f.n_none}"),
        ("right if only digits may be answered", lambda f: share(f.n_correct_of_ten, f.n)),
        ("expected calibration error, 15 bins", lambda f: f"{100 * f.calibration_error:.2f} %"),
        ("the same before the temperature", lambda f: f"{100 * f.uncalibrated_error:.2f} %"),
        ("refused at the threshold", lambda f: share(f.n_refused, f.n)),
    ]
    config = TrainConfig.from_dict(words["config"])
    return filled(
        _CARD,
        words | {"command": command_for(config)},
        # As training/material.py has it: shares of all images, of which the set's digits are the rest.
        n_variants=round(config.train_images * config.variants / (1 - config.not_a_digit - config.variants)),
        n_others=words["nondigits"]["n_training"],
        load_s=words["timings"]["load"],
        cost=100 * REFUSED_DIGITS,
        lost=100 * LOST_DIGITS,
        n_made=N_NONDIGITS,
        calibration=calibration,
        digits="\n".join(f"| {name} | {cell(validation)} | {cell(test)} |" for name, cell in rows),
        kinds="\n".join(f"| {k.name} | {k.n:,} | {share(k.n_refused, k.n)} | {k.auroc:.4f} |" for k in kinds),
    )


_CARD = """\
# The reader's network

Answers a 28 x 28 image with eleven probabilities: the digits 0 to 9, and last that it is no digit. {n_parameters:,}
parameters, {n_bytes:,} bytes, float32, no pickle.

This card is generated by `python benchmarks/reader_card.py RUN`: every figure is measured by it, or was written
down by the run.

## What it is for

Digits that people wrote, as `digitlab read` cuts them out of a photo and frames them (`reading/frame.py`): bright
ink on dark, fitted into 20 x 20 pixels, the centre of mass in the middle. It is not for letters, not for photos as
a whole, and not for decisions about people.

## What it is, and from what

| | |
|---|---|
| network | `{network}` of the zoo: convolution 5 x 5, pooling, two of 3 x 3, pooling, 256 units, dropout, 11 units |
| digits | the first 55,000 of MNIST's training images; the last 5,000 chose temperature and threshold |
| variants | {n_variants:,} made from those digits: flags, bars, tails drawn on; other pens, lines around ... |
| no digit | {n_others:,} images that the trainer made: see below |
| augmentation | anew for every image and epoch: `engine/augmentation.py`; less and less in the second half |
| command | `{command}` (seed 0) |
| took | {minutes:.0f} minutes to train and {load_s:.0f} s to make images; {where[threads]} threads, not alone |
| machine | {where[cores]} cores of {where[processor]}, {where[system]} |
| with | digitlab {where[digitlab]}, Python {where[python]}, NumPy {where[numpy]}, Numba {where[numba]} |

What is no digit: letters from {n_fonts} fonts, letters from strokes of the trainer's own, scribbles, lines, signs,
dots, texture, and pieces and joins of MNIST's training digits. Nothing was learned from anybody's handwriting but
MNIST's.

## How good it is

All eleven answers are allowed: a digit that is answered "not a digit" counts as wrong. In brackets 95 % intervals
(Wilson). Nothing was chosen by the test digits.

| | validation digits | test digits |
|---|---|---|
{digits}

Temperature {calibration[temperature]}: the least cross-entropy on the validation digits (Guo et al. 2017). Threshold
{calibration[refuse_above]} on the probability of "not a digit", after the temperature: the least that refuses at
most {cost:g} % of the validation digits. Both stand in the file's metadata as `temperature` and `refuse_above`. The
eleventh logit holds a bias of {calibration[bias_of_not_a_digit]}, by which "not a digit" is the likeliest answer to at
most {lost:g} % of the validation digits; the reader takes it back with the threshold's odds.

What the threshold refuses, of {n_made:,} images made anew from validation digits, the letters from fonts that
training never saw:

| kind | images | refused | area under the ROC against validation digits |
|---|---|---|---|
{kinds}

## Limits

- Letters that people write as digits (O, l, I, S, Z, B, b, q, g ...) are not among what is no digit: they are
  answered as digits.
- A standing line is a one and a ring is a nought, whatever they were meant to be.
- MNIST's writers lived in one country. Ones with flags, sevens with bars and nines with tails were added by drawing;
  other habits (a nought with a stroke through it, an eight of two parts) were not.
- It knows MNIST's frame. Paper, light, a rotation of more than about 20 degrees and cutting digits apart are the
  reader's business.
- Two digits that touch are refused, not read; a digit with part of another is often not refused.

## Licence

The weights are derived from the MNIST database by Yann LeCun and Corinna Cortes
(http://yann.lecun.com/exdb/mnist/), which is available under Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA
3.0, https://creativecommons.org/licenses/by-sa/3.0/), and are available under the same licence. Changes: images
were augmented, and a network was trained on them. See `data/files/ATTRIBUTION.md`.

## Fonts

The letters of the training set were drawn from these, by Debian package; no glyph is stored in the network. With
fewer fonts the recipe works as well, and gives another network.

{fonts}
"""


def main(path: str) -> None:
    """Copy the model of a run into the package and write its card."""
    shipped, data = Shipped(path), MnistData.load()
    calibration = shipped.checkpoint.metadata
    temperature, refuse_above = (float(calibration[name]) for name in ("temperature", "refuse_above"))
    figures = {
        split.name: digit_figures(shipped.model.predict(split.images), split, temperature, refuse_above)
        for split in (data.validation, data.test)
    }
    others = make_nondigits(N_NONDIGITS, data.validation, seed=SEED)
    of_others, of_digits = (
        with_temperature(shipped.model.predict(images), temperature)[:, 10]
        for images in (others.images, data.validation.images)
    )
    kinds = kind_figures(others, of_others, of_digits, refuse_above)
    shipped.ship("reader", "MODEL_CARD.md", card(shipped.words, figures, kinds, calibration))


if __name__ == "__main__":
    main(*sys.argv[1:])
