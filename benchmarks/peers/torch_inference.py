"""Answering images with PyTorch, eager: ``python torch_inference.py FOLDER`` prints one line of JSON."""

from __future__ import annotations

import inference_job as job
import numpy as np
import torch
from torch_network import build


def make(network: job.Network, threads: int) -> job.Answer:
    """Return a function that answers images with this many threads."""
    torch.set_num_threads(threads)
    model = build(*network).eval()

    def answer(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            # With one channel both layouts are the same bytes: a view, no copy.
            x = torch.from_numpy(images).view(-1, 1, 28, 28)
            return torch.softmax(model(x), 1).numpy()

    return answer


if __name__ == "__main__":
    job.measure(("torch", "numpy"), make)
