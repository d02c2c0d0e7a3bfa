"""The MNIST example that PyTorch publishes: ``python torch_example.py FOLDER SEED EPOCHS N_IMAGES``.

It prints one line of JSON; N_IMAGES is the most training images to learn from, 0 for all.

As published: the network, Adadelta with a rate of 1.0 that is multiplied by 0.7 after every epoch, batches of 64,
14 epochs over 60,000 standardised images. Otherwise than published, all in its favour: the images lie in memory as one
tensor, and the test images are answered once at the end, untimed, not after every epoch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import accuracy_job as job
import mnist_arrays
import numpy as np
import torch
from codelab_job import n_threads
from torch import nn
from torch_training import Labelled, accuracy, fit

BATCH_SIZE = 64
LEARNING_RATE, GAMMA = 1.0, 0.7
#: Of the training pixels in [0, 1].
MEAN, STD = 0.1307, 0.3081


def build() -> nn.Sequential:
    """Return the network, which ends in logits: cross-entropy of them is the example's log-softmax with its loss."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def main(folder: Path, seed: int, epochs: int, most_images: int) -> None:
    """Train as published."""
    torch.set_num_threads(n_threads())
    torch.manual_seed(seed)
    digits = mnist_arrays.read_digits(folder)
    used = slice(most_images or None)
    training = _standardised(digits.training_images[used], digits.training_labels[used])
    test = _standardised(digits.test_images, digits.test_labels)

    def train(model: nn.Module, images: Labelled, epochs: int) -> None:
        optimizer = torch.optim.Adadelta(model.parameters(), lr=LEARNING_RATE)
        n_batches = -(-len(images.images) // BATCH_SIZE)
        rates = [LEARNING_RATE * GAMMA**epoch for epoch in range(epochs) for _ in range(n_batches)]
        fit(model, optimizer, images, None, batch_size=BATCH_SIZE, epochs=epochs, rates=rates)

    few = Labelled(*(part[: job.WARM_UP_STEPS * BATCH_SIZE] for part in training))
    model = build()
    job.measure(
        ("torch", "numpy"),
        lambda: train(build(), few, 1),
        lambda: train(model, training, epochs),
        lambda: accuracy(model, test),
    )


def _standardised(images: np.ndarray, labels: np.ndarray) -> Labelled:
    floats = (mnist_arrays.as_floats(images)[:, None] - np.float32(MEAN)) / np.float32(STD)
    return Labelled(torch.from_numpy(floats), torch.from_numpy(np.array(labels)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
