"""Answering images with digitlab: ``python digitlab_inference.py FOLDER`` prints one line of JSON."""

from __future__ import annotations

import inference_job as job

from digitlab import Sequential
from digitlab.network.architecture import Architecture


def make(network: job.Network, threads: int) -> job.Answer:
    """Return ``predict`` of the network."""
    architecture = Architecture.from_dict(network.architecture)
    return Sequential.from_architecture(architecture, network.weights, threads=threads).predict


if __name__ == "__main__":
    # All images in one call: predict cuts them into batches itself.
    job.measure(("digitlab", "numba", "numpy"), make, channels_first=False, batch_sizes=(0,))
