"""Write a folder of composed numbers to score: MNIST's test digits on paper, as hard as is wanted.

    python benchmarks/reading_composed.py FOLDER [--pictures 200] [--seed 0]
    python benchmarks/reading.py FOLDER

Numbers of 1 to 8 digits that stand apart or touch, in pens of several widths, slanted a little, on paper with a grain
and a shadow. Unlike the published folders these pictures may be copied, so what fails among them is shown in
docs/measurements/reading.md (``--publish``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from digitlab.data.mnist import MnistData
from digitlab.reading.reader import Reader
from reading_page import FAILURES
from reading_photo import photographed
from reading_sheet import write_sheet
from reading_truth import TRUTH, read_truth

#: Widths of pen, as the side of the square that thins (below 0) or thickens the ink.
PENS = (-3, 1, 1, 3, 5)
SIDE_PX = 84  # of a digit's 28 x 28 image, enlarged


def number(rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
    """Compose one number; return its picture, uint8 (h, w), and its digits."""
    test = MnistData.load().test
    chosen = rng.integers(0, len(test), int(rng.integers(1, 9)))
    # An image has an empty margin of about a fifth on each side: steps below two thirds make digits touch.
    step = int(SIDE_PX * rng.uniform(0.45, 0.9))
    ink = np.zeros((2 * SIDE_PX, step * len(chosen) + 2 * SIDE_PX), np.float32)
    for place, index in enumerate(chosen):
        digit = np.asarray(Image.fromarray(test.images[index]).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))
        top = SIDE_PX // 2 + int(rng.integers(-5, 6))
        left = SIDE_PX // 2 + place * step
        part = ink[top : top + SIDE_PX, left : left + SIDE_PX]
        np.maximum(part, digit.astype(np.float32) / 255, out=part)
    picture = Image.fromarray((255 * ink).astype(np.uint8))
    pen = int(rng.choice(PENS))
    if abs(pen) > 1:
        picture = picture.filter(ImageFilter.MaxFilter(pen) if pen > 0 else ImageFilter.MinFilter(-pen))
    picture = picture.rotate(float(rng.uniform(-8, 8)), Image.Resampling.BICUBIC)
    digits = "".join(str(test.labels[index]) for index in chosen)
    return photographed(np.asarray(picture, np.float32) / 255, rng), digits


def write_folder(folder: Path, n_pictures: int, seed: int) -> None:
    """Write pictures and their truth."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file\tdigits\n"]
    for place in range(n_pictures):
        pixels, digits = number(rng)
        Image.fromarray(pixels).save(folder / f"{place:03d}.png")
        lines.append(f"{place:03d}.png\t{digits}\n")
    (folder / TRUTH).write_text("".join(lines))


def main(argv: list[str] | None = None) -> int:
    """Write the folder, and the sheet of what fails in it if that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="made if it is missing")
    parser.add_argument("--pictures", type=int, default=200, metavar="N", help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="which (default 0)")
    parser.add_argument("--publish", action="store_true", help="read them and show in docs/ what fails")
    options = parser.parse_args(argv)
    write_folder(options.folder, options.pictures, options.seed)
    if options.publish:
        from reading import answer_all

        truth = read_truth(options.folder)
        paths = {item.path.name: item.path for item in truth.items}
        n_wrong = write_sheet(answer_all(truth, Reader(), "photo"), paths, FAILURES, n_most=18)
        print(f"{n_wrong} of {options.pictures} are not read as a whole; see {FAILURES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
