"""Read the numbers on all photos in a folder.

    python examples/read_folder.py photos

One line a number: the photo, the number, and how sure it is. `digitlab read photos --out results.csv` does the same for
thousands of files, PDFs among them, and goes on where it stopped.
"""

import sys
from pathlib import Path

import digitlab as dl

ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


def main(folder: str) -> None:
    """Read every photo and print what stands on it."""
    reader = dl.Reader()  # once: the networks are loaded with it
    photos = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in ENDINGS)
    for photo in photos:
        try:
            reading = reader.read(photo)
        except dl.DigitlabError as error:
            print(f"{photo.name}: {error}", file=sys.stderr)
            continue
        for number in reading.numbers:
            print(f"{photo.name}\t{number.value}\t{number.confidence:.3f}")
        if reading.refused:
            print(f"{photo.name}: {len(reading.refused)} marks are no digits", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python examples/read_folder.py FOLDER")
    main(sys.argv[1])
