"""Of what pictures the published figures of reading are, and what is known not to work."""

#: What the folders hold that the published figures are of, where they come from, and their licence.
ORIGINS = {
    "composed": (
        "numbers of 1 to 8 digits composed from MNIST's test digits, many of them touching, on paper with a shadow",
        "`python benchmarks/reading_composed.py composed`",
        "CC BY-SA 3.0",
    ),
    "drawn": (
        "single digits drawn on a computer, 28 x 28, not normalised",
        "[hwd-1000-dataset](https://github.com/niklashenning/hwd-1000-dataset), 200 of it",
        "MIT",
    ),
    "cells": (
        "colour photos of sudoku cells, printed, handwritten and blank",
        "[sudoku-scanner](https://github.com/AlexKubiesa/sudoku-scanner), validation split",
        "MIT",
    ),
    "letters": (
        "handwritten letters that no digit looks like, to be refused",
        "[CHoiCe-Dataset](https://github.com/skyatmoon/CHoiCe-Dataset), part of it",
        "none stated",
    ),
    "strings": (
        "amounts from bank cheques, with touching digits, background, dots and dashes",
        "[Labeled_ORAND-CAR-A](https://github.com/Fzkuji/Labeled_ORAND-CAR-A), the first 200 by name",
        "MIT",
    ),
    "pages": (
        "a phone photo of 20 digits and four digits drawn on a computer",
        "[tensorflow-mnist](https://github.com/opensourcesblog/tensorflow-mnist)",
        "none stated",
    ),
}

#: What is known not to work, in words.
LIMITS = """\
- A digit's answer does not depend on the meaning of a number: nothing adds up amounts or knows a calendar.
- A 1 drawn as a plain stroke and a ruled line's rest, a dash or a slash are alike; the digits beside decide.
- Letters that have a digit's form (O, l, I, S, Z, B, q) are read as that digit where they stand alone; in a word,
  among other letters, they are refused.
- Numbers are read in horizontal lines. Pages are recognised upright or turned by 90, 180 or 270 degrees with at most
  20 degrees of skew; lines in several directions on one page are not.
- A decimal point or comma is refused as a speck, never read: `12.50` is read as `1250` or as two numbers.
- Ink that covers other ink (a stamp over a number, a digit struck out) is not taken apart.
- Digits lower than about 10 pixels of the photo have too few pixels; photos are worked on with 2,000 pixels a side."""
