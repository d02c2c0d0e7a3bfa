"""Answering a page with digitlab: ``python digitlab_page.py FOLDER`` prints one line of JSON."""

from __future__ import annotations

from pathlib import Path

import page_job as job
from nchw_layout import read_weights

from digitlab import Sequential
from digitlab.network import architecture


def make(folder: Path, threads: int) -> job.Answer:
    """Return ``predict`` of the network."""
    weights = read_weights(folder / "weights.npz")
    return Sequential.from_architecture(architecture(job.NETWORK), weights, threads=threads).predict


if __name__ == "__main__":
    job.measure(("digitlab", "numba", "numpy"), make)
