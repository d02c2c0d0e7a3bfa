"""Ship the second look: copy it from the run of ``digitlab train --preset second-look`` and write its card.

    digitlab train --preset second-look --out runs --name second-look
    python benchmarks/second_look_card.py runs/second-look

Every figure of the card is measured here or was written down by the run. Candidates on crops of test digits are looked
at here, once, and nothing is chosen by them.
"""

from __future__ import annotations

import sys

from card import Shipped, share
from digitlab.data.mnist import MnistData, Split
from digitlab.engine.sequential import Sequential
from digitlab.reading.finder import shipped
from digitlab.training.candidates import NONE, compose_candidates
from digitlab.training.pages import make_bank

N_CANDIDATES = 20_000
# Not the crops that the run watched.
SEED = 2_000


def row(model: Sequential, split: Split) -> str:
    """Return a line of the table: what a network says of candidates on crops of a split's digits."""
    patches, labels = compose_candidates(make_bank(split, seed=SEED), N_CANDIDATES, shipped(), seed=SEED)
    answered = model.predict(patches[..., None]).argmax(1)
    digits = labels != NONE
    n, n_others = int(digits.sum()), int((~digits).sum())
    right, refused = int((answered == labels)[digits].sum()), int((answered == NONE)[digits].sum())
    wrong = n - right - refused
    return (
        f"| {split.name} | {n:,} | {share(right, n)} | {100 * refused / n:.2f} % | {100 * wrong / n:.2f} % | "
        f"{n_others:,} | {share(int((answered == NONE)[~digits].sum()), n_others)} |"
    )


def main(path: str) -> None:
    """Copy the model of a run into the package and write its card."""
    network, data = Shipped(path), MnistData.load()
    table = "\n".join(row(network.model, split) for split in (data.validation, data.test))
    n_seen = (network.words["config"]["epochs"] + 1) // 2 * network.words["config"]["train_images"]
    network.ship("second_look", "SECOND_LOOK_CARD.md", n_seen=n_seen, n_candidates=N_CANDIDATES, table=table)


if __name__ == "__main__":
    main(*sys.argv[1:])
