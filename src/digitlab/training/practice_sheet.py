"""A sheet of practice crops with their marks drawn: what a finder learns from, for whoever wonders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digitlab.data.mnist import MnistData
from digitlab.engine.crops import IGNORED, SEPARATORS, Crops
from digitlab.engine.drawing.sketching import CROP_PX
from digitlab.training.pages import compose_greys
from digitlab.training.practice_bank import make_bank

__all__ = ["draw_sheet", "write_sheets"]

_ZOOM, _GAP_PX = 2, 3
_DIGIT, _SEPARATOR, _LEFT_OUT = (0, 140, 40), (20, 90, 220), (220, 40, 40)
_PER_SHEET = (6, 6)


def draw_sheet(crops: Crops, columns: int, *, zoom: int = _ZOOM) -> NDArray[np.uint8]:
    """Draw crops with their marks: uint8 (height, width, 3).

    Digits are framed in green, separators in blue, and what is neither learned nor held against the finder in red.
    """
    side = CROP_PX * zoom
    rows = -(-len(crops) // columns)
    sheet = Image.new("RGB", (columns * (side + _GAP_PX) - _GAP_PX, rows * (side + _GAP_PX) - _GAP_PX), "white")
    for i, grey in enumerate(crops.images[..., 0]):
        image = Image.fromarray(np.round(grey * 255).astype(np.uint8)).resize((side, side)).convert("RGB")
        pen = ImageDraw.Draw(image)
        of_crop = slice(crops.starts[i], crops.starts[i + 1])
        for box, label in zip(crops.boxes[of_crop], crops.labels[of_crop], strict=True):
            left, top, right, bottom = (float(value) * zoom for value in box)
            color = _LEFT_OUT if label == IGNORED else _DIGIT if label < 10 else _SEPARATOR
            pen.rectangle((left, top, max(left + 1, right), max(top + 1, bottom)), outline=color)
            name = "" if label == IGNORED else str(label) if label < 10 else SEPARATORS[label - 10]
            pen.text((left, top - 11), name, fill=color)
        sheet.paste(image, (i % columns * (side + _GAP_PX), i // columns * (side + _GAP_PX)))
    return np.asarray(sheet)


def write_sheets(folder: Path, *, n: int = 4, seed: int = 0, data: MnistData | None = None) -> list[Path]:
    """Write so many sheets of a training's first crops as PNG files into a folder, which is made."""
    bank = make_bank((MnistData.load() if data is None else data).training, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = _PER_SHEET
    paths = []
    for k in range(n):
        crops = compose_greys(bank, rows * columns, seed=seed, first=k * rows * columns)
        path = folder / f"practice-{k + 1}.png"
        Image.fromarray(draw_sheet(crops, columns)).save(path, optimize=True)
        paths.append(path)
    return paths
