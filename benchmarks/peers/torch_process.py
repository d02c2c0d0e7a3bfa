"""What ``digitlab train`` does, as a script of its own for PyTorch: ``python torch_process.py FOLDER``.

It reads MNIST, learns the codelab's network from 5,500 images for 10 epochs, validates on 1,000 after each, answers the
10,000 test images, and prints the accuracy of every class and the confusion matrix. digitlab writes a run with a
report besides.
"""

from __future__ import annotations

import sys
from pathlib import Path

import codelab_job as job
import mnist_arrays
import numpy as np
import torch
from torch_codelab import build
from torch_training import Labelled, answer, fit


def main(folder: Path) -> None:
    """Train, evaluate, print."""
    torch.set_num_threads(job.n_threads())
    torch.manual_seed(0)
    digits = mnist_arrays.read_digits(folder)
    n_training = len(digits.training_images) - mnist_arrays.N_VALIDATION
    training, validation = (
        _labelled(digits.training_images[begin : begin + n], digits.training_labels[begin : begin + n])
        for begin, n in ((0, job.N_TRAINING), (n_training, job.N_VALIDATION))
    )
    test = _labelled(digits.test_images, digits.test_labels)
    model = build()
    optimizer = torch.optim.Adam(
        model.parameters(), lr=job.LEARNING_RATE, betas=(job.BETA_1, job.BETA_2), eps=job.EPSILON, foreach=True
    )
    fit(model, optimizer, training, validation, batch_size=job.BATCH_SIZE, epochs=job.EPOCHS)
    answers = answer(model, test.images).argmax(1)
    matrix = torch.bincount(test.labels * 10 + answers, minlength=100).reshape(10, 10).numpy()
    for label, row in enumerate(matrix):
        print(f"{label}: {100 * row[label] / max(1, row.sum()):5.1f} % of {row.sum():,}")
    print(np.array2string(matrix))
    print(f"Accuracy {100 * matrix.trace() / matrix.sum():.2f} %")


def _labelled(images: np.ndarray, labels: np.ndarray) -> Labelled:
    floats = mnist_arrays.as_floats(images)[:, None]
    return Labelled(torch.from_numpy(floats), torch.from_numpy(np.array(labels)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
