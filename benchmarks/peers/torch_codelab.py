"""The codelab's job on PyTorch, eager: ``python torch_codelab.py FOLDER`` prints one line of JSON."""

from __future__ import annotations

import math

import codelab_job as job
import numpy as np
import torch
from torch import nn
from torch_training import Labelled, fit


def build() -> nn.Sequential:
    """Return the codelab's network with fresh weights; it ends in logits, as cross_entropy wants them."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            std = math.sqrt(1 / parameter[0].numel()) / job.TRUNCATED_STD
            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)
    return model


def main() -> None:
    """Train as :mod:`codelab_job` says."""
    threads = job.n_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    arrays = job.read_arrays()
    training = Labelled(*_tensors(arrays.images, arrays.labels))
    validation = Labelled(*_tensors(arrays.val_images, arrays.val_labels))
    model: nn.Sequential
    optimizer: torch.optim.Adam

    def start() -> None:
        nonlocal model, optimizer
        model = build()
        # On a trial, foreach, fused and plain Adam, channels_last or not, lay within 5 % (best epochs of ten, in turn).
        optimizer = torch.optim.Adam(
            model.parameters(), lr=job.LEARNING_RATE, betas=(job.BETA_1, job.BETA_2), eps=job.EPSILON, foreach=True
        )

    def train(epochs: int) -> tuple[float, float]:
        return fit(model, optimizer, training, validation, batch_size=job.BATCH_SIZE, epochs=epochs)

    job.measure(("torch", "numpy"), threads, start, train)


def _tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


if __name__ == "__main__":
    main()
