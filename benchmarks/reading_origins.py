"""Of what pictures the published figures of reading are, which may be shown, and what is known not to work."""

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
    "tgtony_pages": (
        "scans of A4 pages in one hand, marker and thin pen",
        "[OCR-Handwritten-Numbers](https://github.com/TGtony/OCR-Handwritten-Numbers)",
        "none stated",
    ),
    "aiano_photos": (
        "phone photos with a strong vignette, brush pen and pencil",
        "[handwriting_digit_recognition](https://github.com/Aiano/handwriting_digit_recognition)",
        "none stated",
    ),
    "kenya_tallies": (
        "parts of photographed tally forms by some 17 hands; rules run into the digits, security print lies behind",
        "[voteTallyKE](https://github.com/AustinGTI/voteTallyKE)",
        "none stated",
    ),
    "wicht_sudoku": (
        "phone photos of newspaper sudokus, printed and filled in by hand, 3 of 4 turned",
        "[sudoku_dataset](https://github.com/wichtounet/sudoku_dataset) by Baptiste Wicht",
        "CC BY 4.0",
    ),
    "few_pages_dev": (
        "a dark photo of a column, a photo of two lines, a 10 x 10 scan",
        "[Hand-Written-Digit-Recognition](https://github.com/vinay0410/Hand-Written-Digit-Recognition), "
        "[Handwritten-Number-Recognition-With-Image-Segmentation]"
        "(https://github.com/SparshaSaha/Handwritten-Number-Recognition-With-Image-Segmentation), "
        "[Python-Custom-Digit-Recognition](https://github.com/TypicalDefender/Python-Custom-Digit-Recognition)",
        "the second MIT, others none stated",
    ),
    "few_strings_dev": (
        "six photos of numbers, one under a hard shadow, and two drawn ones",
        "[Hand-Written-Digit-Recognition](https://github.com/vinay0410/Hand-Written-Digit-Recognition), "
        "[multi-digit-segmentation-and-recognition]"
        "(https://github.com/tahaemara/multi-digit-segmentation-and-recognition), "
        "[MNIST-dataset-training](https://github.com/dFAk0/MNIST-dataset-training)",
        "none stated",
    ),
    "notepad_marks": (
        "marks with a ballpoint pen on a ruled notepad, photographed from near; decimal commas are no digits",
        "[handwriting-score-recognition](https://github.com/homata123/handwriting-score-recognition)",
        "none stated",
    ),
    "kaggle_90x140": (
        "single digits cut from colour photos, ballpoint pen, many writers, European 1 and 7",
        "[Miniproject-Works](https://github.com/don-sabu/Miniproject-Works)",
        "none stated",
    ),
    "webcam_drawn": (
        "digits drawn in the air before a webcam, off-centre, with stray dots",
        "[handwritten-number-reader](https://github.com/prifulnath/handwritten-number-reader)",
        "none stated",
    ),
    "drawn_dev": (
        "digits drawn on computers by eight or more people, 28 to 1,507 pixels, thin and thick, dark, light and faint",
        "seven repositories",
        "two of them MIT, others none stated",
    ),
    "doodles": (
        "line drawings of things, to be refused",
        "[Doodle-Authentication](https://github.com/Klaudia-J-00/Doodle-Authentication)",
        "none stated",
    ),
    "math_signs": (
        "plus, minus and times, to be refused",
        "[OCR-Handwritten-Numbers](https://github.com/TGtony/OCR-Handwritten-Numbers) and "
        "[BIAI-Project](https://github.com/LukaszC1/BIAI-Project)",
        "none stated",
    ),
}

#: Folders whose pictures may be shown, with the files of which that is known where it is not so of all.
SHOWN: dict[str, tuple[str, ...]] = {
    "drawn": (),
    "strings": (),
    "cells": (),
    "wicht_sudoku": (),
    "few_pages_dev": ("sparsha.jpg",),
}

#: What the README tells: folder, way, measure.
README_ROWS = (
    ("aiano_photos", "photo", "digits"),
    ("kenya_tallies", "photo", "digits"),
    ("wicht_sudoku", "photo", "digits"),
    ("strings", "photo", "whole"),
    ("cells", "photo", "whole"),
    ("kaggle_90x140", "digit", "whole"),
    ("drawn", "digit", "whole"),
    ("letters", "photo", "refused"),
    ("doodles", "photo", "refused"),
)

#: Why a bar is not reached, by what it asks, for the page: a sentence that begins small.
REASONS: dict[str, str] = {}

#: What is known not to work, in words.
LIMITS = """\
- A digit's answer does not depend on the meaning of a number: nothing adds up amounts or knows a calendar.
- A 1 drawn as a plain leaning stroke and a slash are alike; the digits beside decide.
- Letters that have a digit's form (O, l, I, S, Z, B, q) are read as that digit where they stand alone; in a word,
  among other letters, they are refused.
- Numbers are read in lines. Pages are recognised upright or turned by 90, 180 or 270 degrees, with some 20 degrees of
  skew; lines in several directions on one page are not.
- Ink that covers other ink (a stamp over a number, a digit struck out) is not taken apart.
- Digits lower than about 10 pixels of the photo have too few pixels; photos are worked on with 2,000 pixels a side."""
