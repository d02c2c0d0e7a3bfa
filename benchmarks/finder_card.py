"""Ship the finder: copy it from the run of ``digitlab train --preset finder`` and write its card.

    digitlab train --preset finder --out runs --name finder
    python benchmarks/finder_card.py runs/finder

Every figure of the card is measured here or was written down by the run. Crops of test digits are looked at here, once,
and nothing is chosen by them.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image

from card import Shipped, share
from digitlab.data.mnist import MnistData, Split
from digitlab.engine.crops import CENTERS, IGNORED, Crops
from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError
from digitlab.training.finder_training import FinderScore, score_maps
from digitlab.training.pages import compose, draw_sheet, make_bank
from measuring import IMAGES

N_CROPS = 2_000
# Not the crops that the run watched.
SEED = 1_000
_CHUNK = 50
_DIGITS, _SEPARATORS = "digits", "separators"


def kept(crops: Crops, kind: str) -> Crops:
    """Return the crops with the marks of the other kind to be ignored."""
    is_separator = crops.labels >= 10
    others = is_separator if kind == _DIGITS else ~is_separator
    return Crops(crops.images, crops.boxes, np.where(others, IGNORED, crops.labels), crops.starts)


def rows(model: Sequential, split: Split) -> list[str]:
    """Return the table's lines: what a finder finds on crops that are composed of a split's digits."""
    bank = make_bank(split, seed=SEED)
    found = {kind: FinderScore(0, 0, 0, 0, 0, 0) for kind in (_DIGITS, _SEPARATORS)}
    for first in range(0, N_CROPS, _CHUNK):
        crops = compose(bank, _CHUNK, seed=SEED, first=first)
        maps = model.predict(crops.images)
        for k, kind in enumerate(found):
            own = maps.copy()
            own[..., CENTERS][..., 1 - k] = -30.0
            found[kind] += score_maps(own, kept(crops, kind))
    return [
        f"| {split.name} | {kind} | {(n := score.n_marks):,} | {share(score.n_found - score.n_wrong, n)} | "
        f"{100 * score.n_missed / n:.2f} % | {100 * score.n_wrong / n:.2f} % | {score.n_extra / score.n_crops:.3f} |"
        for kind, score in found.items()
    ]


def draw_practice(split: Split) -> None:
    """Draw twelve crops with their marks for the documents, small."""
    sheet = Image.fromarray(draw_sheet(compose(make_bank(split), 12, seed=SEED, is_grey=True), columns=6))
    small = sheet.resize((round(0.62 * sheet.width), round(0.62 * sheet.height)), Image.Resampling.LANCZOS)
    small.quantize(32).save(IMAGES / "practice.png", optimize=True)


def main(path: str) -> None:
    """Copy the model of a run into the package and write its card."""
    shipped, data = Shipped(path), MnistData.load()
    try:
        notes = f"\n{shipped.run.read_json('notes.json')['text']}\n"
    except DigitlabError:
        notes = ""
    table = "\n".join(row for split in (data.validation, data.test) for row in rows(shipped.model, split))
    draw_practice(data.training)
    config = shipped.words["config"]
    n_seen = config["epochs"] * config["train_images"]
    shipped.ship("finder", "FINDER_CARD.md", notes=notes, n_seen=n_seen, n_crops=N_CROPS, table=table)


if __name__ == "__main__":
    main(*sys.argv[1:])
