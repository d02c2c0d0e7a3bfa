"""Teach a network your own hand, with images that you have labelled.

    python examples/fine_tune.py my-digits

The folder holds images of one digit each, whose names begin with it: 3.png, 3-again.jpg, 7_b.png. They are framed
as MNIST's images are, and repeated among MNIST's, because a network that learns from a few images alone forgets the
others.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import digitlab as dl

N_MNIST = 5_000
PART = 0.3  # of what is learned from, so much are your images


def framed(path: Path) -> np.ndarray:
    """Return an image as MNIST's are: uint8 (28, 28), ink bright on dark, 20 pixels high, centred by its mass."""
    grey = np.asarray(Image.open(path).convert("L"), np.float32)
    ink = 255 - grey if grey.mean() > 127 else grey
    ink[ink < 96] = 0
    rows, columns = np.nonzero(ink)
    if not len(rows):
        raise SystemExit(f"{path}: there is no ink.")
    box = Image.fromarray(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.uint8))
    scale = 20 / max(box.size)
    box = box.resize([max(1, round(side * scale)) for side in box.size], Image.Resampling.LANCZOS)
    pixels = np.asarray(box, np.float32)
    middle = [(np.arange(n) * pixels.sum(1 - axis)).sum() / pixels.sum() for axis, n in enumerate(pixels.shape)]
    top, left = (int(np.clip(round(13.5 - m), 0, 28 - n)) for m, n in zip(middle, pixels.shape, strict=True))
    image = Image.new("L", (28, 28))
    image.paste(box, (left, top))
    return np.asarray(image)


def main(folder: str) -> None:
    """Train the codelab's network, then let it learn from the folder, and tell what both know."""
    files = sorted(path for path in Path(folder).iterdir() if path.name[0].isdigit())
    images = np.stack([framed(path) for path in files])
    labels = np.array([int(path.name[0]) for path in files])
    data = dl.MnistData.load()
    model = dl.codelab_cnn()
    model.fit(data.training.images, data.training.labels, batch_size=256, epochs=2)

    def tell(when: str) -> None:
        own = dl.evaluate(model, images, labels).accuracy
        mnist = dl.evaluate(model, data.test.images, data.test.labels).accuracy
        print(f"{when}: {own:.1%} of {len(images)} own images, {mnist:.1%} of MNIST's test images")

    tell("before")
    repeats = max(1, round(PART / (1 - PART) * N_MNIST / len(images)))
    model.fit(
        np.concatenate([data.training.images[:N_MNIST], *[images] * repeats]),
        np.concatenate([data.training.labels[:N_MNIST], *[labels] * repeats]),
        batch_size=128,
        epochs=3,
        optimizer=dl.Adam(0.0005),
        schedule="cosine",
    )
    tell("after")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python examples/fine_tune.py FOLDER")
    main(sys.argv[1])
