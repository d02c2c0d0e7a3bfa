"""Ship the reader's network: copy it from the run of ``digitlab train --preset reader`` and write its card.

    digitlab train --preset reader --out runs --name reader
    python benchmarks/reader_card.py runs/reader

Every figure of the card is measured here or was written down by the run. The test set is looked at here, once, and
nothing is chosen by it.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from card import Shipped, share
from digitlab.data.mnist import MnistData, Split
from digitlab.metrics import calibration_bins, expected_calibration_error
from digitlab.training.calibration import LOST_DIGITS, REFUSED_DIGITS, with_temperature
from digitlab.training.config import TrainConfig, command_for
from digitlab.training.nondigits import KINDS, make_nondigits
from reading_scores import area_under_roc

N_NONDIGITS = 5_000
# So that these are not the validation images by which temperature and threshold were chosen.
SEED = 1_000
#: What the card tells of digits, all eleven answers allowed.
ROWS = (
    "images",
    "right",
    'answered "not a digit"',
    "right if only digits may be answered",
    "expected calibration error, 15 bins",
    "the same before the temperature",
    "refused at the threshold",
)


def digit_cells(raw: NDArray[np.float32], split: Split, temperature: float, refuse_above: float) -> list[str]:
    """Compare answers with labels: a cell for each of ``ROWS``."""
    labels = split.labels.astype(np.int64)
    answers, n = with_temperature(raw, temperature), len(labels)
    errors = (expected_calibration_error(calibration_bins(each, labels)) for each in (answers, raw))
    return [
        f"{n:,}",
        share(int((answers.argmax(1) == labels).sum()), n),
        str(int((answers.argmax(1) == 10).sum())),
        share(int((answers[:, :10].argmax(1) == labels).sum()), n),
        *(f"{100 * error:.2f} %" for error in errors),
        share(int((answers[:, 10] > refuse_above).sum()), n),
    ]


def main(path: str) -> None:
    """Copy the model of a run into the package and write its card."""
    shipped, data = Shipped(path), MnistData.load()
    calibration = shipped.checkpoint.metadata
    temperature, refuse_above = (float(calibration[name]) for name in ("temperature", "refuse_above"))
    cells = [
        digit_cells(shipped.model.predict(split.images), split, temperature, refuse_above)
        for split in (data.validation, data.test)
    ]
    others = make_nondigits(N_NONDIGITS, data.validation, seed=SEED)
    of_others, of_digits = (
        with_temperature(shipped.model.predict(images), temperature)[:, 10]
        for images in (others.images, data.validation.images)
    )
    kinds = []
    for name, mask in [(name, others.kinds == k) for k, name in enumerate(KINDS)] + [("all", others.kinds >= 0)]:
        n, n_refused = int(mask.sum()), int((of_others[mask] > refuse_above).sum())
        kinds.append(f"| {name} | {n:,} | {share(n_refused, n)} | {area_under_roc(of_others[mask], of_digits):.4f} |")
    config = TrainConfig.from_dict(shipped.words["config"])
    shipped.ship(
        "reader",
        "MODEL_CARD.md",
        command=command_for(config),
        # As training/material.py has it: shares of all images, of which the set's digits are the rest.
        n_variants=round(config.train_images * config.variants / (1 - config.not_a_digit - config.variants)),
        n_others=shipped.words["nondigits"]["n_training"],
        load_s=shipped.words["timings"]["load"],
        cost=100 * REFUSED_DIGITS,
        lost=100 * LOST_DIGITS,
        n_made=N_NONDIGITS,
        calibration=calibration,
        digits="\n".join(f"| {' | '.join(row)} |" for row in zip(ROWS, *cells, strict=True)),
        kinds="\n".join(kinds),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
